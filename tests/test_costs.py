from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from leakscope.errors import InputError
from leakscope.features.interventions.costs import CountedText, NeutralCost, Rereader
from leakscope.models.editing.bisection import TOLERANCE, remembering, strength_at_cost
from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.edits import Edit, edit_change, editing
from test_generation import ARCHITECTURES
from test_lens import state_of
from test_log_odds import next_logits, random_model

ROWS = [[1, 5, 6, 7, 8, 9], [1, 9], [1, 20, 21], [1, 30, 31, 32, 33, 34], [1, 40, 41]]
LAYER = 1


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


def random_dictionary(width: int = 32, n_features: int = 24, k: int = 4, layer: int = LAYER) -> Dictionary:
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(n_features, width, generator=generator), dim=-1)
    return Dictionary(decoder.T.clone(), torch.zeros(n_features), decoder, torch.zeros(width), "topk", layer, k=k)


EDITS = {
    "move": Edit("move", LAYER, 1.0, features=(2, 5, 7, 11), targets=(0.0, 3.0, 0.0, 1.0)),
    "add": Edit("add", LAYER, 1.0, features=(2,), targets=(2.0,)),
    "project": Edit("project", LAYER, 1.0, targets=(0.5,), direction=(0.6, 0.8, *[0.0] * 30)),
}


@torch.inference_mode()
def nats(model: Any, texts: list[CountedText]) -> float:
    """Return −log p of a token, read one text at a time."""
    values = [
        -float(next_logits(model, text.ids[:place]).log_softmax(-1)[text.ids[place]])
        for text in texts
        for place in range(text.start, len(text.ids))
    ]
    return math.fsum(values) / len(values)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_texts_reread_with_an_edit_have_the_logits_of_the_edited_model(architecture: str) -> None:
    model, dictionary = random_model(architecture), random_dictionary()
    edit = EDITS["move"]
    rereader = Rereader(model, ROWS, LAYER, batch_size=2)
    ends = Rereader(model, ROWS, LAYER, batch_size=2, only_ends=True)
    with editing(model, edit._replace(strength=0.5), dictionary):
        expected = [next_logits(model, row).float() for row in ROWS]
    change = edit_change(edit, dictionary)
    for reread in (rereader, ends):
        found = {
            number: logits[place, -1] if reread.only_ends else logits[place, len(ROWS[number]) - 1]
            for batch, logits in reread.logits(reread.changes(change), 0.5)
            for place, number in enumerate(batch.numbers)
        }
        assert sorted(found) == list(range(len(ROWS)))
        for number, logits in found.items():
            torch.testing.assert_close(logits, expected[number], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["qwen2", "llama", "gpt2", "gpt_neox", "gemma2", "mistral"])
def test_blocks_before_the_edited_one_are_passed_over_in_common_architectures(architecture: str) -> None:
    model = random_model(architecture)
    before, reads = state_of(model), []
    rereader = Rereader(model, ROWS, LAYER, batch_size=8)
    assert rereader.passes_over
    assert state_of(model) == before
    parts = [module for name, module in model.named_modules() if ".0." in name and "mlp" in name]
    handles = [part.register_forward_hook(lambda *_: reads.append(1)) for part in parts]
    list(rereader.logits())
    assert not reads
    next_logits(model, ROWS[0])
    assert reads
    for handle in handles:
        handle.remove()


def test_a_model_whose_end_sees_the_first_block_is_read_from_the_beginning() -> None:
    model, dictionary = random_model("llama"), random_dictionary()
    own = model.lm_head.forward
    first = model.model.layers[0]
    first.mlp.register_forward_hook(lambda _, given, output: vars(model).update(seen=output))
    model.lm_head.forward = lambda hidden: own(hidden + 0.5 * model.seen[:, -hidden.shape[1] :])
    first.register_forward_hook(lambda *_: None)
    rereader = Rereader(model, [ROWS[0], ROWS[3]], LAYER, batch_size=8)
    # In the trial the last value that was seen is the right one: the rows that follow tell.
    rereader.passes_over = False
    with editing(model, EDITS["add"], dictionary):
        expected = next_logits(model, ROWS[0]).float()
    ((batch, logits),) = rereader.logits(rereader.changes(edit_change(EDITS["add"], dictionary)))
    torch.testing.assert_close(logits[batch.numbers.index(0), -1], expected, rtol=1e-4, atol=1e-4)


def test_nothing_stays_on_a_model_after_an_exception() -> None:
    model = random_model("llama")
    rereader, before = Rereader(model, ROWS, LAYER, batch_size=8), state_of(model)

    def fail(*_: Any) -> None:
        raise RuntimeError("broken on purpose")

    handle = model.model.layers[1].mlp.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        list(rereader.logits())
    handle.remove()
    assert state_of(model) == before


@pytest.mark.parametrize("name", EDITS)
def test_costs_are_percent_of_the_perplexity_of_the_edited_model(name: str) -> None:
    model, dictionary = random_model("llama"), random_dictionary()
    texts = [CountedText(row, 1 + number % 2) for number, row in enumerate(ROWS) if len(row) > 2]
    cost = NeutralCost(model, texts, LAYER, batch_size=2)
    without = nats(model, texts)
    assert cost.nats == pytest.approx(without, rel=1e-6)
    changes = cost.rereader.changes(edit_change(EDITS[name], dictionary))
    for strength in (0.25, 1.0, -0.5):
        with editing(model, EDITS[name]._replace(strength=strength), dictionary):
            expected = 100 * (math.exp(nats(model, texts) - without) - 1)
        assert cost.percent(changes, strength) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert cost.percent(changes, 0.0) == 0


def test_a_model_without_numbers_costs_infinitely_much_and_is_refused_unedited() -> None:
    model = random_model("llama")
    cost = NeutralCost(model, [CountedText(ROWS[0], 1)], LAYER, batch_size=2)
    assert cost.percent([torch.full_like(cost.rereader.batches[0].residuals, math.inf)], 1.0) == math.inf
    with torch.no_grad():
        model.lm_head.weight.fill_(math.nan)
    with pytest.raises(InputError, match="logits that are NaN or infinite"):
        NeutralCost(model, [CountedText(ROWS[0], 1)], LAYER, batch_size=2)


# ---- bisection


@pytest.mark.parametrize("target", [0.005, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("scale", [0.5, 30.0, 200.0])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_a_strength_costs_the_target_or_a_little_less(target: float, scale: float, power: int) -> None:
    found = strength_at_cost(lambda strength: scale * strength**power, target, 8.0)
    assert found.reached
    assert target - TOLERANCE * min(target, 1) <= found.cost <= target
    assert found.cost == pytest.approx(scale * found.strength**power)


def test_the_largest_strength_is_taken_where_it_is_affordable() -> None:
    assert strength_at_cost(lambda strength: 0.9 * strength, 1.0, 1.0) == (1.0, 0.9, False)
    assert strength_at_cost(lambda strength: -strength, 1.0, 1.0) == (1.0, -1.0, False)


def test_what_no_strength_is_affordable_for_stays_unchanged() -> None:
    found = strength_at_cost(lambda _: 50.0, 1.0, 1.0)
    assert (found.strength, found.cost, found.reached) == (0.0, 0.0, True)


def test_strengths_at_which_the_model_breaks_are_too_large() -> None:
    found = strength_at_cost(lambda strength: math.inf if strength > 0.3 else 4 * strength, 1.0, 8.0)
    assert found.cost == pytest.approx(1.0, abs=TOLERANCE)
    assert found.cost <= 1.0


def test_costs_that_are_not_monotone_are_never_passed() -> None:
    for target in (0.5, 1.0, 2.0):
        found = strength_at_cost(lambda strength: 3 * strength + 2 * math.sin(20 * strength), target, 8.0)
        assert found.cost <= target


def test_few_strengths_are_tried_and_none_twice() -> None:
    tried: list[float] = []

    def cost(strength: float) -> float:
        tried.append(strength)
        return 17 * strength**2

    remembered = remembering(cost)
    for target in (1.0, 3.0):
        strength_at_cost(remembered, target, 8.0)
    assert len(tried) == len(set(tried)) <= 12
