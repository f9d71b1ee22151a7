"""From a table of prompts and a model to a table of texts, or of exact candidate probabilities.

What the store has is taken from it; the weights are loaded only if something is missing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.endings import Limits, end_tokens
from leakscope.errors import InputError
from leakscope.laws import score_law, text_law
from leakscope.models import LanguageModel, resolve_decoding
from leakscope.progress import progress
from leakscope.rendering import answer_lead, encode_continuation, encode_rendered, render_prompt
from leakscope.sampling import Decoding
from leakscope.store import Key, Store, recall

logger = logging.getLogger(__name__)

# A question is a prompt times all candidates of its slot, so fewer of them fill the memory that a batch may take.
CANDIDATES_PER_PROMPT = 8
SCORE_COLUMNS = ["model", "prompt_set", "prompt_id", "slot", "candidate", "tokens", "logprob", "logprob_sampled"]


class Prompting(NamedTuple):
    """How prompts are given to a model, and what is kept.

    settings: the generation settings of the configuration.
    chat: whether prompts go through the chat template.
    chat_template_kwargs: passed to it.
    store: the folder of all stores; None keeps nothing.
    """

    settings: Mapping[str, Any]
    chat: bool = True
    chat_template_kwargs: Mapping[str, Any] = {}
    store: Path | None = None


class Completed(NamedTuple):
    """A table, and a summary of what was computed for it (see ``summarise``)."""

    table: pd.DataFrame
    summary: dict[str, Any]


def complete_prompts(model: LanguageModel, prompts: pd.DataFrame, name: str, prompting: Prompting) -> Completed:
    """Return ``model, prompt_set, prompt_id, sample, text``, ``settings["samples"]`` rows a prompt in prompt order.

    Args:
        model: what writes.
        prompts: the prompts table of one set.
        name: the model's name in the study.
        prompting: how.

    Raises:
        InputError: a prompt and its new tokens do not fit the model's context.
    """
    settings = prompting.settings
    rendered, ids = _read_in(model, prompts["prompt"], prompting)
    decoding = resolve_decoding(settings, model.generation_config)
    ends = end_tokens(model.generation_config, model.tokenizer)
    limits = Limits(settings["max_new_tokens"], settings["stop"] == "sentence", ends)
    logger.info("decoding with %s", decoding)
    law = text_law(model.identity, decoding._asdict(), limits._asdict(), seed=settings["seed"], chat=prompting.chat)

    def write(missing: list[Key]) -> Iterator[dict[Key, str]]:
        return _write(model, missing, dict(zip(rendered, ids, strict=True)), decoding, limits, name, settings)

    samples = range(settings["samples"])
    keys: list[Key] = [(text, sample) for text in rendered for sample in samples]
    texts = recall(_store(prompting, law), keys, write)
    table = pd.DataFrame(
        {
            "model": name,
            "prompt_set": prompts["prompt_set"].repeat(len(samples)).to_numpy(),
            "prompt_id": prompts["prompt_id"].repeat(len(samples)).to_numpy(),
            "sample": np.tile(np.arange(len(samples)), len(prompts)),
            "text": [texts.values[key] for key in keys],
        }
    )
    return Completed(table, texts.summary(len(keys)))


def _write(
    model: LanguageModel,
    missing: list[Key],
    ids: Mapping[str, list[int]],
    decoding: Decoding,
    limits: Limits,
    name: str,
    settings: Mapping[str, Any],
) -> Iterator[dict[Key, str]]:
    """Yield the missing texts, a batch at a time."""
    from leakscope.generation import Request, generate, plan_batches

    lacking: dict[str, list[int]] = {}
    for rendered, sample in missing:
        lacking.setdefault(str(rendered), []).append(int(sample))
    samples = range(settings["samples"])
    requests = [Request(rendered, prompt, samples) for rendered, prompt in ids.items()]
    batches = plan_batches(requests, lacking, settings["batch_size"])
    written = generate(model.model, model.tokenizer, batches, decoding, limits, seed=settings["seed"])
    for batch in progress(written, total=len(missing), name=name, unit="text", size=len):
        yield {(completion.rendered, completion.sample): completion.text for completion in batch}


def score_prompts(
    model: LanguageModel, prompts: pd.DataFrame, candidates: pd.DataFrame, name: str, prompting: Prompting
) -> Completed:
    """Return ``model, prompt_set, prompt_id, slot, candidate, tokens, logprob, logprob_sampled`` (nats).

    One row a prompt with a slot and candidate of it. The candidate is scored as a whole sentence: with its full stop,
    and without where texts are not cut at a sentence's end, followed by the model's end of text.
    """
    slotted = prompts[prompts["slot"].notna()].reset_index(drop=True)
    rendered, ids = _read_in(model, slotted["prompt"], prompting)
    by_slot = candidates.groupby("slot", sort=False)["candidate"].agg(list)
    lexicons = [by_slot[slot] for slot in slotted["slot"]]
    tokens = _encode_candidates(model, rendered, lexicons, prompting)
    decoding = resolve_decoding(prompting.settings, model.generation_config)
    keys: list[Key] = [(text, _digest(rows)) for text, rows in zip(rendered, tokens, strict=True)]
    questions = dict(zip(keys, zip(ids, tokens, strict=True), strict=True))

    def score(missing: list[Key]) -> Iterator[dict[Key, list[list[float]]]]:
        return _score(model, missing, questions, decoding, name, prompting.settings["batch_size"])

    law = score_law(model.identity, decoding._asdict(), chat=prompting.chat)
    scores = recall(_store(prompting, law), keys, score)
    rows = [
        (name, prompt.prompt_set, prompt.prompt_id, prompt.slot, *row)
        for prompt, lexicon, key in zip(slotted.itertuples(), lexicons, keys, strict=True)
        for row in zip(lexicon, questions[key][1], *scores.values[key], strict=True)
    ]
    return Completed(pd.DataFrame(rows, columns=SCORE_COLUMNS), scores.summary(len(keys)))


def _score(
    model: LanguageModel,
    missing: list[Key],
    questions: Mapping[Key, tuple[list[int], list[list[int]]]],
    decoding: Decoding,
    name: str,
    batch_size: int,
) -> Iterator[dict[Key, list[list[float]]]]:
    """Yield the missing scores, a batch of prompts at a time: both log-probabilities of every candidate."""
    from leakscope.candidates import Question, score_candidates

    asked = [Question(*questions[key]) for key in missing]
    size = max(1, batch_size // CANDIDATES_PER_PROMPT)
    scored = score_candidates(model.model, asked, decoding, batch_size=size)
    waiting = iter(missing)
    for batch in progress(scored, total=len(missing), name=name, unit="prompt", size=len):
        yield {next(waiting): [score.logprob, score.logprob_sampled] for score in batch}


def _encode_candidates(
    model: LanguageModel, rendered: Sequence[str], lexicons: Sequence[Sequence[str]], prompting: Prompting
) -> list[list[list[int]]]:
    """Return the tokens that each candidate, as a whole sentence, adds to each prompt.

    Raises:
        InputError: texts are not cut at a sentence's end, and the model has no end of text.
    """
    tokenizer, chat = model.tokenizer, prompting.chat
    lead = answer_lead(tokenizer, chat=chat, chat_template_kwargs=prompting.chat_template_kwargs)
    ending: list[int] = []
    if prompting.settings["stop"] != "sentence":
        ending = list(end_tokens(model.generation_config, tokenizer)[:1])
        if not ending:
            raise InputError(f"model {tokenizer.name_or_path}: has no end of text; set `stop: sentence` for it.")
    return [
        [encode_continuation(tokenizer, text, f"{candidate}.", lead=lead, chat=chat) + ending for candidate in lexicon]
        for text, lexicon in zip(rendered, lexicons, strict=True)
    ]


def _read_in(model: LanguageModel, prompts: pd.Series, prompting: Prompting) -> tuple[list[str], list[list[int]]]:
    """Return every prompt as the model reads it: rendered, and its token ids.

    Raises:
        InputError: a prompt and its new tokens do not fit the model's context.
    """
    settings = prompting.settings
    longest = getattr(model.config, "max_position_embeddings", None)
    rendered = [
        render_prompt(
            model.tokenizer,
            prompt,
            template=settings["template"],
            system=settings["system"],
            chat=prompting.chat,
            chat_template_kwargs=prompting.chat_template_kwargs,
        )
        for prompt in prompts
    ]
    ids = [encode_rendered(model.tokenizer, text, chat=prompting.chat) for text in rendered]
    for prompt, row in zip(prompts, ids, strict=True):
        if longest is not None and len(row) + settings["max_new_tokens"] > longest:
            raise InputError(
                f"prompt {prompt[:60]!r}: {len(row)} tokens and {settings['max_new_tokens']} new ones; "
                f"the model reads at most {longest}."
            )
    return rendered, ids


def _store(prompting: Prompting, law: Mapping[str, Any]) -> Store | None:
    return None if prompting.store is None else Store(prompting.store, law)


def _digest(rows: Sequence[Sequence[int]]) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
