"""Match rates from units: percent of pairs of texts that similarities assign to the right concepts.

    match rate = 100 Σ n_u match_u / Σ n_u   over units u with n_u ≥ 2 groups of concepts

50 is chance, 100 is perfect. All tables have one row per category and one row ``all`` that pools their units (only
``all`` if prompts have no category). Order: models, prompt sets, scorers and categories as they first appear, ``all``
last. Rates are in percent, 6 digits.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.files.names import POOLED
from leakscope.leak.cells import some
from leakscope.leak.measures.families import OTHER, PRIMARY, Chosen, corrected, in_primary
from leakscope.leak.measures.leak_rate import KEYS, ROUNDING, by_category
from leakscope.leak.measures.matching import VALUES
from leakscope.leak.pairs import is_made
from leakscope.statistics.dyadic import FEWEST_GROUPS, Dyads, dyadic_interval
from leakscope.statistics.intervals import FEW, cluster_strata, intervals_of_totals, linearised_variance
from leakscope.statistics.permutations import name_permutation_p, sign_flip_p, smallest_name_p, smallest_p
from leakscope.statistics.power import detectable

Floats = NDArray[np.float64]

COUNTS = ["n_prompts", "n_units", "n_without_partner", "n_clusters", "n_groups"]
RATES = [
    *COUNTS,
    "match_rate",
    "ci_low",
    "ci_high",
    "ci_concepts_low",
    "ci_concepts_high",
    "match_rate_without_repetition",
    "repetition_rate",
    "match_rate_without_echo",
    "echo_rate",
    "empty_rate",
    "unfinished_rate",
    "foreign_rate",
    "effect",
    "sd",
    "p_templates",
    "p_names",
]
TESTS = ["p_templates", "p_names"]
CORRECTED = [
    "family",
    *(f"{test}_{which}" for test in TESTS for which in ("corrected", "corrected_smallest")),
    "detectable",
    "few",
]
UNIT = ["category", "unit"]


def match_rates(
    units: pd.DataFrame,
    level: float = 0.95,
    permutations: int = 2**16,
    name_permutations: int = 9999,
    seed: int = 0,
    primary: Chosen | None = None,
) -> pd.DataFrame:
    """Return match rates with intervals and tests against 50.

    n_prompts          test prompts of units with partners
    n_units            units with partners: at least two groups of concepts
    n_without_partner  units with one group, which have no value
    n_clusters         clusters of units: templates joined by shared controls
    n_groups           groups of concepts, in units with partners
    ci_*               for other templates: linearised by cluster, n_u as size
    ci_concepts_*      for other templates *and* other concepts (``dyadic_interval``); empty below four groups
    match_rate_without_repetition  rate over pairs of texts in which neither text contains either concept (a ratio of
                       weighted sums; excluding texts only by their own concept would bias a blind model)
    repetition_rate    percent of pairs in which a text contains either concept, weighted as the rate
    match_rate_without_echo  rate over pairs in which neither text restates either prompt, also a ratio
    echo_rate          percent of texts that restate their own prompt (``echo.restated``)
    empty_rate         percent of empty texts
    unfinished_rate    percent of texts that are empty because the thought before them did not end
    foreign_rate       percent of texts in the script of a language other than the prompt set's
    effect             mean of D / (2 σ), in standard deviations
    sd                 between clusters, in points: √(V n_clusters); V is the rate's variance by clusters, without
                       strata, as the signs of all clusters are flipped at once
    p_templates        ``sign_flip_p`` of the clusters' n_u (match_u − 50)
    p_names            ``name_permutation_p``: does it matter which concept belongs to which texts? Valid also if length
                       or form of texts depend on the concept's *name*, as long as the names' lengths are unrelated to
                       their similarities. All names of a category are compared with all of its texts and permuted in
                       all units at once; units need not have the same names
    family             ``primary`` or ``other`` (``families``); the two tests are corrected separately
    p_*_corrected      Holm within the primary family, else Benjamini-Yekutieli over the rest of the table
    p_*_corrected_smallest  smallest corrected p-value possible in this design
    detectable         smallest rate above 50 that ``p_templates`` detects with power .8, given n_clusters and sd, at
                       the level of the primary family's first Holm step, (1 − level) / number of tests; NaN if there
                       is none (``power.detectable``), or if clusters do not differ
    few                names the counts below ten: ``templates`` (clusters), ``concepts`` (groups), or both

    Args:
        units: as ``matching.match_units`` returns them.
        level: of the intervals, 0 to 1.
        permutations: sign patterns of ``p_templates``.
        name_permutations: random permutations of ``p_names``.
        seed: of both.
        primary: the primary family, as in ``families.in_primary``.

    Returns:
        ``KEYS``, ``RATES`` and ``CORRECTED``; NaN if no unit has a partner.
    """
    rows, smallest = [], []
    for key, cell in by_category(_numbered(units), KEYS):
        paired = cell[cell["n_groups"] > 1]
        without = len(cell[cell["n_groups"] < 2].drop_duplicates(UNIT))
        found = [np.nan] * (len(RATES) - len(COUNTS))
        names = _names(cell) if len(paired) else []
        if len(paired):
            found = [*_values(paired, level, permutations, seed), name_permutation_p(names, name_permutations, seed)]
        counts = [paired["n_prompts"].sum(), len(paired.drop_duplicates(UNIT)), without]
        n_clusters = paired["cluster"].nunique()
        rows.append((*key, *counts, n_clusters, paired["concept_group"].nunique(), *found))
        smallest.append((smallest_p(n_clusters, permutations), smallest_name_p(names, name_permutations)))
    table = pd.DataFrame(rows, columns=[*KEYS, *RATES]).round(dict.fromkeys(RATES[:-2], ROUNDING))
    inside = in_primary(table, primary)
    table = _with_corrected(table, pd.DataFrame(smallest, columns=TESTS, dtype=float), inside)
    n_tests = max(1, int((inside & table["match_rate"].notna()).sum()))
    found = [
        50 + detectable(sd or np.nan, n_clusters, (1 - level) / n_tests, patterns=permutations)
        for sd, n_clusters in zip(table["sd"], table["n_clusters"], strict=True)
    ]
    return table.assign(detectable=np.round(found, ROUNDING))[[*KEYS, *RATES, *CORRECTED]]


def _with_corrected(table: pd.DataFrame, smallest: pd.DataFrame, inside: NDArray[np.bool_]) -> pd.DataFrame:
    """Return match rates with the columns of ``CORRECTED`` except ``detectable``.

    Args:
        table: ``KEYS`` and ``RATES``.
        smallest: smallest possible p-values of the tests, in the same order.
        inside: whether each row belongs to the primary family.
    """
    table = table.assign(family=np.where(inside, PRIMARY, OTHER), few=_few(table))
    for test in TESTS:
        for name, p_values in (("corrected", table), ("corrected_smallest", smallest)):
            table[f"{test}_{name}"] = corrected(p_values[test].to_numpy(dtype=float), inside)
    return table


def _few(table: pd.DataFrame) -> pd.Series:
    """Return, for each row with a rate, which counts are below ten: templates, concepts or both."""
    rows = zip(table["match_rate"].notna(), table["n_clusters"] < FEW, table["n_groups"] < FEW, strict=True)
    named = (
        ["templates"] * (known and templates) + ["concepts"] * (known and concepts)
        for known, templates, concepts in rows
    )
    return pd.Series([" and ".join(names) or None for names in named], table.index, dtype="str")


def without_partners(units: pd.DataFrame, prompts: pd.DataFrame) -> list[str]:
    """Return a warning for each group of models and categories without a match rate: the reason and the remedy.

    Args:
        units: of one prompt set and scorer, as ``matching.match_units`` returns them.
        prompts: the prompts table of the set.
    """
    lacking: dict[tuple[str, ...], list[str]] = {}
    for model, of_model in units.groupby("model", sort=False):
        most = [(key[0], group["n_groups"].max()) for key, group in by_category(of_model, ["category"])]
        without = tuple(str(category) for category, n_groups in most if n_groups < 2)
        if without:
            lacking.setdefault((POOLED,) if POOLED in without else without, []).append(str(model))
    advice = "a prompt table gets other concepts for models that write here by `partners: 3`"
    if is_made(prompts).any():
        advice = "there are no texts after the prompts that were made, which models that write here complete"
    lines = []
    for categories, models in lacking.items():
        where = "" if categories == (POOLED,) else f" in category {some(categories)}"
        name = prompts["prompt_set"].iloc[0]
        lines.append(f"{name}: no match rate of {some(models)}{where}: each control has one concept; {advice}.")
    return lines


def without_concept_interval(rates: pd.DataFrame) -> list[str]:
    """Return a warning for each prompt set and categories without an interval for other concepts, with the reason.

    Args:
        rates: as ``match_rates`` returns them; the reason is the same for all models and scorers.
    """
    known = rates[rates["match_rate"].between(0, 100, inclusive="neither") & (rates["sd"] > 0)]
    lines = []
    for prompt_set, of_set in known.groupby("prompt_set", sort=False):
        lacking = of_set.groupby("category", sort=False).filter(lambda rows: rows["ci_concepts_low"].isna().all())
        few = lacking["n_groups"] < FEWEST_GROUPS
        reasons = {
            f"there are fewer than {FEWEST_GROUPS} concepts": few,
            "most controls have two concepts, which do not say how far one of them matters": ~few,
        }
        for reason, rows in reasons.items():
            if rows.any():
                where = some(lacking.loc[rows, "category"].unique())
                lines.append(f"{prompt_set}: no interval for other concepts in category {where}: {reason}.")
    return lines


def match_rates_by_concept(units: pd.DataFrame) -> pd.DataFrame:
    """Return the match rate of each concept against those of other groups: ``KEYS, concept_group, concept, n_units,
    match_rate``, units weighted by their numbers of groups."""
    return _weighted(_numbered(units[units["n_groups"] > 1]), [*KEYS, "concept_group", "concept"])


def match_rates_by_template(units: pd.DataFrame) -> pd.DataFrame:
    """Return the match rate of each template: ``KEYS, template_id, n_units, match_rate, distinct_texts``.

    Templates that share a control's sentence are one unit, named by the first template. Units without template are left
    out. A model that ignores the prompt has one distinct text.
    """
    paired = units[(units["n_groups"] > 1) & units["cluster"].notna() & units["template_id"].notna()]
    first = paired.groupby(["prompt_set", *UNIT], dropna=False)["template_id"].transform("first")
    paired = paired.assign(template_id=first)
    keys = [*KEYS[:3], "template_id", "distinct_texts"]
    rows = _mean_of_groups(_mean_of_concepts(paired, keys), keys)
    return _weighted(_numbered(rows), [*KEYS, "template_id"], distinct_texts=("distinct_texts", "max"))


def unit_values(units: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model, prompt set, scorer and unit with partners: means over its groups of ``match`` and the
    other ``VALUES``, with ``cluster, n_groups``; in order of first appearance."""
    return _mean_of_groups(_mean_of_concepts(units[units["n_groups"] > 1], KEYS[:3]), KEYS[:3])


def _numbered(units: pd.DataFrame) -> pd.DataFrame:
    """Return units with numbers as names: a sentence may be a unit of several categories, which ``by_category`` pools
    as ``all``."""
    return units.assign(unit=units.groupby(UNIT, sort=False, observed=True, dropna=False).ngroup())


def _mean_of_concepts(units: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    by = [*keys, *UNIT, "cluster", "n_groups", "concept_group"]
    values = units.groupby(by, sort=False, observed=True, dropna=False)[VALUES]
    return values.mean().reset_index()


def _mean_of_groups(groups: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    by = [*keys, *UNIT, "cluster", "n_groups"]
    values = groups.groupby(by, sort=False, observed=True, dropna=False)[VALUES]
    return values.mean().reset_index()


def _values(paired: pd.DataFrame, level: float, permutations: int, seed: int) -> tuple[float, ...]:
    """Return ``RATES`` without the counts and ``p_names``."""
    groups = _mean_of_concepts(paired, ["own_category"])
    units = _mean_of_groups(groups, ["own_category"])
    n = units["n_groups"].to_numpy(dtype=float)
    cluster, _ = pd.factorize(units["cluster"])
    strata = cluster_strata(cluster, units["own_category"])
    totals, sizes = np.bincount(cluster, weights=n * units["match"]), np.bincount(cluster, weights=n)
    rate = intervals_of_totals(100 * totals, sizes, level, strata=strata)
    unit = pd.MultiIndex.from_frame(units[UNIT]).get_indexer(pd.MultiIndex.from_frame(groups[UNIT]))
    dyads = Dyads(unit, pd.factorize(groups["concept_group"])[0], groups["match"].to_numpy(), cluster)
    variance = float(linearised_variance(totals, sizes, strata))
    alone = rate.low.item() / 100, rate.high.item() / 100
    concepts = dyadic_interval(dyads, variance, level, alone, groups["own_category"])
    total = (units[VALUES].mul(n, axis=0)).sum()
    effect = units["effect"].notna().to_numpy()
    return (
        rate.mean.item(),
        rate.low.item(),
        rate.high.item(),
        100 * concepts[0],
        100 * concepts[1],
        100 * float(total["kept_match"] / total["kept"]) if total["kept"] > 0 else np.nan,
        100 * (1 - float(total["kept"] / n.sum())),
        100 * float(total["unechoed_match"] / total["unechoed"]) if total["unechoed"] > 0 else np.nan,
        100 * float(total["echo"] / n.sum()),
        100 * float(total["empty"] / n.sum()),
        100 * float(total["unfinished"] / n.sum()),
        100 * float(total["foreign"] / n.sum()),
        float(total["effect"] / n[effect].sum()) if effect.any() else np.nan,
        100 * float(np.sqrt(linearised_variance(totals, sizes) * len(totals))) if len(totals) > 1 else np.nan,
        float(sign_flip_p(totals - sizes / 2, permutations, seed)),
    )


def _names(cell: pd.DataFrame) -> list[Floats]:
    """Return tables of ``name_wins`` of exchangeable names, (names, groups), summed over units.

    Names of one category are exchangeable, as each is compared with the texts of every unit; with two categories, only
    the names in both.
    """
    where: dict[str, list[int]] = {}
    tables: list[pd.DataFrame] = []
    for _, rows in cell.groupby("own_category", sort=False, observed=True, dropna=False):
        names = pd.Index(sorted(rows["concept_group"].unique()))
        paired = rows[[len(wins) == len(names) for wins in rows["name_wins"]]]
        if paired.empty:
            continue
        for name in names:
            where.setdefault(name, []).append(len(tables))
        n_concepts = paired.groupby(["unit", "concept_group"])["concept"].transform("size").to_numpy()
        by_group = np.zeros((len(names), len(names)))
        wins = np.stack(paired["name_wins"].to_list()) / n_concepts[:, None]
        np.add.at(by_group, names.get_indexer(paired["concept_group"]), wins)
        tables.append(pd.DataFrame(by_group.T, names, names))
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, places in where.items():
        alike.setdefault(tuple(places), []).append(name)
    return [
        np.sum([tables[place].loc[names, names].to_numpy() for place in places], axis=0)
        for places, names in alike.items()
    ]


def _weighted(rows: pd.DataFrame, keys: list[str], **more: tuple[str, str]) -> pd.DataFrame:
    """Return the mean of ``match`` per group, weighted by ``n_groups``, and the named aggregations ``more``."""
    rows = rows.assign(total=rows["match"] * rows["n_groups"], named=rows["unit"])
    texts = {key: rows[key].dtype for key in keys}
    named = {"n_units": ("named", "nunique"), "total": ("total", "sum"), "n": ("n_groups", "sum"), **more}
    table = by_category(rows, keys).agg(**named).reset_index()
    table = table.assign(match_rate=100 * table["total"] / table["n"]).astype(texts)
    return table[[*keys, "n_units", "match_rate", *more]].round(ROUNDING)
