"""Judge prompts: the file with their wording, and the parser of answers; light, as planning imports this module."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Annotated

from pydantic import AfterValidator, Field

from leakscope.errors import InputError
from leakscope.leak.rating.vocabulary import UNPARSABLE
from leakscope.typed.reading import read_typed
from leakscope.typed.texts import Filled, Trimmed
from leakscope.typed.values import Positive, Section, Several, mistake
from leakscope.typed.wording import show

# Placeholders of each question: `match` shows two concepts, `leak` shows one.
PLACEHOLDERS = {
    "match": ("first_concept", "second_concept", "first_text", "second_text"),
    "leak": ("concept", "first_text", "second_text"),
}
# Allowed around an answer: white space, marks, brackets, and the stars of Markdown.
_AROUND = re.compile(r"^[\s\W_]+|[\s\W_]+$")


class Answers(Section):
    """Wordings of each answer; letter case, and marks around an answer, do not matter."""

    first: Several[Trimmed]
    """The text that is shown first. The first wording is what a model that runs here is asked the probability of."""
    second: Several[Trimmed]
    """The text that is shown second; likewise."""
    cannot_tell: Several[Trimmed]
    """Neither; likewise."""


def _distinct(answers: Answers) -> Answers:
    seen: dict[str, str] = {}
    for answer, wordings in answers:
        for place, wording in enumerate(wordings):
            if seen.setdefault(_plain(wording), answer) != answer:
                allowed = "allowed: wordings that differ in more than case and punctuation."
                raise mistake(f"{answer}.{place}", f"got {show(wording)} again", allowed)
    return answers


class JudgePrompts(Section):
    """data/judges/<question>.yaml: how a judge is asked."""

    description: Trimmed
    """What is asked, for people."""
    version: Positive
    """Raised by one when the wording changes: answers are stored under it."""
    system: Trimmed
    """System message: how the judge is to behave."""
    template: Filled
    """User turn. A question of the kind `match` has `{first_concept}`, `{second_concept}`, `{first_text}` and
    `{second_text}`; one of the kind `leak` has `{concept}`, `{first_text}` and `{second_text}`."""
    answers: Annotated[Answers, AfterValidator(_distinct), Field(title="wordings of each answer")]
    """What may be answered; anything else is counted as unparsable."""


def read_judge_prompts(path: Path, question: str) -> JudgePrompts:
    """Return the judge prompts of a file.

    Raises:
        InputError: as ``read_typed``; or the template's placeholders are not those of the question.
    """
    prompts, needed = read_typed(path, JudgePrompts), PLACEHOLDERS[question]
    found = {name for _, name, _, _ in Formatter().parse(prompts.template) if name is not None}
    if found != set(needed):
        braced = [", ".join(f"{{{name}}}" for name in names) for names in (sorted(found), needed)]
        raise InputError(f"{path}: template: got {braced[0]}; allowed for the question {question}: {braced[1]}.")
    return prompts


def read_answer(text: str, answers: Answers) -> str:
    """Return the answer in a text: ``first``, ``second``, ``cannot_tell``, or else ``unparsable``.

    The parser is strict: the whole text, or its first line, must be one of the wordings.
    """
    known = {_plain(wording): answer for answer, wordings in answers for wording in wordings}
    lines = text.strip().splitlines()
    return known.get(_plain(text), known.get(_plain(lines[0]), UNPARSABLE) if lines else UNPARSABLE)


def first_wordings(answers: Answers) -> dict[str, str]:
    """Return answer → its first wording."""
    return {answer: wordings[0] for answer, wordings in answers}


def _plain(text: str) -> str:
    return " ".join(_AROUND.sub("", text.casefold().replace("*", "")).split())
