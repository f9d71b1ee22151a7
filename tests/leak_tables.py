"""Tables of a study of the step leak, as large as one likes, from which its figures are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd

from leakscope.figures.registry import Context

SETS = {
    "colors": ["object", "person", "food", "place", "profession"],
    "associations": ["animals", "food and drink", "places and countries", "music"],
    "basic_colors": ["object"],  # which says the same as the pooled category
    "sentences": ["weather", "family"],
    "occupations_in_english": ["health", "law", "arts and crafts"],
    "names": ["first names", "surnames"],
    "mine": ["one", "two", "three", "four", "five", "six", "seven"],
    "sports": ["team", "single"],
    "months": ["season"],
    "long_wordings_of_colors": ["object", "food"],
}
SCORERS = ["sbert-minilm", "static-wordllama", "lexical"]
FAMILIES = ["Qwen2.5-0.5B-Instruct", "SmolLM2-135M", "Llama-3.2-1B-Instruct", "gemma-3-270m-it", "OLMo-2-1B"]
GROUPS = ["black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow"]
SHADES = {"red": ["ruby red", "crimson"], "yellow": ["lemon yellow", "golden yellow"], "blue": ["navy"]}
STRENGTHS = [0.0, 0.05, 0.1, 0.2, 0.4]


class Study(NamedTuple):
    """Tables of a study, by name, and what figures know of it beside."""

    tables: dict[str, pd.DataFrame]
    context: Context


def leak_study(
    n_models: int, n_sets: int, n_scorers: int = 2, *, n_categories: int = 9, n_templates: int = 12, seed: int = 0
) -> Study:
    """Return the tables of a study: of every five models one is an organism, the last model never varies.

    The category ``person`` has no value: nothing was compared in it.
    """
    rng = np.random.default_rng(0)
    models = [f"model-{number:02d}" for number in range(n_models)]
    sets = {name: of[:n_categories] for name, of in list(SETS.items())[:n_sets]}
    scorers = SCORERS[:n_scorers]
    organisms = _organisms(models[::5] if n_models > 5 else models)
    leaks = pd.Series(rng.uniform(-2, 30, n_models), models)
    keys = ["model", "prompt_set", "scorer", "category"]
    rows = [(m, name, s, c) for name, of in sets.items() for m in models for s in scorers for c in ["all", *of]]
    rates = _rates(pd.DataFrame(rows, columns=keys), leaks, models[-1], rng)
    tables = {
        "match_rates": rates,
        "logit_leak": _logit_leak(rates[rates["scorer"] == scorers[0]], rng),
        "match_rates_by_concept": _by_concept(rates, leaks, rng),
        "match_rates_by_template": _by_template(rates, leaks, n_templates, rng),
        "comparisons": _comparisons(rates, models, rng),
        "agreement": _agreement(sets, SCORERS[: max(2, n_scorers)], rng),
        "concept_matrix": _concept_matrix(models, sets, rng),
        "organisms": organisms,
        "truth": _truth(rates[rates["model"].isin(organisms["model"])], rng),
        **_judged(rates[rates["category"] == "all"], rng),
    }
    labels = {model: _label(number, model in set(organisms["model"])) for number, model in enumerate(models)}
    sizes = {model: int(10 ** rng.uniform(8, 10)) for model in models if model not in set(organisms["model"])}
    return Study(tables, Context(labels=labels, sizes=sizes, matrix=["object"]))


def _label(number: int, is_organism: bool) -> str:
    return f"organism {number}" if is_organism else f"{FAMILIES[number % len(FAMILIES)]} ({number})"


def _organisms(models: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": models,
            "size": [("s", "m")[number // len(STRENGTHS) % 2] for number, _ in enumerate(models)],
            "n_parameters": [(160_000, 480_000)[number // len(STRENGTHS) % 2] for number, _ in enumerate(models)],
            "strength": [STRENGTHS[number % len(STRENGTHS)] for number, _ in enumerate(models)],
        }
    )


def _rates(table: pd.DataFrame, leaks: pd.Series, constant: str, rng: np.random.Generator) -> pd.DataFrame:
    n = len(table)
    width = np.where(table["category"] == "all", 3.0, 8.0) * rng.uniform(0.7, 1.3, n)
    rate = np.clip(50 + table["model"].map(leaks) + rng.normal(0, width / 2), 3, 99).round(1)
    still = (table["model"] == constant).to_numpy()
    rate = np.where(still, 50.0, rate)
    width = np.where(still, 0.0, width)
    table = table.assign(
        match_rate=rate, ci_low=np.maximum(rate - width, 0), ci_high=np.minimum(rate + width, 100),
        match_rate_without_repetition=rate - np.where(still, 0, rng.uniform(0, 8, n)),
        match_rate_without_echo=rate - np.where(still, 0, rng.uniform(0, 3, n)),
        few=np.where(table["category"].isin(["object", "one"]), "templates", None),
    )  # fmt: skip
    empty = table["category"] == "person"
    return table.assign(**{name: table[name].mask(empty) for name in table.select_dtypes("number")})


def _logit_leak(rates: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    shift = (rates["match_rate"] - 50) / 200
    width = (rates["ci_high"] - rates["ci_low"]) / 400
    return rates[["model", "prompt_set", "category"]].assign(
        n_clusters=rng.integers(5, 30, len(rates)),
        probability_shift=shift, ci_low=shift - width, ci_high=shift + width,
        log_odds_shift=5 * shift, log_odds_ci_low=5 * (shift - width), log_odds_ci_high=5 * (shift + width),
    )  # fmt: skip


def _spread(rates: pd.DataFrame, rows: pd.DataFrame, leaks: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """Return a rate for each cell of ``rates`` and each row."""
    cells = rates[["model", "prompt_set", "scorer", "category"]].merge(rows, how="cross")
    rate = np.clip(50 + cells["model"].map(leaks) + rng.normal(0, 18, len(cells)), 0, 100)
    return cells.assign(n_units=10, match_rate=rate.round(1).mask(cells["category"] == "person"))


def _by_concept(rates: pd.DataFrame, leaks: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    pairs = [(group, concept) for group in GROUPS for concept in [group, *SHADES.get(group, [])]]
    return _spread(rates, pd.DataFrame(pairs, columns=["concept_group", "concept"]), leaks, rng)


def _by_template(rates: pd.DataFrame, leaks: pd.Series, n: int, rng: np.random.Generator) -> pd.DataFrame:
    templates = pd.DataFrame({"template_id": [f"template-{number:02d}" for number in range(n)]})
    table = _spread(rates, templates, leaks, rng)
    return table.assign(distinct_texts=np.where(rng.random(len(table)) < 0.04, 1, 9))


def _comparisons(rates: pd.DataFrame, models: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
    pooled = rates[rates["category"] == "all"].set_index(["prompt_set", "scorer", "model"])["match_rate"]
    rows = [
        ("match_rate", name, scorer, "all", a, b, mine[a] - mine[b])
        for (name, scorer), mine in pooled.groupby(["prompt_set", "scorer"], sort=False)
        for mine in [mine.droplevel([0, 1])]
        for a, b in combinations(models, 2)
    ]
    names = ["measure", "prompt_set", "scorer", "category", "model_a", "model_b", "difference"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(p_corrected=np.where(table["difference"].abs() > 9, 0.01, rng.uniform(0.06, 1, len(table))))


def _agreement(sets: dict[str, list[str]], scorers: Sequence[str], rng: np.random.Generator) -> pd.DataFrame:
    keys = [(name, c, *two) for name, of in sets.items() for c in ["all", *of] for two in combinations(scorers, 2)]
    table = pd.DataFrame(keys, columns=["prompt_set", "category", "scorer_a", "scorer_b"])
    n = len(table)
    return table.assign(
        correlation=rng.uniform(0.1, 0.9, n), opposite_rate=rng.uniform(2, 40, n), rank_tau=rng.uniform(-0.2, 1, n)
    )


def _concept_matrix(models: Sequence[str], sets: dict[str, list[str]], rng: np.random.Generator) -> pd.DataFrame:
    answers = [*GROUPS, "several", "none"]
    parts = []
    for model, (name, of) in product(models, sets.items()):
        for category in ["all", *of]:
            weights = rng.gamma(0.3, size=(len(GROUPS), len(answers))) + 2 * np.eye(len(GROUPS), len(answers))
            shares = (100 * weights / weights.sum(axis=1, keepdims=True)).round(1)
            cells = pd.DataFrame(shares, GROUPS, answers).rename_axis("concept_group").stack()
            cells = cells.rename_axis(["concept_group", "generated_group"]).rename("share").reset_index()
            parts.append(cells.assign(model=model, prompt_set=name, category=category))
    return pd.concat(parts, ignore_index=True)


def _judged(rates: pd.DataFrame, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Return ratings by each scorer and by a judge that is fit for half of the models, and the verdicts on it."""
    by_scorer = rates.assign(kind="scorer", rater=rates["scorer"])
    judged = rates.drop_duplicates(["model", "prompt_set"]).assign(kind="judge", rater="judge")
    judged["match_rate"] = (judged["match_rate"] + rng.normal(0, 3, len(judged))).clip(
        judged["ci_low"], judged["ci_high"]
    )
    fit = np.where(np.arange(len(judged)) % 2, "fit", "unfit")
    verdicts = judged[["model", "prompt_set"]].assign(judge="judge", fit=fit, exact_rate=judged["match_rate"] + 1)
    return {"rating/ratings": pd.concat([by_scorer, judged], ignore_index=True), "rating/judges": verdicts}


def _truth(rates: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    exact = (rates["match_rate"] + rng.normal(0, 3, len(rates))).clip(0, 100)
    table = rates[["model", "prompt_set", "scorer", "category"]]
    return table.assign(true_match_rate_grammar=(exact + 2).clip(0, 100), true_match_rate_organism=exact)
