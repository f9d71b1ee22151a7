"""Effects of edits on a contrast, and their costs: all edits, each at the strengths that reach the target costs.

The gap of an item is the mean of p_a − p_b over its texts. Over items, ``mean_abs_gap`` is the mean absolute gap,
``signed_gap`` the mean gap, ``stereotype`` the mean gap with the sign of the item's association, ``mass`` the
probability of all words of both sides. An edit that moves all items to one side has a large signed gap; an edit that
breaks the model has little mass.
Costs are percent of perplexity on neutral texts: half of them choose the strength, the other half report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from leakscope.features.contrasts.contrast_activations import side_logprobs
from leakscope.features.contrasts.items import SELECTION, SPLITS
from leakscope.features.contrasts.words import encoded_texts
from leakscope.features.interventions.candidates import NONE, EditFamily
from leakscope.features.interventions.costs import CountedText, NeutralCost, Rereader
from leakscope.jobs.progress import progress
from leakscope.models.editing.bisection import PricedStrength, remembering, strength_at_cost
from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.edits import ADD, Edit, edit_change
from leakscope.models.editing.residuals import name_of
from leakscope.models.finite import no_numbers, shown

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MEASURES = ["mean_abs_gap", "signed_gap", "stereotype", "mass", "n_items"]
# An edit that leaves less than this share of the probability of both sides closes the gap by predicting neither.
KEPT_MASS = 0.9
# Of the strength at which an edit costs as much as it may.
SHARES = (1.0, 0.875, 0.75)
ITEM_COLUMNS = ["item", "group", "split", "association", "gap"]


class MeasuredEdit(NamedTuple):
    """An edit of a strength: its family, its cost, and the remaining gap of each item.

    target_cost: percent that the strength was found for; None of a fixed strength.
    cost_selection, cost: percent, on the texts for choosing and on the texts for reporting.
    by_item: ``item, group, split, association, gap, mass``.
    """

    family: EditFamily | None
    target_cost: float | None
    strength: float
    reached: bool
    cost_selection: float
    cost: float
    by_item: pd.DataFrame

    @property
    def edit(self) -> Edit:
        """The edit of this strength."""
        assert self.family is not None, "no edit"
        return self.family.edit._replace(strength=self.strength)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the edit and its measures in each split."""
        family = self.family
        edit = {
            "intervention": NONE if family is None else family.intervention,
            "source": None if family is None else family.source,
            "n_features": None if family is None or not family.edit.features else len(family.edit.features),
            "features": None if family is None else json.dumps(family.edit.features) if family.edit.features else None,
            "edit": None if family is None else family.edit.name,
            "seed": None if family is None else family.seed,
        }
        how = {key: getattr(self, key) for key in ("target_cost", "strength", "reached", "cost_selection", "cost")}
        for split in SPLITS:
            yield {**edit, **how, "split": split, **measures(self.by_item[self.by_item["split"].eq(split)])}


class EditTexts(NamedTuple):
    """Texts for measuring an edit: texts of items, and neutral texts.

    prompts: rows of kind item of the contrast's table of texts.
    choosing, reporting: neutral texts.
    """

    prompts: pd.DataFrame
    choosing: Sequence[CountedText]
    reporting: Sequence[CountedText]


class ItemTexts:
    """Texts of items, at whose ends the probabilities of both sides are read."""

    def __init__(self, model: PreTrainedModel, prompts: pd.DataFrame, layer: int, *, batch_size: int) -> None:
        """Read the texts once, up to the layer."""
        self.prompts, self.encoded = prompts, encoded_texts(prompts)
        self.rereader = Rereader(model, self.encoded.ids, layer, batch_size=batch_size, only_ends=True)

    @torch.inference_mode()
    def by_item(self, changes: Sequence[Tensor] | None, strength: float) -> pd.DataFrame:
        """Return ``item, group, split, association, gap, mass``: means over the texts of each item.

        With an edit that leaves no numbers after some text, all of them are NaN.

        Raises:
            InputError: the model gives no numbers without an edit.
        """
        words, prompts = self.encoded.words, self.prompts
        sides = np.zeros((len(prompts), 2))
        for batch, logits in self.rereader.logits(changes, strength):
            logprobs = logits[:, 0].float().log_softmax(-1)
            of_batch = side_logprobs(logprobs, [words[number] for number in batch.numbers])
            sides[batch.numbers] = of_batch.double().exp().cpu().numpy()
        if np.isnan(sides).any():
            if changes is None:
                place = int(np.isnan(sides).any(axis=1).argmax())
                raise no_numbers(name_of(self.rereader.model), f"after {shown(self.prompts['text'].iloc[place])}")
            sides[:] = np.nan  # means would pass over the texts that an edit breaks
        weights = prompts["weight_b"].to_numpy(float)
        rows = prompts[["item", "group", "split", "association"]].assign(
            gap=sides[:, 0] - sides[:, 1], mass=sides[:, 0] + sides[:, 1] / weights
        )
        grouped = rows.groupby(["item", "split"], sort=False, as_index=False)
        first = {name: (name, "first") for name in ("group", "association")}
        return grouped.agg(**first, gap=("gap", "mean"), mass=("mass", "mean"))


class EditBench:
    """A model with texts before it, and edits of one layer to try."""

    def __init__(self, model: PreTrainedModel, dictionary: Dictionary, texts: EditTexts, *, batch_size: int) -> None:
        """Read all texts once.

        Args:
            model: causal.
            dictionary: of the edits' features; its layer is edited.
            texts: that are read.
            batch_size: texts to a batch.

        Raises:
            InputError: the dictionary does not fit the model, or the model gives no numbers.
        """
        self.texts = texts
        self.choosing, self.reporting = (
            NeutralCost(model, some, dictionary.layer, batch_size=batch_size)
            for some in (texts.choosing, texts.reporting)
        )
        selected = texts.prompts[texts.prompts["split"].eq(SELECTION)].reset_index(drop=True)
        # Strengths and features are tried on the items that choose; all items are read where an edit is measured.
        self.ends, self.selected = (
            ItemTexts(model, some, dictionary.layer, batch_size=batch_size) for some in (texts.prompts, selected)
        )
        self.mass = measures(self.selected.by_item(None, 1.0))["mass"]
        # Once, not for each edit.
        self.dictionary = dictionary.to(self.ends.rereader.batches[0].residuals.device)

    def without(self) -> MeasuredEdit:
        """Return the measures without an edit."""
        return MeasuredEdit(None, None, 0.0, True, 0.0, 0.0, self.ends.by_item(None, 1.0))

    def gap(self, edit: Edit | None) -> float:
        """Return the mean |gap| of the selection items after an edit; None: no edit.

        Infinite if less than ``KEPT_MASS`` of the probability of both sides remains.
        """
        changes = None if edit is None else self.selected.rereader.changes(edit_change(edit, self.dictionary))
        return self._left(changes, 1.0)

    def cost(self, edit: Edit) -> float:
        """Return the cost of an edit on the texts for choosing, in percent of perplexity."""
        return self.choosing.percent(self.choosing.rereader.changes(edit_change(edit, self.dictionary)), 1.0)

    def measure(self, families: Sequence[EditFamily], costs: Sequence[float], name: str) -> list[MeasuredEdit]:
        """Return each family at the strengths that reach the costs; edits that move to a target also at strength 1.

        A stronger edit need not leave a smaller gap, because it may reverse the gap. So shares of each strength are
        tried on the selection items, and the share with the smallest gap is measured, too.

        Args:
            families: edits.
            costs: percent of perplexity.
            name: of the line of progress.
        """
        by_edit: dict[tuple[Edit, int], list[MeasuredEdit]] = {}
        measured = []
        for family in progress(families, total=len(families), name=name, unit="edit"):
            # Methods agree on many features: one edit is measured once.
            key = family.edit, family.sign
            if key not in by_edit:
                by_edit[key] = list(self._measure(family, costs))
            measured += [row._replace(family=family) for row in by_edit[key]]
        return measured

    def _measure(self, family: EditFamily, costs: Sequence[float]) -> Iterator[MeasuredEdit]:
        change = edit_change(family.edit, self.dictionary)
        choosing = self.choosing.rereader.changes(change)
        reporting = self.reporting.rereader.changes(change)
        ends = self.ends.rereader.changes(change)
        cost = remembering(lambda strength: self.choosing.percent(choosing, family.sign * strength))
        seen: dict[float, tuple[float, pd.DataFrame]] = {}

        def measured(priced: PricedStrength, target: float | None) -> MeasuredEdit:
            strength = family.sign * priced.strength
            if strength not in seen:
                seen[strength] = self.reporting.percent(reporting, strength), self.ends.by_item(ends, strength)
            return MeasuredEdit(family, target, strength, priced.reached, priced.cost, *seen[strength])

        affordable = {target: strength_at_cost(cost, target, family.largest) for target in costs}
        for target, priced in affordable.items():
            yield measured(priced, target)
        selected = self.selected.rereader.changes(change)
        left = cache(lambda strength: self._left(selected, family.sign * strength))
        best = [min((share * priced.strength for share in SHARES), key=left) for priced in affordable.values()]
        fixed = [*best, *([] if family.edit.kind == ADD else [1.0])]
        for strength in sorted(set(fixed) - {priced.strength for priced in affordable.values()}):
            yield measured(PricedStrength(strength, cost(strength), True), None)

    def _left(self, changes: Sequence[Tensor] | None, strength: float) -> float:
        """Return the mean |gap| of the selection items; see ``gap``."""
        left = measures(self.selected.by_item(changes, strength))
        return float(left["mean_abs_gap"]) if left["mass"] >= KEPT_MASS * self.mass else math.inf


def measures(items: pd.DataFrame) -> dict[str, Any]:
    """Return ``MEASURES`` of items, ``association, gap, mass``; NaN without any."""
    gap = items["gap"]
    return {
        "mean_abs_gap": gap.abs().mean(),
        "signed_gap": gap.mean(),
        "stereotype": (np.sign(items["association"]) * gap).mean(),
        "mass": items["mass"].mean(),
        "n_items": len(items),
    }
