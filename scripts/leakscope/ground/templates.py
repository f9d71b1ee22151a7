"""Sentence templates with a gap for a subject and one for a group, one file a language: ``<language>.yaml``.

A file holds ``description, language, prefix`` (optional) and ``templates``, a list of ``{id, text}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from leakscope.errors import InputError
from leakscope.files.reading_yaml import read_yaml

GAPS = ("{subject}", "{group}")
COUNTRY = "{country}"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class SentenceTemplate(NamedTuple):
    """A sentence with the gaps ``{subject}`` and ``{group}``, each once."""

    id: str
    text: str


class SentenceTemplates(NamedTuple):
    """The templates of one language; ``prefix`` holds ``{country}``, or is None."""

    templates: tuple[SentenceTemplate, ...]
    prefix: str | None


class FilledSentence(NamedTuple):
    """A filled template.

    text: the whole sentence.
    span: its characters that are the group's, beginning and end.
    rest: the sentence with the subject left out, spaces tidied.
    """

    text: str
    span: tuple[int, int]
    rest: str


def template_file(folder: Path, language: str) -> Path:
    """Return the file that holds a language's templates."""
    return folder / f"{language}.yaml"


def read_sentence_templates(path: Path) -> SentenceTemplates:
    """Return the templates of a file, in its order.

    Raises:
        InputError: the file is missing or no YAML of the form described above;
            a gap is missing, stands twice or is unknown; an id or a text stands twice.
    """
    content = _load(path)
    if content.get("language") != path.stem:
        raise InputError(f"{path}: key 'language': got {content.get('language')!r}; allowed: {path.stem!r}, its name.")
    prefix = content.get("prefix")
    if prefix is not None and (not isinstance(prefix, str) or prefix.count(COUNTRY) != 1):
        raise InputError(f"{path}: key 'prefix': got {prefix!r}; allowed: text with {COUNTRY} once.")
    entries = content.get("templates")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: key 'templates': got {entries!r}; allowed: a list of at least one {{id, text}}.")
    templates: list[SentenceTemplate] = []
    for i, entry in enumerate(entries):
        template = _template(entry, f"{path}: templates[{i}]")
        for other in templates:
            for key in ("id", "text"):
                if getattr(other, key) == getattr(template, key):
                    raise InputError(
                        f"{path}: templates[{i}]: got the {key} {getattr(template, key)!r} again; allowed: each once."
                    )
        templates.append(template)
    return SentenceTemplates(tuple(templates), prefix)


def fill(template: SentenceTemplate, subject: str, group: str, lead: str = "") -> FilledSentence:
    """Return the template filled; ``lead`` (a filled country prefix, or nothing) goes before it."""
    before, after = (lead + template.text).split("{group}")
    before, after = before.replace("{subject}", subject), after.replace("{subject}", subject)
    text = before + group + after
    rest = (lead + template.text).replace("{group}", group).replace("{subject}", "")
    rest = re.sub(r"\s+([.,。，;?!])", r"\1", re.sub(r" {2,}", " ", rest)).strip()
    return FilledSentence(text, (len(before), len(before) + len(group)), rest)


def lead_in(templates: SentenceTemplates, country: str | None, path: Path) -> str:
    """Return the filled country prefix; empty without a country.

    Raises:
        InputError: a country is asked for and the file has no prefix.
    """
    if country is None:
        return ""
    if templates.prefix is None:
        raise InputError(f"{path}: got no key 'prefix'; allowed: text with {COUNTRY}, as ground.country is set.")
    return templates.prefix.replace(COUNTRY, country)


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: got no such file; allowed: a file of sentence templates.")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: got {type(content).__name__}; allowed: a mapping with 'language' and 'templates'.")
    unknown = sorted(set(content) - {"description", "language", "prefix", "templates"})
    if unknown:
        raise InputError(f"{path}: got the key {unknown[0]!r}; allowed: description, language, prefix, templates.")
    return content


def _template(entry: object, where: str) -> SentenceTemplate:
    if (
        not isinstance(entry, dict)
        or set(entry) != {"id", "text"}
        or not all(isinstance(v, str) for v in entry.values())
    ):
        raise InputError(
            f"{where}: got {entry!r}; allowed: {{id: <name>, text: <sentence with {' and '.join(GAPS)}>}}."
        )
    template = SentenceTemplate(**entry)
    if not _ID.fullmatch(template.id):
        raise InputError(f"{where}: key 'id': got {template.id!r}; allowed: letters, digits, '.', '_' and '-'.")
    gaps = re.findall(r"\{[^{}]*\}", template.text)
    if sorted(gaps) != sorted(GAPS):
        raise InputError(f"{where}: key 'text': got {template.text!r}; allowed: {' and '.join(GAPS)}, each once.")
    return template
