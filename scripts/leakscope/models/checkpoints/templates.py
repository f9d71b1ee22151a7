"""Checks of a folder's chat template, rendered without transformers, before any job is planned."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from leakscope.files.reading import read_utf8
from leakscope.models.checkpoints.files import special_tokens, tokenizer_settings
from leakscope.models.checkpoints.thoughts import (
    mentions_thought,
    no_marks,
    refuse_thought,
    thought_marks,
    written_thought,
)

TEMPLATE = "chat_template.jinja"
# A mark of transformers' own, for training, which is written nowhere.
GENERATION_MARK = re.compile(r"{%-?\s*(end)?generation\s*-?%}")


def check_answers_at_once(where: str, folder: Path, options: Mapping[str, Any]) -> None:
    """Check that a chat model writes no chain of thought before its answer (see ``checkpoints.thoughts``).

    A template that cannot be rendered without transformers is left to the model's jobs.

    Args:
        where: for the error.
        folder: of the model.
        options: variables of its chat template.

    Raises:
        InputError: it writes one.
    """
    settings = tokenizer_settings(folder)
    template = _chat_template(folder, settings)
    if not mentions_thought(template):
        return
    mark = written_thought(template, partial(_rendered, template, {**special_tokens(settings), **options}))
    if mark is not None:
        raise refuse_thought(where, template, mark)


def check_thinks(where: str, folder: Path, options: Mapping[str, Any]) -> None:
    """Check that a chat model's template shows the marks of its thoughts; a template that cannot be rendered passes.

    Args:
        where: for the error.
        folder: of the model.
        options: variables of its chat template.

    Raises:
        InputError: it does not.
    """
    settings = tokenizer_settings(folder)
    template = _chat_template(folder, settings)
    render = partial(_rendered, template, {**special_tokens(settings), **options})
    is_rendered = render([{"role": "user", "content": "?"}]) is not None
    if is_rendered and thought_marks(template, render) is None:
        raise no_marks(where)


def _chat_template(folder: Path, settings: Mapping[str, Any]) -> str:
    """Return a tokenizer's chat template, of several the one that chats are rendered by; empty where there is none."""
    if (folder / TEMPLATE).is_file():
        return read_utf8(folder / TEMPLATE)
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = [one for one in template if isinstance(one, dict) and one.get("name") == "default"]
        template = named[-1].get("template") if named else None
    return template if isinstance(template, str) else ""


def _rendered(template: str, options: Mapping[str, Any], messages: Sequence[dict[str, str]]) -> str | None:
    """Render messages as transformers does, up to where the model answers; None where the template raises."""
    # Imported here: few templates are looked at.
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals.update(raise_exception=_refuse, strftime_now=lambda _: "")
    try:
        parsed = environment.from_string(GENERATION_MARK.sub("", template))
        return parsed.render(messages=messages, add_generation_prompt=True, **options)
    except Exception:  # as ``rendering`` has it: it is code of others
        return None


def _refuse(message: str) -> None:
    raise ValueError(message)
