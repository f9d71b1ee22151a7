"""Edits of the residual stream before one block: a change along features of a dictionary or along a direction.

An edit adds a change and never replaces the residual, so the dictionary's reconstruction error stays. The change is
computed in float32 and added in the model's number format. The first token of a text is never changed (see
``beginnings``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.hooks import RemovableHandle

from leakscope.errors import InputError, one_of
from leakscope.models.phases import written_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from leakscope.models.editing.beginnings import Beginnings
    from leakscope.models.editing.dictionary import Dictionary

ADD, MOVE, PROJECT = "add", "move", "project"
KINDS = (ADD, MOVE, PROJECT)
FEATURE_EDITS = ("add", "ablate", "scale", "clamp", "mean_clamp")
ALL, PROMPT, GENERATED = "all", "prompt", "generated"
POSITIONS = (ALL, PROMPT, GENERATED)

Change = Callable[[torch.Tensor], torch.Tensor]
Placed = Callable[[torch.device], "Dictionary"]


class Edit(NamedTuple):
    """A change of the residual x before a block; a_f are the activations of features f, W_f their decoder rows.

    kind: ``add``: s·Σ t_f W_f, or s·t·u; ``move``: s·Σ (t_f − a_f) W_f; ``project``: s·(t − x·u)·u.
    layer: the number of the block, from 0.
    strength: s; at 0 nothing changes, bit for bit.
    features: those of ``add`` and ``move``.
    targets: t, one a feature; of an edit along a direction, one.
    direction: u, (hidden,), of unit length: ``project``, and ``add`` without features.
    gated: ``move`` only where one of the features fires.
    positions: ``all``; ``prompt``: only input tokens; ``generated``: only tokens that the model wrote.
    name: given by the user.
    """

    kind: str
    layer: int
    strength: float
    features: tuple[int, ...] = ()
    targets: tuple[float, ...] = ()
    direction: tuple[float, ...] = ()
    gated: bool = False
    positions: str = ALL
    name: str = ""


def feature_edit(
    name: str,
    layer: int,
    features: Sequence[int],
    coefficient: float,
    *,
    maxima: Mapping[int, float],
    means: Mapping[int, float],
    positions: str = ALL,
) -> Edit:
    """Return an edit of features by its name.

    Args:
        name: ``add`` adds coefficient × maxima; ``ablate`` sets activations to 0; ``scale`` multiplies them by the
            coefficient; ``clamp`` sets them to coefficient × maxima; ``mean_clamp`` sets them to their means where one
            of the features fires.
        layer: of the dictionary.
        features: their numbers.
        coefficient: see above; not used by ``ablate`` and ``mean_clamp``.
        maxima: of the features' activations on held-out text.
        means: of their activations where they fire.
        positions: see ``Edit``.

    Raises:
        InputError: name or positions are unknown, or a feature never fires and its maximum or mean is needed.
    """
    numbers = tuple(int(feature) for feature in features)
    if name not in FEATURE_EDITS:
        raise one_of("edit", name, FEATURE_EDITS)
    if positions not in POSITIONS:
        raise one_of(f"edit {name!r}: positions", positions, POSITIONS)
    shared: dict[str, Any] = {"layer": layer, "features": numbers, "positions": positions, "name": name}
    if name in ("ablate", "scale"):
        strength = 1.0 if name == "ablate" else 1.0 - coefficient
        return Edit(MOVE, strength=strength, targets=(0.0,) * len(numbers), **shared)
    levels = _levels(numbers, means if name == "mean_clamp" else maxima, name)
    if name == "add":
        return Edit(ADD, strength=float(coefficient), targets=levels, **shared)
    if name == "clamp":
        return Edit(MOVE, strength=1.0, targets=tuple(coefficient * level for level in levels), **shared)
    return Edit(MOVE, strength=1.0, targets=levels, gated=True, **shared)


def _levels(features: Sequence[int], levels: Mapping[int, float], name: str) -> tuple[float, ...]:
    found = tuple(float(levels[feature]) for feature in features)
    for feature, level in zip(features, found, strict=True):
        if not level > 0:
            raise InputError(
                f"edit {name!r}: got feature {feature}, which fires nowhere in the held-out texts; allowed: features "
                "that do, or the edits 'ablate' and 'scale'."
            )
    return found


def to_json(edit: Edit) -> dict[str, Any]:
    """Return the edit as JSON values, the inverse of ``from_json``."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in edit._asdict().items()}


def from_json(values: Mapping[str, Any]) -> Edit:
    """Return the edit from JSON values, the inverse of ``to_json``."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Edit(**fields)


def edit_change(edit: Edit, dictionary: Dictionary | None = None) -> Change:
    """Return the function from residuals, (..., hidden), to the change that an edit adds, same shape, float32.

    The function ignores the edit's positions.

    Args:
        edit: of any kind.
        dictionary: of the edit's features; None for an edit along a direction. It is moved to the residuals' device.

    Raises:
        InputError: the edit does not fit the dictionary.
    """
    _check(edit, dictionary)
    with torch.inference_mode(False):  # what is made here may be used outside of inference, too
        targets = torch.tensor(edit.targets, dtype=torch.float32)
        if edit.direction:
            return _along(torch.tensor(edit.direction, dtype=torch.float32), targets, edit)
    assert dictionary is not None, "checked above"
    placed = _placed(dictionary)
    return _adding(placed, targets, edit) if edit.kind == ADD else _moving(placed, targets, edit)


def _placed(dictionary: Dictionary) -> Placed:
    """Return a function that gives the dictionary on a device, which is known only when residuals arrive."""

    @cache
    def on(device: torch.device) -> Dictionary:
        with torch.inference_mode(False):
            return dictionary.to(device)

    return on


def _along(direction: torch.Tensor, targets: torch.Tensor, edit: Edit) -> Change:
    def change(residuals: torch.Tensor) -> torch.Tensor:
        unit, target = direction.to(residuals.device), targets.to(residuals.device)
        if edit.kind == ADD:
            return (edit.strength * target * unit).expand(residuals.shape)
        return edit.strength * (target - residuals.float() @ unit)[..., None] * unit

    return change


def _adding(placed: Placed, targets: torch.Tensor, edit: Edit) -> Change:
    def change(residuals: torch.Tensor) -> torch.Tensor:
        added = (edit.strength * targets).to(residuals.device).expand(*residuals.shape[:-1], -1)
        return placed(residuals.device).written(residuals.float(), list(edit.features), added)

    return change


def _moving(placed: Placed, targets: torch.Tensor, edit: Edit) -> Change:
    def change(residuals: torch.Tensor) -> torch.Tensor:
        dictionary = placed(residuals.device)
        activations = dictionary.encode(residuals.float(), list(edit.features))
        moved = edit.strength * (targets.to(residuals.device) - activations)
        if edit.gated:
            moved = moved * (activations > 0).any(-1, keepdim=True)
        return dictionary.written(residuals.float(), list(edit.features), moved)

    return change


def _check(edit: Edit, dictionary: Dictionary | None) -> None:
    where = f"edit {edit.name or edit.kind!r}"
    for key, value, allowed in (("kind", edit.kind, KINDS), ("positions", edit.positions, POSITIONS)):
        if value not in allowed:
            raise one_of(f"{where}: {key}", value, allowed)
    if bool(edit.direction) == bool(edit.features) or (edit.kind == PROJECT and edit.features):
        raise InputError(
            f"{where}: got {len(edit.features)} features and a direction of {len(edit.direction)} numbers; allowed: "
            "features or a direction; for project, a direction."
        )
    if len(edit.targets) != (len(edit.features) or 1):
        raise InputError(f"{where}: got {len(edit.targets)} targets; allowed: {len(edit.features) or 1}.")
    if not edit.features:
        return
    if dictionary is None:
        raise InputError(
            f"{where}: got features {list(edit.features)} without a dictionary; allowed: features with a dictionary."
        )
    if edit.layer != dictionary.layer:
        raise InputError(f"{where}: got layer {edit.layer}; allowed: {dictionary.layer}, its dictionary's layer.")
    if not all(0 <= feature < dictionary.n_features for feature in edit.features):
        raise InputError(
            f"{where}: got features {list(edit.features)}; allowed: 0 to {dictionary.n_features - 1}, the features "
            "of its dictionary."
        )


@contextmanager
def editing(model: PreTrainedModel, edit: Edit, dictionary: Dictionary | None = None) -> Iterator[None]:
    """Apply an edit to a model inside the context; see ``install``."""
    with install(model, edit, dictionary):
        yield


class Installed(NamedTuple):
    """An installed edit, active until it is removed or the context is left."""

    handles: list[RemovableHandle]

    def remove(self) -> None:
        """Remove the edit."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> Installed:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def install(model: PreTrainedModel, edit: Edit, dictionary: Dictionary | None = None) -> Installed:
    """Apply an edit to a model at all tokens but the first of each text, until the returned object removes it.

    Raises:
        InputError: the model has no such layer or is of another width, or the edit does not fit the dictionary.
    """
    # Imported here: names and JSON of edits are asked for where no model is.
    from leakscope.models.editing.beginnings import Beginnings
    from leakscope.models.editing.residuals import check_layer, decoder_blocks

    check_layer(model, edit.layer)
    beginnings = Beginnings()
    hook = _Hook(edit, dictionary, beginnings)
    width = dictionary.width if edit.features and dictionary is not None else len(edit.direction)
    if width != (hidden := model.config.get_text_config().hidden_size):
        raise InputError(f"edit {edit.name or edit.kind!r}: got a width of {width}; allowed: {hidden}, the model's.")
    block = decoder_blocks(model)[edit.layer]
    return Installed([block.register_forward_pre_hook(hook, with_kwargs=True), *beginnings.watch(model)])


class _Hook:
    """Changes a block's input."""

    def __init__(self, edit: Edit, dictionary: Dictionary | None, beginnings: Beginnings) -> None:
        self.edit, self.change, self.beginnings = edit, edit_change(edit, dictionary), beginnings

    def __call__(
        self, _: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if given:
            return (self._edited(given[0]), *given[1:]), named
        return given, {**named, "hidden_states": self._edited(named["hidden_states"])}

    def _edited(self, hidden: torch.Tensor) -> torch.Tensor:
        chosen: torch.Tensor | bool = True
        if self.edit.positions != ALL:
            written = written_tokens()
            if isinstance(written, bool):
                chosen = written == (self.edit.positions == GENERATED)
            else:
                chosen = (written == (self.edit.positions == GENERATED)).to(hidden.device)[..., None]
        if chosen is False:
            return hidden
        change = self.change(hidden)
        begins = self.beginnings.of(hidden)
        if begins is not None:
            chosen = ~begins & chosen
        # Not a sum alone: what does not change must keep its bits, and −0 + 0 is 0.
        return torch.where((change != 0) & chosen, hidden + change.to(hidden.dtype), hidden)
