"""Prompts made from templates and lexicons: every term of a lexicon in every template, each beside its controls.

A prompt set is a folder with a ``templates.yaml``; a lexicon is a YAML file of terms (``schemas/templates.schema.json``
and ``schemas/lexicon.schema.json`` describe both).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple

from leakscope.errors import InputError, one_of
from leakscope.files.names import NOT_GROUPS, POOLED
from leakscope.files.reading_yaml import read_yaml

# pandas is imported where it is used: Snakemake asks for `template_files` each time it builds its graph.
if TYPE_CHECKING:
    import pandas as pd

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
]
CANDIDATE_COLUMNS = ["slot", "candidate", "concept_group"]
TEMPLATE_KEYS = ("id", "category", "concepts", "slot", "test", "control", "neutral")
TEMPLATE_OPTIONS = ("expects_group",)
TERM_KEYS = ("term", "group")
GROUP_NAMES = "a name that does not stand for texts that name several groups, or none"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Term = Mapping[str, str]


class PromptSet(NamedTuple):
    """Prompts (one row each) and the candidates of their slots (one row each); all columns are text."""

    prompts: pd.DataFrame
    candidates: pd.DataFrame


class PromptTemplate(NamedTuple):
    """A sentence with a placeholder, the same without the clause, and with a neutral filler in its place."""

    id: str
    category: str
    concepts: str
    slot: str
    test: str
    control: str
    neutral: str
    expects_group: bool = False


def build_prompts(files: Sequence[Path], prompt_set: str) -> PromptSet:
    """Fill every template of a prompt set with every term of its lexicon.

    A template gives its control (``<template>/without``), its neutral control (``<template>/neutral``) and one test
    prompt a term (``<template>/<term>``). ``expected`` is the term's group where the template expects it.

    Args:
        files: as ``template_files`` returns them.
        prompt_set: its name.

    Returns:
        The prompts in file order, and the terms of every lexicon used as a slot, in order of first use.

    Raises:
        InputError: a file, key, name or placeholder is wrong, or two prompts have the same id or the same text.

    Source: Smilga 2025 (arXiv 2501.06638), dataset; Gonen et al. 2024 (arXiv 2408.06518), test and control.
    """
    path = files[0]
    templates = _read_templates(path)
    lexicon = {name: read_lexicon(file) for name, file in _lexicon_files(templates, files[1:], path).items()}
    rows = [row for template in templates for row in _rows(template, lexicon, path)]
    for key in ("prompt_id", "prompt"):
        _refuse_twice(rows, key, path)
    slots = dict.fromkeys(template.slot for template in templates)
    candidates = [
        {"slot": slot, "candidate": term["term"], "concept_group": term["group"]}
        for slot in slots
        for term in lexicon[slot]
    ]
    return PromptSet(
        text_table([{"prompt_set": prompt_set, **row} for row in rows], PROMPT_COLUMNS),
        text_table(candidates, CANDIDATE_COLUMNS),
    )


def no_candidates() -> pd.DataFrame:
    """Return a table of candidates without rows: that of a prompt set whose continuations have no lexicon."""
    return text_table([], CANDIDATE_COLUMNS)


def template_files(folder: Path, lexicons: Iterable[Path]) -> list[Path]:
    """Return the files that a prompt set is made from: its templates, then its lexicons in order of first use.

    Args:
        folder: of the templates.
        lexicons: folders of lexicons. Of two with one name, that of the earlier folder is meant.

    Raises:
        InputError: the templates are not valid, or name a lexicon that does not exist.
    """
    path = folder / "templates.yaml"
    known = [file for lexicon_folder in lexicons for file in lexicon_folder.glob("*.yaml")]
    return [path, *_lexicon_files(_read_templates(path), known, path).values()]


def count_prompts(files: Sequence[Path]) -> int:
    """Return how many prompts ``build_prompts`` makes of the same files, without making them."""
    path = files[0]
    templates = _read_templates(path)
    sizes = {name: len(read_lexicon(file)) for name, file in _lexicon_files(templates, files[1:], path).items()}
    return sum(sizes[template.concepts] + 2 for template in templates)


def read_lexicon(path: Path) -> list[Term]:
    """Return the terms of a lexicon in file order, each with ``term``, ``group`` and its further keys.

    Raises:
        InputError: a key is missing or unknown, a value is not trimmed text, a term stands twice.
    """
    terms: list[Term] = []
    seen: set[str] = set()
    for i, entry in enumerate(_read_entries(path, "terms")):
        where = f"{path}: terms[{i}]"
        checked = {key: _text(value, where, key) for key, value in _check_keys(entry, where, TERM_KEYS).items()}
        for key in checked:
            if not key.isidentifier() or key == "concept":
                raise InputError(f"{where}: got the key {key!r}; allowed: an identifier other than 'concept'.")
        if checked["group"] in NOT_GROUPS:
            raise InputError(f"{where}: key 'group': got {checked['group']!r}; allowed: {GROUP_NAMES}.")
        if checked["term"] in seen:
            raise InputError(f"{where}: got the term {checked['term']!r} again; allowed: each term once.")
        seen.add(checked["term"])
        terms.append(checked)
    return terms


def text_table(rows: Iterable[Mapping[str, str | None]], columns: list[str]) -> pd.DataFrame:
    """Return a table of text columns, None as missing, also where a column holds nothing else or there is no row."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=columns, dtype="str")


def _rows(template: PromptTemplate, lexicon: Mapping[str, list[Term]], path: Path) -> Iterator[dict[str, str | None]]:
    where = f"{path}: template {template.id!r}"
    groups = dict.fromkeys(term["group"] for term in lexicon[template.slot])
    shared = {"category": template.category, "template_id": template.id, "slot": template.slot}
    without, neutral = f"{template.id}/without", f"{template.id}/neutral"
    yield {"prompt_id": without, **shared, "prompt": _fill(template.control, {}, where, "control")}
    yield {"prompt_id": neutral, **shared, "prompt": _fill(template.neutral, {}, where, "neutral")}
    for term in lexicon[template.concepts]:
        if template.expects_group and term["group"] not in groups:
            found = f"true, and the group {term['group']!r} of the term {term['term']!r}"
            allowed = f"the groups of lexicon {template.slot!r}: {', '.join(groups)}"
            raise InputError(f"{where}: key 'expects_group': got {found}; allowed: {allowed}.")
        values = {"concept": term["term"], **{key: value for key, value in term.items() if key != "term"}}
        yield {
            "prompt_id": f"{template.id}/{_slug(term['term'], where)}",
            "control_id": without,
            "neutral_control_id": neutral,
            "concept": term["term"],
            "concept_group": term["group"],
            "expected": term["group"] if template.expects_group else None,
            **shared,
            "prompt": _fill(template.test, values, where, "test"),
        }


def _fill(text: str, values: Mapping[str, str], where: str, key: str) -> str:
    """Return ``text`` with its placeholders filled; a control has none, a test at least one."""
    names = _placeholders(text, where, key)
    allowed = ", ".join(f"{{{name}}}" for name in values) or "none"
    for name in names:
        if name not in values:
            term = f" (term {values['concept']!r})" if values else ""
            raise InputError(f"{where}: key {key!r}: got the placeholder {{{name}}}; allowed: {allowed}{term}.")
    if values and not names:
        raise InputError(f"{where}: key {key!r}: got {text!r} without a placeholder; allowed: {allowed}.")
    return text.format_map(values)


def _placeholders(text: str, where: str, key: str) -> list[str]:
    allowed = "allowed: plain placeholders such as {concept}; a brace that is meant is doubled."
    try:
        parts = [part for part in Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise InputError(f"{where}: key {key!r}: got {text!r} ({error}); {allowed}") from error
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise InputError(f"{where}: key {key!r}: got {text!r}, a placeholder with a format; {allowed}")
    return [str(name) for _, name, _, _ in parts]


def _slug(term: str, where: str) -> str:
    slug = re.sub(r"[\W_]+", "-", term.casefold()).strip("-")
    if not slug:
        raise InputError(f"{where}: got the term {term!r}; allowed: a term with a letter or digit.")
    return slug


def _refuse_twice(rows: list[dict[str, str | None]], key: str, path: Path) -> None:
    first: dict[str | None, dict[str, str | None]] = {}
    for row in rows:
        other = first.setdefault(row[key], row)
        if other is not row:
            ids = f"{_name(other)} and {_name(row)}"
            raise InputError(f"{path}: got the {key} {row[key]!r} twice ({ids}); allowed: each {key} once in a set.")


def _name(row: Mapping[str, str | None]) -> str:
    term = f" (term {row['concept']!r})" if row.get("concept") else ""
    return f"{row['prompt_id']!r}{term}"


def _lexicon_files(templates: list[PromptTemplate], lexicons: Sequence[Path], path: Path) -> dict[str, Path]:
    """Return the file of every lexicon that the templates name, in order of first use; of one name the first counts."""
    known = {file.stem: file for file in reversed(lexicons)}
    files: dict[str, Path] = {}
    for template in templates:
        for key, name in (("concepts", template.concepts), ("slot", template.slot)):
            if name not in known:
                raise one_of(f"{path}: template {template.id!r}: key {key!r}", name, known)
            files[name] = known[name]
    return files


def _read_templates(path: Path) -> list[PromptTemplate]:
    templates: list[PromptTemplate] = []
    seen: set[str] = set()
    for i, entry in enumerate(_read_entries(path, "templates")):
        template = _template(entry, f"{path}: templates[{i}]")
        if template.id in seen:
            raise InputError(f"{path}: templates[{i}]: got the id {template.id!r} again; allowed: each id once.")
        seen.add(template.id)
        templates.append(template)
    return templates


def _template(entry: object, where: str) -> PromptTemplate:
    if isinstance(entry, dict) and isinstance(entry.get("id"), str):
        where += f" (id {entry['id']!r})"
    checked = _check_keys(entry, where, TEMPLATE_KEYS, TEMPLATE_OPTIONS)
    texts = {key: _text(checked[key], where, key) for key in TEMPLATE_KEYS}
    expects = checked.get("expects_group", False)
    if not isinstance(expects, bool):
        raise InputError(f"{where}: key 'expects_group': got {expects!r}; allowed: true or false.")
    if not _ID.fullmatch(texts["id"]):
        raise InputError(f"{where}: key 'id': got {texts['id']!r}; allowed: letters, digits, '.', '_' and '-'.")
    if texts["category"] == POOLED:
        raise InputError(
            f"{where}: key 'category': got {POOLED!r}; allowed: a name that does not stand for all of them."
        )
    return PromptTemplate(**texts, expects_group=expects)


def _check_keys(
    entry: object, where: str, required: tuple[str, ...], optional: tuple[str, ...] | None = None
) -> dict[str, object]:
    """Return the entry if it is a mapping with the required keys; ``optional`` None allows any others."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: got {entry!r}; allowed: a mapping with the keys {', '.join(required)}.")
    for key in entry:
        if not isinstance(key, str):
            raise InputError(f"{where}: got the key {key!r}, not text; allowed: text (quote it).")
        if optional is not None and key not in required + optional:
            raise one_of(f"{where}: key", key, required + optional)
    missing = [key for key in required if key not in entry]
    if missing:
        raise InputError(f"{where}: got no key {missing[0]!r}; allowed: all of {', '.join(required)}.")
    return entry


def _text(value: object, where: str, key: str) -> str:
    if not isinstance(value, str):
        found = "nothing" if value is None else f"{value!r}, which YAML reads as {type(value).__name__}"
        raise InputError(f'{where}: key {key!r}: got {found}; allowed: text (quote it, as in {key}: "no").')
    if not value.strip() or value != value.strip():
        raise InputError(f"{where}: key {key!r}: got {value!r}; allowed: text, not empty, without spaces around it.")
    return value


def _read_entries(path: Path, key: str) -> list[object]:
    """Return the list that a YAML file of ``description`` and ``key`` holds."""
    document = _check_keys(read_yaml(path), str(path), ("description", key), ())
    _text(document["description"], str(path), "description")
    entries = document[key]
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: key {key!r}: got {entries!r}; allowed: a list of at least one entry.")
    return entries
