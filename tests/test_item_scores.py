from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from helpers import in_memory
from leakscope.errors import InputError
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed, Prompting
from leakscope.models.prompts.rendering import encode_rendered, render_prompt
from leakscope.storage.upkeep import overview, survey
from leakscope.validate.scoring import item_scores
from leakscope.validate.scoring.item_scores import (
    GeneratorItem,
    answer_tokens,
    joint_log_odds,
    score_generator,
    score_generator_by_layer,
    score_validator,
    score_validator_by_layer,
)

HYPONYMS = ("robins", "oak trees", "hammers", "salmon")
HYPERNYMS = ("bird", "tool", "very woody plant")
GENERATOR, VALIDATOR = "Complete the sentence: {x} are a kind of", "Is it the case that {x} are a {y}? Answer:"
ITEMS = [GeneratorItem(GENERATOR.format(x=x), y) for x in HYPONYMS for y in HYPERNYMS]
QUESTIONS = [VALIDATOR.format(x=x, y=y) for x in HYPONYMS for y in HYPERNYMS]
PLAIN = Prompting({"batch_size": 5}, chat=False)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    """A random GPT-2; its tokenizer knows `` Yes``, ``Yes``, ``YES``, `` No`` and ``No``, and no other variant."""
    torch.set_num_threads(1)
    texts = [*QUESTIONS, *(item.prompt for item in ITEMS), *["Answer: Yes No", "Yes", "No", "YES"] * 50]
    tokenizer = GPT2Tokenizer().train_new_from_iterator(texts, 340, show_progress=False)
    torch.manual_seed(0)
    shape = {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 64,
        "initializer_range": 0.3,
        "eos_token_id": 0,
        "bos_token_id": 0,
    }
    return in_memory(GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape)).eval(), tokenizer)


@torch.inference_mode()
def logprobs_after(model: LanguageModel, ids: Sequence[int]) -> torch.Tensor:
    return model.model(input_ids=torch.tensor([list(ids)])).logits[0, -1].double().log_softmax(-1)


def direct_logprobs(model: LanguageModel, prompt: str, candidate: str, *, chat: bool = False) -> list[float]:
    """Return log p of each token of a candidate, one unbatched forward each, from the tokens of the whole text."""
    start, whole = (encode_rendered(model.tokenizer, text, chat=chat) for text in (prompt, prompt + candidate))
    assert whole[: len(start)] == start
    return [float(logprobs_after(model, whole[:t])[whole[t]]) for t in range(len(start), len(whole))]


def test_generator_scores_equal_a_direct_unbatched_computation(model: LanguageModel) -> None:
    scores = score_generator(model, ITEMS, "m", PLAIN).table
    assert scores["tokens"].max() > 2
    for row, item in zip(scores.itertuples(), ITEMS, strict=True):
        direct = direct_logprobs(model, item.prompt, f" {item.candidate}")
        assert row.tokens == len(direct)
        for logprob, log_odds, found in (
            (sum(direct), row.log_odds, row.logprob),
            (direct[0], row.log_odds_first, row.logprob_first),
        ):
            assert found == pytest.approx(logprob, abs=1e-5)
            assert log_odds == pytest.approx(logprob - math.log1p(-math.exp(logprob)), abs=1e-5)


def test_validator_scores_equal_a_direct_unbatched_computation(model: LanguageModel) -> None:
    found = score_validator(model, QUESTIONS, "m", PLAIN)
    vocabulary = model.tokenizer.get_vocab()
    yes, no = ([vocabulary[token] for token in tokens] for tokens in (("ĠYes", "Yes", "YES"), ("ĠNo", "No")))
    for row, question in zip(found.table.itertuples(), QUESTIONS, strict=True):
        after = logprobs_after(model, encode_rendered(model.tokenizer, question, chat=False))
        of_yes, of_no = (float(after[ids].logsumexp(0)) for ids in (yes, no))
        assert row.logprob_yes == pytest.approx(of_yes, abs=1e-5)
        assert row.logprob_no == pytest.approx(of_no, abs=1e-5)
        assert row.log_odds == pytest.approx(of_yes - of_no, abs=1e-5)
    assert found.summary["answers"]["dropped"] == ["yes", " yes", "NO", "no", " no"]
    assert sorted(found.summary["answers"]["yes"].values()) == sorted(yes)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batch_size_does_not_change_scores(model: LanguageModel, batch_size: int) -> None:
    other = PLAIN._replace(settings={"batch_size": batch_size})
    for score, items in ((score_generator, ITEMS), (score_validator, QUESTIONS)):
        one, another = (score(model, items, "m", how).table for how in (PLAIN, other))  # type: ignore[operator]
        torch.testing.assert_close(torch.tensor(one.values), torch.tensor(another.values), rtol=1e-6, atol=1e-5)


def test_the_last_layer_has_the_scores_of_the_model(model: LanguageModel) -> None:
    layered = score_generator_by_layer(model, ITEMS, "m", PLAIN).table
    assert list(layered.columns) == ["item", "layer", "log_odds_first"]
    assert len(layered) == 3 * len(ITEMS)
    plain = score_generator(model, ITEMS, "m", PLAIN).table
    last = layered[layered["layer"] == 2].set_index("item")
    assert last["log_odds_first"].tolist() == pytest.approx(plain["log_odds_first"].tolist(), abs=1e-5)
    answers = score_validator_by_layer(model, QUESTIONS, "m", PLAIN)
    plain = score_validator(model, QUESTIONS, "m", PLAIN).table
    last = answers.table[answers.table["layer"] == 2].set_index("item")
    for column in ("log_odds", "logprob_yes", "logprob_no"):
        assert last[column].tolist() == pytest.approx(plain[column].tolist(), abs=1e-5)
    assert answers.summary["answers"]["dropped"] == ["yes", " yes", "NO", "no", " no"]


def test_chat_prompts_have_their_special_tokens_and_the_templates_own_space(micro_model: LanguageModel) -> None:
    rendered = render_prompt(micro_model.tokenizer, "The bag is red.", template="{prompt}", system=None, chat=True)
    items = [GeneratorItem(rendered, candidate) for candidate in ("a cherry", "a lime looks red")]
    scores = score_generator(micro_model, items, "m", Prompting({"batch_size": 4})).table
    for row, item in zip(scores.itertuples(), items, strict=True):
        lead = "" if rendered[-1:].isspace() else " "
        direct = direct_logprobs(micro_model, rendered, lead + item.candidate, chat=True)
        assert row.tokens == len(direct)
        assert row.logprob == pytest.approx(sum(direct), abs=1e-5)


ALL = (
    (score_generator, ITEMS, 12),
    (score_generator_by_layer, ITEMS, 12),
    (score_validator, QUESTIONS, 12),
    (score_validator_by_layer, QUESTIONS, 12),
)


def weightless(model: LanguageModel, **identity: Any) -> LanguageModel:
    def load() -> Any:
        raise AssertionError("the weights were loaded")

    identity = {**model.identity, **identity}
    return LanguageModel(model.tokenizer, model.config, model.generation_config, identity, load)


@pytest.mark.parametrize(("score", "items", "n"), ALL)
def test_nothing_is_computed_twice_and_no_weights_are_loaded_for_it(
    model: LanguageModel, tmp_path: Path, score: Any, items: Any, n: int
) -> None:
    how = PLAIN._replace(store=tmp_path)
    half: Completed = score(model, items[::2], "m", how)
    assert (half.summary["total"], half.summary["computed"]) == (n / 2, n / 2)
    twice = score(model, [*items, *items], "m", how)
    assert (twice.summary["total"], twice.summary["computed"]) == (2 * n, n / 2)
    again = score(weightless(model), items, "m", how)
    assert again.summary["computed"] == 0
    values = torch.tensor(again.table.drop(columns="item", errors="ignore").values)
    assert torch.equal(values.repeat(2, 1), torch.tensor(twice.table.drop(columns="item", errors="ignore").values))
    with pytest.raises(AssertionError, match="weights were loaded"):
        score(weightless(model, weights="another"), items, "m", how)


@pytest.mark.parametrize("score", [score_validator, score_validator_by_layer])
def test_other_answers_and_other_tokens_are_other_values(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: Any
) -> None:
    how = PLAIN._replace(store=tmp_path)
    before = score(model, QUESTIONS, "m", how)
    monkeypatch.setattr(item_scores, "YES", (" Yes",))
    after = score(model, QUESTIONS, "m", how)
    assert after.summary["computed"] == len(QUESTIONS)
    assert (after.table["logprob_yes"] < before.table["logprob_yes"]).all()
    monkeypatch.setattr(item_scores, "encode_rendered", lambda *_, **__: [5, 6, 7])
    assert score(model, QUESTIONS, "m", how).summary["computed"] == len(QUESTIONS)


def test_kinds_of_scores_have_stores_of_their_own(model: LanguageModel, tmp_path: Path) -> None:
    how = PLAIN._replace(store=tmp_path / "store")
    folders = {score(model, items, "m", how).summary["store"] for score, items, _ in ALL}
    assert len(folders) == len(ALL)
    assert {Path(folder).parent for folder in folders} == {tmp_path / "store/log_odds"}
    found = overview(survey(tmp_path / "store", [tmp_path]))
    assert {settings.strip() for settings in found["settings"]} == {
        "candidates", "candidates by layer", "answers", "answers by layer",
    }  # fmt: skip
    assert set(found["values"]) == {len(ITEMS)}


def test_scores_by_layer_hold_no_more_than_the_numbers_asked_for(model: LanguageModel, tmp_path: Path) -> None:
    how = PLAIN._replace(store=tmp_path)
    folder = Path(score_validator_by_layer(model, QUESTIONS, "m", how).summary["store"])
    (path,) = folder.glob("*.jsonl")
    assert path.stat().st_size < len(QUESTIONS) * 600


def test_no_items_give_an_empty_table(model: LanguageModel) -> None:
    for score, _, _ in ALL:
        table = score(weightless(model), [], "m", PLAIN).table
        assert len(table) == 0
        assert len(table.columns) >= 3


class _Words:
    """A tokenizer of whole words, as far as ``answer_tokens`` asks; spaces before a word do not count."""

    unk_token_id, name_or_path = 0, "words"

    def __init__(self, *words: str) -> None:
        self.ids = {word: number for number, word in enumerate(words, start=1)}

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [self.ids.get(text.strip(), self.unk_token_id)]}


def test_variants_with_one_token_count_once_and_unknown_ones_not_at_all() -> None:
    found = answer_tokens(_Words("Yes", "yes", "No"))  # type: ignore[arg-type]
    assert found.yes == {"Yes": 1, " Yes": 1, "yes": 2, " yes": 2}
    assert found.ids == [[1, 2], [3]]
    assert found.dropped == ["YES", "NO", "no", " no"]


def test_a_tokenizer_without_an_answer_is_one_clear_error() -> None:
    with pytest.raises(InputError, match="got no token for any of 'No', ' No', 'NO', 'no', ' no'; allowed:"):
        answer_tokens(_Words("Yes"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (GeneratorItem("", "bird"), r"prompt '': got no token"),
        (GeneratorItem("Robins are a kind of ", ""), r"candidate '': got no token"),
        (GeneratorItem("Robins are a kind of ", "bird"), r"merges with the prompt's last; allowed: a form that ends"),
        (GeneratorItem("robins" + " robins" * 70, "bird"), r"\d+ tokens; the model reads at most 64"),
    ],
)
def test_an_item_that_cannot_be_scored_is_one_clear_error(
    model: LanguageModel, item: GeneratorItem, error: str
) -> None:
    with pytest.raises(InputError, match=error):
        score_generator(weightless(model), [*ITEMS, item], "m", PLAIN)


def test_logits_that_are_no_numbers_are_one_clear_error_and_not_stored(model: LanguageModel, tmp_path: Path) -> None:
    broken = GPT2LMHeadModel(model.config).eval()
    torch.nn.init.constant_(broken.transformer.ln_f.weight, math.nan)
    opened = in_memory(broken, model.tokenizer)
    for score, items in ((score_generator, ITEMS), (score_validator, QUESTIONS)):
        with pytest.raises(InputError, match="logits that are NaN or infinite"):
            score(opened, items, "m", PLAIN._replace(store=tmp_path))  # type: ignore[operator]
    assert not list(tmp_path.rglob("*.jsonl"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-600, 600), min_size=1, max_size=4))
@example([800.0, 900.0])
@example([-800.0, 1e-9])
@example([40.0, 40.0, -40.0])
def test_log_odds_of_several_tokens_are_exact_however_near_one_or_zero(token_odds: list[float]) -> None:
    logprob, log_odds = joint_log_odds(token_odds)
    with localcontext() as context:
        context.prec = 420
        p = Decimal(1)
        for odds in token_odds:
            p /= 1 + (-Decimal(odds)).exp()
        expected = float(p.ln()), float(p.ln() - (1 - p).ln())
    assert (logprob, log_odds) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_tokens_that_are_certain_or_impossible_have_infinite_log_odds() -> None:
    assert joint_log_odds([math.inf, math.inf]) == (0.0, math.inf)
    assert joint_log_odds([-math.inf, 3.0]) == (-math.inf, -math.inf)
    assert joint_log_odds([math.inf, 3.0]) == pytest.approx(joint_log_odds([3.0]))
