"""Thoughts that a server sends: told apart from answers, stored with them, counted where they have not ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers import SETTINGS, micro_prompts
from leakscope.leak.served_texts import write_texts
from leakscope.models.checkpoints.thoughts import HARMONY, MARKS
from leakscope.web.asking import LanguageServer
from leakscope.web.reasoning import told_apart
from leakscope.web.spending import Budget
from leakscope.web.writing import KIND, PATHS, REVISION, Manner, Writer
from local_endpoint import WritingEndpoint, serving

KNOWN = [*MARKS, (HARMONY.begin, HARMONY.end + HARMONY.lead)]
IN_HARMONY = f"{HARMONY.begin}Hm.{HARMONY.end}{HARMONY.lead}Red."


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.mark.parametrize(
    ("content", "reasoning", "at_length", "told"),
    [
        ("Red.", "\nHm.\n", False, ("Hm.", "Red.", True)),
        ("Red.", "Hm.", True, ("Hm.", "Red.", True)),  # the answer is cut, its thought is whole
        ("", "Hm.", True, ("Hm.", "", False)),
        (" ", "Hm.", False, ("Hm.", "", False)),  # an end of text within the thought
        ("<think>\nHm.\n</think>\n\nRed.", "", False, ("Hm.", "Red.", True)),
        ("[THINK]Hm.[/THINK]Red.", "", False, ("Hm.", "Red.", True)),
        ("Hm.\n</think>\n\nRed.", "", True, ("Hm.", "Red.", True)),  # begun by the server's template
        ("<think></think> Red.", "", False, ("", "Red.", True)),
        ("<think>Hm.</think>", "", False, ("Hm.", "", True)),  # it ended, and said nothing
        ("<think>Hm.</think>No </think> mark", "", False, ("Hm.", "No </think> mark", True)),
        (IN_HARMONY, "", False, ("Hm.", "Red.", True)),
        ("<think>Hm, and", "", True, ("Hm, and", "", False)),
        ("<think>Hm, and", "", False, ("Hm, and", "", False)),
        ("Hm, and so on", "", True, ("Hm, and so on", "", False)),
        ("Red.", "", False, ("", "Red.", True)),  # no thought at all
        ("It is a <think> tag.", "", False, ("", "It is a <think> tag.", True)),
        ("", "", False, ("", "", True)),
    ],
)
def test_thoughts_are_told_apart_in_every_form(
    content: str, reasoning: str, at_length: bool, told: tuple[str, str, bool]
) -> None:
    assert tuple(told_apart(content, reasoning, KNOWN, at_length)) == told


def test_marks_of_ones_own_are_the_only_ones() -> None:
    assert tuple(told_apart("(Hm) <think>Red.</think>", "", [("(", ")")], False)) == (
        *("Hm", "<think>Red.</think>", True),
    )


def choice(text: str | None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}


def thinking(asked: dict[str, Any], n: int) -> list[Any]:
    """Answer in each form: by color of the prompt."""
    said = asked["messages"][-1]["content"]
    if "red" in said:
        return [choice("A cherry. It is.", reasoning_content="They say red. So.")] * n
    if "green" in said:
        return [choice("A lime.", reasoning="Green, then.")] * n
    if "blue" in said:
        return [choice("<think>Blue? Hm.</think>A plum.")] * (n - 1) + [choice("<think>Blue, and", "length")]
    return [choice("Fruit.")] * (n - 1) + [choice(None, "length", reasoning="So")]


def writer_of(url: str, store: Path, *, thinks: Any, max_tokens: int = 50) -> Writer:
    manner = Manner("chat", 0.5, None, max_tokens, 0, {}, thinks)
    return Writer(LanguageServer(url, PATHS["chat"], "tiny"), manner, Budget(None, None, "mine"), store)


def texts_of(writer: Writer, **settings: Any) -> Any:
    asked = {"micro": {**SETTINGS, "samples": 2, **settings}}
    return write_texts(writer, {"micro": micro_prompts()}, "mine", asked)["micro"]


def test_a_servers_thoughts_are_stored_and_measured_as_one_wants(tmp_path: Path) -> None:
    with serving(WritingEndpoint(thinking)) as server:
        answers = texts_of(writer_of(server.url, tmp_path, thinks=KNOWN), measure="answer")
        assert {asked["max_tokens"] for asked in server.requests} == {50}
        n_asked = len(server.requests)
        both = texts_of(writer_of(server.url, tmp_path, thinks=KNOWN), measure="both")
        thoughts = texts_of(writer_of(server.url, tmp_path, thinks=KNOWN), measure="thought")
        assert len(server.requests) == n_asked
    assert (both.summary["computed"], thoughts.summary["computed"]) == (0, 0)
    # Two templates of three colors and a control, two samples: one of four of `blue` and of controls has not ended.
    assert answers.summary["statuses"] == {"unfinished": 4, "written": 12}
    assert answers.summary["unfinished"] == 4
    assert list(answers.table) == ["model", "prompt_set", "prompt_id", "sample", "text", "thought", "finished"]

    def of(table: pd.DataFrame, prompt: str, column: str = "text") -> list[Any]:
        return table.loc[table["prompt_id"] == f"bag/{prompt}", column].tolist()

    # Answers are cut as those of other models are, thoughts are not.
    assert of(answers.table, "red") == ["A cherry."] * 2
    assert of(thoughts.table, "red") == ["They say red. So."] * 2
    assert of(both.table, "green") == ["Green, then.\nA lime."] * 2
    for table in (answers.table, thoughts.table, both.table):
        assert of(table, "blue")[1] == of(table, "without")[1] == ""
        assert of(table, "blue", "finished") == of(table, "without", "finished") == [True, False]
        assert of(table, "blue", "thought") == ["Blue? Hm.", "Blue, and"]
    assert of(thoughts.table, "without") == ["", ""]  # the first has no thought at all


def test_models_that_answer_at_once_are_asked_stored_and_read_as_before(tmp_path: Path) -> None:
    with serving(WritingEndpoint(thinking)) as server:
        writer = writer_of(server.url, tmp_path, thinks=None)
        found = texts_of(writer)
        assert writer._store is not None
        assert writer._store.fingerprint == {
            **{"kind": KIND, "revision": REVISION, "url": f"{server.url}/v1/chat/completions", "model": "tiny"},
            **{"api": "chat", "temperature": 0.5, "top_p": None, "max_tokens": 50, "seed": 0, "extra_body": {}},
        }
    assert list(found.table) == ["model", "prompt_set", "prompt_id", "sample", "text"]
    assert "unfinished" not in found.summary
    assert set(found.table["text"]) >= {"A cherry.", "<think>Blue?", ""}
