"""Exact probabilities of candidates after each prompt of a table.

Stored values are reused; the weights are loaded only if some are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from leakscope.errors import InputError
from leakscope.jobs.progress import progress
from leakscope.jobs.sharding import WHOLE, Shard
from leakscope.languages.closing_marks import closing_mark, is_spaced
from leakscope.languages.sentences import WHOLE_SENTENCE
from leakscope.models.endings import end_tokens
from leakscope.models.finite import check_values
from leakscope.models.opening import LanguageModel, resolve_decoding
from leakscope.models.prompts.placing import placed_prompts
from leakscope.models.prompts.prompting import Completed, Prompting, ids_digest, read_prompts
from leakscope.models.prompts.rendering import answer_lead, encode_continuations
from leakscope.models.sampling import Decoding
from leakscope.storage.fingerprints import score_fingerprint
from leakscope.storage.store import Key, recall

# A question is a prompt with all candidates of its slot; it takes as much memory as this many prompts with samples.
PROMPTS_PER_QUESTION = 4
SCORE_COLUMNS = ["model", "prompt_set", "prompt_id", "slot", "candidate", "tokens", "logprob", "logprob_sampled"]


# As ``encode_candidates``.
Encode = Callable[
    [LanguageModel, Sequence[str], Sequence[list[int]], Sequence[Sequence[str]], Prompting], list[list[list[int]]]
]


def score_prompts(
    model: LanguageModel,
    prompts: pd.DataFrame,
    candidates: pd.DataFrame,
    name: str,
    prompting: Prompting,
    shard: Shard = WHOLE,
    encode: Encode | None = None,
) -> Completed:
    """Return ``model, prompt_set, prompt_id, slot, candidate, tokens, logprob, logprob_sampled`` (nats).

    One row per prompt with a slot and candidate. The candidate is scored as a whole sentence: with the full stop of its
    language and, if texts are not cut at sentence ends, with the model's end-of-text token. A ``shard`` has only its
    own prompts. ``encode`` replaces the default tokenization of candidates (``encode_candidates``).

    Raises:
        InputError: a candidate merges with the prompt (see ``encode_candidates``), or the model gives NaN.
    """
    slotted = prompts[prompts["slot"].notna()].reset_index(drop=True)
    rendered, ids = read_prompts(model, placed_prompts(slotted), prompting)
    by_slot = candidates.groupby("slot", sort=False)["candidate"].agg(list)
    lexicons = [by_slot[slot] for slot in slotted["slot"]]
    encode = encode_candidates if encode is None else encode
    tokens = encode(model, rendered, ids, lexicons, prompting)
    decoding = resolve_decoding(prompting.settings, model.generation_config, where=name)
    keys: list[Key] = [(text, ids_digest(row, *rows)) for text, row, rows in zip(rendered, ids, tokens, strict=True)]
    questions = dict(zip(keys, zip(ids, tokens, strict=True), strict=True))
    batch_size = max(1, prompting.settings["batch_size"] // PROMPTS_PER_QUESTION)
    mine = shard.take(list(questions), batch_size)

    def score(missing: list[Key]) -> Iterator[dict[Key, list[list[float]]]]:
        return _score(model, missing, questions, decoding, name, batch_size)

    identity = model.as_writer(model.identity)
    fingerprint = score_fingerprint(identity, decoding._asdict(), chat=prompting.chat)
    scores = recall(prompting.open_store(fingerprint), [key for key in keys if key in mine], score)
    rows = [
        (name, prompt.prompt_set, prompt.prompt_id, prompt.slot, *row)
        for prompt, lexicon, key in zip(slotted.itertuples(), lexicons, keys, strict=True)
        if key in mine
        for row in zip(lexicon, questions[key][1], *scores.values[key], strict=True)
    ]
    return Completed(pd.DataFrame(rows, columns=SCORE_COLUMNS), scores.summary(sum(key in mine for key in keys)))


def encode_candidates(
    model: LanguageModel,
    rendered: Sequence[str],
    ids: Sequence[list[int]],
    lexicons: Sequence[Sequence[str]],
    prompting: Prompting,
) -> list[list[list[int]]]:
    """Return the tokens that each candidate, as a whole sentence, adds to each prompt.

    Raises:
        InputError: texts are not cut at sentence ends, and the model has no end-of-text token.
    """
    tokenizer, chat = model.tokenizer, prompting.chat
    spaced, mark = is_spaced(prompting.language), closing_mark(prompting.language)
    lead = answer_lead(tokenizer, chat=chat, chat_template_kwargs=prompting.chat_template_kwargs, spaced=spaced)
    ending: list[int] = []
    if rendered and prompting.settings["stop"] not in ("sentence", WHOLE_SENTENCE):
        ending = list(end_tokens(model.generation_config, tokenizer)[:1])
        if not ending:
            raise InputError(f"model {tokenizer.name_or_path}: has no end-of-text token; set `stop: sentence` for it.")
    encoded = []
    for text, row, lexicon in zip(rendered, ids, lexicons, strict=True):
        sentences = [candidate + mark for candidate in lexicon]
        added = encode_continuations(tokenizer, text, row, sentences, lead=lead, chat=chat, spaced=spaced)
        encoded.append([tokens + ending for tokens in added])
    return encoded


def _score(
    model: LanguageModel,
    missing: list[Key],
    questions: Mapping[Key, tuple[list[int], list[list[int]]]],
    decoding: Decoding,
    name: str,
    batch_size: int,
) -> Iterator[dict[Key, list[list[float]]]]:
    """Yield the missing scores, one batch of prompts at a time: both log-probabilities of every candidate."""
    from leakscope.models.candidates import PromptCandidates, score_candidates

    asked = [PromptCandidates(*questions[key]) for key in missing]
    scored = score_candidates(model.model, asked, decoding, batch_size=batch_size, never=model.never_written)
    waiting = iter(missing)
    for batch in progress(scored, total=len(missing), name=name, unit="prompt", size=len):
        values: dict[Key, list[list[float]]] = {
            next(waiting): [score.logprob, score.logprob_sampled] for score in batch
        }
        check_values(values, name)
        yield values
