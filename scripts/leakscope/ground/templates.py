"""Sentence templates with gaps for a subject and a group, one file per language: ``<language>.yaml``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leakscope.errors import InputError

# Imported inside functions: every Snakemake job imports this module, but few read templates.
if TYPE_CHECKING:
    from leakscope.ground.sentence_templates import SentenceTemplate, SentenceTemplates

COUNTRY = "{country}"


class FilledSentence(NamedTuple):
    """A filled template.

    text: the whole sentence.
    span: start and end character of the group's name.
    rest: the sentence without the subject, with spaces tidied.
    """

    text: str
    span: tuple[int, int]
    rest: str


def template_file(folder: Path, language: str) -> Path:
    """Return the path of a language's templates."""
    return folder / f"{language}.yaml"


def read_sentence_templates(path: Path) -> SentenceTemplates:
    """Return the templates of a file, in order.

    Raises:
        InputError: as ``read_typed``, or the file is named after another language.
    """
    from leakscope.ground.sentence_templates import SentenceTemplates
    from leakscope.typed.reading import read_typed

    templates = read_typed(path, SentenceTemplates)
    if templates.language != path.stem:
        raise InputError(f"{path}: language: got {templates.language!r}; allowed: {path.stem!r}, the file's name.")
    return templates


def fill(template: SentenceTemplate, subject: str, group: str, lead: str = "") -> FilledSentence:
    """Return the filled template, preceded by ``lead`` (a filled country prefix, or empty)."""
    before, after = (lead + template.text).split("{group}")
    before, after = before.replace("{subject}", subject), after.replace("{subject}", subject)
    text = before + group + after
    rest = (lead + template.text).replace("{group}", group).replace("{subject}", "")
    rest = re.sub(r"\s+([.,。，;?!])", r"\1", re.sub(r" {2,}", " ", rest)).strip()
    return FilledSentence(text, (len(before), len(before) + len(group)), rest)


def lead_in(templates: SentenceTemplates, country: str | None, path: Path) -> str:
    """Return the filled country prefix; empty without a country.

    Raises:
        InputError: a country is given but the file has no prefix.
    """
    if country is None:
        return ""
    if templates.prefix is None:
        raise InputError(f"{path}: prefix: got nothing; allowed: a text with {COUNTRY}, because ground.country is set.")
    return templates.prefix.replace(COUNTRY, country)
