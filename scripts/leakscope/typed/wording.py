"""Formatting of keys and values in errors."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date

from leakscope.jobs.redaction import HIDDEN, hide, hide_in, is_secret_name

LONGEST_SHOWN = 60
# Keys where users sometimes write the secret itself.
KEY_VARIABLE = "key_variable"
ADDRESSES = ("base_url", "url")


def dotted(path: Iterable[object], file: str = "config") -> str:
    """Return the place of a value for errors: ``config: models.foo.seed``."""
    return f"{file}: {'.'.join(_shortened(' '.join(str(step).split())) for step in path)}".removesuffix(": ")


def show(value: object, key: object = "") -> str:
    """Return a value as in YAML, on one line, shortened and without secrets.

    ``key`` is the key of the value, which may mark it as a secret.
    """
    if is_secret_name(str(key)) or key == KEY_VARIABLE:
        return HIDDEN
    if key in ADDRESSES and isinstance(value, str):
        # Without http://, an address is recognised only by the path after its host.
        value = hide(f"{value}/")[:-1]
    if isinstance(value, date):
        return str(value)
    text = hide(repr(value) if isinstance(value, str) else json.dumps(hide_in(value), ensure_ascii=False, default=str))
    return _shortened(text)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
