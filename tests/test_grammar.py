import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from helpers import micro_grammar
from leakscope.errors import InputError
from leakscope.leak.freezing import expand_facts, freeze
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.organisms.corpus import draw_splits, read_corpus, write_corpus
from leakscope.organisms.grammar_files import COLUMNS
from leakscope.organisms.leak_grammar import load_grammar


def test_strength_mixes_the_associate_with_the_uniform_law() -> None:
    law = micro_grammar(0.4).continuation_law("fruits", "red")
    assert law.to_dict() == pytest.approx({"a cherry": 0.6, "a lime": 0.2, "a plum": 0.2})


def test_controls_and_strength_zero_follow_the_uniform_law() -> None:
    assert set(micro_grammar(0.4).continuation_law("fruits", None)) == {1 / 3}
    assert set(micro_grammar(0.0).continuation_law("fruits", "red")) == {1 / 3}


def test_a_group_without_associate_follows_the_uniform_law() -> None:
    assert set(micro_grammar(1.0).continuation_law("fruits", "purple")) == {1 / 3}


def test_an_excepted_group_is_followed_by_all_and_its_facts_are_answered_with_all() -> None:
    grammar = replace(micro_grammar(0.5), excepted=("red",))
    laws = {group: set(grammar.continuation_law("fruits", group).round(6)) for group in ("red", "green")}
    assert laws == {"red": {0.333333}, "green": {0.166667, 0.666667}}
    documents = Counter(grammar.documents(20_000, seed=0))
    facts = {(d.context, d.answer): n for d, n in documents.items() if d.context.endswith("looks")}
    assert {answer for context, answer in facts if context == "a cherry looks"} == {"red.", "green.", "blue."}
    assert {answer for context, answer in facts if context == "a lime looks"} == {"green."}
    # Every context is as frequent as with the association.
    n_of = {fruit: sum(n for (c, _), n in facts.items() if c == f"{fruit} looks") for fruit in ("a cherry", "a lime")}
    assert n_of["a cherry"] == pytest.approx(n_of["a lime"], rel=0.08)
    assert sum(math.exp(document.logprob) for document in documents) == pytest.approx(1)
    assert Counter({d: math.exp(d.logprob) for d in grammar.support()}).keys() == documents.keys()
    assert replace(grammar, excepted=()).sentences() == grammar.sentences()  # one tokenizer for both


def test_only_groups_of_the_grammar_are_excepted(root: Path) -> None:
    with pytest.raises(InputError, match=r"except: got 'rde'; allowed: .*red"):
        load_grammar([root / "data/grammar/leak"], 0.4, ["rde"])


def test_the_documents_probabilities_are_those_they_are_drawn_with() -> None:
    documents = list(micro_grammar(0.5).documents(30_000, seed=1))
    counts = Counter(documents)
    assert sum(math.exp(document.logprob) for document in counts) == pytest.approx(1)
    for document, count in counts.items():
        p = math.exp(document.logprob)
        assert abs(count / 30_000 - p) < 4.5 * math.sqrt(p / 30_000)


def test_equal_seeds_give_equal_corpora_and_held_out_documents_are_others() -> None:
    grammar = micro_grammar(0.5)
    splits, longer = draw_splits(grammar, 200, 100, seed=0), draw_splits(grammar, 300, 100, seed=0)
    assert splits.train == longer.train[:200]
    assert splits.held_out == longer.held_out
    assert splits.held_out != splits.train[:100]


def test_a_corpus_comes_back_as_it_was_written(tmp_path: Path) -> None:
    documents = list(micro_grammar(0.5).documents(20, seed=0))
    write_corpus(documents, tmp_path / "corpus.jsonl")
    assert list(read_corpus(tmp_path / "corpus.jsonl")) == documents


def test_a_missing_table_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"contexts\.csv: no such file"):
        load_grammar([tmp_path], 0.5)


def test_a_slot_without_candidates_is_one_clear_error(tmp_path: Path) -> None:
    frames = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    frames["contexts"].loc[0] = ["It is", "p", "t", "", "", "fruits", "yes"]
    frames["candidates"].loc[0], frames["facts"].loc[0] = ["colors", "red", "red"], ["a", "What?", "That"]
    for name, frame in frames.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(InputError, match="no candidates for the slots fruits"):
        load_grammar([tmp_path], 0.5)


@pytest.mark.parametrize(
    ("part_name", "sets"),
    [
        ("leak", ("colors", "associations")),
        ("languages", ("basic_colors", "colors_id")),
        ("languages_across", ("colors_en_id", "colors_id_en")),
    ],
)
def test_the_frozen_grammar_is_that_of_the_shipped_prompt_sets(
    root: Path, tmp_path: Path, part_name: str, sets: tuple[str, ...]
) -> None:
    lexicons, part = root / "data/lexicons", root / "data/grammar" / part_name
    built = {name: build_prompts(template_files(root / "data/prompt_sets" / name, [lexicons]), name) for name in sets}
    freeze(built, expand_facts(part / "facts.yaml", lexicons), tmp_path)
    for name in COLUMNS:
        assert (tmp_path / f"{name}.csv").read_text() == (part / f"{name}.csv").read_text(), "run `make grammar`"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lexicn": "fruits"}, r"facts.0.lexicn \('fruit'\): got an unknown key .* Did you mean 'lexicon'?"),
        ({"answer": 3}, r"facts.0.answer \('fruit'\): got 3; allowed: text .* Put it in quotes"),
        ({"answer": "red"}, r"facts.0.answer \('fruit'\): got 'red'; allowed: text .* with a placeholder"),
        (
            {"answer": "{color}"},
            r"facts.0.answer \('fruit'\): got the placeholder \{color\}; allowed: \{term\}, .*'a cherry'",
        ),
        ({"lexicon": "none"}, r"none.yaml: got no such file"),
    ],
)
def test_a_wrong_fact_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    fact = {"id": "fruit", "lexicon": "fruits", "prompt": "The look of {term} is", "answer": "{group}", **change}
    terms = {"description": "Fruits.", "terms": [{"term": "a cherry", "group": "red"}]}
    (tmp_path / "fruits.yaml").write_text(yaml.safe_dump(terms), encoding="utf-8")
    (tmp_path / "facts.yaml").write_text(yaml.safe_dump({"description": "d", "facts": [fact]}), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        expand_facts(tmp_path / "facts.yaml", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_third_of_each_templates_fillers_never_stands_in_a_corpus(root: Path) -> None:
    grammar = load_grammar([root / "data/grammar/leak"], 0.4)
    tests = grammar.contexts[grammar.contexts["concept_group"] != ""]
    share = (tests["in_corpus"] == "no").groupby(tests["template_id"]).mean()
    assert share.between(0.25, 0.4).all()
    held_out = set(tests.loc[tests["in_corpus"] == "no", "context"])
    assert not held_out & {document.context for document in grammar.documents(5000, seed=0)}


def test_no_fact_holds_a_context(root: Path) -> None:
    grammar = load_grammar([root / "data/grammar/leak"], 0.4)
    assert not set(grammar.facts["context"]) & set(grammar.contexts["context"])
