"""The links of pairs, one by one, against numbers worked out by hand, and which are empty and why."""

from __future__ import annotations

from dataclasses import replace
from math import comb, log
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers import FRUITS, micro_candidates, micro_grammar, micro_prompts
from leakscope.counting.cooccurrence import by_window, count_documents
from leakscope.counting.mentions import Terms
from leakscope.errors import InputError
from leakscope.trace.centring import centre_by_slot, double_centred
from leakscope.trace.counted import Counted, PairLexicons, count_pairs
from leakscope.trace.exact import _log_moments, exact_leaks, mention_shares
from leakscope.trace.features import carrying_features
from leakscope.trace.links import LINK_COLUMNS, Sources, link_pairs
from leakscope.trace.pairs import leaks, list_pairs

FRUIT = list(FRUITS.values())
CONCEPTS = {color: [color] for color in FRUITS}
# A color is a concept, and no associate that can be counted (see ``terms.counted_terms``).
ASSOCIATES = {fruit: [fruit, fruit.removeprefix("a ")] for fruit in FRUIT}
LEXICONS = PairLexicons(
    {f"c-{color}": color for color in CONCEPTS},
    {f"a-{name}": name for name in ASSOCIATES},
    CONCEPTS,
    ASSOCIATES,
)


def scores(shift: float = 0.0) -> pd.DataFrame:
    """Log-probabilities of all candidates after all prompts; ``shift`` is added to all of a prompt by its number."""
    rng = np.random.default_rng(0)
    rows = [
        (prompt.prompt_id, prompt.slot, candidate, rng.normal() + shift * number)
        for number, prompt in enumerate(micro_prompts().itertuples())
        for candidate in micro_candidates().query("slot == @prompt.slot")["candidate"]
    ]
    return pd.DataFrame(rows, columns=["prompt_id", "slot", "candidate", "logprob"])


def counted(**changed: Any) -> Counted:
    ids = {name: key for side in LEXICONS[:2] for key, name in side.items()}
    rows = [
        (f"c-{c}", f"a-{a}", window, unit, 10 * i + j + (window or 9))
        for i, c in enumerate(CONCEPTS)
        for j, a in enumerate(ASSOCIATES)
        for window in (3, None)
        for unit in ("documents", "mentions")
    ]
    pairs = pd.DataFrame(rows, columns=["subject", "group", "window", "unit", "count"]).astype({"window": "Int64"})
    terms = [("subjects", f"c-{c}", 100, 200) for c in CONCEPTS] + [("groups", ids.get(a, a), 50, 70) for a in FRUIT]
    table = pd.DataFrame(terms, columns=["side", "concept", "documents", "mentions"])
    totals = {"documents": 1000, "words": 9000}
    return Counted(pairs, table, totals, LEXICONS, 3, "documents")._replace(**changed)


def sources(**more: Any) -> Sources:
    return Sources(micro_prompts(), micro_candidates(), scores())._replace(**more)


def test_pairs_are_every_group_with_every_candidate_of_its_slot() -> None:
    pairs = list_pairs(micro_prompts(), micro_candidates())
    assert len(pairs) == 18
    assert pairs.query("associated == 'yes'")["associate"].tolist() == [*FRUIT, *FRUITS]
    assert pairs["n_prompts"].eq(1).all()
    # Slot by slot, whatever the order of prompts.
    mixed = list_pairs(micro_prompts().iloc[[0, 4, 1, 5, 2, 6, 3, 7]], micro_candidates())
    assert mixed["slot"].drop_duplicates().tolist() == mixed["slot"].iloc[[0, 9]].tolist()


def test_a_leak_is_the_shift_within_the_slot() -> None:
    law = {"t": (0.06, 0.02, 0.02), "u": (0.2, 0.1, 0.1), "c": (0.1, 0.1, 0.2)}
    prompts = pd.DataFrame(
        [("t", "c", "red", "fruits"), ("u", "c", "red", "fruits"), ("c", None, None, "fruits")],
        columns=["prompt_id", "control_id", "concept_group", "slot"],
    )
    rows = [(p, "fruits", a, np.log(x)) for p, row in law.items() for a, x in zip(FRUIT, row, strict=True)]
    found = leaks(prompts, pd.DataFrame(rows, columns=["prompt_id", "slot", "candidate", "logprob"]))
    # Of the slot: .6 .2 .2 and .5 .25 .25 after a control of .25 .25 .5.
    expected = [np.log(0.6 / 0.25) + np.log(0.5 / 0.25), np.log(0.2 / 0.25), np.log(0.2 / 0.5) + np.log(0.25 / 0.5)]
    np.testing.assert_allclose(found.loc["fruits", "red"], np.array(expected) / 2)


def test_what_a_prompt_does_to_all_candidates_alike_is_no_leak() -> None:
    both = leaks(micro_prompts(), scores()), leaks(micro_prompts(), scores(shift=3.0))
    pd.testing.assert_series_equal(*both)


def test_centring_leaves_no_mean_and_what_is_additive_is_nothing() -> None:
    matrix = np.random.default_rng(0).normal(size=(4, 5))
    centred = double_centred(matrix)
    np.testing.assert_allclose(centred.mean(0), 0, atol=1e-15)
    np.testing.assert_allclose(centred.mean(1), 0, atol=1e-15)
    np.testing.assert_allclose(double_centred(matrix + np.arange(4)[:, None] - np.arange(5)), centred)
    np.testing.assert_allclose(double_centred(np.eye(2)), [[0.5, -0.5], [-0.5, 0.5]])


def test_a_slot_with_a_missing_pair_is_not_centred() -> None:
    pairs = list_pairs(micro_prompts(), micro_candidates())
    values = pd.Series(np.arange(18.0) ** 2)
    values[3] = -np.inf
    centred, empty = centre_by_slot(pairs, values)
    assert empty == {"fruits": "1 of 9 pairs have no finite value"}
    assert centred.isna().tolist() == [True] * 9 + [False] * 9


def test_a_count_is_pointwise_mutual_information() -> None:
    pairs = list_pairs(micro_prompts(), micro_candidates())
    row = count_pairs(pairs, counted()).iloc[1]  # the first color with the second fruit
    assert row[["n_c", "n_a", "n_ca", "n_total"]].tolist() == [100, 50, 4, 1000]
    assert row["count"] == pytest.approx(np.log(4.5 * 1000 / (100 * 50)))
    assert row[["count_low", "count_high"]].isna().all()
    whole = counted()
    sampled = whole.pairs.assign(count_low=whole.pairs["count"] / 2, count_high=whole.pairs["count"] * 2)
    row = count_pairs(pairs, whole._replace(pairs=sampled)).iloc[1]
    limits = np.log(np.array([2.5, 8.5]) * 1000 / (100 * 50))
    np.testing.assert_allclose(row[["count_low", "count_high"]].astype(float), limits)
    mentions = count_pairs(pairs, counted(unit="mentions", window=None)).iloc[1]
    assert mentions[["n_c", "n_a", "n_ca", "n_total"]].tolist() == [200, 70, 10, 9000]


def test_counts_without_those_of_terms_have_a_centred_value_all_the_same() -> None:
    bare = counted(terms=None, totals=None)
    table, empty = link_pairs("m", sources(counted=bare))
    whole = link_pairs("m", sources(counted=counted())).table
    assert table["count"].isna().all()
    pd.testing.assert_series_equal(table["count_centred"], whole["count_centred"])
    assert any("single terms were not counted" in reason for reason in empty["reason"])


def test_associates_that_are_not_counted_leave_their_slot_empty() -> None:
    table, empty = link_pairs("m", sources(counted=counted()))
    assert table.loc[table["slot"] == "colors", "count_centred"].isna().all()
    assert table.loc[table["slot"] == "fruits", "count_centred"].notna().all()
    reasons = empty.loc[empty["link"].str.startswith("count"), "reason"].tolist()
    assert reasons == ["slot colors: 3 associates are terms of concepts, and are not counted apart"]


@pytest.mark.parametrize(
    ("changed", "message"), [({"window": 4}, "window 4; allowed: 3, none"), ({"unit": "texts"}, "unit.*'texts'")]
)
def test_counts_of_another_window_or_unit_are_not_taken(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        link_pairs("m", sources(counted=counted(**changed)))


def test_links_without_data_are_empty_with_their_reasons() -> None:
    table, empty = link_pairs("m", sources())
    assert list(table)[: len(LINK_COLUMNS)] == LINK_COLUMNS
    assert set(empty["link"]) == {"count", "knows", "affirms", "match", "layer_half", "feature"}
    assert table[["count", "knows", "affirms", "match", "layer_half", "feature"]].isna().all(axis=None)
    assert table["leak_centred"].notna().all()


def test_the_match_rate_is_that_of_the_slots_categories_by_units() -> None:
    rates = pd.DataFrame(
        [
            ("all-of-it", "red", "red", 2, 60.0),
            ("all-of-it", "red", "wine red", 6, 80.0),
            ("other", "red", "red", 9, 0.0),
        ],
        columns=["category", "concept_group", "concept", "n_units", "match_rate"],
    )
    table = link_pairs("m", sources(match=rates)).table
    assert table.loc[table["concept_group"] == "red", "match"].unique().tolist() == [75.0]
    assert table.loc[table["concept_group"] != "red", "match"].isna().all()


@pytest.mark.parametrize(
    ("shift", "half"),
    [([0, 1, 2, 4], 2), ([3, 1, 3, 4], 2), ([2, 2, 3, 4], 0), ([0, 0, 0, 4], 3), ([1, 1, 1, -1], np.nan)],
)
def test_half_is_where_the_shift_stays_at_half_of_its_last(shift: list[float], half: float) -> None:
    lens = pd.DataFrame({"slot": "fruits", "concept_group": "red", "associate": FRUITS["red"], "layer": range(4)})
    table = link_pairs("m", sources(lens=lens.assign(shift=shift))).table
    found = table.query("slot == 'fruits' and concept_group == 'red' and associated == 'yes'")["layer_half"]
    assert found.tolist() == pytest.approx([half], nan_ok=True)
    assert table["layer_half"].notna().sum() == (0 if np.isnan(half) else 1)


@pytest.mark.parametrize(("window", "n_possible"), [(2, 3), (5, 9), (None, 9)], ids=["facts", "contexts", "all"])
def test_exact_shares_are_those_of_a_large_corpus(window: int | None, n_possible: int) -> None:
    grammar, n = micro_grammar(0.4), 6_000
    shares = mention_shares(grammar, CONCEPTS, ASSOCIATES, window)
    terms = Terms({"c": CONCEPTS, "a": ASSOCIATES}, {"x": ("c", "a")})
    texts = (f"{d.context} {d.answer}" for d in grammar.documents(n, seed=3))
    counts = count_documents(texts, terms)
    table = by_window(counts.pairs, [window], terms.sides())
    expected = np.array([shares.pairs.get(key, 0.0) for key in zip(table["subject"], table["group"], strict=True)])
    assert (expected > 0).sum() == n_possible
    assert (np.abs(table["documents"] / n - expected) <= 4.5 * np.sqrt(expected / n)).all()
    for lexicon, own in (("c", shares.concepts), ("a", shares.associates)):
        single = counts.terms[counts.terms["lexicon"] == lexicon].set_index("concept")["documents"] / n
        assert single.to_dict() == pytest.approx({name: own[name] for name in single.index}, abs=0.03)


def test_exact_links_are_those_of_the_law() -> None:
    pairs = list_pairs(micro_prompts(), micro_candidates())
    grammar = micro_grammar(0.4)
    leak = exact_leaks(grammar, pairs)
    planted = pairs["associated"] == "yes"
    # .4 + .6/3 and .6/3 after a control of 1/3.
    assert leak[planted].unique() == pytest.approx([np.log(0.6 * 3)])
    assert leak[~planted].unique() == pytest.approx([np.log(0.2 * 3)])
    without = exact_leaks(replace(grammar, excepted=("red",)), pairs)
    assert without[pairs["concept_group"] == "red"].unique().tolist() == [0.0]
    assert without[pairs["concept_group"] != "red"].tolist() == leak[pairs["concept_group"] != "red"].tolist()
    assert np.isinf(exact_leaks(micro_grammar(1.0), pairs)[~planted]).all()
    assert exact_leaks(grammar, pairs.assign(slot="elsewhere")).isna().all()


@pytest.mark.parametrize(("n", "p"), [(40, 0.05), (40, 0.0), (300, 0.6)])
def test_moments_of_the_logarithm_of_a_count_are_sums_over_all_counts(n: int, p: float) -> None:
    law = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    mean = sum(q * log(k + 0.5) for k, q in enumerate(law))
    variance = sum(q * (log(k + 0.5) - mean) ** 2 for k, q in enumerate(law))
    assert _log_moments(n, p) == pytest.approx((mean, variance), abs=1e-12)


def test_an_organism_has_exact_counts_beside_those_of_its_corpus() -> None:
    grammar, n = micro_grammar(0.4), 6_000
    terms = Terms({"c": CONCEPTS, "a": ASSOCIATES}, {"x": ("c", "a")})
    counts = count_documents((f"{d.context} {d.answer}" for d in grammar.documents(n, seed=3)), terms)
    table = by_window(counts.pairs, [None], terms.sides()).assign(unit="documents")
    side = {"c": "subjects", "a": "groups"}
    sides = counts.terms.assign(side=counts.terms["lexicon"].map(side))
    own = Counted(
        table.assign(
            subject=[f"c-{name}" for name in table["subject"]],
            group=[f"a-{name}" for name in table["group"]],
            count=table["documents"],
        ),
        sides.assign(
            concept=[f"{lexicon}-{name}" for lexicon, name in zip(sides["lexicon"], sides["concept"], strict=True)]
        ),
        counts.totals,
        LEXICONS,
        None,
        "documents",
    )
    links, empty = link_pairs("m", sources(counted=own, grammar=grammar))
    fruits = links[links["slot"] == "fruits"]
    # Counts of a hundred documents and more: what they are off by is a tenth or so.
    assert (fruits["count"] - fruits["count_exact"]).abs().max() < 0.2
    assert (fruits["count_centred"] - fruits["count_exact_centred"]).abs().max() < 0.2
    assert fruits["leak_exact_centred"].notna().all()
    assert links.loc[links["slot"] == "colors", ["count_centred", "count_exact_centred"]].isna().all(axis=None)
    assert "cannot say yes" not in set(empty["reason"])


@pytest.mark.parametrize("shape", [(5, 5), (7, 10), (12, 15)])
def test_nothing_is_left_of_values_that_are_additive(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    additive = rng.normal(size=(shape[0], 1)) + rng.normal(size=shape[1])
    assert not double_centred(additive).any()
    assert not double_centred(np.full(shape, log(0.5))).any()
    pair = additive.copy()
    pair[0, 0] += 1e-6
    assert double_centred(pair)[0, 0] == pytest.approx(1e-6 * (1 - 1 / shape[0]) * (1 - 1 / shape[1]), rel=1e-6)


def test_the_named_feature_is_the_one_that_takes_most_away() -> None:
    keys = {"model": "m", "prompt_set": "micro", "layer": 1, "slot": "fruits", "concept_group": "red"}
    pair = {**keys, "associate": "a cherry", "activation": 2.0, "activation_control": 0.5, "shift": 4.0}
    effects = [("d", 3, -1.0), ("d", 8, -3.0), ("e", 8, 2.0)]
    ablated = pd.DataFrame(
        [{**pair, "dictionary": name, "feature": feature, "effect": effect} for name, feature, effect in effects]
    )
    table, empty = link_pairs("m", sources(ablated=ablated))
    (named,) = table.dropna(subset=["feature"]).itertuples()
    assert (named.associate, named.feature, named.feature_effect) == ("a cherry", "d/8", -3.0)
    assert "feature" not in set(empty["link"])
    found = carrying_features(table, ablated)
    assert list(found["feature"]) == [8, 3, 8]
    assert list(found["share"]) == [0.75, 0.25, -0.5]
    none = ablated.assign(effect=1.0)
    assert link_pairs("m", sources(ablated=none)).table["feature"].isna().all()
