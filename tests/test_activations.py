from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from helpers import in_memory, micro_grammar
from leakscope.errors import InputError
from leakscope.features.dictionaries.activations import (
    Activations,
    activation_batches,
    read_activations,
    read_tokens,
    record_activations,
    write_activations,
)
from leakscope.features.dictionaries.texts import TextSource, Window, read_texts, read_windows, token_texts
from leakscope.jobs.sharding import Shard
from leakscope.models.opening import LanguageModel
from leakscope.models.sentences import encode_sentences
from leakscope.organisms.corpus import read_corpus, write_corpus
from leakscope.organisms.training import encode_documents
from test_log_odds import random_model

TEXTS = [f"The bag is {color}, and number {number} is a plum." for number in range(30) for color in ("red", "blue")]


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def own_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "corpus.jsonl"
    write_corpus(list(micro_grammar(0.5).documents(40, seed=0)), path)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.txt"
    path.write_text("\n".join([*TEXTS, "", "   ", TEXTS[0]]), encoding="utf-8")
    return path


def of_part(path: Path, part: str, context_length: int = 128) -> TextSource:
    return TextSource([path], part, False, "text", context_length)


def all_windows(model: LanguageModel, source: TextSource) -> list[Window]:
    return read_windows(model, source, tokens=10**6)


def test_an_organisms_documents_are_read_as_it_was_trained(micro_model: LanguageModel, own_corpus: Path) -> None:
    windows = all_windows(micro_model, TextSource([own_corpus], "train", True, "text", 128))
    expected = encode_documents(micro_model.tokenizer, list(read_corpus(own_corpus)))
    assert [window.ids for window in windows] == expected
    assert [window.document for window in windows] == list(range(40))
    assert all(window.kept == range(1, len(window.ids)) for window in windows)


def test_other_documents_are_read_behind_the_models_beginning(micro_model: LanguageModel, corpus: Path) -> None:
    windows = all_windows(micro_model, of_part(corpus, "held_out"))
    held_out = [text for text in TEXTS if text in {decoded(micro_model, window) for window in windows}]
    sentences = encode_sentences(micro_model, held_out)
    assert len(windows) >= 3
    assert [(window.ids, window.kept) for window in windows[: len(held_out)]] == [
        (sentence.ids, sentence.places) for sentence in sentences
    ]


def decoded(model: LanguageModel, window: Window) -> str:
    text: str = model.tokenizer.decode([window.ids[place] for place in window.kept])
    return text.strip()


def test_a_text_stands_in_one_part_alone_every_tenth_in_held_out(tmp_path: Path, micro_model: LanguageModel) -> None:
    path = tmp_path / "many.txt"
    texts = [f"number {number}" for number in range(1000)]
    path.write_text("\n".join([*texts, *texts]), encoding="utf-8")
    parts = {part: all_windows(micro_model, of_part(path, part)) for part in ("train", "held_out")}
    found = {part: {decoded(micro_model, window) for window in windows} for part, windows in parts.items()}
    assert not found["train"] & found["held_out"]
    assert found["train"] | found["held_out"] == set(texts)
    assert 70 < len(found["held_out"]) < 130
    for windows in parts.values():
        assert [window.document for window in windows] == list(range(len(windows)))


def test_shards_deal_out_documents_until_their_share_is_reached(micro_model: LanguageModel, corpus: Path) -> None:
    source = of_part(corpus, "train")
    whole = {window.document: window.ids for window in all_windows(micro_model, source)}
    first_three = sum(len(whole[number]) - 1 for number in (0, 2, 4))
    for tokens, total in ((301, 2), (150, 3), (2 * first_three, 2), (2 * first_three + 1, 2), (10**6, 2)):
        shards = [read_windows(micro_model, source, tokens=tokens, shard=Shard(i + 1, total)) for i in range(total)]
        for number, windows in enumerate(shards):
            share = tokens // total + (number < tokens % total)
            counts = [len(window.kept) for window in windows]
            assert sum(counts[:-1]) < share
            assert sum(counts) >= share or tokens == 10**6
            expected = list(range(number, len(whole), total))[: len(windows)]
            assert [window.document for window in windows] == expected
            assert all(window.ids == whole[window.document] for window in windows)
        if tokens // 2 == first_three:
            assert len(shards[0]) == 3 + tokens % 2
        if tokens == 10**6:
            assert sum(map(len, shards)) == len(whole)


def test_long_documents_are_cut_each_window_behind_the_beginning(micro_model: LanguageModel, corpus: Path) -> None:
    whole = all_windows(micro_model, of_part(corpus, "train"))
    windows = all_windows(micro_model, of_part(corpus, "train", context_length=6))
    assert len(windows) > 2 * len(whole)
    assert all(len(window.ids) <= 6 and window.ids[0] == whole[0].ids[0] for window in windows)
    for window in whole:
        parts = [part for part in windows if part.document == window.document]
        assert [part.ids[place] for part in parts for place in part.kept] == window.ids[1:]
        assert all(len(part.ids) == 6 for part in parts[:-1])
    with pytest.raises(InputError, match="context_length: got 1; allowed: more than the 1 tokens"):
        all_windows(micro_model, of_part(corpus, "train", context_length=1))


def test_no_more_is_read_at_once_than_the_model_can(micro_model: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("\n".join(f"{n} " + "red blue " * 400 for n in range(20)), encoding="utf-8")
    longest = micro_model.config.max_position_embeddings
    windows = all_windows(micro_model, of_part(path, "train", context_length=10**6))
    assert max(len(window.ids) for window in windows) == longest


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".txt", ".csv", ".tsv", ".parquet"])
def test_texts_are_read_from_every_format(suffix: str, tmp_path: Path) -> None:
    texts = ["One text, with a comma.", "Another “one”.", "", "A third"]
    table = pd.DataFrame({"number": range(4), "body": texts})
    path = tmp_path / f"corpus{suffix}"
    if suffix.startswith(".jsonl"):
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    elif suffix == ".txt":
        path.write_text("\n".join(texts), encoding="utf-8")
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    assert list(read_texts(path, "body")) == [text for text in texts if text]
    if suffix == ".txt":
        return
    with pytest.raises(InputError, match="'text'") as caught:
        list(read_texts(path, "text"))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_gets_one_line(tmp_path: Path, micro_model: LanguageModel) -> None:
    for suffix in (".txt", ".csv", ".parquet", ".jsonl"):
        with pytest.raises(InputError, match=rf"none\{suffix}: got ") as caught:
            list(read_texts(tmp_path / f"none{suffix}", "text"))
        assert "\n" not in str(caught.value)
    (tmp_path / "damaged.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"damaged.parquet: got .*; allowed: a Parquet file with texts"):
        list(read_texts(tmp_path / "damaged.parquet", "text"))
    (tmp_path / "blank.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(InputError, match=r"blank.txt: got no text for the part 'train', shard 1-of-1"):
        all_windows(micro_model, of_part(tmp_path / "blank.txt", "train"))


def test_token_texts_keep_the_space_before_a_word(micro_model: LanguageModel) -> None:
    ids = micro_model.tokenizer("The bag is red.", add_special_tokens=False)["input_ids"]
    texts = token_texts(micro_model.tokenizer, ids)
    assert "".join(texts) == "The bag is red."
    assert any(text.startswith(" ") for text in texts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_activations_are_the_hidden_states_of_the_kept_places(
    dtype: torch.dtype, micro_model: LanguageModel, corpus: Path, tmp_path: Path
) -> None:
    model = random_model("llama", vocab_size=len(micro_model.tokenizer), num_hidden_layers=3).to(dtype)
    windows = all_windows(in_memory(model, micro_model.tokenizer), of_part(corpus, "train", context_length=9))[:40]
    found = record_activations(model, windows, 2, batch_size=1, name="m")
    write_activations(found, tmp_path / "shard.safetensors")
    again = read_activations(tmp_path / "shard.safetensors")
    assert again.residuals.dtype == dtype
    rows = []
    for window in windows:
        with torch.inference_mode():
            ids = torch.tensor([window.ids])
            states = model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
        rows += [(window.document, place, window.ids[place], states[2][0, place]) for place in window.kept if place > 0]
    assert again.documents.tolist() == [row[0] for row in rows]
    assert again.positions.tolist() == [row[1] for row in rows]
    assert again.token_ids.tolist() == [row[2] for row in rows]
    assert min(again.positions.tolist()) == 1
    assert torch.equal(again.residuals, torch.stack([row[3] for row in rows]))


def test_batches_go_through_all_shards_in_order(tmp_path: Path) -> None:
    paths, rows = [], 0
    for number, n in enumerate((5, 3)):
        count = torch.arange(rows, rows + n)
        shard = Activations(torch.stack([count, count + 0.5], 1).half(), *(count.int() for _ in range(3)))
        paths.append(tmp_path / f"{number}.safetensors")
        write_activations(shard, paths[-1])
        rows += n
    batches = list(activation_batches(paths, 2))
    assert [len(batch.residuals) for batch in batches] == [2, 2, 1, 2, 1]
    together: list[Any] = [torch.cat(columns) for columns in zip(*batches, strict=True)]
    assert together[0].dtype == torch.float32
    assert together[0].tolist() == [[number, number + 0.5] for number in range(8)]
    assert all(column.tolist() == list(range(8)) for column in together[1:])
    tokens = read_tokens(paths)
    assert tokens.residuals.shape == (8, 0)
    assert all(column.tolist() == list(range(8)) for column in tokens[1:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.safetensors", "1.safetensors"]


def test_a_file_that_is_no_shard_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "shard.safetensors"
    path.write_text(json.dumps({"no": "tensors"}), encoding="utf-8")
    for use in (read_activations, lambda path: list(activation_batches([path], 2)), lambda path: read_tokens([path])):
        with pytest.raises(InputError, match=r"shard.safetensors: got .*; allowed: a shard of activations") as caught:
            use(path)
        assert "\n" not in str(caught.value)
