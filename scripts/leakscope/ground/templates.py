"""Sentence templates with a gap for a subject and one for a group, one file a language: ``<language>.yaml``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leakscope.errors import InputError

# Imported where it is used: every job of Snakemake imports this module, and few read templates.
if TYPE_CHECKING:
    from leakscope.ground.sentence_templates import SentenceTemplate, SentenceTemplates

COUNTRY = "{country}"


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
        InputError: as ``read_typed``, or the file is called by another language.
    """
    from leakscope.ground.sentence_templates import SentenceTemplates
    from leakscope.typed.reading import read_typed

    templates = read_typed(path, SentenceTemplates)
    if templates.language != path.stem:
        raise InputError(f"{path}: language: got {templates.language!r}; allowed: {path.stem!r}, the file's name.")
    return templates


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
        raise InputError(f"{path}: prefix: got nothing; allowed: text with {COUNTRY}, as ground.country is set.")
    return templates.prefix.replace(COUNTRY, country)
