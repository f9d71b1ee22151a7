"""How likely does a causal model find the sentences of benchmarks of stereotypes?

A sentence's value is the sum of the log-probabilities of all its tokens, in nats, read after the model's beginning, and
after the context that an example has.

* CrowS-Pairs is published for masked models: the pseudo-log-likelihood of the tokens that both sentences share, given
  the tokens in which they differ. Here the differing tokens also count, so that a group with a rare name scores lower.
  Do not compare such values with published ones.
* StereoSet's sentences have different lengths and are compared by the mean over their tokens; its scores are means over
  targets. Both are as published for the part ``intrasentence`` of causal models; for ``intersentence`` the authors
  trained a classifier of next sentences, which is not done here.
* WinoBias tests coreference. Here the sentences of a pair are compared, because they differ only in pronouns. Published
  pairs that differ in more are left out: if a sentence has more words, log-probabilities differ several times as much,
  and such pairs would dominate the mean difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.features.bias.scores import PAIR_COLUMNS, SENTENCES
from leakscope.features.bias.tables import SentencePair
from leakscope.jobs.progress import progress
from leakscope.models.finite import check_values
from leakscope.models.kinds import CAUSAL
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed, ids_digest
from leakscope.models.sentences import encode_sentences
from leakscope.storage.fingerprints import sentence_fingerprint
from leakscope.storage.store import Key, Store, recall


class _Scored(NamedTuple):
    """The log-probability of each token of a text, and the characters that it covers."""

    logprobs: list[float]
    offsets: list[tuple[int, int]]

    def after(self, character: int) -> list[float]:
        """Return the tokens that end after this many characters."""
        return [value for value, (_, end) in zip(self.logprobs, self.offsets, strict=True) if end > character]


def score_pairs(
    model: LanguageModel,
    pairs: Sequence[SentencePair],
    name: str,
    benchmark: str,
    *,
    batch_size: int,
    store: Path | None,
) -> Completed:
    """Return ``PAIR_COLUMNS``, one row a pair, in their order; log-probabilities in nats, each distinct text read once.

    Pairs that are left out are not read, and have no values.

    Args:
        model: causal.
        pairs: of the benchmark.
        name: the model's name in the study.
        benchmark: its name.
        batch_size: sentences to a batch.
        store: the folder of all stores; None keeps nothing.

    Raises:
        InputError: a sentence does not fit the model's context, or the model gives no numbers.
    """
    texts = list(dict.fromkeys(text for pair in pairs for text in _texts(pair) if text is not None))
    encoded = encode_sentences(model, texts)
    keys: dict[str, Key] = {
        text: (text, ids_digest(row.ids, [row.places.start, row.places.stop]))
        for text, row in zip(texts, encoded, strict=True)
    }
    rows = dict(zip(keys.values(), encoded, strict=True))

    def score(missing: list[Key]) -> Iterator[dict[Key, list[float]]]:
        # Imported here: the models' code costs seconds, and a job whose values are all there needs none of it.
        from leakscope.models.sentence_logprobs import TokenRow, score_causal

        batches = score_causal(
            model.model, [TokenRow(rows[key].ids, rows[key].places) for key in missing], batch_size=batch_size
        )
        for batch in progress(batches, total=len(missing), name=f"{name}, {benchmark}", unit="sentence", size=len):
            scored = {missing[row]: values for row, values in batch.items()}
            check_values(scored, name)
            yield scored

    opened = None if store is None else Store(store, sentence_fingerprint(model.identity, CAUSAL))
    recalled = recall(opened, list(keys.values()), score)
    scored = {text: _Scored(recalled.values[key], rows[key].offsets) for text, key in keys.items()}
    table = pd.DataFrame([_row(pair, scored) for pair in pairs], columns=PAIR_COLUMNS[2:])
    named = table.assign(model=name, benchmark=benchmark)[PAIR_COLUMNS]
    counts = {f"tokens_{sentence}": "Int64" for sentence in SENTENCES}
    return Completed(named.astype({"target": "object", **counts}), recalled.summary(len(keys)))


def _texts(pair: SentencePair) -> list[str | None]:
    """Return the texts that a model reads: each sentence, after its context if it has one; none of pairs left out."""
    if pair.left_out:
        return [None] * len(SENTENCES)
    lead = "" if pair.context is None else f"{pair.context} "
    return [None if sentence is None else lead + sentence for sentence in pair.sentences()]


def _row(pair: SentencePair, scored: dict[str, _Scored]) -> tuple[object, ...]:
    before = 0 if pair.context is None else len(pair.context)
    by_sentence = [None if text is None else scored[text].after(before) for text in _texts(pair)]
    sums = [math.nan if logprobs is None else math.fsum(logprobs) for logprobs in by_sentence]
    lengths = [None if logprobs is None else len(logprobs) for logprobs in by_sentence]
    cluster = pair.pair_id if pair.cluster is None else pair.cluster
    return (pair.pair_id, pair.part, pair.bias_type, pair.target, cluster, *sums, sums[0] - sums[1], *lengths)
