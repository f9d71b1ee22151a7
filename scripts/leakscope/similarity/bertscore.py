"""BERTScore F1 of many pairs: each string embedded once, each pair matched by itself.

Encoder and weights of special tokens are the package bert-score's. Its matching is not used: it pads a batch
with similarity 0, so that what a word scores whose best match is negative depends on what else is in the batch (seen:
differences up to 0.001, enough to turn a tie). Here a pair's score is what the package gives for that pair alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from leakscope.similarity.embeddings import TokenEmbedding


def f1_scores(concepts: Sequence[str], texts: Sequence[str], embedded: Mapping[str, TokenEmbedding]) -> np.ndarray:
    """Return F1 of ``concepts[i]`` (candidate) and ``texts[i]`` (reference), (n,), float64; no idf, no rescaling.

    With x over the candidate's tokens, y over the reference's, weights w and cosines: P = Σ w_x max_y cos(x, y),
    R = Σ w_y max_x cos(x, y), F1 = 2PR / (P + R), 0 where P + R is 0.

    Args:
        concepts: (n,).
        texts: (n,).
        embedded: of every concept and text.

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
    """Return F1 of one candidate with every reference.

    Args:
        candidate: its tokens.
        vectors: of all tokens of all references, one reference after the other, (tokens, width).
        weights: theirs, (tokens,).
        starts: where each reference's tokens begin, (references,).
    """
    similarity = candidate.vectors @ vectors.T
    # Over the tokens of each reference: no padding, so that no reference touches another's score.
    precision = candidate.weights @ np.maximum.reduceat(similarity, starts, axis=1).astype(np.float64)
    recall = np.add.reduceat(similarity.max(axis=0).astype(np.float64) * weights, starts)
    total = precision + recall
    scores: np.ndarray = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total != 0)
    return scores
