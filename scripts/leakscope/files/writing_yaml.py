"""Values as readable YAML."""

from __future__ import annotations

import json
from typing import Any

import yaml


def as_yaml(value: Any) -> str:
    """Return a value as a YAML file, a key a line, in the order of its keys."""
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False)


def in_yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6)
    text = text.removesuffix("\n").removesuffix("\n...")
    return json.dumps(value, ensure_ascii=False) if "\n" in text else text
