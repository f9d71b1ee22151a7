"""From a table of prompts and a model to a table of texts.

What the store has is taken from it; the weights are loaded only if something is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leakscope.files.normal_form import composed
from leakscope.jobs.progress import progress
from leakscope.jobs.sharding import WHOLE, Shard, longest_first
from leakscope.languages.of_prompts import languages_of
from leakscope.languages.sentences import FirstSentence, first_sentence
from leakscope.models.checkpoints.unheeded import lacking_beginning, unheeded_settings
from leakscope.models.endings import Limits, end_tokens
from leakscope.models.opening import LanguageModel, resolve_decoding
from leakscope.models.prompting import Completed, Prompting, ids_digest, read_prompts
from leakscope.models.sampling import Decoding
from leakscope.storage.fingerprints import text_fingerprint
from leakscope.storage.store import Key, recall

logger = logging.getLogger(__name__)


def complete_prompts(
    model: LanguageModel, prompts: pd.DataFrame, name: str, prompting: Prompting, shard: Shard = WHOLE
) -> Completed:
    """Return ``model, prompt_set, prompt_id, sample, text`` in prompt order.

    A prompt has ``settings["samples"]`` rows, one that is the control without the clause of another
    ``settings["control_samples"]``, where these say so.

    Args:
        model: what writes.
        prompts: the prompts table of one set; a table without ``control_id`` has no controls.
        name: the model's name in the study.
        prompting: how.
        shard: of which prompts.

    Raises:
        InputError: a prompt and its new tokens do not fit the model's context, or the model gives no numbers.
    """
    settings = prompting.settings
    numbers = texts_of_each(prompts, settings)
    rendered, ids = read_prompts(model, prompts["prompt"], prompting)
    _warn_of_unheeded(model, name, ids if prompting.chat else [])
    mine = shard.take(longest_first(dict(zip(rendered, ids, strict=True))), settings["batch_size"])
    places = [place for place, text in enumerate(rendered) if text in mine]
    prompts, rendered, ids = prompts.iloc[places], [rendered[i] for i in places], [ids[i] for i in places]
    numbers = [numbers[i] for i in places]
    decoding = resolve_decoding(settings, model.generation_config, where=name)
    ends = end_tokens(model.generation_config, model.tokenizer)
    limits = Limits(settings["max_new_tokens"], settings["stop"] == "sentence", ends)
    sentence = first_sentence(settings["stop"], languages_of(prompts).texts, name)
    logger.info("decoding with %s", decoding)
    identity = model.as_writer(model.identity)
    fingerprint = text_fingerprint(
        identity, decoding._asdict(), _determining(limits, sentence), seed=settings["seed"], chat=prompting.chat
    )

    def write(missing: list[Key]) -> Iterator[dict[Key, str]]:
        asked = _Asked(dict(zip(rendered, ids, strict=True)), _most(rendered, numbers))
        return _write(model, missing, asked, decoding, limits, sentence, name, settings)

    # The tokens are in the key, too: another version of the tokenizers' library may read the same text otherwise.
    keys: list[Key] = [
        (text, digest, sample)
        for text, digest, n in zip(rendered, map(ids_digest, ids), numbers, strict=True)
        for sample in range(n)
    ]
    texts = recall(prompting.open_store(fingerprint), keys, write)
    table = pd.DataFrame(
        {
            "model": name,
            "prompt_set": prompts["prompt_set"].repeat(numbers).to_numpy(),
            "prompt_id": prompts["prompt_id"].repeat(numbers).to_numpy(),
            "sample": np.array([sample for _, _, sample in keys], dtype=np.int64),
            "text": [composed(texts.values[key]) for key in keys],
        }
    )
    return Completed(table, texts.summary(len(keys)))


def _determining(limits: Limits, sentence: FirstSentence | None) -> dict[str, Any]:
    """Return what decides where a text ends; of texts that no language cuts, nothing but their limits."""
    return {**limits._asdict(), **(sentence.identity if sentence else {})}


class _Asked(NamedTuple):
    """What is completed: each distinct prompt's token ids, and how many texts of it are wanted."""

    ids: dict[str, list[int]]
    samples: dict[str, int]


def texts_of_each(prompts: pd.DataFrame, settings: Mapping[str, Any]) -> list[int]:
    """Return how many texts are wanted of each prompt, (prompts,)."""
    few = settings["samples"]
    controls = set(prompts["control_id"].dropna()) if "control_id" in prompts else set()
    return [settings.get("control_samples", few) if name in controls else few for name in prompts["prompt_id"]]


def _most(rendered: Sequence[str], numbers: Sequence[int]) -> dict[str, int]:
    """Return the largest number of each distinct prompt: of two that are rendered alike, one may be a control."""
    most: dict[str, int] = {}
    for text, n in zip(rendered, numbers, strict=True):
        most[text] = max(n, most.get(text, 0))
    return most


def _warn_of_unheeded(model: LanguageModel, name: str, of_chats: Sequence[Sequence[int]]) -> None:
    """Warn of what a model would do by itself, or was trained with, and does not here."""
    unheeded = unheeded_settings(model.generation_config)
    if unheeded:
        logger.warning("model %s: not followed of its generation_config.json: %s", name, unheeded)
    odd = lacking_beginning(model.tokenizer, model.config, of_chats[0]) if of_chats else ""
    if odd:
        logger.warning("model %s: %s; if it was trained with that, its chat template is not right", name, odd)


def _write(
    model: LanguageModel,
    missing: list[Key],
    asked: _Asked,
    decoding: Decoding,
    limits: Limits,
    sentence: FirstSentence | None,
    name: str,
    settings: Mapping[str, Any],
) -> Iterator[dict[Key, str]]:
    """Yield the missing texts, a batch at a time."""
    from leakscope.models.generation import Request, generate, plan_batches

    lacking: dict[str, list[int]] = {}
    for rendered, _, sample in missing:
        lacking.setdefault(str(rendered), []).append(int(sample))
    ids = asked.ids
    requests = [Request(rendered, prompt, range(asked.samples[rendered])) for rendered, prompt in ids.items()]
    batches = plan_batches(requests, lacking, settings["batch_size"])
    written = generate(
        model.model,
        model.tokenizer,
        batches,
        decoding,
        limits,
        sentence,
        seed=settings["seed"],
        name=name,
        never=model.never_written,
    )
    for batch in progress(written, total=len(missing), name=name, unit="text", size=len):
        yield {(done.rendered, ids_digest(ids[done.rendered]), done.sample): done.text for done in batch}
