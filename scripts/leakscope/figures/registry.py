"""Registry of figures: the function and tables of each figure, and the parts that its short form may leave out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from leakscope.figures.features import dictionaries, distributions, edit_effects, edited
from leakscope.figures.fitting import CATEGORIES, MODELS, PROMPT_SETS, SCORERS, Part, Tables
from leakscope.figures.ground import agreement, rankings
from leakscope.figures.leak import forests, heatmaps, judges, scorers, sizes, truths
from leakscope.figures.look import DEFAULT, Looks
from leakscope.figures.ordering import Order
from leakscope.figures.panels import without_repeated_category
from leakscope.figures.style import Labels
from leakscope.figures.trace import chain, frontiers, sites, slopes
from leakscope.figures.validate import closing, form_maps, gaps, layers


class Context(NamedTuple):
    """Properties of a study that figures need in addition to tables.

    Args:
        labels: model → label, in the order of the study.
        dictionaries: dictionary, or family of dictionaries, → label, in the order of the study.
        sizes: model → number of parameters, where the configuration gives it; organisms' are in their table.
        matrix: categories whose concept matrix is drawn; all would be too many.
        bases: tuned model → its base model; tuned models are drawn after their bases.
        families: dictionary → the entry of ``features.dictionaries`` that it is a seed of, where that is another name.
        randomised: dictionaries of randomised models.
        bar: measure of quality → worst value at which a dictionary is still interpreted.
        kept: share of a concept's use that a mitigation must keep.
        look: style, widths and font.
    """

    labels: Labels = {}
    dictionaries: Labels = {}
    sizes: Mapping[str, int] = {}
    matrix: Sequence[str] = ()
    bases: Mapping[str, str] = {}
    families: Mapping[str, str] = {}
    randomised: Collection[str] = ()
    bar: Mapping[str, float] = {}
    kept: float = 0.95
    look: Looks = DEFAULT


class PanelValues(NamedTuple):
    """Columns of the panels of a figure.

    Args:
        panel: the columns that name a panel, in the first table.
        values: the columns that a panel shows.
    """

    panel: tuple[str, ...]
    values: tuple[str, ...]


class Kind(NamedTuple):
    """A kind of figure.

    Args:
        draw: tables, context → figure; ``labels`` of the context are the names in the figure.
        parts: parts that the PNG may reduce, least important first.
        rows: tables, context → tables with only the rows of the figure; None: all rows.
        of_dictionaries: whether the figure names dictionaries instead of models.
        order: sort key of many models; None: the order of the study.
        shown: columns of the panels, so that a panel without values is not drawn; None: no such panels.
    """

    draw: Callable[[Tables, Context], Figure]
    parts: tuple[Part, ...]
    rows: Callable[[Tables, Context], Tables] | None = None
    of_dictionaries: bool = False
    order: Order | None = None
    shown: PanelValues | None = None


def _untuned(tables: Tables, context: Context) -> Tables:
    """Leave out tuned models, which would need too many panels."""
    return {name: table[~table["model"].isin(list(context.bases))] for name, table in tables.items()}


def _each_rate_once(tables: Tables, context: Context) -> Tables:
    """Leave out the category of prompt sets with a single category, which equals the pooled category."""
    return {name: without_repeated_category(table) if "category" in table else table for name, table in tables.items()}


def _untuned_with_correlation(tables: Tables, context: Context) -> Tables:
    """Keep items with both log-odds; add the correlation of their model and task, the sort key of many models."""
    paired, keys, odds = _untuned(tables, context)["paired"], ["model", "task"], ["l_g", "l_v"]
    finite = paired[odds].replace([np.inf, -np.inf], np.nan)
    paired = paired.assign(**finite.where(finite.notna().all(axis=1)))
    pearson = [(*key, rows["l_g"].corr(rows["l_v"])) for key, rows in paired.groupby(keys)]
    return {"paired": paired.merge(pd.DataFrame(pearson, columns=[*keys, "pearson"]), "left", keys)}


def _tested(tables: Tables, _: Context) -> Tables:
    """Keep rows of all test items."""
    table = tables["closing"]
    return {"closing": table[(table["subset"] == "all") & (table["part"] == "test")]}


def _in_matrix(tables: Tables, context: Context) -> Tables:
    return {name: table[table["category"].isin(context.matrix)] for name, table in tables.items()}


def _sizes(tables: Tables, context: Context) -> pd.DataFrame:
    """Return the models' sizes: ``model, n_parameters`` and, for organisms, the other columns of their table."""
    given = pd.DataFrame(list(context.sizes.items()), columns=["model", "n_parameters"])
    return pd.concat([tables["organisms"], given], ignore_index=True) if "organisms" in tables else given


RATE = Order("match_rate")
RATES = PanelValues(("prompt_set", "category", "scorer"), ("match_rate",))
LEAK = (CATEGORIES, PROMPT_SETS, SCORERS, MODELS)
# Several categories share a panel.
CURVES = (PROMPT_SETS, SCORERS, CATEGORIES)
# Heat maps leave the pooled category out where there are others.
MAPS = (CATEGORIES._replace(pooled=False), PROMPT_SETS, SCORERS)
GROUPS = Part("groups of concepts", ("concept_group",))
AXES, LANGUAGES = Part("axes", ("axis",)), Part("languages", ("language",))
GROUND = (LANGUAGES, AXES, MODELS)
VALIDATE = (Part("tasks", ("task",)), MODELS)
CONTRASTS, DICTIONARIES = Part("contrasts", ("contrast",)), Part("dictionaries", ("dictionary",))
FEATURES = (CONTRASTS, DICTIONARIES)
TRACE = (PROMPT_SETS, MODELS)
PANEL = ("task", "model")
TAU = Order("tau", ("comparison", "axis", "language"))
BY_GROUP = ("template_id", "axis", "language", "group")
BY_FORM = ("split", "part", "statistic", "task", "form", "subset")
TABLES_OF_DICTIONARIES = (Part("dictionaries"),)

# step → name of the figure → how it is drawn
FIGURES: dict[str, dict[str, Kind]] = {
    "leak": {
        "match_rates": Kind(
            lambda t, c: forests.match_rates(t["match_rates"], labels=c.labels),
            LEAK,
            _each_rate_once,
            order=RATE,
            shown=RATES,
        ),
        "repetition": Kind(
            lambda t, c: forests.repetition(t["match_rates"], labels=c.labels),
            LEAK,
            _each_rate_once,
            order=RATE,
            shown=RATES,
        ),
        "logit_leak": Kind(
            lambda t, c: forests.logit_leak(t["logit_leak"], labels=c.labels),
            LEAK,
            _each_rate_once,
            order=Order("probability_shift"),
            shown=PanelValues(("prompt_set", "category"), ("probability_shift", "log_odds_shift")),
        ),
        "by_concept": Kind(
            lambda t, c: heatmaps.by_concept(t["match_rates_by_concept"], labels=c.labels),
            (*MAPS, MODELS, GROUPS, Part("concepts", ("concept",))),
            order=RATE,
            shown=RATES,
        ),
        "by_template": Kind(
            lambda t, c: heatmaps.by_template(t["match_rates_by_template"], labels=c.labels),
            (*MAPS, MODELS, Part("templates", ("template_id",))),
            order=RATE,
            shown=RATES,
        ),
        "comparisons": Kind(
            lambda t, c: heatmaps.comparisons(t["comparisons"], labels=c.labels),
            (CATEGORIES, PROMPT_SETS, SCORERS, Part("models", ("model_a", "model_b"))),
            order=Order("difference", name="model_a", other="model_b"),
        ),
        "agreement": Kind(
            lambda t, _: scorers.agreement(t["agreement"]),
            (CATEGORIES, PROMPT_SETS, Part("scorers", ("scorer_a", "scorer_b"))),
        ),
        "judges": Kind(
            lambda t, c: judges.judges(t["ratings"], t.get("judges"), labels=c.labels),
            (PROMPT_SETS, Part("raters", ("rater",)), MODELS),
            order=RATE,
            shown=PanelValues(("prompt_set",), ("match_rate",)),
        ),
        "concept_matrix": Kind(
            lambda t, c: heatmaps.concept_matrix(t["concept_matrix"], labels=c.labels),
            (*MAPS, MODELS, GROUPS),
            _in_matrix,
        ),
        "by_size": Kind(
            lambda t, c: sizes.by_size(t["match_rates"], _sizes(t, c)), CURVES, _each_rate_once, shown=RATES
        ),
        "dose_response": Kind(
            lambda t, _: truths.dose_response(t["match_rates"], t["organisms"], t["truth"]),
            LEAK,
            _each_rate_once,
            shown=RATES,
        ),
        "truth": Kind(lambda t, _: truths.truth(t["match_rates"], t["truth"]), (PROMPT_SETS, SCORERS), _each_rate_once),
    },
    "ground": {
        "kendall_tau": Kind(lambda t, c: agreement.kendall_tau(t["kendall_tau"], labels=c.labels), GROUND, order=TAU),
        "first_places": Kind(
            lambda t, c: rankings.first_places(t["first_and_last"], labels=c.labels),
            GROUND,
            order=Order("share_first", BY_GROUP),
        ),
        "logprob_differences": Kind(
            lambda t, c: rankings.logprob_differences(t["logprob_differences"], labels=c.labels),
            GROUND,
            order=Order("difference", BY_GROUP),
        ),
        "template_spread": Kind(
            lambda t, c: rankings.template_spread(t["rank_spread"], labels=c.labels),
            GROUND,
            order=Order("rank_sd", ("axis", "language")),
        ),
        "window_agreement": Kind(lambda t, _: agreement.window_agreement(t["window_agreement"]), GROUND),
        "prevalence_gaps": Kind(
            lambda t, _: agreement.prevalence_gaps(t["prevalence_gaps"]), (AXES, Part("groups", ("group",)))
        ),
        "tau_by_size": Kind(lambda t, c: agreement.tau_by_size(t["kendall_tau_by_quartile"], _sizes(t, c)), GROUND),
        "tau_by_language": Kind(
            lambda t, c: agreement.tau_by_language(t["kendall_tau"], labels=c.labels), (MODELS, AXES), order=TAU
        ),
        "aligned_pairs": Kind(
            lambda t, c: rankings.aligned_pairs(t["aligned_pairs"], t["first_and_last"], labels=c.labels),
            (LANGUAGES, AXES, Part("pairs", ("aligned",))),
            order=Order("tau", ("axis", "language"), "aligned"),
        ),
    },
    "validate": {
        "log_odds_density": Kind(
            lambda t, c: gaps.log_odds_density(t["paired"], labels=c.labels),
            VALIDATE,
            _untuned_with_correlation,
            order=Order("pearson", ("task",)),
            shown=PanelValues(PANEL, ("l_g", "l_v")),
        ),
        "correlations": Kind(
            lambda t, c: gaps.correlations(t["correlations"], labels=c.labels),
            VALIDATE,
            order=Order("value", BY_FORM),
            shown=PanelValues(("task",), ("value",)),
        ),
        "log_odds_by_layer": Kind(
            lambda t, c: layers.log_odds_by_layer(t["layers"], t["parting"], labels=c.labels),
            VALIDATE,
            _untuned,
            order=Order("layer_parting", ("task",)),
            shown=PanelValues(PANEL, ("l_g", "l_v")),
        ),
        "lens_heatmap": Kind(lambda t, c: layers.lens_heatmap(*t.values(), title=" · ".join(c.labels.values())), ()),
        "form_agreement": Kind(
            lambda t, c: form_maps.form_agreement(t["form_agreement"], labels=c.labels),
            VALIDATE,
            _untuned,
            order=Order("pearson", ("task", "style")),
            shown=PanelValues(PANEL, ("pearson",)),
        ),
        "truth": Kind(
            lambda t, c: gaps.truth(t["truth"], labels=c.labels), VALIDATE, order=Order("gap", ("task", "form"))
        ),
        "closing": Kind(
            lambda t, c: closing.closing(t["closing"], labels=c.labels),
            (Part("models", ("base",)), Part("methods", ("method",))),
            _tested,
            order=Order("closed", ("split",), "base"),
            shown=PanelValues(("base",), ("closed", "validator_accuracy_after", "perplexity_rise")),
        ),
    },
    "features": {
        "quality": Kind(
            lambda t, c: dictionaries.quality(t["quality"], labels=c.labels, randomised=c.randomised, bar=c.bar),
            FEATURES,
            of_dictionaries=True,
        ),
        "firing_density": Kind(
            lambda t, c: distributions.firing_density(t, labels=c.labels, randomised=c.randomised),
            TABLES_OF_DICTIONARIES,
            of_dictionaries=True,
        ),
        "polysemanticity": Kind(
            lambda t, c: distributions.polysemanticity(t, labels=c.labels, randomised=c.randomised),
            TABLES_OF_DICTIONARIES,
            of_dictionaries=True,
        ),
        "seed_agreement": Kind(
            lambda t, c: distributions.seed_agreement(t["seed_agreement"], labels=c.labels, randomised=c.randomised),
            FEATURES,
            of_dictionaries=True,
        ),
        "effects": Kind(
            lambda t, c: edit_effects.effects(t["effects"], labels=c.labels, families=c.families),
            FEATURES,
            of_dictionaries=True,
        ),
        "effects_by_item": Kind(
            lambda t, c: edited.effects_by_item(t["effects_by_item"], labels=c.labels, families=c.families),
            (CONTRASTS, DICTIONARIES, Part("items", ("item",))),
            of_dictionaries=True,
        ),
        "truth": Kind(lambda t, c: edited.truth(t["truth"], labels=c.labels), (CONTRASTS, MODELS)),
        "edited": Kind(
            lambda t, c: edited.edited(t["edited"], labels=c.labels),
            (Part("subsets", ("subset",)), Part("measures", ("measure",)), MODELS),
            order=Order("after", ("measure", "subset")),
        ),
    },
    "trace": {
        "trace": Kind(lambda t, c: chain.trace(t["links"], t["relations"], t["patching"], labels=c.labels), TRACE),
        "relations": Kind(
            lambda t, c: slopes.relations(t["relations"], labels=c.labels),
            TRACE,
            order=Order("slope", ("prompt_set", "x", "y")),
        ),
        "patching": Kind(lambda t, c: sites.patching(t["patching"], labels=c.labels), TRACE),
        "frontier": Kind(lambda t, c: frontiers.frontier(t["mitigations"], labels=c.labels, kept=c.kept), TRACE),
    },
}
