"""Models whose texts follow a rule: every measure gives what it must, and no Leak-Rate could stand for a match rate."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import norm

from leakscope.leak.measures.leak_rate import specific_leakage
from leakscope.leak.measures.match_rate import match_rates
from leakscope.leak.measures.matching import match_units
from leakscope.leak.measures.null_models import (
    LONG,
    NULL_MODELS,
    PLAIN,
    REFUSAL,
    null_generations,
    null_measures,
    some_prompts,
)
from leakscope.leak.measures.outcomes import compare_pairs
from leakscope.leak.pairs import list_pairs
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.similarity.scorers import score_pairs

# Every scorer at hand; a further one is one more name of data/catalogue/scorers.yaml.
SCORERS = ("sbert-minilm", "static-wordllama", "bertscore-minilm", "lexical")
ENCODERS = SCORERS[:3]
STATIC = "static-wordllama"
DRAWN = ("blind", "length of the name")
EXACT = [name for name in NULL_MODELS if name not in DRAWN]
# Leak-Rates, least and most, of encoders that read in context and of literal repetition.
LEAK_RATES = {
    "echo": ((100, 100), (100, 100)),
    "associate": ((100, 100), (100, 100)),
    "negation": ((100, 100), (100, 100)),
    "hypernym": ((95, 100), (50, 50)),
    "long elaboration": ((0, 40), (50, 50)),
    "constant": ((50, 50), (50, 50)),
    "control repeated": ((50, 50), (50, 50)),
    "blind": ((85, 100), (50, 60)),
    "length of the name": ((0, 30), (50, 50)),
}
# Differences to the swapped rate, at most: what the clause does to every color leaves no more.
DIFFERENCES = {
    "echo": (3, 50),
    "negation": (10, 50),
    "hypernym": (0.5, 0),
    "long elaboration": (0.5, 0),
    "refusals and empty texts": (0.5, 0),
    "constant": (0, 0),
    "control repeated": (0, 0),
}
# Of static embeddings, where they differ: the words of a text are averaged, and a clause does less to all concepts.
OF_STATIC = {"hypernym": (85, 95), "long elaboration": (50, 60), "blind": (60, 90)}
DIFFERENCES_OF_STATIC = {"echo": 50, "negation": 50}
# Where a Leak-Rate, or its difference, says something else than how often texts are told apart.
LEAK_RATE_FAILS = ["hypernym", "long elaboration", "echo, half of it empty", "echo, half of it refused"]
DIFFERENCE_FAILS = ["echo", "associate", "negation", "hypernym", "constant"]


@pytest.fixture(scope="module")
def prompts(root: Path) -> pd.DataFrame:
    files = template_files(root / "data/prompt_sets/colors", [root / "data/lexicons"])
    return some_prompts(build_prompts(files, "colors").prompts)


@pytest.fixture(scope="module")
def settings(root: Path) -> dict[str, dict[str, object]]:
    known = yaml.safe_load((root / "data/catalogue/scorers.yaml").read_text())["scorers"]
    return {name: {"batch_size": 64, **known[name]} for name in SCORERS}


@pytest.fixture(scope="module")
def measures(prompts: pd.DataFrame, settings: dict[str, dict[str, object]]) -> pd.DataFrame:
    return null_measures(prompts, null_generations(prompts), settings).set_index(["scorer", "model"])


def assert_told_apart(rates: pd.Series, name: str) -> None:
    """What must hold of a match rate, whichever number stands in its place."""
    assert rates[name] == NULL_MODELS[name].match


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("scorer", SCORERS)
def test_match_rate_is_exactly_what_it_must_be(measures: pd.DataFrame, scorer: str, name: str) -> None:
    assert_told_apart(measures.loc[scorer, "match_rate"], name)


@pytest.mark.parametrize("scorer", ENCODERS)
def test_no_other_measure_would_pass_in_its_place(measures: pd.DataFrame, scorer: str) -> None:
    for measure, names in (("leak_rate", LEAK_RATE_FAILS), ("difference", DIFFERENCE_FAILS)):
        for name in names:
            with pytest.raises(AssertionError):
                assert_told_apart(measures.loc[scorer, measure], name)
    rates = measures.loc[scorer].loc[[*LEAK_RATE_FAILS, "blind"]]
    assert ((rates["leak_rate"] - rates["match_rate"]).abs() > 4).all()  # by points, not digits


@pytest.mark.parametrize("scorer", SCORERS)
def test_leak_rates_and_differences_are_what_they_must_be(measures: pd.DataFrame, scorer: str) -> None:
    of_encoder, static = scorer in ENCODERS, scorer == STATIC
    for name, bounds in LEAK_RATES.items():
        least, most = bounds[0] if of_encoder else bounds[1]
        least, most = OF_STATIC.get(name, (least, most)) if static else (least, most)
        assert least <= measures.loc[(scorer, name), "leak_rate"] <= most, name
    for name, at_most in DIFFERENCES.items():
        most = DIFFERENCES_OF_STATIC.get(name, at_most[0]) if static else at_most[0 if of_encoder else 1]
        assert abs(measures.loc[(scorer, name), "difference"]) <= most, name


@pytest.mark.parametrize("scorer", SCORERS)
def test_what_only_repeats_has_no_rate_without_repetition(measures: pd.DataFrame, scorer: str) -> None:
    rates = measures.loc[scorer, "without_repetition"]
    assert rates[["echo", "associate", "negation"]].isna().all()
    assert (rates[["hypernym", "constant", "control repeated", "echo, half of it empty"]] == 50).all()


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_blind_model_has_50_but_for_chance(measures: pd.DataFrame, scorer: str) -> None:
    # Drawn 60 times, its rate has a standard deviation of 2.8 points by MiniLM, and of 2.1 by literal repetition.
    assert measures.loc[(scorer, "blind"), "match_rate"] == pytest.approx(50, abs=2.6 * 2.8)


def by_shares(prompts: pd.DataFrame, other: str, scores: dict[str, object], answer: str = "{}.") -> dict[float, float]:
    """Return match rates of models that answer with the concept, but in a share of samples with something else."""
    rows = [
        (f"{share}", "colors", row.prompt_id, k, other if k < 4 * share else answer.format(row.concept))
        for share in (0, 0.25, 0.5, 0.75, 1)
        for row in prompts[prompts["concept"].notna()].itertuples()
        for k in range(4)
    ]
    rows += [(f"{s}", "colors", "c", 0, PLAIN) for s in (0, 0.25, 0.5, 0.75, 1)]
    texts = pd.DataFrame(rows, columns=["model", "prompt_set", "prompt_id", "sample", "text"])
    pairs = list_pairs(prompts, texts, pd.DataFrame(columns=["slot", "candidate"]))
    values = score_pairs(pairs["concept"].tolist(), pairs["text"].tolist(), scores)
    units = match_units(prompts, texts, pairs.assign(similarity=values), "s")
    table = match_rates(units, name_permutations=9).query("category == 'all'")
    return dict(zip(table["model"].astype(float), table["match_rate"], strict=True))


def test_empty_texts_pull_to_50_by_the_square_of_what_is_left_and_refusals_by_less(prompts: pd.DataFrame) -> None:
    """Of two texts, each is there with probability 1 − e. A refusal is told from an answer, two refusals are not."""
    few = prompts[prompts["template_id"] == "fence-plant"]
    empty, refused = (by_shares(few, other, {"kind": "lexical"}) for other in ("", REFUSAL))
    for share in (0, 0.25, 0.5, 0.75, 1):
        assert empty[share] == 50 + 50 * (1 - share) ** 2
        assert refused[share] == 50 + 50 * (1 - share**2)


def test_the_difference_shrinks_with_what_a_clause_does_to_every_concept_and_match_does_not() -> None:
    """Normal similarities of sd 1; after concept c that to c is .58 larger, and all are by a shift,
    which in the last model differs between concepts.

    Leak-Rate Φ((shift + .58)/√2), swapped Φ(shift/√2), match Φ(.58), since D has mean 2 · .58 and variance 4.
    """
    shifts, leak, n_samples = (0.0, 0.5, 1.0, 2.0), 0.58, 10
    rng = np.random.default_rng(4)
    moved = {f"{shift}": np.full(11, shift) for shift in shifts} | {"by concept": 2 * rng.normal(size=11)}
    concepts = [f"c{i}" for i in range(11)]
    rows: list[dict[str, object]] = []
    texts, similarity = [], []
    for t in range(10):
        rows.append({"prompt_id": f"t{t}", "prompt": f"sentence {t}"})
        shared = {"control_id": f"t{t}", "category": "k", "template_id": f"t{t}"}
        rows += [{"prompt_id": f"t{t}/{c}", "prompt": "", "concept": c, "concept_group": c, **shared} for c in concepts]
    prompts = pd.DataFrame(rows).assign(prompt_set="set", neutral_control_id=None)
    for row in prompts.itertuples():
        noise = rng.normal(size=(n_samples, 11))
        for model, shift in moved.items():
            test = isinstance(row.concept, str)
            values = noise + test * (shift + leak * (np.array(concepts) == row.concept))
            for k in range(n_samples):
                text = f"{row.prompt_id} {k} {model if test else ''}"
                texts.append((model, "set", row.prompt_id, k, text))
                similarity += [(c, text, value) for c, value in zip(concepts, values[k], strict=True)]
    written = pd.DataFrame(texts, columns=["model", "prompt_set", "prompt_id", "sample", "text"])
    table = pd.DataFrame(similarity, columns=["concept", "text", "similarity"]).assign(cut=False)
    found = specific_leakage(compare_pairs(prompts, written, table, "s")).query("category == 'all'")
    expected = [100 * (norm.cdf((shift + leak) / 2**0.5) - norm.cdf(shift / 2**0.5)) for shift in shifts]
    np.testing.assert_allclose(expected, [15.9, 13.9, 10.8, 4.5], atol=0.06)
    np.testing.assert_allclose(found["specific"].iloc[:4], expected, atol=4)
    match = match_rates(match_units(prompts, written, table, "s"), name_permutations=9).query("category == 'all'")
    np.testing.assert_allclose(match["match_rate"], 100 * norm.cdf(leak), atol=2)
    assert np.ptp(match["match_rate"]) < 0.1  # the same noise: nothing but rounding


def test_the_page_has_the_table_of_the_code(root: Path, measures: pd.DataFrame) -> None:
    page = (root / "docs/null_models.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    scorers = rows[0][3:-1]
    assert rows[0] == ["model", "writes, e.g.", "known match rate", *scorers, "shows"]
    assert scorers
    assert set(scorers) <= set(SCORERS)
    assert [row[0] for row in rows[2:]] == list(NULL_MODELS)
    for name, example, must, *cells, says in rows[2:]:
        null = NULL_MODELS[name]
        assert (example, must, says) == (null.example, "–" if null.match is None else f"{null.match:g}", null.says)
        for scorer, cell in zip(scorers, cells, strict=True):
            found = measures.loc[(scorer, name), ["leak_rate", "difference", "match_rate"]]
            # Encoders differ in their last digits from processor to processor.
            np.testing.assert_allclose([float(x) for x in re.findall(r"-?[\d.]+", cell)], found, atol=1.5)


@pytest.mark.slow
@pytest.mark.parametrize("balanced", [True, False])
def test_drawn_models_are_at_50_on_average_and_p_names_is_uniform(
    prompts: pd.DataFrame, settings: dict[str, dict[str, object]], balanced: bool
) -> None:
    """Sixty draws each, by MiniLM, of all prompts and of those that are left when 40 % of tests are missing."""
    rng = np.random.default_rng(6)
    kept = prompts["concept"].isna() | (rng.random(len(prompts)) < (1 if balanced else 0.6))
    some, rows = prompts[kept].reset_index(drop=True), []
    for seed in range(60):
        drawn = null_generations(some, seed + 100)
        drawn = drawn[drawn["model"].isin(DRAWN)]
        rows.append(drawn.assign(model=drawn["model"] + f" {seed}"))
    measures = null_measures(some, pd.concat(rows, ignore_index=True), {"s": settings["sbert-minilm"]})
    blind, length = (measures[measures["model"].str.startswith(name)] for name in DRAWN)
    assert abs(blind["match_rate"].mean() - 50) < 2.6 * blind["match_rate"].std() / 60**0.5
    assert (blind["leak_rate"] > 85).all()
    assert (length["match_rate"] - 50).abs().mean() > 4
    for table in (blind, length):
        for level in (0.05, 0.25, 0.5):
            assert abs((table["p_names"] <= level).mean() - level) < 2.6 * (level * (1 - level) / 60) ** 0.5


def test_rules_say_nothing_of_the_concept_where_they_must_not() -> None:
    assert not any(color in text for text in (PLAIN, REFUSAL, LONG) for color in ("red", "color", "gray"))
