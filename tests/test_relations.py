"""Slopes and correlations between links: against dummies written out, and how often intervals hold the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from helpers import micro_candidates, micro_grammar, micro_prompts
from leakscope.organisms.leak_grammar import load_grammar
from leakscope.statistics.jackknife import leave_out
from leakscope.trace import exact
from leakscope.trace.by_template import leaks_by_template
from leakscope.trace.centring import CENTRED, centre_by_slot
from leakscope.trace.links import VARIANCE, Sources, link_pairs
from leakscope.trace.pairs import KEYS, leaks, list_pairs
from leakscope.trace.relations import cross_products, regressed, relate

Floats = NDArray[np.float64]


def table_of(values: dict[str, Floats], shape: tuple[int, int, int]) -> pd.DataFrame:
    """Pairs of some slots that share their concepts, (slots, concepts, associates), with centred links."""
    slot, concept, associate = (grid.ravel() for grid in np.indices(shape))
    pairs = pd.DataFrame(
        {
            "slot": slot,
            "concept_group": concept,
            "associate": [f"{s}/{a}" for s, a in zip(slot, associate, strict=True)],
        }
    )
    pairs = pairs.assign(model="m", prompt_set="p", **{VARIANCE: 0.0})
    for name in ("count", "knows", "affirms", "leak", "count_exact", "leak_exact"):
        pairs[f"{name}{CENTRED}"] = np.nan
    for name, column in values.items():
        pairs[f"{name}{CENTRED}"] = centre_by_slot(pairs, pd.Series(column.ravel()))[0]
    return pairs


def residuals(values: Floats, pairs: pd.DataFrame) -> Floats:
    """What dummies of slot × concept and slot × associate leave of values, (pairs, links), by least squares."""
    keys = [pairs["slot"].astype(str) + "/" + pairs["concept_group"].astype(str), pairs["associate"]]
    design = np.hstack([pd.get_dummies(key).to_numpy(dtype=float) for key in keys])
    fitted: Floats = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return fitted


def test_products_without_a_cluster_are_those_of_dummies_fitted_anew() -> None:
    rng = np.random.default_rng(0)
    shape = (2, 4, 5)
    values = rng.normal(size=(3, *shape))
    pairs = table_of({}, shape)
    flat = values.reshape(3, -1).T
    deletions = leave_out(pairs["concept_group"], pairs["associate"])
    kept_share = np.tile([1 - 1 / 4, 1 - 1 / 5], (40, 1))
    found = cross_products(residuals(flat, pairs), kept_share, deletions)
    kept = np.concatenate(list(deletions.weights()), axis=1).astype(bool)
    assert found.shape == (1 + 4 + 10 + 40, 3, 3)
    for sample, rows in zip(found, kept.T, strict=True):
        left = residuals(flat[rows], pairs[rows])
        np.testing.assert_allclose(sample, left.T @ left, atol=1e-10)


def test_slopes_are_those_of_least_squares_with_dummies() -> None:
    rng = np.random.default_rng(1)
    shape = (2, 5, 4)
    x, z = rng.normal(size=(2, *shape))
    y = 0.7 * x - 0.4 * z + 0.3 * rng.normal(size=shape)
    table = relate(table_of({"count": x, "knows": z, "leak": y}, shape), 0.95).set_index(["x", "y", "given"])
    pairs = table_of({}, shape)
    a, b, c = residuals(np.stack([x.ravel(), z.ravel(), y.ravel()], 1), pairs).T
    partial = np.linalg.lstsq(np.stack([a, b], 1), c, rcond=None)[0]
    assert table.loc[("count", "leak", ""), "slope"] == pytest.approx(a @ c / (a @ a))
    assert table.loc[("count", "leak", ""), "correlation"] == pytest.approx(np.corrcoef(a, c)[0, 1])
    assert table.loc[("count", "leak", "knows"), "slope"] == pytest.approx(partial[0])
    assert table.loc[("knows", "leak", "count"), "slope"] == pytest.approx(partial[1])
    left = [v - b * (b @ v) / (b @ b) for v in (a, c)]
    assert table.loc[("count", "leak", "knows"), "correlation"] == pytest.approx(np.corrcoef(*left)[0, 1])
    assert set(table["few"]) == {"yes"}
    assert ("affirms", "leak", "") not in table.index


def test_a_link_that_does_not_vary_has_neither_slope_nor_correlation() -> None:
    shape = (1, 4, 4)
    y = np.random.default_rng(0).normal(size=shape)
    table = relate(table_of({"count": np.zeros(shape), "leak": y}, shape), 0.95)
    assert table[["slope", "slope_low", "correlation", "ci_low"]].isna().all(axis=None)
    same = regressed(np.ones((1, 2, 2)))
    assert [float(value[0]) for value in same] == [1.0, 1.0]


def test_intervals_hold_the_slope_for_other_concepts_and_associates() -> None:
    """Concepts and associates have slopes of their own, so that pairs of either are not independent."""
    rng = np.random.default_rng(2)
    shape, held, widths = (3, 11, 11), [], []
    for _ in range(60):
        x = rng.normal(size=shape)
        slopes = 0.5 + 0.3 * rng.normal(size=(1, 11, 1)) + 0.3 * rng.normal(size=(3, 1, 11))
        table = relate(table_of({"knows": x, "leak": slopes * x + rng.normal(size=shape)}, shape), 0.95)
        row = table.iloc[0]
        held.append(row["slope_low"] <= 0.5 <= row["slope_high"])
        widths.append(row["slope_high"] - row["slope_low"])
    assert np.mean(held) >= 0.9
    assert np.mean(widths) < 0.8  # an interval of everything would hold it, too


@pytest.fixture(scope="module")
def prompts(root: Path) -> pd.DataFrame:
    contexts = pd.read_csv(root / "data/grammar/leak/contexts.csv", dtype=str)
    own = contexts[(contexts["prompt_set"] == "colors") & (contexts["slot"] != "basic_colors")].reset_index(drop=True)
    own["prompt_id"] = own.index.astype(str)
    control = own[own["concept_group"].isna()].drop_duplicates("template_id").set_index("template_id")["prompt_id"]
    return own.assign(control_id=own["template_id"].map(control).where(own["concept_group"].notna()))


def test_intervals_hold_the_exact_slope_of_studies_of_organisms(root: Path, prompts: pd.DataFrame) -> None:
    """A study draws its corpus and measures log-probabilities with noise of its prompts; strengths from .1 to .7."""
    rng = np.random.default_rng(7)
    rows = [row for strength in (0.1, 0.4, 0.7) for row in studies(root, prompts, strength, 12, rng)]
    found = pd.concat(rows, axis=1).T
    assert found["slope_exact"].between(found["slope_low"], found["slope_high"]).mean() >= 0.9
    # An interval of everything would hold it, too.
    assert ((found["slope_high"] - found["slope_low"]) < found["slope_exact"]).mean() >= 0.9


def studies(
    root: Path, prompts: pd.DataFrame, strength: float, n: int, rng: np.random.Generator, n_documents: int = 20_000
) -> Iterator[pd.Series]:
    """Yield the relation of count and leak in ``n`` studies of an organism whose corpus has the prompts' contexts."""
    whole = load_grammar([root / "data/grammar/leak"], strength)
    grammar = replace(whole, contexts=prompts.fillna("").drop(columns=["prompt_id", "control_id"]))
    pairs = list_pairs(prompts, grammar.candidates).assign(model="m")
    concepts = {str(group): [str(group)] for group in pairs["concept_group"].unique()}
    shares = exact.mention_shares(grammar, concepts, {name: [name] for name in pairs["associate"]}, None)
    counts = exact.exact_counts(pairs, shares, n_documents)
    table = pairs.assign(knows_centred=np.nan, affirms_centred=np.nan, **{VARIANCE: counts.variance})
    law = exact.exact_leaks(grammar, pairs)
    for name, values in (("count_exact", pd.Series(counts.log_n_ca)), ("leak_exact", law)):
        table[f"{name}{CENTRED}"] = centre_by_slot(pairs, values)[0]
    asked = prompts[["prompt_id", "control_id", "concept_group", "slot"]].merge(
        grammar.candidates[["slot", "candidate"]], on="slot"
    )
    keys = pd.MultiIndex.from_frame(pairs[KEYS])
    of_pair = pd.MultiIndex.from_frame(asked[["slot", "concept_group", "candidate"]])
    truth = pd.Series(law.to_numpy(), keys).reindex(of_pair).fillna(0.0).to_numpy()
    p = np.array([shares.pairs.get(key, 0.0) for key in zip(pairs["concept_group"], pairs["associate"], strict=True)])
    for _ in range(n):
        scores = asked.assign(logprob=truth + 0.3 * rng.normal(size=len(asked)))
        leak = pd.Series(leaks(prompts, scores).loc[keys].to_numpy())
        drawn = pd.Series(np.log(rng.binomial(n_documents, p) + 0.5))
        centred = {name: centre_by_slot(pairs, values)[0] for name, values in (("leak", leak), ("count", drawn))}
        yield relate(table.assign(**{f"{name}{CENTRED}": values for name, values in centred.items()}), 0.95).iloc[0]


def test_templates_that_avoid_an_associate_are_told_from_those_that_bring_it() -> None:
    prompts = micro_prompts()
    again = prompts[prompts["slot"] == "fruits"].assign(template_id="box")
    for column in ("prompt_id", "control_id"):
        again[column] = again[column].str.replace("bag", "box")
    prompts = pd.concat([prompts, again], ignore_index=True)
    law = micro_grammar(0.4)
    rows = []
    for prompt in prompts.itertuples():
        own = np.log(law.continuation_law(prompt.slot, prompt.concept_group))
        # What the one template brings the other avoids.
        rows += [(prompt.prompt_id, prompt.slot, a, -x if prompt.template_id == "box" else x) for a, x in own.items()]
    scores = pd.DataFrame(rows, columns=["prompt_id", "slot", "candidate", "logprob"])
    sources = Sources(prompts, micro_candidates(), scores)
    links = link_pairs("m", sources).table
    links["knows"] = links["associated"].eq("yes").astype(float)
    table = leaks_by_template("m", sources, links).set_index("template_id")
    assert table.index.tolist() == ["bag", "car", "box"]
    # log(.6 / .2) on the diagonal: less the mean of its row and of its column, and again the mean of all.
    centred = np.log(3) * (1 - 2 / 3 + 1 / 3)
    assert table["leak"].to_dict() == pytest.approx({"bag": centred, "car": centred, "box": -centred})
    assert table["leak_absolute"].unique() == pytest.approx([centred])
    assert table["slope"].to_dict() == pytest.approx({"bag": np.log(3), "car": np.log(3), "box": -np.log(3)})
    assert table["correlation"].to_dict() == pytest.approx({"bag": 1, "car": 1, "box": -1})
    unasked = leaks_by_template("m", sources, links.assign(knows=np.nan))
    assert unasked["slope"].isna().all()
    assert unasked["leak"].notna().all()
