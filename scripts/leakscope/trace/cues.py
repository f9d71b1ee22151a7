"""Cues: prompts *about* a concept that elicit its associates, unlike prompts that only mention it.

A pair is a concept group and an associate: any candidate of a slot that follows the group in some test prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from leakscope.errors import one_of
from leakscope.trace.cue_file import AffirmsForm, CueFile
from leakscope.typed.reading import read_typed

CUE_COLUMNS = [
    "prompt_set",
    "prompt_id",
    "kind",
    "form_id",
    "concept",
    "concept_group",
    "associate",
    "slot",
    "prompt",
]
CANDIDATE_COLUMNS = ["slot", "candidate", "concept_group"]
KNOWS, AFFIRMS = "knows", "affirms"
YES, NO = "Yes", "No"
# Slot name for the answers to questions; no lexicon can have this name.
ANSWERS = "affirms/answers"


class Cues(NamedTuple):
    """Cue prompts, ``CUE_COLUMNS``, and their candidates, ``CANDIDATE_COLUMNS``; all columns are text.

    ``slot`` is the pair's: a question is answered with a candidate of ``ANSWERS`` (see ``cue_scores.score_cues``).
    """

    prompts: pd.DataFrame
    candidates: pd.DataFrame


def tested(prompts: pd.DataFrame) -> pd.DataFrame:
    """Return the test prompts used for links: with a slot, a group, and a control without the clause.

    Partner prompts are excluded.

    Args:
        prompts: the prompts table of one set.
    """
    asked = prompts[["control_id", "slot", "concept_group"]].notna().all(axis=1)
    if "made" in prompts:
        asked &= prompts["made"].ne("yes")
    return prompts[asked].reset_index(drop=True)


def basic_terms(prompts: pd.DataFrame) -> dict[str, str]:
    """Return concept group → its term in cues: the concept with the group's name, else its first concept.

    Args:
        prompts: the prompts table of one set.
    """
    concepts = prompts.dropna(subset=["concept", "concept_group"]).drop_duplicates(["concept_group", "concept"])
    terms: dict[str, str] = {}
    for group, concept in zip(concepts["concept_group"], concepts["concept"], strict=True):
        if concept == group or group not in terms:
            terms[group] = concept
    return terms


def read_cues(path: Path) -> CueFile:
    """Read a file of cues.

    Raises:
        InputError: as ``read_typed``.
    """
    return read_typed(path, CueFile)


def build_cues(prompts: pd.DataFrame, candidates: pd.DataFrame, path: Path) -> Cues:
    """Return every cue of a file for every concept group, and every question for every pair, of the file's slots.

    ``prompt_id`` is ``knows/<slot>/<form>/<group>`` or ``affirms/<slot>/<form>/<group>/<associate>``.

    Args:
        prompts: the prompts table of one set.
        candidates: ``slot, candidate, concept_group`` of the same set.
        path: of the file (``cue_file.CueFile``).

    Raises:
        InputError: as ``read_typed``; or no test prompt of the set has one of the file's slots.
    """
    file, tests, terms = read_cues(path), tested(prompts), basic_terms(prompts)
    groups = {str(slot): list(dict.fromkeys(part["concept_group"])) for slot, part in tests.groupby("slot", sort=False)}
    rows: list[tuple[str | None, ...]] = []
    for place, cues in enumerate(file.slots):
        if cues.slot not in groups:
            raise one_of(f"{path}: slots.{place}.slot", cues.slot, groups)
        associates = candidates.loc[candidates["slot"] == cues.slot, "candidate"]
        named = {group: terms[group] for group in groups[cues.slot]}
        for form in cues.knows:
            for group, term in named.items():
                text = form.text.format(concept=term)
                rows.append(
                    (f"{KNOWS}/{cues.slot}/{form.id}/{group}", KNOWS, form.id, term, group, None, cues.slot, text)
                )
        rows += _questions(cues.affirms or file.affirms, cues.slot, named, associates)
    table = pd.DataFrame(rows, columns=CUE_COLUMNS[1:], dtype="str")
    table.insert(0, "prompt_set", pd.Series([prompts["prompt_set"].iloc[0]] * len(table), dtype="str"))
    answers = pd.DataFrame([(ANSWERS, YES, "yes"), (ANSWERS, NO, "no")], columns=CANDIDATE_COLUMNS, dtype="str")
    own = candidates.loc[candidates["slot"].isin(table["slot"]), CANDIDATE_COLUMNS]
    return Cues(table, pd.concat([own, answers], ignore_index=True))


def learnt(cues: pd.DataFrame) -> pd.DataFrame:
    """Return the cues of the first wording of each slot, in which organisms learn facts, without questions.

    Args:
        cues: as ``build_cues`` returns them.
    """
    own = cues[cues["kind"] == KNOWS]
    return own[own["form_id"] == own.groupby("slot", sort=False)["form_id"].transform("first")]


def _questions(
    forms: list[AffirmsForm], slot: str, terms: Mapping[str, str], associates: pd.Series
) -> Iterator[tuple[str | None, ...]]:
    for form in forms:
        for group, term in terms.items():
            for associate in associates:
                name = f"{AFFIRMS}/{slot}/{form.id}/{group}/{associate}"
                text = form.text.format(concept=term, associate=associate)
                yield name, AFFIRMS, form.id, term, group, associate, slot, text
