"""Renders a prompt as the exact text that a model reads, and encodes that text as token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from transformers import PreTrainedTokenizerBase

from leakscope.errors import InputError
from leakscope.files.reading import in_one_line
from leakscope.models.checkpoints.thoughts import (
    Marks,
    mentions_thought,
    no_marks,
    refuse_thought,
    thought_marks,
    with_lead,
    written_thought,
)
from leakscope.models.prompts.placing import (
    SYSTEM,
    USER,
    Placed,
    as_templates_want,
    conversation,
    is_read,
    message,
    plain_text,
)
from leakscope.web.conversations import Message, without_system

PROBE = "leakscope"
# Without a chat an answer goes on with a new word.
PLAIN_LEAD = " "
LINE_BREAK = "\n"
# What Llama 3's own template falls back to where it cannot know the date.
DATE = "26 Jul 2024"


def render_prompt(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str | Placed,
    *,
    template: str,
    system: str | None,
    chat: bool,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    thinks: bool = False,
) -> str:
    """Return the text whose continuation is the generation.

    ``prompt`` is the user's turn, but for a clause that stands elsewhere (see ``placing``). ``template`` is that turn
    with ``{prompt}`` in it; other braces are literal. With ``chat`` the model's own chat template wraps it, generation
    prompt included; a template that refuses or drops a system message gets it at the beginning of the user's first
    turn, unless the clause stands there. Without ``chat``, system message and user turn are joined by a line break. A
    model that ``thinks`` may write a chain of thought first.

    Raises:
        InputError: ``chat`` is on and the tokenizer has no chat template, one that raises, that of a model that writes
            a chain of thought first (see ``checkpoints.thoughts``) and is not said to, or one without the place of the
            clause.
    """
    placed = Placed(prompt) if isinstance(prompt, str) else prompt
    if not chat:
        return plain_text(placed, template, system)
    if not tokenizer.chat_template:
        raise InputError(
            f"models: {tokenizer.name_or_path}: the tokenizer has no chat template; set `chat: false` for this model."
        )
    options = dict(chat_template_kwargs or {})
    if not thinks:
        _check_answers_at_once(tokenizer, options)
    messages = conversation(placed, template, system)
    if placed.place != USER:
        return _with_clause(tokenizer, messages, options, placed)
    if system:
        with_role = _apply(tokenizer, messages, options)
        if with_role is not None and system in with_role:
            return with_role
        messages = without_system(messages)
    with in_one_line(
        f"models: {tokenizer.name_or_path}",
        "a chat template that takes a single user message",
        "one that refuses a single user message",
    ):
        return _rendered(tokenizer, messages, options)


def marks_of(
    tokenizer: PreTrainedTokenizerBase,
    thinking: Mapping[str, Any],
    *,
    chat: bool,
    chat_template_kwargs: Mapping[str, Any],
) -> Marks:
    """Return what a model's thoughts stand between: as ``thinking`` says, or as its chat template does.

    Args:
        tokenizer: the model's.
        thinking: ``begin`` and ``end``, both None: as the template says.
        chat: whether prompts go through it.
        chat_template_kwargs: passed to it.

    Raises:
        InputError: neither says it.
    """
    template = str(tokenizer.chat_template or "") if chat else ""

    def render(messages: Sequence[dict[str, str]]) -> str | None:
        answering = messages[-1]["role"] == "user"
        return _apply(tokenizer, list(messages), dict(chat_template_kwargs), answering=answering)

    if thinking["begin"] is not None:
        said = Marks(thinking["begin"], thinking["end"])
        return with_lead(said, render) if template else said
    marks = thought_marks(template, render)
    if marks is None:
        raise no_marks(f"models: {tokenizer.name_or_path}")
    return marks


def begun(rendered: str, marks: Marks) -> str:
    """Return a rendered prompt that ends with the begin mark of a thought, which many templates write themselves."""
    return rendered if rendered.rstrip().endswith(marks.begin.rstrip()) else rendered + marks.begin


def encode_rendered(tokenizer: PreTrainedTokenizerBase, rendered: str, *, chat: bool) -> list[int]:
    """Return the token ids of a rendered prompt.

    A chat template writes its special tokens itself, so the tokenizer must not add a second set. Of what a tokenizer
    adds to plain text, only the beginning is taken: behind an end of text, a model would write another one.
    """
    if chat:
        ids: list[int] = tokenizer(rendered, add_special_tokens=False)["input_ids"]
        return ids
    ids, added = _with_added(tokenizer, rendered)
    if all(added):  # where a text without a token would be, its own mask does not tell
        added = _with_added(tokenizer, PROBE)[1]
    return ids[: len(ids) - sum(1 for _ in takewhile(bool, reversed(added)))]


def encode_behind(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the token ids of a text that continues another; its special tokens are encoded as such."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def answer_lead(
    tokenizer: PreTrainedTokenizerBase,
    *,
    chat: bool,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    spaced: bool = True,
) -> str:
    """Return the white space between a rendered prompt and an answer: what the chat template writes there itself.

    Without ``chat`` it is ``PLAIN_LEAD``, in languages that are ``spaced``.
    """
    if not chat:
        return PLAIN_LEAD if spaced else ""
    options = dict(chat_template_kwargs or {})
    before = _apply(tokenizer, [message("user", PROBE)], options)
    after = _apply(tokenizer, [message("user", PROBE), message("assistant", PROBE)], options, answering=False)
    if before is None or after is None or not after.startswith(before):
        return ""
    lead = after[len(before) :].partition(PROBE)[0]
    # Some templates put more there, an empty chain of thought for instance, that a model writes itself.
    return lead if lead.isspace() else ""


def encode_continuations(
    tokenizer: PreTrainedTokenizerBase,
    rendered: str,
    ids: list[int],
    continuations: Sequence[str],
    *,
    lead: str,
    chat: bool,
    spaced: bool = True,
) -> list[list[int]]:
    """Return the token ids that each continuation adds to a rendered prompt.

    Args:
        tokenizer: the model's.
        rendered: from ``render_prompt``.
        ids: its tokens, from ``encode_rendered``.
        continuations: answers.
        lead: the white space before them, from ``answer_lead``.
        chat: as for ``encode_rendered``.
        spaced: whether a space separates words. Where none does, a tokenizer may join the last letter of the prompt and
            the first of a continuation; a model that was given the prompt's tokens cannot, and the continuation is
            encoded as what follows a line break.

    Raises:
        InputError: the tokenizer merges the beginning of a continuation into the prompt's last token.
    """
    added = []
    for continuation in continuations:
        whole = encode_rendered(tokenizer, followed(rendered, continuation, lead), chat=chat)
        if whole[: len(ids)] != ids and not spaced:
            whole = ids + _encoded_apart(tokenizer, continuation)
        if whole[: len(ids)] != ids:
            raise InputError(
                f"candidate {continuation!r}: its first token merges with the prompt's last; "
                "end `generation.template` with a space or a line break."
            )
        added.append(whole[len(ids) :])
    return added


def followed(rendered: str, continuation: str, lead: str = PLAIN_LEAD) -> str:
    """Return a rendered prompt with its continuation, joined by ``lead`` unless the prompt ends with a space."""
    return f"{rendered}{'' if rendered[-1:].isspace() else lead}{continuation}"


def _encoded_apart(tokenizer: PreTrainedTokenizerBase, continuation: str) -> list[int]:
    """Return the ids of a text as it would follow a line break, which no tokenizer joins with letters.

    Raises:
        InputError: this tokenizer does.
    """
    before, both = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (LINE_BREAK, LINE_BREAK + continuation)
    )
    if both[: len(before)] != before:
        raise InputError(
            f"candidate {continuation!r}: got a first token that {tokenizer.name_or_path} merges even with a line "
            "break before it; allowed: another candidate, or a model with another tokenizer."
        )
    ids: list[int] = both[len(before) :]
    return ids


def _with_added(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[int]]:
    """Return the ids of a text with what its tokenizer adds, and 1 for each that it added, else 0."""
    read = tokenizer(text, return_special_tokens_mask=True)
    return read["input_ids"], read["special_tokens_mask"]


def _check_answers_at_once(tokenizer: PreTrainedTokenizerBase, options: Mapping[str, Any]) -> None:
    """Check that a chat model writes no chain of thought before its answer, which would be taken for its text."""
    template = str(tokenizer.chat_template)  # several of them are a dict
    if mentions_thought(template):
        mark = written_thought(template, lambda messages: _apply(tokenizer, list(messages), options))
        if mark is not None:
            raise refuse_thought(f"models: {tokenizer.name_or_path}", template, mark)


def _with_clause(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], options: Mapping[str, Any], placed: Placed
) -> str:
    """Return the rendered messages of a prompt whose clause stands elsewhere than in the user's turn.

    A template without a system role gets its message in the user's first turn, unless it holds the clause: that would
    be another place. Of a call's arguments, some templates want JSON, and most an object.
    """
    said = [messages] if placed.place == SYSTEM else [messages, without_system(messages)]
    everything = [placed.clause, placed.rest, *(each["content"] for each in messages if each["role"] == "system")]
    for variant in (form(each) for each in said for form in (as_templates_want, list)):
        rendered = _apply(tokenizer, variant, options)
        if rendered is not None and all(is_read(text, rendered) for text in everything):
            return rendered
    raise InputError(
        f"models: {tokenizer.name_or_path}: got a chat template that refuses or drops a clause whose place is "
        f"{placed.place} ({', '.join(each['role'] for each in messages)}); allowed: a template with these roles, a "
        "prompt set of another place, or `chat: false`."
    )


def _apply(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message],
    options: Mapping[str, Any],
    *,
    answering: bool = True,
) -> str | None:
    """Render the messages, or return None where the template raises (Gemma's does on a system role).

    It is code of others, and raises whatever it happens to: of a division by zero, or another template to include.
    """
    try:
        return _rendered(tokenizer, messages, options, answering=answering)
    except Exception:
        return None


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message],
    options: Mapping[str, Any],
    *,
    answering: bool = True,
) -> str:
    # Templates that write today's date take this variable instead, where it is set: a text must not depend on the day.
    options = {"date_string": DATE, **options}
    rendered: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answering, **options)
    return rendered
