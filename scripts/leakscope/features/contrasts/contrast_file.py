"""The file of a contrast of templates; apart from what makes texts of it, so that planning a run imports no tables."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from leakscope.errors import InputError
from leakscope.files.patterns import validator
from leakscope.files.reading_yaml import read_yaml

SCHEMA = Path(__file__).parents[4] / "schemas" / "contrast.schema.json"


def read_contrast_file(path: Path) -> dict[str, Any]:
    """Return the content of a contrast file, with defaults.

    Raises:
        InputError: it is no YAML, or not as the schema says.
    """
    content = read_yaml(path)
    mistakes = sorted(_validator().iter_errors(content), key=_place)
    if mistakes:
        raise _in_one_line(mistakes[0], path)
    read: dict[str, Any] = {"association": {"column": "association", "a": 1, "b": -1}, "minimal_pairs": None, **content}
    if read["association"]["a"] == read["association"]["b"]:
        raise InputError(f"{path}: association: got the same value for a and b; allowed: two values.")
    return read


def _place(error: ValidationError) -> tuple[bool, str]:
    # Unknown keys first: a misspelt one is also missing under its right name.
    return error.validator != "additionalProperties", str(list(error.absolute_path))


def _in_one_line(error: ValidationError, path: Path) -> InputError:
    where = ".".join(map(str, error.absolute_path)) or "the file"
    schema: Any = error.schema
    allowed = schema.get("title") if error.absolute_path else None
    return InputError(f"{path}: {where}: {error.message}; allowed: {allowed or f'what schemas/{SCHEMA.name} says'}.")


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    return validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
