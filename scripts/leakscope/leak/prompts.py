"""Prompts made from templates and lexicons: every term of a lexicon in every template, with controls.

A prompt set is a folder with a ``templates.yaml``; a lexicon is a YAML file of terms (``leak.prompt_files``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leakscope.errors import InputError, Mistakes, one_of
from leakscope.languages.of_prompts import ENGLISH, LANGUAGE_COLUMNS, Languages
from leakscope.languages.words import word_pattern
from leakscope.leak.dividing import clause_of, with_places
from leakscope.models.prompts.placing import USER, Place
from leakscope.typed.wording import show

# Both are imported where they are used: every job of Snakemake imports this module, and most read no templates.
if TYPE_CHECKING:
    import pandas as pd

    from leakscope.leak.prompt_files import Lexicon, LexiconTerm, PromptTemplate

PROMPT_COLUMNS = [
    "prompt_set",
    "prompt_id",
    "control_id",
    "neutral_control_id",
    "concept",
    "concept_group",
    "expected",
    "category",
    "template_id",
    "slot",
    "prompt",
    "made",
    *LANGUAGE_COLUMNS,
]
# Names of a template's two prompts without concept.
CONTROL_NAMES = ("without", "neutral")
CANDIDATE_COLUMNS = ["slot", "candidate", "concept_group"]


class PromptSet(NamedTuple):
    """Prompts (one row each) and the candidates of their slots (one row each); all columns are text."""

    prompts: pd.DataFrame
    candidates: pd.DataFrame


def build_prompts(
    files: Sequence[Path], prompt_set: str, place: Place = USER, languages: Languages = ENGLISH
) -> PromptSet:
    """Fill every template of a prompt set with every term of its lexicon.

    A template gives its control (``<template>/without``), its neutral control (``<template>/neutral``) and one test
    prompt per term (``<template>/<term>``, or ``<template>/<term>-2`` if the name is taken). ``expected`` is the term's
    group if the template expects it, ``made`` is "no" (see ``leak.partners``).

    Args:
        files: as ``template_files`` returns them.
        prompt_set: its name.
        place: of each prompt's clause; outside the user's turn, prompts also have ``PLACED_COLUMNS``.
        languages: of its sentences and concepts.

    Returns:
        The prompts in file order, and the terms of every lexicon used as a slot, in order of first use.

    Raises:
        InputError: a file, key, name or placeholder is wrong, a lexicon has another language, two prompts have the same
            text, or a prompt cannot be split.

    Source: Smilga 2025 (arXiv 2501.06638), dataset; Gonen et al. 2024 (arXiv 2408.06518), test and control.
    """
    rows, candidates = _filled(files, place, languages)
    shared = {"prompt_set": prompt_set, "made": "no", **languages.columns}
    prompts = text_table([{**row, **shared} for row in rows], PROMPT_COLUMNS)
    return PromptSet(with_places(prompts, place), text_table(candidates, CANDIDATE_COLUMNS))


def no_candidates() -> pd.DataFrame:
    """Return an empty table of candidates, for a prompt set whose continuations have no lexicon."""
    return text_table([], CANDIDATE_COLUMNS)


def template_files(folder: Path, lexicons: Iterable[Path]) -> list[Path]:
    """Return the files of a prompt set: its templates, then its lexicons in order of first use.

    Args:
        folder: of the templates.
        lexicons: folders of lexicons. If two lexicons have the same name, the earlier folder's is used.

    Raises:
        InputError: the templates are invalid, or name an unknown lexicon.
    """
    path = folder / "templates.yaml"
    known = [file for lexicon_folder in lexicons for file in lexicon_folder.glob("*.yaml")]
    return [path, *_read(path, known)[1].values()]


def count_prompts(files: Sequence[Path], place: Place = USER, languages: Languages | None = None) -> int:
    """Return the number of prompts that ``build_prompts`` makes from the same files, without importing pandas.

    Raises:
        InputError: as in ``build_prompts``.
    """
    return len(_filled(files, place, languages)[0])


def count_controls(files: Sequence[Path]) -> int:
    """Return the number of controls without the clause among the prompts of ``count_prompts``.

    Raises:
        InputError: as in ``build_prompts``.
    """
    return len({row.get("control_id") for row in _filled(files)[0]} - {None})


def count_scored(files: Sequence[Path]) -> int:
    """Return the number of pairs of prompt and candidate to score for the prompts of ``count_prompts``.

    Raises:
        InputError: as in ``build_prompts``.
    """
    prompts, candidates = _filled(files)
    n_of_slot = Counter(candidate["slot"] for candidate in candidates)
    return sum(n_of_slot[prompt["slot"]] for prompt in prompts)


def _filled(
    files: Sequence[Path], place: Place = USER, languages: Languages | None = None
) -> tuple[list[dict[str, str | None]], list[dict[str, str | None]]]:
    """Return prompts and candidates, one row each; languages of lexicons are checked only if ``languages`` is given."""
    path = files[0]
    templates, lexicons = _read(path, files[1:])
    read = _read_lexicons(lexicons)
    if languages is not None:
        _check_languages(templates, read, lexicons, languages)
    lexicon = {name: one.terms for name, one in read.items()}
    rows: list[dict[str, str | None]] = []
    found = Mistakes()
    for number, template in enumerate(templates):
        with found.kept():
            filled = list(_rows(template, lexicon, f"{path}: templates.{number}"))
            rows += filled
            language = (languages or ENGLISH).concepts
            _check_divided(filled, f"{path}: templates.{number} ({template.id!r})", place, language)
    with found.kept():
        refuse_twice(rows, path)
    found.end()
    slots = dict.fromkeys(template.slot for template in templates)
    candidates: list[dict[str, str | None]] = [
        {"slot": slot, "candidate": term.term, "concept_group": term.group} for slot in slots for term in lexicon[slot]
    ]
    return rows, candidates


def text_table(rows: Iterable[Mapping[str, str | None]], columns: list[str]) -> pd.DataFrame:
    """Return a table whose columns all have a text type, None as missing, even if a column or the table is empty."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=columns, dtype="str")


def fill(text: str, values: Mapping[str, str], where: str) -> str:
    """Return ``text`` with its placeholders filled.

    Raises:
        InputError: one of them has no value.
    """
    try:
        return text.format_map(values)
    except KeyError as error:
        allowed = ", ".join(f"{{{name}}}" for name in values)
        found = f"the placeholder {{{error.args[0]}}}"
        raise InputError(f"{where}: got {found}; allowed: {allowed} (term {values['concept']!r}).") from error


def _rows(
    template: PromptTemplate, lexicon: Mapping[str, list[LexiconTerm]], where: str
) -> Iterator[dict[str, str | None]]:
    groups = dict.fromkeys(term.group for term in lexicon[template.slot])
    shared = {"category": template.category, "template_id": template.id, "slot": template.slot}
    without, neutral = (f"{template.id}/{name}" for name in CONTROL_NAMES)
    # Controls have no placeholder, but doubled braces.
    yield {"prompt_id": without, **shared, "prompt": template.control.format()}
    yield {"prompt_id": neutral, **shared, "prompt": template.neutral.format()}
    terms = lexicon[template.concepts]
    names = slugs([term.term for term in terms], f"{where}.concepts ({template.id!r})")
    for slug, term in zip(names, terms, strict=True):
        if template.expects_group and term.group not in groups:
            of_term = f"group of the term {show(term.term)} among those of {template.slot}"
            raise one_of(f"{where}.expects_group ({template.id!r}): {of_term}", term.group, groups)
        yield {
            "prompt_id": f"{template.id}/{slug}",
            "control_id": without,
            "neutral_control_id": neutral,
            "concept": term.term,
            "concept_group": term.group,
            "expected": term.group if template.expects_group else None,
            **shared,
            "prompt": fill(template.test, term.fillers, f"{where}.test ({template.id!r})"),
        }


def slugs(terms: Sequence[str], where: str) -> list[str]:
    """Return the name of each term in prompt ids: its letters and digits, joined by hyphens.

    If terms give the same name, the first keeps it and the others get numbers: "C", "C++" and "C#" become ``c``,
    ``c-2`` and ``c-3``. Appending a term changes no other name, unless the new term claims a numbered name for itself.

    Raises:
        InputError: a term has neither letter nor digit.
    """
    plain = [_slug(term, where) for term in terms]
    # Names of controls are reserved, and a term written with a number keeps its name.
    used, taken = set(CONTROL_NAMES), {*plain, *CONTROL_NAMES}
    called = []
    for slug in plain:
        if slug in used:
            slug = next(numbered for k in count(2) if (numbered := f"{slug}-{k}") not in taken)
        used.add(slug)
        taken.add(slug)
        called.append(slug)
    return called


def _slug(term: str, where: str) -> str:
    slug = "-".join(word_pattern().findall(term.casefold().replace("_", " ")))
    if not slug:
        raise InputError(f"{where}: got the term {term!r}; allowed: a term with a letter or digit.")
    return slug


def _check_divided(rows: list[dict[str, str | None]], where: str, place: Place, language: str) -> None:
    """Check that a template's prompts can be split if the clause is outside the user's turn."""
    for row in rows:
        clause_of(str(row["prompt"]), where, place, language)


def refuse_twice(rows: list[dict[str, str | None]], path: Path) -> None:
    """Check that no two prompts of a set have the same text.

    Raises:
        InputError: two prompts have the same text; the message names both.
    """
    first: dict[str | None, dict[str, str | None]] = {}
    for row in rows:
        other = first.setdefault(row["prompt"], row)
        if other is not row:
            found = f"the prompt {show(row['prompt'])} twice ({_name(other)} and {_name(row)})"
            raise InputError(f"{path}: got {found}; allowed: each prompt once in a set.")


def _name(row: Mapping[str, str | None]) -> str:
    term = f" (term {row['concept']!r})" if row.get("concept") else ""
    return f"{row['prompt_id']!r}{term}"


def _read(path: Path, lexicons: Sequence[Path]) -> tuple[list[PromptTemplate], dict[str, Path]]:
    """Return the templates of a file, and the file of every lexicon that they name, in order of first use.

    If two lexicons have the same name, the first is used.
    """
    from leakscope.leak.prompt_files import read_templates

    templates = read_templates(path)
    known = {file.stem: file for file in reversed(lexicons)}
    files: dict[str, Path] = {}
    found = Mistakes()
    for place, template in enumerate(templates):
        for key, name in (("concepts", template.concepts), ("slot", template.slot)):
            if name in known:
                files[name] = known[name]
            else:
                found.append(one_of(f"{path}: templates.{place}.{key} ({template.id!r})", name, known))
    found.end()
    return templates, files


def _read_lexicons(files: Mapping[str, Path]) -> dict[str, Lexicon]:
    """Return each lexicon; mistakes of all files are raised at once."""
    from leakscope.leak.prompt_files import Lexicon
    from leakscope.typed.reading import read_typed

    lexicons: dict[str, Lexicon] = {}
    found = Mistakes()
    for name, file in files.items():
        with found.kept():
            lexicons[name] = read_typed(file, Lexicon)
    found.end()
    return lexicons


def _check_languages(
    templates: Sequence[PromptTemplate],
    lexicons: Mapping[str, Lexicon],
    files: Mapping[str, Path],
    languages: Languages,
) -> None:
    """Check that a lexicon's language, if given, is the prompt set's language of concepts or of texts."""
    concepts = dict.fromkeys((template.concepts for template in templates), ("concepts", languages.concepts))
    slots = dict.fromkeys((template.slot for template in templates), ("texts", languages.texts))
    found = Mistakes()
    for name, (what, language) in [*concepts.items(), *slots.items()]:
        own = lexicons[name].language
        if own not in (None, language):
            allowed = f"{language!r}, the language of the prompt set's {what}"
            found.append(InputError(f"{files[name]}: language: got {own!r}; allowed: {allowed}."))
    found.end()
