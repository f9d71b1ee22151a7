"""From a table of prompts and a loaded model to a table of texts, or of exact candidate probabilities."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from leakscope.candidates import Question, score_candidates
from leakscope.errors import InputError
from leakscope.generation import Limits, Request, first_end_token, generate
from leakscope.models import LoadedModel, resolve_decoding
from leakscope.progress import progress
from leakscope.rendering import answer_lead, encode_continuation, encode_rendered, render_prompt

logger = logging.getLogger(__name__)

# A question is a prompt times all candidates of its slot, so fewer of them fill the memory that a batch may take.
CANDIDATES_PER_PROMPT = 8
SCORE_COLUMNS = ["model", "prompt_set", "prompt_id", "slot", "candidate", "tokens", "logprob", "logprob_sampled"]


def complete_prompts(
    loaded: LoadedModel,
    prompts: pd.DataFrame,
    name: str,
    settings: Mapping[str, Any],
    *,
    chat: bool,
    chat_template_kwargs: Mapping[str, Any],
) -> pd.DataFrame:
    """Return ``model, prompt_set, prompt_id, sample, text``, ``settings["samples"]`` rows a prompt in prompt order.

    Args:
        loaded: model and tokenizer.
        prompts: the prompts table of one set.
        name: the model's name in the study.
        settings: the generation settings of the configuration.
        chat: whether prompts go through the chat template.
        chat_template_kwargs: passed to it.

    Raises:
        InputError: a prompt and its new tokens do not fit the model's context.
    """
    requests = _requests(loaded, prompts["prompt"], settings, chat, chat_template_kwargs)
    decoding = resolve_decoding(settings, loaded.model)
    logger.info("decoding with %s", decoding)
    texts: list[list[str]] = [[] for _ in requests]
    completions = generate(
        loaded.model,
        loaded.tokenizer,
        requests,
        decoding,
        Limits(settings["max_new_tokens"], settings["stop"] == "sentence"),
        n_samples=settings["samples"],
        seed=settings["seed"],
        batch_size=settings["batch_size"],
    )
    for completion in progress(completions, total=len(requests), name=name, unit="prompt"):
        texts[completion.request] = completion.texts
    n_samples = settings["samples"]
    return pd.DataFrame(
        {
            "model": name,
            "prompt_set": prompts["prompt_set"].repeat(n_samples).to_numpy(),
            "prompt_id": prompts["prompt_id"].repeat(n_samples).to_numpy(),
            "sample": np.tile(np.arange(n_samples), len(prompts)),
            "text": [text for samples in texts for text in samples],
        }
    )


def score_prompts(
    loaded: LoadedModel,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    name: str,
    settings: Mapping[str, Any],
    *,
    chat: bool,
    chat_template_kwargs: Mapping[str, Any],
) -> pd.DataFrame:
    """Return ``model, prompt_set, prompt_id, slot, candidate, tokens, logprob, logprob_sampled`` (nats).

    One row a prompt with a slot and candidate of it. The candidate is scored as a whole sentence: with its full stop,
    and without where texts are not cut at a sentence's end, followed by the model's end of text.
    """
    slotted = prompts[prompts["slot"].notna()].reset_index(drop=True)
    requests = _requests(loaded, slotted["prompt"], settings, chat, chat_template_kwargs)
    by_slot = candidates.groupby("slot", sort=False)["candidate"].agg(list)
    lexicons = [by_slot[slot] for slot in slotted["slot"]]
    lead = answer_lead(loaded.tokenizer, chat=chat, chat_template_kwargs=chat_template_kwargs)
    ending = [] if settings["stop"] == "sentence" else [first_end_token(loaded.model, loaded.tokenizer)]
    questions = [
        Question(
            request.ids,
            [
                encode_continuation(loaded.tokenizer, request.rendered, f"{candidate}.", lead=lead, chat=chat) + ending
                for candidate in lexicon
            ],
        )
        for request, lexicon in zip(requests, lexicons, strict=True)
    ]
    scores = score_candidates(
        loaded.model,
        questions,
        resolve_decoding(settings, loaded.model),
        batch_size=max(1, settings["batch_size"] // CANDIDATES_PER_PROMPT),
    )
    scored = list(progress(scores, total=len(questions), name=name, unit="prompt"))
    rows = [
        (name, prompt.prompt_set, prompt.prompt_id, prompt.slot, *row)
        for prompt, lexicon, question, score in zip(slotted.itertuples(), lexicons, questions, scored, strict=True)
        for row in zip(lexicon, question.candidates, score.logprob, score.logprob_sampled, strict=True)
    ]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def _requests(
    loaded: LoadedModel,
    prompts: pd.Series,
    settings: Mapping[str, Any],
    chat: bool,
    chat_template_kwargs: Mapping[str, Any],
) -> list[Request]:
    longest = getattr(loaded.model.config, "max_position_embeddings", None)
    requests = []
    for prompt in prompts:
        rendered = render_prompt(
            loaded.tokenizer,
            prompt,
            template=settings["template"],
            system=settings["system"],
            chat=chat,
            chat_template_kwargs=chat_template_kwargs,
        )
        ids = encode_rendered(loaded.tokenizer, rendered, chat=chat)
        if longest is not None and len(ids) + settings["max_new_tokens"] > longest:
            raise InputError(
                f"prompt {prompt[:60]!r}: {len(ids)} tokens and {settings['max_new_tokens']} new ones; "
                f"the model reads at most {longest}."
            )
        requests.append(Request(rendered, ids))
    return requests
