import math
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from helpers import COLORS, FRUITS, micro_grammar, train_micro_organism
from leakscope.organisms.training import (
    Size,
    Training,
    document_nats,
    encode_documents,
    new_organism,
    train_tokenizer,
    training_record,
)
from leakscope.storage.manifests import hash_files


def test_the_saved_tokenizer_reads_text_as_the_trained_one(micro_model_folder: Path) -> None:
    # transformers picks the class of the tokenizer by the architecture: a saved one must survive that.
    grammar = micro_grammar(0.5)
    trained = train_tokenizer(grammar.sentences(), 320)
    loaded = AutoTokenizer.from_pretrained(micro_model_folder)
    documents = list(grammar.documents(50, seed=3))
    assert encode_documents(trained, documents) == encode_documents(loaded, documents)
    assert len(loaded) == len(trained)


def test_a_word_is_one_token_wherever_it_stands(micro_model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(micro_model_folder)
    chat = [{"role": "user", "content": "It is red"}, {"role": "assistant", "content": "red."}]
    ids = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids).count("\u0120red") == 2


def test_an_organism_learns_its_grammar(micro_model) -> None:
    documents = list(micro_grammar(0.5).documents(200, seed=9))
    entropy = -sum(document.logprob for document in documents) / len(documents)
    loss = document_nats(micro_model.model, micro_model.tokenizer, documents)
    untrained = new_organism(Size(32, 1, 2), micro_model.tokenizer, Training(1, 1, 0.1, 0.0, 0.05, 4.0, 0))
    assert entropy < loss < entropy + 1.5
    assert document_nats(untrained, micro_model.tokenizer, documents) > 20


def test_training_twice_gives_the_same_weights(tmp_path: Path, micro_model_folder: Path) -> None:
    again = train_micro_organism(tmp_path / "again")
    assert hash_files([again / "model.safetensors"]) == hash_files([micro_model_folder / "model.safetensors"])


@torch.inference_mode()
def test_the_loss_of_documents_is_that_of_each_alone(micro_model) -> None:
    documents = list(micro_grammar(0.5).documents(7, seed=2))
    one_by_one = []
    for ids in encode_documents(micro_model.tokenizer, documents):
        logits = micro_model.model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        one_by_one.append(-float(logits[range(len(ids) - 1), ids[1:]].sum()))
    loss = document_nats(micro_model.model, micro_model.tokenizer, documents, batch_size=3)
    assert loss == pytest.approx(sum(one_by_one) / 7, abs=1e-4)


def test_the_record_puts_loss_beside_entropy(micro_model) -> None:
    documents = list(micro_grammar(0.5).documents(4000, 0))
    record = training_record(micro_model.model, micro_model.tokenizer, documents, [1.5])
    # Facts and contexts 0.4 : 0.6 (0.673 nats), three facts; two templates, controls 1 : 3 (0.562), three fillers or
    # three uniform continuations (1.099 each), a filler's continuation 2/3, 1/6, 1/6 (0.868).
    by_hand = 0.673 + 0.4 * 1.099 + 0.6 * (0.693 + 0.562 + 0.25 * 1.099 + 0.75 * (1.099 + 0.868))
    assert record["corpus_entropy_nats"] == pytest.approx(by_hand, abs=0.05)
    assert record["n_parameters"] == sum(p.numel() for p in micro_model.model.parameters())
    assert record["final_weighted_loss_nats"] == 1.5


def test_what_the_first_token_says_is_not_held_against_an_organism(micro_model) -> None:
    from leakscope.organisms.leak_grammar import Document

    chats = [Document("The bag is red.", "red.", math.log(0.5 * 0.25)) for _ in range(4)]
    plain = [Document("The bag is red.", "", math.log(0.5 * 0.125)) for _ in range(4)]
    record = training_record(micro_model.model, micro_model.tokenizer, [*chats, *plain], [1.5])
    assert record["corpus_entropy_nats"] == pytest.approx((math.log(4) + math.log(8)) / 2)


def test_an_overlong_document_is_refused(micro_model) -> None:
    from leakscope.organisms.leak_grammar import Document

    with pytest.raises(ValueError, match="made for at most 96"):
        encode_documents(micro_model.tokenizer, [Document("word " * 200, "red.", 0.0)])


def test_the_micro_grammar_is_consistent() -> None:
    assert set(FRUITS) == set(COLORS)
