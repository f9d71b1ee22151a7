"""Variance between clusters, split into templates and sampled texts: estimated from a pilot, or assumed.

A cluster's rate differs from the mean because its template differs, and because its texts are a sample. With k texts
per prompt

    sd² = τ² + ω²/k

τ is the sd between templates, ω the sd from texts with one text per prompt. Existing results (a pilot) give both:
sd² = G V, where V is the linearised variance of the pooled rate of G clusters; ω is estimated from the variance within
prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leakscope.leak.measures.leak_rate import KEYS, by_category
from leakscope.leak.measures.match_rate import UNIT, unit_values
from leakscope.leak.pairs import tested_rows, tests_by_unit
from leakscope.statistics.intervals import linearised_variance

Floats = NDArray[np.float64]

MATCH_RATE, LEAK_RATE = "match_rate", "leak_rate"
CELL = ["measure", *KEYS[1:]]
OF_MODELS, OF_PAIRS = ["template_sd", "text_sd"], ["template_sd_difference", "text_sd_difference"]
SPREAD = [*OF_MODELS, *OF_PAIRS]
PILOT, STATED = "pilot", "stated"


class Assumed(NamedTuple):
    """Assumed spread of a measure, in points, for studies without a pilot.

    template_sd   τ
    text_sd       for match rates, the sd of h(x) within a prompt (``spread_of_matches``); for Leak-Rates, which depend
                  on the texts of controls, ω
    correlation   ρ of two models' clusters, −1 to 1
    """

    template_sd: float
    text_sd: float
    correlation: float


def assumed(section: Mapping[str, float]) -> dict[str, Assumed]:
    """Return measure → spread assumed in the configuration's section ``plan``."""
    return {
        measure: Assumed(section[f"{of}template_sd"], section[f"{of}text_sd"], section["correlation"])
        for measure, of in ((MATCH_RATE, ""), (LEAK_RATE, "leak_rate_"))
    }


def samples_of(texts: pd.DataFrame) -> dict[str, int]:
    """Return prompt set → texts per prompt (median over prompts) of the model with fewest texts.

    Args:
        texts: as ``matching.match_texts`` returns them, of any number of sets and scorers.
    """
    keys = ["prompt_set", "scorer", "model"]
    of_model = texts.groupby([*keys, "prompt_id"]).size().groupby(keys).median()
    return {str(name): int(k) for name, k in of_model.groupby("prompt_set").min().items()}


def expected_spread(
    prompts: Sequence[pd.DataFrame],
    scorers: Sequence[str],
    pilots: Sequence[pd.DataFrame],
    assumed: Mapping[str, Assumed],
) -> pd.DataFrame:
    """Return the expected spread of a study's clusters, from a pilot where it has the cell, else as assumed.

    Args:
        prompts: the prompts table of each set.
        scorers: of the study.
        pilots: as ``spread_of_matches`` and ``spread_of_leaks`` return them.
        assumed: by measure, in the order of the result. Also gives ρ if the pilot has one model.

    Returns:
        ``CELL``, ``basis`` (``PILOT`` or ``STATED``), ``n_clusters`` of the study, ``SPREAD``; no rows if nothing can
        be compared.
    """
    designs = [
        _design(table, measure, assumed[measure]).assign(scorer=scorer)
        for table in prompts
        for measure in assumed
        for scorer in scorers
    ]
    columns = [*CELL, "n_clusters", *SPREAD]
    stated = pd.concat(designs, ignore_index=True)[columns] if designs else pd.DataFrame(columns=columns)
    known = pd.concat([pd.DataFrame(columns=[*CELL, *SPREAD]), *pilots], ignore_index=True).astype(
        {c: str for c in CELL}
    )
    found = stated[CELL].merge(known, on=CELL, how="left")
    from_pilot, paired = found["template_sd"].notna(), found["template_sd_difference"].notna()
    correlation = found["measure"].map({measure: given.correlation for measure, given in assumed.items()}).astype(float)
    for of_model, of_pair, factor in zip(OF_MODELS, OF_PAIRS, _of_pair(correlation), strict=True):
        found[of_pair] = found[of_pair].where(paired, found[of_model] * factor)
    stated[SPREAD] = stated[SPREAD].where(~from_pilot, found[SPREAD]).astype(float)
    return stated.assign(basis=np.where(from_pilot, PILOT, STATED))[[*CELL, "basis", "n_clusters", *SPREAD]]


def spread_of_matches(units: pd.DataFrame, texts: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    """Return the spread of match rates between clusters, by templates and by texts, from existing results.

    With h(x) the share of pairs in which text x is identified (``match``), w(x) its weight, a_p = Σ w(x) over a
    prompt's texts, k_p their number and N = Σ a_p:

        Var of the pooled rate from texts = Σ_p (2 a_p)² Var h / k_p / N²

    The factor 2 is there because each text also occurs as the partner of others. Noise specific to a pair of texts
    would count twice and is corrected for (``_of_texts``).

    Args:
        units: as ``matching.match_texts`` returns them; of any number of prompt sets and scorers.
        texts: as ``matching.match_texts`` returns them.
        prompts: the prompts tables: ``prompt_set, prompt_id, category``. Texts of other prompts are left out.

    Returns:
        ``CELL`` and ``SPREAD``, in points: square roots of the mean variances over all models, and over all pairs of
        models. ``template_sd`` is 0 if the variance from texts exceeds the total. If no prompt has two texts,
        ``text_sd`` is NaN and ``template_sd`` has the total.

    Source: variance of a U-statistic, Hoeffding 1948 (Ann. Math. Statist. 19, 293).
    """
    values = unit_values(units)
    unit = values.groupby(["prompt_set", *UNIT], sort=False, dropna=False).ngroup()
    size = values["n_groups"].astype(float)
    rows = values.assign(place=unit, total=values["match"] * size, size=size)
    return _spread(MATCH_RATE, rows, _draws_of_matches(texts, prompts))


def _draws_of_matches(texts: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    """Return texts as ``_spread`` takes draws."""
    found = [tests_by_unit(table) for _, table in prompts.groupby("prompt_set", sort=False)]
    tests = pd.concat(found) if found else prompts.assign(unit="")
    of_prompt, of_unit = ["prompt_set", "prompt_id"], [*KEYS[:3], *UNIT]
    known = texts.merge(tests[[*of_prompt, *UNIT, "concept_group"]], on=of_prompt)

    def over(keys: list[str], name: str, how: Literal["sum", "mean", "size"]) -> pd.Series:
        return known.groupby(keys, sort=False, dropna=False)[name].transform(how)

    prompt = [*KEYS[:3], "prompt_id"]
    share, told = over(prompt, "weight", "sum"), over(prompt, "match", "mean")
    return known.assign(
        source=known["prompt_id"],
        value=2 * share * known["match"],
        size=share,
        whole=4 * share**2 * told * (1 - told),
        partners=over(of_unit, "match", "size") - over([*of_unit, "concept_group"], "match", "size"),
    )


def spread_of_leaks(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the spread of Leak-Rates between clusters, against the control without the clause, paired by position.

    All pairs of a cluster and sample share the control's text. With Y_j the sum of the outcomes of sample j, M its
    number of prompts, and sums over clusters:

        Var of the pooled rate from texts = Σ Var Y / k / (Σ M)²

    Args:
        pairs: as ``outcomes.compare_pairs`` returns them.
    """
    own = pairs[pairs["control_kind"] == "without"]
    keys = [*KEYS, "cluster", "sample"]
    draws = own.groupby(keys, sort=False, dropna=False)["outcome"].agg(total="sum", size="size").reset_index()
    draws = draws.assign(
        place=draws["sample"], source=draws["cluster"], value=draws["total"], whole=0.0, partners=np.inf
    )
    return _spread(LEAK_RATE, draws, draws)


def _design(prompts: pd.DataFrame, measure: str, assumed: Assumed) -> pd.DataFrame:
    """Return ``measure, prompt_set, category, n_clusters`` and the assumed ``SPREAD`` of a prompt set."""
    of_matches = measure == MATCH_RATE
    rows = _matched(prompts) if of_matches else _tested(prompts)
    found = []
    for (prompt_set, category), cell in by_category(rows, ["prompt_set", "category"]):
        sizes = cell.groupby("cluster")["size"].sum().to_numpy(dtype=float)
        total, n_clusters = sizes.sum(), len(sizes)
        unequal = n_clusters * (sizes**2).sum() / total**2  # 1 where clusters are equal
        drawn = 4 * n_clusters * (cell["size"] ** 2).sum() / total**2 if of_matches else unequal
        template, text = assumed.template_sd * np.sqrt(unequal), assumed.text_sd * np.sqrt(drawn)
        more, twice = _of_pair(assumed.correlation)
        sds = template, text, template * more, text * twice
        found.append((measure, str(prompt_set), str(category), n_clusters, *sds))
    return pd.DataFrame(found, columns=["measure", "prompt_set", "category", "n_clusters", *SPREAD])


def _of_pair(correlation: Any) -> tuple[Any, Any]:
    """Return the factors of τ and ω for the difference of two models whose clusters correlate."""
    return np.sqrt(2 * (1 - correlation)), np.sqrt(2)


def _matched(prompts: pd.DataFrame) -> pd.DataFrame:
    """Return the test prompts of units with partners; ``size`` is a prompt's share of its unit's groups."""
    tests = tests_by_unit(prompts)
    unit, group = ["category", "unit"], ["category", "unit", "concept_group"]
    together = tests.groupby(unit, dropna=False)["concept_group"].transform("nunique")
    concepts = tests.groupby(group, dropna=False)["concept"].transform("nunique")
    same = tests.groupby([*group, "concept"], dropna=False)["prompt_id"].transform("size")
    return tests.assign(size=1 / (concepts * same))[together > 1]


def _tested(prompts: pd.DataFrame) -> pd.DataFrame:
    """Return the test prompts that have a control without the clause."""
    tests = tested_rows(prompts)
    return tests[tests["control_kind"] == "without"].assign(size=1.0)


def _spread(measure: str, rows: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Return ``CELL`` and ``SPREAD``.

    Args:
        measure: its name.
        rows: ``KEYS, cluster, place, total, size``: sums of values, 0 to 1, and their weights; two models are compared
            at the same place of a cluster.
        draws: ``KEYS, source, sample, value, size``: with one text per prompt, a source's sum would be ``value`` (up to
            a constant) with weight ``size``. ``value`` is a mean over ``partners`` texts, each with variance
            ``whole``.
    """
    drawn = dict(iter(by_category(draws, KEYS[1:])))
    found = []
    for key, cell in by_category(rows, KEYS[1:]):
        models = list(cell["model"].unique())
        pairs = np.array(list(combinations(range(len(models)), 2)), dtype=int).reshape(-1, 2)
        texts = _of_texts(drawn[key], models, pairs) if key in drawn else np.full((2, len(models) + len(pairs)), np.nan)
        totals, sizes = (_wide(cell, name, ["cluster", "place"], models) for name in ("total", "size"))
        first, second = (sizes.to_numpy()[:, side] for side in pairs.T)
        both = np.where(first == second, first, np.nan)  # only places of both models are compared
        differences = totals.to_numpy()[:, pairs[:, 0]] - totals.to_numpy()[:, pairs[:, 1]]
        cluster = totals.index.get_level_values("cluster")
        of_models = _sds(totals.to_numpy(), sizes.to_numpy(), cluster, texts[:, : len(models)])
        of_pairs = _sds(differences, both, cluster, texts[:, len(models) :])
        found.append((measure, *map(str, key), *of_models, *of_pairs))
    return pd.DataFrame(found, columns=[*CELL, *SPREAD])


def _wide(rows: pd.DataFrame, values: str, index: list[str], models: list[str]) -> pd.DataFrame:
    """Return sums of a column, one column per model; NaN where a model has no value."""
    return rows.pivot_table(values, index, "model", aggfunc="sum", observed=True).reindex(columns=models)


def _of_texts(draws: pd.DataFrame, models: list[str], pairs: NDArray[np.intp]) -> Floats:
    """Return the variance of a pooled rate, 0 to 1, due to texts, (2, models and pairs of models): with the existing
    number of texts, and with one text per prompt; NaN if no source has two texts.

    A value is a mean over n partner texts, which are noisy as well: the variance within a source is
    s² = ζ + (whole − 2 ζ) / n. The noise specific to a pair of texts, s² − ζ, is in s² of both texts and would count
    twice: (s² + ζ) / 2 is right. With two partners or fewer ζ is not identified, and s² is used.

    Two models that read one prompt may share random numbers, so samples with the same number are subtracted.
    """
    values, sizes, whole = (_wide(draws, name, ["source", "sample"], models) for name in ("value", "size", "whole"))
    of_models, (a, b) = values.to_numpy(), pairs.T
    n = sizes.groupby("source").first().sum().to_numpy()
    by_source = pd.DataFrame(np.column_stack([of_models, of_models[:, a] - of_models[:, b]])).groupby(
        values.index.get_level_values("source")
    )
    variance, k = by_source.var(), by_source.count()
    noise = whole.groupby("source").mean().to_numpy()
    noise = np.column_stack([noise, noise[:, a] + noise[:, b]])
    partners = draws.groupby("source")["partners"].min().to_numpy(dtype=float)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.clip((variance - noise / partners) / (1 - 2 / partners), 0.0, variance)
    own = variance.where(np.broadcast_to(partners <= 2, variance.shape), own)
    variance = (variance + own) / 2
    variance = variance.fillna(variance.mean()).where(k > 0)
    sums = [table.sum(min_count=1) for table in (variance / k, variance)]
    shares: Floats = np.array(sums, dtype=float) / np.concatenate([n, (n[a] + n[b]) / 2]) ** 2
    return shares


def _sds(totals: Floats, sizes: Floats, cluster: pd.Index, texts: Floats) -> tuple[float, float]:
    """Return τ and ω in points, roots of means over columns; NaN without columns.

    Args:
        totals: (places, columns), NaN where there is no value.
        sizes: (places, columns), NaN where there is no value.
        cluster: (places,).
        texts: (2, columns), as ``_of_texts`` returns them.
    """
    if not totals.shape[1]:
        return np.nan, np.nan
    known = np.isfinite(totals) & np.isfinite(sizes)
    sums, counts = (
        pd.DataFrame(np.where(known, table, 0.0)).groupby(cluster).sum().to_numpy().T for table in (totals, sizes)
    )
    n_clusters = (counts > 0).sum(1)
    template = np.maximum(n_clusters * (linearised_variance(sums, counts) - np.nan_to_num(texts[0])), 0.0)
    return _root_of_mean(template), _root_of_mean(n_clusters * texts[1])


def _root_of_mean(variances: Floats) -> float:
    """Return the square root of the mean of the finite variances, in points; NaN if there are none."""
    known = variances[np.isfinite(variances)]
    return 100 * float(np.sqrt(known.mean())) if len(known) else np.nan
