"""The file of a contrast of templates; apart from what makes texts of it, so that planning a run imports no tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from leakscope.typed.reading import read_typed
from leakscope.typed.texts import with_gaps
from leakscope.typed.values import Described, Number, Section, Several, Text, mistake

Word = Annotated[str, Field(pattern=r"^\S(.*\S)?$", title="a word without spaces around it")]
OfItem = Annotated[str, with_gaps("item")]


class AssociationColumn(Section):
    """Where the association of an item stands, and what its values mean."""

    column: Text
    """Column of the table of items."""
    a: Number
    """Value of an item that is all of side a."""
    b: Number
    """Value of an item that is all of side b."""

    @model_validator(mode="after")
    def _has_two_ends(self) -> AssociationColumn:
        if self.a == self.b:
            raise mistake("b", f"got {self.b:g}, the value of a", "allowed: another number.")
        return self


class ItemTemplates(Section):
    """Texts with the gap `{item}`, in two splits."""

    selection: Several[OfItem]
    """By these features and edits are chosen."""
    evaluation: Several[OfItem]
    """By these features and edits are measured."""


class MinimalPairs(Section):
    """Texts that differ in one word and call for one side or the other."""

    words: Text
    """Table with the columns `a` and `b`; a row is a pair of words."""
    templates: Several[Annotated[str, with_gaps("word")]]
    """Texts with the gap `{word}`."""


class ContrastFile(Described):
    """data/features/<contrast>/contrast.yaml: words of two sides, and texts after which a word of one of them is next.
    Tables are beside the file: CSV, TSV, XLSX, JSONL or Parquet."""

    a: Several[Word]
    """Words of the first side; the gap is their probability less that of the second side's."""
    b: Several[Word]
    """Words of the second side."""
    items: Text
    """Table with a column `item`, a column for the association, and where it decides that a column `split` (selection
    or evaluation); else half of the items of each side are for selection."""
    association: AssociationColumn = AssociationColumn(column="association", a=1, b=-1)
    """Where the association of an item stands: after scaling between -1 (side b) and 1 (side a). Default: in the column
    `association`, as it is."""
    templates: ItemTemplates
    """Texts with the gap `{item}`; those of `selection` choose features and edits, those of `evaluation` measure them.
    """
    minimal_pairs: MinimalPairs | None = None
    """Texts that differ in one word and call for one side or the other."""


def read_contrast_file(path: Path) -> ContrastFile:
    """Return the content of a contrast file, with defaults.

    Raises:
        InputError: as ``read_typed``.
    """
    return read_typed(path, ContrastFile)
