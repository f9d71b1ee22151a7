"""Paired prompt forms: one generator form and one validator form in one style, with a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from leakscope.errors import one_of

# Names of forms need neither pandas nor YAML.
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
"""The form of imported scores."""


def paired_forms(forms: PromptForms, styles: Sequence[str] | None = None) -> list[PairedForm]:
    """Return generators and validators paired in order, style by style; the first pair is the task's main form.

    If one kind has fewer forms, its first form is used for the missing ones.

    Args:
        forms: prompt forms of the task.
        styles: ids of the styles to use, in this order; None: all, in the file's order.

    Raises:
        InputError: a style is unknown.
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
