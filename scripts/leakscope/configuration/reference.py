"""Files generated from typed sections: reference pages of the configuration and tables, and JSON schemas for editors.

``python -m leakscope.configuration.reference`` rewrites ``docs/configuration/``, ``docs/tables.md`` and
``schemas/*.schema.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from leakscope.configuration.sections.configuration import Configuration
from leakscope.configuration.table_reference import ResultTables, tables_page
from leakscope.features.contrasts.contrast_file import ContrastFile
from leakscope.files.finding import CHECKOUT
from leakscope.files.writing import replacing
from leakscope.ground.sentence_templates import SentenceTemplates
from leakscope.leak.prompt_files import ClauseFile, Lexicon, TemplateFile
from leakscope.leak.rating.judge_prompts import JudgePrompts
from leakscope.results.card_file import CardFile
from leakscope.trace.cue_file import CueFile
from leakscope.trace.removal.use_file import UseFile
from leakscope.typed.schema import Schema, entered, entries, in_words, json_schema, kinds, properties
from leakscope.validate.tasks.form_file import FormFile

WRITTEN = "<!-- Written from scripts/leakscope/configuration/ by `python -m leakscope.configuration.reference`. -->"
HEADER = "| key | allowed | default | meaning |\n| --- | --- | --- | --- |\n"
# Top-level keys with a single value.
GENERAL = "general"
# The key that distinguishes kinds comes first, keys shared by all kinds last.
KINDS, LAST = ("source", "kind"), ("label", "description")
WIDTH = 120


def written_files() -> dict[str, str]:
    """Return path → content of every generated file; paths are relative to the checkout."""
    schemas = {f"schemas/{name}.schema.json": section for name, section in SCHEMAS.items()}
    return {
        **{f"docs/configuration/{name}.md": page for name, page in pages().items()},
        "docs/tables.md": tables_page(),
        **{path: _json(json_schema(section)) + "\n" for path, section in schemas.items()},
    }


def pages() -> dict[str, str]:
    """Return name → Markdown of each page: one per section, and one for the top-level keys with a single value."""
    root = json_schema(Configuration)
    general, written = [], {}
    for key, section in properties(root, root).items():
        if _is_section(section, root):
            written[key] = "\n".join(_section(key, section, root))
        else:
            general += [(key, root)]
    rows = "".join(_row(key, "", root, root) for key, _ in general)
    title = (
        f"# Keys of the top level\n\n{WRITTEN}\n\nTop-level keys with a single value; each section has its own page.\n"
    )
    return {**written, GENERAL: f"{title}\n{HEADER}{rows}"}


def _section(key: str, section: Schema, root: Schema) -> Iterator[str]:
    yield f"# `{key}`\n\n{WRITTEN}\n\n{section['description']}\n"
    named = entries(section, root)
    if not kinds(named, root)[0]:
        yield _table(section, root)
    yield from _kinds(named, root, "")
    for path, inner in _inside(section, root, key):
        yield from _kinds(inner, root, path)


def _kinds(schema: Schema, root: Schema, path: str) -> Iterator[str]:
    """Yield a Markdown section for each kind of entry."""
    key, named = kinds(schema, root)
    for kind, described in named.items():
        where = f"`{path}`, " if path else ""
        yield f"## {where}`{key}: {kind}`\n\n{described['description']}\n"
        yield _table(described, root)


def _inside(schema: Schema, root: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Yield each key inside a section whose entries are of several kinds."""
    for key, described in properties(entered(schema, root), root).items():
        where = f"{path}.{key}"
        for inner in (described, entries(entered(described, root), root)):
            if kinds(inner, root)[0]:
                yield where, inner
            elif inner:
                yield from _inside(inner, root, where)


def _table(section: Schema, root: Schema) -> str:
    return HEADER + "".join(_rows(section, root, ""))


def _rows(section: Schema, root: Schema, prefix: str) -> Iterator[str]:
    """Yield a row for each key, keys of inner mappings dotted."""
    section = entered(section, root)
    required = section.get("required", [])
    for key in sorted(properties(section, root), key=lambda key: (key in LAST, key not in KINDS, key not in required)):
        yield _row(key, prefix, section, root)
        if not _is_override(key, prefix, section):
            yield from _rows(section["properties"][key], root, f"{prefix}{key}.")
    if entries(section, root):
        yield from _rows(entries(section, root), root, f"{prefix}<name>.")


def _row(key: str, prefix: str, section: Schema, root: Schema) -> str:
    described = properties(section, root)[key]
    allowed = in_words(described, root)
    if _is_override(key, prefix, section):
        allowed = "keys of [`generation`](generation.md)"
    # The key that distinguishes kinds is the heading and needs no row.
    meaning = described.get("description", f"`{described.get('const')}`")
    cells = (f"`{prefix}{key}`", allowed.replace("<", "&lt;"), _default(key, section), meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _is_override(key: str, prefix: str, section: Schema) -> bool:
    return key == "generation" and not prefix and "study" not in section["properties"]


def _is_section(schema: Schema, root: Schema) -> bool:
    return bool(properties(schema, root) or entries(schema, root))


def _default(key: str, section: Schema) -> str:
    if key in section.get("required", []):
        return "required"
    # The keys of a mapping have rows of their own.
    default: Any = section["properties"][key].get("default", {})
    return "" if isinstance(default, dict) else f"`{json.dumps(default, ensure_ascii=False)}`"


def _json(value: Any, indent: str = "") -> str:
    """Return JSON with values on one line where they fit."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict):
        return line
    inner = indent + "  "
    lines = (f"{inner}{json.dumps(key)}: {_json(item, inner)}" for key, item in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


SCHEMAS = {
    "config": Configuration,
    "templates": TemplateFile,
    "lexicon": Lexicon,
    "clauses": ClauseFile,
    "prompt_forms": FormFile,
    "contrast": ContrastFile,
    "cues": CueFile,
    "judge": JudgePrompts,
    "use": UseFile,
    "sentence_templates": SentenceTemplates,
    "result_tables": ResultTables,
    "card": CardFile,
}


if __name__ == "__main__":
    for path, content in written_files().items():
        with replacing(CHECKOUT / path) as file:
            file.write_text(content, encoding="utf-8")
