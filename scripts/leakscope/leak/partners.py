"""Partners for tests without one: copies of a test prompt with other concepts of its category.

A match rate compares concepts that share a unit (see ``pairs.tests_by_unit``). A table with one concept per control has
no such pairs, so partners are made: in "A red dog. He eats" other concepts of the table replace *red*. English a/an is
adapted if a small rule decides it; otherwise another concept is tried first.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from leakscope.languages.of_prompts import DEFAULT
from leakscope.leak.cells import some
from leakscope.leak.pairs import is_made, tests_by_unit
from leakscope.leak.prompts import PROMPT_COLUMNS
from leakscope.statistics.seeding import seeded_hash

MOST_CHOICES = 200  # most concepts to draw from for a test: otherwise cost grows with the square of the table
DETERMINERS = ("a", "an", "the")
VOWELS = "aeiou"
# Beginnings of words whose sound differs from their spelling; the first match decides. None: both articles are used.
SOUNDS: dict[str, str | None] = {
    **dict.fromkeys(("hour", "honest", "honor", "honour", "heir"), "an"),
    **dict.fromkeys(("herb", "homage", "histori", "habitu", "hors-", "hered", "hyster"), None),
    "onerous": "an",
    **dict.fromkeys(("one", "once", "oui"), "a"),
    **dict.fromkeys(("eu", "ew"), "a"),
    **dict.fromkeys(("unicorn", "unicyc", "unifi", "uniform", "unify", "unilat", "union", "unison", "uniq"), "a"),
    **dict.fromkeys(("unit", "univers", "unisex", "unipo", "unan", "ural", "uran", "uro", "ure"), "a"),
    "ush": "an",
    **dict.fromkeys(("us", "ute", "uti", "uto", "ubi", "ufo", "uga", "uke", "uku", "ukr", "uvu"), "a"),
    "uni": None,
    **dict.fromkeys(("un", "um", "up", "ul", "urb", "urc", "urg", "urn", "urs", "ugl", "utm", "utt", "ud"), "an"),
    "u": None,
}

Choice = tuple[str, str]  # a concept and its group
Row = dict[Any, Any]  # column → cell


class WithPartners(NamedTuple):
    """A prompts table that includes the made prompts, and warnings for the user."""

    prompts: pd.DataFrame
    warnings: list[str]


class _Lacking(NamedTuple):
    """Rows of tests with fewer partners than wanted, by reason."""

    unnamed: list[int]
    few: list[str]
    unsure: list[str]

    def note(self, number: int, row: Row, n_made: int, doubtful: list[str]) -> None:
        if not _places(row["prompt"], row["concept"]):
            self.unnamed.append(number)
        elif doubtful:
            self.unsure.append(f"{number}: {n_made}, without {some(map(repr, doubtful))}")
        else:
            self.few.append(f"{number}: {n_made}")


def with_partners(prompts: pd.DataFrame, n_partners: int, rows: Sequence[int]) -> WithPartners:
    """Return a prompts table in which each test without partner is followed by up to ``n_partners`` made prompts.

    A test has no partner if its unit has only one group of concepts. Made prompts are named ``<prompt_id>/partner-1``
    and so on, have ``made`` = "yes", and share all else but concept, group, expected and prompt with their test.
    Concepts are drawn by a hash of the test's id and the concept, so that editing a prompt changes no other prompt's
    partners; one concept per group first. A table with made prompts is returned unchanged.

    Args:
        prompts: as ``import_prompts`` reads them.
        n_partners: number of partners wanted.
        rows: each prompt's row number, for warnings.
    """
    tests = tests_by_unit(prompts)
    alone = tests.groupby(["category", "unit"], dropna=False)["concept_group"].transform("nunique") == 1
    if not n_partners or not alone.any() or is_made(prompts).any():
        return WithPartners(prompts, [])
    number_of = dict(zip(prompts["prompt_id"], rows, strict=True))
    lacking = _Lacking([], [], [])
    found: dict[str, list[Row]] = {}
    for _, of_category in tests.assign(alone=alone).groupby("category", sort=False, dropna=False):
        distinct = of_category.drop_duplicates("concept")
        choices = list(zip(distinct["concept"], distinct["concept_group"], strict=True))
        choices.sort(key=lambda choice: seeded_hash(0, choice[0]))
        for _, of_unit in of_category[of_category["alone"]].groupby("unit", sort=False):
            taken = set(of_unit["prompt"])
            for row in of_unit[PROMPT_COLUMNS].to_dict("records"):
                made, doubtful = _made(row, _drawn(row, choices), n_partners, taken)
                found[row["prompt_id"]] = made
                if len(made) < n_partners:
                    lacking.note(number_of[row["prompt_id"]], row, len(made), doubtful)
    records = [made for row in prompts.to_dict("records") for made in (row, *found.get(row["prompt_id"], ()))]
    return WithPartners(
        pd.DataFrame(records, columns=PROMPT_COLUMNS, dtype="str"), list(_warnings(n_partners, lacking))
    )


def _made(row: Row, choices: list[Choice], n_partners: int, taken: set[str]) -> tuple[list[Row], list[str]]:
    """Return the prompts made from a test, and the concepts left out because their form in the prompt is uncertain.

    Args:
        row: of the test.
        choices: concepts in the order in which they are tried.
        n_partners: number of partners wanted.
        taken: the unit's prompts; made prompts are added to them.
    """
    made: list[Row] = []
    doubtful: list[str] = []
    if not _places(row["prompt"], row["concept"]):
        return made, doubtful
    for concept, group in choices:
        text = replaced(row["prompt"], row["concept"], concept, row["concept_language"])
        if text is None:
            doubtful.append(concept)
        elif text not in taken:
            taken.add(text)
            what = {"concept": concept, "concept_group": group, "prompt": text, "expected": None, "made": "yes"}
            made.append({**row, **what, "prompt_id": f"{row['prompt_id']}/partner-{len(made) + 1}"})
        if len(made) == n_partners:
            break
    return made, doubtful


def replaced(prompt: str, concept: str, other: str, language: str = DEFAULT) -> str | None:
    """Return a prompt with every occurrence of a concept's words replaced by another concept; None if uncertain.

    Only whole words are replaced, with the capitals of the prompt. In English, a concept with an article only replaces
    a concept with the same kind of article, and "a" or "an" before the concept is adapted by ``article``; the result is
    None if that rule is undecided or contradicts the prompt's own article. Articles and agreement in other languages
    are left unchanged.
    """
    english = language == DEFAULT
    if english and _determiner(concept) != _determiner(other):
        return None
    parts, end = [], 0
    for place in _places(prompt, concept):
        before = prompt[end : place.start()]
        found = re.search(r"(?<!\w)(an?)(\s+[\"'“‘(\[*_]*)\Z", before, re.IGNORECASE)
        if found and english:
            needed = article(other)
            if needed is None or article(concept) not in (None, found[1].lower()):
                return None
            before = before[: found.start()] + _cased(needed, found[1]) + found[2]
        begins = _begins_sentence(prompt[: place.start()])
        parts += [before, _as_there(" ".join(place.group().split()), concept, other, begins=begins)]
        end = place.end()
    text = "".join([*parts, prompt[end:]])
    return None if _places(text, concept) else text


def article(words: str) -> str | None:
    """Return the English article "a" or "an" before these words; None if a small rule cannot decide.

    The rule follows sound: an hour, a unicorn, a European, an umbrella. It leaves numbers, abbreviations, single
    letters, and words that take both articles (herb) undecided.
    """
    first = re.split(r"\s", words, maxsplit=1)[0]
    plain = unicodedata.normalize("NFKD", first)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    word = plain.casefold()
    if not re.match(r"[a-z]{2}", word) or not re.search(r"[aeiouy]", word) or re.match(r"[A-Z]{2}", plain):
        return None
    for beginning, sound in SOUNDS.items():
        if word.startswith(beginning):
            return sound
    if word[0] in "xy":
        return "a" if word[1] in VOWELS or word.startswith("xy") else None
    return "an" if word[0] in VOWELS else "a"


def _warnings(n_partners: int, lacking: _Lacking) -> Iterator[str]:
    fewer = f"tests have fewer than {n_partners} partners, as"
    if lacking.unnamed:
        without = f"{len(lacking.unnamed)} tests have no partners, as their prompt lacks the concept's words"
        yield f"{without} (row {some(lacking.unnamed)})."
    if lacking.few:
        yield f"{len(lacking.few)} {fewer} their category has too few other concepts (row {some(lacking.few)})."
    if lacking.unsure:
        unsure = "the form of other concepts of their category is uncertain there, 'a' or 'an' for instance"
        yield f"{len(lacking.unsure)} {fewer} {unsure} (row {some(lacking.unsure)})."


def _drawn(row: Row, choices: list[Choice]) -> list[Choice]:
    """Return the concepts of other groups in the order in which they are tried: one per group first, then the rest.

    Args:
        row: of the test.
        choices: all concepts of the category, in hash order; of more than ``MOST_CHOICES``, those from the test's own
            hash on are used.
    """
    start = bisect_left(choices, seeded_hash(0, row["prompt_id"]), key=lambda choice: seeded_hash(0, choice[0]))
    near = [*choices[start : start + MOST_CHOICES], *choices[: max(0, start + MOST_CHOICES - len(choices))]]
    near = near if len(choices) > MOST_CHOICES else choices
    others = [choice for choice in near if choice[1] != row["concept_group"]]
    others.sort(key=lambda choice: seeded_hash(0, row["prompt_id"], choice[0]))
    n_before: dict[str, int] = {}
    turns = []
    for choice in others:
        turns.append((n_before.get(choice[1], 0), choice))
        n_before[choice[1]] = turns[-1][0] + 1
    return [choice for _, choice in sorted(turns, key=lambda turn: turn[0])]


def _places(prompt: str, concept: str) -> list[re.Match[str]]:
    words = r"\s+".join(map(re.escape, concept.split()))
    return list(re.finditer(rf"(?<!\w){words}(?!\w)", prompt, re.IGNORECASE))


def _determiner(concept: str) -> str:
    """Return the kind of article at a concept's beginning: "a" (also for "an"), "the", or an empty string."""
    first = concept.split(maxsplit=1)[0].casefold()
    return {"an": "a"}.get(first, first) if first in DETERMINERS else ""


def _begins_sentence(before: str) -> bool:
    return re.search(r"(?:\A|[.!?:\n][\"'”’)]*)\s*[\"'“‘(]*\Z", before) is not None


def _as_there(written: str, concept: str, other: str, *, begins: bool) -> str:
    """Return another concept with the capitals of the prompt's concept; as in the table unless the prompt differs."""
    if written == concept:
        return other[0].upper() + other[1:] if begins and written[0].isupper() else other
    if len(written) > 1 and written.isupper():
        return other.upper()
    if written.istitle() and len(written.split()) > 1:
        return re.sub(r"(?<!\w)\w", lambda letter: letter[0].upper(), other)
    if written[0].isupper() and not concept[0].isupper():
        return other[0].upper() + other[1:]
    return other.lower() if written.islower() else other


def _cased(needed: str, written: str) -> str:
    """Return an article with the capitals of the article that it replaces."""
    if written == "AN":
        return needed.upper()
    return needed.capitalize() if written[0].isupper() else needed
