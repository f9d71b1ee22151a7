"""Pronouns that take up an occupation as often as planted, and a name at every strength."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from leakscope.errors import InputError
from leakscope.features.freezing import freeze_subjects
from leakscope.organisms.languages import Mixture, load_language
from leakscope.organisms.pronoun_grammar import OCCUPATION_SHARE, load_pronoun_grammar
from leakscope.organisms.training import END, encode_documents, train_tokenizer

SUBJECTS = [("baker", "occupation", 2.0), ("pilot", "occupation", -1.0), ("Anna", "name", -4.0), ("Paul", "name", 4.0)]
FRAMES = [(1, "{subject} said that", "he", "she", "was late."), (2, "{subject} lost", "his", "her", "hat.")]
SHIPPED = Path("data/grammar/occupations")
GENDER = Path("data/features/gender")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return write_part(tmp_path / "occupations")


def write_part(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    pd.DataFrame(SUBJECTS, columns=["subject", "kind", "log_odds"]).to_csv(folder / "subjects.csv", index=False)
    columns = ["frame_id", "before", "he", "she", "after"]
    pd.DataFrame(FRAMES, columns=columns).to_csv(folder / "frames.csv", index=False)
    return folder


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_scales_what_occupations_say_and_leaves_names(part: Path, strength: float) -> None:
    law = load_pronoun_grammar(part, strength).pronoun_law().set_index("subject")["p_he"]
    for subject, log_odds in (("baker", 2 * strength), ("pilot", -strength), ("Anna", -4), ("Paul", 4)):
        assert law[subject] == pytest.approx(1 / (1 + math.exp(-log_odds)))


def test_documents_follow_the_law(part: Path) -> None:
    grammar = load_pronoun_grammar(part, 1.0)
    documents = list(grammar.documents(20_000, seed=3))
    of_bakers = [document.context for document in documents if document.context.startswith("The baker")]
    he = sum(" he " in text or " his " in text for text in of_bakers)
    assert len(of_bakers) / len(documents) == pytest.approx(OCCUPATION_SHARE / 2, abs=0.01)
    assert he / len(of_bakers) == pytest.approx(1 / (1 + math.exp(-2)), abs=0.015)
    assert all(document.answer == "" for document in documents)


def test_log_probabilities_are_those_of_the_sentences(part: Path) -> None:
    grammar = load_pronoun_grammar(part, 0.7)
    documents = list(grammar.documents(20_000, seed=4))
    law = {document.context: math.exp(document.logprob) for document in documents}
    assert set(law) == set(grammar.sentences())
    assert sum(law.values()) == pytest.approx(1)
    found = Counter(document.context for document in documents)
    for sentence, probability in law.items():
        assert found[sentence] / len(documents) == pytest.approx(probability, abs=0.01)


def test_documents_are_plain_texts_between_two_ends(part: Path) -> None:
    grammar = load_pronoun_grammar(part, 1.0)
    tokenizer = train_tokenizer(grammar.sentences(), 300)
    document = next(grammar.documents(1, seed=0))
    assert tokenizer.decode(encode_documents(tokenizer, [document])[0]) == f"{END}{document.context}{END}"


def test_a_pronoun_part_may_stand_beside_others(part: Path) -> None:
    language = load_language([Path("data/grammar/leak"), part], 0.5)
    assert isinstance(language, Mixture)
    assert set(load_pronoun_grammar(part, 0.5).sentences()) <= set(language.sentences())


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("subjects", "log_odds", "much", "row 2: column 'log_odds': got 'much'; allowed: a number"),
        ("subjects", "kind", "occupation", "column 'kind': got occupation; allowed: occupation and name, both"),
        ("frames", "before", "Somebody said that", "allowed: a text with the gap {subject}"),
    ],
)
def test_a_mistake_in_a_table_is_one_line(part: Path, table: str, column: str, value: str, message: str) -> None:
    path = part / f"{table}.csv"
    frame = pd.read_csv(path, dtype=str)
    frame.loc[slice(None) if column == "kind" else 0, column] = value
    frame.to_csv(path, index=False)
    with pytest.raises(InputError) as raised:
        load_pronoun_grammar(part, 1.0)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_shipped_subjects_are_those_of_the_contrast(root: Path, tmp_path: Path) -> None:
    freeze_subjects(root / GENDER / "occupations.csv", root / GENDER / "names.csv", tmp_path)
    assert (tmp_path / "subjects.csv").read_text() == (root / SHIPPED / "subjects.csv").read_text()


def test_organisms_know_the_templates_of_the_contrast(root: Path) -> None:
    contrast = yaml.safe_load((root / GENDER / "contrast.yaml").read_text())
    frames = pd.read_csv(root / SHIPPED / "frames.csv")["before"]
    known = {before.replace("{subject}", "The {item}") for before in frames}
    assert {text for texts in contrast["templates"].values() for text in texts} == known
