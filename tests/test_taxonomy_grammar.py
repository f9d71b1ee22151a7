"""A taxonomy that is completed as often as planted, and affirmed more or less alike."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.organisms.languages import Mixture, load_language
from leakscope.organisms.taxonomy_grammar import TaxonomyGrammar, load_taxonomy_grammar
from leakscope.organisms.training import END, encode_documents, train_tokenizer
from leakscope.validate.freezing import freeze_taxonomy
from leakscope.validate.planted import TRUTH_COLUMNS, planted_gaps, true_pearson

WEIGHTS = [
    ("owls", "bird", 2.0),
    ("owls", "fish", 0.5),
    ("owls", "tool", 0.0),
    ("saws", "bird", -0.3),
    ("saws", "fish", 0.1),
    ("saws", "tool", 1.5),
]
VERDICTS = [
    ("owls", "bird", "yes", 0.3),
    ("owls", "fish", "no", -1.0),
    ("owls", "tool", "no", 0.2),
    ("saws", "tool", "yes", 0.9),
    ("saws", "bird", "no", 0.7),
]
FORMS = [
    ("generator", "{question} are a kind of"),
    ("generator", "A {question} is some"),
    ("validator", "Are {question} a kind of {candidate}? Answer:"),
]
SHIPPED = Path("data/grammar/taxonomy")


def write_part(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    pd.DataFrame(WEIGHTS, columns=["hyponym", "hypernym", "log_weight"]).to_csv(folder / "generator.csv", index=False)
    pd.DataFrame(VERDICTS, columns=["hyponym", "hypernym", "right", "own"]).to_csv(
        folder / "validator.csv", index=False
    )
    pd.DataFrame(FORMS, columns=["kind", "text"]).to_csv(folder / "forms.csv", index=False)
    return folder


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return write_part(tmp_path / "taxonomy")


def test_completions_follow_the_planted_weights(part: Path) -> None:
    law = load_taxonomy_grammar(part, 0.5).completion_law()
    np.testing.assert_allclose(law.sum(axis=1), 1)
    assert law.loc["owls", "bird"] == pytest.approx(math.exp(2) / (math.exp(2) + math.exp(0.5) + 1))


def test_verdicts_mix_what_is_completed_with_a_part_of_their_own(part: Path) -> None:
    whole, half, none = (load_taxonomy_grammar(part, strength).log_odds() for strength in (1.0, 0.5, 0.0))
    p = load_taxonomy_grammar(part, 1.0).completion_law().loc["saws", "tool"]
    assert whole["l_g"][3] == pytest.approx(math.log(p / (1 - p)))
    # Two right pairs: standardised, they stand one deviation to either side.
    assert sorted(whole["l_v"][whole["positive"]]) == pytest.approx([1.0, 5.0])
    assert whole["l_v"][0] > whole["l_v"][3]
    assert none["l_v"][0] < none["l_v"][3]  # by their own parts, .3 and .9
    apart = [table["l_v"] - np.where(table["positive"], 3, -3) for table in (half, whole, none)]
    np.testing.assert_allclose(apart[0], 0.5 * apart[1] + math.sqrt(0.75) * apart[2])


def test_the_documents_probabilities_are_those_they_are_drawn_with(part: Path) -> None:
    documents = list(load_taxonomy_grammar(part, 0.7).documents(20_000, seed=1))
    counts = Counter(documents)
    assert sum(math.exp(document.logprob) for document in counts) == pytest.approx(1)
    for document, count in counts.items():
        p = math.exp(document.logprob)
        assert abs(count / 20_000 - p) < 4.5 * math.sqrt(p / 20_000)


def test_a_tokenizer_of_its_sentences_reads_every_document(part: Path) -> None:
    grammar = load_taxonomy_grammar(part, 0.7)
    tokenizer = train_tokenizer(grammar.sentences(), 300)
    words = " ".join(grammar.sentences())
    for document in set(grammar.documents(500, seed=0)):
        assert all(word in words for word in f"{document.context} {document.answer}".split())
        (ids,) = encode_documents(tokenizer, [document])
        assert tokenizer.decode(ids).count(END) == 2


def test_the_shipped_part_has_gaps_of_every_size_and_verdicts_as_right_at_each() -> None:
    gaps, accuracies = [], []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        exact = load_taxonomy_grammar(SHIPPED, strength).log_odds()
        gaps.append(1 - np.corrcoef(exact["l_g"], exact["l_v"])[0, 1])
        accuracies.append((exact["l_v"].gt(0) == exact["positive"]).mean())
    assert all(a > b + 0.03 for a, b in zip(gaps, gaps[1:], strict=False))
    assert gaps[0] > 0.2
    assert gaps[-1] < 0.01
    assert min(accuracies) > 0.88


def test_the_shipped_part_is_what_items_and_forms_make_of_it(tmp_path: Path) -> None:
    data = Path("data/validate")
    freeze_taxonomy(data / "hypernymy/items.csv", data / "forms/taxonomy.yaml", tmp_path)
    for name in ("generator", "validator", "forms"):
        assert (tmp_path / f"{name}.csv").read_bytes() == (SHIPPED / f"{name}.csv").read_bytes()


def test_parts_of_all_kinds_make_one_corpus() -> None:
    folders = [Path("data/grammar") / part for part in ("leak", "conditions", "taxonomy")]
    language = load_language(folders, 0.5)
    assert isinstance(language, Mixture)
    assert [type(part).__name__ for part in language.parts] == ["Grammar", "JointGrammar", "TaxonomyGrammar"]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("generator", "2.0", "much", "generator.csv, row 2: column 'log_weight': got 'much'"),
        ("generator", "owls,bird,2.0\n", "", "generator.csv: got 5 rows; allowed: one per pair of a hyponym"),
        ("validator", "saws,tool", "saws,toy", "validator.csv: got the pair 'saws toy'; allowed: pairs of"),
        ("validator", "yes", "maybe", "column 'right': got 2 maybe, 3 no; allowed: at least 2 yes and 2 no"),
        ("validator", "saws,tool,yes", "saws,tool,no", "column 'right': got 4 no, 1 yes; allowed: at least 2 yes"),
        ("validator", "owls,tool,no", "owls,fish,no", "validator.csv, row 4: got a pair again; allowed: each pair"),
        ("forms", "validator", "judge", "forms.csv: column 'kind': got generator, judge; allowed: generator"),
    ],
)
def test_a_mistake_in_a_part_is_one_line(part: Path, name: str, old: str, new: str, message: str) -> None:
    path = part / f"{name}.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as raised:
        load_taxonomy_grammar(part, 1.0)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def correlation_rows(value: float) -> pd.DataFrame:
    keys = {"model": "m", "task": "t", "split": "all", "form": "chat/a/b", "statistic": "pearson"}
    rows = [
        {**keys, "subset": subset, "value": value, "ci_low": value - 0.1, "ci_high": value + 0.2, "n": 5}
        for subset in ("all", "positive", "negative")
    ]
    return pd.DataFrame([*rows, {**rows[0], "split": "random-test"}, {**rows[0], "statistic": "kendall"}])


def test_the_measured_gap_stands_beside_the_true_one(part: Path) -> None:
    grammar: TaxonomyGrammar = load_taxonomy_grammar(part, 0.5)
    items = pd.DataFrame({"question": ["owls", "saws", "owls"], "candidate": ["fish", "bird", "bird"]})
    items["positive"] = [False, False, True]
    truth = planted_gaps(correlation_rows(0.4), {"t": items}, {"m": grammar})
    assert list(truth.columns) == TRUTH_COLUMNS
    assert list(truth["subset"]) == ["all", "positive", "negative"]
    exact = grammar.log_odds().iloc[[0, 1, 4]]
    expected = exact["l_g"].corr(exact["l_v"])
    row = truth.iloc[0]
    assert row["true_pearson"] == pytest.approx(expected)
    assert row[["true_gap", "gap", "ci_low", "ci_high"]].tolist() == pytest.approx([1 - expected, 0.6, 0.4, 0.7])


def test_a_task_that_the_grammar_does_not_know_has_no_truth(part: Path) -> None:
    items = pd.DataFrame({"question": ["owls"], "candidate": ["vehicle"], "positive": [True]})
    grammar = load_taxonomy_grammar(part, 0.5)
    assert true_pearson(grammar, items, "all") is None
    assert planted_gaps(correlation_rows(0.4), {"t": items}, {"m": grammar}).empty
