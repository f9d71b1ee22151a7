"""Which figure is drawn from which tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from leakscope.errors import one_of
from leakscope.figures.fitting import CATEGORIES, MODELS, PROMPT_SETS, Drawing, Part, Tables, fitted
from leakscope.figures.leak import forests, heatmaps, sizes, truths
from leakscope.figures.style import no_data

# name → the function of a study's tables, its models' labels and their sizes
FIGURES: dict[str, Callable[[Tables, Mapping[str, str], pd.DataFrame], Figure]] = {
    "specific_leakage": lambda t, labels, _: forests.specific_leakage(t["specific_leakage"], labels=labels),
    "leak_rates": lambda t, labels, _: forests.leak_rates(t["leak_rates"], labels=labels),
    "repetition": lambda t, labels, _: forests.repetition(t["leak_rates"], labels=labels),
    "logit_leak": lambda t, labels, _: forests.logit_leak(t["logit_leak"], labels=labels),
    "by_concept": lambda t, labels, _: heatmaps.by_concept(t["leak_rates_by_concept"], labels=labels),
    "by_template": lambda t, labels, _: heatmaps.by_template(t["leak_rates_by_template"], labels=labels),
    "comparisons": lambda t, labels, _: heatmaps.comparisons(t["comparisons"], labels=labels),
    "concept_matrix": lambda t, labels, _: heatmaps.concept_matrix(t["concept_matrix"], labels=labels),
    "by_size": lambda t, _, known: sizes.by_size(t["leak_rates"], known),
    "dose_response": lambda t, _, __: truths.dose_response(t["leak_rates"], t["organisms"], t["truth"]),
    "truth": lambda t, _, __: truths.truth(t["leak_rates"], t["truth"]),
}

# Heat maps leave the pooled category out where there are others.
PANELS = (CATEGORIES._replace(pooled=False), PROMPT_SETS)
# name → what the PNG may have less of
PARTS: dict[str, tuple[Part, ...]] = {
    **dict.fromkeys(FIGURES, (CATEGORIES, PROMPT_SETS, MODELS)),
    "by_concept": (*PANELS, Part("groups of concepts", ("concept_group",)), Part("concepts", ("concept",))),
    "by_template": (*PANELS, Part("templates", ("template_id",))),
    "comparisons": (CATEGORIES, PROMPT_SETS, Part("models", ("model_a", "model_b"))),
    "concept_matrix": (*PANELS, MODELS, Part("groups of concepts", ("concept_group",))),
}


def draw(
    name: str,
    tables: Mapping[str, Path],
    *,
    labels: Mapping[str, str],
    sizes: Mapping[str, int],
    matrix: Sequence[str],
) -> Drawing:
    """Return a figure drawn from CSV tables, and the form of it that a screen holds.

    Args:
        name: of the figure.
        tables: name → file.
        labels: model → label, in the order of the study.
        sizes: model → number of parameters, where the configuration gives it; organisms' are in their table.
        matrix: categories whose concept matrix is drawn; all of them would fill a wall.

    Raises:
        InputError: there is no such figure.
    """
    if name not in FIGURES:
        raise one_of("figure", name, FIGURES)
    frames = {table: pd.read_csv(path, dtype={"category": str, "concept_group": str}) for table, path in tables.items()}
    if name == "concept_matrix":
        table = frames[name]
        frames[name] = table[table["category"].isin(matrix)]
        if frames[name].empty and not table.empty:
            empty = no_data(f"no category of the study is among leak.matrix: {', '.join(matrix)}")
            return Drawing(empty, empty)
    given = pd.DataFrame(list(sizes.items()), columns=["model", "n_parameters"])
    known = pd.concat([frames["organisms"], given], ignore_index=True) if "organisms" in frames else given
    return fitted(lambda some: FIGURES[name](some, labels, known), frames, PARTS[name], labels)
