"""How a task is put to a model: which of its forms in which styles, and the text that the model then reads."""

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
    """How a task is put to a model.

    forms: of the task.
    styles: ids of those that the model is asked in, at least one.
    seed: of the choice of examples.
    prompting: ``chat_template_kwargs``, ``store`` and the setting ``batch_size``; whether a prompt goes through the
        chat template, its style says.
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
    """Return how the task of a file of forms is put to a model; styles that are chat need one with a chat template.

    Args:
        path: of the forms.
        styles: ids of those that the task is put in, in this order; None: all, in the file's.
        name: the model's name in the study.
        chat: whether the model has a chat template (``chat``), and what is passed to it (``chat_template_kwargs``).
        seed: of the choice of examples.
        batch_size: prompts to a batch.
        store: the folder of all stores; None keeps nothing.

    Raises:
        InputError: the file holds no forms, or no such style; none of the styles is left for the model.
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
        logger.info("%s has no chat template: left out are the styles %s", name, ", ".join(left_out))
    if not usable:
        raise InputError(
            f"{path}: model {name}: got the styles {', '.join(left_out) or 'none'}, of which none is left for a model "
            "of `chat: false`; allowed: at least one style of `chat: false`."
        )
    prompting = Prompting({"batch_size": batch_size}, **chat, store=store)
    return Asking(forms, usable, seed, prompting)


def all_prompts(items: pd.DataFrame, asking: Asking) -> pd.DataFrame:
    """Return ``forms.PROMPT_COLUMNS``: every item in every form and style."""
    return render_prompts(items, asking.forms, asking.seed, styles=asking.styles)


def main_prompts(items: pd.DataFrame, kind: str, asking: Asking, pool: pd.DataFrame | None = None) -> list[str]:
    """Return the prompt of every item in the main form.

    Args:
        items: that are asked about.
        kind: ``generator`` or ``validator``.
        asking: how.
        pool: items that examples are taken from; ``items`` if None.
    """
    main = asking.main
    name = {"generator": main.generator_id, "validator": main.validator_id}[kind]
    forms = tuple(form for form in asking.forms.forms if (form.kind, form.id) == (kind, name))
    chosen = PromptForms(forms, asking.forms.styles)
    return list(render_prompts(items, chosen, asking.seed, pool, [main.style])["prompt"])


def as_read(model: LanguageModel, prompts: Iterable[str], prompting: Prompting) -> list[str]:
    """Return every prompt as the model reads it: within its chat template, where that is on."""
    kwargs = prompting.chat_template_kwargs
    rendered: dict[str, str] = {}
    texts = list(prompts)
    for text in dict.fromkeys(texts):
        rendered[text] = render_prompt(
            model.tokenizer, text, template=PLACEHOLDER, system=None, chat=prompting.chat, chat_template_kwargs=kwargs
        )
    return [rendered[text] for text in texts]


def joint_summary(*summaries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sums of what jobs computed and reused (see ``store.Recalled.summary``), and all their stores."""
    counts = {key: sum(summary[key] for summary in summaries) for key in ("total", "computed", "reused")}
    return {**counts, "store": sorted({summary["store"] for summary in summaries} - {None})}
