"""Log-odds of a task's items under a model on disk, against one forward a prompt."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch

from leakscope.errors import InputError
from leakscope.files.tables import write_table
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.rendering import encode_rendered
from leakscope.validate.scoring.imported_scores import import_scores, imported_items, imported_table
from leakscope.validate.scoring.item_scores import answer_tokens
from leakscope.validate.scoring.score_columns import SCORE_COLUMNS
from leakscope.validate.scoring.scored import LAYER_COLUMNS, score_items, score_layers
from leakscope.validate.tasks.asking import Asking, joint_summary
from leakscope.validate.tasks.forms import render_prompts
from tiny_task import open_tiny_model, tiny_asking, tiny_items, weightless

ITEMS = tiny_items()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    torch.set_num_threads(1)
    return open_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Asking:
    return tiny_asking(tmp_path_factory.mktemp("forms"))


@pytest.fixture(scope="module")
def scores(model: LanguageModel, asking: Asking) -> pd.DataFrame:
    return score_items(model, ITEMS, "m", asking).table


@torch.inference_mode()
def next_logprobs(model: LanguageModel, ids: Sequence[int]) -> torch.Tensor:
    return model.model(input_ids=torch.tensor([list(ids)])).logits[0, -1].double().log_softmax(-1)


def read_prompts(asking: Asking) -> pd.DataFrame:
    """Return the prompts, each with the text that the model reads, the chat template written out by hand."""
    prompts = render_prompts(ITEMS, asking.forms, asking.seed, styles=asking.styles)
    read = [f"<user> {row.prompt}\n<assistant>" if row.chat else row.prompt for row in prompts.itertuples()]
    return prompts.assign(read=read)


def test_every_item_is_scored_in_every_form_and_style(scores: pd.DataFrame, asking: Asking) -> None:
    assert list(scores.columns) == SCORE_COLUMNS
    found = scores.groupby(["style", "kind", "form_id"], sort=False)["item_id"].agg(list)
    assert set(map(tuple, found)) == {tuple(ITEMS["item_id"])}
    assert list(found.index) == [
        (style, kind, form)
        for style in ("talk", "plain", "shown")
        for kind, form in (
            ("generator", "complete"), ("negated", "complete"), ("generator", "known"), ("negated", "known"),
            ("validator", "case"),
        )
    ]  # fmt: skip
    judged = scores["kind"] == "validator"
    assert scores.loc[judged, ["tokens", "logprob", "logprob_first", "log_odds_first"]].isna().all(axis=None)
    assert scores.loc[~judged, ["logprob_yes", "logprob_no"]].isna().all(axis=None)
    assert scores["log_odds"].notna().all()
    assert asking.main.name == "talk/complete/case"


def test_scores_equal_a_direct_unbatched_computation(
    model: LanguageModel, asking: Asking, scores: pd.DataFrame
) -> None:
    candidates = dict(zip(ITEMS["item_id"], ITEMS["candidate"], strict=True))
    answers = answer_tokens(model.tokenizer)
    prompts = read_prompts(asking)
    assert prompts["read"].str.count("Answer:").max() == 3  # two examples go before a prompt
    for prompt, row in list(zip(prompts.itertuples(), scores.itertuples(), strict=True))[::4]:
        assert (row.item_id, row.kind, row.form_id, row.style) == (
            prompt.item_id, prompt.kind, prompt.form_id, prompt.style,
        )  # fmt: skip
        ids = encode_rendered(model.tokenizer, prompt.read, chat=prompt.chat)
        if row.kind == "validator":
            after = next_logprobs(model, ids)
            yes, no = (float(after[tokens].logsumexp(0)) for tokens in answers.ids)
            assert (row.logprob_yes, row.logprob_no) == pytest.approx((yes, no), abs=1e-5)
            assert row.log_odds == pytest.approx(yes - no, abs=1e-5)
            continue
        whole = encode_rendered(model.tokenizer, f"{prompt.read} {candidates[row.item_id]}", chat=prompt.chat)
        assert whole[: len(ids)] == ids
        logprobs = [float(next_logprobs(model, whole[:t])[whole[t]]) for t in range(len(ids), len(whole))]
        assert row.tokens == len(logprobs)
        assert (row.logprob, row.logprob_first) == pytest.approx((sum(logprobs), logprobs[0]), abs=1e-5)
        for logprob, found in ((sum(logprobs), row.log_odds), (logprobs[0], row.log_odds_first)):
            assert found == pytest.approx(logprob - math.log1p(-math.exp(logprob)), abs=1e-5)


def test_nothing_is_computed_twice_and_the_summary_names_the_stores(model: LanguageModel, tmp_path: Path) -> None:
    asking = tiny_asking(tmp_path, ["plain"], store=tmp_path / "store")
    half = score_items(model, ITEMS[::2], "m", asking).summary
    assert (half["total"], half["computed"], half["reused"]) == (40, 40, 0)
    folders = sorted(str(path) for path in (tmp_path / "store/log_odds").iterdir())
    assert half["store"] == folders
    assert len(folders) == 2
    assert half["styles"] == ["plain"]
    assert half["answers"]["dropped"] == ["YES", "yes", " yes", "NO"]
    whole = score_items(model, ITEMS, "m", asking)
    assert (whole.summary["total"], whole.summary["computed"]) == (75, 35)
    again = score_items(weightless(model), ITEMS, "m", asking)
    assert again.summary["computed"] == 0
    pd.testing.assert_frame_equal(again.table, whole.table)
    write_table(whole.table, tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scores.parquet"), whole.table)


def test_a_model_without_a_chat_template_is_asked_in_the_other_styles(
    model: LanguageModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        asking = tiny_asking(tmp_path, chat=False)
    assert "m has no chat template: skips the styles talk" in caplog.text
    assert asking.styles == ["plain", "shown"]
    assert asking.main.name == "plain/complete/case"
    table = score_items(model, ITEMS, "m", asking).table
    assert set(table["style"]) == {"plain", "shown"}
    with pytest.raises(InputError, match=r"model m, with `chat: false`: got only styles for chats \(talk\); allowed"):
        tiny_asking(tmp_path, ["talk"], chat=False)


def test_styles_are_used_in_the_order_given_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    assert tiny_asking(tmp_path, ["shown", "talk"]).main.style == "shown"
    with pytest.raises(InputError, match=r"forms.yaml: style: got 'plane'; allowed: .* Did you mean 'plain'\?"):
        tiny_asking(tmp_path, ["plane"])


@pytest.mark.parametrize("style", ["talk", "shown"])
def test_the_last_layer_has_the_scores_of_the_main_form(
    model: LanguageModel, scores: pd.DataFrame, tmp_path: Path, style: str
) -> None:
    asking = tiny_asking(tmp_path, [style], store=tmp_path / "store")
    found = score_layers(model, ITEMS, "m", asking)
    assert list(found.table.columns) == LAYER_COLUMNS
    assert found.table["item_id"].tolist() == [item for item in ITEMS["item_id"] for _ in range(3)]
    assert found.table["layer"].tolist() == [0, 1, 2] * len(ITEMS)
    last = found.table[found.table["layer"] == 2]
    for column, kind, form_id, value in (
        ("l_g_first", "generator", "complete", "log_odds_first"),
        ("l_v", "validator", "case", "log_odds"),
    ):
        expected = scores[(scores["kind"] == kind) & (scores["form_id"] == form_id) & (scores["style"] == style)]
        assert last[column].tolist() == pytest.approx(expected[value].tolist(), abs=1e-4)
    assert (found.summary["total"], len(found.summary["store"])) == (2 * len(ITEMS), 2)
    assert score_layers(weightless(model), ITEMS, "m", asking).summary["computed"] == 0


def test_imported_scores_are_those_of_one_form(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(
        "noun1,noun2,taxonomic,generator-log-prob,discriminator-log-prob\n"
        "robins,bird,yes,-0.5,-0.1\nrobins,tool,no,-7,-3\n"
    )
    table = imported_table(import_scores(path))
    assert list(table.columns) == SCORE_COLUMNS
    assert table["kind"].tolist() == ["generator", "generator", "validator", "validator"]
    assert set(table["form_id"]) == set(table["style"]) == {"imported"}
    assert table["item_id"].tolist() == ["robins/bird", "robins/tool"] * 2
    expected = [p - math.log1p(-math.exp(p)) for p in (-0.5, -7, -0.1, -3)]
    assert table["log_odds"].tolist() == pytest.approx(expected)
    assert table.drop(columns=["item_id", "kind", "form_id", "style", "log_odds"]).isna().all(axis=None)
    items = imported_items(import_scores(path))
    assert items.dtypes.equals(ITEMS.dtypes)
    assert items.values.tolist() == [
        ["robins/bird", "robins", "bird", True, "robins", "none"],
        ["robins/tool", "robins", "tool", False, "robins", "none"],
    ]


def test_imported_scores_have_the_types_of_computed_ones(scores: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(
        "noun1,noun2,taxonomic,generator-log-prob,discriminator-log-prob\nants,fish,no,-9,-2\nants,insect,yes,-1,-2\n"
    )
    assert imported_table(import_scores(path)).dtypes.astype(str).equals(scores.dtypes.astype(str))


def test_summaries_add_up_and_name_each_store_once() -> None:
    one = {"total": 3, "computed": 1, "reused": 2, "store": "b"}
    found = joint_summary(one, {**one, "store": "a"}, one, {**one, "store": None})
    assert found == {"total": 12, "computed": 4, "reused": 8, "store": ["a", "b"]}
