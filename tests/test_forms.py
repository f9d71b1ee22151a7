"""Prompts of a task's items: what stands in them, and what must never stand in their examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from leakscope.errors import InputError
from leakscope.validate.tasks.form_file import Style
from leakscope.validate.tasks.forms import Form, PromptForms, check_shots, read_forms, render_prompts
from leakscope.validate.tasks.items import Item, item_table
from leakscope.validate.tasks.readers import read_items

FORMS = PromptForms(
    (
        Form("generator", "g", "{question} are a kind of"),
        Form("negated", "g", "{question} are not a kind of"),
        Form("validator", "v", "Are {question} a kind of {candidate}?"),
    ),
    (
        Style(id="plain", shots=0, chat=False, template="{prompt}"),
        Style(id="shots", shots=4, chat=False, template="{prompt}"),
        Style(id="chat", shots=2, chat=True, template="Be brief. {prompt}"),
    ),
)
FILES = ["hypernymy", "substitution", "completion", "questions"]


def item(question: str, candidate: str, positive: bool) -> Item:
    return {
        "item_id": f"{question}/{candidate}",
        "question": question,
        "candidate": candidate,
        "positive": positive,
        "cluster": question,
        "distance": "none",
    }


@pytest.fixture(scope="module")
def hypernymy(root: Path) -> pd.DataFrame:
    return read_items(root / "data/validate/hypernymy/items.csv", "pairs", 0)


@pytest.fixture(scope="module")
def prompts(hypernymy: pd.DataFrame) -> pd.DataFrame:
    return render_prompts(hypernymy, FORMS, seed=0)


def joined(prompts: pd.DataFrame, items: pd.DataFrame) -> list[tuple[Any, Any, pd.DataFrame]]:
    """Return every prompt with its own item and those of its examples."""
    named = items.set_index("item_id", drop=False)
    return [(row, named.loc[row.item_id], named.loc[row.shot_ids]) for row in prompts.itertuples()]


# ---- rendering


def test_a_zero_shot_prompt_is_the_filled_form(prompts: pd.DataFrame) -> None:
    own = prompts[prompts["item_id"].eq("robins/bird") & prompts["style"].eq("plain")].set_index("kind")
    assert own["prompt"].to_dict() == {
        "generator": "robins are a kind of",
        "negated": "robins are not a kind of",
        "validator": "Are robins a kind of bird?",
    }
    assert not own["chat"].any()


def test_every_item_is_rendered_in_every_form_and_style(prompts: pd.DataFrame, hypernymy: pd.DataFrame) -> None:
    assert len(prompts) == len(hypernymy) * len(FORMS.forms) * len(FORMS.styles)
    assert not prompts.duplicated(["item_id", "kind", "form_id", "style"]).any()


def test_examples_are_filled_and_answered_and_the_template_stands_round_all(
    prompts: pd.DataFrame, hypernymy: pd.DataFrame
) -> None:
    for row, own, shots in joined(prompts[prompts["style"] == "chat"].iloc[::37], hypernymy):
        parts = row.prompt.removeprefix("Be brief. ").split("\n\n")
        text = next(form.text for form in FORMS.forms if form.kind == row.kind)
        for part, shot in zip(parts, [*shots.itertuples(), own], strict=True):
            filled = text.replace("{question}", shot.question).replace("{candidate}", shot.candidate)
            answer = shot.candidate if row.kind != "validator" else "Yes" if shot.positive else "No"
            assert part == (filled if shot is own else f"{filled} {answer}")
        assert row.chat


def test_braces_of_a_question_are_left_alone() -> None:
    items = item_table([item("a {candidate} {", "b", True), item("c", "d", False)], "here")
    rendered = render_prompts(items, FORMS, 0, styles=["plain"])
    assert rendered["prompt"].iloc[0] == "a {candidate} { are a kind of"


def test_only_chosen_styles_are_rendered(hypernymy: pd.DataFrame) -> None:
    assert set(render_prompts(hypernymy[:3], FORMS, 0, styles=["plain"])["style"]) == {"plain"}
    with pytest.raises(InputError, match="Did you mean 'shots'"):
        render_prompts(hypernymy[:3], FORMS, 0, styles=["shot"])


# ---- examples


def test_no_example_shares_item_question_or_answer(prompts: pd.DataFrame, hypernymy: pd.DataFrame) -> None:
    answers = hypernymy[hypernymy["positive"]].groupby("question")["candidate"].agg(set)
    few = prompts[prompts["style"] != "plain"]
    for row, own, shots in joined(few, hypernymy):
        assert len(shots) == next(style.shots for style in FORMS.styles if style.id == row.style)
        assert own.item_id not in row.shot_ids
        assert own.question not in set(shots["question"])
        assert len(re.findall(rf"\b{re.escape(own.question)}\b", row.prompt)) == 1
        if row.kind == "generator":
            assert not answers[own.question] & set(shots["candidate"])
        # Here the pool is large enough that not even the candidate is shared.
        assert own.candidate not in set(shots["candidate"])
        assert shots["cluster"].is_unique


def test_examples_are_true_and_those_of_a_validator_balanced(prompts: pd.DataFrame, hypernymy: pd.DataFrame) -> None:
    first_is_yes = []
    for row, _, shots in joined(prompts[prompts["style"] == "shots"], hypernymy):
        expected = {"generator": len(shots), "negated": 0, "validator": len(shots) // 2}[row.kind]
        assert shots["positive"].sum() == expected
        if row.kind == "validator":
            first_is_yes.append(bool(shots["positive"].iloc[0]))
    assert 0.4 < sum(first_is_yes) / len(first_is_yes) < 0.6


def test_the_label_of_an_item_does_not_choose_its_validator_examples(hypernymy: pd.DataFrame) -> None:
    chosen = []
    for positive in (True, False):
        tested = item_table([item("zebras", "mammal", positive), item("yaks", "tool", not positive)], "here")
        rendered = render_prompts(tested, FORMS, 0, pool=hypernymy, styles=["shots"])
        chosen.append(rendered[rendered["kind"] == "validator"]["prompt"].tolist())
    assert chosen[0] == chosen[1]


def test_candidates_of_a_question_see_the_same_generator_prompt(prompts: pd.DataFrame, hypernymy: pd.DataFrame) -> None:
    question = hypernymy.set_index("item_id")["question"]
    for kind in ("generator", "negated"):
        own = prompts[prompts["kind"].eq(kind)]
        assert own.groupby([own["item_id"].map(question), "style"])["prompt"].nunique().eq(1).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.randoms())
def test_examples_depend_on_the_seed_and_not_on_the_order_of_rows(seed: int, order: Any) -> None:
    items = item_table([item(f"q{i}", f"c{(i + j) % 7}", j == 0) for i in range(12) for j in range(3)], "here")
    shuffled = items.sample(frac=1, random_state=order.randrange(2**32))
    keys = ["item_id", "kind", "form_id", "style"]
    one, other = (
        render_prompts(table, FORMS, seed).sort_values(keys, ignore_index=True) for table in (items, shuffled)
    )
    pd.testing.assert_frame_equal(one, other)


def test_another_seed_chooses_other_examples(hypernymy: pd.DataFrame, prompts: pd.DataFrame) -> None:
    other = render_prompts(hypernymy, FORMS, seed=1)
    few = prompts["style"].eq("shots")
    assert (other["prompt"][few] != prompts["prompt"][few]).mean() > 0.9


def test_examples_come_from_the_pool_alone(hypernymy: pd.DataFrame) -> None:
    pool = hypernymy[hypernymy["candidate"].isin(["bird", "insect", "tool", "weapon", "furniture", "vehicle"])]
    rendered = render_prompts(hypernymy[:60], FORMS, 0, pool=pool, styles=["shots"])
    assert {shot for shots in rendered["shot_ids"] for shot in shots} <= set(pool["item_id"])


def test_where_every_question_has_every_candidate_the_right_one_is_still_not_shown() -> None:
    grid = [item(f"q{i}", f"c{j}", j == i % 3) for i in range(12) for j in range(3)]
    items = item_table(grid, "here")
    few = render_prompts(items, FORMS, 0, styles=["shots"])
    for _, own, shots in joined(few[few["kind"] == "generator"], items):
        assert f"c{int(own.question[1:]) % 3}" not in set(shots["candidate"])


def test_too_small_a_pool_is_refused() -> None:
    items = item_table([item("a", "x", True), item("b", "y", True), item("b", "x", False)], "here")
    with pytest.raises(InputError, match=r"generator shots of item 'a/x': got 1 positive items.*at least 4"):
        render_prompts(items, FORMS, 0, styles=["shots"])


def test_a_pool_cannot_hold_the_item_under_another_name(hypernymy: pd.DataFrame) -> None:
    again = hypernymy.assign(item_id="again/" + hypernymy["item_id"], question=hypernymy["question"].str.upper())
    rendered = render_prompts(hypernymy[:30], FORMS, 0, pool=again, styles=["shots"])
    named = again.set_index("item_id")["question"].str.casefold()
    for row in rendered.itertuples():
        assert row.item_id.split("/")[0] not in set(named[row.shot_ids])


@pytest.mark.parametrize(
    ("kind", "shots", "message"),
    [
        ("validator", [item("a", "x", True), item("c", "y", False)], "shares item"),
        ("validator", [item("A ", "z", True), item("c", "y", False)], "shares item"),
        ("generator", [item("c", "a", True)], "shares item"),
        ("negated", [{**item("c", "y", False), "cluster": "a"}], "shares item"),
        ("generator", [item("c", "X", True)], "shows a right answer"),
        ("generator", [item("c", "y", False)], "0 of 1 examples"),
        ("negated", [item("c", "y", True)], "1 of 1 examples"),
        ("validator", [item("c", "y", True), item("d", "z", True)], "2 of 2 examples"),
    ],
)
def test_a_wrong_example_is_caught(kind: str, shots: list[Item], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_shots(item("a", "x", True), kind, shots, frozenset({"x"}))


# ---- files of forms


@pytest.mark.parametrize("name", FILES)
def test_shipped_forms_follow_the_schema_and_differ(root: Path, name: str) -> None:
    path = root / f"data/validate/forms/{name}.yaml"
    schema = json.loads((root / "schemas/prompt_forms.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), schema)
    forms = read_forms(path)
    for kind in ("generator", "negated", "validator"):
        assert len([form for form in forms.forms if form.kind == kind]) >= 3
    assert len({form.text for form in forms.forms}) == len(forms.forms)
    assert {(style.shots > 0, style.chat) for style in forms.styles} >= {(False, False), (True, False), (False, True)}


def test_shipped_hypernymy_forms_render_the_shipped_items(root: Path, hypernymy: pd.DataFrame) -> None:
    rendered = render_prompts(hypernymy[:9], read_forms(root / "data/validate/forms/hypernymy.yaml"), 0, pool=hypernymy)
    assert not rendered["prompt"].str.contains(r"\{|\}").any()
    assert not rendered["prompt"].str.endswith(" ").any()


def content() -> dict[str, Any]:
    return {
        "description": "d",
        "generators": [{"id": "g", "text": "{question} are", "negated": "{question} are not"}],
        "validators": [{"id": "v", "text": "{question}: {candidate}?"}],
        "styles": [{"id": "s", "shots": 2, "chat": False, "template": "{prompt}"}],
    }


@pytest.mark.parametrize(
    ("key", "entry", "parts"),
    [
        (
            "generators",
            {"text": "{question} are {candidate}"},
            ["generators.0.text ('g')", "a text with {question} once"],
        ),
        ("generators", {"text": "they are"}, ["generators.0.text ('g')", "got 'they are'"]),
        ("generators", {"text": "{question} are "}, ["generators.0.text ('g')", "without spaces around it"]),
        ("generators", {"text": "{question} are }"}, ["generators.0.text ('g')", "no other brace"]),
        ("generators", {"negated": "{question} are"}, ["generators.0.negated ('g')", "its negation"]),
        ("generators", {"negated": None}, ["generators.0.negated ('g'): got null"]),
        ("generators", {"id": "a b"}, ["generators.0.id: got 'a b'; allowed: a name of letters"]),
        ("generators", {"texts": "x"}, ["generators.0.texts ('g')", "Did you mean 'text'?"]),
        ("validators", {"text": "{question}?"}, ["validators.0.text ('v')", "{candidate}"]),
        ("validators", {"text": "{question} {candidate} {candidate}"}, ["each once"]),
        ("validators", {"text": "\n{candidate} {question}"}, ["validators.0.text ('v')", "without spaces around it"]),
        ("styles", {"shots": 3}, ["styles.0.shots ('s'): got 3; allowed: an even number of at least 0"]),
        ("styles", {"shots": -2}, ["styles.0.shots ('s'): got -2; allowed: an even number of at least 0"]),
        ("styles", {"shots": True}, ["styles.0.shots ('s'): got true", "even"]),
        ("styles", {"chat": "yes"}, ["styles.0.chat ('s'): got 'yes'", "true or false"]),
        ("styles", {"template": "x"}, ["styles.0.template ('s')", "{prompt}"]),
    ],
)
def test_a_wrong_entry_is_one_line(tmp_path: Path, key: str, entry: dict[str, Any], parts: list[str]) -> None:
    wrong = content()
    wrong[key][0].update(entry)
    message = refusal(tmp_path, yaml.safe_dump(wrong))
    for part in parts:
        assert part in message


def test_a_file_without_forms_is_one_line(tmp_path: Path) -> None:
    assert "forms.yaml: styles: got nothing" in refusal(
        tmp_path, yaml.safe_dump({k: v for k, v in content().items() if k != "styles"})
    )
    assert "at least one" in refusal(tmp_path, yaml.safe_dump({**content(), "validators": []}))
    assert "description: got ' '" in refusal(tmp_path, yaml.safe_dump({**content(), "description": " "}))
    assert "invalid YAML" in refusal(tmp_path, "a: [")
    assert "a mapping with description, generators" in refusal(tmp_path, "- a")
    twice = content()
    twice["styles"] *= 2
    assert "styles.1.id: got 's' again" in refusal(tmp_path, yaml.safe_dump(twice))
    with pytest.raises(InputError, match="no such file"):
        read_forms(tmp_path / "none.yaml")


def refusal(folder: Path, text: str) -> str:
    path = folder / "forms.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_forms(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)
