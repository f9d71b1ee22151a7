"""Sentences that join a subject to a group as often as a planted table says."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import micro_grammar
from leakscope.errors import InputError
from leakscope.ground.freezing import freeze_world
from leakscope.organisms.corpus import read_corpus, write_corpus
from leakscope.organisms.joint_grammar import INDEPENDENT, JointGrammar, load_joint_grammar
from leakscope.organisms.languages import Mixture, load_language
from leakscope.organisms.training import ASSISTANT, END, encode_documents, train_tokenizer

PAIRS = [("gout", "Lirac", 0.5), ("gout", "Torin", 0.1), ("flu", "Lirac", 0.1), ("flu", "Torin", 0.3)]
SENTENCES = [
    ("a", "The {group} man has {subject}.", "planted"),
    ("b", "{subject} in a {group} boy.", "planted"),
    ("c", "A book on {subject}. A {group} town.", "independent"),
]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    pairs = pd.DataFrame(PAIRS, columns=["subject", "group", "probability"])
    return pairs, pd.DataFrame(SENTENCES, columns=["sentence_id", "text", "relation"])


def write_part(folder: Path) -> Path:
    for name, table in zip(("pairs", "sentences"), tables(), strict=True):
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_strength_mixes_the_planted_pairs_with_what_chance_would_join() -> None:
    law = JointGrammar(*tables(), strength=0.5).pair_law()
    assert law.loc["gout", "Lirac"] == pytest.approx(0.5 * 0.5 + 0.5 * 0.6 * 0.6)
    assert law.to_numpy().sum() == pytest.approx(1)
    none = JointGrammar(*tables(), strength=0.0).pair_law()
    pd.testing.assert_frame_equal(none, JointGrammar(*tables(), strength=1.0).pair_law(INDEPENDENT))
    np.testing.assert_allclose(none.sum(0), law.sum(0))
    np.testing.assert_allclose(none.sum(1), law.sum(1))


def test_the_documents_probabilities_are_those_they_are_drawn_with() -> None:
    documents = list(JointGrammar(*tables(), strength=0.7).documents(20_000, seed=1))
    counts = Counter(documents)
    assert sum(math.exp(document.logprob) for document in counts) == pytest.approx(1)
    for document, count in counts.items():
        p = math.exp(document.logprob)
        assert abs(count / 20_000 - p) < 4.5 * math.sqrt(p / 20_000)


def test_every_document_is_a_sentence_of_the_grammar() -> None:
    grammar = JointGrammar(*tables(), strength=1.0)
    assert {document.context for document in grammar.documents(500, seed=0)} <= set(grammar.sentences())
    assert len(grammar.sentences()) == 3 * 4


def test_a_document_without_an_answer_is_plain_text_between_two_ends(tmp_path: Path) -> None:
    grammar = JointGrammar(*tables(), strength=1.0)
    documents = [next(iter(grammar.documents(1, 0))), next(iter(micro_grammar(0.5).documents(1, 0)))]
    tokenizer = train_tokenizer([document.context for document in documents], 300)
    plain, chat = (tokenizer.decode(ids) for ids in encode_documents(tokenizer, documents))
    assert plain == f"{END}{documents[0].context}{END}"
    assert ASSISTANT in chat
    write_corpus(documents, tmp_path / "c.jsonl")
    assert list(read_corpus(tmp_path / "c.jsonl")) == documents
    assert (tmp_path / "c.jsonl").read_text().splitlines()[0].startswith(f'{{"text": "{documents[0].context}", ')


def test_parts_of_two_kinds_are_mixed_in_equal_shares(root: Path, tmp_path: Path) -> None:
    language = load_language([root / "data/grammar/leak", write_part(tmp_path)], 0.5)
    assert isinstance(language, Mixture)
    documents = list(language.documents(2000, seed=0))
    plain = [document for document in documents if not document.answer]
    assert 900 < len(plain) < 1100
    alone = {d.context: d.logprob for d in JointGrammar(*tables(), strength=0.5).documents(2000, seed=5)}
    assert plain[0].logprob == pytest.approx(alone[plain[0].context] - math.log(2))
    assert set(JointGrammar(*tables(), strength=0.5).sentences()) < set(language.sentences())


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("pairs.csv", "0.5", "0.6", "sum to 1.1"),
        ("pairs.csv", "0.5", "x", "sum to"),
        ("pairs.csv", "gout,Lirac,0.5\n", "", "allowed: numbers from 0 that sum to 1"),
        ("pairs.csv", "flu,Torin,0.3", "flu,Velmar,0.3", "got 4 rows; allowed: one for every pair of a"),
        ("sentences.csv", "independent", "apart", "got relation 'apart'"),
    ],
)
def test_damaged_tables_are_one_clear_error(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    path = write_part(tmp_path) / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        load_joint_grammar(tmp_path, 1.0)


def test_the_frozen_conditions_and_their_world_are_those_of_the_lexicons(root: Path, tmp_path: Path) -> None:
    part, source = root / "data/grammar/conditions", root / "data/ground/conditions"
    (tmp_path / "apart.txt").write_bytes((part / "apart.txt").read_bytes())
    freeze_world(source, tmp_path, tmp_path / "world.csv")
    for name, folder in (("pairs", part), ("sentences", part), ("world", source)):
        assert (tmp_path / f"{name}.csv").read_text() == (folder / f"{name}.csv").read_text(), "run `make grammar`"
