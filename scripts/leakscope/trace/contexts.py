"""Contexts in a corpus where a concept occurs near its associate: a few per pair, with both words marked.

Mentions and distances are those of ``counting.cooccurrence``, so the contexts shown are among those counted.
"""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pandas as pd

from leakscope.counting.infini_gram import Excerpts
from leakscope.counting.lexicons import ENGLISH, read_concepts
from leakscope.counting.mentions import Terms
from leakscope.counting.normal_form import CJK, normalise
from leakscope.errors import InputError

COLUMNS = [
    "concept_group", "associate", "rank", "n_found", "distance", "concept_first",
    "before", "first", "between", "second", "after",
]  # fmt: skip
AROUND = 12
"""Words shown on each side of a pair."""
MOST_BETWEEN = 30
"""Words shown between two mentions; longer gaps keep the first and last words."""
WORD = re.compile(rf"{CJK.pattern}|(?:(?!{CJK.pattern})\S)+")
EDGES = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)

Pair: TypeAlias = tuple[str, str]


class FoundContext(NamedTuple):
    """Two mentions with their context; the five texts joined are a passage of the document.

    distance: words from the end of the first mention to the start of the second, as ``cooccurrence`` counts them.
    """

    distance: int
    concept_first: bool
    before: str
    first: str
    between: str
    second: str
    after: str


class Spot(NamedTuple):
    """A mention: its concept or associate, the index of its first word, and the index after its last word."""

    name: str
    start: int
    end: int


def find_contexts(
    texts: Iterable[str],
    concepts: Mapping[str, Sequence[str]],
    associates: Mapping[str, Sequence[str]],
    pairs: Collection[Pair],
    *,
    window: int | None,
    most: int,
) -> pd.DataFrame:
    """Return up to ``most`` distinct contexts per pair, as ``COLUMNS``, pairs in the given order.

    The contexts with the smallest digests are kept: a sample of the distinct contexts that does not depend on the order
    of documents and needs memory only for the result. ``n_found`` is the number of places.

    Args:
        texts: documents, read once.
        concepts: concept group → its terms.
        associates: associate → its terms.
        pairs: (concept group, associate) to search for.
        window: largest distance in words; None: the whole document.
        most: contexts per pair.

    Raises:
        InputError: a number is out of range, a pair is unknown, or a term belongs to two entries of one side.
    """
    if (window is not None and window < 0) or most < 1:
        got = f"a window of {window} words and {most} contexts"
        raise InputError(f"contexts: got {got}; allowed: at least 0 words, at least 1 context.")
    for concept, associate in pairs:
        if concept not in concepts or associate not in associates:
            raise InputError(f"contexts: got the pair {concept!r}, {associate!r}; allowed: pairs of the lexicons.")
    terms = Terms({"concepts": concepts, "associates": associates}, {})
    kept = {pair: _KeptContexts(most) for pair in pairs}
    for text in texts:
        form = normalise(text)
        mentions = terms.find(form)
        if mentions:
            _add(text, _spots(terms, mentions, "concepts"), _spots(terms, mentions, "associates"), kept, window)
    rows = [
        (*pair, rank, sample.n_found, *context)
        for pair, sample in kept.items()
        for rank, context in enumerate(sample.contexts(), 1)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(concept_first=table["concept_first"].map({True: "yes", False: "no"}))


def contexts_in_excerpts(
    excerpts: Mapping[Pair, Excerpts],
    concepts: Mapping[str, Sequence[str]],
    associates: Mapping[str, Sequence[str]],
    *,
    window: int,
    most: int,
) -> pd.DataFrame:
    """Return up to ``most`` distinct contexts per pair like ``find_contexts``, from excerpts of an indexed corpus.

    ``n_found`` is the index's count over all its documents, not only the excerpts.

    Args:
        excerpts: pair → excerpts of documents from the index, and the index's count of the pair.
        concepts: concept group → its terms.
        associates: associate → its terms.
        window: in tokens of the index; a word has at least one token, so matches are within as many words.
        most: contexts per pair.
    """
    tables = [
        find_contexts(
            found.texts,
            {pair[0]: concepts[pair[0]]},
            {pair[1]: associates[pair[1]]},
            [pair],
            window=window,
            most=most,
        ).assign(n_found=found.mentions)
        for pair, found in excerpts.items()
    ]
    return pd.concat([table for table in tables if len(table)] or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)


def read_named_terms(path: Path) -> dict[str, tuple[str, ...]]:
    """Return name → terms from a lexicon of a prompt set; names are concept groups or associates.

    Raises:
        InputError: as ``lexicons.read_concepts``.
    """
    return {concept.names[ENGLISH]: concept.terms for concept in read_concepts(path)}


def associated_pairs(candidates: pd.DataFrame, concepts: Collection[str], associates: Collection[str]) -> list[Pair]:
    """Return the associated pairs (concept group, associate) that can be searched for, each once.

    Args:
        candidates: ``candidate, concept_group``.
        concepts: names with terms.
        associates: names with terms; an associate that is a term of a concept (a color after a color) has none.
    """
    rows = candidates[["concept_group", "candidate"]].drop_duplicates().itertuples(index=False, name=None)
    return [(group, text) for group, text in rows if group in concepts and text in associates]


class _KeptContexts:
    """The contexts of a pair with the smallest digests; of equal texts, the one with the nearest mentions."""

    def __init__(self, most: int) -> None:
        self.most, self.n_found = most, 0
        self.kept: list[tuple[bytes, FoundContext]] = []

    def add(self, context: FoundContext) -> None:
        self.n_found += 1
        text = normalise("".join(context[2:]))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        if len(self.kept) == self.most and digest > self.kept[-1][0]:
            return
        place = bisect.bisect_left(self.kept, digest, key=lambda known: known[0])
        if place == len(self.kept) or self.kept[place][0] != digest:
            self.kept.insert(place, (digest, context))
            del self.kept[self.most :]
        elif context.distance < self.kept[place][1].distance:
            self.kept[place] = (digest, context)

    def contexts(self) -> Iterator[FoundContext]:
        return (context for _, context in self.kept)


def _spots(terms: Terms, mentions: Sequence[tuple[int, int]], side: str) -> list[Spot]:
    numbers, names = terms.concept_of[side], terms.concepts[side]
    return [
        Spot(names[numbers[pattern]], word, word + int(terms.spaces[pattern]))
        for pattern, word in mentions
        if numbers[pattern] >= 0
    ]


def _add(
    text: str,
    concepts: Sequence[Spot],
    associates: Sequence[Spot],
    kept: Mapping[Pair, _KeptContexts],
    window: int | None,
) -> None:
    """Add a document's pairs of mentions; a mention that is both concept and associate is not paired with itself."""
    words: list[re.Match[str]] = []
    starts, ends = [spot.start for spot in associates], [spot.end for spot in associates]
    for concept in concepts:
        first = 0 if window is None else bisect.bisect_left(ends, concept.start - window)
        last = None if window is None else bisect.bisect_right(starts, concept.end + window)
        for associate in associates[first:last]:
            sample = kept.get((concept.name, associate.name))
            if sample is not None and concept[1:] != associate[1:]:
                words = words or list(WORD.finditer(text))
                sample.add(_context(text, words, concept, associate))


def _context(text: str, words: Sequence[re.Match[str]], concept: Spot, associate: Spot) -> FoundContext:
    left, right = sorted((concept, associate), key=lambda spot: spot[1:])
    begin, end = words[max(0, left.start - AROUND)].start(), words[min(len(words) - 1, right.end + AROUND)].end()
    (a, b), (c, d) = (_marked(text, words, spot) for spot in (left, right))
    distance = max(0, right.start - left.end)
    pieces = [text[begin:a], text[a:b], text[b:c], text[c:d], text[d:end]]
    if distance > MOST_BETWEEN:
        near = words[left.end + MOST_BETWEEN // 2].end(), words[right.start - MOST_BETWEEN // 2].start()
        pieces[2] = f"{text[b : near[0]]} … {text[near[1] : c]}"
    return FoundContext(distance, left is concept, *(re.sub(r"\s+", " ", piece) for piece in pieces))


def _marked(text: str, words: Sequence[re.Match[str]], spot: Spot) -> tuple[int, int]:
    """Return the character span of a mention in a text, without surrounding punctuation."""
    begin, end = words[spot.start].start(), words[spot.end].end()
    found = EDGES.match(text[begin:end])
    return (begin + len(found[1]), end - len(found[3])) if found and found[2] else (begin, end)
