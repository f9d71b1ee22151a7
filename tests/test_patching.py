from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import COLORS, SETTINGS, micro_candidates, micro_prompts
from leakscope.errors import InputError
from leakscope.models.editing.dictionary import Dictionary
from leakscope.models.editing.edits import Edit, editing
from leakscope.models.editing.resuming import Resumer
from leakscope.models.prompts.prompting import Prompting
from leakscope.trace.layers.ablation import ablate_features
from leakscope.trace.layers.answers import Contrast, Margin, Prompted, among_all, between_groups
from leakscope.trace.layers.columns import ABLATED_COLUMNS, COUNT_COLUMNS, PATCHED_COLUMNS, SITES
from leakscope.trace.layers.heads import output_projection, patch_heads, patch_prompt_heads
from leakscope.trace.layers.patching import Margins, patch_prompts, patch_swaps
from leakscope.trace.layers.shifts import shifts_by_layer
from leakscope.trace.layers.summary import pair_counts, restored_by_category, restored_shares
from leakscope.trace.layers.swaps import Swap, draw_swaps
from test_log_odds import random_model

if TYPE_CHECKING:
    from leakscope.models.opening import LanguageModel

NAMES = ["gpt2", "llama", "qwen2", "gemma2", "gpt_neox", "mistral", "mamba"]
ONE_TOKEN = Contrast((), (20,), (21,))
SEVERAL = Contrast((17,), (20, 22), (21,))
# Text before and after the concept; concepts of one and of two tokens.
PAIRS = [
    Swap(0, 1, (3, 4, 30, 5, 6, 7), (3, 4, 31, 5, 6, 7), 3, 1, (1, 1), ONE_TOKEN),
    Swap(1, 2, (3, 31, 5, 6, 7, 17), (3, 32, 5, 6, 7, 17), 4, 1, (1, 1), SEVERAL),
    Swap(2, 3, (3, 4, 33, 34, 5, 6, 7), (3, 4, 35, 36, 5, 6, 7), 3, 2, (2, 2), ONE_TOKEN),
    Swap(3, 4, (3, 4, 33, 34, 5, 6, 7), (3, 4, 31, 5, 6, 7), 3, 1, (2, 1), ONE_TOKEN),
    Swap(4, 3, (3, 4, 31, 5, 6, 7), (3, 4, 33, 34, 5, 6, 7), 3, 1, (1, 2), ONE_TOKEN),
    Swap(5, 6, (3, 30, 9), (3, 31, 9), 1, 1, (1, 1), ONE_TOKEN),
]
# Tokens of the text with c′ by pair and site, counted by hand, and how far these of the other text are.
TOKENS = [
    {"concept": [2], "between": [3, 4], "last": [5], "all": [2, 3, 4, 5]},
    {"concept": [1], "between": [2, 3, 4], "last": [5], "all": [1, 2, 3, 4, 5]},
    {"concept": [2, 3], "between": [4, 5], "last": [6], "all": [2, 3, 4, 5, 6]},
    {"concept": [2], "between": [3, 4], "last": [5], "all": [2, 3, 4, 5]},
    {"concept": [3], "between": [4, 5], "last": [6], "all": [3, 4, 5, 6]},
    {"concept": [1], "last": [2], "all": [1, 2]},
]
SHIFTS = [0, 0, 0, 1, -1, 0]


@pytest.fixture(autouse=True)
def on_one_thread() -> None:
    torch.set_num_threads(1)


def build(name: str) -> Any:
    return random_model(name, num_hidden_layers=3)


def blocks_of(model: Any) -> Any:
    return next(one for one in model.modules() if isinstance(one, torch.nn.ModuleList) and len(one) == 3)


def on_layer(model: Any, layer: int, change: Any) -> Any:
    """Hook what the first block gets or what the nth has made; ``change`` gets the hidden state."""
    if layer == 0:
        return blocks_of(model)[0].register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:]))

    def hook(_: Any, __: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return blocks_of(model)[layer - 1].register_forward_hook(hook)


def margin_of(logits: torch.Tensor, contrast: Contrast) -> float:
    return float(logits[list(contrast.tokens)].mean() - logits[list(contrast.against)].mean())


def hooked(model: Any, pair: Swap, tokens: list[int], shift: int, layer: int) -> float:
    """Return m with one pair, site and layer patched: a forward of each text, nothing kept, nothing shared."""
    kept: list[torch.Tensor] = []

    def keep(hidden: torch.Tensor) -> torch.Tensor:
        kept.append(hidden.clone())
        return hidden

    def put(hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.clone()
        for token in tokens:
            hidden[0, token] = kept[0][0, token + shift]
        return hidden

    for text, change in ((pair.source, keep), (pair.target, put)):
        handle = on_layer(model, layer, change)
        logits = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].double()
        handle.remove()
    return margin_of(logits, pair.contrast)


def patched(model: Any, sites: tuple[str, ...] = SITES, batch_size: int = 16) -> list[Margins]:
    batches = patch_swaps(Resumer(model), PAIRS, sites, batch_size=batch_size, name="m")
    found = {number: margins for batch in batches for number, margins in batch.items()}
    return [found[number] for number in range(len(PAIRS))]


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_patching_is_what_hooks_written_by_hand_do_one_pair_site_and_layer_at_a_time(name: str) -> None:
    model = build(name)
    for pair, margins, tokens, shift in zip(PAIRS, patched(model), TOKENS, SHIFTS, strict=True):
        assert list(margins.patched) == list(tokens)
        for site, curve in margins.patched.items():
            expected = [hooked(model, pair, tokens[site], shift, layer) for layer in range(4)]
            assert curve == pytest.approx(expected, abs=1e-5)
        for value, text in ((margins.concept, pair.source), (margins.other, pair.target)):
            logits = model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].double()
            assert value == pytest.approx(margin_of(logits, pair.contrast), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_all_sites_together_restore_all_of_pairs_of_as_many_tokens(name: str) -> None:
    for pair, margins in zip(PAIRS, patched(build(name)), strict=True):
        shares = [(m - margins.other) / (margins.concept - margins.other) for m in margins.patched["all"]]
        if not pair.aligned:
            assert shares == pytest.approx([1.0] * 4, abs=1e-5)
        assert abs(margins.concept - margins.other) > 1e-2


def test_company_and_chosen_sites_change_no_value() -> None:
    model = build("gemma2")
    whole = patched(model)
    for one, alone in zip(whole, patched(model, ("between", "last"), batch_size=1), strict=True):
        for site, curve in alone.patched.items():
            assert curve == pytest.approx(one.patched[site], abs=1e-5)


def test_a_model_that_makes_no_numbers_is_named() -> None:
    model = build("llama")
    resumer = Resumer(model)
    model.lm_head.weight.data[20] = torch.nan
    with pytest.raises(InputError, match=r"^model m: got logits that are NaN or infinite in a run that is patched"):
        list(patch_swaps(resumer, PAIRS, SITES, batch_size=4, name="m"))


# " a lily.", " a poppy.", " a poppy seed.", " an iris.", " an aster.", " moss."
ANSWERS = [(1, 10, 9), (1, 11, 9), (1, 11, 12, 9), (2, 13, 9), (2, 14, 9), (3, 9)]
GROUPS = ["white", "red", "red", "blue", "pink", "green"]


def test_groups_are_told_apart_by_the_first_tokens_that_are_theirs_alone() -> None:
    assert between_groups(ANSWERS, GROUPS, "white", "red") == Contrast((1,), (10,), (11,))
    assert between_groups(ANSWERS, GROUPS, "pink", "blue") == Contrast((2,), (14,), (13,))
    assert between_groups([(5,), (6,), (7,)], ["a", "a", "b"], "a", "b") == Contrast((), (5, 6), (7,))
    # "a" begins with other groups' associates, too: it speaks for no group.
    assert between_groups(ANSWERS, GROUPS, "white", "green") is None
    assert between_groups([(5,), (5,)], ["a", "b"], "a", "b") is None


def test_an_associate_is_told_from_all_others_by_its_first_token_that_is_its_own() -> None:
    assert among_all(ANSWERS, 5) == Contrast((), (3,), (1, 2))
    assert among_all(ANSWERS, 0) == Contrast((1,), (10,), (11,))
    assert among_all(ANSWERS, 2) == Contrast((1, 11), (12,), (9,))
    assert among_all([(1, 2), (1, 2)], 0) is None
    assert among_all([(1, 2)], 0) is None


def test_margins_are_means_for_less_means_against() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0, 8.0], [0.0, 10.0, 20.0, 40.0]])
    contrasts = [Contrast((), (1, 2), (0,)), Contrast((), (3,), (0, 1)), Contrast((), (0,), (3,))]
    assert Margin(contrasts[:2]).of(logits) == [2.0, 35.0]
    assert Margin(contrasts, [1, 0, 0]).of(logits) == [15.0, 6.5, -7.0]


CONCEPTS = {"red": ("red", (40,)), "scarlet": ("red", (41, 42)), "blue": ("blue", (43,)), "navy": ("blue", (44, 42))}


def study(concepts: dict[str, tuple[str, tuple[int, ...]]], end: tuple[int, ...] = (5, 6)) -> tuple[Any, Any, Any]:
    """Return prompts of two templates over concepts, as read, and candidates of their slot."""
    rows, read = [], []
    for template, beginning in (("bag", (1, 2)), ("car", (1, 3, 4))):
        for concept, (group, tokens) in concepts.items():
            rows.append((template, f"{template}/{concept}", group, "colors"))
            read.append(Prompted((*beginning, *tokens, *end), ((50,), (51,))))
    prompts = pd.DataFrame(rows, columns=["template_id", "prompt_id", "concept_group", "slot"])
    return prompts, read, pd.DataFrame({"slot": "colors", "concept_group": ["red", "blue"]})


def test_concepts_of_as_many_tokens_are_swapped_first_and_others_are_aligned_at_their_last() -> None:
    prompts, read, candidates = study(CONCEPTS)
    pairs, counts = draw_swaps(prompts, read, candidates, 100, 0)
    # Of each template 2 × 2 pairs of groups in both directions, half of them of as many tokens.
    assert len(pairs) == 16
    assert [pair.aligned for pair in pairs] == [False] * 8 + [True] * 8
    assert counts.to_dict("list") == {
        "template_id": ["bag", "car"], "n_possible": [8, 8], "n_not_told_apart": [0, 0], "n_at_end": [0, 0],
        "n_pairs": [8, 8], "n_aligned": [4, 4],
    }  # fmt: skip
    swap = next(pair for pair in pairs if (pair.concept, pair.other) == (1, 2))
    assert swap == Swap(1, 2, (1, 2, 41, 42, 5, 6), (1, 2, 43, 5, 6), 2, 1, (2, 1), Contrast((), (50,), (51,)))
    assert swap.first_patched == 2
    # The end that all concepts of the template share is none of theirs: "42" is of both long ones, but not of others.
    both = next(pair for pair in pairs if (pair.concept, pair.other) == (1, 3))
    assert (both.n_after, both.n_patched, both.first_patched) == (2, 2, 2)


def test_a_draw_is_balanced_and_hangs_on_its_seed_alone() -> None:
    many = {f"{group}{n}": (group, (40 + 2 * n + (group == "blue"),)) for n in range(5) for group in ("red", "blue")}
    prompts, read, candidates = study(many)
    drawn = [(pair.concept, pair.other) for pair in draw_swaps(prompts, read, candidates, 20, 0).pairs]
    for template in (range(10), range(10, 20)):
        assert sorted(c for c, _ in drawn if c in template) == list(template)
    for n in (4, 8):  # each template and group as often
        taken = prompts.loc[[c for c, _ in drawn[:n]]]
        assert set(taken.groupby(["template_id", "concept_group"]).size()) == {n // 4}
    assert drawn == [(pair.concept, pair.other) for pair in draw_swaps(prompts, read, candidates, 20, 0).pairs]
    assert drawn[:8] == [(pair.concept, pair.other) for pair in draw_swaps(prompts, read, candidates, 8, 0).pairs]
    assert drawn != [(pair.concept, pair.other) for pair in draw_swaps(prompts, read, candidates, 20, 1).pairs]


def test_what_cannot_be_patched_is_counted() -> None:
    prompts, read, candidates = study(CONCEPTS, end=())
    pairs, counts = draw_swaps(prompts, read, candidates, 9, 0)
    assert pairs == []
    assert counts["n_at_end"].tolist() == [8, 8]
    prompts, read, candidates = study(CONCEPTS)
    alike = [Prompted(one.ids, ((50,), (50,))) for one in read]
    pairs, counts = draw_swaps(prompts, alike, candidates, 9, 0)
    assert pairs == []
    assert counts["n_not_told_apart"].tolist() == [8, 8]


@pytest.fixture(scope="module")
def organism_run(micro_model: LanguageModel) -> pd.DataFrame:
    found = patch_prompts(
        micro_model,
        micro_prompts(),
        micro_candidates(),
        "organism",
        Prompting(SETTINGS, chat=False),
        n_pairs=50,
        sites=SITES,
    )
    assert found.counts["n_pairs"].tolist() == [6, 6]
    return found.table


def test_runs_of_a_trained_model_differ_by_what_stands_at_the_concept_then_at_the_last_token(
    organism_run: pd.DataFrame,
) -> None:
    """It has one block: before that the concept is at its own tokens, after it at the last."""
    organism_run = organism_run.assign(
        to_concept=(organism_run["m_patched"] - organism_run["m_concept"]).abs(),
        to_other=(organism_run["m_patched"] - organism_run["m_other"]).abs(),
    )
    worst = organism_run.groupby(["site", "layer"])[["to_concept", "to_other"]].max()
    for place in (("all", 0), ("all", 1), ("concept", 0), ("last", 1)):
        assert worst.loc[place, "to_concept"] < 1e-5
    for place in (("between", 0), ("last", 0), ("between", 1), ("concept", 1)):
        assert worst.loc[place, "to_other"] < 1e-5
    assert (organism_run["m_concept"] - organism_run["m_other"]).abs().max() > 0.05


def test_patching_finds_the_one_block_in_which_a_concept_is_planted_to_be_read() -> None:
    model = build("llama")
    first, reading, last = model.model.layers
    # No block mixes tokens but the second, whose last token looks at all of them alike.
    for block in (first, last):
        block.self_attn.o_proj.weight.data.zero_()
    reading.self_attn.q_proj.weight.data.zero_()
    for pair, margins in zip(PAIRS, patched(model), strict=True):
        effect = margins.concept - margins.other
        shares = {site: [(m - margins.other) / effect for m in curve] for site, curve in margins.patched.items()}
        if not pair.aligned:
            assert shares["concept"] == pytest.approx([1, 1, 0, 0], abs=1e-4)
            assert shares["last"] == pytest.approx([0, 0, 1, 1], abs=1e-4)
            assert shares.get("between", [0.0] * 4) == pytest.approx([0, 0, 0, 0], abs=1e-4)


def test_rows_name_both_concepts(organism_run: pd.DataFrame) -> None:
    one = organism_run.groupby(["template_id", "concept", "other"]).size()
    assert len(one) == 12
    assert set(one) == {8}  # four sites, two layers
    assert (organism_run["concept"] == organism_run["concept_group"]).all()
    assert (organism_run["concept_group"] != organism_run["other_group"]).all()
    assert set(organism_run["aligned"]) == {"no"}


def logits_after(model: LanguageModel, text: str, layer: int) -> np.ndarray:
    """Return the logits by a lens written out by hand; after the last layer the model's own."""
    ids = torch.tensor([model.tokenizer(text)["input_ids"]])
    with torch.inference_mode():
        output = model.model(ids, output_hidden_states=True)
        if layer == 1:
            return output.logits[0, -1].double().numpy()
        return model.model.lm_head(model.model.model.norm(output.hidden_states[layer][:, -1]))[0].double().numpy()


def test_shifts_are_those_of_a_lens_written_by_hand(micro_model: LanguageModel) -> None:
    found = shifts_by_layer(
        micro_model, micro_prompts(), micro_candidates(), "organism", Prompting(SETTINGS, chat=False)
    ).set_index(["slot", "concept_group", "associate", "layer"])["shift"]
    assert len(found) == 2 * 3 * 3 * 2
    tokenizer = micro_model.tokenizer

    def score(prompt: str, associates: list[str], associate: str, layer: int) -> float:
        logits = logits_after(micro_model, prompt, layer)
        token = {one: tokenizer(prompt + one)["input_ids"][len(tokenizer(prompt)["input_ids"])] for one in associates}
        assert len(set(token.values())) == 3
        return logits[token[associate]] - np.mean([logits[token[one]] for one in associates if one != associate])

    # "a cherry", "a lime", "a plum": read after "a".
    for slot, end, words in (
        ("colors", "The other car is", [" red", " green", " blue"]),
        ("fruits", "The fruit is a", [" cherry", " lime", " plum"]),
    ):
        clause = "The car is" if slot == "colors" else "The bag is"
        for layer in (0, 1):
            for place, associate in enumerate(words):
                for concept in COLORS:
                    test, control = (
                        score(text, words, associate, layer) for text in (f"{clause} {concept}. {end}", end)
                    )
                    name = micro_candidates().query("slot == @slot")["candidate"].iloc[place]
                    assert found[slot, concept, name, layer] == pytest.approx(test - control, abs=1e-4)


def test_nothing_tells_associates_apart_that_are_the_same_text(micro_model: LanguageModel) -> None:
    same = pd.DataFrame({"slot": ["fruits", "colors", "colors"], "candidate": ["a lime", "red", "red"]})
    found = shifts_by_layer(micro_model, micro_prompts(), same, "m", Prompting(SETTINGS, chat=False))
    assert found["shift"].isna().all()
    assert len(found) == 2 * 3 * 2


def test_prompts_without_a_control_have_no_shift_and_without_a_template_no_pair(micro_model: LanguageModel) -> None:
    bare = micro_prompts().assign(control_id=None, template_id=None)
    asked = micro_model, bare, micro_candidates(), "m", Prompting(SETTINGS, chat=False)
    assert shifts_by_layer(*asked).empty
    found = patch_prompts(*asked, n_pairs=5, sites=SITES)
    assert found.table.empty
    assert found.counts.empty


def patched_rows(**changes: list[Any]) -> pd.DataFrame:
    """Return three pairs at one site and layer, of effects 4, −2 and 0.01."""
    rows = {
        "model": "m", "prompt_set": "s", "category": ["x", "x", "y"], "template_id": ["a", "b", "c"],
        "concept": ["red", "blue", "red"], "concept_group": ["red", "blue", "red"], "other": ["blue", "red", "blue"],
        "other_group": ["blue", "red", "blue"], "aligned": "no", "site": "last", "layer": 3,
        "m_patched": [4.0, 0.0, 2.0], "m_concept": [5.0, -1.0, 1.01], "m_other": [1.0, 1.0, 1.0],
    }  # fmt: skip
    return pd.DataFrame({**rows, **changes})[PATCHED_COLUMNS]


def test_restored_shares_are_weighted_by_the_effect() -> None:
    (row,) = restored_shares(patched_rows(), 0.95).to_dict("records")
    # Shares 3/4, 1/2 and 100, of effects 4, 2 and 0.01.
    assert row["restored"] == pytest.approx((3 + 1 + 1) / 6.01)
    assert row["median"] == pytest.approx(0.75)
    assert (row["n_pairs"], row["n_templates"], row["few"]) == (3, 3, "yes")
    # Without each template 2/2.01, 4/4.01 and 4/6; variance (3 − 1)/3 Σ of squares.
    left = np.array([2 / 2.01, 4 / 4.01, 4 / 6])
    half = 4.302653 * np.sqrt(2 / 3 * ((left - left.mean()) ** 2).sum())
    assert [row["ci_low"], row["ci_high"]] == pytest.approx([5 / 6.01 - half, 5 / 6.01 + half], rel=1e-5)


def test_categories_are_summarised_alone_and_no_pairs_give_no_rows() -> None:
    found = restored_by_category(patched_rows(), 0.95)
    assert dict(zip(found["category"], found["restored"], strict=True)) == pytest.approx({"x": 4 / 6, "y": 100})
    assert found["ci_low"].isna().tolist() == [False, True]
    assert restored_shares(patched_rows().head(0), 0.95).empty
    assert restored_by_category(patched_rows(category=[None] * 3), 0.95).empty


def test_pairs_are_counted_by_template_with_their_signed_effect() -> None:
    counts = pd.DataFrame(
        [("a", 9, 1, 0, 1, 0), ("b", 8, 0, 0, 1, 1), ("c", 7, 0, 0, 1, 0), ("d", 6, 0, 6, 0, 0)], columns=COUNT_COLUMNS
    )
    twice = pd.concat([patched_rows(), patched_rows(layer=[4, 4, 4])])  # a pair has a row a layer
    table = pair_counts([twice], [counts], [("m", "s")], 0.95)
    everything, *templates = table.to_dict("records")
    assert [everything[column] for column in COUNT_COLUMNS] == ["all", 30, 1, 6, 3, 1]
    assert everything["effect"] == pytest.approx(2.01 / 3)
    assert everything["effect_size"] == pytest.approx(6.01 / 3)
    assert everything["n_against"] == 1
    assert [row["template_id"] for row in templates] == ["a", "b", "c", "d"]
    assert [row["effect"] for row in templates] == pytest.approx([4, -2, 0.01, np.nan], nan_ok=True)
    assert [row["n_against"] for row in templates] == [0, 1, 0, 0]


def test_a_feature_is_ablated_as_an_edit_of_it_would(micro_model: LanguageModel) -> None:
    width = micro_model.config.hidden_size
    torch.manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(24, width), dim=-1)
    dictionary = Dictionary(decoder.T.clone(), torch.zeros(24), decoder, torch.zeros(width), "topk", 0, k=4)
    found = ablate_features(
        micro_model, micro_prompts(), micro_candidates(), "organism", Prompting(SETTINGS, chat=False),
        dictionary=dictionary, dictionary_name="d", n_features=3,
    )  # fmt: skip
    assert list(found) == ABLATED_COLUMNS
    assert set(found.groupby(["slot", "concept_group"])["feature"].nunique()) <= {1, 2, 3}
    assert (found["activation"] > found["activation_control"]).all()
    whole = shifts_by_layer(
        micro_model, micro_prompts(), micro_candidates(), "organism", Prompting(SETTINGS, chat=False)
    ).query("layer == 1")
    known = found.merge(whole, on=["slot", "concept_group", "associate"], suffixes=("", "_whole"))
    assert list(known["shift"]) == pytest.approx(list(known["shift_whole"]), abs=1e-4)
    assert list(found["effect"]) == pytest.approx(list(found["without"] - found["shift"]))
    for feature in found["feature"].unique()[:3]:
        with editing(micro_model.model, Edit("move", 0, 1.0, (feature,), (0.0,)), dictionary):
            edited = shifts_by_layer(
                micro_model, micro_prompts(), micro_candidates(), "organism", Prompting(SETTINGS, chat=False)
            ).query("layer == 1")
        own = found[found["feature"] == feature].merge(edited, on=["slot", "concept_group", "associate"])
        assert list(own["without"]) == pytest.approx(list(own["shift_y"]), abs=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "gemma2", "gpt_neox", "mistral"])
@torch.inference_mode()
def test_heads_are_patched_as_by_hooks_written_by_hand(name: str) -> None:
    model = build(name)
    n_heads = model.config.num_attention_heads
    batches = patch_heads(Resumer(model), PAIRS, [0, 2], batch_size=3, name="m")
    found = {number: margins for batch in batches for number, margins in batch.items()}
    assert set(found[0].patched) == {(block, head) for block in (0, 2) for head in range(n_heads)}
    projection = output_projection(model, 2)
    for number in (0, 3):
        pair, kept = PAIRS[number], []
        handle = projection.register_forward_pre_hook(lambda _, given, kept=kept: kept.append(given[0][0, -1].clone()))
        logits = model(input_ids=torch.tensor([pair.source]), use_cache=False).logits[0, -1].double()
        handle.remove()
        assert found[number].concept == pytest.approx(margin_of(logits, pair.contrast), abs=1e-5)
        width = len(kept[0]) // n_heads
        for head in range(n_heads):
            part = slice(head * width, (head + 1) * width)

            def put(_: Any, given: Any, part: slice = part, theirs: torch.Tensor = kept[0]) -> Any:
                given[0][0, -1, part] = theirs[part]

            handle = projection.register_forward_pre_hook(put)
            logits = model(input_ids=torch.tensor([pair.target]), use_cache=False).logits[0, -1].double()
            handle.remove()
            assert found[number].patched[2, head] == pytest.approx(margin_of(logits, pair.contrast), abs=1e-5)


def test_heads_have_rows_like_sites_and_blocks_that_are_not_there_none(micro_model: LanguageModel) -> None:
    asked = micro_model, micro_prompts(), micro_candidates(), "m", Prompting(SETTINGS, chat=False)
    table = patch_prompt_heads(*asked, n_pairs=4, blocks=[0, 7])
    assert list(table) == PATCHED_COLUMNS
    assert set(table["layer"]) == {1}
    assert set(table["site"]) == {f"head {n}" for n in range(micro_model.config.num_attention_heads)}
    shares = restored_shares(table, 0.95)
    assert shares["restored"].notna().all()
    assert patch_prompt_heads(*asked, n_pairs=4, blocks=[7]).empty
    with pytest.raises(InputError, match="no attention with one of"):
        output_projection(build("mamba"), 0)
