"""A model's own completions and its verdict on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed
from leakscope.validate.scoring import completions
from leakscope.validate.scoring.completions import COMPLETION_COLUMNS, complete_questions, tidy
from leakscope.validate.scoring.item_scores import answer_tokens
from leakscope.validate.scoring.scored import score_items
from leakscope.validate.tasks.asking import main_prompts
from tiny_task import GENERATOR, PAIRS, VALIDATOR, open_tiny_model, tiny_asking, tiny_items, weightless

ITEMS = tiny_items()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    torch.set_num_threads(1)
    return open_tiny_model(tmp_path_factory.mktemp("tiny"))


@torch.inference_mode()
def written_greedily(model: LanguageModel, prompt: str, n_tokens: int) -> str:
    """Return what transformers itself writes."""
    ids = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
    whole = model.model.generate(ids, max_new_tokens=n_tokens, do_sample=False, pad_token_id=0)
    return str(model.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True))


@torch.inference_mode()
def direct_odds(model: LanguageModel, prompt: str) -> float:
    after = model.model(**model.tokenizer(prompt, return_tensors="pt")).logits[0, -1].double().log_softmax(-1)
    yes, no = (float(after[tokens].logsumexp(0)) for tokens in answer_tokens(model.tokenizer).ids)
    return yes - no


def test_completions_and_verdicts_equal_a_direct_computation(model: LanguageModel, tmp_path: Path) -> None:
    found = complete_questions(model, ITEMS, "m", tiny_asking(tmp_path, ["plain"]), 6)
    assert list(found.table.columns) == COMPLETION_COLUMNS
    assert found.table["question"].tolist() == found.table["cluster"].tolist() == list(PAIRS)
    for row in found.table.itertuples():
        assert row.completion == tidy(written_greedily(model, GENERATOR.format(x=row.question), 6))
        assert row.completion
        odds = direct_odds(model, VALIDATOR.format(x=row.question, y=row.completion))
        assert row.l_v == pytest.approx(odds, abs=1e-5)
        assert row.affirmed == (odds > 0)
    assert (found.summary["questions"], found.summary["empty"]) == (len(PAIRS), 0)


def test_nothing_is_written_or_judged_twice(model: LanguageModel, tmp_path: Path) -> None:
    asking = tiny_asking(tmp_path, store=tmp_path / "store")
    first = complete_questions(model, ITEMS, "m", asking, 6)
    kinds = [Path(folder).parent.name for folder in first.summary["store"]]
    assert sorted(kinds) == ["log_odds", "texts"]
    again = complete_questions(weightless(model), ITEMS, "m", asking, 6)
    assert (again.summary["computed"], again.summary["total"]) == (0, 2 * len(PAIRS))
    pd.testing.assert_frame_equal(again.table, first.table)


def write(monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> list[str]:
    """Let models write these texts; return a list that takes the prompts."""
    asked: list[str] = []

    def complete(model: Any, prompts: pd.DataFrame, name: str, prompting: Any) -> Completed:
        asked.extend(prompts["prompt"])
        table = prompts.assign(text=texts)
        return Completed(table, {"total": len(texts), "computed": 0, "reused": len(texts), "store": None})

    monkeypatch.setattr(completions, "complete_prompts", complete)
    return asked


def test_an_empty_completion_is_not_affirmed_and_counted(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(monkeypatch, ["bird. It sings", "", "tool,", " ...", "insect\nof prey", "wasp"])
    found = complete_questions(model, ITEMS, "m", tiny_asking(tmp_path, ["plain"]), 6)
    assert found.table["completion"].tolist() == ["bird", "", "tool", "", "insect", "wasp"]
    assert found.table["l_v"].isna().tolist() == [False, True, False, True, False, False]
    assert not found.table.loc[found.table["l_v"].isna(), "affirmed"].any()
    assert found.table["affirmed"].dtype == bool
    assert found.summary["empty"] == 2
    write(monkeypatch, [""] * len(PAIRS))
    nothing = complete_questions(model, ITEMS, "m", tiny_asking(tmp_path, ["plain"]), 6)
    assert nothing.table["l_v"].isna().all()
    assert nothing.summary["empty"] == len(PAIRS)


def test_questions_and_completions_have_the_examples_of_their_items(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = tiny_asking(tmp_path, ["shown"])
    items = ITEMS.assign(item_id=[f"item {number}" for number in range(len(ITEMS))])
    first = items.drop_duplicates("question")
    scores = score_items(model, items, "m", asking).table.set_index(["kind", "item_id"])["log_odds"]
    asked = write(monkeypatch, list(first["candidate"]))
    found = complete_questions(model, items, "m", asking, 6).table
    prompts = dict(zip(items["item_id"], main_prompts(items, "generator", asking), strict=True))
    assert asked == [prompts[name] for name in first["item_id"]]
    assert found["l_v"].tolist() == pytest.approx([scores["validator", name] for name in first["item_id"]], abs=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" bird.", "bird"),
        ("bird. They sing.", "bird"),
        ("bird\nRobins are a kind of", "bird"),
        ("\n\nbird, ", "bird"),
        ("“bird”, as everyone knows…", "bird”, as everyone knows"),
        ('"bird".', "bird"),
        ("yo-yo (toy)", "yo-yo (toy"),
        ("?!", ""),
        ("", ""),
        ("\n", ""),
    ],
)
def test_a_completion_ends_with_its_sentence_or_line(text: str, expected: str) -> None:
    assert tidy(text) == expected
