"""Error messages for a user's YAML, one line per mistake: where, what was found, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from pydantic import ValidationError

from leakscope.errors import InputError, one_of
from leakscope.jobs.redaction import HIDDEN, is_secret_name
from leakscope.typed.schema import (
    Schema,
    entered,
    entries,
    follow,
    in_words,
    json_schema,
    kinds,
    options,
    properties,
)
from leakscope.typed.values import Section
from leakscope.typed.wording import KEY_VARIABLE, dotted, show

# Entries of which some kinds have a key variable.
EXPLAINERS = ["features", "explainers"]
# Keys that identify the entries of a list for the user.
NAMES = ("id", "term")

Path = tuple[object, ...]


class _Location(NamedTuple):
    """Place of a mistake: path, value, schema of allowed values, and whether the key itself is the mistake.

    ``named`` is the name of the list entry that contains it; empty outside of lists.
    """

    path: Path
    value: Any
    schema: Schema
    is_key: bool = False
    named: str = ""

    def where(self, file: str, *keys: object) -> str:
        """Return the place, or that of a key below it, for an error: ``file: templates.0.slot ('lamp')``."""
        return f"{dotted((*self.path, *keys), file)}{self.named}"


def mistakes(
    error: ValidationError, written: Any, section: type[Section], file: str = "config"
) -> dict[Path, InputError]:
    """Return path → its mistake, one per path; invalid names and unknown keys come first.

    A misspelt key is also missing under its right name; only the misspelling is reported. Mistakes below an invalid
    name are not reported.

    Args:
        error: pydantic's error for ``section`` and ``written``.
        written: the user's content, plain builtins.
        section: the expected section.
        file: name of the file in errors.
    """
    root = json_schema(section)
    found: dict[Path, InputError] = {}
    refused, meant = set[Path](), set[Path]()
    for one in sorted(error.errors(include_url=False), key=_order):
        place = _place(one["loc"], written, root, root)
        if any(place.path[: len(key)] == key for key in refused):
            continue
        if place.is_key:
            refused.add(place.path)
        if one["type"] == "extra_forbidden":
            near = _near(place, root)
            meant |= {(*place.path[:-1], name) for name in near}
            found[place.path] = _unknown_key(place, near, root, file)
        elif one["type"] == "mistake":
            told = one["ctx"]
            found.setdefault(place.path, InputError(f"{place.where(file, told['key'])}: {one['msg']}"))
        elif place.path not in found and not (one["type"] == "missing" and place.path in meant):
            found[place.path] = _in_one_line(one, place, root, file)
    return found


def _order(one: Mapping[str, Any]) -> tuple[bool, bool]:
    return "[key]" not in one["loc"], one["type"] != "extra_forbidden"


def _place(location: Sequence[object], value: Any, schema: Schema, root: Schema) -> _Location:
    """Resolve pydantic's location, which also contains kinds of entries and branches of unions."""
    path: Path = ()
    named = ""
    steps = list(location)
    while steps:
        schema = entered(schema, root)
        if "discriminator" in schema:
            schema = kinds(schema, root)[1][str(steps.pop(0))]
            continue
        if len(options(schema)) > 1 or not isinstance(value, (dict, list)):
            # The remaining steps name the union branch that was tried.
            break
        step = steps.pop(0)
        if steps[:1] == ["[key]"]:
            return _Location((*path, step), value, schema.get("propertyNames", {}), is_key=True)
        path = (*path, step)
        if isinstance(value, list):
            value, schema = value[int(str(step))], schema.get("items", {})
            named = _named(value, steps)
        else:
            value, schema = value.get(step), properties(schema, root).get(str(step)) or entries(schema, root) or schema
    return _Location(path, value, schema, named=named)


def _named(entry: Any, steps: Sequence[object]) -> str:
    """Return the name of a list entry for errors, from its first key in ``NAMES`` unless the mistake is in that key."""
    names = [entry[key] for key in NAMES if key in entry] if isinstance(entry, dict) else []
    is_text = bool(names) and isinstance(names[0], str) and names[0].strip()
    return f" ({show(names[0])})" if is_text and not set(steps) & set(NAMES) else ""


def _in_one_line(one: Mapping[str, Any], place: _Location, root: Schema, file: str) -> InputError:
    path, value, schema, is_key, _ = place
    if is_key:
        return InputError(f"{dotted(path[:-1], file)}: got {show(path[-1])}; allowed: {in_words(schema, root)}.")
    where = place.where(file)
    schema = follow(schema, root)
    allowed = in_words(schema, root)
    if one["type"].startswith("union_tag"):
        key, named = kinds(entered(schema, root), root)
        where = place.where(file, key)
        if key not in value:
            return InputError(f"{where}: got nothing; allowed: {', '.join(named)}.")
        if isinstance(value[key], str):
            return one_of(where, value[key], named)
        return InputError(f"{where}: got {show(value[key])}; allowed: {', '.join(named)}.")
    if one["type"] == "invalid_key":
        return InputError(f"{where}: got the key {show(one['input'])}; allowed: text. Put it in quotes.")
    if one["type"] == "missing":
        return InputError(f"{where}: got nothing; allowed: {allowed}.")
    if one["type"] == "twice":
        return InputError(f"{where}: got {show(one['ctx']['value'])} twice; allowed: {allowed}.")
    if "enum" in schema and isinstance(value, str):
        return one_of(where, value, schema["enum"])
    hint = " Put it in quotes." if _is_text(schema) and isinstance(value, (bool, int, float, date)) else ""
    required = entered(schema, root).get("required") if one["type"] == "model_type" else None
    keys = f" with {', '.join(required)}" if required else ""
    return InputError(f"{where}: got {show(value, path[-1] if path else '')}; allowed: {allowed}{keys}.{hint}")


def _near(place: _Location, root: Schema) -> list[str]:
    """Return the known key that a user probably meant by an unknown one: misspelt, or one level too high."""
    key, known = str(place.path[-1]), properties(place.schema, root)
    inside = {inner: f"{outer}.{inner}" for outer in known for inner in properties(entered(known[outer], root), root)}
    if is_secret_name(key) and KEY_VARIABLE in known:
        return [KEY_VARIABLE]
    return difflib.get_close_matches(key, known, n=1) or ([inside[key]] if key in inside else [])


def _unknown_key(place: _Location, near: Sequence[str], root: Schema, file: str) -> InputError:
    key, known = place.path[-1], properties(place.schema, root)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    # Users sometimes write the secret key itself here, under any name.
    asked = KEY_VARIABLE in known or list(place.path[:2]) == EXPLAINERS
    shown = HIDDEN if asked else show(place.value, key)
    return InputError(f"{place.where(file)}: got an unknown key ({shown}); allowed: {', '.join(sorted(known))}.{hint}")


def _is_text(schema: Schema) -> bool:
    return any(option.get("type") == "string" for option in options(schema))
