from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from leakscope.errors import InputError
from leakscope.models.decoding import Reader
from leakscope.models.editing.dictionary import JUMPRELU, TOPK, Dictionary
from leakscope.models.editing.edits import Edit, edit_change, editing, feature_edit, from_json, install, to_json
from leakscope.models.phases import reading_written
from test_log_odds import PROMPTS, random_model

LAYER, WIDTH, N_FEATURES = 1, 32, 48
MAXIMA = {feature: 2.0 + feature / 10 for feature in range(N_FEATURES)}
MEANS = {feature: 0.5 + feature / 100 for feature in range(N_FEATURES)}
CHOSEN = (3, 17, 40)
WRITTEN = [[50, 51], [9, 80], [33, 2], [4, 60], [71, 5], [13, 14]]
ARCHITECTURES = ["gpt2", "llama", "qwen2", "gemma2"]


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


def random_dictionary(activation: str = "relu", **changes: Any) -> Dictionary:
    numbers = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(N_FEATURES, WIDTH, generator=numbers), dim=-1)
    own: dict[str, Any] = {TOPK: {"k": 8}, JUMPRELU: {"threshold": torch.full((N_FEATURES,), 0.3)}}.get(activation, {})
    bias = 0.1 * torch.randn(WIDTH, generator=numbers)
    plain = Dictionary(decoder.T.clone(), torch.zeros(N_FEATURES), decoder, bias, activation, LAYER, **own)
    return dataclasses.replace(plain, **changes)


def unit_vector() -> tuple[float, ...]:
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return tuple((direction / direction.norm()).tolist())


def named(name: str, coefficient: float, positions: str = "all") -> Edit:
    return feature_edit(name, LAYER, CHOSEN, coefficient, maxima=MAXIMA, means=MEANS, positions=positions)


EDITS = {
    "add": named("add", 1.5),
    "ablate": named("ablate", 0.0),
    "scale": named("scale", 3.0),
    "clamp": named("clamp", 1.2),
    "mean_clamp": named("mean_clamp", 0.0),
    "direction": Edit("add", LAYER, 2.0, targets=(1.5,), direction=unit_vector()),
    "project": Edit("project", LAYER, 0.8, targets=(0.4,), direction=unit_vector()),
}


def expected_change(edit: Edit, dictionary: Dictionary, x: torch.Tensor) -> torch.Tensor:
    """Return the change of one residual, (hidden,), as the definitions say it, in float64."""
    change = torch.zeros(WIDTH, dtype=torch.float64)
    if edit.direction:
        u, (t,) = torch.tensor(edit.direction, dtype=torch.float64), edit.targets
        return edit.strength * (t * u if edit.kind == "add" else (t - x.double() @ u) * u)
    activations = dictionary.encode(x.float()).double()
    if edit.gated and not any(activations[feature] > 0 for feature in edit.features):
        return change
    for feature, target in zip(edit.features, edit.targets, strict=True):
        by = target if edit.kind == "add" else target - activations[feature]
        change += edit.strength * by * dictionary.decoder[feature].double()
    return change


@pytest.mark.parametrize("activation", ["relu", TOPK, JUMPRELU])
@pytest.mark.parametrize("name", EDITS)
def test_what_an_edit_adds_is_what_its_definition_says(name: str, activation: str) -> None:
    edit, dictionary = EDITS[name], random_dictionary(activation)
    residuals = 2 * torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(2))
    change = edit_change(edit, None if edit.direction else dictionary)(residuals)
    expected = torch.stack([expected_change(edit, dictionary, x) for x in residuals.reshape(-1, WIDTH)])
    torch.testing.assert_close(change.reshape(-1, WIDTH).double(), expected, rtol=1e-4, atol=1e-5)
    assert float(expected.abs().max()) > 0.1


@pytest.mark.parametrize("name", EDITS)
def test_a_dictionary_goes_where_the_residuals_are(name: str) -> None:
    edit = EDITS[name]
    change = edit_change(edit, random_dictionary() if edit.features else None)
    # Of a model on several devices, a block's residuals need not be where its first weights are.
    assert change(torch.zeros(2, 3, WIDTH, device="meta")).device.type == "meta"


def test_names_say_where_activations_go() -> None:
    """With a feature of its own for each axis, what a residual's activations are afterwards can be read off."""
    axes = torch.eye(WIDTH)
    dictionary = Dictionary(axes, torch.zeros(WIDTH), axes, torch.zeros(WIDTH), "relu", LAYER)
    x = torch.zeros(WIDTH)
    x[3], x[5] = 4.0, -2.0
    after = {}
    for name, coefficient in {"add": 2.0, "ablate": 9.0, "scale": 0.25, "clamp": 3.0, "mean_clamp": 9.0}.items():
        edit = feature_edit(name, LAYER, [3, 4], coefficient, maxima={3: 10.0, 4: 20.0}, means={3: 0.5, 4: 0.25})
        after[name] = (x + edit_change(edit, dictionary)(x))[3:6].tolist()
        silent = edit_change(edit, dictionary)(torch.zeros(WIDTH))
        assert bool(silent.any()) == (name in ("add", "clamp"))
    assert after == {
        "add": [24.0, 40.0, -2.0],
        "ablate": [0.0, 0.0, -2.0],
        "scale": [1.0, 0.0, -2.0],
        "clamp": [30.0, 60.0, -2.0],
        "mean_clamp": [0.5, 0.25, -2.0],
    }


def test_what_the_dictionary_does_not_explain_stays() -> None:
    x = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3))
    dictionary = random_dictionary(centre=True)
    shifted = dictionary.encode(x + 7.0)
    torch.testing.assert_close(dictionary.encode(x), shifted, rtol=1e-4, atol=1e-4)
    change = edit_change(EDITS["ablate"], dictionary)
    torch.testing.assert_close(change(x), change(x + 7.0), rtol=1e-4, atol=1e-4)


def whole_logits(model: Any, ids: list[int], written: list[bool] | None = None) -> torch.Tensor:
    """Return the logits after every token of a text that is read at once, without a cache."""
    with reading_written(False if written is None else torch.tensor([written])):
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def engine_logits(reader: Reader) -> list[torch.Tensor]:
    """Return the logits after each prompt and after what was written behind it, all rows in one batch."""
    state, logits = reader.read(PROMPTS, room=2)
    found = [logits[:, None]]
    for step in range(2):
        new = torch.tensor([[tokens[step]] for tokens in WRITTEN])
        found.append(state.extend(new, torch.ones(len(new), dtype=torch.long), written=True))
    return list(torch.cat(found, 1))


def by_hand(model: Any, edit: Edit, dictionary: Dictionary, row: int) -> torch.Tensor:
    """Return the same logits of one row by a hook that knows which places are whose."""
    n_prompt = len(PROMPTS[row])
    # The first token stays as it is.
    places = {"all": slice(1, None), "prompt": slice(1, n_prompt), "generated": slice(n_prompt, None)}[edit.positions]

    def change(_: Any, given: Any, named: Any) -> Any:
        hidden = (given[0] if given else named["hidden_states"]).clone()
        for place in range(hidden.shape[1])[places]:
            hidden[0, place] += expected_change(edit, dictionary, hidden[0, place]).float()
        return ((hidden, *given[1:]), named) if given else (given, {**named, "hidden_states": hidden})

    blocks = model.transformer.h if hasattr(model, "transformer") else model.model.layers
    with blocks[LAYER].register_forward_pre_hook(change, with_kwargs=True):
        return whole_logits(model, PROMPTS[row] + WRITTEN[row])[n_prompt - 1 :]


@pytest.mark.parametrize("positions", ["all", "prompt", "generated"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_logits_are_the_same_with_and_without_cache_batch_and_shared_beginning(
    architecture: str, positions: str
) -> None:
    model, dictionary = random_model(architecture), random_dictionary()
    plain = engine_logits(Reader(model))
    for name in ("add", "mean_clamp", "project"):
        edit = EDITS[name]._replace(positions=positions)
        with editing(model, edit, None if edit.direction else dictionary):
            reader = Reader(model)
            assert reader.caches
            assert reader.shares
            found = engine_logits(reader)
            reader.caches = False
            reread = engine_logits(reader)
        for row, prompt in enumerate(PROMPTS):
            with editing(model, edit, None if edit.direction else dictionary):
                written = [False] * len(prompt) + [True] * 2
                expected = whole_logits(model, prompt + WRITTEN[row], written)[len(prompt) - 1 :]
            for logits in (found[row], reread[row]):
                torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(expected, by_hand(model, edit, dictionary, row), rtol=1e-4, atol=1e-4)
            # What follows the prompt is changed by an edit of what was written only from the next token on.
            moved = (expected - plain[row]).abs().amax(-1) > 1e-3
            assert moved.tolist() == [positions != "generated", True, True] or name == "mean_clamp"


@torch.inference_mode()
def test_a_model_that_rereads_its_texts_knows_what_it_wrote() -> None:
    model, edit = random_model("mamba"), EDITS["direction"]._replace(strength=99.0, positions="generated")
    plain = engine_logits(Reader(model))
    with editing(model, edit):
        reader = Reader(model)
        assert not reader.caches
        found = engine_logits(reader)
    for row, prompt in enumerate(PROMPTS):
        with editing(model, edit):
            expected = whole_logits(model, prompt + WRITTEN[row], [False] * len(prompt) + [True] * 2)
        torch.testing.assert_close(found[row], expected[len(prompt) - 1 :], rtol=1e-4, atol=1e-4)
        assert torch.equal(found[row][0], plain[row][0])
        assert (found[row][1:] - plain[row][1:]).abs().amax() > 1e-3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_strength_0_changes_nothing_bit_for_bit(architecture: str) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        model = random_model(architecture).to(dtype)
        plain, whole = engine_logits(Reader(model)), whole_logits(model, PROMPTS[0])
        for edit in EDITS.values():
            with editing(model, edit._replace(strength=0.0), None if edit.direction else random_dictionary()):
                assert all(map(torch.equal, engine_logits(Reader(model)), plain))
                assert torch.equal(whole_logits(model, PROMPTS[0]), whole)


@torch.inference_mode()
def test_places_without_a_change_keep_their_bits() -> None:
    model = random_model("llama")
    seen: list[torch.Tensor] = []
    given = torch.randn(1, 2, WIDTH, generator=torch.Generator().manual_seed(4))
    given[0, 1] = -0.0
    model.model.layers[0].register_forward_hook(lambda *_: given)
    gate = EDITS["mean_clamp"]._replace(features=(3,), targets=(0.5,))
    with editing(model, gate, random_dictionary(decoder_bias=torch.zeros(WIDTH))):
        model.model.layers[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        whole_logits(model, [5, 6])
    assert seen[0].dtype == given.dtype
    assert seen[0][0, 1].signbit().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_half_precision_is_computed_in_float32_and_added_in_the_models_format(dtype: torch.dtype) -> None:
    model, dictionary, edit = random_model("qwen2").to(dtype), random_dictionary(), EDITS["clamp"]
    seen: list[torch.Tensor] = []
    with (
        model.model.layers[LAYER].register_forward_pre_hook(lambda _, given: seen.append(given[0])),
        editing(model, edit, dictionary),
        model.model.layers[LAYER].register_forward_pre_hook(lambda _, given: seen.append(given[0])),
    ):
        whole_logits(model, PROMPTS[0])
    before, after = seen
    assert after.dtype == dtype
    change = edit_change(edit, dictionary)(before)
    assert change.dtype == torch.float32
    assert torch.equal(change, edit_change(edit, dictionary)(before.float()))
    expected = torch.stack([expected_change(edit, dictionary, x) for x in before[0]])
    torch.testing.assert_close(change[0].double(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(after[:, 1:], (before + change.to(dtype))[:, 1:])
    assert torch.equal(after[:, 0], before[:, 0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_stays_on_a_model_after_an_exception(architecture: str) -> None:
    model = random_model(architecture)

    def fail(*_: Any) -> None:
        raise RuntimeError("broken on purpose")

    handle = model.lm_head.register_forward_pre_hook(fail)
    for edit in (EDITS["add"], EDITS["project"]):
        edited = editing(model, edit, None if edit.direction else random_dictionary())
        with pytest.raises(RuntimeError, match="on purpose"), edited:
            whole_logits(model, [5])
    handle.remove()
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


@torch.inference_mode()
def test_edits_of_one_layer_follow_each_other() -> None:
    model, dictionary = random_model("llama"), random_dictionary()
    once, twice = EDITS["direction"]._replace(strength=1.0), EDITS["direction"]._replace(strength=2.0)
    with editing(model, once), editing(model, once):
        found = whole_logits(model, PROMPTS[0])
    with editing(model, twice):
        torch.testing.assert_close(found, whole_logits(model, PROMPTS[0]), rtol=1e-4, atol=1e-4)
    handle = install(model, EDITS["add"], dictionary)
    edited = whole_logits(model, PROMPTS[0])
    handle.remove()
    assert not torch.equal(edited, whole_logits(model, PROMPTS[0]))


def test_gradients_pass_through_an_edit_that_inference_has_used() -> None:
    model = random_model("llama")
    with editing(model, EDITS["mean_clamp"], random_dictionary()):
        with torch.inference_mode():
            whole_logits(model, PROMPTS[0])
        whole_logits(model, PROMPTS[0]).sum().backward()
    assert model.model.embed_tokens.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", EDITS)
def test_json_gives_the_edit_back(name: str) -> None:
    edit = EDITS[name]._replace(positions="prompt")
    assert from_json(json.loads(json.dumps(to_json(edit)))) == edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("push", LAYER, 1.0), "kind: got 'push'; allowed: add, move, project"),
        (Edit("add", LAYER, 1.0, (1,), (1.0,), positions="last"), "positions: got 'last'; allowed: all, generated"),
        (Edit("project", LAYER, 1.0, (1,), (1.0,)), "allowed: features or a direction; for project, a direction"),
        (Edit("add", LAYER, 1.0), "got 0 features and a direction of 0 numbers"),
        (Edit("move", LAYER, 1.0, (1, 2), (1.0,)), "got 1 targets; allowed: 2"),
        (Edit("move", 0, 1.0, (1,), (1.0,)), "got layer 0; allowed: 1, its dictionary's layer"),
        (Edit("move", LAYER, 1.0, (1, 48), (1.0, 1.0)), r"got features \[1, 48\]; allowed: 0 to 47"),
        (Edit("add", LAYER, 1.0, (), (1.0,), (1.0, 0.0)), "got a width of 2; allowed: 32"),
        (Edit("add", 7, 1.0, (), (1.0,), unit_vector()), "got layer 7; allowed: 0 to 1"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_in_one_line(edit: Edit, message: str) -> None:
    model = random_model("gpt2")
    with pytest.raises(InputError, match=message) as error, editing(model, edit, random_dictionary()):
        pass
    assert "\n" not in str(error.value)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_features_need_their_dictionary() -> None:
    with pytest.raises(InputError, match=r"got features \[3, 17, 40\] without a dictionary"):
        edit_change(EDITS["add"])


def test_a_name_or_a_silent_feature_is_refused() -> None:
    with pytest.raises(InputError, match="edit: got 'ablat'; .* Did you mean 'ablate'"):
        named("ablat", 1.0)
    with pytest.raises(InputError, match="positions: got 'first'"):
        named("ablate", 1.0, "first")
    for name in ("add", "clamp", "mean_clamp"):
        with pytest.raises(InputError, match="got feature 7, which fires nowhere"):
            feature_edit(name, LAYER, [3, 7], 1.0, maxima={**MAXIMA, 7: 0.0}, means={**MEANS, 7: float("nan")})
    assert feature_edit("ablate", LAYER, [7], 1.0, maxima={7: 0.0}, means={7: 0.0}).features == (7,)
