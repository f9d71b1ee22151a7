"""What a server can do to a job that asks it: nothing but fail, soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hostile_server import DEEP, HEAD, Mischief, drip, endless, hostile_server, packed, say
from leakscope.counting import infini_gram
from leakscope.counting.infini_gram import Client, Query
from leakscope.errors import InputError
from leakscope.web.endpoint import Endpoint, Prompt
from leakscope.web.http import Answer, Failure, brief, failure_reason, post_json, retry_after

SECONDS = 0.3
LATE = "an answer that does not end in time"
LARGE = "an answer of more than 16 MB"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


def ask_model(url: str) -> Any:
    return Endpoint(url, "tiny", attempts=2, seconds=SECONDS, sleep=lambda seconds: None).ask([Prompt("", "what?")])


def ask_index(url: str) -> Any:
    client = Client("v4", url=url, seconds=SECONDS, sleep=lambda seconds: None, requests_per_second=1e6)
    return client.count([Query("asthma", None)])


@pytest.mark.parametrize(
    ("mischief", "reason"),
    [
        (drip(HEAD + b"Content-Length: 1000\r\n\r\n"), LATE),
        (drip(HEAD + b"X-Long: "), "no whole answer in 0.3 seconds"),
        (endless, LARGE),
        (packed, LARGE),
    ],
)
def test_an_answer_that_is_late_or_large_is_a_failure(mischief: Mischief, reason: str) -> None:
    began = time.monotonic()
    with hostile_server(mischief) as server, httpx2.Client() as http:
        # Sixteen megabytes take their time on a busy machine.
        seconds = SECONDS if reason != LARGE else 30.0
        assert post_json(http, server.url, {}, seconds) == Failure(reason)
    assert time.monotonic() - began < (3 if reason != LARGE else 30)


def test_threads_of_late_answers_end() -> None:
    before = threading.active_count()
    with hostile_server(drip(HEAD + b"Content-Length: 1000\r\n\r\n")) as server:
        with httpx2.Client() as http:
            post_json(http, server.url, {}, SECONDS)
        server.stop.wait(0.1)
        # What takes connections, and the one that drips: nobody listens to it any more.
        assert threading.active_count() <= before + 2


@pytest.mark.parametrize("ask", [ask_model, ask_index])
@pytest.mark.parametrize(
    ("mischief", "reason"),
    [
        (drip(HEAD + b"Content-Length: 1000\r\n\r\n"), LATE),
        (say(DEEP), r"an answer that is no (completion|count): '\[{80}'"),
        (say(DEEP, b"500 Oh"), r"status 500 \[{200}\)"),
    ],
)
def test_both_clients_try_again_and_end_in_one_line(
    ask: Callable[[str], Any], mischief: Mischief, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infini_gram, "ATTEMPTS", 2)
    with hostile_server(mischief) as server:
        with pytest.raises(InputError, match=f"gave no answer .*in 2 attempts .{reason}") as caught:
            ask(server.url)
        assert len(server.requests) == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ask", [ask_model, ask_index])
def test_a_redirect_is_one_line_and_nobody_is_asked_there(
    ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-a-user")
    with hostile_server(say(b"{}")) as other:
        location = f"Location: {other.url}/v1?token=abc\r\n".encode()
        with hostile_server(say(b"", b"307 Temporary Redirect", location)) as server:
            with pytest.raises(
                InputError, match=r"got status 307, a redirect to http://127.0.0.1:\d+/v1\?token=\*\*\*;"
            ):
                ask(server.url)
            assert (len(server.requests), len(other.requests)) == (1, 0)


def test_a_count_that_no_number_of_64_bits_holds_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infini_gram, "ATTEMPTS", 1)
    with (
        hostile_server(say(b'{"count": 9223372036854775807, "approx": false}')) as server,
        pytest.raises(InputError, match="an answer that is no count"),
    ):
        ask_index(server.url)


def test_halves_of_characters_become_question_marks(tmp_path: Path) -> None:
    with hostile_server(say(b'{"choices": [{"message": {"content": "a \\ud83d b \\ud83d\\ude00"}}]}')) as server:
        assert list(ask_model(server.url).values()) == ["a ? b 😀"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error": {"message": "too\\n\\tlong \\u001b[31m"}}', "too long [31m"),
        (b'{"error": "no"}', "no"),
        (b'{"detail": [1]}', '{"detail": [1]}'),
        (b"<b>\xff\x00</b>", "<b>\N{REPLACEMENT CHARACTER}</b>"),
        (b"1" * 5000, "1" * 200),
        (DEEP, "[" * 200),
        (b"", ""),
    ],
)
def test_what_a_server_says_is_one_short_line(body: bytes, reason: str) -> None:
    assert failure_reason(Answer(500, httpx2.Headers(), body)) == reason


def test_what_is_secret_is_hidden_before_a_line_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "0123456789")
    assert brief("x" * 6 + "0123456789", 10) == "xxxxxx***"
    assert brief("x" * 8 + "01234\x0056789 and more", 10) == "xxxxxxxx**"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("9" * 400, float("inf")),
        ("soon", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
        ("Mon, 99 Jan 2024 00:00:00 GMT", None),
    ],
)
def test_a_wait_that_cannot_be_read_is_none(value: str, seconds: float | None) -> None:
    assert retry_after(Answer(429, httpx2.Headers({"Retry-After": value}), b"")) == seconds
