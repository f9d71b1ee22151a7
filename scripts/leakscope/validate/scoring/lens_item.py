"""Logit lens of one item: the top token and the answer's log-odds at each layer and position of its prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.models.finite import check_values
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed, ids_digest
from leakscope.models.prompts.rendering import answer_lead, encode_continuations, encode_rendered
from leakscope.storage.fingerprints import log_odds_fingerprint
from leakscope.storage.store import Key, recall
from leakscope.validate.scoring.item_scores import answer_tokens, check_reading
from leakscope.validate.tasks.asking import Asking, as_read, joint_summary, main_prompts

LENS_COLUMNS = ["kind", "layer", "position", "token", "top", "probability", "log_odds"]
POSITIONS = 12


class LensPrompt(NamedTuple):
    """A prompt for the logit lens.

    rendered, ids: text and token ids as the model reads them.
    answers: token ids that count for the answer, and those against it; without the latter, all other tokens.
    """

    rendered: str
    ids: list[int]
    answers: list[list[int]]


def lens_of_item(
    model: LanguageModel, items: pd.DataFrame, name: str, asking: Asking, item_id: str | None = None
) -> Completed:
    """Return ``LENS_COLUMNS`` of the main form's generator and validator prompts, one row per layer and position.

    ``position`` counts the prompt's tokens from 0; the last ``POSITIONS`` are included. ``token`` is the token at the
    position, ``top`` the lens's most probable next token, with its ``probability``. ``log_odds``, in nats, are of the
    candidate's first token or, in the validator's prompt, of yes against no. Layer 0 is the embeddings, the last layer
    the model's own output. The summary contains the item.

    Args:
        model: causal.
        items: from ``items.item_table``.
        name: the model's name in the study.
        asking: forms, styles and prompting.
        item_id: id of the item; None: the first positive item.

    Raises:
        InputError: the item is unknown; the candidate's first token merges with the prompt's last; the logit lens does
            not support the model.
    """
    item = choose_item(items, item_id)
    prompts = {kind: _lens_prompt(model, item, items, kind, asking) for kind in ("generator", "validator")}
    keys: dict[str, Key] = {
        kind: (prompt.rendered, ids_digest(prompt.ids, *prompt.answers)) for kind, prompt in prompts.items()
    }
    by_key = {keys[kind]: prompt for kind, prompt in prompts.items()}

    def look(missing: list[Key]) -> Iterator[dict[Key, Any]]:
        check_reading(model, by_key[missing[0]].ids, name)
        for key in missing:
            values = {key: tops_by_layer(model, by_key[key].ids, by_key[key].answers)}
            check_values(values, name)
            yield values

    fingerprint = log_odds_fingerprint(model.identity, f"last {POSITIONS} positions by layer")
    recalled = recall(asking.prompting.open_store(fingerprint), list(keys.values()), look)
    rows = []
    for kind, prompt in prompts.items():
        beginning = max(0, len(prompt.ids) - POSITIONS)
        for layer, of_layer in enumerate(recalled.values[keys[kind]]):
            for position, (top, *values) in enumerate(of_layer, beginning):
                texts = (model.tokenizer.decode([token]) for token in (prompt.ids[position], top))
                rows.append((kind, layer, position, *texts, *values))
    summary = joint_summary(recalled.summary(len(keys)))
    shown = {key: str(item[key].iloc[0]) for key in ("item_id", "question", "candidate")}
    return Completed(pd.DataFrame(rows, columns=LENS_COLUMNS), {**summary, **shown})


def choose_item(items: pd.DataFrame, item_id: str | None) -> pd.DataFrame:
    """Return the row of an item; if ``item_id`` is None, of the first positive item.

    Raises:
        InputError: the item is unknown.
    """
    wanted = items["positive"] if item_id is None else items["item_id"].eq(item_id)
    if not wanted.any():
        first = items["item_id"].iloc[0]
        raise InputError(
            f"validate.tasks: key 'lens_item': got {item_id!r}; allowed: an item_id of the task, such as {first!r}."
        )
    return items[wanted].head(1)


def tops_by_layer(
    model: LanguageModel, ids: list[int], answers: list[list[int]]
) -> list[list[tuple[int, float, float]]]:
    """Return for each layer and each of the last positions the top token, its probability, and the answer's log-odds.

    Args:
        model: causal.
        ids: token ids of the prompt.
        answers: as in ``LensPrompt``.
    """
    # Imported here, because the models' code takes seconds to import and is not needed if all values are stored.
    from leakscope.validate.scoring.lens import LogitLens
    from leakscope.validate.scoring.log_odds import sum_answers, token_log_odds

    # In a causal model, a position's state equals that of a prompt that ends there.
    prompts = [ids[:end] for end in range(max(1, len(ids) - POSITIONS + 1), len(ids) + 1)]
    layers = []
    for logits in LogitLens(model.model).read(prompts):
        logprobs = logits.float().log_softmax(-1)
        best = logprobs.max(-1)
        if len(answers) == 1:
            odds = token_log_odds(logprobs, range(len(prompts)), answers[0] * len(prompts))
        else:
            odds = [in_favour - against for in_favour, against in sum_answers(logprobs, answers)]
        layers.append(list(zip(best.indices.tolist(), best.values.exp().tolist(), odds, strict=True)))
    return layers


def _lens_prompt(
    model: LanguageModel, item: pd.DataFrame, items: pd.DataFrame, kind: str, asking: Asking
) -> LensPrompt:
    prompting = asking.main_prompting
    (rendered,) = as_read(model, main_prompts(item, kind, asking, items), prompting)
    ids = encode_rendered(model.tokenizer, rendered, chat=prompting.chat)
    if kind == "validator":
        return LensPrompt(rendered, ids, answer_tokens(model.tokenizer).ids)
    lead = answer_lead(model.tokenizer, chat=prompting.chat, chat_template_kwargs=prompting.chat_template_kwargs)
    candidates = [str(item["candidate"].iloc[0])]
    (added,) = encode_continuations(model.tokenizer, rendered, ids, candidates, lead=lead, chat=prompting.chat)
    return LensPrompt(rendered, ids, [added[:1]])
