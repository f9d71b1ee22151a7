"""The one exception a user may cause: bad input, each mistake said in one line."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from leakscope.jobs.redaction import hide

# Of one error, and of one line of it.
MOST_LINES, LONGEST_LINE = 50, 400
# Characters of a name that was found, and of the names that are allowed; of a longer list the nearest are named.
LONGEST_NAME, LONGEST_LIST, NEAREST = 100, 200, 8

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class InputError(ValueError):
    """Something a person wrote (a file, a row, a key) cannot be used.

    The message is one line for each mistake: where, what was found, what is allowed. Secrets in it are hidden, and what
    was found breaks no line.
    """

    def __init__(self, *mistakes: str) -> None:
        # Hidden first: half a secret is not known for one.
        super().__init__("\n".join(_cut(_unbroken(hide(mistake))) for mistake in mistakes))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, ...]]:
        # As it comes from another process: each line stays one.
        return type(self), tuple(str(self).split("\n"))


class Mistakes(list[InputError]):
    """What has been found so far, where all mistakes are to be named at once."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep a mistake that is found inside, and go on behind it."""
        try:
            yield
        except InputError as error:
            self.append(error)
        except OSError as error:
            # Where a system does not even look for a file: its name is too long, say.
            found = os.strerror(error.errno or errno.EIO).lower()
            self.append(InputError(f"{error.filename}: got {found}; allowed: a path that can be looked up."))

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
            raise InputError(*lines[:MOST_LINES], *more)


def one_of(where: str, name: object, allowed: Iterable[str]) -> InputError:
    """Return the error for a name that is not among those known: the first of these, and the nearest."""
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
    """Return a number, maybe of how many, and what there are so many of: in the words for one thing, or for several."""
    return f"{number}{'' if of is None else f' of {of}'} {one if number == 1 else several}"


def _unbroken(text: str) -> str:
    """Return a text on one line: a space for each line break, and an escape for any other character of control."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], " ".join(re.split(r"\s*[\r\n]\s*", text.strip("\r\n"))))


def _cut(line: str) -> str:
    """Return a line without its middle where it is too long: it begins with where, and ends with what to do."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE // 2]} ... {line[5 - LONGEST_LINE // 2 :]}"
