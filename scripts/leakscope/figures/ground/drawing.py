"""Figures of the step ``ground``: which is drawn from which tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from leakscope.errors import one_of
from leakscope.figures.fitting import MODELS, Drawing, Part, Tables, fitted
from leakscope.figures.ground.agreement import (
    kendall_tau,
    prevalence_gaps,
    tau_by_language,
    tau_by_size,
    window_agreement,
)
from leakscope.figures.ground.rankings import aligned_pairs, first_places, logprob_differences, template_spread
from leakscope.figures.lanes import Labels

# name → the function of a study's tables, its models' labels and their sizes
FIGURES: dict[str, Callable[[Tables, Labels, pd.DataFrame], Figure]] = {
    "kendall_tau": lambda t, labels, _: kendall_tau(t["kendall_tau"], labels=labels),
    "first_places": lambda t, labels, _: first_places(t["first_and_last"], labels=labels),
    "logprob_differences": lambda t, labels, _: logprob_differences(t["logprob_differences"], labels=labels),
    "template_spread": lambda t, labels, _: template_spread(t["rank_spread"], labels=labels),
    "window_agreement": lambda t, _, __: window_agreement(t["window_agreement"]),
    "prevalence_gaps": lambda t, _, __: prevalence_gaps(t["prevalence_gaps"]),
    "tau_by_size": lambda t, _, known: tau_by_size(t["kendall_tau_by_quartile"], known),
    "tau_by_language": lambda t, labels, _: tau_by_language(t["kendall_tau"], labels=labels),
    "aligned_pairs": lambda t, labels, _: aligned_pairs(t["aligned_pairs"], t["first_and_last"], labels=labels),
}

LANGUAGES, AXES = Part("languages", ("language",)), Part("axes", ("axis",))
# name → what the PNG may have less of
PARTS: dict[str, tuple[Part, ...]] = {
    **dict.fromkeys(FIGURES, (LANGUAGES, MODELS, AXES)),
    "prevalence_gaps": (AXES, Part("groups", ("group",))),
    "aligned_pairs": (LANGUAGES, Part("pairs", ("aligned",)), AXES),
}


def draw(name: str, tables: Mapping[str, Path], *, labels: Labels, sizes: Mapping[str, int]) -> Drawing:
    """Return a figure drawn from CSV tables, and the form of it that a screen holds.

    Args:
        name: of the figure.
        tables: name → file.
        labels: model → label, in the order of the study.
        sizes: model → number of parameters, where the configuration gives it; organisms' are in their table.

    Raises:
        InputError: there is no such figure.
    """
    if name not in FIGURES:
        raise one_of("figure", name, FIGURES)
    frames = {table: pd.read_csv(path, keep_default_na=False, na_values=[""]) for table, path in tables.items()}
    given = pd.DataFrame(list(sizes.items()), columns=["model", "n_parameters"])
    known = pd.concat([frames["organisms"], given], ignore_index=True) if "organisms" in frames else given
    return fitted(lambda some: FIGURES[name](some, labels, known), frames, PARTS[name], labels)
