"""The one exception a user may cause: bad input, each mistake said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from leakscope.jobs.redaction import hide

MOST_LINES = 50


class InputError(ValueError):
    """Something a person wrote (a file, a row, a key) cannot be used.

    The message is one line for each mistake: where, what was found, what is allowed. Secrets in it are hidden.
    """

    def __init__(self, message: str) -> None:
        super().__init__(hide(message))


class Mistakes(list[InputError]):
    """What has been found so far, where all mistakes are to be named at once."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep a mistake that is found inside, and go on behind it."""
        try:
            yield
        except InputError as error:
            self.append(error)

    def run(self, checks: Iterable[Callable[[], object]]) -> None:
        """Make checks that do not depend on one another, and keep what each of them finds."""
        with self.kept():
            for check in checks:
                with self.kept():
                    check()

    def end(self) -> None:
        """Raise what has been found, if anything: each line once."""
        lines = list(dict.fromkeys(line for error in self for line in str(error).splitlines()))
        if lines:
            more = [f"... and {len(lines) - MOST_LINES} more."] if len(lines) > MOST_LINES else []
            raise InputError("\n".join([*lines[:MOST_LINES], *more]))


def one_of(where: str, name: object, allowed: Iterable[str]) -> InputError:
    """Return the error for a name that is not among those known, nearest match first."""
    names = sorted(allowed)
    folded = {known.casefold(): known for known in names}
    near = [folded[one] for one in difflib.get_close_matches(str(name).casefold(), folded, n=1)]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"{where}: got {name!r}; allowed: {', '.join(names) or 'none'}.{hint}")
