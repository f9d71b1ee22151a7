"""Ranks of right candidates, against probabilities of one forward each and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from leakscope.errors import InputError
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed
from leakscope.validate.scoring import ranks
from leakscope.validate.scoring.ranks import AMONG, RANK_COLUMNS, contests, rank_candidates
from leakscope.validate.scoring.scored import score_items
from tiny_task import GENERATOR, PAIRS, open_tiny_model, tiny_asking, tiny_items, weightless

ITEMS = tiny_items()
CANDIDATES = list(dict.fromkeys(y for answers in PAIRS.values() for y in answers))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    torch.set_num_threads(1)
    return open_tiny_model(tmp_path_factory.mktemp("tiny"))


@torch.inference_mode()
def direct_logprob(model: LanguageModel, prompt: str, candidate: str) -> float:
    start, whole = (model.tokenizer(text)["input_ids"] for text in (prompt, f"{prompt} {candidate}"))
    logprobs = model.model(input_ids=torch.tensor([whole])).logits[0].double().log_softmax(-1)
    return sum(float(logprobs[t - 1, whole[t]]) for t in range(len(start), len(whole)))


@pytest.mark.parametrize("among", AMONG)
def test_ranks_equal_those_of_a_direct_computation(model: LanguageModel, tmp_path: Path, among: str) -> None:
    found = rank_candidates(model, ITEMS, "m", tiny_asking(tmp_path, ["plain"]), among)
    assert list(found.table.columns) == RANK_COLUMNS
    assert found.table["question"].tolist() == found.table["cluster"].tolist() == list(PAIRS)
    for row in found.table.itertuples():
        answers = PAIRS[row.question]
        competing = [y for y in (CANDIDATES if among == "task" else answers) if not answers.get(y, False)]
        logprobs = {y: direct_logprob(model, GENERATOR.format(x=row.question), y) for y in {*competing, *answers}}
        right = max((y for y in answers if answers[y]), key=logprobs.__getitem__)
        ordered = sorted([*competing, right], key=lambda y: -logprobs[y])
        assert row.rank == 1 + ordered.index(right)
        assert row.n_candidates == len(ordered)
        assert row.best == ordered[0]
    assert found.summary["questions"] == len(PAIRS)
    assert found.table["rank"].max() > 1


def test_the_prompts_are_those_whose_scores_are_stored(model: LanguageModel, tmp_path: Path) -> None:
    asking = tiny_asking(tmp_path, ["shown"], store=tmp_path / "store")
    scored = score_items(model, ITEMS, "m", asking).summary
    ranked = rank_candidates(weightless(model), ITEMS, "m", asking, "question").summary
    assert (ranked["computed"], ranked["total"]) == (0, len(ITEMS))
    assert len(ranked["store"]) == 1
    assert set(ranked["store"]) < set(scored["store"])
    of_task = rank_candidates(model, ITEMS, "m", asking, "task").summary
    assert (of_task["computed"], of_task["total"]) == (len(PAIRS) * len(CANDIDATES) - len(ITEMS), 36)


def rank_by(odds: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, items: pd.DataFrame) -> Any:
    """Return the first row where candidates have these log-odds."""

    def score(model: Any, compared: Any, name: str, prompting: Any) -> Completed:
        table = pd.DataFrame({"log_odds": [odds[item.candidate] for item in compared]})
        return Completed(table, {"total": 0, "computed": 0, "reused": 0, "store": None})

    monkeypatch.setattr(ranks, "score_generator", score)
    monkeypatch.setattr(ranks, "as_read", lambda model, prompts, prompting: prompts)
    table = rank_candidates(None, items, "m", tiny_asking(tmp_path), "task").table  # type: ignore[arg-type]
    return table.set_index("question").loc["salmon"]


def test_the_best_right_candidate_counts_and_the_other_does_not_compete(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odds = {"fish": -1.0, "animal": -2.0, "bird": -1.5, "insect": -9, "woody plant": -9, "very useful tool": -9}
    row = rank_by(odds, monkeypatch, tmp_path, ITEMS)
    assert (row["rank"], row["n_candidates"], row["best"]) == (1, 5, "fish")
    row = rank_by({**odds, "fish": -2.5}, monkeypatch, tmp_path, ITEMS)
    assert (row["rank"], row["best"]) == (2, "bird")


def test_ties_count_against_the_right_candidate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    odds = dict.fromkeys(CANDIDATES, -1.0)
    row = rank_by(odds, monkeypatch, tmp_path, ITEMS)
    assert (row["rank"], row["n_candidates"]) == (5, 5)
    assert row["best"] == "bird"


def test_questions_of_one_kind_of_candidates_are_left_out_and_counted(model: LanguageModel, tmp_path: Path) -> None:
    kept = ITEMS[ITEMS["positive"] | ITEMS["question"].eq("ants")]
    kept = kept[~kept["item_id"].eq("wasps/insect")]
    asking = tiny_asking(tmp_path, ["plain"])
    found = rank_candidates(model, kept, "m", asking, "question")
    assert found.table["question"].tolist() == ["ants"]
    assert (found.summary["questions"], found.summary["left_out"]) == (1, 4)
    assert len(rank_candidates(model, kept, "m", asking, "task").table) == 5


def test_case_tells_neither_questions_nor_candidates_apart() -> None:
    rows = ITEMS[ITEMS["question"].isin(["salmon", "ants"])].copy()
    rows.loc[rows["item_id"] == "salmon/animal", "question"] = "Salmon"
    rows.loc[rows["item_id"] == "ants/fish", "candidate"] = "Fish"
    salmon, ants = contests(rows, "task")
    assert (salmon.item, salmon.right, salmon.wrong) == (0, ["fish", "animal"], ["bird", "insect"])
    assert (ants.item, ants.right, ants.wrong) == (3, ["insect"], ["fish", "animal", "bird"])


def test_an_unknown_company_is_refused() -> None:
    with pytest.raises(InputError, match="rank_among: got 'all'; allowed: question, task"):
        list(contests(ITEMS, "all"))
