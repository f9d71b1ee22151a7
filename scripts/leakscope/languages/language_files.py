"""What is known of a language: what its file says, or the defaults where it has none."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from leakscope.files.finding import CHECKOUT

# Imported where a file is read: every job of Snakemake imports this module.
if TYPE_CHECKING:
    from leakscope.languages.language_file import LanguageFile

FOLDER = "data/languages"


@cache
def known_of(language: str) -> LanguageFile:
    """Return what is written down of a language.

    Raises:
        InputError: its file is not as ``LanguageFile`` says.
    """
    from leakscope.languages.language_file import LanguageFile
    from leakscope.typed.reading import read_typed

    path = CHECKOUT / FOLDER / f"{language}.yaml"
    return read_typed(path, LanguageFile) if path.exists() else LanguageFile(language=language, source="no file")
