"""The forms that scores are compared in: one generator form with one validator form, in one style, and its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from leakscope.errors import one_of

# What a form is called needs neither pandas nor YAML.
if TYPE_CHECKING:
    from leakscope.validate.tasks.forms import PromptForms

IMPORTED = "imported"


class PairedForm(NamedTuple):
    """A generator form with a validator form, by their ids, in a style; ``name`` is ``style/generator/validator``."""

    name: str
    style: str
    generator_id: str
    validator_id: str


IMPORTED_FORM = PairedForm(IMPORTED, IMPORTED, IMPORTED, IMPORTED)
"""Of scores that were computed elsewhere."""


def paired_forms(forms: PromptForms, styles: Sequence[str] | None = None) -> list[PairedForm]:
    """Return generators and validators paired in their order, style by style; the first is the task's main form.

    Where one of the two kinds has fewer forms, its first takes the place of those that it lacks.

    Args:
        forms: of the task.
        styles: ids of the styles that are used, in this order; all, in the file's order, if None.

    Raises:
        InputError: there is no such style.
    """
    known = [style.id for style in forms.styles]
    for name in styles or []:
        if name not in known:
            raise one_of("prompt forms: style", name, known)
    generators, validators = (
        [form.id for form in forms.forms if form.kind == kind] for kind in ("generator", "validator")
    )
    n_pairs = max(len(generators), len(validators))
    pairs = list(zip(_filled(generators, n_pairs), _filled(validators, n_pairs), strict=True))
    return [
        PairedForm(f"{style}/{generator}/{validator}", style, generator, validator)
        for style in (known if styles is None else styles)
        for generator, validator in pairs
    ]


def _filled(ids: list[str], length: int) -> list[str]:
    return ids + ids[:1] * (length - len(ids))
