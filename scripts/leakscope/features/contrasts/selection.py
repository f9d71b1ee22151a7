"""Which features carry a contrast? Four ways to choose, all by the split ``selection`` only.

* ``pairs``: mean difference of activations between the texts of minimal pairs, at their last token.
* ``groups``: mean difference of activations between items of side a and of side b, at the last token: the gap is read
  at the next token, and features of the items' own words, which fire earlier, do not generalise to other items.
* ``direct``: effect of the feature's decoder row on the logits of side a minus those of side b, by the direct path to
  the output. With several sets of words, the largest effect counts.
* ``attribution``: the difference of activations over minimal pairs, or where there are none between groups, times what
  an activation adds to log p_a − log p_b to first order: decoder row · mean gradient at the last token of items, both
  sides counting alike. That is attribution patching (Nanda 2023; Syed et al. 2023, arXiv 2310.10348; Marks et al. 2024,
  arXiv 2403.19647), so it finds what keeps the sides apart. The sum of activation times gradient over all tokens also
  finds what pushes every item to one side, and words of single items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from leakscope.features.contrasts.contrast_activations import ContrastActivations, read_contrast
from leakscope.features.contrasts.items import ITEM, PAIR, SELECTION, A, B
from leakscope.models.editing.dictionary import Dictionary

METHODS = ("pairs", "groups", "direct", "attribution")
SELECTION_COLUMNS = ["method", "rank", "feature", "score", "sign"]
MOST_SELECTED = 200
# Tokens that are encoded at once: so many times F numbers are in memory, in float64 where they are summed.
TOKENS = 512


class Contrasted(NamedTuple):
    """A contrast for one dictionary: its texts, and the model's residuals at their tokens."""

    dictionary: Dictionary
    prompts: pd.DataFrame
    activations: ContrastActivations

    def rows(self, split: str, side: str) -> list[int]:
        """Return the texts of a side: texts of items, or of minimal pairs if the side has no items."""
        mine = self.prompts[self.prompts["split"].eq(split) & self.prompts["side"].eq(side)]
        items = mine[mine["kind"].eq(ITEM)]
        return [int(row) for row in (items if len(items) else mine)["row"]]

    def texts(self, split: str) -> list[int]:
        """Return all texts of a split: of items of either side or none, and of minimal pairs."""
        return [int(row) for row in self.prompts.loc[self.prompts["split"].eq(split), "row"]]

    def pairs(self) -> tuple[list[int], list[int]]:
        """Return the texts of side a and of side b of the minimal pairs for selection, in one order."""
        mine = self.prompts[self.prompts["kind"].eq(PAIR) & self.prompts["split"].eq(SELECTION)]
        a, b = ([int(row) for row in mine.loc[mine["side"].eq(side), "row"]] for side in (A, B))
        return a, b

    def last_residuals(self, rows: Sequence[int]) -> Tensor:
        """Return the residuals at the last token of texts, [rows, d]."""
        return self.activations.residuals[self.ends(rows)]

    def ends(self, rows: Sequence[int]) -> Tensor:
        """Return the number of the last token of each text."""
        return self.activations.last.nonzero()[:, 0][list(rows)]

    def tokens(self, rows: Sequence[int]) -> Tensor:
        """Return the numbers of all tokens of texts, in the order of the table."""
        return torch.isin(self.activations.rows, torch.tensor(list(rows))).nonzero()[:, 0]

    def columns(self, tokens: Tensor, features: Sequence[int]) -> Tensor:
        """Return the activations of some features at tokens, [tokens, features]."""
        some = torch.split(tokens, TOKENS)
        return torch.cat([self.dictionary.encode(self.activations.residuals[part], features) for part in some])

    def maxima(self, tokens: Tensor) -> Tensor:
        """Return the largest activation of each feature at tokens, [F]; 0 where it does not fire."""
        maxima = torch.zeros(self.dictionary.n_features)
        for activations in self._encoded(tokens):
            maxima = torch.maximum(maxima, activations.amax(0))
        return maxima

    def means(self, tokens: Tensor) -> Tensor:
        """Return the mean activation of each feature over at least one token, [F], float64."""
        return sum((activations.double().sum(0) for activations in self._encoded(tokens)), self._zeros()) / len(tokens)

    def firing_rates(self, tokens: Tensor) -> Tensor:
        """Return the share of tokens, at least one, at which each feature fires, [F], float64."""
        return sum(((activations > 0).sum(0) for activations in self._encoded(tokens)), self._zeros()) / len(tokens)

    def _encoded(self, tokens: Tensor) -> Iterator[Tensor]:
        """Yield all activations at tokens, [``TOKENS`` at most, F] at once."""
        for some in torch.split(tokens, TOKENS) if len(tokens) else ():
            yield self.dictionary.encode(self.activations.residuals[some])

    def _zeros(self) -> Tensor:
        return torch.zeros(self.dictionary.n_features, dtype=torch.float64)


def open_contrasted(dictionary: Dictionary, activations: Path, prompts: Path) -> Contrasted:
    """Read what ``contrast_activations`` wrote."""
    return Contrasted(dictionary, pd.read_parquet(prompts), read_contrast(activations))


@torch.inference_mode()
def select_features(contrasted: Contrasted, methods: Sequence[str]) -> pd.DataFrame:
    """Return ``SELECTION_COLUMNS``: for each method the features with a score, largest first.

    ``sign`` is 1 where a feature goes with side a (fires for it, or raises its log-odds), else −1. Features that fire
    at no text of the split have no score. At most ``MOST_SELECTED`` features a method; a method that the contrast
    gives no texts for selects nothing.

    Args:
        contrasted: a contrast as a dictionary sees it.
        methods: of ``METHODS``.
    """
    a, b = (contrasted.rows(SELECTION, side) for side in (A, B))
    active = contrasted.maxima(contrasted.tokens(contrasted.texts(SELECTION))) > 0
    tables = []
    for method in methods:
        score, direction = _scores(contrasted, method, a, b)
        score = np.where(active.numpy(), score, 0.0)
        order = np.lexsort((np.arange(len(score)), -np.abs(score)))
        order = order[: np.count_nonzero(score)][:MOST_SELECTED]
        table = {"rank": range(1, len(order) + 1), "feature": order, "score": score[order]}
        tables.append(pd.DataFrame({"method": method, **table, "sign": np.where(direction[order] > 0, 1, -1)}))
    return pd.concat(tables, ignore_index=True)[SELECTION_COLUMNS]


def no_features() -> pd.DataFrame:
    """Return the empty selection of a dictionary that is not interpreted."""
    kinds = {"method": "str", "rank": "int64", "feature": "int64", "score": "float64", "sign": "int64"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})[SELECTION_COLUMNS]


def _scores(contrasted: Contrasted, method: str, a: list[int], b: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each feature, and a number whose sign is the feature's side; float64."""
    if method == "direct":
        effects = contrasted.activations.direct.double() @ contrasted.dictionary.decoder.double().T
        score = effects.gather(0, effects.abs().argmax(0, keepdim=True))[0]
        return score.numpy(), score.numpy()
    pairs = contrasted.pairs()
    difference = _difference(
        contrasted, *(pairs if method == "pairs" or (method == "attribution" and all(pairs)) else (a, b))
    )
    if method != "attribution":
        return difference.numpy(), difference.numpy()
    gradients = contrasted.activations.gradients.double()
    slope = contrasted.dictionary.decoder.double() @ ((gradients[a].mean(0) + gradients[b].mean(0)) / 2)
    return (difference * slope).numpy(), slope.numpy()


def _difference(contrasted: Contrasted, a: list[int], b: list[int]) -> Tensor:
    """Return the difference of the two sides' mean activations at the last token, [F]; 0 if a side has no text."""
    if not a or not b:
        return torch.zeros(contrasted.dictionary.n_features).double()
    of_a, of_b = (contrasted.means(contrasted.ends(rows)) for rows in (a, b))
    return of_a - of_b
