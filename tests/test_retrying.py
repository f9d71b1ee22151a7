"""Asking a server again: how often, after how long, and what is said in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leakscope.errors import InputError
from leakscope.web.http import Failure
from leakscope.web.retrying import NoAnswerError, ask_again


def giving(*answers: str | Failure) -> Callable[[], str | Failure]:
    left = iter(answers)
    return lambda: next(left)


def test_waits_double_and_what_the_server_wants_counts_first() -> None:
    slept: list[float] = []
    failures = Failure("busy"), Failure("busy"), Failure("busy", 7.5), Failure("busy", 0.0), Failure("busy")
    assert ask_again(giving(*failures, "yes"), attempts=6, sleep=slept.append) == "yes"
    assert slept == [1.0, 2.0, 7.5, 0.0, 16.0]


def test_the_last_failure_is_told_and_nobody_waits_after_it() -> None:
    slept: list[float] = []
    with pytest.raises(NoAnswerError, match=r"^gave no answer to '' in 2 attempts$") as caught:
        # A wait that is too long is no matter after the last attempt.
        ask_again(giving(Failure("first"), Failure("last", 1e6)), attempts=2, sleep=slept.append, question="")
    assert (caught.value.reason, slept) == ("last", [1.0])


def test_nobody_waits_for_more_than_ten_minutes() -> None:
    slept: list[float] = []
    assert ask_again(giving(Failure("busy", 600.0), "yes"), attempts=2, sleep=slept.append) == "yes"
    with pytest.raises(NoAnswerError, match=r"^asks to wait 601 seconds$") as caught:
        ask_again(giving(Failure("busy", 601.0), "yes"), attempts=2, sleep=slept.append)
    assert (caught.value.reason, slept) == ("busy", [600.0])


def test_what_is_raised_ends_the_asking() -> None:
    asked: list[int] = []

    def refused() -> str:
        asked.append(1)
        raise InputError("server: refuses the key")

    with pytest.raises(InputError, match=r"^server: refuses the key$"):
        ask_again(refused, attempts=3, sleep=lambda seconds: pytest.fail("waited"))
    assert asked == [1]
