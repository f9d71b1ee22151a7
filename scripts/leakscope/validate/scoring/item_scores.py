"""Log-odds after generator and validator prompts by a local model.

Stored values are reused; the weights are loaded only if values are missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from transformers import PreTrainedTokenizerBase

from leakscope.errors import InputError
from leakscope.jobs.progress import progress
from leakscope.models.finite import are_distributions, check_values, no_numbers, shown
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed, Prompting, ids_digest
from leakscope.models.prompts.rendering import answer_lead, encode_continuations, encode_rendered
from leakscope.storage.fingerprints import log_odds_fingerprint
from leakscope.storage.store import Key, Recalled, recall
from leakscope.validate.scoring.score_columns import GENERATOR_COLUMNS, VALIDATOR_COLUMNS

YES = ("Yes", " Yes", "YES", "yes", " yes")
NO = ("No", " No", "NO", "no", " no")
GENERATOR_LAYER_COLUMNS = ["item", "layer", "log_odds_first"]
VALIDATOR_LAYER_COLUMNS = ["item", "layer", *VALIDATOR_COLUMNS]
# Beyond it 1 + e^−x rounds to 1 in float64.
NEGLIGIBLE = 40.0

Scores = Iterator[Mapping[int, Any]]


class GeneratorItem(NamedTuple):
    """A generator prompt as the model reads it (see ``rendering.render_prompt``), and a candidate to complete it."""

    prompt: str
    candidate: str


class AnswerTokens(NamedTuple):
    """The tokens that count as yes and as no.

    yes, no: variant → its token. A token shared by several variants counts once.
    dropped: variants that are not a single token.
    """

    yes: dict[str, int]
    no: dict[str, int]
    dropped: list[str]

    @property
    def ids(self) -> list[list[int]]:
        """The distinct ids of yes, then those of no."""
        return [sorted(set(self.yes.values())), sorted(set(self.no.values()))]


def score_generator(model: LanguageModel, items: Sequence[GeneratorItem], name: str, prompting: Prompting) -> Completed:
    """Return ``tokens, logprob, log_odds, logprob_first, log_odds_first``, one row per item, in order; nats.

    ``logprob`` is log p of the whole candidate, the sum over its ``tokens``; ``log_odds`` is log p − log(1−p).
    ``logprob_first`` and ``log_odds_first`` are for its first token, as used by RankAlign (arXiv 2504.11381). Each
    distinct item is scored once.

    Args:
        model: causal.
        items: prompts and candidates.
        name: the model's name in the study.
        prompting: its ``chat``, ``chat_template_kwargs``, ``store`` and setting ``batch_size`` are used.

    Raises:
        InputError: a prompt or candidate has no token, together they do not fit the model's context, or the tokenizer
            merges them; the model returns NaN or infinite values.
    """
    encoded = _encode_items(model, items, prompting)
    keys: list[Key] = [(item.prompt, ids_digest(*row)) for item, row in zip(items, encoded, strict=True)]

    def score(rows: Sequence[tuple[list[int], list[int]]], batch_size: int) -> Scores:
        # Imported here, as below, because the models' code takes seconds and is not needed if all scores are stored.
        from leakscope.validate.scoring.log_odds import Continuation, candidate_log_odds

        return candidate_log_odds(model.model, [Continuation(*row) for row in rows], batch_size=batch_size)

    scores = _recall(model, "candidates", keys, encoded, score, name, prompting)
    values = [scores.values[key] for key in keys]
    rows = [(len(odds), *joint_log_odds(odds), *joint_log_odds(odds[:1])) for odds in values]
    return Completed(pd.DataFrame(rows, columns=GENERATOR_COLUMNS), scores.summary(len(keys)))


def score_generator_by_layer(
    model: LanguageModel, items: Sequence[GeneratorItem], name: str, prompting: Prompting
) -> Completed:
    """Return ``item, layer, log_odds_first`` by the logit lens, one row per item and layer; nats.

    ``item`` counts from 0. Layer 0 is the embeddings, the last layer the model's own output (see ``lens``).

    Args:
        model: causal.
        items: prompts and candidates.
        name: the model's name in the study.
        prompting: as for ``score_generator``.

    Raises:
        InputError: as ``score_generator``; the logit lens does not support the model.
    """
    encoded = [(prompt, candidate[:1]) for prompt, candidate in _encode_items(model, items, prompting)]
    keys: list[Key] = [(item.prompt, ids_digest(*row)) for item, row in zip(items, encoded, strict=True)]

    def score(rows: Sequence[tuple[list[int], list[int]]], batch_size: int) -> Scores:
        from leakscope.validate.scoring.lens import candidate_log_odds_by_layer
        from leakscope.validate.scoring.log_odds import Continuation

        check_reading(model, rows[0][0], name)
        return candidate_log_odds_by_layer(model.model, [Continuation(*row) for row in rows], batch_size=batch_size)

    scores = _recall(model, "candidates by layer", keys, encoded, score, name, prompting)
    rows = [(item, layer, odds) for item, key in enumerate(keys) for layer, odds in enumerate(scores.values[key])]
    return Completed(pd.DataFrame(rows, columns=GENERATOR_LAYER_COLUMNS), scores.summary(len(keys)))


def score_validator(model: LanguageModel, prompts: Sequence[str], name: str, prompting: Prompting) -> Completed:
    """Return ``log_odds, logprob_yes, logprob_no``, one row per prompt, in order; nats.

    ``logprob_yes`` is log Σ p over the variants of yes as the next token, ``logprob_no`` over those of no, ``log_odds``
    their difference. The summary's ``answers`` lists the variants that count (see ``AnswerTokens``).

    Args:
        model: causal.
        prompts: as the model reads them.
        name: the model's name in the study.
        prompting: its ``chat``, ``store`` and setting ``batch_size`` are used.

    Raises:
        InputError: a prompt has no token or does not fit the model's context; no variant of an answer is a token; the
            model returns NaN or infinite values.
    """
    answers = answer_tokens(model.tokenizer)
    encoded = _encode_prompts(model, prompts, prompting)
    keys: list[Key] = [(prompt, ids_digest(ids, *answers.ids)) for prompt, ids in zip(prompts, encoded, strict=True)]

    def score(rows: Sequence[list[int]], batch_size: int) -> Scores:
        from leakscope.validate.scoring.log_odds import answer_logprobs

        return answer_logprobs(model.model, rows, answers.ids, batch_size=batch_size)

    scores = _recall(model, "answers", keys, encoded, score, name, prompting)
    rows = [(yes - no, yes, no) for yes, no in (scores.values[key] for key in keys)]
    summary = {**scores.summary(len(keys)), "answers": answers._asdict()}
    return Completed(pd.DataFrame(rows, columns=VALIDATOR_COLUMNS), summary)


def score_validator_by_layer(
    model: LanguageModel, prompts: Sequence[str], name: str, prompting: Prompting
) -> Completed:
    """Return ``item, layer, log_odds, logprob_yes, logprob_no`` by the logit lens, one row per prompt and layer; nats.

    ``item`` counts from 0. Layer 0 is the embeddings, the last layer the model's own output (see ``lens``).

    Args:
        model: causal.
        prompts: as the model reads them.
        name: the model's name in the study.
        prompting: as for ``score_validator``.

    Raises:
        InputError: as ``score_validator``; the logit lens does not support the model.
    """
    answers = answer_tokens(model.tokenizer)
    encoded = _encode_prompts(model, prompts, prompting)
    keys: list[Key] = [(prompt, ids_digest(ids, *answers.ids)) for prompt, ids in zip(prompts, encoded, strict=True)]

    def score(rows: Sequence[list[int]], batch_size: int) -> Scores:
        from leakscope.validate.scoring.lens import answer_logprobs_by_layer

        check_reading(model, rows[0], name)
        return answer_logprobs_by_layer(model.model, rows, answers.ids, batch_size=batch_size)

    scores = _recall(model, "answers by layer", keys, encoded, score, name, prompting)
    rows = [
        (item, layer, yes - no, yes, no)
        for item, key in enumerate(keys)
        for layer, (yes, no) in enumerate(scores.values[key])
    ]
    summary = {**scores.summary(len(keys)), "answers": answers._asdict()}
    return Completed(pd.DataFrame(rows, columns=VALIDATOR_LAYER_COLUMNS), summary)


def answer_tokens(tokenizer: PreTrainedTokenizerBase) -> AnswerTokens:
    """Return the tokens of the variants of yes and no.

    Raises:
        InputError: no variant of yes, or none of no, is a single token.
    """
    single_tokens: list[dict[str, int]] = []
    for variants in (YES, NO):
        ids = {variant: tokenizer(variant, add_special_tokens=False)["input_ids"] for variant in variants}
        single = {variant: row[0] for variant, row in ids.items() if len(row) == 1 and row[0] != tokenizer.unk_token_id}
        if not single:
            raise InputError(
                f"model {tokenizer.name_or_path}: got no token for any of {', '.join(map(repr, variants))}; "
                "allowed: a tokenizer that has one of them as a single token."
            )
        single_tokens.append(single)
    yes, no = single_tokens
    return AnswerTokens(yes, no, [variant for variant in YES + NO if variant not in yes and variant not in no])


def check_reading(model: LanguageModel, ids: list[int], name: str) -> None:
    """Check that a model returns finite probabilities after a prompt, so that other errors are due to the logit lens.

    Raises:
        InputError: the model returns NaN or infinite values.
    """
    import torch

    given = torch.tensor([ids], device=model.model.device)
    with torch.inference_mode():
        logits = model.model(input_ids=given, attention_mask=torch.ones_like(given), use_cache=False).logits
    if not are_distributions(logits[:, -1]).all():
        raise no_numbers(name, f"after {shown(model.tokenizer.decode(ids))}")


def joint_log_odds(token_odds: Sequence[float]) -> tuple[float, float]:
    """Return log p and log p − log(1−p) of a token sequence, from each token's conditional log-odds.

    In float64, from s = −log p = Σ log(1 + e^−odds) and log(1−p) = log(1 − e^−s), on log scales where they are very
    small or near 1, so that neither p nor 1−p is rounded to 0 or 1.
    """
    terms = [_log_of_softplus(-odds) for odds in token_odds]
    greatest = max(terms)
    if math.isinf(greatest):
        return (-math.inf, -math.inf) if greatest > 0 else (-0.0, math.inf)
    log_s = greatest + math.log(math.fsum(math.exp(term - greatest) for term in terms))
    s = math.exp(log_s)
    rest = log_s if log_s < -NEGLIGIBLE else math.log(-math.expm1(-s)) if s < NEGLIGIBLE else -math.exp(-s)
    return -s, -s - rest


def _log_of_softplus(x: float) -> float:
    """Return log log(1 + e^x)."""
    if x < -NEGLIGIBLE:
        return x
    return math.log(x + math.log1p(math.exp(-x))) if x > 0 else math.log(math.log1p(math.exp(x)))


def _recall(
    model: LanguageModel,
    of: str,
    keys: Sequence[Key],
    encoded: Sequence[Any],
    score: Callable[[list[Any], int], Scores],
    name: str,
    prompting: Prompting,
) -> Recalled:
    """Return the value of every key; ``score`` gets the encoded rows of missing keys and a batch size."""
    rows = dict(zip(keys, encoded, strict=True))

    def compute(missing: list[Key]) -> Iterator[dict[Key, Any]]:
        scored = score([rows[key] for key in missing], prompting.settings["batch_size"])
        for batch in progress(scored, total=len(missing), name=name, unit="item", size=len):
            values = {missing[row]: value for row, value in batch.items()}
            check_values(values, name)
            yield values

    return recall(prompting.open_store(log_odds_fingerprint(model.identity, of)), keys, compute)


def _encode_items(
    model: LanguageModel, items: Sequence[GeneratorItem], prompting: Prompting
) -> list[tuple[list[int], list[int]]]:
    """Return the token ids of each prompt, and of the candidate after it."""
    tokenizer, chat = model.tokenizer, prompting.chat
    lead = answer_lead(tokenizer, chat=chat, chat_template_kwargs=prompting.chat_template_kwargs)
    prompts = list(dict.fromkeys(item.prompt for item in items))
    ids = dict(zip(prompts, _encode_prompts(model, prompts, prompting), strict=True))
    encoded = []
    for prompt, candidate in items:
        try:
            (added,) = encode_continuations(tokenizer, prompt, ids[prompt], [candidate], lead=lead, chat=chat)
        except InputError as error:
            raise InputError(
                f"generator prompt {prompt[-60:]!r}, candidate {candidate!r}: for model {tokenizer.name_or_path} the "
                "candidate's first token merges with the prompt's last; allowed: a form that ends where a token ends "
                "(for most tokenizers: after a word, without a space)."
            ) from error
        if not added:
            raise InputError(
                f"candidate {candidate!r}: got no token from the tokenizer of {tokenizer.name_or_path}; "
                "allowed: at least one."
            )
        _check_length(model, prompt, len(ids[prompt]) + len(added))
        encoded.append((ids[prompt], added))
    return encoded


def _encode_prompts(model: LanguageModel, prompts: Sequence[str], prompting: Prompting) -> list[list[int]]:
    """Return the ids of rendered prompts."""
    encoded = [encode_rendered(model.tokenizer, prompt, chat=prompting.chat) for prompt in prompts]
    for prompt, ids in zip(prompts, encoded, strict=True):
        if not ids:
            raise InputError(
                f"prompt {prompt!r}: got no token from the tokenizer of {model.tokenizer.name_or_path}; "
                "allowed: at least one."
            )
        model.check_readable(prompt, ids)
        _check_length(model, prompt, len(ids))
    return encoded


def _check_length(model: LanguageModel, prompt: str, n_tokens: int) -> None:
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if longest is not None and n_tokens > longest:
        raise InputError(f"prompt {prompt[:60]!r}: {n_tokens} tokens; the model reads at most {longest}.")
