"""BERTScore F1 of many pairs: each string embedded once, each pair matched by itself.

The encoder and its weights of special tokens are the package bert-score's. Its matching is not used: it pads a batch
with similarity 0, so that what a word scores whose best match is negative depends on what else is in the batch (seen:
differences up to 0.001, enough to turn a tie). Here a pair's score is what the package gives for that pair alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from bert_score import BERTScorer
from bert_score.utils import get_bert_embedding


class TokenEmbeddings(NamedTuple):
    """Unit vectors of all tokens of all strings, one string after the other.

    vectors: (tokens, width), float32.
    weights: (tokens,), each string's sum to 1; special tokens have none but may be matched.
    starts: (strings + 1,), where each string's tokens begin.
    """

    vectors: np.ndarray
    weights: np.ndarray
    starts: np.ndarray


def load_encoder(model: str, num_layers: int) -> BERTScorer:
    """Load an encoder up to one of its layers."""
    return BERTScorer(model_type=model, num_layers=num_layers, idf=False, rescale_with_baseline=False, device="cpu")


def f1_scores(concepts: Sequence[str], texts: Sequence[str], encoder: BERTScorer, batch_size: int) -> np.ndarray:
    """Return F1 of ``concepts[i]`` (candidate) and ``texts[i]`` (reference), (n,), float64; no idf, no rescaling.

    With x over the candidate's tokens, y over the reference's, weights w and cosines: P = Σ w_x max_y cos(x, y),
    R = Σ w_y max_x cos(x, y), F1 = 2PR / (P + R), 0 where P + R is 0.

    Source: Zhang et al. 2020 (arXiv 1904.09675), section 3.
    """
    distinct = sorted(set(texts))
    place = {text: row for row, text in enumerate(distinct)}
    references = embed_tokens(encoder, distinct, batch_size)
    names = sorted(set(concepts))
    candidates = embed_tokens(encoder, names, batch_size)
    rows = np.array([place[text] for text in texts])
    order = {name: number for number, name in enumerate(names)}
    owner = np.array([order[concept] for concept in concepts])
    result = np.zeros(len(rows))
    for number in range(len(names)):
        tokens = slice(candidates.starts[number], candidates.starts[number + 1])
        mine = owner == number
        scores = match_all(candidates.vectors[tokens], candidates.weights[tokens], references)
        result[mine] = scores[rows[mine]]
    return result


def match_all(vectors: np.ndarray, weights: np.ndarray, references: TokenEmbeddings) -> np.ndarray:
    """Return F1 of one candidate, its tokens' ``vectors`` (m, width) and ``weights`` (m,), with every reference."""
    similarity = vectors @ references.vectors.T
    starts = references.starts[:-1]
    precision = weights @ np.maximum.reduceat(similarity, starts, axis=1).astype(np.float64)
    recall = np.add.reduceat(similarity.max(axis=0).astype(np.float64) * references.weights, starts)
    total = precision + recall
    scores: np.ndarray = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total != 0)
    return scores


def embed_tokens(encoder: BERTScorer, strings: Sequence[str], batch_size: int) -> TokenEmbeddings:
    """Embed every string once, those of like length together; the result is in the order given."""
    order = sorted(range(len(strings)), key=lambda row: len(strings[row]))
    weight_of: defaultdict[int, float] = defaultdict(lambda: 1.0)
    weight_of[encoder._tokenizer.sep_token_id] = 0.0
    weight_of[encoder._tokenizer.cls_token_id] = 0.0
    vectors: list[Any] = [None] * len(strings)
    weights: list[Any] = [None] * len(strings)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        embedded, mask, weight = get_bert_embedding(
            [strings[row] for row in batch], encoder._model, encoder._tokenizer, weight_of, device=encoder.device
        )
        unit = embedded / embedded.norm(dim=-1, keepdim=True)
        for place, row in enumerate(batch):
            real = mask[place].bool()
            vectors[row] = unit[place][real].cpu().numpy()
            # A text of nothing but characters that the tokenizer drops has no weight, and scores 0.
            total = weight[place].sum().clamp(min=1.0)
            weights[row] = (weight[place].to(real.device)[real] / total).double().cpu().numpy()
    lengths = [len(row) for row in vectors]
    return TokenEmbeddings(np.concatenate(vectors), np.concatenate(weights), np.concatenate([[0], np.cumsum(lengths)]))
