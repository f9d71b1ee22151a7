from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import close_session
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import filter_repo_objects

from helpers import LOADING, SETTINGS
from hostile_server import HEAD, Mischief, drip, hostile_server, say
from leakscope.errors import InputError
from leakscope.jobs import redaction
from leakscope.models import randomised
from leakscope.models.opening import LanguageModel, open_model, pick_device, resolve_decoding
from leakscope.models.randomised import with_randomised_weights
from leakscope.models.sampling import Decoding
from leakscope.models.sources import hub
from leakscope.models.sources.hub import fetch_snapshot
from leakscope.storage.manifests import describe_folder, hash_files, read_manifest, write_manifest


def test_model_as_a_value_means_the_models_own_generation_config(
    micro_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = micro_model.generation_config
    monkeypatch.setattr(own, "top_p", 0.8)
    monkeypatch.setattr(own, "top_k", 20)
    monkeypatch.setattr(own, "repetition_penalty", 1.1)
    assert resolve_decoding(SETTINGS, own, where="m") == Decoding(0.8, 0.8, 20, 0.0, 1.1)
    numbers = {**SETTINGS, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}
    assert resolve_decoding(numbers, own, where="m") == Decoding(0.8)


def test_what_the_model_does_not_say_is_neutral(micro_model: LanguageModel) -> None:
    assert resolve_decoding({**SETTINGS, "temperature": 0.5}, micro_model.generation_config, where="m") == Decoding(0.5)


def test_a_manifest_tells_weights_by_their_content(micro_model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(micro_model_folder, tmp_path / "another-name")
    assert (
        describe_folder(copy, "local")["weights_sha256"] == describe_folder(micro_model_folder, "x")["weights_sha256"]
    )
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert (
        describe_folder(copy, "local")["weights_sha256"] != describe_folder(micro_model_folder, "x")["weights_sha256"]
    )


def test_a_randomised_model_is_its_base_with_weights_of_a_seed(micro_model_folder: Path) -> None:
    base = describe_folder(micro_model_folder, "local")
    manifest = randomised.describe(base, 3)
    opened, whole = open_model(manifest, LOADING), open_model(base, LOADING)
    assert opened.tokenizer("a box").input_ids == whole.tokenizer("a box").input_ids
    expected = with_randomised_weights(whole.model, 3)
    assert all(torch.equal(a, b) for a, b in zip(opened.model.parameters(), expected.parameters(), strict=True))
    assert not torch.equal(opened.model.lm_head.weight, whole.model.lm_head.weight)
    # Texts are stored under what the manifest says: none of the base's, or of another seed's, are found.
    hashes = [one["weights_sha256"] for one in (base, manifest, randomised.describe(base, 4))]
    assert len(set(hashes)) == 3
    assert manifest == randomised.describe(base, 3)


def test_a_manifest_notices_another_tokenizer_or_chat_template(micro_model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(micro_model_folder, tmp_path / "model")
    before = describe_folder(copy, "local")
    (copy / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    after = describe_folder(copy, "local")
    assert after["weights_sha256"] == before["weights_sha256"]
    assert after["settings_sha256"] != before["settings_sha256"]


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("tokenizer.json", "lacks a tokenizer"),
        ("config.json", "lacks a config.json"),
        ("model.safetensors", "lacks safetensors weights"),
    ],
)
def test_a_folder_that_lacks_a_part_says_which(micro_model_folder: Path, tmp_path: Path, lost: str, said: str) -> None:
    copy = shutil.copytree(micro_model_folder, tmp_path / "model")
    (copy / lost).unlink()
    with pytest.raises(InputError, match=said) as error:
        describe_folder(copy, "local")
    assert "\n" not in str(error.value)


def test_a_model_that_cannot_be_loaded_is_one_clear_line(micro_model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(micro_model_folder, tmp_path / "model")
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "unheard-of"}), encoding="utf-8")
    with pytest.raises(InputError, match="cannot be loaded") as error:
        open_model(describe_folder(copy, "local"), LOADING)
    assert "\n" not in str(error.value)


def test_automatic_type_on_a_cpu_is_float32(micro_model_folder: Path) -> None:
    manifest = describe_folder(micro_model_folder, "local")
    whole = open_model(manifest, {**LOADING, "dtype": "auto"})
    assert whole.model.dtype == torch.float32
    assert whole.identity["dtype"] == "float32"
    half = open_model(manifest, {**LOADING, "dtype": "bfloat16"})
    assert half.model.dtype == torch.bfloat16
    assert half.identity["dtype"] == "bfloat16"


def test_what_is_known_without_the_weights_is_what_the_loaded_model_says(micro_model_folder: Path) -> None:
    opened = open_model(describe_folder(micro_model_folder, "local"), LOADING)
    said, loaded = opened.generation_config.to_dict(), opened.model.generation_config.to_dict()
    assert {key: said[key] for key in loaded} == loaded
    assert opened.config.to_dict() == opened.model.config.to_dict()


def test_without_a_generation_config_the_models_own_config_decides(micro_model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(micro_model_folder, tmp_path / "model")
    (copy / "generation_config.json").unlink()
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, "eos_token_id": 7}), encoding="utf-8")
    opened = open_model(describe_folder(copy, "local"), LOADING)
    assert opened.generation_config.eos_token_id == opened.model.generation_config.eos_token_id == 7


def test_a_model_is_known_by_its_content_and_format_alone(micro_model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(micro_model_folder, tmp_path / "another-name")
    here, there = (open_model(describe_folder(folder, "local"), LOADING) for folder in (micro_model_folder, copy))
    assert here.identity == there.identity
    assert str(tmp_path) not in json.dumps(there.identity)
    assert open_model(describe_folder(copy, "x"), {**LOADING, "dtype": "float16"}).identity != here.identity


def test_a_checkpoints_own_number_format_has_its_name(micro_model_folder: Path, tmp_path: Path) -> None:
    from leakscope.models.opening import _dtype_name

    config = open_model(describe_folder(micro_model_folder, "x"), LOADING).config
    config.dtype = torch.bfloat16
    assert _dtype_name("auto", "cuda", config) == _dtype_name("bfloat16", "cuda", config) == "bfloat16"
    assert _dtype_name("auto", "cpu", config) == "float32"


def test_a_named_device_is_taken_as_it_is() -> None:
    assert pick_device("cuda") == "cuda"
    assert pick_device("auto") in ("cpu", "cuda")


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_manifest({"b": 1, "a": "x"}, tmp_path / "m.json")
    assert read_manifest(tmp_path / "m.json") == {"a": "x", "b": 1}
    assert (tmp_path / "m.json").read_text(encoding="utf-8").index('"a"') < 6


def test_a_hash_covers_all_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    assert hash_files([tmp_path / "a", tmp_path / "b"]) != hash_files([tmp_path / "b", tmp_path / "a"])


def answer(status: int) -> object:
    import httpx2

    return httpx2.Response(status, request=httpx2.Request("GET", "https://example.invalid"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (GatedRepoError, "HF_TOKEN"),
        (RepositoryNotFoundError, "knows no such model"),
        (RevisionNotFoundError, "knows no revision 'v9'"),
    ],
)
def test_what_the_hub_refuses_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], said: str
) -> None:
    def refuse(*args: object, **kwargs: object) -> str:
        raise error("401 Client Error\nmany lines", response=answer(401))

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=said) as raised:
        fetch_snapshot("someone/model", "v9")
    assert "\n" not in str(raised.value)


def test_an_unreachable_hub_is_tried_again_and_then_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, pauses = [], []

    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)

    def refuse(*args: object, **kwargs: object) -> str:
        tries.append(1)
        raise ConnectionError("connection refused\nmore")

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=r"the hub cannot be reached \(connection refused\)"):
        fetch_snapshot("someone/model", "main", sleep=pauses.append)
    assert len(tries) == 3
    assert pauses == [1.0, 2.0]


def ask_hostile_hub(mischief: Mischief, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """Return what is said of a hub that means no good; it is asked once, with the token of `hf auth login`."""
    for name in hub.TOKENS:
        monkeypatch.delenv(name, raising=False)
    (folder / "token").write_text("s3cret-of-a-file")
    monkeypatch.setattr(hub, "ATTEMPTS", 1)
    with hostile_server(mischief) as server:
        settings = {
            "HF_HUB_OFFLINE": False,
            "HF_HUB_CACHE": str(folder),
            "HF_TOKEN_PATH": str(folder / "token"),
            "HF_HUB_DOWNLOAD_TIMEOUT": 0.1,
            "ENDPOINT": server.url,
        }
        for name, value in settings.items():
            monkeypatch.setattr(hub.constants, name, value)
        with pytest.raises(InputError) as caught:
            fetch_snapshot("someone/model", "main")
        # The hub's client may ask for something else first, without it.
        assert any(b"s3cret-of-a-file" in request for request in server.requests)
    close_session()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_hub_that_repeats_the_token_of_a_file_does_not_give_it_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(redaction, "_key_values", set())
    said = ask_hostile_hub(say(b"{}", b"418 s3cret-of-a-file"), monkeypatch, tmp_path)
    assert "the hub cannot be reached" in said
    assert "418 ***" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("drop", [b"x", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_hub_whose_header_has_no_end_is_given_up(
    drop: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beginning = HEAD + b"X-Long: " if drop == b"x" else b""
    began = time.monotonic()
    assert "no whole answer in 0.6 seconds" in ask_hostile_hub(drip(beginning, drop), monkeypatch, tmp_path)
    assert time.monotonic() - began < 4


def test_a_hub_that_answers_at_last_gives_the_resolved_commit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, micro_model_folder: Path
) -> None:
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = shutil.copytree(micro_model_folder, tmp_path / commit)
    answers = [ConnectionError("busy"), str(snapshot)]

    def download(repo_id: str, *, revision: str, allow_patterns: list[str], ignore_patterns: list[str]) -> str:
        assert (repo_id, revision) == ("someone/model", "main")
        assert not any(pattern.endswith((".py", ".bin")) for pattern in allow_patterns)
        weights = ["consolidated.safetensors", "original/model.safetensors", "model-00001-of-00002.safetensors"]
        assert list(filter_repo_objects(weights, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)) == [
            "model-00001-of-00002.safetensors"
        ]
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(hub, "snapshot_download", download)
    manifest = fetch_snapshot("someone/model", "main", sleep=lambda seconds: None)
    assert manifest["commit"] == commit
    assert manifest["weights_sha256"] == describe_folder(micro_model_folder, "x")["weights_sha256"]


def test_offline_without_the_model_in_the_cache_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="the hub cannot be reached") as raised:
        fetch_snapshot("someone/no-such-model", "main", sleep=lambda seconds: None)
    assert "\n" not in str(raised.value)
