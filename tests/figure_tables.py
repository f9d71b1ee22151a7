"""A small table of every kind that a figure is drawn from, and the figures of all steps drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import test_features_figures as of_features
import test_figures as of_leaks
import test_ground_figures as of_ground
import test_validate_figures as of_validate
from leakscope.figures.fitting import Drawing, Part, Tables, fitted
from leakscope.figures.ordering import by_value
from leakscope.figures.registry import FIGURES, Context, Kind
from leakscope.figures.style import Labels
from trace_tables import stand_in


class Drawn(NamedTuple):
    """A figure of the workflow: its tables, and how it is drawn."""

    tables: dict[str, pd.DataFrame]
    kind: Kind

    @property
    def parts(self) -> Sequence[Part]:
        return self.kind.parts

    def draw(self, tables: Tables, labels: Labels) -> Figure:
        """Draw the tables with sizes of all models that they know."""
        models = [table["model"] for table in tables.values() if "model" in table]
        names = pd.concat(models).dropna().unique() if models else []
        sizes = dict(zip(names, np.geomspace(1e6, 1e9, len(names)), strict=True))
        return self.kind.draw(tables, CONTEXT._replace(labels=labels, sizes=sizes))

    def fitted(self, tables: Tables, labels: Labels) -> Drawing:
        labels = by_value(tables, self.kind.order, labels) if self.kind.order else labels
        return fitted(lambda some: self.draw(some, labels), tables, self.parts, labels)


def with_keys(keys: Mapping[str, Sequence[object]], **values: object) -> pd.DataFrame:
    """Return a row for each combination of the keys, with these values."""
    return pd.DataFrame(list(product(*keys.values())), columns=list(keys)).assign(**values)


SCORED = {"model": ["a", "b"], "axis": ["race"], "language": ["en"], "group": ["black", "white"]}
ENDS = {"ci_low": -0.1, "ci_high": 0.2}
LEAKS = {
    "match_rates": of_leaks.match_rates(),
    "logit_leak": of_leaks.logit_leak(),
    "match_rates_by_concept": of_leaks.by_concept(),
    "match_rates_by_template": of_leaks.by_template(),
    "comparisons": of_leaks.comparisons(),
    "agreement": of_leaks.agreement(),
    "concept_matrix": of_leaks.concept_matrix(),
    "organisms": of_leaks.ORGANISMS,
    "truth": of_leaks.truth_table(),
    "rating/ratings": of_leaks.ratings(),
    "rating/judges": of_leaks.verdicts(),
}
GROUND = {
    "kendall_tau": of_ground.KENDALL,
    "first_and_last": of_ground.PLACES,
    "logprob_differences": with_keys(SCORED, difference=0.1, **ENDS),
    "rank_spread": with_keys(SCORED | {"subject": ["flu", "cold"]}, rank_sd=0.4),
    "window_agreement": with_keys(
        {"axis": ["race"], "unit": ["words"], "window": [10.0, 50.0]},
        share_identical=0.5, tau=0.6, reference_window=250.0, **ENDS,
    ),
    "prevalence_gaps": with_keys(
        {"axis": ["race"], "subject": ["flu", "cold"], "group": ["black", "white"]},
        prevalence_rank=[1, 2, 2, 1], count_rank=[1, 2, 1, 2], difference=0.1, margin_of_error=0.02,
        ci_low=0.08, ci_high=0.12, among_top=True,
    ),
    "kendall_tau_by_quartile": with_keys(
        {"model": ["a", "b"], "axis": ["race"], "language": ["en"], "quartile": ["Q1", "Q2"]}, tau=0.4, **ENDS
    ),
    "aligned_pairs": with_keys(
        {"base": ["a"], "aligned": ["b"], "axis": ["race"], "language": ["en"]}, tau=0.1, **ENDS
    ),
}  # fmt: skip
VALIDATE = {
    "paired": of_validate.paired(),
    "correlations": of_validate.CORRELATIONS,
    "layers": of_validate.LAYERS,
    "parting": of_validate.PARTING,
    "form_agreement": of_validate.AGREEMENT,
    "truth": of_validate.TRUTH,
    "closing": of_validate.CLOSING,
}
FEATURES = {
    "quality": of_features.QUALITY,
    "effects": of_features.EFFECTS,
    "effects_by_item": of_features.BY_ITEM,
    "seed_agreement": of_features.AGREEMENT,
    "truth": of_features.TRUTH,
    "edited": of_features.EDITED,
}
TRACE = stand_in().tables() | {"mitigations": stand_in().mitigations}
# figure → its tables, where these are not all of its step
OWN = {
    "leak: judges": {"ratings": of_leaks.ratings(), "judges": of_leaks.verdicts()},
    "validate: lens_heatmap": {"kinds": of_validate.lens(20)},
    "features: firing_density": {"a.s0": of_features.features(), "b": of_features.features()},
    "features: polysemanticity": {"a.s0": of_features.features(), "b": of_features.features()},
}


STEPS = {"leak": LEAKS, "ground": GROUND, "validate": VALIDATE, "features": FEATURES, "trace": TRACE}
CONTEXT = Context(families=of_features.FAMILIES, randomised=["b"], bar=of_features.BAR)
EVERY = {
    f"{step}: {name}": Drawn(OWN.get(f"{step}: {name}", STEPS[step]), kind)
    for step, kinds in FIGURES.items()
    for name, kind in kinds.items()
}
