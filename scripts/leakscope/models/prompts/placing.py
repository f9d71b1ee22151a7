"""Places of a prompt's clause: in the user's turn with the rest, or elsewhere in the model's input.

A prompt is split into the clause (all but the last sentence) and the rest, which the model continues. The rest is
always in the user's turn; the clause is in

    system        the end of the system message
    tool          what a tool returned that the model had called for the user's question
    earlier_turn  an earlier turn of the user's, which the model took note of
    few_shot      an example of the task, with its answer

The words round a clause are in data/languages/<language of the clause>.yaml, ``places``, the same for all models:
changed, all texts of the place are others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from leakscope.errors import InputError
from leakscope.languages.closing_marks import is_spaced
from leakscope.languages.language_files import FOLDER, known_of
from leakscope.languages.of_prompts import DEFAULT, languages_of
from leakscope.web.conversations import Message

# The configuration imports this module, and every job of Snakemake with it.
if TYPE_CHECKING:
    import pandas as pd

    from leakscope.languages.language_file import PlaceWords

Place = Literal["user", "system", "tool", "earlier_turn", "few_shot"]

USER: Place = "user"
SYSTEM: Place = "system"
PLACEHOLDER, CLAUSE = "{prompt}", "{clause}"
WORDLESS: tuple[Place, ...] = (USER, SYSTEM)  # places where a clause is put without a word of ours

TOOL_NAME, CALL_ID = "look_up", "lookup001"  # Mistral's templates take ids of nine letters and digits alone


class Placed(NamedTuple):
    """A prompt and the place of its clause.

    prompt: the whole text, ``clause`` first.
    clause: what stands in ``place``; empty where all of the prompt is the user's turn.
    language: of the clause, and so of the words round it.
    """

    prompt: str
    clause: str = ""
    place: Place = USER
    language: str = DEFAULT

    @property
    def rest(self) -> str:
        """What the user's turn holds."""
        return self.prompt[len(self.clause) :].lstrip() if self.clause else self.prompt

    @property
    def words(self) -> PlaceWords:
        """The words round the clause."""
        return place_words(self.language, f"prompt {self.prompt[:60]!r}", self.place)

    @property
    def example(self) -> str:
        """The clause in an example of the task, up to the example's answer."""
        return self.words.example.replace(CLAUSE, self.clause)


def place_words(language: str, where: str, place: Place) -> PlaceWords:
    """Return the words that a language has round clauses in other places.

    Raises:
        InputError: its file has none; ``where`` and ``place`` are what the error names.
    """
    words = known_of(language).places
    if words is None:
        raise InputError(
            f"{where}: got the place {place} for clauses in {language!r}; allowed: {' or '.join(WORDLESS)}, or a "
            f"language whose file in {FOLDER} has `places`, the words around a clause."
        )
    return words


def placed_prompts(prompts: pd.DataFrame) -> list[Placed]:
    """Return the prompts of a table in its order; without the columns ``clause, place`` all are the user's turn."""
    if "place" not in prompts:
        return [Placed(text) for text in prompts["prompt"]]
    columns, language = (prompts[name] for name in ("prompt", "clause", "place")), languages_of(prompts).concepts
    return [Placed(prompt, clause, place, language) for prompt, clause, place in zip(*columns, strict=True)]


def conversation(placed: Placed, template: str, system: str | None) -> list[Message]:
    """Return the messages that a chat model answers.

    Args:
        placed: the prompt.
        template: the user's turn with ``{prompt}`` in it; other braces are literal.
        system: the system message; None or empty: there is none but the clause, if that is its place.
    """
    clause, question = placed.clause, message("user", template.replace(PLACEHOLDER, placed.rest))
    if placed.place == SYSTEM:
        system = f"{system}\n{clause}" if system else clause
    first = [message("system", system)] if system else []
    match placed.place:
        case "tool":
            turns = [question, _call(), {**message("tool", clause), "tool_call_id": CALL_ID}]
        case "earlier_turn":
            turns = [message("user", clause), message("assistant", placed.words.noted), question]
        case "few_shot":
            example = message("user", template.replace(PLACEHOLDER, placed.example))
            turns = [example, message("assistant", placed.words.answer), question]
        case _:
            turns = [question]
    return [*first, *turns]


def plain_text(placed: Placed, template: str, system: str | None) -> str:
    """Return the text that a model without a chat goes on with; arguments as of ``conversation``."""
    clause, question = placed.clause, template.replace(PLACEHOLDER, placed.rest)
    match placed.place:
        case "system":
            question = f"{clause}\n\n{question}"
        case "tool":
            question = f"{placed.words.found.replace(CLAUSE, clause)}\n\n{question}"
        case "earlier_turn":
            question = f"{clause}\n{placed.words.noted}\n\n{question}"
        case "few_shot":
            gap = " " if is_spaced(placed.language) else ""
            question = f"{template.replace(PLACEHOLDER, placed.example)}{gap}{placed.words.answer}\n\n{question}"
    return f"{system}\n{question}" if system else question


def as_templates_want(messages: Sequence[Message]) -> list[Message]:
    """Return messages in the form of chat templates: a call's arguments are an object, a tool's result has its name.

    In the protocol of servers arguments are JSON, which some templates expect, too.
    """
    return [_as_template_wants(each) for each in messages]


def is_read(text: str, rendered: str) -> bool:
    """Return whether a rendered prompt contains a text, verbatim or as JSON, as some templates show tool results."""
    text = text.strip()
    return text in rendered or json.dumps(text, ensure_ascii=False)[1:-1] in rendered


def message(role: str, content: str) -> Message:
    """Return one message of a chat."""
    return {"role": role, "content": content}


def _call() -> Message:
    """Return the turn in which the model calls the tool."""
    function = {"name": TOOL_NAME, "arguments": "{}"}
    return {**message("assistant", ""), "tool_calls": [{"id": CALL_ID, "type": "function", "function": function}]}


def _as_template_wants(each: Message) -> Message:
    if "tool_calls" in each:
        calls = [{**call, "function": {"name": TOOL_NAME, "arguments": {}}} for call in each["tool_calls"]]
        return {**each, "tool_calls": calls}
    return {**each, "name": TOOL_NAME} if each["role"] == "tool" else each
