"""Where a prompt's clause stands: how prompts are divided, rendered, stored and sent, and what refuses a place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
from transformers import PreTrainedTokenizerBase

from helpers import SETTINGS
from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.leak.dividing import clause_of, with_places
from leakscope.leak.imported_prompts import import_prompts
from leakscope.leak.prompts import PROMPT_COLUMNS, build_prompts, template_files
from leakscope.leak.served_texts import question_of, write_texts
from leakscope.models.completion import complete_prompts
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.placing import Place, Placed, placed_prompts, plain_text
from leakscope.models.prompts.prompting import Prompting
from leakscope.models.prompts.rendering import render_prompt
from leakscope.web.asking import LanguageServer
from leakscope.web.conversations import Conversation
from leakscope.web.spending import Budget
from leakscope.web.writing import PATHS, Manner, Writer
from leakscope.workflow.brought import look_into
from leakscope.workflow.study import Study
from local_endpoint import Reply, WritingEndpoint, error, serving
from workspace import Workspace

CLAUSE, REST = "The lamp is red.", "He eats"
CHATML = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"
)
NO_TOOL = "{% for m in messages if m['role'] != 'tool' %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"
# It shows calls and results as Llama's and Qwen's do.
SHOWS_CALLS = (
    "{% for m in messages %}[{{ m['role'] }}]{% for c in m.tool_calls or [] %}{{ c.function.name }}"
    "{{ c.function.arguments | tojson }}{% endfor %}"
    "{{ m.name ~ ' ' ~ m['content'] | tojson if m['role'] == 'tool' else m['content'] }}{% endfor %}[assistant]"
)
# One that puts them together as text, as DeepSeek's does.
JOINS_CALLS = (
    "{% for m in messages %}[{{ m['role'] }}]{% for c in m.tool_calls or [] %}{{ c.function.name + "
    "c.function.arguments }}{% endfor %}{{ m['content'] }}{% endfor %}[assistant]"
)
PLACES = [place for place in get_args(Place) if place != "user"]


def placed(place: str) -> Placed:
    return Placed(f"{CLAUSE} {REST}", CLAUSE, place)  # type: ignore[arg-type]


@pytest.fixture
def tokenizer(micro_model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> PreTrainedTokenizerBase:
    monkeypatch.setattr(micro_model.tokenizer, "chat_template", CHATML)
    return micro_model.tokenizer


def rendered(tokenizer: PreTrainedTokenizerBase, place: str, *, chat: bool = True) -> str:
    return render_prompt(tokenizer, placed(place), template="Go on: {prompt}", system="Be brief.", chat=chat)


# Divided.


@pytest.mark.parametrize(
    ("prompt", "clause"),
    [
        ("The lamp is red. He eats", "The lamp is red."),
        ("One. Two! Three? He eats", "One. Two! Three?"),
        ('She said "red." Then he ate', 'She said "red."'),
        ("It is red. Mr. Gray eats", "It is red."),
        ("It is red. J. Gray eats at 9 a.m. some", "It is red."),
        ("It is 3.5 m long.\nHe eats  ", "It is 3.5 m long."),
        ("It is red. What does he eat?", "It is red."),
        ("灯是红色的。他吃", "灯是红色的。"),
    ],
)
def test_all_but_the_last_sentence_of_a_prompt_is_its_clause(prompt: str, clause: str) -> None:
    assert clause_of(prompt, "here", "tool") == clause


@pytest.mark.parametrize(
    ("language", "prompt", "clause"),
    [
        ("en", "Tom owns a St. Bernard. His home is near No. 5 Main and", "Tom owns a St. Bernard."),
        ("de", "Das Kleid ist rot. Am 3. Mai kaufte er", "Das Kleid ist rot."),
        ("hi", "दरवाज़ा लाल है। उसने खरीदा", "दरवाज़ा लाल है।"),
        ("ar", "الباب أحمر. هل اشترى؟ نعم اشترى", "الباب أحمر. هل اشترى؟"),
        ("zh", "她的门是红色的。她买了", "她的门是红色的。"),
    ],
)
def test_a_prompt_is_divided_as_its_language_ends_sentences(language: str, prompt: str, clause: str) -> None:
    assert clause_of(prompt, "here", "tool", language) == clause


@pytest.mark.parametrize("prompt", ["He eats", "He eats.", "Mr. Gray eats", "He eats at 9 a.m. some", "他吃。"])
def test_a_prompt_of_one_sentence_cannot_be_divided(prompt: str) -> None:
    with pytest.raises(InputError) as caught:
        clause_of(prompt, "here", "tool")
    assert (
        str(caught.value) == f"here: got {prompt!r}, one sentence; allowed: two or more sentences for the place tool."
    )


def test_prompts_of_the_users_turn_have_the_columns_they_always_had() -> None:
    table = pd.DataFrame({"prompt_id": ["a"], "prompt": ["He eats"]})
    assert with_places(table, "user") is table
    assert placed_prompts(table) == [Placed("He eats")]


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("shades", "fruits"):
        lexicon = f"description: Words.\nterms: [{{term: {name} one, group: one}}, {{term: {name} two, group: two}}]\n"
        (tmp_path / f"{name}.yaml").write_text(lexicon)
    (folder / "templates.yaml").write_text(
        "description: Two.\ntemplates:\n  - {id: lamp, category: c, concepts: shades, slot: fruits, "
        'test: "A {concept} lamp. He eats", control: "A lamp. He eats", neutral: "A small lamp. He eats"}\n'
    )
    return folder


def test_a_set_from_templates_says_where_its_clauses_stand(templates: Path) -> None:
    files = template_files(templates, [templates.parent])
    prompts = build_prompts(files, "mine", "system").prompts
    assert list(prompts) == [*PROMPT_COLUMNS, "clause", "place"]
    assert prompts["clause"].tolist() == ["A lamp.", "A small lamp.", "A shades one lamp.", "A shades two lamp."]
    assert prompts["prompt"].tolist() == [f"{clause} He eats" for clause in prompts["clause"]]
    assert set(prompts["place"]) == {"system"}
    assert [one.rest for one in placed_prompts(prompts)] == ["He eats"] * 4
    same = build_prompts(files, "mine").prompts
    pd.testing.assert_frame_equal(prompts[PROMPT_COLUMNS], same)


def test_a_template_of_one_sentence_is_named_by_the_plan(root: Path, templates: Path) -> None:
    file = templates / "templates.yaml"
    text = file.read_text().replace("shades", "basic_colors").replace("fruits", "basic_colors")
    file.write_text(text.replace("A lamp. He", "Near a lamp he"))
    chosen = {"name": "mine", "models": ["organism-s-l0"], "prompt_sets": ["mine"], "scorers": ["lexical"]}
    entry = {"source": "templates", "path": str(templates), "place": "tool"}
    study = Study(resolve(shipped(root), {"study": chosen, "prompt_sets": {"mine": entry}}))
    with pytest.raises(InputError) as caught:
        look_into(study)
    assert str(caught.value) == (
        f"{file}: templates.0 ('lamp'): got 'Near a lamp he eats', one sentence; allowed: two or more sentences for "
        "the place tool."
    )


def test_rows_of_one_sentence_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "prompt_id,control_id,concept,prompt\nc,,,He eats\nd,,,A dog. He eats\nt,d,red,A red dog. He eats\nu,c,red,He\n"
    )
    with pytest.raises(InputError) as caught:
        import_prompts(path, "mine", place="few_shot")
    rows = ((2, "He eats"), (5, "He"))
    assert str(caught.value).splitlines() == [
        f"{path}, row {row}: prompt: got {prompt!r}, one sentence; allowed: two or more sentences for the place "
        "few_shot."
        for row, prompt in rows
    ]
    path.write_text("prompt_id,control_id,concept,prompt\nd,,,A dog. He eats\nt,d,red,A red dog. He eats\n")
    assert import_prompts(path, "mine", place="few_shot").prompts["clause"].tolist() == ["A dog.", "A red dog."]


# Rendered.


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("system", "[system]Be brief.\nThe lamp is red.[user]Go on: He eats"),
        ("tool", "[system]Be brief.[user]Go on: He eats[assistant][tool]The lamp is red."),
        ("earlier_turn", "[system]Be brief.[user]The lamp is red.[assistant]I see.[user]Go on: He eats"),
        (
            "few_shot",
            "[system]Be brief.[user]Go on: The lamp is red. That was on a[assistant]Tuesday.[user]Go on: He eats",
        ),
    ],
)
def test_a_chat_has_the_clause_in_its_place(tokenizer: PreTrainedTokenizerBase, place: str, expected: str) -> None:
    assert rendered(tokenizer, place) == f"{expected}[assistant]"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("system", "Be brief.\nThe lamp is red.\n\nGo on: He eats"),
        ("tool", "Be brief.\nResult of a search: The lamp is red.\n\nGo on: He eats"),
        ("earlier_turn", "Be brief.\nThe lamp is red.\nI see.\n\nGo on: He eats"),
        ("few_shot", "Be brief.\nGo on: The lamp is red. That was on a Tuesday.\n\nGo on: He eats"),
    ],
)
def test_plain_text_has_the_clause_in_its_place(tokenizer: PreTrainedTokenizerBase, place: str, expected: str) -> None:
    assert rendered(tokenizer, place, chat=False) == expected


@pytest.mark.parametrize(
    ("language", "clause", "place", "expected"),
    [
        ("es", "La lámpara es roja.", "tool", "Resultado de una búsqueda: La lámpara es roja.\n\nHe eats"),
        ("id", "Lampu itu merah.", "few_shot", "Lampu itu merah. Itu terjadi pada hari Selasa.\n\nHe eats"),
        ("he", "המנורה אדומה.", "earlier_turn", "המנורה אדומה.\nהבנתי.\n\nHe eats"),
        ("zh", "灯是红色的。", "few_shot", "灯是红色的。那天是星期二。\n\nHe eats"),
    ],
)
def test_the_words_round_a_clause_are_of_its_language(language: str, clause: str, place: Place, expected: str) -> None:
    one = Placed(f"{clause} {REST}", clause, place, language)
    assert plain_text(one, "{prompt}", None) == expected
    prompts = pd.DataFrame({"prompt_id": ["a"], "prompt": [one.prompt], "language": "en", "concept_language": language})
    assert placed_prompts(with_places(prompts, place)) == [one]


def test_a_language_without_such_words_is_refused_before_anything_is_made(root: Path, templates: Path) -> None:
    chosen = {"name": "mine", "models": ["organism-s-l0"], "prompt_sets": ["mine"], "scorers": ["lexical"]}
    entry = {"source": "templates", "path": str(templates), "language": "hi"}
    with pytest.raises(InputError) as caught:
        resolve(shipped(root), {"study": chosen, "prompt_sets": {"mine": {**entry, "place": "tool"}}})
    assert str(caught.value) == (
        "config: prompt_sets.mine.place: got the place tool for clauses in 'hi'; allowed: user or system, or a "
        "language whose file in data/languages has `places`, the words around a clause."
    )
    # A system message has none of them, and a clause in English has English ones.
    for allowed in ({"place": "system"}, {"place": "tool", "concept_language": "en"}):
        resolve(shipped(root), {"study": chosen, "prompt_sets": {"mine": {**entry, **allowed}}})


def test_a_clause_in_a_system_message_stays_there(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = NO_SYSTEM
    with pytest.raises(
        InputError, match=r"whose place is system \(system, user\); allowed: a template with these"
    ) as e:
        rendered(tokenizer, "system")
    assert len(str(e.value).splitlines()) == 1
    # Only the study's message moves, to the user's first turn.
    assert rendered(tokenizer, "earlier_turn").startswith("[user]Be brief.\n\nThe lamp is red.[assistant]I see.[user]")


def test_a_template_that_drops_the_clause_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = NO_TOOL
    with pytest.raises(InputError, match=r"place is tool \(system, user, assistant, tool\)"):
        rendered(tokenizer, "tool")
    assert CLAUSE in rendered(tokenizer, "few_shot")


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        (SHOWS_CALLS, '[assistant]look_up{}[tool]look_up "The lamp is \\"red\\"."'),
        (JOINS_CALLS, '[assistant]look_up{}[tool]The lamp is "red".'),
    ],
)
def test_calls_are_in_the_form_that_a_template_takes(
    tokenizer: PreTrainedTokenizerBase, template: str, shown: str
) -> None:
    tokenizer.chat_template, clause = template, 'The lamp is "red".'
    one = Placed(f"{clause} {REST}", clause, "tool")
    text = render_prompt(tokenizer, one, template="{prompt}", system=None, chat=True)
    assert text == f"[user]He eats{shown}[assistant]"


def test_one_sentence_in_two_places_has_texts_of_its_own(micro_model: LanguageModel, tmp_path: Path) -> None:
    prompts = pd.DataFrame({"prompt_set": "mine", "prompt_id": ["a"], "prompt": [f"{CLAUSE} {REST}"], "slot": None})
    prompting, n = Prompting(SETTINGS, store=tmp_path), SETTINGS["samples"]
    computed = [
        complete_prompts(micro_model, with_places(prompts, place), "mine", prompting).summary["computed"]
        for place in (*get_args(Place), *PLACES)
    ]
    assert computed == [n] * 5 + [0] * 4


# Behind a server.


@pytest.mark.parametrize("place", PLACES)
def test_a_server_is_asked_what_a_chat_template_gets(tokenizer: PreTrainedTokenizerBase, place: str) -> None:
    settings = {"system": "Be brief.", "template": "Go on: {prompt}"}
    question = question_of(placed(place), settings, "chat")
    assert isinstance(question, Conversation)
    messages = question.payload(with_system=True)
    assert "".join(f"[{m['role']}]{m['content']}" for m in messages) + "[assistant]" == rendered(tokenizer, place)
    plain = question_of(placed(place), settings, "completions")
    assert plain == ("", rendered(tokenizer, place, chat=False))


def asked(url: str, store: Path, place: str) -> dict[str, Any]:
    """Return the summary of a set of one prompt in a place, as a server's model writes."""
    prompts = with_places(
        pd.DataFrame({"prompt_set": "mine", "prompt_id": ["a"], "prompt": [f"{CLAUSE} {REST}"]}),
        place,  # type: ignore[arg-type]
    )
    server = LanguageServer(url, PATHS["chat"], "tiny", attempts=1)
    writer = Writer(server, Manner("chat", 0.5, None, 7, 0, {}), Budget(None, None, "mine"), store)
    settings = {"system": "Be brief.", "template": "{prompt}", "samples": 2, "stop": "length"}
    return write_texts(writer, {"mine": prompts}, "mine", {"mine": settings})["mine"].summary


@pytest.fixture
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.mark.usefixtures("_no_proxy")
def test_a_call_goes_to_a_server_as_its_protocol_wants_it_and_once(tmp_path: Path) -> None:
    with serving(WritingEndpoint(lambda asked, n: ["a plum"] * n, ())) as server:
        computed = [asked(server.url, tmp_path, place)["computed"] for place in ("user", "tool", "tool", "user")]
        _, request = server.requests
    assert computed == [2, 2, 0, 0]
    _, question, call, result = request["messages"]
    (made,) = call["tool_calls"]
    assert question == {"role": "user", "content": REST}
    assert made["function"] == {"name": "look_up", "arguments": "{}"}
    assert result == {"role": "tool", "content": CLAUSE, "tool_call_id": made["id"]}
    assert json.loads(made["function"]["arguments"]) == {}


@pytest.mark.usefixtures("_no_proxy")
def test_a_server_without_a_system_role_gets_no_clause_in_the_users_turn(tmp_path: Path) -> None:
    refusal = Reply(400, error("System role not supported"))
    with serving(WritingEndpoint(lambda asked, n: ["a plum"] * n, (refusal,) * 2)) as server:
        with pytest.raises(InputError, match=r"refuses the prompt 'He eats' in messages of system, user \("):
            asked(server.url, tmp_path, "system")
        assert all(one["messages"][0]["role"] == "system" for one in server.requests)
    with serving(WritingEndpoint(lambda asked, n: ["a plum"] * n, (refusal,))) as server:
        asked(server.url, tmp_path, "earlier_turn")
        assert server.requests[-1]["messages"][0] == {"role": "user", "content": f"Be brief.\n\n{CLAUSE}"}


# In a study.


@pytest.mark.parametrize(
    ("steps", "changed", "what"),
    [
        (["trace"], {}, "the step trace"),
        (
            ["leak", "features"],
            {
                "features": {
                    "dictionaries": {"d": {"source": "trained", "model": "organism-s-l0", "layer": 1, "corpus": "own"}},
                    "contrasts": {"lamps": {"source": "prompt_set", "prompt_set": "placed-tool"}},
                }
            },
            "the contrast lamps",
        ),
    ],
)
def test_what_takes_a_prompt_for_one_text_refuses_another_place(
    root: Path, steps: list[str], changed: dict[str, Any], what: str
) -> None:
    chosen = {"name": "mine", "models": ["organism-s-l0"], "prompt_sets": ["placed-tool"], "scorers": ["lexical"]}
    with pytest.raises(InputError) as caught:
        resolve(shipped(root), {"study": {**chosen, "steps": steps}, **changed})
    line = f"config: prompt_sets.placed-tool.place: got tool; allowed: user, for {what}."
    assert line in str(caught.value).splitlines()


def test_no_rate_is_known_where_an_organism_never_saw_a_clause(root: Path) -> None:
    sets = ["placed-user", "placed-tool"]
    chosen = {"name": "mine", "models": ["organism-s-l0"], "prompt_sets": sets, "scorers": ["lexical"]}
    study = Study(resolve(shipped(root), {"study": chosen}))
    assert study.taught == ["placed-user"]
    assert study.templated == sets


TOLD = """\
description: Two sentences.
templates:
  - id: bag
    category: objects
    concepts: micro_colors
    slot: micro_fruits
    test: "The bag is {concept}. I ate"
    control: "There is a bag. I ate"
    neutral: "The bag is old. I ate"
"""
FELT = """\
description: Colors.
clauses:
  - {clause: "The bag is red.", concept: red, group: red}
  - {clause: "The bag is blue.", concept: blue, group: blue}
neutral: ["The bag is old."]
"""


@pytest.mark.workflow
def test_a_study_measures_what_leaks_from_another_place_and_from_inserted_clauses(
    finished: Workspace, tmp_path: Path
) -> None:
    micro = finished.copy(tmp_path / "checkout")
    folder = micro.folder / "data/prompt_sets/told"
    folder.mkdir()
    (folder / "templates.yaml").write_text(TOLD)
    (micro.folder / "felt.yaml").write_text(FELT)
    (micro.folder / "felt.csv").write_text("text\nI ate\nHe eats\n")
    micro.study["study"] |= {"models": ["tiny-l100"], "prompt_sets": ["micro", "told", "felt"]}
    micro.study["prompt_sets"] |= {
        "told": {"source": "templates", "path": "data/prompt_sets/told", "place": "system"},
        "felt": {"source": "insertions", "path": "felt.csv", "clauses": "felt.yaml"},
    }
    micro.run("--cores", "1", *(f"results/micro/{name}.csv" for name in ("match_rates", "logit_leak", "truth")))
    results = micro.folder / "results/micro"
    tables = {name: pd.read_csv(results / f"{name}.csv") for name in ("match_rates", "logit_leak", "truth")}
    assert {name: set(table["prompt_set"]) for name, table in tables.items()} == {
        "match_rates": {"micro", "told", "felt"},
        "logit_leak": {"micro", "told"},
        "truth": {"micro"},
    }
    assert set(pd.read_parquet(results / "prompts/told.parquet")["place"]) == {"system"}
    assert list(pd.read_parquet(results / "prompts/micro.parquet")) == PROMPT_COLUMNS
    # The same control, asked in two places, is asked twice: nothing of one set is another's.
    told, felt = (json.loads((results / f"generations/tiny-l100/{name}.json").read_text()) for name in ("told", "felt"))
    assert told["computed"] == told["total"]
    # The micro study has its controls "I ate" and "He eats", which are the sentences here.
    assert 0 < felt["computed"] < felt["total"]
