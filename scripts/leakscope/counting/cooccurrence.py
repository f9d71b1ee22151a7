"""Co-occurrence counts of two lexicons' terms in a corpus, at every distance and so for every window, in one pass.

Words are the parts of a normalised text between spaces; see ``normal_form``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from leakscope.counting.mentions import Terms
from leakscope.counting.normal_form import normalise
from leakscope.errors import InputError

# pandas is imported inside functions: Snakemake may read `FARTHEST` each time it builds its graph.
if TYPE_CHECKING:
    import pandas as pd

FARTHEST = 1000
"""The widest window, in words; pairs of mentions at larger distances share one bin, ``FARTHEST + 1``."""

PAIR_COLUMNS = ["axis", "subject", "group", "distance", "documents", "mentions"]
TERM_COLUMNS = ["lexicon", "concept", "documents", "mentions"]
WINDOW_COLUMNS = ["axis", "subject", "group", "window", "documents", "mentions"]
TOTALS = ("documents", "words", "bytes")

BINS = FARTHEST + 2
# Mentions that are collected before their pairs are counted, and pairs held in memory at a time.
MENTIONS_AT_A_TIME, PAIRS_AT_A_TIME = 1 << 15, 1 << 18

Integers: TypeAlias = NDArray[np.int64]


class Counts(NamedTuple):
    """Counts of a part of a corpus; ``merge`` adds up those of several parts.

    pairs: ``axis, subject, group, distance, documents, mentions``: the number of documents in which this is the pair's
        smallest distance, and the number of pairs of mentions at this distance. Distances without pairs have no row.
    terms: ``lexicon, concept, documents, mentions``, one row per concept.
    totals: ``documents``, ``words`` and ``bytes`` (of the texts in UTF-8).
    """

    pairs: pd.DataFrame
    terms: pd.DataFrame
    totals: dict[str, int]


def count_documents(texts: Iterable[str], terms: Terms) -> Counts:
    """Return the counts of mentions and pairs of mentions in documents; one document at a time is in memory.

    The distance of two mentions is the number of words from the end of the first to the start of the second: 1 for
    neighbours, 0 where they share a word. Both mentions of a pair are in the same document.
    """
    tally = _Tally(terms)
    for text in texts:
        tally.add(text)
    return tally.counts()


def merge(parts: Iterable[Counts]) -> Counts:
    """Return the counts of a whole corpus from those of its parts.

    Raises:
        InputError: there is no part, or parts were counted with different concepts.
    """
    merged: Counts | None = None
    for part in parts:
        merged = part if merged is None else _add(merged, part)
    if merged is None:
        raise InputError("counts: got none; allowed: counts of at least one part of a corpus.")
    return merged


def _add(left: Counts, right: Counts) -> Counts:
    """Return the sum of two parts."""
    import pandas as pd

    if not left.terms[["lexicon", "concept"]].equals(right.terms[["lexicon", "concept"]]):
        raise InputError("counts: got parts counted with different lexicons; allowed: the same lexicons for all.")
    pairs = pd.concat([left.pairs, right.pairs], ignore_index=True)
    terms = pd.concat([left.terms, right.terms], ignore_index=True)
    return Counts(
        pairs.groupby(PAIR_COLUMNS[:4], as_index=False)[PAIR_COLUMNS[4:]].sum(),
        terms.groupby(TERM_COLUMNS[:2], as_index=False)[TERM_COLUMNS[2:]].sum(),
        {name: left.totals[name] + right.totals[name] for name in TOTALS},
    )


def by_window(
    pairs: pd.DataFrame,
    windows: Sequence[int | None],
    sides: Mapping[str, tuple[Sequence[str], Sequence[str]]],
) -> pd.DataFrame:
    """Return co-occurrence counts by window for all pairs, as ``axis, subject, group, window, documents, mentions``.

    Pairs that never co-occur have counts of 0.

    Args:
        pairs: ``Counts.pairs``.
        windows: largest distances in words, at most ``FARTHEST``; None for the whole document.
        sides: ``Terms.sides``. Rows are in the order of ``sides``, then of ``windows``.

    Raises:
        InputError: a window is out of range.
    """
    import pandas as pd

    for window in windows:
        if window is not None and not 0 <= window <= FARTHEST:
            raise InputError(f"window: got {window!r}; allowed: 0 to {FARTHEST} words, or none.")
    names = ["axis", "subject", "group"]
    rows = [(axis, *pair) for axis, (left, right) in sides.items() for pair in _product(left, right)]
    whole = pd.DataFrame(rows, columns=names, dtype="str")
    tables = []
    for number, window in enumerate(windows):
        within = pairs[pairs["distance"] <= (BINS if window is None else window)]
        counted = within.groupby(names, as_index=False)[["documents", "mentions"]].sum()
        table = whole.merge(counted, on=names, how="left").fillna({"documents": 0, "mentions": 0})
        table["window"] = pd.array([window] * len(table), dtype="Int64")
        tables.append(table.assign(place=number, row=range(len(table))))
    if not tables:
        return pd.DataFrame(columns=WINDOW_COLUMNS)
    result = pd.concat(tables).sort_values(["row", "place"], ignore_index=True)[WINDOW_COLUMNS]
    return result.astype({"documents": "int64", "mentions": "int64"})


def _product(left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((one, other) for one in left for other in right)


class _Mentions(NamedTuple):
    """Mentions of one lexicon in order; words are numbered across documents, with wide gaps between documents."""

    document: Integers
    concept: Integers
    start: Integers
    end: Integers


class _Tally:
    """Running counts. Mentions are collected and counted in large blocks, so that array operations pay off."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.totals = dict.fromkeys(TOTALS, 0)
        self.of_terms = {name: np.zeros((len(ids), 2), np.int64) for name, ids in terms.concepts.items()}
        self.of_pairs = {axis: _Sums() for axis in terms.axes}
        self._forget()

    def _forget(self) -> None:
        self.n_documents = self.next_word = 0
        self.document: list[int] = []
        self.pattern: list[int] = []
        self.word: list[int] = []

    def add(self, text: str) -> None:
        """Count a document."""
        form = normalise(text)
        n_words = form.count(" ") + 1 if form else 0
        n_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        for name, n in zip(TOTALS, (1, n_words, n_bytes), strict=True):
            self.totals[name] += n
        mentions = self.terms.find(form)
        if not mentions:
            return
        self.document += [self.n_documents] * len(mentions)
        self.pattern += [pattern for pattern, _ in mentions]
        self.word += [self.next_word + word for _, word in mentions]
        self.n_documents += 1
        # With this gap, mentions of different documents are never within a window.
        self.next_word += n_words + FARTHEST
        if len(self.pattern) >= MENTIONS_AT_A_TIME:
            self._count()

    def counts(self) -> Counts:
        """Return the counts so far, with rows sorted by their keys."""
        import pandas as pd

        self._count()
        pairs = pd.concat([self._frame_of(axis) for axis in self.terms.axes] or [_no_pairs()], ignore_index=True)
        rows = [
            (name, concept, *map(int, numbers))
            for name, concepts in self.terms.concepts.items()
            for concept, numbers in zip(concepts, self.of_terms[name], strict=True)
        ]
        return Counts(
            pairs.sort_values(PAIR_COLUMNS[:4], ignore_index=True),
            pd.DataFrame(sorted(rows), columns=TERM_COLUMNS),
            dict(self.totals),
        )

    def _frame_of(self, axis: str) -> pd.DataFrame:
        import pandas as pd

        subjects, groups = self.terms.sides()[axis]
        pair, distance = np.divmod(self.of_pairs[axis].keys, BINS)
        subject, group = np.divmod(pair, max(1, len(groups)))
        documents, mentions = self.of_pairs[axis].values.T
        frame = pd.DataFrame(
            {
                "axis": pd.Series([axis] * len(pair), dtype="str"),
                "subject": pd.Series([subjects[i] for i in subject], dtype="str"),
                "group": pd.Series([groups[i] for i in group], dtype="str"),
            }
        )
        return frame.assign(distance=distance, documents=documents, mentions=mentions)

    def _count(self) -> None:
        """Count the pairs and terms of the collected mentions, and clear them."""
        document, pattern, start = (np.array(v, np.int64) for v in (self.document, self.pattern, self.word))
        end = start + self.terms.spaces[pattern]
        mentions = {}
        for name, concept_of in self.terms.concept_of.items():
            concept = concept_of[pattern]
            here = concept >= 0
            mentions[name] = _Mentions(document[here], concept[here], start[here], end[here])
            self.of_terms[name] += _count_terms(mentions[name], len(self.of_terms[name]))
        for axis, (left, right) in self.terms.axes.items():
            n_groups = len(self.terms.concepts[right])
            counted = _count_pairs(mentions[left], mentions[right], len(self.terms.concepts[left]), n_groups)
            self.of_pairs[axis].add(*counted)
        self._forget()


class _Sums:
    """Sums by key: ``keys`` ascend, ``values`` has a row (documents, mentions) for each."""

    def __init__(self) -> None:
        self.keys: Integers = np.zeros(0, np.int64)
        self.values: Integers = np.zeros((0, 2), np.int64)

    def add(self, keys: Integers, values: Integers) -> None:
        """Add each row of ``values`` to the sum of its key; keys may repeat."""
        keys, values = np.concatenate([self.keys, keys]), np.concatenate([self.values, values])
        order = np.argsort(keys, kind="stable")
        self.keys, first = np.unique(keys[order], return_index=True)
        self.values = np.add.reduceat(values[order], first, axis=0) if len(first) else values


def _count_terms(mentions: _Mentions, n_concepts: int) -> Integers:
    """Return the numbers of documents and of mentions of each concept, (n_concepts, 2)."""
    in_documents = np.unique(mentions.document * n_concepts + mentions.concept) % max(1, n_concepts)
    counted = [np.bincount(concepts, minlength=n_concepts) for concepts in (in_documents, mentions.concept)]
    return np.stack(counted, axis=1).astype(np.int64)


def _count_pairs(left: _Mentions, right: _Mentions, n_left: int, n_right: int) -> tuple[Integers, Integers]:
    """Return the keys ``(subject × n_right + group) × BINS + distance`` and a row (documents, mentions) for each.

    Only mentions within ``FARTHEST`` words are paired; the number of farther pairs is the total minus the paired ones.
    """
    # A pair in a document has the number document × n_left × n_right + subject × n_right + group.
    together, n_all = _pairs_of_documents(left, right, n_left, n_right)
    if not len(together):
        return together, np.zeros((0, 2), np.int64)
    near = _near_pairs(left, right, n_left, n_right)
    pair, distance = np.divmod(near.keys, BINS)
    place = np.searchsorted(together, pair)
    n_far = n_all.copy()
    np.subtract.at(n_far, place, near.values[:, 1])
    smallest = np.full(len(together), FARTHEST + 1)
    np.minimum.at(smallest, place, distance)
    # A document counts once per pair, at the smallest distance; each pair of mentions counts at its own distance.
    nothing, once = np.zeros_like(together), np.ones_like(together)
    keys = [near.keys, together * BINS + smallest, together * BINS + FARTHEST + 1]
    values = [near.values, np.stack([once, nothing], axis=1), np.stack([nothing, n_far], axis=1)]
    sums = _Sums()
    # The remainder drops the document from the key, so that counts are summed over documents.
    sums.add(np.concatenate(keys) % (n_left * n_right * BINS), np.concatenate(values))
    seen = sums.values.any(axis=1)
    return sums.keys[seen], sums.values[seen]


def _near_pairs(left: _Mentions, right: _Mentions, n_left: int, n_right: int) -> _Sums:
    """Return the numbers of pairs of mentions up to ``FARTHEST``, by (pair in a document) × ``BINS`` + distance."""
    sums = _Sums()
    # Starts and ends both ascend, because mentions in a text do not overlap.
    first = np.searchsorted(right.end, left.start - FARTHEST, "left")
    last = np.searchsorted(right.start, left.end + FARTHEST, "right")
    for i, j in _blocks(first, last):
        distance = np.maximum(0, np.maximum(right.start[j] - left.end[i], left.start[i] - right.end[j]))
        pair = (left.document[i] * n_left + left.concept[i]) * n_right + right.concept[j]
        keys, mentions = np.unique(pair * BINS + distance, return_counts=True)
        sums.add(keys, np.stack([np.zeros_like(mentions), mentions], axis=1))
    return sums


def _pairs_of_documents(left: _Mentions, right: _Mentions, n_left: int, n_right: int) -> tuple[Integers, Integers]:
    """Return the pairs of concepts that share a document, ascending, and their numbers of pairs of mentions there."""
    ours, n_ours = np.unique(left.document * n_left + left.concept, return_counts=True)
    theirs, n_theirs = np.unique(right.document * n_right + right.concept, return_counts=True)
    document, of_theirs = ours // max(1, n_left), theirs // max(1, n_right)
    first, last = (np.searchsorted(of_theirs, document, side) for side in ("left", "right"))
    keys, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for i, j in _blocks(first, last):
        keys.append(ours[i] * n_right + theirs[j] % n_right)
        numbers.append(n_ours[i] * n_theirs[j])
    return np.concatenate(keys), np.concatenate(numbers)


def _blocks(first: NDArray[np.intp], last: NDArray[np.intp]) -> Iterator[tuple[Integers, Integers]]:
    """Yield all pairs ``(i, j)`` with ``first[i] <= j < last[i]`` in order, in blocks of about ``PAIRS_AT_A_TIME``."""
    lengths = last - first
    through = np.cumsum(lengths)
    row = 0
    while row < len(lengths):
        before = through[row] - lengths[row]
        stop = max(row + 1, int(np.searchsorted(through, before + PAIRS_AT_A_TIME, "right")))
        n = lengths[row:stop]
        i = np.repeat(np.arange(row, stop), n)
        j = np.arange(len(i)) - np.repeat(through[row:stop] - n - before - first[row:stop], n)
        yield i, j
        row = stop


def _no_pairs() -> pd.DataFrame:
    import pandas as pd

    texts = {name: pd.Series(dtype="str") for name in PAIR_COLUMNS[:3]}
    return pd.DataFrame({**texts, **{name: pd.Series(dtype="int64") for name in PAIR_COLUMNS[3:]}})
