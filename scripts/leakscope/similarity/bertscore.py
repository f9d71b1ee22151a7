"""BERTScore F1 of many pairs: each string is embedded once, and each pair is matched independently.

The encoder and the weights of special tokens come from the package bert-score. Its matching is not used: it pads
batches with similarity 0, so the score of a token whose best match is negative depends on the rest of the batch
(observed differences up to 0.001, enough to change a tie). A score here equals the package's for a batch of one pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from leakscope.similarity.embeddings import TokenEmbedding


def f1_scores(concepts: Sequence[str], texts: Sequence[str], embedded: Mapping[str, TokenEmbedding]) -> np.ndarray:
    """Return F1 of ``concepts[i]`` (candidate) and ``texts[i]`` (reference), (n,), float64; no idf, no rescaling.

    With candidate tokens x, reference tokens y and weights w: P = Σ w_x max_y cos(x, y), R = Σ w_y max_x cos(x, y),
    F1 = 2PR / (P + R), or 0 where P + R is 0.

    Args:
        concepts: (n,).
        texts: (n,).
        embedded: string → its token embeddings, for every concept and text.

    Source: Zhang et al. 2020 (arXiv 1904.09675), section 3.
    """
    distinct = sorted(set(texts))
    place = {text: row for row, text in enumerate(distinct)}
    vectors = np.concatenate([embedded[text].vectors for text in distinct])
    weights = np.concatenate([embedded[text].weights for text in distinct])
    starts = np.cumsum([0] + [len(embedded[text].weights) for text in distinct[:-1]])
    rows = np.array([place[text] for text in texts])
    result = np.zeros(len(rows))
    names, owner = np.unique(np.array(concepts, dtype=object), return_inverse=True)
    for number, name in enumerate(names):
        mine = owner == number
        result[mine] = match_all(embedded[name], vectors, weights, starts)[rows[mine]]
    return result


def match_all(candidate: TokenEmbedding, vectors: np.ndarray, weights: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return F1 of one candidate with every reference, (references,).

    Args:
        candidate: its token embeddings.
        vectors: token vectors of all references, one reference after the other, (tokens, width).
        weights: token weights, (tokens,).
        starts: index of the first token of each reference, (references,).
    """
    similarity = candidate.vectors @ vectors.T
    # Reduced over the tokens of each reference: without padding, references do not affect each other's scores.
    precision = candidate.weights @ np.maximum.reduceat(similarity, starts, axis=1).astype(np.float64)
    recall = np.add.reduceat(similarity.max(axis=0).astype(np.float64) * weights, starts)
    total = precision + recall
    scores: np.ndarray = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total != 0)
    return scores
