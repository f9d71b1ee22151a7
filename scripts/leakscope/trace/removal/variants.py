"""Variants of mitigations: each is a way to change a model with adjustable strength.

A kind is one function from ``Setting`` to variants, registered in ``KINDS``; a mitigation is an entry of the catalogue
``mitigations`` with a kind and its settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.models.neutral import EncodedText
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.trace.removal.items import Items


class Setting(NamedTuple):
    """Inputs of a mitigation.

    name: of the model. model: the unmitigated one. manifest: the model's. items: only the selection split may be used.
    prompting: of the model. entry: the mitigation's in the catalogue. neutral: texts whose likelihood should not
    change, from the selection half. seed: of all random draws. folder: for files of a variant, such as an adapter.
    dictionary: manifest of the dictionary that the entry names; else None. firing: ``feature, maximum, mean_active`` of
    its features; else None.
    """

    name: str
    model: LanguageModel
    manifest: Mapping[str, Any]
    items: Items
    prompting: Prompting
    entry: Mapping[str, Any]
    neutral: Sequence[EncodedText]
    seed: int
    folder: Path
    dictionary: Mapping[str, Any] | None = None
    firing: pd.DataFrame | None = None


class Variant(NamedTuple):
    """One way to change a model.

    name: display name that distinguishes it within the mitigation; "" if it is the only one. largest: largest strength
    to try; 0: the change has no strength. at: strength → context of the model with the change; its identity is that of
    ``manifest``'s result, so that a model of source `mitigated` finds the same stored values. manifest: strength →
    manifest of the changed model, after writing the files it needs. prompting: of the changed model. before: tokens
    that precede neutral texts; empty except for prompt mitigations.
    """

    name: str
    largest: float
    at: Callable[[float], AbstractContextManager[LanguageModel]]
    manifest: Callable[[float], dict[str, Any]]
    prompting: Prompting
    before: tuple[int, ...] = ()


Kind = Callable[[Setting], list[Variant]]
