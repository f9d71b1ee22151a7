"""Prompting a model with a task: the forms and styles, and the rendered texts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.placing import PLACEHOLDER
from leakscope.models.prompts.prompting import Prompting
from leakscope.models.prompts.rendering import render_prompt
from leakscope.validate.tasks.form_names import PairedForm, paired_forms
from leakscope.validate.tasks.forms import PromptForms, read_forms, render_prompts

logger = logging.getLogger(__name__)


class Asking(NamedTuple):
    """Settings for prompting a model with a task.

    forms: prompt forms of the task.
    styles: ids of the styles to use, at least one.
    seed: of the choice of shots.
    prompting: ``chat_template_kwargs``, ``store`` and the setting ``batch_size``; the style determines whether a prompt
        goes through the chat template.
    """

    forms: PromptForms
    styles: list[str]
    seed: int
    prompting: Prompting

    @property
    def main(self) -> PairedForm:
        """The task's main form: the first style, with the first generator and the first validator."""
        return paired_forms(self.forms, self.styles)[0]

    @property
    def main_prompting(self) -> Prompting:
        """The same prompting, in the main form's style."""
        (style,) = (style for style in self.forms.styles if style.id == self.main.style)
        return self.prompting._replace(chat=style.chat)


def read_asking(
    path: Path,
    styles: Sequence[str] | None,
    name: str,
    *,
    chat: Mapping[str, Any],
    seed: int,
    batch_size: int,
    store: Path | None,
) -> Asking:
    """Return the settings for prompting a model with a task; chat styles are dropped for models without chat template.

    Args:
        path: the file of prompt forms.
        styles: ids of the styles to use, in this order; None: all, in the file's order.
        name: the model's name in the study.
        chat: whether the model has a chat template (``chat``), and the template's arguments (``chat_template_kwargs``).
        seed: of the choice of shots.
        batch_size: prompts per batch.
        store: the folder of all stores; None stores nothing.

    Raises:
        InputError: the file is invalid, a style is unknown, or no style can be used with the model.
    """
    forms = read_forms(path)
    known = {style.id: style for style in forms.styles}
    for style in styles or ():
        if style not in known:
            raise one_of(f"{path}: style", style, known)
    wanted = [known[style] for style in (known if styles is None else styles)]
    usable = [style.id for style in wanted if chat["chat"] or not style.chat]
    left_out = [style.id for style in wanted if style.id not in usable]
    if left_out:
        logger.info("%s has no chat template: skips the styles %s", name, ", ".join(left_out))
    if not usable:
        raise InputError(
            f"{path}: model {name}, with `chat: false`: got only styles for chats ({', '.join(left_out) or 'none'}); "
            "allowed: at least one style with `chat: false`."
        )
    prompting = Prompting({"batch_size": batch_size}, **chat, store=store)
    return Asking(forms, usable, seed, prompting)


def all_prompts(items: pd.DataFrame, asking: Asking) -> pd.DataFrame:
    """Return ``forms.PROMPT_COLUMNS``: every item in every form and style."""
    return render_prompts(items, asking.forms, asking.seed, styles=asking.styles)


def main_prompts(items: pd.DataFrame, kind: str, asking: Asking, pool: pd.DataFrame | None = None) -> list[str]:
    """Return the prompt of every item in the main form.

    Args:
        items: the items.
        kind: ``generator`` or ``validator``.
        asking: forms, styles and seed.
        pool: items from which shots are drawn; None: ``items``.
    """
    main = asking.main
    name = {"generator": main.generator_id, "validator": main.validator_id}[kind]
    forms = tuple(form for form in asking.forms.forms if (form.kind, form.id) == (kind, name))
    chosen = PromptForms(forms, asking.forms.styles)
    return list(render_prompts(items, chosen, asking.seed, pool, [main.style])["prompt"])


def as_read(model: LanguageModel, prompts: Iterable[str], prompting: Prompting) -> list[str]:
    """Return every prompt as the model reads it, in its chat template if ``prompting.chat``."""
    kwargs = prompting.chat_template_kwargs
    rendered: dict[str, str] = {}
    texts = list(prompts)
    for text in dict.fromkeys(texts):
        rendered[text] = render_prompt(
            model.tokenizer, text, template=PLACEHOLDER, system=None, chat=prompting.chat, chat_template_kwargs=kwargs
        )
    return [rendered[text] for text in texts]


def joint_summary(*summaries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summed counts of several summaries (see ``store.Recalled.summary``), and all their stores."""
    counts = {key: sum(summary[key] for summary in summaries) for key in ("total", "computed", "reused")}
    return {**counts, "store": sorted({summary["store"] for summary in summaries} - {None})}
