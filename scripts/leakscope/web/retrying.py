"""Asking a server again: so many times, at growing intervals, or after as long as it wants."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_exponential

from leakscope.web.http import Failure

FIRST_WAIT, LONGEST_WAIT = 1.0, 600.0

Result = TypeVar("Result")


class NoAnswerError(Exception):
    """A server gave no answer as often as it was asked, or wants to be asked later than anybody waits.

    Its text says which of the two, ``reason`` why the last attempt failed: in one line, without secrets.
    """

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(outcome)
        self.reason = reason


def ask_again(
    ask: Callable[[], Result | Failure],
    *,
    attempts: int,
    sleep: Callable[[float], Any] = time.sleep,
    question: str | None = None,
) -> Result:
    """Return the first answer that is no ``Failure``.

    After a failure that names no time the wait is ``FIRST_WAIT`` seconds, and twice as long each time.

    Args:
        ask: one attempt. What it raises is no failure that another attempt could mend, and ends the asking.
        attempts: at most, the first included.
        sleep: waits for so many seconds.
        question: what was asked, for the error.

    Raises:
        NoAnswerError: all attempts failed, or the server wants more than ``LONGEST_WAIT`` seconds before the next.
    """

    def give_up(state: RetryCallState) -> None:
        to = "" if question is None else f" to {question!r}"
        raise NoAnswerError(f"gave no answer{to} in {attempts} attempts", _failure(state).reason)

    answer = Retrying(
        retry=retry_if_result(lambda answer: isinstance(answer, Failure)),
        stop=stop_after_attempt(attempts),
        wait=_seconds,
        before_sleep=_refuse_long_wait,
        sleep=sleep,
        retry_error_callback=give_up,
    )(ask)
    assert not isinstance(answer, Failure)
    return answer


def _failure(state: RetryCallState) -> Failure:
    assert state.outcome is not None
    failure = state.outcome.result()
    assert isinstance(failure, Failure)
    return failure


def _seconds(state: RetryCallState) -> float:
    wanted = _failure(state).retry_after
    return wait_exponential(multiplier=FIRST_WAIT)(state) if wanted is None else wanted


def _refuse_long_wait(state: RetryCallState) -> None:
    if state.upcoming_sleep > LONGEST_WAIT:
        raise NoAnswerError(f"asks to wait {state.upcoming_sleep:.0f} seconds", _failure(state).reason)
