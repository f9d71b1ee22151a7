"""The page that describes every key of the configuration, written from the schema.

``python -m leakscope.configuration.reference > docs/configuration.md`` writes it again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from leakscope.configuration.schema import branches, follow, in_words, is_entered, load_schema, properties

INTRODUCTION = """\
# Configuration

<!-- Written from schemas/config.schema.json by `python -m leakscope.configuration.reference`: edit the schema. -->

A study is `config.yaml`, overridden by a file of your own:

```
snakemake --cores all --configfile studies/mine.yaml
```

- Mappings are merged key by key; lists are replaced. So models, prompt sets and scorers are catalogues, mappings from a
  name to an entry, and `study` selects from them by lists of names. Entries that no study selects cost nothing.
- An entry of your file that has a `source` (a model or prompt set), a `kind` (a scorer, an explainer of `features`), a
  `loss` (a method of `validate`) or `extends` is complete: it replaces the catalogue's entry of the same name. An entry
  without changes keys of the catalogue's.
- `ground.axes`, `validate.tasks`, `features.dictionaries` and `features.contrasts` of your file replace those of
  `config.yaml` as a whole: a study that names axes, or tasks, has these alone.
- `extends: <name>` makes a model a variant of another. It takes that entry's keys, all but `label` and `description`,
  and changes those it names; it cannot change the `source`. It shares the weights of the model it extends unless it
  changes what decides them (`size`, `grammar`, `seed`; `id`, `revision`; `path`; `base`, `task`, `split`, `method`;
  `base`, `dictionary` and the edit).

  ```yaml
  models:
    qwen2.5-0.5b-hot: {extends: qwen2.5-0.5b, generation: {temperature: 1.0}}
  ```
- A model's settings for generation are those of `generation`, overridden by `organisms.generation` if it is an
  organism, overridden by its own `generation`; a prompt set's `samples` comes last.
- A tuned model (`source: tuned`, or one of `validate.tuned`), or an edited one (`source: edited`), is loaded and
  prompted as its `base` is, and has its settings for generation. Its base is studied, too, before it.
- Names become file names: lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 100
  characters. Labels are one line without `<` and `>`. No text holds `</script` or `<!--`, which would end or hide a
  part of the report, nor control characters.
- A configuration has at most 100,000 values, those that aliases (`*name`) stand for counted each time, and at most 50
  lists or mappings inside each other. `make run` looks at a study's file before Snakemake reads it. `snakemake` by
  itself does not: there a file of somebody else's that holds mappings of aliases of aliases may run for ever.
- Relative paths are relative to the working directory; absolute ones are allowed.
- A number is written without quotes and with a decimal point before an exponent: YAML reads `5e-3` as text. Values
  that hold mappings belong in a file: `--config 'a={b: 0.9}'` gives text. Entries of `features.steering` are read
  all the same: `--config 'features={steering: {mine: {dictionary: d, feature: 12, prompt: "She said"}}}'`.

Every mistake in the configuration ends the run before any job starts, with one line that names the key, what was found
and what is allowed. Keys that are not listed here are mistakes.
"""
HEADER = "| key | allowed | default | meaning |\n| --- | --- | --- | --- |\n"


def render(schema: Mapping[str, Any]) -> str:
    """Return the page in Markdown: a section for each top-level key, a table for each kind of entry."""
    sections = [INTRODUCTION]
    for key, described in properties(schema, schema).items():
        sections.append(f"## `{key}`\n\n{described['description']}\n")
        kinds = branches(_entries(described, schema), schema)
        for discriminator, value, branch in kinds:
            sections.append(f"### `{discriminator}: {value}`\n\n{branch['description']}\n")
            sections.append(_table(branch, schema))
        if not kinds and "type" in described and described["type"] != "object":
            sections.append(HEADER + f"| {' | '.join(map(_cell, _row(key, schema, described)))} |\n")
        elif not kinds:
            sections.append(_table(described, schema))
        for path, inner in _inner_kinds(described, schema, key):
            for discriminator, value, branch in inner:
                sections.append(f"### `{path}`, `{discriminator}: {value}`\n\n{branch['description']}\n")
                sections.append(_table(branch, schema))
    return "\n".join(sections)


def _inner_kinds(
    schema: Mapping[str, Any], root: Mapping[str, Any], path: str
) -> Iterator[tuple[str, list[tuple[str, str, Mapping[str, Any]]]]]:
    """Yield each key inside a section whose entries are of several kinds, with these."""
    inside = [(f"{path}.{key}", described) for key, described in properties(schema, root).items()]
    inside += [(f"{path}.<name>", entries)] if (entries := _entries(schema, root)) else []
    for where, described in inside:
        if kinds := branches(described, root):
            # Those of a catalogue at the top are the section itself.
            if where.count(".") > 1 or not where.endswith("<name>"):
                yield where, kinds
        else:
            yield from _inner_kinds(described, root, where)


def _table(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    return HEADER + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in _rows(schema, root, ""))


def _rows(schema: Mapping[str, Any], root: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (key, allowed, default, meaning) for each key, keys of inner mappings dotted."""
    for key, described in properties(schema, root).items():
        override = described.get("properties") and not is_entered(key, schema, described)
        allowed = "keys of [`generation`](#generation)" if override else in_words(described).replace("<", "&lt;")
        yield f"`{prefix}{key}`", allowed, _default(key, schema, described), described["description"]
        if not override:
            yield from _rows(described, root, f"{prefix}{key}.")
        yield from _rows(_entries(described, root), root, f"{prefix}{key}.<name>.")


def _row(key: str, schema: Mapping[str, Any], described: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the row of a key that holds a single value."""
    return f"`{key}`", in_words(described), _default(key, schema, described), described["description"]


def _entries(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the sub-schema of a catalogue's entries; empty where names are fixed or values are free."""
    entries = schema.get("additionalProperties")
    return follow(entries, root) if isinstance(entries, Mapping) else {}


def _default(key: str, schema: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    if key in schema.get("required", []):
        return "required"
    if "default" not in described or described["default"] == {}:
        return ""
    return f"`{json.dumps(described['default'], ensure_ascii=False)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(render(load_schema()))
