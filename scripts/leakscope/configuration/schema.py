"""The configuration's schema: what it allows, in plain words, and the defaults it holds.

An entry's sub-schema is chosen by its ``source`` or ``kind`` before anything is compared, so an error is about the kind
of entry that was meant, and defaults never come from another kind.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from jsonschema import ValidationError

from leakscope.errors import InputError, one_of
from leakscope.files.patterns import validator
from leakscope.jobs.redaction import HIDDEN, hide, hide_in, is_secret_name

CATALOGUES = ("models", "prompt_sets", "scorers")
SCHEMA = Path(__file__).parents[3] / "schemas" / "config.schema.json"
LONGEST_SHOWN = 60
# Where people write the key itself.
KEY_VARIABLE = "key_variable"
# Entries of which some kind has it.
EXPLAINERS = ["features", "explainers"]
ADDRESSES = ("base_url", "url")
NUMBER = re.compile(r"[+-]?[0-9]*[.]?[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)
TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
BOUNDS = {
    "minimum": "of at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "of at least {} character",
    "maxLength": "of at most {} characters",
    "minProperties": "of at least {} key",
}


def load_schema() -> dict[str, Any]:
    """Read ``schemas/config.schema.json``."""
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return schema


def check(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise the most telling error of a configuration that does not fit the schema.

    Raises:
        InputError: one line with the key's path, what was found and what is allowed.
    """
    errors = sorted(validator(schema).iter_errors(config), key=_priority)
    if errors:
        raise _in_one_line(errors[0], schema)


def fill_defaults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return a copy of a valid ``value`` with the schema's defaults where keys are missing.

    An optional object without a default (a model's own ``generation``) is an override: it is left as written. 1 and 1.0
    become what the schema calls for, so that both name the same results.
    """
    if not isinstance(value, dict):
        return _number(value, schema) if type(value) in (int, float) else copy.deepcopy(value)
    schema = applicable(schema, value, root)
    filled = copy.deepcopy(value)
    for key, described in properties(schema, root).items():
        if "default" in described:
            filled.setdefault(key, copy.deepcopy(described["default"]))
        if is_entered(key, schema, described) and key in filled:
            filled[key] = fill_defaults(filled[key], described, root)
    entries = schema.get("additionalProperties")
    if isinstance(entries, Mapping):
        filled = {key: fill_defaults(item, entries, root) for key, item in filled.items()}
    return filled


def applicable(schema: Mapping[str, Any], value: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the sub-schema that the ``source`` or ``kind`` of ``value`` chooses, else ``schema`` itself."""
    schema = follow(schema, root)
    for key, choice, branch in branches(schema, root):
        if value.get(key) == choice:
            return branch
    return schema


def branches(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return (key, value, sub-schema) for each kind of entry; empty where there is one kind only."""
    kinds = []
    for branch in schema.get("allOf", []):
        ((key, condition),) = branch["if"]["properties"].items()
        kinds.append((key, condition["const"], follow(branch["then"], root)))
    return kinds


def properties(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the sub-schema of each key, references followed."""
    return {key: follow(described, root) for key, described in schema.get("properties", {}).items()}


def is_entered(key: str, schema: Mapping[str, Any], described: Mapping[str, Any]) -> bool:
    """Say whether the defaults inside the property ``key`` of ``schema`` hold: not in an override."""
    return "default" in described or key in schema.get("required", [])


def follow(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a ``$ref`` into ``$defs`` points to; keys beside the reference win."""
    if "$ref" not in schema:
        return schema
    target = follow(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def in_words(schema: Mapping[str, Any]) -> str:
    """Return what a value's schema allows, in plain words."""
    if "title" in schema:
        return str(schema["title"])
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    bounds = " and ".join(words.format(schema[key]) for key, words in BOUNDS.items() if key in schema)
    first, *others = (TYPES[name] for name in types)
    return ", or ".join([f"{first} {bounds}".rstrip(), *others])


def show(value: object, key: object = "") -> str:
    """Return a value as it would stand in YAML, on one line, shortened, without secrets.

    ``key`` is the name that it has, by which it may be known for a secret.
    """
    if is_secret_name(str(key)) or key == KEY_VARIABLE:
        return HIDDEN
    if key in ADDRESSES and isinstance(value, str):
        # Without http:// it is known for an address by what follows its host.
        value = hide(f"{value}/")[:-1]
    text = hide(repr(value) if isinstance(value, str) else json.dumps(hide_in(value), ensure_ascii=False, default=str))
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def dotted(path: Iterable[object]) -> str:
    """Return where a value stands, as errors name it: ``config: models.foo.seed``."""
    return f"config: {'.'.join(map(str, path))}"


def _priority(error: ValidationError) -> tuple[bool, list[str], str]:
    """Unknown keys first: a misspelt one is also missing under its right name."""
    return error.validator != "additionalProperties", [str(key) for key in error.absolute_path], str(error.validator)


def _in_one_line(error: ValidationError, root: Mapping[str, Any]) -> InputError:
    path, schema = list(error.absolute_path), error.schema
    value: Any = error.instance
    assert isinstance(schema, Mapping), "only an object schema can fail"
    if error.validator == "additionalProperties":
        return _unknown_key(path, value, properties(schema, root), root)
    if error.validator == "required":
        missing = next(key for key in schema["required"] if key not in value)
        allowed = in_words(follow(schema["properties"][missing], root))
        return InputError(f"{dotted([*path, missing])}: got nothing; allowed: {allowed}.")
    if error.validator == "enum" and isinstance(value, str):
        return one_of(dotted(path), value, schema["enum"])
    if error.validator == "uniqueItems":
        twice = next(item for position, item in enumerate(value) if item in value[:position])
        return InputError(f"{dotted(path)}: got {show(twice)} twice; allowed: {in_words(schema)}.")
    shown = show(value, path[-1] if path else "")
    return InputError(f"{dotted(path)}: got {shown}; allowed: {in_words(schema)}.{_type_hint(value, schema)}")


def _unknown_key(
    path: Sequence[object], mapping: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], root: Mapping[str, Any]
) -> InputError:
    """Name the first unknown key, and the known one that was meant: misspelt, or one level too high."""
    key = sorted(set(mapping) - set(known))[0]
    inside = {inner: f"{outer}.{inner}" for outer in known for inner in properties(known[outer], root)}
    near = difflib.get_close_matches(key, known, n=1) or [inside[k] for k in inside if k == key]
    if is_secret_name(key) and KEY_VARIABLE in known:
        near = [KEY_VARIABLE]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    # People write the key itself there, and call it anything.
    asked = KEY_VARIABLE in known or list(path[:2]) == EXPLAINERS
    shown = HIDDEN if asked else show(mapping[key], key)
    where = dotted([*path, key])
    return InputError(f"{where}: got an unknown key ({shown}); allowed: {', '.join(sorted(known))}.{hint}")


def _type_hint(value: object, schema: Mapping[str, Any]) -> str:
    """Explain the two surprises of YAML: 5e-3 is text to it, and 2024 a number."""
    types = types_of(schema)
    if isinstance(value, str) and types & {"number", "integer"} and NUMBER.fullmatch(value):
        return " YAML reads it as text: leave out quotes, and write 5e-3 as 0.005."
    if "string" in types and not isinstance(value, (str, dict, list, NoneType)):
        return " Put it in quotes."
    return ""


def types_of(schema: Mapping[str, Any]) -> set[str]:
    """Return the JSON types a scalar may have."""
    types: set[str] = set()
    for option in schema.get("anyOf", [schema]):
        named = option.get("type", [])
        types |= {named} if isinstance(named, str) else set(named)
    return types


def _number(value: float, schema: Mapping[str, Any]) -> float:
    types = types_of(schema)
    if "number" in types:
        return float(value)
    return int(value) if "integer" in types else value
