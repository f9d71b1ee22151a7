"""The exception for bad input from users, with one line per mistake."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from leakscope.jobs.redaction import hide

# Most lines of one error, and most characters of a line.
MOST_LINES, LONGEST_LINE = 50, 400
# Most characters of the name found and of the list of allowed names; of a longer list, the nearest names are shown.
LONGEST_NAME, LONGEST_LIST, NEAREST = 100, 200, 8

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class InputError(ValueError):
    """Something that a user wrote (a file, a row, a key) is invalid.

    The message has one line per mistake: "where: got X; allowed: Y." Secrets are hidden, and line breaks in X are
    removed.
    """

    def __init__(self, *mistakes: str) -> None:
        # Hidden before shortening: half a secret would not be recognised.
        super().__init__("\n".join(_cut(_unbroken(hide(mistake))) for mistake in mistakes))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, ...]]:
        # For pickling between processes: each line stays one mistake.
        return type(self), tuple(str(self).split("\n"))


class Mistakes(list[InputError]):
    """A list of mistakes found so far, to report all of them at once."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Collect a mistake raised in the context, and continue after it."""
        try:
            yield
        except InputError as error:
            self.append(error)
        except OSError as error:
            # Paths that the system refuses to look up, for example names that are too long.
            found = os.strerror(error.errno or errno.EIO).lower()
            self.append(InputError(f"{error.filename}: got {found}; allowed: a path that can be looked up."))

    def run(self, checks: Iterable[Callable[[], object]]) -> None:
        """Run independent checks and collect the mistakes of each."""
        with self.kept():
            for check in checks:
                with self.kept():
                    check()

    def end(self) -> None:
        """Raise the collected mistakes, if any, without repeated lines."""
        lines = list(dict.fromkeys(line for error in self for line in str(error).splitlines()))
        if lines:
            more = [f"... and {len(lines) - MOST_LINES} more."] if len(lines) > MOST_LINES else []
            raise InputError(*lines[:MOST_LINES], *more)


def one_of(where: str, name: object, allowed: Iterable[str]) -> InputError:
    """Return the error for an unknown name, with the allowed names and the nearest one as a hint."""
    names = sorted(allowed)
    folded = {known.casefold(): known for known in names}
    near = [folded[one] for one in difflib.get_close_matches(str(name).casefold(), folded, n=1)]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    found = repr(name) if len(repr(name)) <= LONGEST_NAME else f"{repr(name)[: LONGEST_NAME - 3]}..."
    listed = ", ".join(names) or "none"
    if len(listed) > LONGEST_LIST:
        nearest = difflib.get_close_matches(str(name).casefold(), folded, n=NEAREST, cutoff=0)
        listed = f"{', '.join(sorted(folded[one] for one in nearest))} and {len(names) - len(nearest)} more"
    return InputError(f"{where}: got {found}; allowed: {listed}.{hint}")


def counted(number: int, one: str, several: str, of: int | None = None) -> str:
    """Return a number, optionally of a total, with a singular or plural noun: ``1 row``, ``2 of 3 rows``."""
    return f"{number}{'' if of is None else f' of {of}'} {one if number == 1 else several}"


def _unbroken(text: str) -> str:
    """Return a text on one line: line breaks become spaces, other control characters are escaped."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], " ".join(re.split(r"\s*[\r\n]\s*", text.strip("\r\n"))))


def _cut(line: str) -> str:
    """Return a line, shortened in the middle if too long: its start says where, its end what to do."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} ... {line[5 - LONGEST_LINE // 2 :]}"
