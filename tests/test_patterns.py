"""Patterns of the schemas mean what JSON Schema says: the end of a text is its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leakscope.files.patterns import validator


@pytest.mark.parametrize(
    ("pattern", "fits", "refused"),
    [
        ("^[a-z]+$", "mine", "mine\n"),
        ("^(?!own$)[a-z]+$", "owner", "own"),
        ("^$|^a$", "", "\n"),
        (r"^a\$$", "a$", "a$\n"),
        ("^[$a]+$", "a$", "a\n"),
        ("[.]x$", "b.x", "b.x\n"),
        (r"^[\]$]$", "$", "$\n"),
    ],
)
def test_a_text_with_a_line_break_behind_does_not_end_there(pattern: str, fits: str, refused: str) -> None:
    check = validator({"type": "string", "pattern": pattern})
    assert check.is_valid(fits)
    assert not check.is_valid(refused)


def test_keys_end_where_they_end_and_a_property_may_be_called_pattern() -> None:
    keys = validator({"patternProperties": {"^name_[a-z]+$": {}}, "additionalProperties": False})
    assert keys.is_valid({"name_de": 1})
    assert not keys.is_valid({"name_de\n": 1})
    names = validator({"propertyNames": {"pattern": "^[a-z]+$"}, "properties": {"pattern": {"type": "integer"}}})
    assert names.is_valid({"pattern": 1})
    assert not names.is_valid({"pattern": "x"})
    assert not names.is_valid({"pattern\n": 1})


def anchored(value: Any) -> list[str]:
    """Return all patterns of a schema that end in ``$``."""
    if isinstance(value, list):
        return [found for item in value for found in anchored(item)]
    if not isinstance(value, dict):
        return []
    inside = [found for item in value.values() for found in anchored(item)]
    return inside + ([value["pattern"]] if str(value.get("pattern", "")).endswith("$") else [])


@pytest.mark.parametrize("schema", sorted(path.name for path in (Path(__file__).parents[1] / "schemas").iterdir()))
def test_no_pattern_of_a_schema_allows_a_line_break_behind_a_name(root: Path, schema: str) -> None:
    content = json.loads((root / "schemas" / schema).read_text(encoding="utf-8"))
    for pattern in anchored(content):
        check = validator({"pattern": pattern})
        assert not (check.is_valid("mine") and check.is_valid("mine\n")), pattern
