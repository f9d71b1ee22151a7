"""Patterns of typed files mean what JSON Schema says: the end of a text is its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from leakscope.configuration.reference import SCHEMAS
from leakscope.typed.schema import json_schema


def anchored(value: Any) -> Iterator[str]:
    """Yield all patterns of a schema that end in ``$``."""
    if isinstance(value, dict) and str(value.get("pattern", "")).endswith("$"):
        yield value["pattern"]
    for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else []:
        yield from anchored(item)


def fits(pattern: str, text: str) -> bool:
    try:
        TypeAdapter(Annotated[str, Field(pattern=pattern)]).validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_pattern_of_a_schema_allows_a_line_break_behind_a_name(name: str) -> None:
    patterns = set(anchored(json_schema(SCHEMAS[name])))
    assert patterns
    for pattern in patterns:
        assert not (fits(pattern, "mine") and fits(pattern, "mine\n")), pattern
