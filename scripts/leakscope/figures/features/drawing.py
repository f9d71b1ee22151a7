"""Figures of the step ``features``: which is drawn from which tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from leakscope.errors import one_of
from leakscope.figures.features.dictionaries import quality
from leakscope.figures.features.distributions import firing_density, polysemanticity, seed_agreement
from leakscope.figures.features.edit_effects import effects
from leakscope.figures.features.edited import edited, effects_by_item, truth
from leakscope.figures.fitting import MODELS, Drawing, Part, Tables, fitted
from leakscope.figures.lanes import Labels


class Setting(NamedTuple):
    """What figures know of a study beside its tables; see :func:`draw`."""

    labels: Labels
    families: Mapping[str, str]
    randomised: Collection[str]
    bar: Mapping[str, float]


# name → the function of a study's tables and what else is known of it
FIGURES: dict[str, Callable[[Tables, Setting], Figure]] = {
    "quality": lambda t, s: quality(t["quality"], labels=s.labels, randomised=s.randomised, bar=s.bar),
    "firing_density": lambda t, s: firing_density(t, labels=s.labels, randomised=s.randomised),
    "polysemanticity": lambda t, s: polysemanticity(t, labels=s.labels, randomised=s.randomised),
    "effects": lambda t, s: effects(t["effects"], labels=s.labels, families=s.families),
    "effects_by_item": lambda t, s: effects_by_item(t["effects_by_item"], labels=s.labels, families=s.families),
    "seed_agreement": lambda t, s: seed_agreement(t["seed_agreement"], labels=s.labels, randomised=s.randomised),
    "truth": lambda t, s: truth(t["truth"], labels=s.labels),
    "edited": lambda t, s: edited(t["edited"], labels=s.labels),
}

DICTIONARIES, CONTRASTS = Part("dictionaries", ("dictionary",)), Part("contrasts", ("contrast",))
# name → what the PNG may have less of
PARTS: dict[str, tuple[Part, ...]] = {
    **dict.fromkeys(FIGURES, (CONTRASTS, DICTIONARIES)),
    "firing_density": (Part("dictionaries"),),
    "polysemanticity": (Part("dictionaries"),),
    "effects_by_item": (CONTRASTS, DICTIONARIES, Part("items", ("item",))),
    "truth": (CONTRASTS, MODELS),
    "edited": (Part("subsets", ("subset",)), Part("measures", ("measure",)), MODELS),
}


def draw(
    name: str,
    tables: Mapping[str, Path],
    *,
    labels: Labels,
    families: Mapping[str, str],
    randomised: Collection[str],
    bar: Mapping[str, float],
) -> Drawing:
    """Return a figure drawn from CSV and Parquet tables, and the form of it that a screen holds.

    Args:
        name: of the figure.
        tables: name → file; those of ``firing_density`` and ``polysemanticity`` are features' tables, and their names
            are dictionaries.
        labels: dictionary, family or model → label, in the order of the study.
        families: dictionary → the entry of ``features.dictionaries`` that it is a seed of, where that is another name.
        randomised: dictionaries of randomised models.
        bar: measure of quality → the worst value that is still interpreted.

    Raises:
        InputError: there is no such figure.
    """
    if name not in FIGURES:
        raise one_of("figure", name, FIGURES)
    setting = Setting(labels, families, randomised, bar)
    # Marks are means over seeds: the seeds of a family stay or go together.
    parts = [part._replace(of=families) if part == DICTIONARIES else part for part in PARTS[name]]
    frames = {table: _read(path) for table, path in tables.items()}
    return fitted(lambda some: FIGURES[name](some, setting), frames, parts, labels)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, keep_default_na=False, na_values=[""])
