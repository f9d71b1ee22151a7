"""Match rates against plain loops written from their definition, and blind models over all that they could write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, permutations, product
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from leakscope.errors import InputError
from leakscope.leak.measures.leak_rate import leak_rates
from leakscope.leak.measures.match_rate import (
    match_rates,
    match_rates_by_concept,
    match_rates_by_template,
    unit_values,
    without_concept_interval,
)
from leakscope.leak.measures.matching import match_units
from leakscope.leak.measures.outcomes import compare_pairs
from leakscope.statistics.dyadic import Dyads, dyadic_interval
from leakscope.statistics.intervals import intervals_of_totals, linearised_variance
from leakscope.statistics.permutations import name_permutation_p, sign_flip_p, smallest_name_p
from leakscope.statistics.power import detectable

Similarity = dict[tuple[str, str], float]
Keeps = Callable[[str, str, str, str], bool]
NONE = float("nan")


class Row(NamedTuple):
    """A test prompt: its category, template, control's sentence, concept, group, and how many texts follow it."""

    category: str | None
    template: str | None
    control: str | None
    concept: str
    group: str
    n_texts: int = 1

    @property
    def unit(self) -> tuple[str, str] | None:
        """What it shares with others but for its concept."""
        shared = self.control if self.control is not None else self.template
        return None if shared is None else (str(self.category), shared)


def prompts_of(tests: list[Row]) -> pd.DataFrame:
    """Return the prompts table: tests p0, p1, ..., and a control of each sentence, two where ids differ by template."""
    rows: list[dict[str, object]] = []
    controls: dict[tuple[str | None, str], str] = {}
    for place, test in enumerate(tests):
        control = None
        if test.control is not None:
            control = controls.setdefault((test.template, test.control), f"control {len(controls)}")
        named = {"category": test.category, "template_id": test.template, "concept": test.concept}
        named["concept_group"] = test.group
        rows.append({"prompt_id": f"p{place}", "prompt": f"prompt {place}", "control_id": control, **named})
    rows += [
        {"prompt_id": name, "prompt": sentence, "template_id": template}
        for (template, sentence), name in controls.items()
    ]
    columns = ["prompt_id", "prompt", "control_id", "category", "template_id", "concept", "concept_group"]
    table = pd.DataFrame(rows, columns=columns).astype(object).where(lambda cells: cells.notna(), None)
    return table.assign(prompt_set="set", neutral_control_id=None)


def generations_of(prompts: pd.DataFrame, models: dict[str, list[list[str]]], controls: list[str]) -> pd.DataFrame:
    """Return what models wrote after the tests, texts by test; after every control the same texts."""
    rows = []
    names = prompts["prompt_id"].to_list()
    for model, texts in models.items():
        for place, name in enumerate(names):
            found = texts[place] if place < len(texts) else controls
            rows += [(model, "set", name, sample, text) for sample, text in enumerate(found)]
    return pd.DataFrame(rows, columns=["model", "prompt_set", "prompt_id", "sample", "text"])


def similarity_of(similarity: Similarity) -> pd.DataFrame:
    rows = [(concept, text, value) for (concept, text), value in similarity.items()]
    return pd.DataFrame(rows, columns=["concept", "text", "similarity"]).assign(cut=False)


def names(text: str, concept: str) -> bool:
    """Whether the concept's words stand in the text, one after the other."""
    of_text, of_concept = (" ".join(re.findall(r"[a-z0-9]+", words.lower())) for words in (text, concept))
    return f" {of_concept} " in f" {of_text} "


def keeps_either(concept: str, text: str, other: str, other_text: str) -> bool:
    return not any(names(x, c) for x in (text, other_text) for c in (concept, other))


def keeps_own(concept: str, text: str, other: str, other_text: str) -> bool:
    return not names(text, concept) and not names(other_text, other)


class Loops:
    """The measure of one model by plain loops over units, groups, concepts and texts."""

    def __init__(
        self,
        tests: list[Row],
        texts: list[list[str]],
        similarity: Similarity,
        controls: list[str],
        keeps: Keeps = keeps_either,
    ) -> None:
        self.keeps, self.similarity, self.controls = keeps, similarity, controls
        with_control = {test.template for test in tests if test.control is not None}
        self.units: dict[tuple[str, str], dict[str, dict[str, list[str]]]] = {}
        self.asked: dict[str, dict[str, set[str]]] = {}
        for test, written in zip(tests, texts, strict=True):
            if test.unit is None or (test.control is None and test.template in with_control):
                continue
            self.asked.setdefault(test.unit[0], {}).setdefault(test.group, set()).add(test.concept)
            concepts = self.units.setdefault(test.unit, {}).setdefault(test.group, {})
            concepts.setdefault(test.concept, []).extend(written)

    def s(self, concept: str, text: str) -> float:
        return float(np.round(self.similarity[concept, text], 3)) if text.strip() else NONE

    def d(self, c: str, x: str, o: str, y: str) -> float:
        return round((self.s(c, x) - self.s(o, x)) - (self.s(c, y) - self.s(o, y)), 6)

    def sigma(self, c: str, o: str, categories_controls: list[str]) -> float:
        values = [self.s(c, text) - self.s(o, text) for text in categories_controls if text.strip()]
        return float(np.std(values, ddof=1)) if len(values) > 1 else NONE

    def pair(self, mine: dict[str, list[str]], others: dict[str, list[str]]) -> tuple[float, float, float]:
        """V of two groups, share kept, and V times kept."""
        found = []
        for (c, xs), (o, ys) in product(mine.items(), others.items()):
            won, kept, both = [], [], []
            for x, y in product(xs, ys):
                d = self.d(c, x, o, y)
                won.append(0.5 if np.isnan(d) or d == 0 else float(d > 0))
                kept.append(float(self.keeps(c, x, o, y)))
                both.append(won[-1] * kept[-1])
            found.append((fmean(won), fmean(kept), fmean(both)))
        return tuple(map(fmean, zip(*found, strict=True)))  # type: ignore[return-value]

    def unit(self, groups: dict[str, dict[str, list[str]]]) -> tuple[float, float, float]:
        pairs = [self.pair(groups[a], groups[b]) for a, b in combinations(groups, 2)]
        return tuple(map(fmean, zip(*pairs, strict=True)))  # type: ignore[return-value]

    def paired(self, category: str | None = None) -> dict[tuple[str, str], dict[str, dict[str, list[str]]]]:
        rows = {key: groups for key, groups in self.units.items() if len(groups) > 1}
        return {key: groups for key, groups in rows.items() if category is None or key[0] == category}

    def rate(self, category: str | None = None) -> tuple[float, float]:
        """Match rate, and without repetition."""
        units = [(len(groups), self.unit(groups)) for groups in self.paired(category).values()]
        total = sum(n for n, _ in units)
        kept = sum(n * values[1] for n, values in units)
        rate = 100 * sum(n * values[0] for n, values in units) / total if total else NONE
        return rate, 100 * sum(n * values[2] for n, values in units) / kept if kept else NONE

    def of_concept(self, concept: str, category: str) -> float:
        """The match rate of one concept against those of other groups."""
        found = []
        for groups in self.paired(category).values():
            for group in (name for name, concepts in groups.items() if concept in concepts):
                mine = {concept: groups[group][concept]}
                values = [self.pair(mine, groups[other])[0] for other in groups if other != group]
                found.append((len(groups), fmean(values)))
        return 100 * sum(n * value for n, value in found) / sum(n for n, _ in found)

    def effect(self) -> float:
        """Balanced mean of D / (2 σ) where all texts have a similarity and σ is that of all the controls' texts."""
        total, size = 0.0, 0
        for groups in self.paired().values():
            values = []
            for a, b in combinations(groups, 2):
                by_concepts = []
                for (c, xs), (o, ys) in product(groups[a].items(), groups[b].items()):
                    sigma = self.sigma(c, o, self.controls)
                    by_concepts.append(fmean(self.d(c, x, o, y) / (2 * sigma) for x, y in product(xs, ys)))
                values.append(fmean(by_concepts))
            total, size = total + len(groups) * fmean(values), size + len(groups)
        return total / size

    def wins(self, key: tuple[str, str], name: str, mine: list[str]) -> float:
        """How often the category's concepts of group ``name`` are more similar to these texts than to any text of the
        unit, groups weighing the same, in each its concepts."""
        groups, found = self.units[key], []
        for concept, x in product(self.asked[key[0]][name], mine):
            among = []
            for concepts in groups.values():
                of_group = []
                for texts in concepts.values():
                    differences = [self.s(concept, x) - self.s(concept, y) for y in texts]
                    of_group.append(fmean(0.5 if np.isnan(d) or d == 0 else float(d > 0) for d in differences))
                among.append(fmean(of_group))
            found.append(fmean(among))
        return fmean(found)


def random_study(seed: int, empty: bool = True) -> tuple[list[Row], list[list[str]], Similarity, list[str]]:
    """Return tests of every design, in categories with controls, without one and without name; texts; similarities."""
    rng = np.random.default_rng(seed)
    groups = {f"g{i}": [f"c{i}{j}" for j in range(rng.integers(1, 4))] for i in range(5)} | {"big": ["jet big"]}
    tests = []

    def add(category: str | None, template: str | None, controls: list[str | None], of: Iterable[str]) -> None:
        for control, group in product(controls, of):
            for concept in groups[group]:
                for _ in range(int(rng.integers(1, 3))):
                    tests.append(Row(category, template, control, concept, group, int(rng.integers(1, 4))))

    # Twelve prompts of one group, one each of four others: unequal groups.
    tests += [Row("k", "t0", "sentence 0", "c00", "g0") for _ in range(12)]
    tests += [Row("k", "t0", "sentence 0", f"c{i}0", f"g{i}") for i in range(1, 5)]
    add("k", "t1", ["sentence 1", "sentence 2"], ["g0", "g1", "big"])  # several controls in a template
    add("k", "t2", ["sentence 2"], ["g1", "g2"])  # a sentence shared with t1, its id another
    add("k", "t3", ["sentence 3"], ["g3"])  # one group: without partner
    tests.append(Row("k", "t1", None, "c20", "g2"))  # without a control where the template has one: no test
    add("free", "t4", [None], ["g0", "g4", "big"])  # the template is the unit
    add("free", "t5", [None], ["g2"])
    add(None, "t6", ["sentence 6"], ["g0", "g2", "g3"])
    tests.append(Row("free", None, None, "c10", "g1"))  # neither control nor template: no test
    pool = ["red", "big c00.", "a c10 thing", "JET big", "nothing", "c20", "x", "y z"] + (["", "  "] if empty else [])
    texts = [[str(text) for text in rng.choice(pool, test.n_texts)] for test in tests]
    concepts = sorted({test.concept for test in tests})
    # One decimal on half of the texts: ties.
    similarity = {
        (c, x): float(np.round(rng.normal(), 1 if place % 2 else 4)) for c in concepts for place, x in enumerate(pool)
    }
    return tests, texts, similarity, [str(text) for text in rng.choice(pool, 6)]


def units_of(study: tuple[list[Row], list[list[str]], Similarity, list[str]]) -> pd.DataFrame:
    tests, texts, similarity, controls = study
    prompts = prompts_of(tests)
    return match_units(prompts, generations_of(prompts, {"m": texts}, controls), similarity_of(similarity), "s")


@pytest.mark.parametrize("seed", range(6))
def test_rates_of_random_tables_are_those_of_plain_loops(seed: int) -> None:
    study = random_study(seed)
    loops, units = Loops(*study), units_of(study)
    table = match_rates(units, name_permutations=9).set_index("category")
    assert list(table.index) == ["k", "free", "all"]  # tests without category are in all alone
    for category, row in table.iterrows():
        key = None if category == "all" else str(category)
        expected = loops.rate(key)
        assert row["match_rate"] == pytest.approx(expected[0], abs=2e-6)
        assert row["match_rate_without_repetition"] == pytest.approx(expected[1], abs=2e-6, nan_ok=True)
        assert row["n_units"] == len(loops.paired(key))
        alone = [name for name, groups in loops.units.items() if len(groups) == 1 and key in (None, name[0])]
        assert row["n_without_partner"] == len(alone)
        assert row["n_prompts"] == sum(
            test.unit in loops.paired(key) for test in study[0] if test.control or test.template != "t1"
        )
        assert row["ci_low"] <= row["match_rate"] <= row["ci_high"]
    assert table.loc["k", "n_without_partner"] == table.loc["free", "n_without_partner"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_concepts_templates_and_names_of_random_tables_are_those_of_plain_loops(seed: int) -> None:
    study = random_study(seed + 10)
    loops, units = Loops(*study), units_of(study)
    by_concept = match_rates_by_concept(units)
    for row in by_concept[by_concept["category"] != "all"].itertuples():
        assert row.match_rate == pytest.approx(loops.of_concept(row.concept, row.category), abs=2e-6)
    by_template = match_rates_by_template(units)
    rates = by_template[by_template["category"] == "k"].set_index("template_id")["match_rate"]
    # Sentence 2 belongs to t1, where it stands first.
    mine = {"t0": ["sentence 0"], "t1": ["sentence 1", "sentence 2"]}
    assert set(rates.index) == set(mine)
    for template, sentences in mine.items():
        found = [loops.units["k", sentence] for sentence in sentences]
        total = sum(len(groups) * loops.unit(groups)[0] for groups in found)
        assert rates[template] == pytest.approx(100 * total / sum(map(len, found)), abs=2e-6)
    paired = units[units["n_groups"] > 1].assign(category=lambda rows: rows["category"].fillna("None"))
    for row in paired.itertuples():
        key = (row.category, row.unit)
        texts = loops.units[key][row.concept_group][row.concept]
        expected = [loops.wins(key, name, texts) for name in sorted(loops.asked[row.category])]
        np.testing.assert_allclose(row.name_wins, expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_effect_is_in_standard_deviations_of_all_models_control_texts(seed: int) -> None:
    tests, texts, similarity, controls = random_study(seed + 20, empty=False)
    tests, texts = zip(*[(t, x) for t, x in zip(tests, texts, strict=True) if t.category == "k"], strict=True)
    study = list(tests), list(texts), similarity, controls
    every = controls * len({(test.template, test.control) for test in tests if test.control})
    expected = Loops(list(tests), list(texts), similarity, every).effect()
    assert match_rates(units_of(study), name_permutations=9)["effect"].iloc[-1] == pytest.approx(expected, abs=2e-6)


def test_a_prompt_without_text_is_an_error() -> None:
    tests, texts, similarity, controls = random_study(0)
    with pytest.raises(InputError, match="^generations of m: prompt 'p3' has no sample"):
        units_of((tests, [*texts[:3], [], *texts[4:]], similarity, controls))


# What concepts are like, a group a letter: designs in which a model that is blind to the concept must have 50.
DESIGNS: dict[str, list[Row]] = {
    "unequal prompts": [Row("k", "t", "s", c, c) for c in ("red", "red", "red", "blue", "green")],
    "unequal samples": [Row("k", "t", "s", "red", "red", 3), Row("k", "t", "s", "blue", "blue", 1)],
    "unequal groups": [Row("k", "t", "s", c, g) for c, g in (("red", "r"), ("dark red", "r"), ("hot red", "r"))]
    + [Row("k", "t", "s", c, c) for c in ("blue", "green")],
    "several controls": [Row("k", "t", s, c, c) for s in ("s1", "s2") for c in ("red", "blue")]
    + [Row("k", "t", "s2", "green", "green")],
    "shared control": [Row("k", t, "s", c, c) for t in ("t1", "t2") for c in ("red", "blue")]
    + [Row("k", "t2", "s", "green", "green")],
    "no control": [Row(None, "t", None, c, c) for c in ("red", "red", "blue", "green", "green")],
}
LAW = {"red.": 0.5, "a thing": 0.3, "": 0.2}


def enumerated(tests: list[Row]) -> Iterator[tuple[float, list[list[str]]]]:
    """Yield every way to write so many texts by the law, with its probability."""
    ends = np.cumsum([test.n_texts for test in tests])
    for drawn in product(LAW, repeat=int(ends[-1])):
        chance = float(np.prod([LAW[text] for text in drawn]))
        yield chance, [list(drawn[end - test.n_texts : end]) for test, end in zip(tests, ends, strict=True)]


@pytest.mark.parametrize("name", DESIGNS)
def test_a_model_that_is_blind_to_the_concept_has_50_in_every_design(name: str) -> None:
    """Over all that it can write after these prompts, each with its probability: nothing is simulated.

    Without repetition, a pair of texts counts or does not whichever way round it is written, so that its share of wins
    is one half of its share.
    """
    tests = DESIGNS[name]
    rng = np.random.default_rng(3)
    similarity = {(test.concept, text): float(rng.normal()) for test in tests for text in LAW}
    total = np.zeros(3)
    for chance, texts in enumerated(tests):
        loops = Loops(tests, texts, similarity, [])
        total += chance * sum(len(groups) * np.array(loops.unit(groups)) for groups in loops.units.values())
    n = sum(len(groups) for groups in Loops(tests, [[""]] * len(tests), similarity, []).units.values())
    assert total[0] / n == pytest.approx(0.5, abs=1e-12)
    assert 0.05 < total[1] / n < 0.95
    assert total[2] / total[1] == pytest.approx(0.5, abs=1e-12)


def test_so_has_the_table_itself() -> None:
    tests = DESIGNS["unequal samples"]
    similarity = {("red", "red."): 0.9, ("blue", "red."): 0.4, ("red", "a thing"): 0.5, ("blue", "a thing"): 0.8}
    prompts = prompts_of(tests)
    ways = list(enumerated(tests))
    generations = generations_of(prompts, {f"m{place}": texts for place, (_, texts) in enumerate(ways)}, [])
    values = unit_values(match_units(prompts, generations, similarity_of(similarity), "s"))
    chance = np.array([chance for chance, _ in ways])
    assert values["model"].tolist() == [f"m{place}" for place in range(len(ways))]
    assert chance @ values["match"] == pytest.approx(0.5, abs=1e-12)
    assert chance @ values["kept_match"] == pytest.approx(0.5 * (chance @ values["kept"]), abs=1e-12)


def test_dropping_by_the_own_concept_alone_would_not_give_a_blind_model_50() -> None:
    """A guard: texts that name the *other* concept lose, and those that name the own one would be left out."""
    for concepts, expected in ((("red", "blue"), 0.0), (("red", "blue", "green"), 12.5)):
        tests = [Row("k", "t", "s", concept, concept) for concept in concepts]
        similarity = {(c, f"{x}."): float(c == x) for c in concepts for x in concepts}
        found: dict[Keeps, list[float]] = {keeps_own: [], keeps_either: []}
        total = {keeps_own: 0.0, keeps_either: 0.0}
        for drawn in product([f"{concept}." for concept in concepts], repeat=len(tests)):
            for keeps in found:
                loops = Loops(tests, [[text] for text in drawn], similarity, [], keeps)
                _, kept, both = loops.unit(loops.units["k", "s"])
                found[keeps].append(both)
                total[keeps] += kept
        assert 100 * sum(found[keeps_own]) / total[keeps_own] == pytest.approx(expected)
        if total[keeps_either]:  # of two concepts that are all that is ever written, no pair is left
            assert 100 * sum(found[keeps_either]) / total[keeps_either] == pytest.approx(50)


# Names that each give rise to texts of a length of their own, whatever they mean. Units have different names.
OVERLAPPING = ["abcd", "abcd", "abc", "bcd", "acd", "abd", "ab", "cd"]
LENGTHS = {"a": "a b", "b": "a b c d", "c": "a b c d e f", "d": "a"}


def lengths_study(profiles: dict[str, dict[str, float]]) -> pd.Series:
    """Return the match rates of a model that writes by name, where concepts have these similarities to the texts."""
    tests = [Row("k", f"t{i}", f"s{i}", name, name) for i, names in enumerate(OVERLAPPING) for name in names]
    similarity = {(name, text): value for name, values in profiles.items() for text, value in values.items()}
    units = units_of((tests, [[LENGTHS[test.concept]] for test in tests], similarity, []))
    return match_rates(units).iloc[-1]


@pytest.mark.slow
def test_p_names_is_uniform_where_the_length_of_texts_depends_on_names_and_p_templates_is_not() -> None:
    """Over all ways to give four names four profiles of similarity, with the same texts, no p is too frequent.

    Where the name stands and how long its texts are is the same in all templates, so that they agree on rates that
    differ from 50.
    """
    rng = np.random.default_rng(1)
    profiles = [{text: float(value) for text, value in zip(LENGTHS.values(), rng.normal(size=4), strict=True)}]
    profiles += [{text: float(value) for text, value in zip(LENGTHS.values(), rng.normal(size=4), strict=True)}]
    profiles += [{text: float(place) for place, text in enumerate(LENGTHS.values())}]
    profiles += [{text: float(len(text)) for text in LENGTHS.values()}]
    rows = pd.DataFrame([lengths_study(dict(zip("abcd", order, strict=True))) for order in permutations(profiles)])
    for p in rows["p_names"]:
        assert (rows["p_names"] < p + 0.02).mean() == pytest.approx(p, abs=0.03)  # orders may tie
    assert (rows["match_rate"] - 50).abs().mean() > 10
    assert (rows["p_templates"] < 0.05).mean() > 0.3


@pytest.mark.slow
def test_p_names_is_uniform_where_texts_are_drawn_and_names_write_at_different_length() -> None:
    """150 models, each with lengths of its own for twelve names; every unit has four of them."""
    rng = np.random.default_rng(2)
    names_of = [f"n{i}" for i in range(12)]
    tests = [
        Row("k", f"t{i}", f"s{i}", str(name), str(name), 2)
        for i in range(6)
        for name in rng.choice(names_of, 4, replace=False)
    ]
    pool = {f"text {length} {i}": length for length in range(4) for i in range(8)}
    slope = dict(zip(names_of, rng.normal(size=12), strict=True))
    similarity = {(c, x): slope[c] * length + 0.5 * rng.normal() for c in names_of for x, length in pool.items()}
    models = {}
    for place in range(150):
        length = dict(zip(names_of, rng.integers(0, 4, 12), strict=True))
        texts = [[f"text {length[test.concept]} {i}" for i in rng.integers(0, 8, 2)] for test in tests]
        models[f"m{place}"] = texts
    prompts = prompts_of(tests)
    units = match_units(prompts, generations_of(prompts, models, ["text 0 0"]), similarity_of(similarity), "s")
    rows = match_rates(units, name_permutations=999).query("category == 'all'")
    for level in (0.05, 0.25, 0.5):
        share, error = (rows["p_names"] <= level).mean(), np.sqrt(level * (1 - level) / len(rows))
        assert abs(share - level) < 2.6 * error


def test_the_exact_p_of_three_names_is_that_of_their_six_orders() -> None:
    # Only the name on the diagonal wins: S is 3; of the six orders one gives 3, three 1 and two 0; E S is 1.
    p = name_permutation_p([np.eye(3)], permutations=20_000)
    assert p == pytest.approx(1 / 6, abs=0.01)
    assert name_permutation_p([np.eye(3), np.zeros((1, 1))], 99) == name_permutation_p([np.eye(3)], 99)
    assert np.isnan(name_permutation_p([np.ones((1, 1))]))


def test_names_change_places_where_they_are_in_the_same_categories() -> None:
    """x and y are in both categories, z in one: it stays where it is, and two names alone cannot tell anything."""
    tests = [Row("k", "t", "s", c, c) for c in "xyz"] + [Row("l", "u", "s", c, c) for c in "xy"]
    similarity = {(c, text): float(c == text) for c in "xyz" for text in "xyz"}
    table = match_rates(units_of((tests, [[test.concept] for test in tests], similarity, []))).set_index("category")
    assert table["match_rate"].tolist() == [100, 100, 100]
    assert table["n_units"].tolist() == [1, 1, 2]  # one sentence, two categories
    assert table.loc["k", "p_names"] == pytest.approx(1 / 6, abs=0.02)
    assert table.loc["all", "p_names"] == table.loc["l", "p_names"] == 1


def test_the_least_p_of_names_is_that_of_one_order_of_all() -> None:
    assert smallest_name_p([np.eye(3)]) == 1 / 6
    assert smallest_name_p([np.eye(2)]) == 1  # the other order is as far off
    assert smallest_name_p([np.eye(2), np.eye(2)]) == 2 / 4
    assert smallest_name_p([np.eye(11)], 999) == 1 / 1000
    assert np.isnan(smallest_name_p([np.ones((1, 1))]))


def test_tests_are_corrected_each_by_itself_and_few_templates_or_concepts_are_marked() -> None:
    """Three units of three concepts, and one of ten: one category has three templates, the other one."""
    names = [f"c{i}" for i in range(10)]
    tests = [Row("k", f"t{i}", f"s{i}", c, c) for i in range(3) for c in names[:3]]
    tests += [Row("l", "u", "s", c, c) for c in names]
    similarity = {(c, x): float(c == x) for c in names for x in names}
    units = units_of((tests, [[test.concept] for test in tests], similarity, []))
    table = match_rates(units).set_index("category")
    assert table["few"].to_list() == ["templates and concepts", "templates", "templates"]
    assert table["family"].to_list() == ["other", "other", "primary"]
    # Alone in its family; the two others: (1 + 1/2) · 2 / rank
    assert table.loc["all", "p_templates_corrected"] == table.loc["all", "p_templates"] == 2 / 2**4
    assert table["sd"].to_list() == pytest.approx([0, np.nan, 0], nan_ok=True)
    assert table.loc[["k", "l"], "p_templates"].to_list() == [2 / 2**3, 1]
    assert table.loc[["k", "l"], "p_templates_corrected"].to_list() == [2 / 2**3 * 3, 1]
    assert table.loc[["k", "l"], "p_names_corrected_smallest"].to_list() == pytest.approx([1.5 / 6, 3 / 10_000])


def test_the_smallest_rate_that_is_detectable_is_that_of_clusters_sd_and_the_level_of_the_first_of_all_tests() -> None:
    rng = np.random.default_rng(4)
    names = [f"c{i}" for i in range(5)]
    tests = [Row("k", f"t{i}", f"s{i}", c, c) for i in range(12) for c in names]
    similarity = {(c, f"{x}"): float(c == x) + rng.normal(0, 0.7) for c in names for x in names}
    prompts = prompts_of(tests)
    texts = [[str(rng.choice([test.concept, *names]))] for test in tests]
    models = {"a": texts, "b": texts[::-1], "c": [["c0"]] * len(tests)}
    units = match_units(prompts, generations_of(prompts, models, []), similarity_of(similarity), "s")
    table = match_rates(units, level=0.9).query("category == 'all'")
    by_unit = units.query("model == 'a'").groupby("unit")["match"].mean()
    row = table.iloc[0]
    assert row["sd"] == pytest.approx(100 * by_unit.std(), abs=1e-6)
    assert row["detectable"] == pytest.approx(50 + detectable(row["sd"], 12, 0.1 / 3), abs=1e-5)
    assert 50 < row["detectable"] < 100
    alone = match_rates(units, level=0.9, primary={"model": ["a"], "category": ["all"]}).query("category == 'all'")
    assert alone["detectable"].iloc[0] == pytest.approx(50 + detectable(row["sd"], 12, 0.1), abs=1e-5)
    assert np.isnan(match_rates(units[units["unit"].isin(["s0", "s1"])])["detectable"]).all()  # two templates


def test_a_line_says_why_there_is_no_interval_for_other_concepts() -> None:
    rates = pd.DataFrame({"prompt_set": "set", "category": ["k", "l", "m", "n"], "match_rate": [60.0, 60, 60, 100]})
    rates = rates.assign(sd=5.0, n_groups=[3, 8, 8, 8], ci_concepts_low=[np.nan, np.nan, 40, np.nan])
    assert without_concept_interval(pd.concat([rates, rates])) == [
        "set: no interval for other concepts in category k: there are fewer than 4 concepts.",
        "set: no interval for other concepts in category l: most controls have two concepts, which do not say how far "
        "one of them matters.",
    ]
    assert without_concept_interval(rates.assign(sd=0.0)) == []  # clusters that do not differ


def test_dyadic_limits_are_what_is_worked_out_by_hand() -> None:
    """Two units of four groups: in one, group 0 has .8 against all others, which have .5; in the other all have .65.

    θ₋₀ = .575, the others .675, so V_G = ¾ (.075² + 3 · .025²) = .005625; within the first unit, weight ¼, the same
    jackknife gives ¼ · ¾ (.15² + 3 · .05²) = .005625. With V_T = .001, V = V_G: √V = .075; t of one degree is 12.7062.
    """
    value = np.array([0.8, 0.6, 0.6, 0.6, 0.65, 0.65, 0.65, 0.65])
    dyads = Dyads(np.repeat([0, 1], 4), np.tile(np.arange(4), 2), value, np.array([0, 1]))
    half = 12.7062047 * 0.075 / (0.65 * 0.35)
    expected = [1 / (1 + np.exp(-(np.log(0.65 / 0.35) + sign * half))) for sign in (-1, 1)]
    np.testing.assert_allclose(dyadic_interval(dyads, 0.001, 0.95), expected, rtol=1e-6)
    # Those of clusters alone count where they lie farther.
    wider = dyadic_interval(dyads, 0.001, 0.95, (expected[0] / 2, expected[1] / 2))
    np.testing.assert_allclose(wider, (expected[0] / 2, expected[1]), rtol=1e-6)


def dyads_of(values: dict[tuple[int, int, int], float], n_units: int) -> Dyads:
    """Return means over pairs from V_u(g, g′), g < g′; each unit is a cluster."""
    by_group: dict[tuple[int, int], list[float]] = {}
    for (unit, one, other), value in values.items():
        by_group.setdefault((unit, one), []).append(value)
        by_group.setdefault((unit, other), []).append(value)
    unit, group = np.array(list(by_group)).T
    return Dyads(unit, group, np.array([fmean(found) for found in by_group.values()]), np.arange(n_units))


def dyadic_loops(values: dict[tuple[int, int, int], float], cluster_variance: float) -> tuple[float, float]:
    """The limits from V_u(g, g′) by leaving out pairs one group at a time."""

    def mean_of(kept: dict[tuple[int, int, int], float]) -> float:
        total, size = 0.0, 0
        for unit in {unit for unit, _, _ in kept}:
            n = len({group for u, *pair in kept if u == unit for group in pair})
            total, size = total + n * fmean(v for (u, *_), v in kept.items() if u == unit), size + n
        return total / size

    def jackknife(kept: dict[tuple[int, int, int], float]) -> float:
        groups = sorted({group for _, *pair in kept for group in pair})
        left = [mean_of({key: v for key, v in kept.items() if group not in key[1:]}) for group in groups]
        return (len(groups) - 1) / len(groups) * sum((x - fmean(left)) ** 2 for x in left)

    units = sorted({unit for unit, _, _ in values})
    sizes = {unit: len({group for u, *pair in values if u == unit for group in pair}) for unit in units}
    of_unit = {unit: {key: v for key, v in values.items() if key[0] == unit} for unit in units}
    share = {unit: sizes[unit] / sum(sizes.values()) for unit in units}
    within = sum(share[unit] ** 2 * jackknife(of_unit[unit]) for unit in units if sizes[unit] > 2)
    by_group, mean = jackknife(values), mean_of(values)
    variance = max(cluster_variance + by_group - within, cluster_variance, by_group)
    n_groups = len({group for _, *pair in values for group in pair})
    half = stats.t.ppf(0.975, min(len(units), n_groups) - 1) * np.sqrt(variance) / (mean * (1 - mean))
    return tuple(special.expit(special.logit(mean) + sign * half) for sign in (-1, 1))  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(4))
def test_dyadic_limits_of_unequal_units_are_those_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {}
    for unit in range(6):
        groups = rng.choice(6, rng.integers(2, 7), replace=False).tolist()
        values |= {(unit, *sorted(pair)): float(rng.uniform(0.4, 1)) for pair in combinations(groups, 2)}
    for variance in (1e-6, 0.01):
        found = dyadic_interval(dyads_of(values, 6), variance, 0.95)
        np.testing.assert_allclose(found, dyadic_loops(values, variance), rtol=1e-9)


def test_limits_of_all_categories_are_stratified() -> None:
    """Two categories of six units each that differ by some 40 points, with concepts of their own, or the same."""
    rng = np.random.default_rng(6)
    for shared in (False, True):
        names = {"k": ["a", "b", "c", "d"], "l": ["a", "b", "c", "d"] if shared else ["e", "f", "g", "h"]}
        tests = [Row(k, f"{k}{u}", f"{k}{u}", c, c, 2) for k, of in names.items() for u in range(6) for c in of]
        similarity = {(c, x): float(c == x) + rng.normal(0, 0.2) for c in "abcdefgh" for x in "abcdefgh"}
        texts = [[t.concept] * 2 if t.category == "k" else list(map(str, rng.choice([*names["l"]], 2))) for t in tests]
        units = units_of((tests, texts, similarity, []))
        row = match_rates(units).set_index("category").loc["all"]
        values = unit_values(units)
        totals, sizes = (values["n_groups"] * values["match"]).to_numpy(), values["n_groups"].to_numpy(float)
        category, cluster = pd.factorize(values["category"])[0], np.arange(12)
        expected = intervals_of_totals(100 * totals, sizes, strata=category)
        alone = expected.low.item(), expected.high.item()
        assert (row["ci_low"], row["ci_high"]) == pytest.approx(alone, abs=1e-6)
        assert row["sd"] == pytest.approx(100 * np.sqrt(12 * linearised_variance(totals, sizes)), abs=1e-5)
        assert row["sd"] > 100 * np.sqrt(12 * linearised_variance(totals, sizes, category)) + 3
        groups = units.assign(name=units["concept_group"])
        dyads = Dyads(
            values.index.get_indexer(groups.merge(values.reset_index(), on=["category", "unit"])["index"]),
            pd.factorize(groups["name"])[0], groups["match"].to_numpy(), cluster,
        )  # fmt: skip
        variance = float(linearised_variance(totals, sizes, category))
        both = dyadic_interval(dyads, variance, 0.95, (alone[0] / 100, alone[1] / 100), groups["category"])
        assert (row["ci_concepts_low"], row["ci_concepts_high"]) == pytest.approx(tuple(100 * np.array(both)), abs=1e-5)


def test_groups_of_strata_are_compared_with_their_own_mean() -> None:
    """Two units of four groups each, all their own: what strata differ by, and how a unit weighs, is no V_G."""
    value = np.array([0.8, 0.6, 0.6, 0.6, 0.3, 0.3, 0.3, 0.3])
    dyads = Dyads(np.repeat([0, 1], 4), np.arange(8), value, np.array([0, 1]))
    # Without group 0: (3 · .5 + 4 · .3)/7; without one of the others of its unit, whose mean then is .7: 3.3/7.
    left = np.array([2.7, 3.3, 3.3, 3.3]) / 7
    variance = 3 / 4 * ((left - left.mean()) ** 2).sum()
    half = stats.t.ppf(0.975, 1) * np.sqrt(variance) / (0.475 * 0.525)
    found = dyadic_interval(dyads, 1e-9, 0.95, strata=np.repeat(["x", "y"], 4))
    # V_TG is the same jackknife within the first unit, weight 1/4, which is more than V_G: V = V_G.
    np.testing.assert_allclose(special.logit(found) - special.logit(0.475), [-half, half], rtol=1e-6)
    wider = dyadic_interval(dyads, 1e-9, 0.95)
    assert wider[1] > found[1]


def test_dyadic_limits_are_empty_where_groups_or_clusters_are_too_few() -> None:
    pairs = {(unit, *pair): 0.5 + 0.01 * unit for unit in range(3) for pair in combinations(range(3), 2)}
    assert np.isnan(dyadic_interval(dyads_of(pairs, 3), 0.01, 0.95)).all()  # three groups
    four = {(0, *pair): 0.6 for pair in combinations(range(4), 2)}
    assert np.isnan(dyadic_interval(dyads_of(four, 1), 0.01, 0.95)).all()  # one cluster
    two = {(0, *pair): 1.0 for pair in combinations(range(4), 2)} | {(1, 0, 1): 1.0}
    assert np.isnan(dyadic_interval(dyads_of(two, 2), 0.0, 0.95)).all()  # always 1


@pytest.mark.slow
def test_dyadic_limits_hold_the_rate_of_other_templates_and_concepts() -> None:
    """400 studies of 10 templates and 11 concepts, both of which matter; by templates alone it is far fewer."""
    rng = np.random.default_rng(5)
    held = np.zeros(2)
    for _ in range(400):
        template, concept, both = rng.normal(0, 0.05, 10), rng.normal(0, 0.05, 11), rng.normal(0, 0.05, (10, 11))
        values = {
            (u, i, j): 0.65 + template[u] + concept[[i, j]].sum() + both[u, [i, j]].sum() + rng.normal(0, 0.1)
            for u in range(10)
            for i, j in combinations(range(11), 2)
        }
        dyads = dyads_of(values, 10)
        totals = dyads.means * dyads.sizes
        low, high = dyadic_interval(dyads, float(linearised_variance(totals, dyads.sizes)), 0.95)
        alone = intervals_of_totals(100 * totals, dyads.sizes)
        held += low <= 0.65 <= high, alone.low <= 65 <= alone.high
    coverage = 100 * held / 400
    assert coverage[0] >= 95 - 2.6 * 1.09
    assert coverage[1] < 85


def test_p_templates_is_uniform_for_blind_models_of_skewed_similarities() -> None:
    """1,000 studies of eight templates and six concepts, a text each: D is as likely to have the other sign."""
    rng = np.random.default_rng(8)
    s = rng.lognormal(0, 1, (1000, 8, 6, 6))  # concept, text; text i was written after concept i
    own = np.diagonal(s, axis1=2, axis2=3)
    d = own[..., :, None] + own[..., None, :] - s - np.swapaxes(s, 2, 3)
    match = (d[..., *np.triu_indices(6, 1)] > 0).mean(-1)
    p = sign_flip_p(6 * (match - 0.5))
    for level in (0.0625, 0.25, 0.5):
        assert abs((p <= level).mean() - level) < 2.6 * (level * (1 - level) / 1000) ** 0.5


def test_names_permuted_apart_in_overlapping_units_would_be_called_different_too_often() -> None:
    """400 studies in which a text's length depends on its name, and nothing else: why names are permuted once."""
    rng = np.random.default_rng(9)
    units = [list(range(11)), list(range(11)), list(range(10)), list(range(1, 11))]
    found: dict[str, list[float]] = {"once": [], "apart": []}
    for _ in range(400):
        length, slope = rng.normal(size=(2, 11))
        once, apart = np.zeros((11, 11)), [np.zeros((len(names), len(names))) for names in units]
        for names, table in zip(units, apart, strict=True):
            s = slope[:, None] * length[names] + 0.5 * rng.normal(size=(11, len(names)))
            wins = stats.rankdata(s, axis=1) / len(names)
            once[:, names] += wins
            table += wins[names]
        found["once"].append(name_permutation_p([once], 199))
        found["apart"].append(name_permutation_p(apart, 199))
    share = {name: float((np.array(p) <= 0.05).mean()) for name, p in found.items()}
    assert abs(share["once"] - 0.05) < 2.6 * (0.05 * 0.95 / 400) ** 0.5
    assert share["apart"] > 0.1


def test_a_blind_model_that_restates_has_50_without_echoes() -> None:
    """It names any color, and so, now and then, the own one: leaving out those texts alone would leave 22."""
    colors = ["red", "green", "blue"]
    sentence, rng = "Tom wore a {} hat today. He also bought".format, np.random.default_rng(3)
    rows = [("control", None, None, "Tom wore a hat today. He also bought")]
    rows += [(color, "control", color, sentence(color)) for color in colors]
    prompts = pd.DataFrame(rows, columns=["prompt_id", "control_id", "concept", "prompt"])
    prompts = prompts.assign(concept_group=prompts["concept"], category="k", template_id="hat", neutral_control_id=None)
    texts = [f"a {said} hat." for said in colors] + ["a hat."]
    written = [
        ("m", "set", prompt_id, sample, str(rng.choice(texts[:3])) if prompt_id != "control" else texts[3])
        for prompt_id in prompts["prompt_id"]
        for sample in range(150)
    ]
    generations = pd.DataFrame(written, columns=["model", "prompt_set", "prompt_id", "sample", "text"])
    similarity = pd.DataFrame(
        [(color, text, float(color in text)) for color in colors for text in texts],
        columns=["concept", "text", "similarity"],
    ).assign(cut=False)
    units = match_units(prompts.assign(prompt_set="set"), generations, similarity, "s")
    found = match_rates(units).set_index("category").loc["all"]
    assert found["echo_rate"] == pytest.approx(100 / 3, abs=5)
    assert found["match_rate"] == pytest.approx(50, abs=4)
    # Of the pairs that are left both texts name the third color.
    assert found["match_rate_without_echo"] == 50
    pairs = compare_pairs(prompts.assign(prompt_set="set"), generations, similarity, "s")
    rates = leak_rates(pairs).set_index("category").loc["all"]
    assert rates["echo_rate"] > 20
