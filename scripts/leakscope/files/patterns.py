"""Checking values by a JSON schema, whose patterns mean what JSON Schema says they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

# An escaped character, a set of characters, or the end of the text.
_PARTS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """Return what checks values by a schema, with ``$`` the very end of a text.

    So JSON Schema has it; Python's ``$`` allows a line break behind.
    """
    return Draft202012Validator(_with_true_ends(schema))


def _with_true_ends(schema: Any) -> Any:
    """Return a schema, or a part of one, with the patterns of JSON Schema as Python understands them."""
    if isinstance(schema, list):
        return [_with_true_ends(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    changed = {key: _with_true_ends(value) for key, value in schema.items()}
    if isinstance(changed.get("pattern"), str):
        changed["pattern"] = _true_end(changed["pattern"])
    # A property may be called like this, too; then these are names, which have no `$`.
    if isinstance(changed.get("patternProperties"), Mapping):
        changed["patternProperties"] = {_true_end(key): value for key, value in changed["patternProperties"].items()}
    return changed


def _true_end(pattern: str) -> str:
    return _PARTS.sub(lambda part: r"\Z" if part[0] == "$" else part[0], pattern)
