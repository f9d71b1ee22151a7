"""Embeddings of texts, one vector per text (SentenceBERT) or per token (BERTScore), on the CPU in float32.

Texts with the same number of tokens are batched, so nothing is padded. The fingerprint of stored embeddings includes
this module's code (see ``fingerprints``), so code that only looks them up or compares them is in other modules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bert_score import BERTScorer
    from sentence_transformers import SentenceTransformer


class TokenEmbedding(NamedTuple):
    """The token embeddings of one text.

    vectors: (tokens, width), unit length, float32.
    weights: (tokens,), summing to 1; special tokens have weight 0 but may be matched.
    """

    vectors: np.ndarray
    weights: np.ndarray


def embed_sentences(
    encoder: SentenceTransformer, texts: Sequence[str], batch_size: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield text → its embedding, (width,), unit length, float32, one batch at a time."""
    for batch in _batches(texts, _sentence_lengths(encoder, texts), batch_size):
        vectors = encoder.encode(batch, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
        yield dict(zip(batch, np.asarray(vectors, dtype=np.float32), strict=True))


def embed_tokens(encoder: BERTScorer, texts: Sequence[str], batch_size: int) -> Iterator[dict[str, TokenEmbedding]]:
    """Yield text → its token embeddings, as in the package bert-score, one batch at a time."""
    from bert_score.utils import get_bert_embedding, sent_encode

    weight_of: defaultdict[int, float] = defaultdict(lambda: 1.0)
    weight_of[encoder._tokenizer.sep_token_id] = 0.0
    weight_of[encoder._tokenizer.cls_token_id] = 0.0
    lengths = [len(sent_encode(encoder._tokenizer, text)) for text in texts]
    for batch in _batches(texts, lengths, batch_size):
        embedded, mask, weight = get_bert_embedding(
            batch, encoder._model, encoder._tokenizer, weight_of, device=encoder.device
        )
        unit = embedded / embedded.norm(dim=-1, keepdim=True)
        # A text that has only characters dropped by the tokenizer has total weight 0, and scores 0.
        share = weight / weight.sum(-1, keepdim=True).clamp(min=1.0)
        vectors, weights, real = unit.cpu().numpy(), share.double().cpu().numpy(), mask.bool().cpu().numpy()
        yield {text: TokenEmbedding(vectors[row][real[row]], weights[row][real[row]]) for row, text in enumerate(batch)}


def _sentence_lengths(encoder: SentenceTransformer, texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text; for encoders without a callable tokenizer, of characters."""
    if not callable(encoder.tokenizer):
        return [len(text) for text in texts]
    return [len(ids) for ids in encoder.tokenizer(list(texts), truncation=True)["input_ids"]]


def _batches(texts: Sequence[str], lengths: Sequence[int], size: int) -> Iterator[list[str]]:
    """Yield batches of at most ``size`` texts with the same number of tokens."""
    for _, group in groupby(sorted(zip(lengths, texts, strict=True)), key=itemgetter(0)):
        same = [text for _, text in group]
        for start in range(0, len(same), size):
            yield same[start : start + size]
