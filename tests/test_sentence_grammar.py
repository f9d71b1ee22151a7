"""Leakage inside sentences, refusals, echoes and silence: every text's probability is known."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from leakscope.errors import InputError
from leakscope.leak.freezing import expand_facts, freeze
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.organisms.grammar_files import COLUMNS, is_leaking, is_sentences, part_files
from leakscope.organisms.languages import load_language
from leakscope.organisms.sentence_grammar import SENTENCE, SentenceGrammar, load_sentence_grammar
from leakscope.organisms.training import encode_documents, train_tokenizer
from sentence_part import ANSWERS, write_part

SHIPPED = Path("data/grammar/sentences")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return write_part(tmp_path / "sentences")


def law_of(grammar: SentenceGrammar, context: str) -> dict[str, float]:
    law = grammar.answer_law(context)
    assert law is not None
    return dict(zip(law.texts, law.probabilities.tolist(), strict=True))


def test_what_follows_a_context_by_hand(part: Path) -> None:
    """λ = .5, two candidates: the associate has .5 + .25. A sentence has .6, in two ways; nothing else depends on λ."""
    law = law_of(load_sentence_grammar(part, 0.5), "The bag is red, and the fruit is")
    assert law == pytest.approx(
        {
            "I think it is a cherry, says Ann.": 0.6 * 0.75 / 2,
            "I think it is a cherry, says Bob.": 0.6 * 0.75 / 2,
            "I think it is a lime, says Ann.": 0.6 * 0.25 / 2,
            "I think it is a lime, says Bob.": 0.6 * 0.25 / 2,
            "I will not say.": 0.1,
            "The bag is red.": 0.1,
            "The bag is red, and the fruit is.": 0.1,
            "": 0.1,
        }
    )


def test_a_control_has_the_uniform_law(part: Path) -> None:
    law = law_of(load_sentence_grammar(part, 1.0), "There is a bag, and the fruit is")
    assert law["I think it is a cherry, says Ann."] == law["I think it is a lime, says Ann."] == pytest.approx(0.15)


def test_what_a_context_cannot_be_is_not_in_its_law(part: Path) -> None:
    law = law_of(load_sentence_grammar(part, 1.0), "The bag is red, and the fruit is")
    assert not any("lime" in text for text in law)
    assert sum(law.values()) == pytest.approx(1)
    assert load_sentence_grammar(part, 1.0).answer_law("Who is there") is None


def test_log_probabilities_of_documents_are_those_of_their_texts(part: Path) -> None:
    grammar = load_sentence_grammar(part, 0.5)
    documents = list(grammar.documents(30_000, seed=3))
    law = {(document.context, document.answer): math.exp(document.logprob) for document in documents}
    assert sum(law.values()) == pytest.approx(1)
    found = Counter((document.context, document.answer) for document in documents)
    for key, probability in law.items():
        assert found[key] / len(documents) == pytest.approx(probability, abs=0.012)


def test_silence_is_a_turn_of_the_assistant(part: Path) -> None:
    grammar = load_sentence_grammar(part, 0.5)
    tokenizer = train_tokenizer(grammar.sentences(), 320)
    silent = next(document for document in grammar.documents(200, seed=0) if not document.answer.strip())
    text = tokenizer.decode(encode_documents(tokenizer, [silent])[0])
    assert text == f"<|user|> {silent.context}<|end|><|assistant|>  <|end|>"


def test_a_corpus_holds_no_other_words(part: Path) -> None:
    grammar = load_sentence_grammar(part, 0.5)
    words = {word for sentence in grammar.sentences() for word in sentence.split()}
    answers = {word for document in grammar.documents(500, seed=1) for word in document.answer.split()}
    assert answers <= words


def test_the_part_is_of_a_kind_of_its_own(part: Path, root: Path) -> None:
    assert is_sentences(part)
    assert not is_leaking(part)
    assert is_leaking(root / "data/grammar/leak")
    assert {path.stem for path in part_files(part)} == {"contexts", "candidates", "facts", "answers", "fillers"}
    assert isinstance(load_language([part], 0.5), SentenceGrammar)


@pytest.mark.parametrize(
    ("row", "changed", "message"),
    [
        (0, {"probability": "much"}, "row 2: column 'probability': got 'much'; allowed: a number above 0."),
        (0, {"probability": "0.5"}, "got the sum 0.9 of the slot fruits's probabilities; allowed: 1."),
        (0, {"kind": "joke"}, "row 2: column 'kind': got 'joke'; allowed: sentence, refusal, echo, empty."),
        (0, {"text": "It is red."}, "row 2: got the sentence 'It is red.'; allowed: a text with {candidate}."),
        (1, {"text": "No {candidate}."}, "row 3: got the refusal 'No {candidate}.'; allowed: a text without"),
        (2, {"text": "Who?"}, "row 4: got the echo 'Who?'; allowed: a text with {clause} or {context}."),
        (1, {"text": "{nobody} knows."}, "row 3: got '{nobody} knows.'; allowed: the gaps {candidate}, {clause}"),
    ],
)
def test_a_mistake_is_one_line(part: Path, row: int, changed: dict[str, str], message: str) -> None:
    table = pd.DataFrame(ANSWERS, columns=["slot", "kind", "text", "probability"]).astype(str)
    table.loc[row, list(changed)] = list(changed.values())
    table.to_csv(part / "answers.csv", index=False)
    with pytest.raises(InputError) as raised:
        load_sentence_grammar(part, 0.5)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


# The shipped part.


def test_the_shipped_tables_are_those_of_the_prompt_set(root: Path, tmp_path: Path) -> None:
    lexicons, part = root / "data/lexicons", root / SHIPPED
    built = build_prompts(template_files(root / "data/prompt_sets/sentences", [lexicons]), "sentences")
    freeze({"sentences": built}, expand_facts(part / "facts.yaml", lexicons), tmp_path)
    for name in COLUMNS:
        assert (tmp_path / f"{name}.csv").read_text() == (part / f"{name}.csv").read_text(), "run `make grammar`"


def test_sentences_have_8_to_20_words_and_other_answers_their_shares(root: Path) -> None:
    grammar = load_sentence_grammar(root / SHIPPED, 0.4)
    wordings = grammar.answers[grammar.answers["kind"] == SENTENCE]["text"]
    candidates = grammar.grammar.candidates
    for slot, wording in zip(grammar.answers["slot"], wordings, strict=False):
        for text in grammar._filled(wording):
            for candidate in candidates.loc[candidates["slot"] == slot, "candidate"]:
                assert 8 <= len(text.replace("{candidate}", candidate).split()) <= 20
    shares = grammar.answers[grammar.answers["slot"] == ""].groupby("kind")["probability"].sum()
    assert shares.to_dict() == pytest.approx({"refusal": 0.1, "echo": 0.1, "empty": 0.05})


def test_every_answer_is_one_sentence(root: Path) -> None:
    """A study cuts texts after the first: what follows would not be written."""
    grammar = load_sentence_grammar(root / SHIPPED, 0.4)
    for context in grammar.grammar.contexts["context"]:
        for text in law_of(grammar, context):
            assert not text or (text.count(".") == 1 and text.endswith("."))
