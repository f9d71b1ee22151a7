"""The logit lens of one item, against hidden states of the whole prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from leakscope.errors import InputError
from leakscope.models.opening import LanguageModel
from leakscope.validate.scoring.item_scores import answer_tokens
from leakscope.validate.scoring.lens_item import LENS_COLUMNS, POSITIONS, choose_item, lens_of_item
from leakscope.validate.scoring.scored import score_layers
from tiny_task import GENERATOR, VALIDATOR, open_tiny_model, tiny_asking, tiny_items, weightless

ITEMS = tiny_items()
ITEM = "hammers/very useful tool"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    torch.set_num_threads(1)
    return open_tiny_model(tmp_path_factory.mktemp("tiny"))


@torch.inference_mode()
def logits_by_layer(model: LanguageModel, ids: list[int]) -> list[torch.Tensor]:
    """Return the logits of every position by layer: final norm and unembedding of its hidden state."""
    loaded: Any = model.model
    output = loaded(input_ids=torch.tensor([ids]), output_hidden_states=True)
    earlier = [loaded.lm_head(loaded.transformer.ln_f(state[0])) for state in output.hidden_states[:-1]]
    return [*earlier, output.logits[0]]


def log_odds(logprobs: torch.Tensor, token: int) -> torch.Tensor:
    return logprobs[token] - torch.cat([logprobs[:token], logprobs[token + 1 :]]).logsumexp(0)


def test_each_position_is_what_the_whole_prompt_has_there(model: LanguageModel, tmp_path: Path) -> None:
    found = lens_of_item(model, ITEMS, "m", tiny_asking(tmp_path, ["plain"]), ITEM)
    assert list(found.table.columns) == LENS_COLUMNS
    question, candidate = ITEM.split("/")
    prompts = {"generator": GENERATOR.format(x=question), "validator": VALIDATOR.format(x=question, y=candidate)}
    (first, *more) = model.tokenizer(f" {candidate}")["input_ids"]
    assert more
    yes, no = answer_tokens(model.tokenizer).ids
    for kind, prompt in prompts.items():
        ids = model.tokenizer(prompt)["input_ids"]
        rows = found.table[found.table["kind"] == kind]
        # The generator's prompt is short and shown whole; of the validator's, the end is shown.
        assert (len(ids) > POSITIONS) == (kind == "validator")
        expected = list(range(len(ids)))[-POSITIONS:]
        for layer, logits in enumerate(logits_by_layer(model, ids)):
            logprobs = logits.double().log_softmax(-1)
            of_layer = rows[rows["layer"] == layer]
            assert of_layer["position"].tolist() == expected
            for row in of_layer.itertuples():
                at = logprobs[row.position]
                assert row.token == model.tokenizer.decode([ids[row.position]])
                assert row.top == model.tokenizer.decode([int(at.argmax())])
                assert row.probability == pytest.approx(float(at.max().exp()), rel=1e-4)
                odds = at[yes].logsumexp(0) - at[no].logsumexp(0) if kind == "validator" else log_odds(at, first)
                assert row.log_odds == pytest.approx(float(odds), abs=1e-4)
        assert rows["layer"].max() == 2
    assert found.summary["item_id"] == ITEM
    assert (found.summary["question"], found.summary["candidate"]) == (question, candidate)


def test_the_last_position_has_the_scores_by_layer(model: LanguageModel, tmp_path: Path) -> None:
    asking = tiny_asking(tmp_path, ["shown"])
    found = lens_of_item(model, ITEMS, "m", asking, ITEM).table
    layers = score_layers(model, ITEMS, "m", asking).table
    expected = layers[layers["item_id"] == ITEM]
    last = found[found.groupby("kind")["position"].transform("max") == found["position"]]
    for kind, column in (("generator", "l_g_first"), ("validator", "l_v")):
        assert last.loc[last["kind"] == kind, "log_odds"].tolist() == pytest.approx(expected[column].tolist(), abs=1e-4)


def test_nothing_is_computed_twice(model: LanguageModel, tmp_path: Path) -> None:
    asking = tiny_asking(tmp_path, store=tmp_path / "store")
    first = lens_of_item(model, ITEMS, "m", asking)
    assert (first.summary["total"], first.summary["computed"], len(first.summary["store"])) == (2, 2, 1)
    again = lens_of_item(weightless(model), ITEMS, "m", asking)
    assert again.summary["computed"] == 0
    pd.testing.assert_frame_equal(again.table, first.table)


def test_the_first_right_item_is_taken_unless_one_is_named() -> None:
    assert choose_item(ITEMS[1:], None)["item_id"].tolist() == ["oaks/woody plant"]
    assert choose_item(ITEMS, "ants/fish")["candidate"].tolist() == ["fish"]
    with pytest.raises(InputError, match=r"'lens_item': got 'ants/fisch'; allowed: an item_id of the task, such as"):
        choose_item(ITEMS, "ants/fisch")
