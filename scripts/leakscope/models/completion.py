"""Generated texts for each prompt of a table.

Stored texts are reused; the weights are loaded only if some are missing.
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
from leakscope.models.checkpoints.thoughts import ThoughtPlan
from leakscope.models.checkpoints.unheeded import lacking_beginning, unheeded_settings
from leakscope.models.endings import Limits, end_tokens
from leakscope.models.opening import LanguageModel, resolve_decoding
from leakscope.models.prompts.placing import placed_prompts
from leakscope.models.prompts.prompting import Completed, Prompting, ids_digest, read_prompts
from leakscope.models.sampling import Decoding
from leakscope.models.thinking.measured import n_unfinished, thought_columns
from leakscope.storage.fingerprints import text_fingerprint
from leakscope.storage.store import Key, recall

logger = logging.getLogger(__name__)


def complete_prompts(
    model: LanguageModel, prompts: pd.DataFrame, name: str, prompting: Prompting, shard: Shard = WHOLE
) -> Completed:
    """Return ``model, prompt_set, prompt_id, sample, text`` in prompt order; for a model that thinks first, also
    ``thought`` and ``finished``, with the measured text in ``text``.

    A prompt has ``settings["samples"]`` rows; a control without the clause has ``settings["control_samples"]``, if set.

    Args:
        model: the model to sample from.
        prompts: the prompts table of one set; a table without ``control_id`` has no controls.
        name: the model's name in the study.
        prompting: how prompts are given to the model.
        shard: which prompts to complete.

    Raises:
        InputError: a prompt and its new tokens do not fit the model's context, or the model gives NaN.
    """
    settings = prompting.settings
    numbers = texts_of_each(prompts, settings)
    rendered, ids = read_prompts(model, placed_prompts(prompts), prompting)
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
    identity, plan = model.as_writer(model.identity), prompting.thoughts(model.tokenizer)
    fingerprint = text_fingerprint(
        identity,
        decoding._asdict(),
        _determining(limits, sentence),
        seed=settings["seed"],
        chat=prompting.chat,
        thinking=None if plan is None else {**plan.marks._asdict(), "budget": plan.budget},
    )

    def write(missing: list[Key]) -> Iterator[dict[Key, Any]]:
        asked = _Asked(dict(zip(rendered, ids, strict=True)), _most(rendered, numbers))
        return _write(model, missing, asked, decoding, _Ends(limits, sentence, plan), name, settings)

    # The key includes the tokens: another version of the tokenizers library may encode the same text differently.
    keys: list[Key] = [
        (text, digest, sample)
        for text, digest, n in zip(rendered, map(ids_digest, ids), numbers, strict=True)
        for sample in range(n)
    ]
    texts = recall(prompting.open_store(fingerprint), keys, write)
    written, summary = [texts.values[key] for key in keys], texts.summary(len(keys))
    columns: dict[str, list[Any]] = {"text": written}
    if prompting.thinking is not None:
        columns = thought_columns(written, prompting.thinking["measure"])
        summary["unfinished"] = n_unfinished(written)
        if summary["unfinished"]:
            budget = prompting.thinking["budget"]
            told = "model %s: %d of %d thoughts have not ended within %d tokens: their texts are empty"
            logger.warning(told, name, summary["unfinished"], len(written), budget)
    table = pd.DataFrame(
        {
            "model": name,
            "prompt_set": prompts["prompt_set"].repeat(numbers).to_numpy(),
            "prompt_id": prompts["prompt_id"].repeat(numbers).to_numpy(),
            "sample": np.array([sample for _, _, sample in keys], dtype=np.int64),
            **{name: list(map(_composed, values)) for name, values in columns.items()},
        }
    )
    return Completed(table, summary)


def _determining(limits: Limits, sentence: FirstSentence | None) -> dict[str, Any]:
    """Return the settings that determine where a text ends; only the limits if no sentence rule applies."""
    return {**limits._asdict(), **(sentence.identity if sentence else {})}


def _composed(value: Any) -> Any:
    """Return a text in composed Unicode, other values unchanged."""
    return composed(value) if isinstance(value, str) else value


class _Ends(NamedTuple):
    """Where texts end: limits, the language's sentence rule, and the limits of thoughts before them."""

    limits: Limits
    sentence: FirstSentence | None
    plan: ThoughtPlan | None


class _Asked(NamedTuple):
    """Token ids of each distinct prompt, and the number of texts wanted."""

    ids: dict[str, list[int]]
    samples: dict[str, int]


def texts_of_each(prompts: pd.DataFrame, settings: Mapping[str, Any]) -> list[int]:
    """Return the number of texts wanted for each prompt, (prompts,)."""
    few = settings["samples"]
    controls = set(prompts["control_id"].dropna()) if "control_id" in prompts else set()
    return [settings.get("control_samples", few) if name in controls else few for name in prompts["prompt_id"]]


def _most(rendered: Sequence[str], numbers: Sequence[int]) -> dict[str, int]:
    """Return the largest number of texts for each distinct rendered prompt: a test and a control may be identical."""
    most: dict[str, int] = {}
    for text, n in zip(rendered, numbers, strict=True):
        most[text] = max(n, most.get(text, 0))
    return most


def _warn_of_unheeded(model: LanguageModel, name: str, of_chats: Sequence[Sequence[int]]) -> None:
    """Warn of settings in a model's generation config, or of a beginning token, that are not used here."""
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
    ending: _Ends,
    name: str,
    settings: Mapping[str, Any],
) -> Iterator[dict[Key, Any]]:
    """Yield the missing texts, or thoughts and answers, one batch at a time."""
    from leakscope.models.generation import Request, generate, plan_batches
    from leakscope.models.thinking.writing import think_and_answer

    lacking: dict[str, list[int]] = {}
    for rendered, _, sample in missing:
        lacking.setdefault(str(rendered), []).append(int(sample))
    ids = asked.ids
    requests = [Request(rendered, prompt, range(asked.samples[rendered])) for rendered, prompt in ids.items()]
    batches = plan_batches(requests, lacking, settings["batch_size"])
    how: dict[str, Any] = {"seed": settings["seed"], "name": name, "never": model.never_written}
    parts = model.model, model.tokenizer, batches, decoding, ending.limits, ending.sentence
    written: Iterator[Sequence[tuple[str, int, Any]]]
    if ending.plan is None:
        written = ([(one.rendered, one.sample, one.text) for one in batch] for batch in generate(*parts, **how))
    else:
        written = think_and_answer(*parts, ending.plan, batch_size=settings["batch_size"], **how)
    for batch in progress(written, total=len(missing), name=name, unit="text", size=len):
        yield {(rendered, ids_digest(ids[rendered]), sample): value for rendered, sample, value in batch}
