"""Figures of a study: tidy tables in, matplotlib figures out; each function has its rule's name without ``plot_``."""

from __future__ import annotations

from leakscope.figures.leak.drawing import draw
from leakscope.figures.leak.forests import leak_rates, logit_leak, repetition, specific_leakage
from leakscope.figures.leak.heatmaps import by_concept, by_template, comparisons, concept_matrix
from leakscope.figures.leak.sizes import by_size
from leakscope.figures.leak.truths import dose_response, truth
from leakscope.figures.style import no_data, save_figure

__all__ = [
    "by_concept",
    "by_size",
    "by_template",
    "comparisons",
    "concept_matrix",
    "dose_response",
    "draw",
    "leak_rates",
    "logit_leak",
    "no_data",
    "repetition",
    "save_figure",
    "specific_leakage",
    "truth",
]
