"""One HTTP request to a server: an answer, or a failure worth another attempt.

Time and unpacked size of an answer are limited, so that no server can block a job or fill its memory.
"""

from __future__ import annotations

import email.utils
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, NamedTuple, TypeVar

import httpx2

from leakscope.errors import InputError
from leakscope.jobs.redaction import hide

LARGEST_ANSWER = 16 * 2**20
LONGEST_REASON = 200
# Characters of an answer searched for a reason; long enough that removing keys never reveals the cut end.
LONGEST_SAID = 100_000
# Extra seconds in ``within``, so that the thread of a late answer gives up first, and ends.
GRACE = 0.5

Result = TypeVar("Result")


class Answer(NamedTuple):
    """A server's answer with any status; the body is unpacked."""

    status: int
    headers: httpx2.Headers
    body: bytes

    def data(self) -> Any:
        """Return the body as JSON.

        Raises:
            ValueError: it is not JSON, or is nested too deep.
        """
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deep") from error

    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode("utf-8", "replace")


class Failure(NamedTuple):
    """Why there is no answer, and the server's wait in seconds before a retry, if given."""

    reason: str
    retry_after: float | None = None


class LimitedStream(httpx2.SyncByteStream):
    """The bytes of an answer as they arrive, limited in time and number."""

    def __init__(self, stream: httpx2.SyncByteStream, end: float, most: int) -> None:
        """Read ``stream`` until ``end`` (``time.monotonic``), and at most ``most`` bytes."""
        self.stream, self.end, self.most = stream, end, most

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive.

        Raises:
            httpx2.ReadTimeout: it is too late. httpx2.ReadError: it is too large.
        """
        n_bytes = 0
        for chunk in self.stream:
            n_bytes += len(chunk)
            if time.monotonic() > self.end:
                raise httpx2.ReadTimeout("an answer that does not end in time")
            if n_bytes > self.most:
                raise httpx2.ReadError(f"an answer of more than {self.most / 2**20:g} MB")
            yield chunk

    def close(self) -> None:
        self.stream.close()


def post_json(http: httpx2.Client, url: str, payload: Any, seconds: float) -> Answer | Failure:
    """Return a server's answer or the failure; redirects are not followed, so that no key goes elsewhere.

    The client gives up on a silent server, and ``LimitedStream`` on an endless answer.

    Args:
        http: the client, with headers set.
        url: to post to.
        payload: plain JSON values.
        seconds: for the whole exchange.
    """
    try:
        return within(seconds, lambda: _post(http, url, payload, seconds))
    except TimeoutError:
        return Failure(f"no whole answer in {seconds:g} seconds")


def within(seconds: float, ask: Callable[[], Result]) -> Result:
    """Return the result of ``ask`` within a time limit.

    Against a server that sends its headers byte by byte, or one `100 Continue` after the other, the client's own time
    limits do not help: its thread is abandoned after ``seconds``.

    Raises:
        TimeoutError: it took longer.
    """
    done: Future[Result] = Future()

    def work() -> None:
        try:
            done.set_result(ask())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
    try:
        return done.result(timeout=seconds + GRACE)
    except TimeoutError:
        if done.done():
            return done.result()
        raise


def failure_reason(answer: Answer) -> str:
    """Return a server's reason for a failure, in one short line without secrets."""
    try:
        data = answer.data()
    except ValueError:
        data = None
    for key in ("error", "message", "detail"):
        if isinstance(data, dict) and key in data:
            data = data[key]
    return brief(data if isinstance(data, str) else answer.text())


def brief(text: str, longest: int = LONGEST_REASON) -> str:
    """Return the beginning of untrusted text, as one line without control characters and secrets."""
    line = "".join(filter(str.isprintable, " ".join(text.split())))
    return hide(line[:LONGEST_SAID])[:longest]


def refuse_redirect(answer: Answer, where: str, allowed: str) -> None:
    """Raise an error if a server redirects to another address.

    Raises:
        InputError: it does.
    """
    if 300 <= answer.status < 400:
        target = brief(answer.headers.get("Location", "no address"))
        raise InputError(f"{where}: got status {answer.status}, a redirect to {target}; allowed: {allowed}.")


def retry_after(answer: Answer) -> float | None:
    """Return the seconds that an answer asks to wait: a number or a date (RFC 9110, section 10.2.3)."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _post(http: httpx2.Client, url: str, payload: Any, seconds: float) -> Answer | Failure:
    end = time.monotonic() + seconds
    body = bytearray()
    try:
        with http.stream("POST", url, json=payload, timeout=seconds, follow_redirects=False) as response:
            assert isinstance(response.stream, httpx2.SyncByteStream)
            response.stream = LimitedStream(response.stream, end, LARGEST_ANSWER)
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    return Failure(f"an answer of more than {LARGEST_ANSWER / 2**20:g} MB")
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        return Failure(brief(str(error)) or type(error).__name__)
    return Answer(response.status_code, response.headers, bytes(body))
