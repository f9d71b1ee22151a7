"""What the files of a model folder say before it is loaded, and what becomes of a model that says other than most."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tokenizers import processors
from transformers import AutoModelForCausalLM

from helpers import (
    LOADING,
    SETTINGS,
    byte_tokenizer,
    complete,
    in_memory,
    micro_candidates,
    micro_prompts,
    save_model,
    small_config,
)
from leakscope.errors import InputError
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.checking import check_checkpoint
from leakscope.models.checkpoints.files import check_folder, check_vocabulary
from leakscope.models.checkpoints.templates import check_answers_at_once, check_thinks
from leakscope.models.checkpoints.thoughts import HARMONY as CHANNELS
from leakscope.models.checkpoints.thoughts import written_thought
from leakscope.models.checkpoints.unheeded import lacking_beginning, unheeded_settings
from leakscope.models.completion import complete_prompts
from leakscope.models.opening import LanguageModel, open_model, read_generation_config
from leakscope.models.prompts.prompting import Prompting, read_prompts
from leakscope.models.prompts.rendering import encode_continuations, encode_rendered, render_prompt
from leakscope.storage.manifests import describe_folder, hash_files, hash_model, model_files
from leakscope.workflow.opening import open_study

TURNS = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}</s>{% endfor %}"
CHAT = TURNS + "{% if add_generation_prompt %}[assistant] {% endif %}"
# As Qwen3 has it: thoughts are taken out of earlier answers, and an empty one is written where none is wanted.
QWEN3 = """
{%- for m in messages %}
    {%- set content = m.content %}
    {%- if m.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + m.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}<|channel|>final<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
TAUGHT = "Think between <think> and </think> first." + CHAT
# A template that keeps whatever is said has no thoughts of its own, though it may speak of them in a branch not taken.
KEEPS = "{% if thinking %}Write <think> first.{% endif %}" + CHAT


def llama(**changes: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(small_config(**changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole model."""
    return save_model(tmp_path / "model", llama())


def refusal(check: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        check()
    assert "\n" not in str(error.value)
    return str(error.value)


def opened(folder: Path) -> LanguageModel:
    return open_model(describe_folder(folder, "local"), LOADING)


# ------------------------------------------------------------------------------------------------------------ settings


def test_a_whole_folder_has_no_mistake(folder: Path) -> None:
    check_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ['{"eos_token_id": [256, 257], "top_k": 5', "[]"])
def test_settings_that_are_cut_off_or_no_object_are_one_line(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    said = refusal(lambda: check_folder(folder))
    assert said.startswith(f"{folder / name}: got ")
    assert said.endswith("allowed: a whole file of settings, as `save_pretrained` writes it.")
    assert refusal(lambda: check_checkpoint(folder)) == said


def test_a_generation_config_that_is_cut_off_is_not_taken_for_a_missing_one(folder: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": [256, 257], "top_k": 5')
    assert f"{folder}/generation_config.json: got invalid JSON" in refusal(lambda: opened(folder))
    (folder / "generation_config.json").unlink()
    config = small_config(eos_token_id=[256, 257])
    assert read_generation_config(str(folder), config, {}).eos_token_id == [256, 257]


def test_a_tokenizer_that_the_library_cannot_read_is_one_line_and_says_which_library(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["merges"] = [123]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    said = refusal(lambda: check_folder(folder))
    assert said.startswith(f"{folder}/tokenizer.json: got content that tokenizers ")
    assert "update tokenizers" in said
    assert refusal(lambda: opened(folder)).startswith(f"model {folder}: cannot be loaded")


# ------------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "got no header of weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "got a Git LFS pointer"),
        ((2**40).to_bytes(8, "little") + b"{}", "got no header of weights"),
        ((3).to_bytes(8, "little") + b"{a}", "got a header of weights that cannot be read"),
        ((2).to_bytes(8, "little") + b"[]", "got a header of weights that cannot be read"),
    ],
)
def test_weights_without_a_header_are_one_line(folder: Path, content: bytes, said: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert f"{folder}/model.safetensors: {said}" in refusal(lambda: check_folder(folder))


def test_weights_that_were_fetched_in_part_are_one_line_with_both_sizes(folder: Path) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert f"got {len(whole) - 10:,} bytes; allowed: {len(whole):,}" in refusal(lambda: check_folder(folder))


def test_copies_beside_the_weights_are_no_weights(tmp_path: Path) -> None:
    sharded = save_model(tmp_path / "sharded", llama(), max_shard_size="10KB")
    shards = sorted(sharded.glob("*.safetensors"))
    assert len(shards) > 1
    before = hash_model(sharded)
    assert before["weights_sha256"] == hash_files(shards)
    whole = save_model(tmp_path / "whole", llama())
    shutil.copy(whole / "model.safetensors", sharded / "consolidated.safetensors")
    assert hash_model(sharded) == before
    assert [file.name for file in model_files(sharded) if file.suffix == ".safetensors"] == [s.name for s in shards]
    before = hash_model(whole)
    assert before["weights_sha256"] == hash_files([whole / "model.safetensors"])
    shutil.copy(whole / "model.safetensors", whole / "consolidated-00001-of-00001.safetensors")
    assert hash_model(whole) == before


# ---------------------------------------------------------------------------------------------------------- vocabulary


def test_a_tokenizer_larger_than_the_embedding_is_one_line_where_described_and_where_opened(tmp_path: Path) -> None:
    folder = save_model(tmp_path, llama(vocab_size=100, pad_token_id=0))
    said = "got a tokenizer of 256 tokens and an embedding of 100 rows; allowed: a tokenizer of which every token has"
    assert f"{folder}: {said}" in refusal(lambda: check_folder(folder))
    assert f"model {folder}: {said}" in refusal(lambda: opened(folder))


def test_the_header_says_how_many_rows_there_are_where_the_settings_do_not(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["vocab_size"]
    (folder / "config.json").write_text(json.dumps(config))
    check_folder(folder)
    save_model(folder, llama(vocab_size=100, pad_token_id=0))
    assert "an embedding of 100 rows" in refusal(lambda: check_folder(folder))


def test_an_end_of_text_without_a_row_is_refused_and_another_added_token_is_not() -> None:
    # As one for pictures in the text models of Gemma 3.
    check_vocabulary("m", 256, {"eos_token": 256, "bos_token": None}, 257)
    assert refusal(lambda: check_vocabulary("m", 256, {"eos_token": 257}, 257)) == (
        "m: got eos_token number 257 and an embedding of 257 rows; allowed: a tokenizer of which every token has a "
        "row, such as the one that the model was trained with."
    )


def test_a_prompt_with_an_added_token_that_has_no_row_is_one_line() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<picture>"])
    model = in_memory(llama(), tokenizer)
    read_prompts(model, pd.Series(["Hello"]), Prompting(SETTINGS, chat=False))
    said = refusal(lambda: read_prompts(model, pd.Series(["See <picture>"]), Prompting(SETTINGS, chat=False)))
    assert "got the token '<picture>', number 258, in 'See <picture>', and an embedding of 258 rows" in said


def test_ids_that_the_tokenizer_lacks_are_never_written_and_have_no_probability(tmp_path: Path) -> None:
    network = llama(vocab_size=300, tie_word_embeddings=False)
    with torch.no_grad():  # those beyond the tokenizer's 258 are by far the likeliest
        network.lm_head.weight[258:] = 0
        network.lm_head.weight[:258] *= 0.01
    tokenizer = byte_tokenizer()
    padded = in_memory(network, tokenizer)
    assert padded.never_written == tuple(range(258, 300))
    rows = micro_prompts()
    settings = {"stop": "length", "samples": 40, "max_new_tokens": 4, "temperature": 1.0}
    # The same model without these rows: by the same law, the same numbers draw the same tokens.
    cut = llama(vocab_size=258, tie_word_embeddings=False)
    with torch.no_grad():
        for own, whole in zip(cut.parameters(), network.parameters(), strict=True):
            own.copy_(whole[:258] if whole.shape[0] == 300 else whole)
    plain = in_memory(cut, tokenizer)
    assert plain.never_written == ()
    assert complete(padded, rows, **settings)["text"].tolist() == complete(plain, rows, **settings)["text"].tolist()
    prompting = Prompting(SETTINGS, chat=False)
    scores = [score_prompts(model, rows, micro_candidates(), "m", prompting).table for model in (padded, plain)]
    for column in ("logprob", "logprob_sampled"):
        assert scores[0][column].tolist() == pytest.approx(scores[1][column].tolist(), abs=1e-5)


def test_texts_of_a_padded_model_are_stored_apart_and_those_of_others_as_before(tmp_path: Path) -> None:
    padded, plain = in_memory(llama(vocab_size=300), byte_tokenizer()), in_memory(llama(), byte_tokenizer())
    assert padded.as_writer(padded.identity) == {**padded.identity, "never_written": 42}
    assert plain.as_writer(plain.identity) == plain.identity


# -------------------------------------------------------------------------------------------------- beginnings and ends


def adding(before: bool, after: bool) -> Any:
    """Return a tokenizer that adds a beginning or an end to plain text."""
    tokenizer = byte_tokenizer()
    single = " ".join(["<s>"] * before + ["$A"] + ["</s>"] * after)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    return tokenizer


def test_no_prompt_ends_with_the_end_that_a_tokenizer_adds() -> None:
    tokenizer = adding(before=True, after=True)
    plain = byte_tokenizer()("It is")["input_ids"]
    assert tokenizer("It is")["input_ids"] == [256, *plain, 257]
    ids = encode_rendered(tokenizer, "It is", chat=False)
    assert ids == [256, *plain]
    assert encode_continuations(tokenizer, "It is", ids, ["red"], lead=" ", chat=False) == [
        byte_tokenizer()(" red")["input_ids"]
    ]
    # What the text says itself stays, and an empty one has its beginning.
    assert encode_rendered(tokenizer, "It is</s>", chat=False) == [256, *plain, 257]
    assert encode_rendered(tokenizer, "", chat=False) == [256]


def test_ids_of_tokenizers_that_add_no_end_are_as_they_were() -> None:
    for tokenizer in (byte_tokenizer(), adding(before=True, after=False)):
        for text in ("", "It is", "<s>It is</s>"):
            assert encode_rendered(tokenizer, text, chat=False) == tokenizer(text)["input_ids"]


def test_a_beginning_is_not_written_twice() -> None:
    tokenizer = adding(before=True, after=True)
    tokenizer.chat_template = "<s>" + CHAT
    rendered = render_prompt(tokenizer, "It is", template="{prompt}", system=None, chat=True)
    ids = encode_rendered(tokenizer, rendered, chat=True)
    assert (ids[0], ids.count(256)) == (256, 1)
    assert lacking_beginning(tokenizer, small_config(), ids) == ""


def said_of_beginning(tokenizer: Any, template: str, **config: Any) -> str:
    tokenizer.chat_template = template
    rendered = render_prompt(tokenizer, "It is", template="{prompt}", system=None, chat=True)
    return lacking_beginning(tokenizer, small_config(**config), encode_rendered(tokenizer, rendered, chat=True))


def test_a_chat_template_without_the_beginning_that_a_model_was_trained_with_is_told_of() -> None:
    assert said_of_beginning(adding(before=True, after=False), CHAT) == (
        "its chat template does not write its beginning of text (<s>), which its tokenizer puts before plain text"
    )
    assert said_of_beginning(byte_tokenizer(), CHAT) == (
        "neither its chat template nor its tokenizer writes its beginning of text (<s>), which its config.json names"
    )
    assert said_of_beginning(byte_tokenizer(), CHAT, bos_token_id=5) == ""
    # Of many the end of a text is the beginning of the next, and some have no beginning at all.
    one = byte_tokenizer()
    one.eos_token = one.bos_token
    assert said_of_beginning(one, CHAT) == ""
    one.bos_token = None
    assert said_of_beginning(one, CHAT) == ""


# ------------------------------------------------------------------------------------------------------- own settings


def test_own_settings_that_are_not_followed_are_told_of_once_with_their_values(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "generation_config.json"
    unheeded = {"no_repeat_ngram_size": 2, "suppress_tokens": [5], "min_new_tokens": 3, "stop_strings": ["###"]}
    neutral = {"typical_p": 1.0, "num_beams": 1, "bad_words_ids": None}
    followed = {"top_p": 0.9, "top_k": 5, "repetition_penalty": 1.1, "min_p": 0.1, "temperature": 0.6}
    path.write_text(json.dumps({**unheeded, **neutral, **followed, "max_length": 99, "do_sample": True}))
    complete_prompts(opened(folder), micro_prompts()[:2], "m", Prompting(SETTINGS, chat=False))
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "model m: not followed of its generation_config.json: no_repeat_ngram_size: 2, suppress_tokens: [5], "
        "min_new_tokens: 3, stop_strings: ['###']"
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [({"typical_p": 0.5}, "typical_p: 0.5"), ({"num_beams": 4}, "num_beams: 4"), ({"min_length": 0}, ""), ({}, "")],
)
def test_only_what_changes_texts_is_told_of(folder: Path, said: dict[str, Any], expected: str) -> None:
    (folder / "generation_config.json").write_text(json.dumps(said))
    assert unheeded_settings(read_generation_config(str(folder), small_config(), {})) == expected


def test_a_model_that_writes_nothing_has_no_settings() -> None:
    assert unheeded_settings(None) == ""


# ------------------------------------------------------------------------------------------------------------- thoughts

THINKING = {
    "begun": (CHAT + "<think>\n", {}, "<think>"),
    "taken out": (QWEN3, {}, "<think>"),
    "switched on": (QWEN3, {"enable_thinking": True}, "<think>"),
    "asked for": (TAUGHT, {}, "<think>"),
    "asked for by a variable": (KEEPS, {"thinking": True}, "<think>"),
    "channels": (HARMONY, {}, "<|channel|>"),
    "brackets": (CHAT + "[THINK]", {}, "[THINK]"),
}
ANSWERING = {
    "plain": (CHAT, {}),
    "switched off": (QWEN3, {"enable_thinking": False}),
    "not asked for": (KEEPS, {}),
    "ended by the template": (CHAT + "<think>\n\n</think>\n\n", {}),
    "the last channel": (HARMONY + "<|channel|>final<|message|>", {}),
}


def with_template(folder: Path, template: str) -> Path:
    (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.mark.parametrize("name", THINKING)
def test_a_model_that_thinks_first_is_refused_before_any_job_and_where_it_is_asked(folder: Path, name: str) -> None:
    template, options, mark = THINKING[name]
    with_template(folder, template)
    line = refusal(lambda: check_answers_at_once("models.m", folder, options))
    assert line.startswith(f"models.m: got a chat template of a model that writes a chain of thought ({mark}) before")
    assert ("`chat_template_kwargs: {enable_thinking: false}`" in line) == (template == QWEN3)
    prompting = Prompting(SETTINGS, chat=True, chat_template_kwargs=options)
    model = opened(folder)
    said = refusal(lambda: read_prompts(model, pd.Series(["It is"]), prompting))
    assert said.partition(": got")[2] == line.partition(": got")[2]
    # As plain text, it goes on like any other model.
    read_prompts(model, pd.Series(["It is"]), Prompting(SETTINGS, chat=False))


@pytest.mark.parametrize("name", ANSWERING)
def test_a_model_that_answers_at_once_is_not(folder: Path, name: str) -> None:
    template, options = ANSWERING[name]
    with_template(folder, template)
    check_answers_at_once("models.m", folder, options)
    read_prompts(opened(folder), pd.Series(["It is"]), Prompting(SETTINGS, chat=True, chat_template_kwargs=options))


THOUGHTS = {"begin": None, "end": None, "budget": 8, "measure": "answer", "in_candidates": False}


@pytest.mark.parametrize("name", THINKING)
def test_a_model_that_thinks_first_may_where_its_entry_says_so(folder: Path, name: str) -> None:
    template, options, mark = THINKING[name]
    with_template(folder, template)
    check_thinks("models.m", folder, options)
    prompting = Prompting(SETTINGS, chat_template_kwargs=options, thinking=THOUGHTS)
    model = opened(folder)
    (rendered,), _ = read_prompts(model, pd.Series(["It is"]), prompting)
    assert rendered.rstrip().endswith(CHANNELS.begin if mark == "<|channel|>" else mark)
    plan = prompting.thoughts(model.tokenizer)
    assert plan is not None
    assert plan.marks.lead == ("" if mark != "<|channel|>" else CHANNELS.lead)


@pytest.mark.parametrize("name", ANSWERING)
def test_a_model_that_begins_no_thought_needs_marks_to_think(folder: Path, name: str) -> None:
    template, options = ANSWERING[name]
    with_template(folder, template)
    line = refusal(lambda: check_thinks("models.m", folder, options))
    assert line.startswith("models.m: thinking: got no `begin` and `end`, and no chat template that begins a thought")
    prompting = Prompting(SETTINGS, chat_template_kwargs=options, thinking=THOUGHTS)
    assert "got no `begin`" in refusal(lambda: read_prompts(opened(folder), pd.Series(["It is"]), prompting))


def test_a_template_that_cannot_be_rendered_is_left_to_whoever_asks() -> None:
    assert written_thought("<think>", lambda messages: None) is None


def test_templates_are_found_where_tokenizers_keep_them(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    for kept in (QWEN3, [{"name": "tool_use", "template": CHAT}, {"name": "default", "template": QWEN3}]):
        (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": kept}))
        assert "(<think>)" in refusal(lambda: check_answers_at_once("m", folder, {}))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    check_answers_at_once("m", folder, {})


# --------------------------------------------------------------------------------------------- all folders of a study


def test_mistakes_of_all_folders_are_named_before_any_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cut", "newer", "thinks", "plainly", "part", "good"):
        with_template(save_model(Path(name), llama()), CHAT)
    save_model(Path("small"), llama(vocab_size=100, pad_token_id=0))
    Path("cut/generation_config.json").write_text("{")
    Path("newer/tokenizer.json").write_text("{}")
    Path("part/model.safetensors").write_bytes(Path("part/model.safetensors").read_bytes()[:-1])
    for name in ("thinks", "plainly"):
        with_template(Path(name), QWEN3)
    models: dict[str, Any] = {name: {"source": "local", "path": name} for name in map(str, sorted(Path().iterdir()))}
    models["plainly"]["chat"] = False
    models["quick"] = {"extends": "thinks", "chat_template_kwargs": {"enable_thinking": False}}
    study = {"study": {"name": "mine", "models": list(models), "scorers": ["lexical"]}, "models": models}
    with pytest.raises(InputError) as caught:
        open_study(study, [], print, is_main=True)
    lines = {line.split(": got")[0].removeprefix("config: ") for line in str(caught.value).splitlines()}
    assert lines == {
        "cut/generation_config.json",
        "newer/tokenizer.json",
        "part/model.safetensors",
        "small",
        "models.thinks",
    }
    # Who does not write texts is asked for none.
    study["study"]["steps"] = ["ground"]  # type: ignore[assignment]
    with pytest.raises(InputError) as caught:
        open_study(study, [], print, is_main=True)
    assert "models.thinks" not in str(caught.value)


def test_so_are_those_of_a_folder_that_a_model_of_the_study_is_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(Path("kept"), llama())
    models = {
        "kept": {"source": "local", "path": "kept"},
        "drawn": {"source": "randomised", "base": "kept", "seed": 0},
    }
    study = {"study": {"name": "mine", "models": ["drawn"], "scorers": ["lexical"]}, "models": models}
    assert open_study(study, [], print, is_main=True).of_source("local") == ["kept"]
    Path("kept/generation_config.json").write_text("{")
    assert "kept/generation_config.json: got invalid JSON" in refusal(
        lambda: open_study(study, [], print, is_main=True)
    )


def test_planning_looks_into_folders_without_the_libraries_of_models(folder: Path) -> None:
    with_template(folder, CHAT + "<think>\n\n</think>")
    code = (
        "import sys; from pathlib import Path; folder = Path(sys.argv[1]); "
        "from leakscope.models.checkpoints.files import check_folder; check_folder(folder); "
        "from leakscope.models.checkpoints.templates import check_answers_at_once, check_thinks; "
        "check_answers_at_once('m', folder, {}); "
        "print([name for name in ('torch', 'transformers', 'numpy', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
