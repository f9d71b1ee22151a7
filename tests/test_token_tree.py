from __future__ import annotations

import pytest
import torch

from leakscope.models.opening import LanguageModel
from leakscope.models.token_tree import ROOT, TokenTree, most_places, read_tree, reads_trees
from test_generation import ARCHITECTURES, SHARING, tiny


def test_a_beginning_is_one_place_whoever_has_it() -> None:
    tree = TokenTree()
    assert tree.walk([5, 6, 7]) == [0, 1, 2]
    assert tree.walk([5, 6, 8]) == [0, 1, 3]
    assert tree.walk([6]) == [4]
    assert tree.walk([7, 9], 1, written=True) == [5, 6]  # 5 6 7 was given above, here it is written
    assert [step.parent for step in tree.steps] == [ROOT, 0, 1, 1, ROOT, 1, 5]
    assert tree.depth == [0, 1, 2, 2, 0, 2, 3]
    assert tree.path(6) == [5, 6, 7, 9]
    seen = [{place for place, sees in enumerate(row) if sees} for row in tree.sees().tolist()]
    assert seen == [{0}, {0, 1}, {0, 1, 2}, {0, 1, 3}, {4}, {0, 1, 5}, {0, 1, 5, 6}]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_is_found_out_which_architectures_read_trees(architecture: str, micro_model: LanguageModel) -> None:
    """Bloom has positions of its own making, states of convolutions run through all places."""
    refused = {"bloom", "mamba", "mamba2", "lfm2", "falcon_h1"}
    model = tiny(architecture, micro_model.tokenizer).model
    assert reads_trees(model) == (architecture not in refused)
    assert architecture not in SHARING & refused


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_half_precision_and_both_attentions_read_trees(
    micro_model: LanguageModel, attention: str, dtype: torch.dtype
) -> None:
    model = tiny("qwen2", micro_model.tokenizer).model.to(dtype)
    model.set_attn_implementation(attention)
    assert reads_trees(model)


@torch.inference_mode()
def test_a_model_that_computes_all_logits_gives_those_that_are_wanted(micro_model: LanguageModel) -> None:
    model = tiny("gpt2", micro_model.tokenizer).model
    tree = TokenTree()
    tree.walk([5, 6, 7])
    expected = read_tree(model, tree, [2, 0])
    keeping = model.forward

    def forward(input_ids: object, attention_mask: object, position_ids: object, use_cache: bool) -> object:
        return keeping(input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=use_cache)

    model.forward = forward
    torch.testing.assert_close(read_tree(model, tree, [2, 0]), expected)
    assert expected.shape == (2, model.config.vocab_size)


def test_a_tree_has_no_more_places_than_the_model_has_positions(micro_model: LanguageModel) -> None:
    model = tiny("gpt2", micro_model.tokenizer).model
    assert most_places(model) == 1024
    model.config.n_positions = 100
    assert most_places(model) == 100


def test_a_tree_fits_into_the_attention_window(micro_model: LanguageModel) -> None:
    assert most_places(tiny("mistral", micro_model.tokenizer).model) == 16
