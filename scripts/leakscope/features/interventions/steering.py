"""Texts of a model with and without edited features, sampled with the same random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.jobs.progress import progress
from leakscope.models.editing.dictionary_files import open_dictionary
from leakscope.models.editing.edited_models import describe
from leakscope.models.editing.edits import Edit, editing
from leakscope.models.endings import Limits, end_tokens
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed, ids_digest
from leakscope.models.prompts.rendering import encode_rendered, render_prompt
from leakscope.models.sampling import Decoding
from leakscope.models.sentences import encode_sentences
from leakscope.storage.fingerprints import text_fingerprint
from leakscope.storage.store import Key, Recalled, Store, recall

BATCH_SIZE = 64
COLUMNS = [
    "steering", "dictionary", "prompt", "sample", "without", "with", "changed", "repetition_without", "repetition_with",
    "features", "edit", "coefficient", "temperature",
]  # fmt: skip


class Steered(NamedTuple):
    """An edited model, and everything that determines it.

    base: its manifest.
    edit: of features.
    dictionary: the manifest of their dictionary.
    """

    base: Mapping[str, Any]
    edit: Edit
    dictionary: Mapping[str, Any]


def steer(
    model: LanguageModel,
    steered: Steered,
    settings: Mapping[str, Any],
    *,
    name: str,
    chat_template_kwargs: Mapping[str, Any],
    store: Path | None,
) -> Completed:
    """Return ``COLUMNS``: the texts of each prompt's samples with an edit and without.

    Sample k draws by the same numbers in both, so it changes only where the edit moves the model's probabilities past
    them. Texts are sampled from all of the model's distribution, only tempered; they end after ``max_new_tokens`` or
    where the model ends them. ``changed`` says whether the two differ, ``repetition_…`` is each one's
    ``repeated_bigrams``.

    Args:
        model: the base.
        steered: what the edit makes of it.
        settings: ``dictionary, prompts, samples, temperature, max_new_tokens, seed, chat`` and what names the edit.
        name: of the steering.
        chat_template_kwargs: passed to the chat template.
        store: the folder of all stores; None keeps nothing. A text with the edit is found by an edited model, too.

    Raises:
        InputError: a prompt has no token or does not fit the model's context, or the edit does not fit the model.
    """
    ids = encode_prompts(model, settings, chat_template_kwargs)
    recalled = {"without": _texts(model, None, model.identity, ids, settings, store, f"{name}, without")}
    manifest = describe(steered.edit, steered.base, steered.dictionary)
    identity = {**model.identity, **{key: manifest[key] for key in ("weights_sha256", "settings_sha256")}}
    recalled["with"] = _texts(model, steered, identity, ids, settings, store, f"{name}, with")
    without, edited = (recalled[side].values for side in ("without", "with"))
    rows = [
        (name, settings["dictionary"], prompt, key[2], without[key], edited[key], without[key] != edited[key])
        for prompt, keys in zip(settings["prompts"], _keys(ids, settings["samples"]), strict=True)
        for key in keys
    ]
    table = pd.DataFrame(rows, columns=COLUMNS[:7])
    for side in ("without", "with"):
        table[f"repetition_{side}"] = table[side].map(repeated_bigrams).astype("float64")
    table["features"] = " ".join(map(str, steered.edit.features))
    table = table.assign(**{key: settings[key] for key in COLUMNS[10:]})[COLUMNS]
    return Completed(table, _summary([one.summary(len(table)) for one in recalled.values()]))


def _summary(sides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summaries of both texts as one: counts added, stores listed."""
    counts = {key: sum(side[key] for side in sides) for key in ("total", "computed", "reused")}
    return {**counts, "store": [side["store"] for side in sides if side["store"] is not None]}


def repeated_bigrams(text: str) -> float:
    """Return the share of a text's word bigrams that occurred in it before: 1 − distinct / all; 0 to 1.

    Words are what white space divides, in lower case. NaN where there is no bigram.
    """
    words = text.lower().split()
    bigrams = list(zip(words, words[1:], strict=False))
    return 1 - len(set(bigrams)) / len(bigrams) if bigrams else float("nan")


def encode_prompts(
    model: LanguageModel, settings: Mapping[str, Any], chat_template_kwargs: Mapping[str, Any]
) -> list[tuple[str, list[int]]]:
    """Return each prompt as the model reads it: rendered, and its token ids.

    Without ``chat`` it is plain text after the model's beginning, as the texts that dictionaries are trained on.

    Raises:
        InputError: a prompt has no token, or with its new ones does not fit the model's context.
    """
    prompts: Sequence[str] = settings["prompts"]
    if settings["chat"]:
        options: dict[str, Any] = {"template": "{prompt}", "system": None, "chat": True}
        options["chat_template_kwargs"] = chat_template_kwargs
        rendered = [render_prompt(model.tokenizer, prompt, **options) for prompt in prompts]
        encoded = [(text, encode_rendered(model.tokenizer, text, chat=True)) for text in rendered]
    else:
        read = encode_sentences(model, prompts)
        encoded = [(prompt, sentence.ids) for prompt, sentence in zip(prompts, read, strict=True)]
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for prompt, (_, ids) in zip(prompts, encoded, strict=True):
        model.check_readable(prompt, ids)
        if longest is not None and len(ids) + settings["max_new_tokens"] > longest:
            raise InputError(
                f"prompt {prompt[:60]!r}: {len(ids)} tokens and {settings['max_new_tokens']} new ones; "
                f"the model reads at most {longest}."
            )
    return encoded


def _texts(
    model: LanguageModel,
    steered: Steered | None,
    identity: Mapping[str, Any],
    ids: Sequence[tuple[str, list[int]]],
    settings: Mapping[str, Any],
    store: Path | None,
    name: str,
) -> Recalled:
    """Return the texts of all samples, from the store or written now."""
    decoding = Decoding(temperature=float(settings["temperature"]))
    limits = Limits(settings["max_new_tokens"], False, end_tokens(model.generation_config, model.tokenizer))
    fingerprint = text_fingerprint(
        model.as_writer(identity), decoding._asdict(), limits._asdict(), seed=settings["seed"], chat=settings["chat"]
    )

    def write(missing: list[Key]) -> Iterator[dict[Key, str]]:
        # Imported here: the models' code costs seconds, and a job whose texts are all there needs none of it.
        from leakscope.models.generation import Request, generate, plan_batches

        lacking: dict[str, list[int]] = {}
        for rendered, _, sample in missing:
            lacking.setdefault(str(rendered), []).append(int(sample))
        requests = [Request(rendered, row, range(settings["samples"])) for rendered, row in ids]
        batches = plan_batches(requests, lacking, BATCH_SIZE)
        digests = {rendered: ids_digest(row) for rendered, row in ids}
        with nullcontext() if steered is None else _edited(model, steered):
            written = generate(
                model.model,
                model.tokenizer,
                batches,
                decoding,
                limits,
                seed=settings["seed"],
                name=name,
                never=model.never_written,
            )
            for batch in progress(written, total=len(missing), name=name, unit="text", size=len):
                yield {(done.rendered, digests[done.rendered], done.sample): done.text for done in batch}

    keys = [key for of_prompt in _keys(ids, settings["samples"]) for key in of_prompt]
    return recall(None if store is None else Store(store, fingerprint), keys, write)


def _keys(ids: Sequence[tuple[str, list[int]]], n_samples: int) -> list[list[Key]]:
    """Return the keys of each prompt's texts in the store."""
    return [[(rendered, ids_digest(row), sample) for sample in range(n_samples)] for rendered, row in ids]


def _edited(model: LanguageModel, steered: Steered) -> AbstractContextManager[None]:
    return editing(model.model, steered.edit, open_dictionary(steered.dictionary))
