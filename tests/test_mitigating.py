from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from helpers import LOADING, SETTINGS, complete, in_memory, micro_candidates, micro_prompts
from leakscope.errors import InputError
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.candidates import PromptCandidates, score_candidates
from leakscope.models.decoding import SHORTEST_SHARED, Reader, read_plainly
from leakscope.models.editing.dictionary_files import describe_dictionary, save_dictionary
from leakscope.models.editing.edits import Edit, editing, feature_edit, to_json
from leakscope.models.editing.resuming import Resumer
from leakscope.models.mitigating import changes
from leakscope.models.mitigating.changes import describe_mitigated, mitigated
from leakscope.models.mitigating.installing import install
from leakscope.models.opening import open_model
from leakscope.models.prompts.prompting import Prompting
from leakscope.models.sampling import Decoding
from leakscope.models.sentence_logprobs import TokenRow, score_causal
from leakscope.models.token_tree import TokenTree, read_tree
from leakscope.storage.manifests import describe_folder, read_manifest, write_manifest
from leakscope.trace.removal.clauses import attention_variants, decoding_variants, prompt_variants
from leakscope.trace.removal.items import Items
from leakscope.trace.removal.variants import Setting
from test_edits import MAXIMA, MEANS, random_dictionary, unit_vector
from test_generation import limits_of, requests_of, tiny, write, write_plainly
from test_log_odds import random_model

NAMES = ["gpt2", "llama", "qwen2", "gemma2", "gpt_neox", "mistral"]
# Of one token, of two, and one that begins with another.
TERMS = [[5, 6, 7], [5, 6], [40], [7]]
SHARED = [*range(20, 20 + SHORTEST_SHARED), 5]
PROMPTS = [[*SHARED, 6, 9], [*SHARED, 6, 7, 11], [40, 31], [2, 5]]
WRITTEN = [[7, 12], [40, 8], [40, 6], [6, 7]]
ATTENTION = {"kind": "attention", "layers": [0, 1], "alpha": 0.7, "terms": TERMS}
PAIRS = [[[*SHARED, 6, 9], SHARED[2:]], [[2, 5], [3]], [[*SHARED, 6], [30, 31, 32]], [[40, 31], [31]]]
DECODING = {"kind": "decoding", "alpha": 0.3, "pairs": PAIRS}


@pytest.fixture(autouse=True)
def on_one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


def plain(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Return the logits after each token of a text that is read by itself."""
    return read_plainly(model, torch.tensor([list(ids)]), len(ids))[0]


def state(model: Any) -> list[tuple[str, int, int]]:
    return [(name, len(one._forward_hooks), len(one._forward_pre_hooks)) for name, one in model.named_modules()]


def decided(model: Any, ids: Sequence[int], n_prompt: int, masked: Sequence[int], alpha: float) -> torch.Tensor:
    """Return (1 − α) log p + α log p' after each token from a prompt's last on, by two readings."""
    own = plain(model, ids)[n_prompt - 1 :].log_softmax(-1)
    other = plain(model, [*masked, *ids[n_prompt:]])[len(masked) - 1 :].log_softmax(-1)
    return (1 - alpha) * own + alpha * other


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("alpha", [0.7, 1.0])
def test_attention_to_mentions_that_ended_is_scaled_and_normalised_again(name: str, layer: int, alpha: float) -> None:
    model = random_model(name)
    ids = torch.tensor([[9, 5, 6, 8, 40, 7, 5, 6, 7, 5]])
    # By hand: which places each place attends to less. The 7 that ends "5 6 7" is no later token for the 5 and 6 before
    # it, though "5 6" had ended; the 40 is none for itself, and the last 5 begins nothing that ended.
    less = {3: [1, 2], 4: [1, 2], 5: [1, 2, 4], 6: [1, 2, 4, 5], 7: [1, 2, 4, 5], 8: [1, 2, 4, 5]}
    less[9] = [1, 2, 4, 5, 6, 7, 8]
    model.set_attn_implementation("eager")
    own = model(input_ids=ids, output_attentions=True, use_cache=False)
    with install(model, {**ATTENTION, "layers": [layer], "alpha": alpha}):
        found = model(input_ids=ids, output_attentions=True, use_cache=False)
    expected = own.attentions[layer].clone()
    for later, places in less.items():
        expected[:, :, later, places] *= 1 - alpha
    expected /= expected.sum(-1, keepdim=True)
    torch.testing.assert_close(found.attentions[layer], expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.attentions[0], own.attentions[0]) == (layer == 1)
    torch.testing.assert_close(found.logits[:, :3], own.logits[:, :3], rtol=1e-5, atol=1e-5)
    assert (found.logits[:, 9] - own.logits[:, 9]).abs().max() > 1e-2


@pytest.mark.parametrize("change", [ATTENTION, DECODING], ids=lambda change: change["kind"])
@pytest.mark.parametrize("name", NAMES)
def test_at_zero_nothing_changes(name: str, change: dict[str, Any]) -> None:
    model = random_model(name)
    if change is ATTENTION:
        model.set_attn_implementation("eager")
    own = [plain(model, row) for row in PROMPTS]
    with install(model, {**change, "alpha": 0.0}):
        assert all(torch.equal(plain(model, row), logits) for row, logits in zip(PROMPTS, own, strict=True))
    with install(model, change):
        assert not torch.equal(plain(model, PROMPTS[0]), own[0])


@pytest.mark.parametrize("change", [ATTENTION, DECODING], ids=lambda change: change["kind"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_no_part_of_a_text(name: str, side: str, change: dict[str, Any]) -> None:
    model = random_model(name)
    rows = [row + more for row, more in zip(PROMPTS, WRITTEN, strict=True)]
    longest = max(map(len, rows))
    # Padding that would be mentions, or begin one.
    padding = [[5] * (longest - len(row)) for row in rows]
    padded = [pad + row if side == "left" else row + pad for row, pad in zip(rows, padding, strict=True)]
    zeros = [[0] * len(pad) for pad in padding]
    ones = [[1] * len(row) for row in rows]
    mask = torch.tensor([a + b if side == "left" else b + a for a, b in zip(zeros, ones, strict=True)])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with install(model, change):
        found = model(input_ids=torch.tensor(padded), attention_mask=mask, position_ids=positions, use_cache=False)
        for logits, counted, row in zip(found.logits, mask.bool(), rows, strict=True):
            torch.testing.assert_close(logits[counted], plain(model, row), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("change", [ATTENTION, DECODING], ids=lambda change: change["kind"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("taken", [[0, 1], [0, 1, 2, 3]], ids=["shared beginning", "padded"])
def test_what_goes_on_from_a_cache_is_what_is_read_at_once(name: str, taken: list[int], change: dict[str, Any]) -> None:
    model = random_model(name)
    with install(model, change):
        reader = Reader(model)
        assert reader.caches
        assert reader.shares
        given, logits = reader.read([PROMPTS[row] for row in taken], room=2)
        for row, found in zip(taken, logits, strict=True):
            torch.testing.assert_close(found, plain(model, PROMPTS[row])[-1], rtol=1e-4, atol=1e-4)
        rows = [1, 0, 1, len(taken) - 1]
        given.select(torch.tensor(rows))
        first = given.extend(torch.tensor([pair[:1] for pair in WRITTEN]), torch.ones(4), written=True)
        again = [2, 0, 3]
        given.select(torch.tensor(again))
        tokens = torch.tensor([[WRITTEN[row][1], 13] for row in again])
        second = given.extend(tokens, torch.tensor([2, 1, 2]), written=True)
        for place, row in enumerate(again):
            whole = plain(model, [*PROMPTS[taken[rows[row]]], *WRITTEN[row], 13])
            torch.testing.assert_close(first[row, 0], whole[-3], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(second[place, 0], whole[-2], rtol=1e-4, atol=1e-4)
            if place != 1:
                torch.testing.assert_close(second[place, 1], whole[-1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("change", [ATTENTION, DECODING], ids=lambda change: change["kind"])
@pytest.mark.parametrize("name", ["gemma2", "mistral"])
def test_a_cache_that_forgot_what_is_beyond_a_window_is_gone_on_from(name: str, change: dict[str, Any]) -> None:
    model = random_model(name)
    prompts = [[*SHARED, 6, 9, *range(60, 66), 40, *range(70, 76)], [2, 5, *range(60, 76), 40, 31]]
    with install(model, change):
        reader = Reader(model)
        assert reader.window is not None
        assert reader.window < min(map(len, prompts))
        assert reader.caches_beyond_window
        given, logits = reader.read(prompts, room=2)
        after = given.extend(torch.tensor([[40, 8], [7, 9]]), torch.tensor([2, 2]), written=True)
        for prompt, more, before, found in zip(prompts, [[40, 8], [7, 9]], logits, after, strict=True):
            expected = plain(model, [*prompt, *more])[-3:]
            torch.testing.assert_close(torch.cat([before[None], found]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_what_is_kept_away_is_nothing(dtype: torch.dtype) -> None:
    model = random_model("llama").to(dtype)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])  # of what is padding, each place is as low
    with install(model, {**ATTENTION, "alpha": 1.0}):
        found = model(input_ids=torch.tensor([[5, 6, 5, 5, 6, 9, 3]]), attention_mask=mask, output_attentions=True)
    assert bool(found.logits.isfinite().all())
    assert all(float(layer[0, :, 5:, 3:5].abs().max()) == 0 for layer in found.attentions)
    assert all(float(layer[0, :, 4, 3].min()) > 0 for layer in found.attentions)


@pytest.mark.parametrize("change", [ATTENTION, DECODING], ids=lambda change: change["kind"])
@pytest.mark.parametrize("name", NAMES)
def test_a_tree_and_scores_of_candidates_are_what_is_read_row_by_row(name: str, change: dict[str, Any]) -> None:
    model = random_model(name, **({"sliding_window": 64} if name in ("gemma2", "mistral") else {}))
    tree = TokenTree()
    paths = [(row + more, tree.walk(more, tree.walk(row)[-1], written=True)) for row in PROMPTS for more in WRITTEN]
    questions = [PromptCandidates(row, [[*more, 3] for more in WRITTEN]) for row in PROMPTS]
    with install(model, change):
        found = read_tree(model, tree, [path[-1] for _, path in paths])
        for logits, (ids, _) in zip(found, paths, strict=True):
            torch.testing.assert_close(logits, plain(model, ids)[-1], rtol=1e-4, atol=1e-4)
        (scores,) = score_candidates(model, questions, Decoding(1.0), batch_size=9)
        for question, score in zip(questions, scores, strict=True):
            for candidate, value in zip(question.candidates, score.logprob, strict=True):
                logprobs = plain(model, [*question.prompt, *candidate]).log_softmax(-1)[len(question.prompt) - 1 :]
                assert value == pytest.approx(sum(float(logprobs[i, t]) for i, t in enumerate(candidate)), abs=1e-4)


# The first reads no trees, the second has no cache that can be handed on: masked texts are read as rows.
@pytest.mark.parametrize("name", [*NAMES, "bloom", "mamba"])
@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_two_prompts_decide_together_where_a_text_begins_with_a_known_one(name: str, alpha: float) -> None:
    model = random_model(name)
    text, unknown = [*SHARED, 6, 9, 14, 15], [*SHARED, 8, 9, 14, 15]
    own, other = plain(model, text), plain(model, unknown)
    n_prompt = len(SHARED) + 2
    expected = decided(model, text, n_prompt, SHARED[2:], alpha)
    # One token earlier stands a shorter prompt, which has masked text of its own.
    shorter = decided(model, text[: n_prompt - 1], n_prompt - 1, [30, 31, 32], alpha)
    with install(model, {**DECODING, "alpha": alpha}):
        found = plain(model, text)
        assert torch.equal(plain(model, unknown), other)
        torch.testing.assert_close(found[n_prompt - 1 :], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[n_prompt - 2 : n_prompt - 1], shorter, rtol=1e-5, atol=1e-5)
        assert torch.equal(found[: n_prompt - 2], own[: n_prompt - 2])
        # Of the logits of some places alone, these are changed.
        last = model(input_ids=torch.tensor([text]), use_cache=False, logits_to_keep=2).logits[0]
        torch.testing.assert_close(last[-2:], expected[-2:], rtol=1e-5, atol=1e-5)


def test_masked_texts_beyond_a_tree_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from leakscope.models.mitigating import contrast

    model = random_model("llama")
    rows = torch.tensor([[2, 5, *range(50, 59)], [40, 31, *range(60, 69)]])
    with install(model, DECODING):
        expected = model(input_ids=rows, use_cache=False).logits
        sizes: list[int] = []
        reading = contrast.read_tree

        def read(model: Any, tree: TokenTree, ends: Sequence[int]) -> torch.Tensor:
            sizes.append(len(tree))
            return reading(model, tree, ends)

        monkeypatch.setattr(contrast, "read_tree", read)
        monkeypatch.setattr(contrast, "most_places", lambda model: 12)
        torch.testing.assert_close(model(input_ids=rows, use_cache=False).logits, expected, rtol=1e-5, atol=1e-5)
        assert len(sizes) > 1
        assert max(sizes) <= 12
        monkeypatch.setattr(contrast, "most_places", lambda model: 4)
        torch.testing.assert_close(model(input_ids=rows, use_cache=False).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", [ATTENTION, DECODING], ids=lambda change: change["kind"])
def test_texts_are_scored_as_they_are_read_plainly(change: dict[str, Any]) -> None:
    model = random_model("llama")
    rows = [TokenRow([1, *row, *more], range(1, 1 + len(row) + 2)) for row in PROMPTS for more in WRITTEN]
    known = {**DECODING, "pairs": [[[1, *prompt], [1, *masked]] for prompt, masked in PAIRS]}
    with install(model, known if change is DECODING else change):
        found = {row: values for batch in score_causal(model, rows, batch_size=5) for row, values in batch.items()}
        for number, row in enumerate(rows):
            logprobs = plain(model, row.ids).log_softmax(-1)
            expected = [float(logprobs[place - 1, row.ids[place]]) for place in row.places]
            assert found[number] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["attention", "decoding"])
def test_texts_are_written_as_without_a_cache(kind: str, base: dict[str, Any], tmp_path: Path) -> None:
    setting = setting_of(base, {"layers": [[0, 1]]}, tmp_path)
    model = tiny("llama", setting.model.tokenizer)
    setting = setting._replace(model=model)
    (variant,) = (attention_variants if kind == "attention" else decoding_variants)(setting)
    requests, how = requests_of(model, micro_prompts()["prompt"], 3, None), (Decoding(0.8), limits_of(model, 6))
    own = write(model, requests, *how)
    with install(model.model, variant.manifest(0.9)["change"]):
        written = write(model, requests, *how)
        assert written == write_plainly(model, requests, *how)
    assert written != own


def test_a_cache_of_tokens_that_nobody_named_is_not_gone_on_from() -> None:
    model = random_model("llama")
    with install(model, ATTENTION):
        cache = model(input_ids=torch.tensor([[5, 6]]), use_cache=True).past_key_values
        with pytest.raises(NotImplementedError, match="a cache of tokens that nobody named"):
            model(input_ids=torch.tensor([[9]]), past_key_values=cache)
        assert Resumer(model).first_needed(7, 3) == 0  # so residuals are gone on from without one


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "mamba",
            ATTENTION,
            r"got .*; allowed for a mitigation of kind 'attention': models whose blocks receive",
        ),
        ("lfm2", ATTENTION, r"model .*: got a block without an additive attention mask"),
        ("llama", {**ATTENTION, "layers": [2]}, "got layer 2; allowed: 0 to 1"),
        (
            "llama",
            {"kind": "steering"},
            "mitigation: kind: got 'steering'; allowed: attention, decoding, edits",
        ),
    ],
)
def test_what_cannot_be_changed_is_refused_and_left_as_it_is(name: str, change: dict[str, Any], message: str) -> None:
    model = random_model(name)
    before, attention = state(model), model.config._attn_implementation
    with pytest.raises(InputError, match=message) as error:
        install(model, change)
    assert "\n" not in str(error.value)
    assert (state(model), model.config._attn_implementation) == (before, attention)


def test_an_attention_that_cannot_be_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("llama")
    monkeypatch.setattr(type(model), "_can_set_attn_implementation", classmethod(lambda cls: False))
    with pytest.raises(InputError, match="got the attention 'sdpa', which cannot be set to 'eager'"):
        install(model, ATTENTION)


@pytest.fixture(scope="module")
def base(micro_model_folder: Path) -> dict[str, Any]:
    return describe_folder(micro_model_folder, "local")


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("dictionary")
    save_dictionary(random_dictionary(layer=0), folder)
    return describe_dictionary(folder, source="local", model="m")


ALONG = Edit("project", 0, 0.8, targets=(0.3,), direction=unit_vector())
ADDED = feature_edit("add", 0, [3, 17], 1.0, maxima=MAXIMA, means=MEANS)
CHANGES = {
    "direction": {"kind": "edits", "edits": [to_json(ALONG)]},
    "features": {"kind": "edits", "edits": [to_json(ADDED), to_json(ALONG)]},
    "attention": {"kind": "attention", "layers": [0], "alpha": 0.9, "terms": [[5], [9, 30]]},
    "decoding": {"kind": "decoding", "alpha": 0.5, "pairs": [[[5, 9], [30]]]},
    "prompt": {"kind": "prompt", "wording": "Look away."},
}
TEXT = [5, 9, 30, 41, 7, 11]


@pytest.mark.parametrize("kind", CHANGES)
def test_a_mitigated_model_opens_as_any_model(
    base: dict[str, Any], dictionary: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    write_manifest(describe_mitigated(CHANGES[kind], base, dictionary), tmp_path / "model.json")
    manifest = read_manifest(tmp_path / "model.json")
    assert (manifest["source"], manifest["dictionary"] is not None) == ("mitigated", kind == "features")
    opened, whole = open_model(manifest, LOADING), open_model(base, LOADING)
    own, hooks, attention = plain(whole.model, TEXT), state(whole.model), whole.config._attn_implementation
    with mitigated(whole, manifest) as changed:
        assert changed.identity == opened.identity != whole.identity
        assert torch.equal(plain(changed.model, TEXT), plain(opened.model, TEXT))
        assert torch.equal(plain(changed.model, TEXT), own) == (kind == "prompt")
        assert changed.tokenizer is whole.tokenizer
    assert torch.equal(plain(whole.model, TEXT), own)
    assert (state(whole.model), whole.config._attn_implementation) == (hooks, attention)


def test_edits_follow_each_other_in_their_order(base: dict[str, Any], dictionary: dict[str, Any]) -> None:
    model = open_model(base, LOADING).model
    found = []
    for edits in ([ADDED, ALONG], [ALONG, ADDED]):
        opened = random_dictionary(layer=0)
        with editing(model, edits[0], opened), editing(model, edits[1], opened):
            expected = plain(model, TEXT)
        with install(model, {"kind": "edits", "edits": [to_json(edit) for edit in edits]}, dictionary):
            found.append(plain(model, TEXT))
        assert torch.equal(found[-1], expected)
    assert not torch.equal(*found)


def test_the_weights_of_a_mitigated_model_are_loaded_when_they_are_asked_for(base: dict[str, Any]) -> None:
    whole = open_model(base, LOADING)
    with mitigated(whole, describe_mitigated(CHANGES["attention"], base)):
        assert "model" not in vars(whole)


def test_what_decides_a_mitigated_model_decides_under_what_its_texts_are_kept(
    base: dict[str, Any], dictionary: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [describe_mitigated(change, base, dictionary) for change in CHANGES.values()]
    made += [describe_mitigated({**CHANGES[kind], "alpha": 0.4}, base) for kind in ("attention", "decoding")]
    made += [describe_mitigated(CHANGES["features"], base, {**dictionary, "sha256": "0" * 64})]
    made += [describe_mitigated(CHANGES["prompt"], {**base, "weights_sha256": "0" * 64})]
    made += [describe_mitigated({**CHANGES["prompt"], "wording": "Look there."}, base)]
    hashes = {manifest["weights_sha256"] for manifest in [base, *made]}
    assert len(hashes) == len(made) + 1
    again = describe_mitigated(json.loads(json.dumps(CHANGES["decoding"])), base, dictionary)
    assert again["weights_sha256"] in hashes
    monkeypatch.setattr(changes, "code_hash", lambda paths: "another way to change")
    assert describe_mitigated(CHANGES["decoding"], base)["weights_sha256"] not in hashes


def setting_of(base: dict[str, Any], entry: dict[str, Any], tmp_path: Path, **prompting: Any) -> Setting:
    prompts = micro_prompts()
    tests = prompts[prompts["control_id"].notna()].assign(split="selection")
    controls = prompts[prompts["control_id"].isna()]
    use = tests.iloc[:2].assign(
        prompt=["The first letter of red is", "The first letter of blue is"], control_id="use/without", answer="r"
    )
    use_controls = controls.iloc[:1].assign(prompt="The first letter is", prompt_id="use/without")
    items = Items(tests, controls, micro_candidates(), use, use_controls, pd.DataFrame(), tests, controls)
    how = Prompting({**SETTINGS, **prompting})
    return Setting("m", open_model(base, LOADING), base, items, how, entry, [], 0, tmp_path)


def scored(model: Any) -> pd.Series:
    table = score_prompts(model, micro_prompts(), micro_candidates(), "m", Prompting(SETTINGS)).table
    return table.set_index(["prompt_id", "candidate"])["logprob"]


def test_decoding_at_one_scores_a_test_as_its_control(base: dict[str, Any], tmp_path: Path) -> None:
    setting = setting_of(base, {"kind": "decoding"}, tmp_path)
    (variant,) = decoding_variants(setting)
    assert (variant.name, variant.largest, variant.before) == ("", 1.0, ())
    own = scored(setting.model)
    with variant.at(1.0) as model:
        found = scored(model)
        assert model.identity["weights_sha256"] == variant.manifest(1.0)["weights_sha256"]
    controls = micro_prompts().set_index("prompt_id")["control_id"].dropna()
    expected = [own[controls.get(prompt, prompt), candidate] for prompt, candidate in own.index]
    assert found.to_numpy() == pytest.approx(expected, abs=1e-4)
    assert abs(found - own).max() > 0.01
    pairs = variant.manifest(0.5)["change"]["pairs"]
    decoded = [tuple(setting.model.tokenizer.decode(ids) for ids in pair) for pair in pairs]
    for test, control in (("The bag is red. The fruit is", "The fruit is"), ("letter of blue is", "letter is")):
        assert any(test in one and control in other and test not in other for one, other in decoded)
    assert len(pairs) == 8
    # Texts are written as they are scored: at 1, those of the control.
    with variant.at(1.0) as model:
        written = complete(model, micro_prompts(), temperature=0.0).set_index("prompt_id")["text"]
    assert all(set(written.loc[[test]]) == set(written.loc[[control]]) for test, control in controls.items())


def test_attention_is_kept_from_every_spelling_of_a_concept(base: dict[str, Any], tmp_path: Path) -> None:
    setting = setting_of(base, {"kind": "attention", "layers": [[0, 1]]}, tmp_path)
    (variant,) = attention_variants(setting)
    assert (variant.name, variant.largest) == ("", 1.0)
    change = variant.manifest(0.25)["change"]
    tokenizer = setting.model.tokenizer
    texts = [tokenizer.decode(term) for term in change["terms"]]
    assert {" red", "red", "Red", " Red", " blue"} <= set(texts)
    lengths = list(map(len, change["terms"]))
    assert lengths == sorted(lengths, reverse=True)
    assert len({tuple(term) for term in change["terms"]}) == len(lengths)
    assert (change["layers"], change["alpha"]) == ([0], 0.25)
    own = scored(setting.model)
    with variant.at(1.0) as model:
        change = (scored(model) - own).abs().groupby("prompt_id").max()
    assert change["bag/red"] > 0.01
    assert change["bag/without"] < 1e-5  # it names none


@pytest.mark.parametrize(
    ("layers", "blocks"),
    [([[0, 1]], [list(range(10))]), ([[0, 0.5], [0.5, 1]], [list(range(5)), [5, 6, 7, 8, 9]]), ([[0.99, 1]], [[9]])],
)
def test_ranges_of_layers_are_shares_of_depth(
    base: dict[str, Any], tmp_path: Path, layers: list[list[float]], blocks: list[list[int]]
) -> None:
    setting = setting_of(base, {"layers": layers}, tmp_path)
    deep = in_memory(random_model("gpt2", num_hidden_layers=10), setting.model.tokenizer)
    variants = attention_variants(setting._replace(model=deep))
    assert [variant.manifest(0.5)["change"]["layers"] for variant in variants] == blocks
    assert len({variant.name for variant in variants}) == len(variants)


def test_a_wording_stands_before_what_a_prompt_is_put_with(base: dict[str, Any], tmp_path: Path) -> None:
    setting = setting_of(base, {"wording": "The car is blue."}, tmp_path, template="So: {prompt}", system="Sir")
    chat = setting
    setting = chat._replace(prompting=chat.prompting._replace(chat=False))
    (variant,) = prompt_variants(setting)
    assert variant.largest == 0
    assert variant.prompting.settings["template"] == "The car is blue.\n\nSo: {prompt}"
    assert variant.prompting.settings["system"] == "Sir"
    assert setting.model.tokenizer.decode(list(variant.before)).startswith("The car is blue.")
    with variant.at(0.0) as model:
        assert model.identity["settings_sha256"] == variant.manifest(0.0)["settings_sha256"] != base["settings_sha256"]
    assert prompt_variants(chat)[0].prompting.settings["system"] == "Sir\n\nThe car is blue."
    assert prompt_variants(chat)[0].prompting.settings["template"] == "So: {prompt}"
    silent = chat._replace(prompting=chat.prompting._replace(settings={**SETTINGS, "system": None}))
    assert prompt_variants(silent)[0].prompting.settings["system"] == "The car is blue."
