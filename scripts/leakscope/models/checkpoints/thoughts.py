"""Detects from the chat template whether a model writes a chain of thought before its answer, and between which marks.

Such a model's first words are its thought, which must not be taken for the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from leakscope.errors import InputError

# What thoughts stand between: Qwen3, DeepSeek-R1 and most others; EXAONE; Seed; Magistral; Command A Reasoning.
MARKS = (
    ("<think>", "</think>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)
# Of the harmony format (gpt-oss): each message names its channel, and the first one is a thought.
CHANNEL, ANSWERING = "<|channel|>", "<|channel|>final<|message|>"
QUESTION, THOUGHT, ANSWER = "Which fruit?", "They ask for fruit.", "A pear."


class Marks(NamedTuple):
    """Begin and end mark of a thought, and the template's text between the end mark and the answer."""

    begin: str
    end: str
    lead: str = ""


class ThoughtPlan(NamedTuple):
    """Marks of thoughts, and the most tokens of a thought, end mark included."""

    marks: Marks
    budget: int


HARMONY = Marks("<|channel|>analysis<|message|>", "<|end|>", f"<|start|>assistant{ANSWERING}")

# Renders messages, up to where the model answers; None where the template refuses them.
Render = Callable[[Sequence[dict[str, str]]], str | None]


def mentions_thought(template: str) -> bool:
    """Return whether a template mentions thoughts, so that rendering it is useful."""
    return CHANNEL in template or any(mark in template for marks in MARKS for mark in marks)


def written_thought(template: str, render: Render) -> str | None:
    """Return the mark of the thought that a model writes before its answer; None if it writes none.

    It writes one if its prompt begins it, or speaks of it, or if thoughts are taken out of earlier answers, as those of
    Qwen3 and DeepSeek-R1 are. It writes none if its prompt ends one, as that of Qwen3 with `enable_thinking: false`.

    Args:
        template: of the chat.
        render: by that template, with the variables that are passed to it.
    """
    if not mentions_thought(template):
        return None
    asked = [{"role": "user", "content": QUESTION}]
    prompt = render(asked)
    if prompt is None:
        return None
    if CHANNEL in template:
        return None if prompt.endswith(ANSWERING) else CHANNEL
    for begin, end in MARKS:
        if prompt.rstrip().endswith(end):
            return None
        if begin in prompt:
            return begin
        answer = {"role": "assistant", "content": f"{begin}\n{THOUGHT}\n{end}\n\n{ANSWER}"}
        later = render([*asked, answer, *asked])
        if later is not None and ANSWER in later and THOUGHT not in later:
            return begin
    return None


def thought_marks(template: str, render: Render) -> Marks | None:
    """Return the marks of the thought that a model writes before its answer; None if it writes none.

    Args:
        template: of the chat.
        render: by that template, with the variables that are passed to it.
    """
    mark = written_thought(template, render)
    if mark is None:
        return None
    return HARMONY if mark == CHANNEL else with_lead(Marks(mark, dict(MARKS)[mark]), render)


def with_lead(marks: Marks, render: Render) -> Marks:
    """Return marks with the white space that a template puts behind a thought, as far as an earlier answer shows it."""
    if marks[:2] == HARMONY[:2]:
        return HARMONY
    answer = {"role": "assistant", "content": f"{marks.begin}{THOUGHT}{marks.end}{ANSWER}"}
    rendered = render([{"role": "user", "content": QUESTION}, answer]) or ""
    behind = rendered.rpartition(marks.end)[2] if THOUGHT in rendered else ""
    lead, found, _ = behind.partition(ANSWER)
    return marks._replace(lead=lead) if found and lead.isspace() else marks


def refuse_thought(where: str, template: str, mark: str) -> InputError:
    """Return the error for a model that writes a thought before its answer."""
    switch = "enable_thinking" if "enable_thinking" in template else "thinking" if " thinking" in template else ""
    closed = f"`chat_template_kwargs: {{{switch}: false}}` if that turns the thought off, " if switch else ""
    return InputError(
        f"{where}: got a chat template of a model that writes a chain of thought ({mark}) before its answer; "
        f"allowed: `thinking: {{}}` in the step leak, {closed}a model that answers at once, or `chat: false`."
    )


def no_marks(where: str) -> InputError:
    """Return the error for a model with ``thinking`` whose template shows no marks of thoughts."""
    return InputError(
        f"{where}: thinking: got no `begin` and `end`, and no chat template that begins a thought; allowed: both "
        "keys, or `thinking: null`."
    )
