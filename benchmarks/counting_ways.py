"""Two ways to count pairs of terms in a corpus, each measured by itself for ``benchmarks/counting.py``."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from leakscope.counting.cooccurrence import by_window, count_documents
from leakscope.counting.lexicons import read_concepts
from leakscope.counting.mentions import Terms
from leakscope.counting.normal_form import normalise
from leakscope.files.corpora import read_corpus
from measuring import ROOT, peak_mb, timed

LEXICONS = ("diseases", "race", "gender")
AXES = {"race": ("diseases", "race"), "gender": ("diseases", "gender")}
WINDOWS = [10, 50, 100, 250]

# The corpus: words by Zipf's law, documents of log-normal length, a mention of each kind after so many words.
N_WORDS, MEDIAN_LENGTH, SPREAD = 40_000, 450, 0.9
WORDS_PER_DISEASE, WORDS_PER_GROUP = 250, 120
SENTENCE, PARAGRAPH = 17, 5
FREQUENT = [
    *("the", "of", "and", "to", "a", "in", "is", "that", "for", "it", "with", "as", "was", "on", "be", "by", "at"),
    *("this", "are", "from", "or", "an", "which", "but", "not", "have", "they"),
]
SYLLABLES = [
    *("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "ro", "su", "ta", "ve", "chi", "pra", "ster", "ment", "con"),
    *("tion", "al", "er", "ing", "re", "un", "qua", "lo"),
]

Texts = Iterable[str]


def make_corpus(folder: str, megabytes: int) -> Mapping[str, Any]:
    """Write ``corpus.jsonl``, the same as .gz and .zst, and a tenth as ``small.jsonl``; return what it is like."""
    plain = Path(folder, "corpus.jsonl")
    size = n_documents = 0
    with plain.open("wb") as whole, Path(folder, "small.jsonl").open("wb") as small:
        for text in _texts():
            line = json.dumps({"text": text}).encode() + b"\n"
            whole.write(line)
            if size < megabytes * 1e5:
                small.write(line)
            size, n_documents = size + len(line), n_documents + 1
            if size >= megabytes * 1e6:
                break
    data = plain.read_bytes()
    Path(folder, "corpus.jsonl.gz").write_bytes(gzip.compress(data, 6))
    Path(folder, "corpus.jsonl.zst").write_bytes(zstandard.compress(data))
    lexicons = _lexicons()
    return {
        "n_documents": n_documents,
        "megabytes": size / 1e6,
        "n_concepts": {name: len(concepts) for name, concepts in lexicons.items()},
        "n_terms": sum(len(terms) for concepts in lexicons.values() for terms in concepts.values()),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("ahocorasick_rs", "zstandard", "numpy")),
    }


def measure_counting(ours: bool, path: str, every: int) -> Mapping[str, Any]:
    """Measure one way on texts that lie in memory.

    Args:
        ours: whether by leakscope, else term by term.
        path: of a corpus.
        every: count every so manyth document.

    Returns:
        ``seconds``, ``others`` (see ``Timed``), ``megabytes`` of text, and ``mentions``: rows of axis, subject, group,
        window and pairs of mentions, of the subjects and groups on whose mentions the two ways agree.
    """
    texts = list(itertools.islice(read_corpus([Path(path)], "text", name="reading"), 0, None, every))
    lexicons = _lexicons()
    count = _ours if ours else _term_by_term
    count(texts[:1], lexicons)
    measured = timed(lambda: count(texts, lexicons))
    apart = _apart(lexicons)
    return {
        "seconds": measured.seconds,
        "others": measured.others,
        "megabytes": sum(map(len, texts)) / 1e6,
        "mentions": [row for row in measured.result if row[1] in apart and row[2] in apart],
    }


def measure_reading(path: str) -> Mapping[str, Any]:
    """Measure leakscope from the file to the counts; return ``seconds``, ``others``, ``megabytes``, ``peak_mb``."""
    terms = Terms(_lexicons(), AXES)
    count_documents([], terms)  # pandas is imported at first use
    measured = timed(lambda: count_documents(read_corpus([Path(path)], "text", name="counting"), terms).totals)
    megabytes = measured.result["bytes"] / 1e6
    return {
        "seconds": measured.seconds,
        "others": measured.others,
        "megabytes": megabytes,
        "peak_mb": peak_mb(),
    }


def _ours(texts: Texts, lexicons: Mapping[str, Mapping[str, Sequence[str]]]) -> list[list[Any]]:
    terms = Terms(lexicons, AXES)
    table = by_window(count_documents(texts, terms).pairs, WINDOWS, terms.sides())
    rows = zip(table["axis"], table["subject"], table["group"], table["window"], table["mentions"], strict=True)
    return [[axis, subject, group, int(window), int(n)] for axis, subject, group, window, n in rows]


def _term_by_term(texts: Texts, lexicons: Mapping[str, Mapping[str, Sequence[str]]]) -> list[list[Any]]:
    """Count as the published code does: search each document for each concept, split it again at each match.

    Faster than that code in one respect, all windows at once instead of one after another, and mended in another: as
    many words before a mention as after it.
    """
    patterns = {
        name: {
            concept: re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(terms, key=len)[::-1]))})\b", re.IGNORECASE)
            for concept, terms in concepts.items()
        }
        for name, concepts in lexicons.items()
    }
    counts: Counter[tuple[str, str, str, int]] = Counter()
    for text in texts:
        places: dict[str, list[tuple[str, int, int]]] = {name: [] for name in lexicons}
        for name, concepts in patterns.items():
            for concept, pattern in concepts.items():
                for match in pattern.finditer(text):
                    first = len(text[: match.start()].split())
                    last = len(text[: match.end()].split()) - 1
                    places[name].append((concept, first, last))
        for axis, (left, right) in AXES.items():
            for (subject, first, last), (group, its_first, its_last) in itertools.product(places[left], places[right]):
                distance = max(0, its_first - last, first - its_last)
                for window in WINDOWS:
                    if distance <= window:
                        counts[axis, subject, group, window] += 1
    keys = (
        (axis, subject, group, window)
        for axis, (left, right) in AXES.items()
        for subject, group, window in itertools.product(lexicons[left], lexicons[right], WINDOWS)
    )
    return [[*key, counts[key]] for key in keys]


def _lexicons() -> dict[str, dict[str, Sequence[str]]]:
    folder = ROOT / "data/ground/medical"
    return {name: {c.id: c.terms for c in read_concepts(folder / f"{name}.csv")} for name in LEXICONS}


def _apart(lexicons: Mapping[str, Mapping[str, Sequence[str]]]) -> set[str]:
    """Return the concepts no term of which is part of another's, or has such a part: there the longest would win."""
    terms = {
        concept: {f" {re.sub(r'[^a-z0-9]+', ' ', normalise(term))} " for term in own}
        for concepts in lexicons.values()
        for concept, own in concepts.items()
    }
    nested = {
        concept
        for one, other in itertools.permutations(terms, 2)
        for a, b in itertools.product(terms[one], terms[other])
        if a in b
        for concept in (one, other)
    }
    return set(terms) - nested


def _texts() -> Iterator[str]:
    """Yield documents without end, always the same."""
    lexicons = _lexicons()
    generator, choose = np.random.default_rng(0), random.Random(0)
    terms = [term for concepts in lexicons.values() for own in concepts.values() for term in own]
    words = _vocabulary(choose, {word.lower() for term in terms for word in term.split()})
    weights = 1 / np.arange(2, N_WORDS + 2)
    through = np.cumsum(weights / weights.sum())
    draw_disease = _drawer(choose, lexicons["diseases"])
    draw_group = _drawer(choose, {**lexicons["race"], **lexicons["gender"]})
    while True:
        n = int(np.clip(generator.lognormal(np.log(MEDIAN_LENGTH), SPREAD), 30, 8000))
        pieces = [words[i] for i in np.searchsorted(through, generator.random(n)).clip(0, N_WORDS - 1)]
        for draw, rarity in ((draw_disease, WORDS_PER_DISEASE), (draw_group, WORDS_PER_GROUP)):
            for place in generator.integers(0, n // 2, n // rarity):
                pieces[2 * place] = draw()  # every other place, so that no two mentions touch
        for place in range(SENTENCE - 1, n, SENTENCE):
            pieces[place] += ".\n\n" if place // SENTENCE % PARAGRAPH == 0 else "."
        for place in range(0, n, SENTENCE):
            pieces[place] = pieces[place][:1].upper() + pieces[place][1:]
        yield " ".join(pieces)


def _vocabulary(choose: random.Random, taken: set[str]) -> list[str]:
    """Return words, the most frequent first; frequent words are shorter."""
    words = dict.fromkeys(FREQUENT)
    while len(words) < N_WORDS:
        syllables = min(4, 2 + len(words) // 300)
        word = "".join(choose.choices(SYLLABLES, k=syllables))
        if word not in taken:
            words[word] = None
    return list(words)


def _drawer(choose: random.Random, concepts: Mapping[str, Sequence[str]]) -> Callable[[], str]:
    """Return a function that draws a term: some concepts are much more frequent than others, and so are names."""
    ids = list(concepts)
    frequency = [1 / (place + 1) for place in range(len(ids))]

    def draw() -> str:
        terms = concepts[choose.choices(ids, frequency)[0]]
        return terms[0] if choose.random() < 0.5 else choose.choice(terms)

    return draw
