"""Limits on every value of a configuration: text that pages and files can hold, and bounded size.

Snakemake, which reads the file first, expands a few lines of YAML aliases into billions of values, and copies the
parameters of rules unescaped into the page of its report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from leakscope.errors import InputError
from leakscope.files.reading_yaml import DEEPEST
from leakscope.typed.wording import dotted, show

MOST_VALUES = 100_000
# Text that would end the HTML element with the parameters, and characters invalid in file names and tables.
HARMFUL = re.compile(r"</script|<!--|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", re.IGNORECASE)


def check_limits(config: Mapping[str, Any]) -> None:
    """Check every value of a configuration as written, with a loop: recursion could exceed Python's limit.

    Raises:
        InputError: there are more than ``MOST_VALUES``, or some are nested deeper than ``DEEPEST``, or a text ends a
            page's script element, or a control character other than tabs and line breaks.
    """
    pending: list[tuple[tuple[object, ...], Any]] = [((), config)]
    n_values = 0
    while pending:
        path, value = pending.pop()
        n_values += 1
        if n_values > MOST_VALUES:
            raise InputError(
                f"{dotted(path[:2])}: got more than {MOST_VALUES:,} values, including those of aliases; allowed: "
                f"at most {MOST_VALUES:,} in the whole configuration."
            )
        if len(path) > DEEPEST:
            depth = f"more than {DEEPEST} lists or mappings inside each other"
            raise InputError(f"{dotted(path[:2])}: got {depth}; allowed: at most {DEEPEST}.")
        if isinstance(value, Mapping):
            for key in value:
                _check_text(key, path)
            pending += [((*path, key), item) for key, item in reversed(list(value.items()))]
        elif isinstance(value, list | tuple):
            pending += [((*path, place), item) for place, item in reversed(list(enumerate(value)))]
        else:
            _check_text(value, path)


def _check_text(value: object, path: tuple[object, ...]) -> None:
    if isinstance(value, str) and HARMFUL.search(value):
        allowed = "text without </script, <!-- and control characters"
        raise InputError(f"{dotted(path)}: got {show(value)}; allowed: {allowed}.")
