from __future__ import annotations

from typing import Any

import pytest
import torch

from leakscope.errors import InputError
from leakscope.models.editing.residuals import check_layer, decoder_blocks, on_residual, read_residuals
from leakscope.models.randomised import with_randomised_weights
from test_log_odds import by_row, random_model

ROWS = [[5, 6, 7, 8, 9], [3, 4], [11, 12, 13, 14, 15, 16, 17], [21]]
# Blocks under several names, given by place and by name, with a norm before them or not, and one without attention.
NAMES = ["gpt2", "llama", "qwen2", "gemma2", "gpt_neox", "bloom", "mamba"]


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


@torch.inference_mode()
def hidden_states(model: Any, row: list[int]) -> tuple[torch.Tensor, ...]:
    output = model(input_ids=torch.tensor([row]), output_hidden_states=True, use_cache=False)
    states: tuple[torch.Tensor, ...] = output.hidden_states
    return states


def hooks_of(model: Any) -> list[tuple[str, int, int]]:
    return [(name, len(one._forward_hooks), len(one._forward_pre_hooks)) for name, one in model.named_modules()]


@pytest.mark.parametrize("name", NAMES)
def test_the_hook_sees_the_hidden_states_of_its_layer_bit_for_bit(name: str) -> None:
    model = random_model(name, num_hidden_layers=3)
    # Mamba leaves the embeddings out.
    expected = hidden_states(model, ROWS[0])[-4:]
    hooks = hooks_of(model)  # transformers has left its own
    for layer in range(1 if name == "mamba" else 0, 3):
        seen: list[torch.Tensor] = []
        with on_residual(model, layer, seen.append):
            model(input_ids=torch.tensor([ROWS[0]]), use_cache=False)
        assert torch.equal(seen[0], expected[layer - 1 if name == "mamba" else layer])
    assert hooks_of(model) == hooks


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "opt"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_residuals_are_read_in_batches(name: str, batch_size: int) -> None:
    model = random_model(name, num_hidden_layers=3)
    for layer in (0, 2):
        read = by_row(read_residuals(model, ROWS, layer, batch_size=batch_size))
        assert sorted(read) == [0, 1, 2, 3]
        for number, row in enumerate(ROWS):
            torch.testing.assert_close(read[number], hidden_states(model, row)[layer][0], rtol=1e-5, atol=1e-5)


def test_no_later_block_computes_anything_while_residuals_are_read() -> None:
    model = random_model("llama", num_hidden_layers=3)
    ran: list[int] = []
    for number, block in enumerate(decoder_blocks(model)):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    list(read_residuals(model, ROWS, 1, batch_size=8))
    assert ran == [0]


@pytest.mark.parametrize("name", ["gpt2", "qwen2"])
@torch.inference_mode()
def test_what_the_function_returns_goes_on(name: str) -> None:
    model = random_model(name)
    own = model(input_ids=torch.tensor([ROWS[0]])).logits
    with on_residual(model, 1, torch.clone):
        assert torch.equal(model(input_ids=torch.tensor([ROWS[0]])).logits, own)
    with on_residual(model, 1, torch.zeros_like):
        assert not torch.allclose(model(input_ids=torch.tensor([ROWS[0]])).logits, own, atol=0.1)
    assert torch.equal(model(input_ids=torch.tensor([ROWS[0]])).logits, own)


def test_a_hook_is_gone_after_an_exception() -> None:
    model = random_model("gpt2")
    hooks = hooks_of(model)

    def fail(hidden: torch.Tensor) -> None:
        raise RuntimeError("in the hook")

    with pytest.raises(RuntimeError, match="in the hook"), on_residual(model, 1, fail):
        model(input_ids=torch.tensor([ROWS[0]]))
    assert hooks_of(model) == hooks
    model(input_ids=torch.tensor([ROWS[0]]))


def test_a_layer_that_is_none_gets_one_line() -> None:
    model = random_model("gpt2")
    for layer in (-1, 2):
        with pytest.raises(InputError, match=rf"got layer {layer}; allowed: 0 to 1, the input of one of its 2 blocks"):
            check_layer(model, layer)
    model.config.n_layer = 7
    with pytest.raises(InputError, match="got no list of 7 blocks"):
        decoder_blocks(model)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2"])
def test_randomised_weights_are_drawn_anew_by_the_models_own_law(name: str) -> None:
    model = random_model(name, initializer_range=0.5, tie_word_embeddings=name != "llama")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    drawn = with_randomised_weights(model, 3)
    assert torch.equal(torch.rand(3), expected)  # numbers drawn elsewhere are what they were
    again, other = with_randomised_weights(model, 3), with_randomised_weights(model, 4)
    weights = drawn.get_input_embeddings().weight
    assert type(drawn) is type(model)
    assert not drawn.training
    assert float(weights.detach().std()) == pytest.approx(0.5, rel=0.1)
    assert all(torch.equal(a, b) for a, b in zip(drawn.parameters(), again.parameters(), strict=True))
    assert not torch.equal(weights, other.get_input_embeddings().weight)
    assert not torch.equal(weights, model.get_input_embeddings().weight)
    assert (drawn.get_output_embeddings().weight is weights) == (name != "llama")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_randomised_weights_have_the_models_own_number_format() -> None:
    assert with_randomised_weights(random_model("qwen2").to(torch.bfloat16), 3).dtype == torch.bfloat16
