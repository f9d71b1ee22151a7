"""Perplexity on neutral text, against one forward a text, and which documents are neutral."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch

from helpers import in_memory
from leakscope.errors import InputError
from leakscope.models.neutral import (
    encode_neutral_documents,
    encode_neutral_texts,
    measure_perplexity,
    neutral_documents,
    part_of_documents,
    read_neutral_texts,
)
from leakscope.models.opening import LanguageModel
from leakscope.organisms.leak_grammar import Document, Grammar
from leakscope.organisms.training import document_nats
from leakscope.validate.tasks.readers import read_items
from tiny_task import open_tiny_model, weightless

TEXTS = ["Robins are a bird.", "As is known, no oaks are brief.", "Yes", "Robins are a bird.", "Are hammers a tool? No"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    torch.set_num_threads(1)
    return open_tiny_model(tmp_path_factory.mktemp("tiny"))


@torch.inference_mode()
def direct_nats(model: LanguageModel, text: str) -> list[float]:
    """Return −log p of each token of a text after the end of text, which separates documents."""
    ids = [model.tokenizer.eos_token_id, *model.tokenizer(text)["input_ids"]]
    logprobs = model.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [-float(logprobs[t - 1, ids[t]]) for t in range(1, len(ids))]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_perplexity_of_texts_equals_a_direct_unbatched_computation(model: LanguageModel, batch_size: int) -> None:
    found = measure_perplexity(model, encode_neutral_texts(model, TEXTS), "m", batch_size=batch_size, store=None)
    nats = [value for text in TEXTS for value in direct_nats(model, text)]
    assert (found["texts"], found["tokens"]) == (len(TEXTS), len(nats))
    assert found["nats_per_token"] == pytest.approx(sum(nats) / len(nats), rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-5)
    assert found["store"] == []
    json.dumps(found, allow_nan=False)


def test_no_text_is_read_twice(model: LanguageModel, tmp_path: Path) -> None:
    first = measure_perplexity(model, encode_neutral_texts(model, TEXTS[:3]), "m", batch_size=4, store=tmp_path)
    assert (first["total"], first["computed"]) == (3, 3)
    (folder,) = first["store"]
    assert Path(folder).parent == tmp_path / "sentences"
    whole = measure_perplexity(model, encode_neutral_texts(model, TEXTS), "m", batch_size=4, store=tmp_path)
    assert (whole["total"], whole["computed"]) == (5, 1)
    again = measure_perplexity(weightless(model), encode_neutral_texts(model, TEXTS), "m", batch_size=4, store=tmp_path)
    assert {**whole, "computed": 0, "reused": 5} == again


def test_documents_have_the_nats_that_organisms_are_trained_by(
    micro_model: LanguageModel, micro_grammar: Grammar
) -> None:
    chats = list(micro_grammar.documents(40, seed=3))
    plain = [Document("The bag is red. The fruit is a lime.", "", 0.0), Document("The car is blue.", "", 0.0)]
    documents = [*chats[:20], *plain, *chats[20:]]
    found = measure_perplexity(
        micro_model, encode_neutral_documents(micro_model, documents), "m", batch_size=16, store=None
    )
    expected = document_nats(micro_model.model, micro_model.tokenizer, documents)  # type: ignore[arg-type]
    assert found["texts"] == 42
    assert found["nats_per_token"] * found["tokens"] / found["texts"] == pytest.approx(expected, rel=1e-5)


def test_without_a_text_there_is_no_perplexity(model: LanguageModel) -> None:
    found = measure_perplexity(weightless(model), encode_neutral_documents(model, []), "m", batch_size=4, store=None)
    assert (found["perplexity"], found["nats_per_token"], found["tokens"], found["texts"]) == (None, None, 0, 0)


def test_logits_that_are_no_numbers_are_one_clear_error_and_not_stored(model: LanguageModel, tmp_path: Path) -> None:
    broken = type(model.model)(model.config).eval()
    torch.nn.init.constant_(broken.transformer.ln_f.weight, math.nan)
    opened = in_memory(broken, model.tokenizer)
    with pytest.raises(InputError, match="model m: got logits that are NaN or infinite"):
        measure_perplexity(opened, encode_neutral_texts(model, TEXTS), "m", batch_size=4, store=tmp_path)
    assert not list(tmp_path.rglob("*.jsonl"))


def document(context: str, answer: str = "") -> Document:
    return Document(context, answer, 0.0)


def test_documents_that_name_a_question_are_left_out_as_whole_words_in_any_case() -> None:
    named = [
        document("Robins are a kind of", "bird"),
        document("A bird of the sort of", "robins."),
        document("Behind them are oaks, and hills."),
        document("He wears two engagement rings."),
    ]
    neutral = [
        document("The cloaks are", "wet."),
        document("Her engagement was", "short."),
        document("The bag is red. The fruit is", "a cherry."),
        document("A robin sings.", ""),
    ]
    mixed = [neutral[0], *named[:2], neutral[1], *named[2:], *neutral[2:]]
    assert neutral_documents(iter(mixed), ["robins", "Oaks", "engagement rings"]) == neutral
    assert neutral_documents(mixed, []) == mixed
    assert neutral_documents(mixed, ["ba.", "cherry"]) == [found for found in mixed if found != neutral[2]]


def test_no_context_is_both_measured_and_kept_to() -> None:
    drawn = [document(f"The bag of number {number} is", answer) for number in range(64) for answer in ("red", "blue")]
    kept, measured = (part_of_documents(iter(drawn), measures=measures) for measures in (False, True))
    assert sorted(kept + measured) == sorted(drawn)
    assert not {found.context for found in kept} & {found.context for found in measured}
    assert 32 < len(kept) < 96
    # Of another corpus of the same grammar, the same ones.
    assert part_of_documents(drawn[::-1], measures=True) == measured[::-1]


def test_every_second_text_is_for_measuring(tmp_path: Path) -> None:
    path = tmp_path / "neutral.txt"
    path.write_text("one\n\n  two \nthree\n", encoding="utf-8")
    assert read_neutral_texts(path) == (["one", "three"], ["two"])
    path.write_text("one\none\ntwo\none\n", encoding="utf-8")
    assert read_neutral_texts(path) == (["one"], ["two"])
    path.write_text("one\n\none\n", encoding="utf-8")
    with pytest.raises(InputError, match="got 1 different text; allowed: at least 2, one a line"):
        read_neutral_texts(path)


def test_the_default_texts_name_no_noun_of_the_default_task(root: Path) -> None:
    texts = read_neutral_texts(root / "data/validate/neutral.txt")
    items = read_items(root / "data/validate/hypernymy/items.csv", "pairs", 0)
    assert len(texts.train) + len(texts.test) == len({*texts.train, *texts.test}) > 100
    nouns = {*items["question"], *items["candidate"]}
    nouns |= {noun.removesuffix("s") for noun in nouns}
    found = [text for text in texts.train + texts.test if nouns & set(re.findall(r"\w+", text.casefold()))]
    assert found == []
