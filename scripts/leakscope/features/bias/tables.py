"""Reading benchmarks of stereotypes in their published formats.

* ``winobias`` (Zhao et al. 2018, arXiv 1804.06876): files ``pro_stereotyped_type1.txt.dev`` and
  ``anti_stereotyped_type1.txt.dev``, a sentence a line, after its number or without, the pronoun and whom it refers to
  in brackets; one of the two, or a folder of such files. Pairs that differ in more than their pronouns ("because she
  needed a desk", "because he needed one") are marked as left out. Or a CSV or TSV with a sentence that has ``[MASK]``
  in place of the pronoun, the stereotyped pronoun and the other pronoun.
* ``stereoset`` (Nadeem et al. 2021, arXiv 2004.09456): ``dev.json``. A sentence of the part ``intersentence`` is read
  after its context.
* ``crows_pairs`` (Nangia et al. 2020, arXiv 2010.00133): ``crows_pairs_anonymized.csv``. ``sent_more`` is the
  stereotyping sentence of a pair in both directions, ``stereo`` and ``antistereo``.
* ``winogender`` (Rudinger et al. 2018, arXiv 1804.09301): ``all_sentences.tsv``, with ``occupations-stats.tsv`` in the
  same folder, or the folder. A pair is the sentence with *he* and the one with *she* whose pronoun is the occupation's;
  the stereotype is *she* where the table has more than 50 % women (``bls_pct_female``). Sentences with *they*, and
  those whose pronoun is the other person's, of whom nothing is known, are not read.

Imports neither pandas nor models: rules ask for files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from leakscope.errors import InputError, Mistakes, counted, one_of
from leakscope.files.known_formats import known_format
from leakscope.files.reading import read_json, read_utf8
from leakscope.files.tables import read_rows
from leakscope.typed.wording import show

PRO, ANTI = "pro_stereotyped", "anti_stereotyped"
SENTENCES, SHARES = "all_sentences.tsv", "occupations-stats.tsv"
SHARE_COLUMNS = ("occupation", "bls_pct_female")
HALF = 50
TABLES = (".csv", ".tsv")
BLANK = "[MASK]"
# Pairs that a warning names.
SHOWN = 3
# The part of pairs without a known type.
UNTYPED = "untyped"
GOLD = {"stereotype": "stereotype", "anti-stereotype": "anti", "unrelated": "unrelated"}
PARTS = ("intrasentence", "intersentence")
DIRECTIONS = ("stereo", "antistereo")
# What tables of others call our columns.
KNOWN_AS = {
    "sentence": ("sentence", "cloze_phrase"),
    "pronoun": ("pronoun", "bias_pronoun"),
    "anti_pronoun": ("anti_pronoun", "anti_bias_pronoun"),
}
# Pronouns by which a pair may differ, in addition to the words that its authors put in brackets.
PRONOUNS = {"he", "she", "him", "her", "his", "hers", "himself", "herself"}
PERCENT = re.compile(r"\d{1,3}(\.\d{1,15})?", re.ASCII)
NUMBER = re.compile(r"^(\d+)\s+")
TYPE = re.compile(r"type\d+")
# Occupation, other person, whose the pronoun is (0: the occupation's), its gender.
SENTENCE_ID = re.compile(r"([^.]+)\.([^.]+)\.([01])\.(male|female|neutral)(?:\.txt)?")
SOMEONE = "someone"


class SentencePair(NamedTuple):
    """Two sentences that differ in what they say of a group.

    part: of the benchmark.
    bias_type: what the group is one of.
    stereotype: the sentence with the stereotype.
    anti: the sentence against the stereotype.
    unrelated: a sentence that makes no sense in their place; None if there is none.
    target: the group or word that the pair is about, where the benchmark says it.
    context: a text before the sentences; None if there is none.
    left_out: whether the pair is not compared, because its sentences also differ in other words.
    cluster: what the pair shares with others, whose outcomes are thus not independent of its own: the target, or the
        person that the pronoun is of; None: nothing that the benchmark says.
    """

    pair_id: str
    part: str
    bias_type: str
    stereotype: str
    anti: str
    unrelated: str | None = None
    target: str | None = None
    context: str | None = None
    left_out: bool = False
    cluster: str | None = None

    def sentences(self) -> list[str | None]:
        """Return the sentences in the order above."""
        return [self.stereotype, self.anti, self.unrelated]


def bias_files(benchmark_format: str, path: str | Path) -> list[Path]:
    """Return the files of a benchmark, sorted; of WinoBias as text, both files of every pair.

    Args:
        benchmark_format: one of ``READERS``.
        path: of a file, or of a folder of WinoBias's or Winogender's files.

    Raises:
        InputError: a file is not there, or lacks its other half.
    """
    if benchmark_format not in READERS:
        raise one_of("benchmark format", benchmark_format, READERS)
    place = Path(path)
    if benchmark_format == "winobias" and place.is_dir():
        files = sorted(file for file in place.iterdir() if file.name.startswith(PRO))
        if not files:
            raise InputError(f"{place}: got no {PRO}*.txt* in the folder; allowed: the files of WinoBias.")
    elif benchmark_format == "winogender":
        sentences = place / SENTENCES if place.is_dir() else place
        files = [sentences.with_name(SENTENCES) if sentences.name == SHARES else sentences, sentences.with_name(SHARES)]
    else:
        files = [place]
    if benchmark_format == "winobias" and files[0].suffix.lower() not in TABLES:
        files = sorted(half for file in files for half in _halves(file))
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: got no such file; allowed: a path that exists.")
    return files


def read_pairs(benchmark_format: str, paths: str | Path | Iterable[str | Path]) -> list[SentencePair]:
    """Return the pairs of a benchmark, in the order of its files.

    Args:
        benchmark_format: one of ``READERS``.
        paths: as ``bias_files`` takes or returns them.

    Raises:
        InputError: a file has another form (the message names the row or line, and the key), a pair occurs twice, or
            all pairs are left out.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    files = list(dict.fromkeys(file for path in given for file in bias_files(benchmark_format, path)))
    pairs = READERS[benchmark_format](files)
    seen: set[str] = set()
    for pair in pairs:
        if pair.pair_id in seen:
            raise InputError(f"{files[0]}: got the pair {pair.pair_id!r} twice; allowed: each pair once.")
        seen.add(pair.pair_id)
    if not pairs:
        raise InputError(f"{files[0]}: got no pairs; allowed: at least one.")
    if all(pair.left_out for pair in pairs):
        found = f"no pair that differs only in its pronouns ({_versus(pairs[0])})"
        raise InputError(f"{files[0]}: got {found}; allowed: at least one.")
    return pairs


def left_out_warning(pairs: Sequence[SentencePair], name: str) -> str | None:
    """Return a line that counts the pairs that are left out and shows up to three of them; None if there are none.

    Args:
        pairs: as ``read_pairs`` returns them.
        name: of the benchmark.
    """
    out = [pair for pair in pairs if pair.left_out]
    if not out:
        return None
    named = "; ".join(f"{pair.pair_id} ({_versus(pair)})" for pair in out[:SHOWN])
    one, several = "differs in more than its pronouns and is", "differ in more than their pronouns and are"
    differ = counted(len(out), f"pairs {one} left out", f"pairs {several} left out", of=len(pairs))
    return f"{name}: {differ}: {named}{'; ...' if len(out) > SHOWN else '.'}"


def _versus(pair: SentencePair) -> str:
    """Return the difference between the sentences of a pair: the words after their common beginning."""
    sides = [text.split() for text in (pair.stereotype, pair.anti)]
    n_same = next((i for i, (own, other) in enumerate(zip(*sides, strict=False)) if own != other), None)
    ends = [show(" ".join(words[n_same or 0 :])) for words in sides]
    return f"{ends[0]} against {ends[1]}"


def _halves(file: Path) -> tuple[Path, Path]:
    """Return the file of stereotyped sentences and the file of the others."""
    for own, other in ((PRO, ANTI), (ANTI, PRO)):
        if file.name.startswith(own):
            pair = {own: file, other: file.with_name(other + file.name.removeprefix(own))}
            return pair[PRO], pair[ANTI]
    raise InputError(f"{file}: got another file name; allowed: {PRO}..., {ANTI}..., or a .csv or .tsv file.")


def _read_winobias(files: Sequence[Path]) -> list[SentencePair]:
    pairs = []
    for file in files:
        if file.suffix.lower() in TABLES:
            pairs += _read_cloze(file)
        elif file.name.startswith(PRO):
            pairs += _read_halves(*_halves(file))
    return pairs


def _read_halves(pro: Path, anti: Path) -> list[SentencePair]:
    name = pro.name.removeprefix(PRO).lstrip("_")
    kind = TYPE.search(name)
    sides = [_read_lines(file) for file in (pro, anti)]
    if len(sides[0]) != len(sides[1]):
        sentences = counted(len(sides[1]), "sentence", "sentences")
        raise InputError(f"{anti}: got {sentences}; allowed: {len(sides[0])}, one for each of {pro.name}.")
    pairs = []
    for place, ((_, number, own), (line, other, others)) in enumerate(zip(*sides, strict=True), 1):
        if number != other:
            given = f"the number {other}" if other else "no number"
            raise InputError(f"{anti}, line {line}: got {given}; allowed: {number or 'none'}, as in {pro.name}.")
        pair_id = f"{name}:{number or place}"
        part = kind.group() if kind else UNTYPED
        left_out = not _differ_in_pronouns_alone(own, others)
        texts = _unmarked(own), _unmarked(others)
        pairs.append(SentencePair(pair_id, part, "gender", *texts, left_out=left_out, cluster=_person(own, others)))
    return pairs


def _differ_in_pronouns_alone(marked: str, other: str) -> bool:
    """Return whether two sentences with brackets differ only in their pronouns.

    A pronoun is a single word in brackets, in any language, or one of ``PRONOUNS``. Brackets around people are not
    compared: published files have both "[the clerk]" and "the [clerk]".
    """
    allowed = PRONOUNS | {word.casefold() for word in re.findall(r"\[(\w+)\]", marked + other)}
    # Words, and the characters between them.
    own, its = (re.split(r"(\W+)", _unmarked(sentence)) for sentence in (marked, other))
    if len(own) != len(its):
        return False
    differing = [words for words in zip(own, its, strict=True) if words[0] != words[1]]
    return bool(differing) and all(word.casefold() in allowed for words in differing for word in words)


def _person(marked: str, other: str) -> str | None:
    """Return the referent of the pronoun, without an article: the words in brackets in both sentences of a pair."""
    own, its = (
        [re.sub(r"^(the|an?) ", "", words.casefold()) for words in re.findall(r"\[([^\[\]]+)\]", sentence)]
        for sentence in (marked, other)
    )
    return next((words for words in own if words in its), None)


def _unmarked(sentence: str) -> str:
    return re.sub(r"[\[\]]", "", sentence)


def _read_lines(file: Path) -> list[tuple[int, str, str]]:
    """Return line, number ("" where there is none) and sentence, with its brackets."""
    sentences = []
    for line, text in enumerate(read_utf8(file).split("\n"), 1):
        if not text.strip():
            continue
        number = NUMBER.match(text.strip())
        sentence = text.strip()[number.end() if number else 0 :]
        if not re.search(r"\[[^\[\]]+\]", sentence):
            raise InputError(
                f"{file}, line {line}: got {sentence[:60]!r}; allowed: a sentence with the pronoun in [brackets]."
            )
        sentences.append((line, number.group(1) if number else "", sentence))
    return sentences


def _read_cloze(file: Path) -> list[SentencePair]:
    header, rows, numbers, *_ = read_rows(file)
    columns = {key: next((name for name in names if name in header), None) for key, names in KNOWN_AS.items()}
    for key, name in columns.items():
        if name is None:
            raise _lacks(file, header, " or ".join(KNOWN_AS[key]), "a table that has it")
    pairs = []
    for row, cells in zip(numbers, rows, strict=True):
        cell = dict(zip(header, cells, strict=True))
        values = {key: _cell(cell, str(name), f"{file}, row {row}") for key, name in columns.items()}
        if BLANK not in values["sentence"]:
            raise InputError(
                f"{file}, row {row}: column {columns['sentence']!r}: got {values['sentence'][:60]!r}; allowed: a "
                f"sentence with {BLANK} in the pronoun's place."
            )
        stereotype, anti = (values["sentence"].replace(BLANK, values[key]) for key in ("pronoun", "anti_pronoun"))
        pair_id = f"{file.stem}:{row}"
        part = cell.get("type", "").strip() or UNTYPED
        pairs.append(SentencePair(pair_id, part, "gender", _capital(stereotype), _capital(anti)))
    return pairs


def _read_crows_pairs(files: Sequence[Path]) -> list[SentencePair]:
    (file,) = files
    header, rows, numbers, *_ = read_rows(file)
    needed = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
    _check_header(file, header, needed)
    pairs = []
    for row, cells in zip(numbers, rows, strict=True):
        cell, where = dict(zip(header, cells, strict=True)), f"{file}, row {row}"
        more, less, direction, bias_type = (_cell(cell, name, where) for name in needed)
        if direction not in DIRECTIONS:
            raise one_of(f"{where}: column 'stereo_antistereo'", direction, DIRECTIONS)
        pairs.append(SentencePair(cell.get("id", "").strip() or str(row), direction, bias_type, more, less))
    return pairs


def _read_winogender(files: Sequence[Path]) -> list[SentencePair]:
    file, shares = files
    women, sentences = _shares_of_women(shares), _sentences_of_occupations(file)
    found, pairs = Mistakes(), list[SentencePair]()
    for (occupation, person), halves in sentences.items():
        with found.kept():
            for gender in ("male", "female"):
                if gender not in halves:
                    lacking = f"no sentence {occupation}.{person}.0.{gender}.txt"
                    raise InputError(f"{file}: got {lacking}; allowed: both sentences of a pair.")
            if occupation not in women:
                raise InputError(
                    f"{shares}: got no row of {occupation!r}; allowed: a row for every occupation in {file}."
                )
            he, she = halves["male"], halves["female"]
            stereotype, anti = (she, he) if women[occupation] > HALF else (he, she)
            left_out = not _differ_in_pronouns_alone(stereotype, anti)
            part = SOMEONE if person == SOMEONE else "participant"
            pair_id = f"{occupation}.{person}"
            pairs.append(SentencePair(pair_id, part, "gender", stereotype, anti, left_out=left_out, cluster=occupation))
    found.end()
    return pairs


def _sentences_of_occupations(file: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Return occupation and other person → gender → sentence, for sentences whose pronoun is the occupation's."""
    header, rows, numbers, *_ = read_rows(file)
    _check_header(file, header, ("sentid", "sentence"))
    sentences: dict[tuple[str, str], dict[str, str]] = {}
    found = Mistakes()
    for row, cells in zip(numbers, rows, strict=True):
        cell, where = dict(zip(header, cells, strict=True)), f"{file}, row {row}"
        with found.kept():
            name, sentence = (_cell(cell, column, where) for column in ("sentid", "sentence"))
            parts = SENTENCE_ID.fullmatch(name)
            if parts is None:
                allowed = "<occupation>.<other person>.<0 or 1>.<male, female or neutral>.txt"
                raise InputError(f"{where}: column 'sentid': got {show(name)}; allowed: {allowed}.")
            occupation, person, whose, gender = parts.groups()
            if whose == "0" and sentences.setdefault((occupation, person), {}).setdefault(gender, sentence) != sentence:
                raise InputError(f"{where}: column 'sentid': got {show(name)} twice; allowed: each sentence once.")
    found.end()
    return sentences


def _shares_of_women(file: Path) -> dict[str, float]:
    """Return occupation → percentage of women in it, never exactly 50."""
    header, rows, numbers, *_ = read_rows(file)
    _check_header(file, header, SHARE_COLUMNS)
    shares: dict[str, float] = {}
    found = Mistakes()
    for row, cells in zip(numbers, rows, strict=True):
        cell, where = dict(zip(header, cells, strict=True)), f"{file}, row {row}"
        with found.kept():
            occupation, text = (_cell(cell, column, where) for column in SHARE_COLUMNS)
            percent = float(text) if PERCENT.fullmatch(text) else math.nan
            if not 0 <= percent <= 100 or percent == HALF:
                allowed = f"percent of women, 0 to 100 and not {HALF}, which has no stereotype"
                raise InputError(f"{where}: column {SHARE_COLUMNS[1]!r}: got {show(text)}; allowed: {allowed}.")
            shares[occupation] = percent
    found.end()
    return shares


def _read_stereoset(files: Sequence[Path]) -> list[SentencePair]:
    (file,) = files
    content = read_json(file, "dev.json of StereoSet")
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict) or not set(PARTS) & set(data):
        raise InputError(f"{file}: got no key 'data' with {' or '.join(PARTS)}; allowed: dev.json of StereoSet.")
    pairs = []
    for part in PARTS:
        examples = data.get(part, [])
        if not isinstance(examples, list):
            raise InputError(f"{file}: data.{part}: got a {type(examples).__name__}; allowed: a list of examples.")
        pairs += [_stereoset_pair(example, part, f"{file}: data.{part}[{i}]") for i, example in enumerate(examples)]
    return pairs


def _stereoset_pair(example: Any, part: str, where: str) -> SentencePair:
    if not isinstance(example, dict):
        raise InputError(f"{where}: got a {type(example).__name__}; allowed: an object.")
    pair_id, target, bias_type, context = (
        _text(example, key, where) for key in ("id", "target", "bias_type", "context")
    )
    sentences = example.get("sentences")
    if not isinstance(sentences, list) or not all(isinstance(sentence, dict) for sentence in sentences):
        raise InputError(f"{where}: sentences: got no list of objects; allowed: one for each of {', '.join(GOLD)}.")
    labels = [str(sentence.get("gold_label")) for sentence in sentences]
    if sorted(labels) != sorted(GOLD):
        raise InputError(
            f"{where}: sentences: got the gold_label {', '.join(labels)}; allowed: {', '.join(GOLD)}, each once."
        )
    texts = {
        GOLD[label]: _text(sentence, "sentence", f"{where}: sentences[{i}]")
        for i, (label, sentence) in enumerate(zip(labels, sentences, strict=True))
    }
    # Of an intrasentence example the context is the sentence with a word left out.
    follows = context if part == "intersentence" else None
    sentences_of = (texts["stereotype"], texts["anti"], texts["unrelated"])
    return SentencePair(f"{part}:{pair_id}", part, bias_type, *sentences_of, target, follows, cluster=target)


def _check_header(file: Path, header: Sequence[str], needed: Sequence[str]) -> None:
    for name in needed:
        if name not in header:
            raise _lacks(file, header, repr(name), ", ".join(needed))


def _lacks(file: Path, header: Sequence[str], name: str, allowed: str) -> InputError:
    """Return the error for a table that lacks a column: what else it is, if that is known."""
    known = known_format(header)
    there = f"no column {name}" if known is None else f"{known.what}, and no column {name}"
    return InputError(f"{file}: got {there}; allowed: {allowed}.")


def _text(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {key}: got {value!r}; allowed: a text.")
    return value.strip()


def _cell(cells: Mapping[str, str], name: str, where: str) -> str:
    value = cells[name].strip()
    if not value:
        raise InputError(f"{where}: column {name!r}: got nothing; allowed: a text.")
    return value


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


READERS: dict[str, Callable[[Sequence[Path]], list[SentencePair]]] = {
    "winobias": _read_winobias,
    "stereoset": _read_stereoset,
    "crows_pairs": _read_crows_pairs,
    "winogender": _read_winogender,
}
