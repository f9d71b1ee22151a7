"""The one exception a user may cause: bad input, said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from leakscope.jobs.redaction import hide


class InputError(ValueError):
    """Something a person wrote (a file, a row, a key) cannot be used.

    The message is one line: where, what was found, what is allowed. Secrets in it are hidden.
    """

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))


def one_of(where: str, name: object, allowed: Iterable[str]) -> InputError:
    """Return the error for a name that is not among those known, nearest match first."""
    names = sorted(allowed)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"{where}: got {name!r}; allowed: {', '.join(names) or 'none'}.{hint}")
