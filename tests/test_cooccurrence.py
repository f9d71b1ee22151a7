"""Counting in a corpus, held against a slow and obvious count of the same; and the shards it is read from."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import tracemalloc
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pandas as pd
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leakscope.counting import cooccurrence
from leakscope.counting.cooccurrence import FARTHEST, Counts, by_window, count_documents, merge
from leakscope.counting.mentions import Terms
from leakscope.counting.normal_form import normalise
from leakscope.errors import InputError
from leakscope.files import corpora
from leakscope.files.corpora import read_corpus, read_texts, shard_files

LEXICONS = {
    "diseases": {
        "arthritis": ["arthritis", "joint pain"],
        "rheumatoid": ["Rheumatoid Arthritis", "arthritis x"],
        "lung": ["black lung disease", "café-au-lait"],
        "crohn": ["Crohn’s"],
        "zh": ["关节炎", "炎 症"],
    },
    "peoples": {
        "black": ["black", "black people", "黒"],
        "white": ["white", "白人", "c++"],
        "joint": ["joint", "x"],
    },
    "kinds": {"pain": ["pain", "x"], "none": ["never there", ".net"]},
}
AXES = {"main": ("diseases", "peoples"), "other": ("peoples", "kinds")}
TERMS = Terms(LEXICONS, AXES)
WINDOWS = [0, 1, 2, 3, 5, 10, 999, 1000, None]


def is_cjk(character: str) -> bool:
    return unicodedata.name(character, "").startswith(
        ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA")
    )


def slow_form(text: str) -> str:
    """Return what ``normalise`` should, a character at a time."""
    form = ""
    for character in unicodedata.normalize("NFC", text.lower()):
        if character.isspace():
            form += " "
        elif is_cjk(character):
            form += " " + character + " "
        else:
            form += {"’": "'", "‘": "'", "\ud800": "\ufffd"}.get(character, character)
    while "  " in form:
        form = form.replace("  ", " ")
    return form.strip()


def slow_mentions(text: str) -> list[tuple[list[tuple[str, str]], int, int]]:
    """Return, for each mention, its concepts and its first and last word."""
    form = slow_form(text)
    owners: dict[str, list[tuple[str, str]]] = {}
    for lexicon, concepts in LEXICONS.items():
        for concept, terms in concepts.items():
            for term in terms:
                owners.setdefault(slow_form(term), []).append((lexicon, concept))

    def ends_a_word(place: int) -> bool:
        if not 0 <= place < len(form):
            return True
        return not (form[place].isalnum() or form[place] == "_" or unicodedata.category(form[place]).startswith("M"))

    of_character = [0, *itertools.accumulate(character == " " for character in form)]
    found, start = [], 0
    while start < len(form):
        fitting = [
            term
            for term in owners
            if form.startswith(term, start) and ends_a_word(start - 1) and ends_a_word(start + len(term))
        ]
        if fitting:
            term = max(fitting, key=len)
            found.append((owners[term], of_character[start], of_character[start + len(term)]))
        start += len(max(fitting, key=len)) if fitting else 1
    return found


def slow_pairs(texts: Sequence[str]) -> dict[tuple[str, str, str, int | None], tuple[int, int]]:
    """Return (axis, subject, group, window) → documents and pairs of mentions, where there are any."""
    documents: Counter[tuple[str, str, str, int | None]] = Counter()
    mentions: Counter[tuple[str, str, str, int | None]] = Counter()
    for text in texts:
        distances: dict[tuple[str, str, str], list[int]] = {}
        for one, other in itertools.product(slow_mentions(text), repeat=2):
            for (lexicon, subject), (its_lexicon, group) in itertools.product(one[0], other[0]):
                for axis, sides in AXES.items():
                    if sides == (lexicon, its_lexicon):
                        distance = max(0, one[1] - other[2], other[1] - one[2])
                        distances.setdefault((axis, subject, group), []).append(distance)
        for pair, seen in distances.items():
            for window in WINDOWS:
                near = [distance for distance in seen if window is None or distance <= window]
                mentions[(*pair, window)] += len(near)
                documents[(*pair, window)] += bool(near)
    return {key: (documents[key], n) for key, n in mentions.items() if n}


def counted_pairs(counts: Counts) -> dict[tuple[str, str, str, int | None], tuple[int, int]]:
    table = by_window(counts.pairs, WINDOWS, TERMS.sides())
    assert len(table) == (5 * 3 + 3 * 2) * len(WINDOWS)
    return {
        (row.axis, row.subject, row.group, None if pd.isna(row.window) else row.window): (row.documents, row.mentions)
        for row in table.itertuples()
        if row.mentions or row.documents
    }


def same(one: Counts, other: Counts) -> bool:
    return one.pairs.equals(other.pairs) and one.terms.equals(other.terms) and one.totals == other.totals


ENGLISH = [
    *("arthritis", "Rheumatoid", "ARTHRITIS", "joint", "pain", "black", "Black", "lung"),
    *("disease", "people", "white", "x", "xy", "never", "there"),
]
ODD = [
    *("Crohn's", "crohn’s", "Crohn‘s", "c++", "C++x", "CAFÉ-au-lait", "cafe\u0301-AU-LAIT"),
    *("_", "é", "1", "İ", "ß", "\u0301", "\ud800"),
]
ASIAN = ["关节炎", "炎", "症", "白人", "白", "人", "黒", "くろ", "カ\u3099", "ガ"]
GAPS = ["", "\n", "\r\n", "\t", "  ", "\u00a0", "\u2028", "-", ". ", ", ", "(", "’", "w " * 3]
words = st.sampled_from([*ENGLISH, *ENGLISH, *ODD, *ASIAN])
gaps = st.sampled_from([" "] * 4 + GAPS)
documents = st.lists(st.tuples(words, gaps), max_size=25).map(lambda parts: "".join(itertools.chain(*parts)))


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(documents, max_size=4), mentions=st.integers(1, 9), pairs=st.integers(1, 9))
@example(texts=["rheumatoid\narthritis xy, black lung disease; arthritis x"], mentions=1, pairs=1)
@example(texts=["", "black" + " w" * 998 + " arthritis arthritis arthritis", " \n"], mentions=2, pairs=2)
@example(texts=["joint pain" + " w" * 999 + " black people" + " w" * 999 + " joint pain"], mentions=9, pairs=9)
@example(texts=["c++.net", "C++ .NET", "x.net"], mentions=9, pairs=9)
@example(texts=["black-white-black arthritis " * 3 + "w " * 1003 + "joint pain white", "x x x"], mentions=99, pairs=5)
def test_counts_are_those_of_a_slow_count(texts: list[str], mentions: int, pairs: int) -> None:
    limits = {"MENTIONS_AT_A_TIME": mentions, "PAIRS_AT_A_TIME": pairs}
    with mock.patch.multiple(cooccurrence, **limits):
        counts = count_documents(iter(texts), TERMS)
    assert counted_pairs(counts) == slow_pairs(texts)
    seen = [[concept for concepts, *_ in slow_mentions(text) for concept in concepts] for text in texts]
    in_all, in_documents = (Counter(itertools.chain(*lists)) for lists in (seen, map(set, seen)))
    rows = [(name, concept) for name in sorted(LEXICONS) for concept in sorted(LEXICONS[name])]
    expected = [(*row, in_documents[row], in_all[row]) for row in rows]
    assert list(counts.terms.itertuples(index=False, name=None)) == expected
    assert counts.totals == {
        "documents": len(texts),
        "words": sum(len(slow_form(text).split()) for text in texts),
        "bytes": sum(len(text.encode("utf-8", "surrogatepass")) for text in texts),
    }


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(documents, max_size=8), cuts=st.lists(st.integers(0, 8), max_size=3))
def test_shards_together_are_the_whole(texts: list[str], cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(texts)]
    parts = [count_documents(texts[first:last], TERMS) for first, last in itertools.pairwise(edges)]
    whole = count_documents(itertools.chain(*(texts[first:last] for first, last in itertools.pairwise(edges))), TERMS)
    assert same(merge(parts), whole)
    assert same(merge(reversed(parts)), whole)
    assert same(merge([whole]), whole)


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(documents, st.text()))
def test_a_normalised_text_stays_as_it_is(text: str) -> None:
    form = normalise(text)
    assert normalise(form) == form
    assert form.split() == (form.split(" ") if form else [])
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rheumatoid arthritis", ["rheumatoid"]),
        ("arthritis xy", ["arthritis"]),
        ("arthritis x", ["rheumatoid"]),
        ("Black lung disease and black people", ["lung", "black"]),
        ("polyarthritis arthritis_ arthritis2 arthritis\u0301 2arthritis _arthritis", []),
        ("arthritis's (arthritis) non-arthritis arthritis,", ["arthritis"] * 4),
        ("患者有关节炎，白人", ["zh", "white"]),
        ("joint\n\n pain", ["arthritis"]),
        ("CROHN’S", ["crohn"]),
        ("c++.net", ["white", "none"]),
    ],
)
def test_mentions_are_whole_words_and_the_longest(text: str, expected: list[str]) -> None:
    names = {name: list(concepts) for name, concepts in LEXICONS.items()}
    found = []
    for pattern, _ in TERMS.find(normalise(text)):
        concept = next((name, of[pattern]) for name, of in TERMS.concept_of.items() if of[pattern] >= 0)
        found.append(names[concept[0]][concept[1]])
    assert found == expected


def test_many_mentions_in_one_document_are_counted_exactly() -> None:
    """10,000 of each, so a hundred million pairs: a stands at 4i, b at 4j + 2."""
    n = 10_000
    terms = Terms({"a": {"a": ["aa"]}, "b": {"b": ["bb"]}}, {"axis": ("a", "b")})
    pairs = count_documents(["aa x bb y " * n], terms).pairs
    expected = {4 * k + 2: 2 * n - 2 * k - 1 for k in range(250)}
    expected[FARTHEST + 1] = n * n - sum(expected.values())
    assert dict(zip(pairs["distance"], pairs["mentions"], strict=True)) == expected
    assert dict(zip(pairs["distance"], pairs["documents"], strict=True)) == {d: int(d == 2) for d in expected}


def test_rows_of_windows_keep_the_order_asked_for() -> None:
    table = by_window(count_documents(["black arthritis"], TERMS).pairs, [None, 5], {"main": (["zh", "lung"], ["x"])})
    assert table["subject"].tolist() == ["zh", "zh", "lung", "lung"]
    assert table["window"].isna().tolist() == [True, False] * 2
    assert table[["documents", "mentions"]].to_numpy().tolist() == [[0, 0]] * 4
    assert list(by_window(count_documents([], TERMS).pairs, [], TERMS.sides())) == list(table)


@pytest.mark.parametrize("window", [-1, FARTHEST + 1])
def test_a_window_beyond_the_farthest_is_refused(window: int) -> None:
    with pytest.raises(InputError, match="window: got"):
        by_window(count_documents([], TERMS).pairs, [10, window], TERMS.sides())


@pytest.mark.parametrize(
    ("lexicons", "axes", "message"),
    [
        ({"a": {"x": ["t"]}, "b": {"y": ["u"]}}, {"m": ("a", "c")}, "axis 'm': lexicon: got 'c'"),
        ({"a": {"x": ["t"]}}, {"m": ("a", "a")}, "axis 'm': got 'a' on both sides"),
        ({"a": {"x": ["t", " \n"]}}, {}, r"lexicon 'a', concept 'x': got the term ' \\n'"),
        ({"a": {"x": ["T’s"], "y": ["t's"]}}, {}, "lexicon 'a', concept 'y': got \"t's\", also a term of 'x'"),
        ({"a": {}}, {}, "lexicons: got no term"),
    ],
)
def test_a_wrong_lexicon_is_one_line(
    lexicons: dict[str, dict[str, list[str]]], axes: dict[str, tuple[str, str]], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Terms(lexicons, axes)
    assert "allowed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_counts_of_the_same_concepts_are_merged() -> None:
    other = Terms({"a": {"x": ["t"]}}, {})
    with pytest.raises(InputError, match="counted with different lexicons"):
        merge([count_documents([], TERMS), count_documents([], other)])
    with pytest.raises(InputError, match="counts: got none"):
        merge([])


# Shards.

TEXTS = ["black arthritis", "", "白人 \u2028 关节炎", "joint\npain and white"]


def lines(texts: Sequence[str], key: str = "text") -> bytes:
    return b"".join(json.dumps({"id": 1, key: text}, ensure_ascii=False).encode() + b"\n" for text in texts)


def packed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    return zstandard.compress(data) if suffix == ".zst" else data


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_every_format_gives_the_same_texts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"shard.jsonl{suffix}"
    path.write_bytes(packed(lines(TEXTS), suffix))
    read = list(read_texts(path, "text"))
    assert [text for text, _ in read] == TEXTS
    assert sum(n for _, n in read) == path.stat().st_size
    assert same(count_documents(read_corpus([path], "text", name="x"), TERMS), count_documents(TEXTS, TERMS))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_frames_blank_lines_and_a_last_line_without_end(tmp_path: Path, suffix: str) -> None:
    """Files that were put together from several, cut within a line."""
    data = b"\xef\xbb\xbf\n" + lines(TEXTS[:1], "body") + b"\r\n  \n" + lines(TEXTS[1:], "body").rstrip()
    path = tmp_path / f"shard.jsonl{suffix}"
    path.write_bytes(b"".join(packed(data[i : i + 40], suffix) for i in range(0, len(data), 40)))
    assert [text for text, _ in read_texts(path, "body")] == TEXTS


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_lines_longer_than_what_is_read_at_once(tmp_path: Path, suffix: str) -> None:
    texts = [f"{number} " * 40_000 for number in range(4)]
    path = tmp_path / f"shard.jsonl{suffix}"
    path.write_bytes(packed(lines(texts), suffix))
    assert [text for text, _ in read_texts(path, "text")] == texts


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(TEXTS))
    assert [text for text, _ in read_texts(path, "text")] == TEXTS


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b'{"text": "a"', ["line 3", "invalid JSON"]),
        (b'["text"]', ["line 3", "JSON list"]),
        (b'{"body": "a"}', ["line 3", "no key 'text' among 'body'"]),
        (b"{}", ["line 3", "no key 'text' among none"]),
        (b'{"text": null}', ["line 3", "key 'text'", "NoneType"]),
        (b'{"text": ["a"]}', ["line 3", "key 'text'", "list"]),
        (b'{"text": "\xff"}', ["line 3", "0xff", "offset 10", "UTF-8"]),
        (b"[" * 100_000, ["line 3", "invalid JSON"]),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_bad_line_is_one_line(tmp_path: Path, suffix: str, line: bytes, parts: list[str]) -> None:
    path = tmp_path / f"shard.jsonl{suffix}"
    path.write_bytes(packed(lines(TEXTS[:1]) + b"\n" + line + b"\n" + lines(TEXTS), suffix))
    message = refusal(path)
    for part in parts:
        assert part in message


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_noticed(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"shard.jsonl{suffix}"
    data = packed(lines([f"{n**5} text" for n in range(3000)]), suffix)
    path.write_bytes(data[: int(len(data) * kept)])
    message = refusal(path)
    assert "after line" in message or "invalid JSON" in message
    path.write_bytes(packed(b"", suffix) + b"no such file")
    assert "damaged or missing bytes" in refusal(path)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        list(read_texts(path, "text"))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "allowed" in message
    assert "\n" not in message
    return message


def test_shards_are_a_file_a_folder_or_a_pattern(tmp_path: Path) -> None:
    names = ["b.jsonl.zst", "a.jsonl", "c.jsonl.gz", "c.txt", ".d.jsonl", "more/e.jsonl"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "f.jsonl").mkdir()
    found = lambda path: [str(file.relative_to(tmp_path)) for file in shard_files(path)]  # noqa: E731
    assert found(tmp_path) == ["a.jsonl", "b.jsonl.zst", "c.jsonl.gz"]
    assert found(str(tmp_path / "a.jsonl")) == ["a.jsonl"]
    assert found(tmp_path / "*.jsonl*") == ["a.jsonl", "b.jsonl.zst", "c.jsonl.gz"]
    assert found(str(tmp_path / "**/*.jsonl")) == ["a.jsonl", "more/e.jsonl"]


@pytest.mark.parametrize("name", ["missing", "empty", "notes.txt", "*.jsonl"])
def test_a_corpus_without_shards_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="allowed") as caught:
        shard_files(tmp_path / name)
    assert ".jsonl.zst" in str(caught.value)


def test_a_shard_that_vanished_is_one_line(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "shard.jsonl")
    with pytest.raises(InputError, match="No such file"):
        list(read_corpus([tmp_path / "shard.jsonl"], "text", name="x"))


def test_progress_is_told_in_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(corpora, "MEGABYTE", 100)
    monkeypatch.setattr("leakscope.jobs.progress.SECONDS_BETWEEN_LINES", 0.0)
    paths = [tmp_path / f"{number}.jsonl" for number in range(2)]
    for path in paths:
        path.write_bytes(lines(["x" * 80] * 50))
    assert len(list(read_corpus(paths, "text", name="counting x"))) == 100
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("counting x")
    total = sum(path.stat().st_size for path in paths) // 100
    assert f"{total} of {total} megabytes" in told[-1]


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    def peak(n: int) -> int:
        generator = random.Random(n)
        texts = [f"black {generator.randbytes(2000).hex(' ', 4)} arthritis white" for _ in range(n)]
        path = tmp_path / f"{n}.jsonl.zst"
        path.write_bytes(packed(lines(texts), ".zst"))
        del texts
        tracemalloc.start()
        with mock.patch.object(cooccurrence, "MENTIONS_AT_A_TIME", 100):
            counts = count_documents(read_corpus([path], "text", name="x"), TERMS)
        assert counts.totals["documents"] == n
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(10)  # what is imported at first use
    few, many = peak(200), peak(1600)
    assert many < 1.2 * few < 1600 * 4000
