"""What no part of a configuration may be, whatever its key: text that pages or files cannot hold, or without end.

Snakemake has read the file by then, and lets a few lines of aliases stand for billions of values; it also puts the
parameters of rules into the page of its report, as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from leakscope.errors import InputError
from leakscope.files.reading_yaml import DEEPEST
from leakscope.typed.wording import dotted, show

MOST_VALUES = 100_000
# What would end the element that holds parameters, and what no file name or table holds.
HARMFUL = re.compile(r"</script|<!--|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", re.IGNORECASE)


def check_limits(config: Mapping[str, Any]) -> None:
    """Check every value of a configuration as it was written, one after another: nothing here calls itself.

    Raises:
        InputError: there are more than ``MOST_VALUES``, or some are nested deeper than ``DEEPEST``, or a text holds
            what ends a page's script, or a control character other than tabs and line breaks.
    """
    pending: list[tuple[tuple[object, ...], Any]] = [((), config)]
    n_values = 0
    while pending:
        path, value = pending.pop()
        n_values += 1
        if n_values > MOST_VALUES:
            raise InputError(
                f"{dotted(path[:2])}: got more than {MOST_VALUES:,} values, those of aliases included; allowed: at "
                "most that, in all of the configuration."
            )
        if len(path) > DEEPEST:
            depth = f"more than {DEEPEST} lists or mappings inside each other"
            raise InputError(f"{dotted(path[:2])}: got {depth}; allowed: at most that.")
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
