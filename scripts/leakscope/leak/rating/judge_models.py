"""Judge models: a local model chooses the most probable answer; a model behind a server writes an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from leakscope.errors import InputError
from leakscope.jobs.progress import progress
from leakscope.leak.rating.judge_prompts import JudgePrompts, first_wordings, read_answer
from leakscope.leak.rating.vocabulary import CANNOT_TELL
from leakscope.leak.served_texts import question_of
from leakscope.models.finite import check_values
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.placing import PLACEHOLDER
from leakscope.models.prompts.prompting import Prompting, ids_digest, read_prompts
from leakscope.models.prompts.rendering import answer_lead, encode_continuations
from leakscope.models.sampling import Decoding
from leakscope.storage.fingerprints import score_fingerprint
from leakscope.storage.store import Key, recall
from leakscope.web.spending import spent
from leakscope.web.writing import Writer

# Answers are short: batches are as large as for scoring candidates.
PROMPTS_PER_QUESTION = 4


class Judged(NamedTuple):
    """An answer to each prompt, with a summary of what was computed (see ``store.Recalled.summary``)."""

    answers: list[str]
    summary: dict[str, Any]


def choose(
    model: LanguageModel, asked: Sequence[str], prompts: JudgePrompts, name: str, prompting: Prompting
) -> Judged:
    """Return the most probable answer of a local model to each prompt; never ``unparsable``.

    The first wording of each answer is scored exactly, Σ_t log p(token t | prompt, tokens before t), at temperature 1.
    Ties give ``cannot_tell``.

    Args:
        model: causal.
        asked: user turns.
        prompts: the judge's prompts, with the wordings of answers.
        name: the model's, for messages.
        prompting: how the model is prompted; of its settings only ``batch_size`` is used.

    Raises:
        InputError: a prompt does not fit the model's context, its tokenizer has the same tokens for two answers, or the
            model gives NaN.
    """
    wordings = first_wordings(prompts.answers)
    questions = _questions(model, asked, list(wordings.values()), prompts.system, prompting)
    keys: list[Key] = [(text, ids_digest(ids, *added)) for text, ids, added in questions]
    by_key = {key: (ids, added) for key, (_, ids, added) in zip(keys, questions, strict=True)}
    decoding = Decoding(temperature=1.0)
    batch_size = max(1, prompting.settings["batch_size"] // PROMPTS_PER_QUESTION)

    def score(missing: list[Key]) -> Iterator[dict[Key, list[float]]]:
        from leakscope.models.candidates import PromptCandidates, score_candidates

        batches = score_candidates(
            model.model,
            [PromptCandidates(*by_key[key]) for key in missing],
            decoding,
            batch_size=batch_size,
            never=model.never_written,
        )
        waiting = iter(missing)
        for batch in progress(batches, total=len(missing), name=name, unit="question", size=len):
            values = {next(waiting): score.logprob for score in batch}
            check_values(values, name)
            yield values

    fingerprint = score_fingerprint(model.as_writer(model.identity), decoding._asdict(), chat=prompting.chat)
    scores = recall(prompting.open_store({**fingerprint, "prompts": prompts.version}), keys, score)
    answers = [most_probable(dict(zip(wordings, scores.values[key], strict=True))) for key in keys]
    return Judged(answers, scores.summary(len(keys)))


def most_probable(logprobs: Mapping[str, float]) -> str:
    """Return the answer with the highest log-probability; ``cannot_tell`` in a tie."""
    highest = max(logprobs.values())
    best = [answer for answer, value in logprobs.items() if value == highest]
    return best[0] if len(best) == 1 else CANNOT_TELL


def ask_server(writer: Writer, asked: Sequence[str], prompts: JudgePrompts) -> Judged:
    """Return the answer that a model behind a server writes to each prompt, parsed strictly.

    Args:
        writer: of the model, under the version of the prompts.
        asked: user turns.
        prompts: the judge's prompts, with the wordings of answers.

    Raises:
        InputError: as ``Writer.write``.
    """
    shown = {"template": PLACEHOLDER, "system": prompts.system}
    questions = [question_of(prompt, shown, writer.manner.api) for prompt in asked]
    texts = writer.write(dict.fromkeys(questions, 1))
    answers = [read_answer(str(texts.records[*question, 0]["text"]), prompts.answers) for question in questions]
    summary = {"total": len(asked), "computed": len(texts.fresh), "reused": len(asked) - len(texts.fresh)}
    records = [texts.records[*question, 0] for question in dict.fromkeys(questions)]
    paid = spent([record["request"] for record in records if "request" in record], writer.budget.prices)
    return Judged(answers, {**summary, "store": texts.store, **paid})


def _questions(
    model: LanguageModel, asked: Sequence[str], wordings: Sequence[str], system: str, prompting: Prompting
) -> list[tuple[str, list[int], list[list[int]]]]:
    """Return each rendered prompt, its ids, and the ids that each answer adds."""
    most = max(len(wording.encode()) for wording in wordings)  # a token has a byte at least
    settings = {**prompting.settings, "template": PLACEHOLDER, "system": system, "max_new_tokens": most}
    rendered, ids = read_prompts(model, pd.Series(asked, dtype="str"), prompting._replace(settings=settings))
    lead = answer_lead(model.tokenizer, chat=prompting.chat, chat_template_kwargs=prompting.chat_template_kwargs)
    found = []
    for text, row in zip(rendered, ids, strict=True):
        added = encode_continuations(model.tokenizer, text, row, wordings, lead=lead, chat=prompting.chat)
        if len(set(map(tuple, added))) < len(wordings) or not all(added):
            raise InputError(
                f"model {model.tokenizer.name_or_path}: got the same tokens for several of the answers "
                f"{', '.join(wordings)}; allowed: a judge whose tokenizer distinguishes them."
            )
        found.append((text, row, added))
    return found
