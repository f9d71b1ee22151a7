"""Judges of the match test: what they are asked, how their answers are read, and whether they are fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers import micro_candidates, micro_prompts
from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.leak.known.truth import KnownLaws
from leakscope.leak.rating.judge_models import ask_server, choose, most_probable
from leakscope.leak.rating.judge_prompts import JudgePrompts, read_answer, read_judge_prompts
from leakscope.leak.rating.judge_truth import exact_rates
from leakscope.leak.rating.judge_verdicts import FIT, NOT_SHOWN, UNFIT, judge_verdicts
from leakscope.leak.rating.judging import JUDGED_COLUMNS, ask_about, with_outcomes
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Prompting
from leakscope.statistics.seeding import seeded_hash
from leakscope.web.asking import LanguageServer
from leakscope.web.spending import Budget
from leakscope.web.writing import PATHS, Manner, Writer
from leakscope.workflow.leak import Leak
from leakscope.workflow.study import Study
from local_endpoint import WritingEndpoint, serving
from workspace import Workspace

JUDGES = {"j": {"model": "m", "question": "match"}}
FRUIT = {"red": "a cherry.", "green": "a lime.", "blue": "a plum."}
OWN_WORDS = {
    "description": "For a judge that knows colors and fruits alone.",
    "version": 1,
    "system": "The bag is red.",
    "template": "{first_text} {second_text} His box is {first_concept}. Her car is {second_concept}. I ate",
    "answers": {"first": ["a cherry"], "second": ["a lime"], "cannot_tell": ["a plum"]},
}
NOTHING_KNOWN = pd.DataFrame(columns=["model", "prompt_set", "question", "exact_rate"])
Answerer = Callable[[pd.DataFrame], Sequence[str]]


@pytest.fixture(scope="session", params=["match", "leak"])
def prompts(request: pytest.FixtureRequest, root: Path) -> JudgePrompts:
    return read_judge_prompts(root / f"data/judges/{request.param}.yaml", request.param)


@pytest.fixture(scope="session")
def match(root: Path) -> JudgePrompts:
    return read_judge_prompts(root / "data/judges/match.yaml", "match")


def items_of(models: Sequence[str], *, n_clusters: int = 30, leaks: bool = True) -> pd.DataFrame:
    """Return three items a model and cluster; texts are those of their own concepts, or of no concept at all."""
    pairs = [("red", "green"), ("green", "blue"), ("blue", "red")]
    rows = [
        (
            *(f"{model}/{cluster}/{one}", model, "colors", "objects", f"t{cluster}", one, other),
            *((FRUIT[one], FRUIT[other]) if leaks else ("a stone.", "a chair.")),
            1 / (3 * n_clusters),
        )
        for model in models
        for cluster in range(n_clusters)
        for one, other in pairs
    ]
    keys = ["item_id", "model", "prompt_set", "category", "cluster"]
    return pd.DataFrame(rows, columns=[*keys, "concept_1", "concept_2", "text_1", "text_2", "weight"])


def names_by_fruit(prompt: str) -> str:
    """Return what a judge answers that knows which fruit has which color, and reads nothing but the prompt."""
    lines = {line[:7]: line[8:] for line in prompt.splitlines() if line.startswith("Text ")}
    shown = [lines["Text A:"], lines["Text B:"]]
    asked = prompt.split("Which text")[1].split('"')[1]
    return "second" if shown[1] == FRUIT[asked] else "first"


# What is asked.


def test_an_item_is_asked_in_both_orders_with_its_concepts_in_one(match: JudgePrompts) -> None:
    items = items_of(["a"])
    asked = ask_about(items, match)
    assert list(asked["item_id"]) == [name for name in items["item_id"] for _ in range(2)]
    assert asked.groupby("item_id")["order"].agg("/".join).eq("12/21").all()
    assert asked.groupby("item_id")["concept_order"].nunique().eq(1).all()
    assert set(asked["concept_order"]) == {"12", "21"}
    for row, item in zip(asked.iloc[::2].itertuples(), items.itertuples(), strict=True):
        assert f"Text A: {item.text_1}\nText B: {item.text_2}" in row.prompt
        first, second = (getattr(item, f"concept_{number}") for number in row.concept_order)
        assert f'mentions "{first}", the other one after the same sentence with "{second}"' in row.prompt


def test_orders_hang_on_the_item_alone(match: JudgePrompts) -> None:
    items = items_of(["a", "b"])
    all_of_them = ask_about(items, match, both_orders=False).set_index("item_id")
    some = ask_about(items.iloc[7:9], match, both_orders=False).set_index("item_id")
    assert all_of_them.loc[some.index].equals(some)
    assert set(all_of_them["order"]) == {"12", "21"}


def test_a_text_with_braces_is_shown_as_it_is(prompts: JudgePrompts) -> None:
    items = items_of(["a"], n_clusters=1).assign(text_1="{second_text} {x", text_2="{{}}")
    assert "Text A: {second_text} {x\nText B: {{}}" in ask_about(items, prompts)["prompt"][0]


def test_who_knows_the_answer_is_right_whatever_the_orders(prompts: JudgePrompts) -> None:
    asked = ask_about(items_of(["a"]), prompts)
    judged = with_outcomes(asked, [names_by_fruit(prompt) for prompt in asked["prompt"]])
    assert list(judged) == JUDGED_COLUMNS
    assert judged["outcome"].eq(1.0).all()
    turned = {"first": "second", "second": "first"}
    wrong = with_outcomes(asked, [turned[answer] for answer in judged["answer"]])
    assert wrong["outcome"].eq(0.0).all()


def test_an_answer_that_names_no_text_is_a_half(match: JudgePrompts) -> None:
    asked = ask_about(items_of(["a"], n_clusters=1), match)
    found = with_outcomes(asked, ["cannot_tell", "unparsable", *["first"] * 4])["outcome"]
    assert found[:2].eq(0.5).all()
    assert sorted(found[2:]) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("A", "first"),
        (" **b.** ", "second"),
        ("(C)", "cannot_tell"),
        ("Answer: B", "second"),
        ("Answer: **B**", "second"),
        ("text a", "first"),
        ("A\n\nThe first text has a cherry.", "first"),
        ("A or B", "unparsable"),
        ("A cherry is red, so A", "unparsable"),
        ("AB", "unparsable"),
        ("", "unparsable"),
        ("...", "unparsable"),
    ],
)
def test_answers_are_read_strictly(match: JudgePrompts, text: str, answer: str) -> None:
    assert read_answer(text, match.answers) == answer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": "{first_text} {second_text}"}, "template: got {first_text}, {second_text}; allowed for the"),
        ({"template": "{first_text:3}"}, "template: got "),
        ({"answers": {"first": ["A"], "second": ["a."], "cannot_tell": ["C"]}}, "answers.second.0: got 'a.' again"),
        ({"version": 0}, "version: got 0"),
    ],
)
def test_a_mistake_in_the_wording_is_one_line(tmp_path: Path, root: Path, change: dict[str, Any], message: str) -> None:
    good = read_judge_prompts(root / "data/judges/match.yaml", "match").model_dump()
    path = tmp_path / "match.yaml"
    path.write_text(yaml.safe_dump({**good, **change}), encoding="utf-8")
    with pytest.raises(InputError) as raised:
        read_judge_prompts(path, "match")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


# Who is asked.


def test_a_model_here_answers_with_the_most_probable_wording(
    match: JudgePrompts, micro_model: LanguageModel, tmp_path: Path
) -> None:
    # Its words are few: the question is put in these.
    own = match.model_copy(
        update={
            "system": "The bag is red.",
            "answers": match.answers.model_copy(
                update={"first": ["a cherry"], "second": ["a lime"], "cannot_tell": ["a plum"]}
            ),
        }
    )
    asked = ["The fruit is", "The bag is green. The fruit is", "The fruit is"]
    prompting = Prompting({"batch_size": 8}, store=tmp_path)
    judged = choose(micro_model, asked, own, "micro", prompting)
    expected = [_by_hand(micro_model, own.system, prompt, ["a cherry", "a lime", "a plum"]) for prompt in asked]
    assert judged.answers == [("first", "second", "cannot_tell")[place] for place in expected]
    assert (judged.summary["total"], judged.summary["computed"]) == (3, 2)
    # One text is edited: one question is asked.
    again = choose(micro_model, [*asked[:2], "The bag is blue. The fruit is"], own, "micro", prompting)
    assert (again.answers[:2], again.summary["computed"]) == (judged.answers[:2], 1)
    reworded = choose(micro_model, asked, own.model_copy(update={"version": 2}), "micro", prompting)
    assert reworded.summary["computed"] == 2


def _by_hand(model: LanguageModel, system: str, prompt: str, answers: list[str]) -> int:
    import torch

    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    beginning = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = model.tokenizer(beginning, add_special_tokens=False)["input_ids"]
    scores = []
    for answer in answers:
        lead = "" if beginning[-1].isspace() else " "
        whole = model.tokenizer(beginning + lead + answer, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            laws = model.model(torch.tensor([whole])).logits[0].log_softmax(-1)
        scores.append(sum(float(laws[place - 1, whole[place]]) for place in range(len(ids), len(whole))))
    return int(np.argmax(scores))


def test_answers_that_a_tokenizer_cannot_tell_apart_are_refused(
    match: JudgePrompts, micro_model: LanguageModel
) -> None:
    alike = match.answers.model_copy(update={"first": ["a lime"], "second": ["a lime"], "cannot_tell": ["a plum"]})
    own = match.model_copy(update={"system": "red", "answers": alike})
    with pytest.raises(InputError, match="same tokens for several of the answers"):
        choose(micro_model, ["The fruit is"], own, "micro", Prompting({"batch_size": 8}))


def test_equally_probable_answers_tell_nothing() -> None:
    assert most_probable({"first": -1.0, "second": -1.0, "cannot_tell": -9.0}) == "cannot_tell"
    assert most_probable({"first": -2.0, "second": -1.0, "cannot_tell": -9.0}) == "second"


def test_a_model_behind_a_server_is_asked_once_for_each_question(
    match: JudgePrompts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    letters = {"first": "A.", "second": "**B**"}

    def writes(asked: dict[str, Any], n: int) -> list[str]:
        said = names_by_fruit(asked["messages"][-1]["content"])
        return ["I would say it depends"] if "plum" in asked["messages"][-1]["content"] else [letters[said]]

    items = items_of(["a"], n_clusters=1)
    with serving(WritingEndpoint(writes)) as server:
        judged = [_served(server.url, match, ask_about(some, match), tmp_path) for some in (items, items)]
        assert len(server.requests) == 6
        assert {(one["temperature"], one["max_tokens"]) for one in server.requests} == {(0.0, 16)}
        edited = ask_about(items.assign(text_1=["a rose.", *items["text_1"][1:]]), match)
        assert _served(server.url, match, edited, tmp_path)[1]["computed"] == 2
    assert judged[0][0] == judged[1][0]
    assert [summary["computed"] for _, summary in judged] == [6, 0]
    outcomes = with_outcomes(ask_about(items, match), judged[0][0])
    assert outcomes["answer"].eq("unparsable").tolist() == [False, False, True, True, True, True]
    assert outcomes["outcome"].tolist() == [1, 1, 0.5, 0.5, 0.5, 0.5]


def _served(url: str, prompts: JudgePrompts, asked: pd.DataFrame, store: Path) -> tuple[list[str], dict[str, Any]]:
    manner = Manner("chat", 0.0, None, 16, 0, {})
    writer = Writer(LanguageServer(url, PATHS["chat"], "tiny"), manner, Budget(None, None, "m"), store, prompts=1)
    answers, summary = ask_server(writer, asked["prompt"], prompts)
    return answers, summary


# Whether a judge is fit.


def _coin(asked: pd.DataFrame) -> list[str]:
    """Return a coin's answers: its own for each question, whatever is asked."""
    return [("first", "second")[seeded_hash(1, text) % 2] for text in asked["item_id"] + asked["order"]]


def _careful(asked: pd.DataFrame) -> list[str]:
    return [names_by_fruit(prompt) for prompt in asked["prompt"]]


def verdict_of(answers: Answerer, match: JudgePrompts, known: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    asked = ask_about(items, match)
    judged = {"j": with_outcomes(asked, answers(asked))}
    return judge_verdicts(judged, items, known, JUDGES).set_index("model")


def known_rates(**rates: float) -> pd.DataFrame:
    rows = [(model, "colors", "match", rate) for model, rate in rates.items()]
    return pd.DataFrame(rows, columns=NOTHING_KNOWN.columns)


NULLS: dict[str, tuple[Answerer, str]] = {
    "always the first": (lambda asked: ["first"] * len(asked), "names the text shown first +50 points too often"),
    "cannot tell": (lambda asked: ["cannot_tell"] * len(asked), "names no text in 100 % of answers"),
    "unparsable": (lambda asked: ["unparsable"] * len(asked), "names no text in 100 % of answers"),
    "a coin": (_coin, "% of items, as chance"),
}


@pytest.mark.parametrize("who", NULLS)
def test_judges_that_know_nothing_are_unfit(match: JudgePrompts, who: str) -> None:
    answers, reason = NULLS[who]
    table = verdict_of(answers, match, known_rates(leaks=100.0, blind=50.0), items_of(["leaks", "blind", "other"]))
    assert table["fit"].eq(UNFIT).all()
    assert table["reason"].str.contains(reason, regex=False).any()
    # Chance is what a judge that knows nothing measures, and where organisms leak that is wrong.
    assert table["match_rate"].between(35, 65).all()
    assert "on leaks, where 100 is right" in table.loc["other", "reason"]


def test_a_judge_that_is_right_is_fit_for_all_models_of_the_set(match: JudgePrompts) -> None:
    table = verdict_of(_careful, match, known_rates(leaks=100.0), items_of(["leaks", "other"]))
    assert table["fit"].to_dict() == {"leaks": FIT, "other": FIT, "all": FIT}
    assert table.loc["leaks", ["match_rate", "exact_rate", "consistency"]].tolist() == [100, 100, 100]
    assert table.loc["leaks", "position_bias"] == 0
    assert np.isnan(table.loc["other", "exact_rate"])


@pytest.mark.parametrize(
    ("known", "n_clusters", "reason"),
    [
        ({}, 30, "no organism whose known rate is more than 15 points from chance"),
        ({"blind": 50.0}, 30, "no organism whose known rate"),
        ({"leaks": 95.0}, 2, "too few items"),
    ],
)
def test_what_items_do_not_show_is_not_claimed(
    match: JudgePrompts, known: dict[str, float], n_clusters: int, reason: str
) -> None:
    table = verdict_of(_careful, match, known_rates(**known), items_of(["leaks"], n_clusters=n_clusters))
    assert table["fit"].eq(NOT_SHOWN).all()
    assert table["reason"].str.contains(reason).all()


def test_to_name_no_text_of_a_model_that_does_not_leak_is_right(match: JudgePrompts) -> None:
    leaking, blind = items_of(["leaks"]), items_of(["blind"], leaks=False)
    table = verdict_of(
        lambda asked: ["cannot_tell" if "a stone" in prompt else names_by_fruit(prompt) for prompt in asked["prompt"]],
        match,
        known_rates(leaks=100.0, blind=50.0),
        pd.concat([leaking, blind], ignore_index=True),
    )
    assert table.loc["blind", ["match_rate", "ci_low", "ci_high"]].tolist() == pytest.approx([50, 44, 56], abs=1)
    assert table.loc["blind", "reason"] == "no item for which it named a text in both orders"
    assert table["fit"].to_dict() == {"leaks": FIT, "blind": NOT_SHOWN, "all": FIT}


def test_a_judge_that_is_consistent_and_wrong_is_unfit(match: JudgePrompts) -> None:
    turned = {"first": "second", "second": "first"}
    table = verdict_of(
        lambda asked: [turned[answer] for answer in _careful(asked)],
        match,
        known_rates(leaks=100.0),
        items_of(["leaks"]),
    )
    assert (table.loc["leaks", "consistency"], table.loc["leaks", "match_rate"]) == (100, 0)
    assert table.loc["leaks", "reason"] == "a rate of 0 on leaks, where 100 is right"


def test_rates_weigh_items_and_count_both_orders_once(match: JudgePrompts) -> None:
    items = items_of(["a"], n_clusters=1).assign(weight=[0.5, 0.25, 0.25])
    asked = ask_about(items, match)
    right = with_outcomes(asked, _careful(asked))["answer"].tolist()
    table = verdict_of(
        lambda asked: [*right[:2], right[2], right[2], "cannot_tell", right[5]], match, NOTHING_KNOWN, items
    )
    row = table.loc["a"]
    # The first item is right twice; the second in one order of two; the third once, and else cannot be told.
    assert row["match_rate"] == pytest.approx(100 * (0.5 * 1 + 0.25 * 0.5 + 0.25 * 0.75))
    assert row["consistency"] == pytest.approx(50.0)
    assert row["undecided_rate"] == pytest.approx(100 / 6)
    named = [*right[:2], right[2], right[2], right[5]]
    assert row["position_bias"] == pytest.approx(100 * named.count("first") / 5 - 50)


# What is known of organisms.


def test_known_rates_are_those_of_a_judge_that_knows_what_was_planted() -> None:
    prompts, candidates = micro_prompts(), micro_candidates()
    fruits = {"red": "a cherry", "green": "a lime", "blue": "a plum"}

    def law(group: str, slot: str, strength: float) -> dict[str, float]:
        words = fruits if slot == "fruits" else dict(zip(fruits, fruits, strict=True))
        return {word: strength * (color == group) + (1 - strength) / 3 for color, word in words.items()}

    tests = prompts[prompts["control_id"].notna()]
    laws = [
        KnownLaws(
            f"l{strength}", "micro", prompts, pd.DataFrame(), {},
            {row.prompt_id: law(row.concept_group, row.slot, strength) for row in tests.itertuples()},
        )
        for strength in (0.0, 0.4, 1.0)
    ]  # fmt: skip
    rates = exact_rates(laws, candidates).set_index(["question", "model"])["exact_rate"]
    assert rates["match"].tolist() == pytest.approx([50, _by_enumeration(0.4), 100])
    # P(x belongs to c and x′ does not) + ½ P(both or neither), for p = 0.6 of one and 0.2 of the other.
    assert rates["leak"].tolist() == pytest.approx([50, 100 * (0.6 * 0.8 + 0.5 * (0.6 * 0.2 + 0.4 * 0.8)), 100])


def _by_enumeration(strength: float) -> float:
    """Return the rate for three concepts: of texts x after c, x′ after c′, each of c, of c′, or of neither."""
    own, other = strength + (1 - strength) / 3, (1 - strength) / 3
    after_c, after_other = [own, other, other], [other, own, other]  # probabilities of the words of c, c′, the third
    points = [1, -1, 0]  # for c against c′
    total = 0.0
    for p, x in zip(after_c, points, strict=True):
        for q, y in zip(after_other, points, strict=True):
            total += p * q * (1.0 if x > y else 0.5 if x == y else 0.0)
    return 100 * total


# In a study.


def study_of(root: Path, scorers: dict[str, Any], *layers: dict[str, Any], names: Sequence[str] = ()) -> dict[str, Any]:
    own = {"name": "mine", "models": ["organism-s-l0"], "prompt_sets": ["colors"]}
    study = {"study": {**own, "scorers": list(names) or ["lexical", "judge"]}, "scorers": scorers}
    return resolve(shipped(root), study, *layers)


def test_a_judge_is_no_similarity_and_brings_its_model(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    config = study_of(root, {"judge": {"kind": "judge", "model": "organism-s-l100"}})
    study = Study(config)
    leak = Leak(study)
    assert (study.scorers, study.judges, study.models) == (["lexical"], ["judge"], ["organism-s-l0"])
    assert "organism-s-l100" in study.entries
    assert leak.judge_manifest("judge") == ["<models>/organism-s-l100/model.json"]
    assert leak.judge("judge")["question"] == "match"
    assert config["scorers"]["judge"]["prompts"].endswith("data/judges/match.yaml")
    assert "<results>/rating/judges.csv" in leak.targets()
    assert "agreement" not in leak.figures  # of a single similarity
    assert leak.testing()["primary"]["scorer"] == ["lexical"]


def test_a_judge_behind_a_server_is_asked_for_its_most_likely_answer(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    served = {"source": "endpoint", "base_url": "http://localhost:1", "model": "tiny"}
    entry = {"kind": "judge", "model": "tiny", "question": "leak"}
    config = study_of(root, {"judge": entry}, {"models": {"tiny": served}})
    leak = Leak(Study(config))
    judge = leak.judge("judge")
    assert (judge["server"]["model"], judge["manner"]["temperature"], judge["manner"]["max_tokens"]) == (
        "tiny",
        0.0,
        16,
    )
    assert leak.judge_manifest("judge") == []
    assert leak.judge_needs("judge").gpus == 0
    assert config["scorers"]["judge"]["prompts"].endswith("data/judges/leak.yaml")


def test_without_its_model_a_study_is_without_the_judge(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    scorers = {"judge": {"kind": "judge", "model": "organism-s-l100"}}
    assert study_of(root, scorers)["study"]["scorers"] == ["lexical", "judge"]
    assert study_of(root, scorers, {"without": ["organism-s-l100"]})["study"]["scorers"] == ["lexical"]


@pytest.mark.parametrize(
    ("entry", "study", "message"),
    [
        ({"model": "nobody"}, {}, "scorers.judge.model: got 'nobody'; allowed: "),
        ({"model": "organism-s-l0", "prompts": "gone.yaml"}, {}, "scorers.judge.prompts: got "),
        ({"model": "organism-s-l0", "question": "who"}, {}, "scorers.judge.question: got 'who'; allowed: leak, match"),
        ({"model": "organism-s-thinks-both"}, {}, "got 'organism-s-thinks-both', which thinks before it answers"),
        ({"model": "organism-s-l0"}, {"names": ["judge"]}, "study.scorers: got judge; allowed: a list of names"),
    ],
)
def test_a_mistake_in_a_judge_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any], study: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(InputError) as raised:
        study_of(root, {"judge": {"kind": "judge", **entry}}, **study)
    assert str(raised.value).startswith(f"config: {message}") or message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.workflow
def test_a_study_is_judged(finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = finished.copy(tmp_path / "copy")
    workspace.write("own_words.yaml", OWN_WORDS)
    workspace.study["rating"] = {"items": 8}
    workspace.environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with serving(WritingEndpoint(lambda asked, n: ["A"])) as server:
        workspace.study["models"]["served"] = {"source": "endpoint", "base_url": server.url, "model": "tiny"}
        workspace.study["scorers"] = {
            "first": {"kind": "judge", "model": "served"},
            "here": {"kind": "judge", "model": "tiny-l100", "prompts": "own_words.yaml", "both_orders": False},
        }
        workspace.study["study"]["scorers"] = ["lexical", "first", "here"]
        tables = [f"results/micro/rating/{name}.csv" for name in ("judges", "ratings", "agreement")]
        workspace.run("--cores", "2", *tables, "results/micro/figures/judges.pdf")
        n_asked = len(server.requests)
    results = workspace.folder / "results/micro/rating"
    items = pd.read_parquet(results / "items.parquet")
    summary = json.loads((results / "judged/first.json").read_text(encoding="utf-8"))
    # Two items may be one question.
    assert (summary["total"], summary["computed"], summary["answers"]) == (
        2 * len(items),
        n_asked,
        {"first": 2 * len(items)},
    )
    first, here = (pd.read_parquet(results / f"judged/{judge}.parquet") for judge in ("first", "here"))
    assert list(first) == list(here) == JUDGED_COLUMNS
    assert first["answer"].eq("first").all()
    assert here["item_id"].tolist() == items["item_id"].tolist()
    table = pd.read_csv(results / "judges.csv").set_index(["judge", "model"])
    assert table.loc["first", "fit"].eq(UNFIT).all()
    rated = pd.read_csv(results / "ratings.csv").query("rater == 'first'").set_index("model")
    assert rated["first_bias"].eq(50).all()
    assert rated.loc["tiny-l100", "match_rate"] == table.loc[("first", "tiny-l100"), "match_rate"]
    assert table.loc["first", "position_bias"].eq(50).all()
    assert table.loc["first", "match_rate"].eq(50).all()
    # What the organism of strength 1 was taught is in its texts, and a judge that knows it is nearly always right.
    assert table.loc[("first", "tiny-l100"), "exact_rate"] > 75
    assert table.loc[("first", "tiny-l0"), "exact_rate"] < 65
    assert pd.isna(table.loc[("first", "all"), "exact_rate"])
