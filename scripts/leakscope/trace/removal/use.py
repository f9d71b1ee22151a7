"""Prompts of use: prompts that can only be answered correctly with the concept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.errors import InputError, one_of
from leakscope.languages.of_prompts import LANGUAGE_COLUMNS, languages_of
from leakscope.statistics.seeding import seeded_hash
from leakscope.trace.cues import CANDIDATE_COLUMNS, basic_terms, tested
from leakscope.trace.removal.items import group_halves
from leakscope.trace.removal.use_file import UseFile, UseForm
from leakscope.typed.reading import read_typed

USE_COLUMNS = [
    "prompt_set", "prompt_id", "control_id", "neutral_control_id", "concept", "concept_group", "expected", "category",
    "template_id", "slot", "prompt", "made", *LANGUAGE_COLUMNS, "answer",
]  # fmt: skip
CATEGORY = "use"


class UsePrompts(NamedTuple):
    """Prompts of use with their controls, ``USE_COLUMNS``, and their candidates, ``CANDIDATE_COLUMNS``."""

    prompts: pd.DataFrame
    candidates: pd.DataFrame


class _Version(NamedTuple):
    """One list of candidates of a form: its slot name, two things or none, and group → right answer.

    groups: of each candidate.
    """

    slot: str
    fillers: dict[str, str]
    answers: dict[str, str]
    groups: dict[str, str | None]


def read_use(path: Path) -> UseFile:
    """Read a file of prompts of use.

    Raises:
        InputError: as ``read_typed``.
    """
    return read_typed(path, UseFile)


def build_use(prompts: pd.DataFrame, candidates: pd.DataFrame, path: Path, seed: int) -> UsePrompts:
    """Return every form of a file for every concept group with an answer, named by its basic term.

    ``prompt_id`` is ``use/<form>/<group>`` or ``use/<form>/<a>-<b>/<group>``, that of a control ends in ``without`` or
    ``without-<other>``; ``template_id`` is the form, ``slot`` a lexicon of answers of its own. The other concept is of
    another group of the same half (``items.group_halves``), each as often as any, drawn by the seed.

    Args:
        prompts: the prompts table of one set.
        candidates: ``slot, candidate, concept_group`` of the same set.
        path: of the file (``use_file.UseFile``).
        seed: of the halves, and of the other concept in each prompt.

    Raises:
        InputError: as ``read_typed``; or a form names a slot or a group that no test prompt of the set has.
    """
    file, tests = read_use(path), tested(prompts)
    halves, terms = group_halves(tests, seed), basic_terms(tests)
    rows: dict[str, dict[str, str | None]] = {}
    answers: list[dict[str, str | None]] = []
    for place, form in enumerate(file.forms):
        where = f"{path}: forms.{place}"
        for version in _versions(form, list(terms), candidates, where):
            answers += [
                {"slot": version.slot, "candidate": answer, "concept_group": group}
                for answer, group in version.groups.items()
            ]
            others = _others(version, halves, seed, where) if "{other}" in form.text + form.control else {}
            for row in _rows(form, version, terms, others):
                rows.setdefault(str(row["prompt_id"]), row)
    named = {"prompt_set": str(prompts["prompt_set"].iloc[0]), **languages_of(prompts).columns}
    shared = {**named, "category": CATEGORY, "made": "no"}
    return UsePrompts(
        _texts([{**row, **shared} for row in rows.values()], USE_COLUMNS), _texts(answers, CANDIDATE_COLUMNS)
    )


def no_use() -> UsePrompts:
    """Return empty tables, for a prompt set without a file of use."""
    return UsePrompts(_texts([], USE_COLUMNS), _texts([], CANDIDATE_COLUMNS))


def _texts(rows: Sequence[Mapping[str, str | None]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(columns), dtype="str")


def _versions(form: UseForm, groups: Sequence[str], candidates: pd.DataFrame, where: str) -> Iterator[_Version]:
    """Yield each list of candidates of a form."""
    slot = f"{CATEGORY}/{form.id}"
    if form.things is not None:
        for one, two in form.things:
            for a, b in ((one, two), (two, one)):
                yield _Version(f"{slot}/{a}-{b}", {"a": a, "b": b}, dict.fromkeys(groups, a), {a: None, b: None})
    elif form.answers is not None:
        for group in form.answers:
            if group not in groups:
                raise one_of(f"{where}.answers", group, groups)
        yield _Version(slot, {}, dict(form.answers), dict.fromkeys(form.answers.values()))
    else:
        lexicon = candidates[candidates["slot"] == form.slot]
        if lexicon.empty:
            raise one_of(f"{where}.slot", str(form.slot), list(dict.fromkeys(candidates["slot"])))
        own = lexicon.drop_duplicates("concept_group")
        by_group = dict(zip(own["concept_group"], own["candidate"], strict=True))
        known = {group: answer for group, answer in by_group.items() if group in groups}
        if len(known) < 2:
            raise InputError(f"{where}.slot: got {form.slot!r} with {len(known)} tested groups; allowed: 2 or more.")
        yield _Version(slot, {}, known, {answer: group for group, answer in known.items()})


def _others(version: _Version, halves: Mapping[str, str], seed: int, where: str) -> dict[str, str]:
    """Return group → another group of its half, each used once: a random order shifted by one."""
    found: dict[str, str] = {}
    pair = "-".join(sorted(version.fillers.values()))  # both orders have the same
    for half in dict.fromkeys(halves.values()):
        own = [group for group in version.answers if halves[group] == half]
        if len(own) == 1:
            raise InputError(
                f"{where}: got one concept group in a half; allowed: 2 or more, as {{other}} names another group."
            )
        order = sorted(own, key=lambda group: seeded_hash(seed, "other", pair, group))
        found |= dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return found


def _rows(
    form: UseForm, version: _Version, terms: Mapping[str, str], others: Mapping[str, str]
) -> Iterator[dict[str, str | None]]:
    """Yield every prompt of a version after its control."""
    shared = {"template_id": form.id, "slot": version.slot}
    for group, answer in version.answers.items():
        other = others.get(group)
        fillers = version.fillers | ({} if other is None else {"other": terms[other]})
        beside = f"-{other}" if "{other}" in form.control else ""
        without = f"{version.slot}/without{beside}"
        yield {"prompt_id": without, **shared, "prompt": form.control.format(**fillers)}
        yield {
            "prompt_id": f"{version.slot}/{group}",
            "control_id": without,
            "concept": terms[group],
            "concept_group": group,
            **shared,
            "prompt": form.text.format(concept=terms[group], **fillers),
            "answer": answer,
        }
