"""What can be tried of each kind of mitigation: variants, each a way to change a model by any strength.

A kind is one function, from what is known (``Setting``) to variants, registered in ``KINDS``; a mitigation is an entry
of the catalogue ``mitigations`` with a kind and its settings.
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
    """What a mitigation is made of.

    name: of the model.
    model: without it.
    manifest: the model's.
    items: of which only the selection split may be looked at.
    prompting: how prompts are put to the model.
    entry: the mitigation's of the catalogue.
    neutral: texts that are to stay as likely as they are, of the half that may be looked at.
    seed: of whatever is drawn.
    folder: for what a variant leaves behind, as an adapter.
    dictionary: manifest of the dictionary that the entry names; None without one.
    firing: ``feature, maximum, mean_active`` of its features; None without one.
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

    name: what tells it from others of the mitigation, for people; "" where it is the only one.
    largest: strength that is tried; 0: the change has no strength, and is as it is.
    at: strength → the model with the change, as long as the context lasts; its identity is that of what ``manifest``
        returns, so that what is stored of it is found by a model of source `mitigated`, too.
    manifest: strength → manifest of the model with the change; what it needs is written by then.
    prompting: how prompts are put to the model with it.
    before: tokens that neutral texts are read after; empty but for a prompt.
    """

    name: str
    largest: float
    at: Callable[[float], AbstractContextManager[LanguageModel]]
    manifest: Callable[[float], dict[str, Any]]
    prompting: Prompting
    before: tuple[int, ...] = ()


Kind = Callable[[Setting], list[Variant]]
