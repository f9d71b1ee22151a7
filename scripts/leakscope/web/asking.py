"""Send requests to an OpenAI-compatible server: several at once, each repeated until it is answered or an error would
affect all requests.

The caller defines requests and reads answers (see ``endpoint`` and ``writing``).
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx2

from leakscope.errors import InputError
from leakscope.jobs.progress import progress
from leakscope.jobs.redaction import hide_key
from leakscope.web.http import Answer, Failure, brief, failure_reason, post_json, refuse_redirect, retry_after
from leakscope.web.retrying import NoAnswerError, ask_again
from leakscope.web.servers import BY_VARIABLE, check_address, read_key

logger = logging.getLogger(__name__)

SECONDS, ATTEMPTS, CONCURRENCY = 60.0, 6, 4
# Statuses about a single prompt: it is too long, or its content is not allowed.
REFUSED = (400, 413, 422)
BUSY = (408, 429)
# Characters of a refusal that are searched for names of parameters.
LONGEST_REFUSAL = 2000
# Azure's and OpenAI's codes for disallowed content.
FILTERED = re.compile(r"content[ _-]?(?:filter|policy|management)|responsible[ _]?ai", re.IGNORECASE)
# Keys that some servers name differently or do not accept.
OTHER_LENGTH = "max_completion_tokens"

LONGEST_NAME = 100

Item = TypeVar("Item")
Result = TypeVar("Result")


class Refused(NamedTuple):
    """Why a server permanently refuses a request.

    reason: in one short line without secrets. said: a longer excerpt.
    """

    reason: str
    said: str

    def names(self, parameter: str) -> bool:
        """Return whether the refusal names a parameter as wrong."""
        return re.search(rf"\b{parameter}\b", self.said, re.IGNORECASE) is not None

    @property
    def is_filtered(self) -> bool:
        """Whether the prompt's content was refused."""
        return FILTERED.search(self.said) is not None


class LanguageServer:
    """A model behind a server, with request limits; ``url`` is its address."""

    def __init__(
        self,
        base_url: str,
        path: str,
        model: str,
        *,
        key_variable: str | None = None,
        seconds: float = SECONDS,
        attempts: int = ATTEMPTS,
        concurrency: int = CONCURRENCY,
        per_minute: float | None = None,
        sleep: Callable[[float], Any] | None = None,
    ) -> None:
        """Prepare the client without sending a request.

        Args:
            base_url: of the server, with or without ``/v1`` if that is its whole path.
            path: of requests below it, such as ``chat/completions``.
            model: its name on the server.
            key_variable: environment variable that holds the key; local servers need none.
            seconds: to wait for a complete answer.
            attempts: per request.
            concurrency: concurrent requests.
            per_minute: maximum requests per minute, retries included; None: unlimited.
            sleep: waits a number of seconds between attempts; None: wait, but stop if another request fails finally.

        Raises:
            InputError: the address is not HTTP or holds a secret, or the key cannot be sent.
        """
        check_address(base_url, "base_url", BY_VARIABLE)
        self.url, self.path, self.model, self.key_variable = address(base_url, path), path, model, key_variable
        # Only from the environment: configurations and logs are shared.
        self._key = read_key(key_variable) if key_variable else ""
        self._seconds, self._attempts, self._concurrency = seconds, attempts, concurrency
        self._interval, self._next, self._turn = 60 / per_minute if per_minute else 0.0, 0.0, threading.Lock()
        self._sleep = sleep
        self._names = {model}
        self.stopped = threading.Event()

    def each(
        self, items: Sequence[Item], ask: Callable[[httpx2.Client, Item], Result | Failure], unit: str
    ) -> Iterator[tuple[Item, Result]]:
        """Yield each item with the result of ``ask``, in order of completion.

        A ``Failure`` is retried at growing intervals, or when the server asks for it. After an error, answers still
        under way are yielded before it is raised.

        Args:
            items: to ask for.
            ask: makes one attempt for one item.
            unit: name of an item, singular.

        Raises:
            InputError: an item failed in all attempts, or ``ask`` raised one.
        """
        self.stopped.clear()
        taken: set[Future[Any]] = set()
        with httpx2.Client(headers=self._headers()) as http:
            pool = ThreadPoolExecutor(self._concurrency)
            asked: dict[Future[Any], Item] = {
                pool.submit(lambda one: self._until_answered(ask, http, one), item): item for item in items
            }
            told = progress(as_completed(asked), total=len(asked), name=self.model, unit=unit)
            try:
                for future in told:
                    taken.add(future)
                    result = future.result()
                    if result is not None:
                        yield asked[future], result
            except InputError:
                self.stopped.set()
                pool.shutdown(cancel_futures=True)
                for future, item in asked.items():
                    if future not in taken and _has_answer(future):
                        yield item, future.result()
                raise
            finally:
                told.close()
                self.stopped.set()
                pool.shutdown(cancel_futures=True)

    def post(self, http: httpx2.Client, payload: Any) -> dict[str, Any] | Refused | Failure:
        """Return the server's answer to one request.

        Raises:
            InputError: the answer is an error that would affect every request.
        """
        self._wait_for_turn()
        given = post_json(http, self.url, payload, self._seconds)
        return given if isinstance(given, Failure) else self._read(given)

    def without_key(self, text: str) -> str:
        """Return a text that can be written, with the key removed if the model repeats it."""
        # Lone surrogates cannot be encoded.
        return hide_key(text.encode(errors="replace").decode(), self._key)

    def said(self, value: Any) -> str | None:
        """Return a text from the server as one short line without secrets."""
        return brief(self.without_key(value), LONGEST_NAME) if isinstance(value, str) else None

    def who_answers(self, answer: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Return the model and version that an answer names; a model other than requested is logged once."""
        model, version = (self.said(answer.get(key)) for key in ("model", "system_fingerprint"))
        if model and model not in self._names:
            self._names.add(model)
            logger.warning("%s: was asked for %s, and says that %s answers", self.url, self.model, model)
        return model, version

    def _until_answered(
        self, ask: Callable[[httpx2.Client, Item], Result | Failure], http: httpx2.Client, item: Item
    ) -> Result | None:
        """Ask until there is an answer; None if another request fails finally."""
        try:
            return ask_again(
                lambda: None if self.stopped.is_set() else ask(http, item),
                attempts=self._attempts,
                sleep=self._sleep or self.stopped.wait,
            )
        except NoAnswerError as error:
            if self.stopped.is_set():
                return None
            self.stopped.set()
            raise InputError(f"{self.url}: {error} ({error.reason}); try later: earlier answers are kept.") from error
        except InputError:
            self.stopped.set()
            raise

    def _wait_for_turn(self) -> None:
        """Wait until the next request may begin: one per interval, over all threads."""
        with self._turn:
            now = time.monotonic()
            begins = max(now, self._next)
            self._next = begins + self._interval
        if begins > now:
            self.stopped.wait(begins - now)

    def _read(self, answer: Answer) -> dict[str, Any] | Refused | Failure:
        """Return an answer's content; errors that affect every prompt are raised."""
        status, reason = answer.status, f"status {answer.status} {failure_reason(answer)}".strip()
        if status in BUSY or status >= 500:
            return Failure(reason, retry_after(answer))
        if status in REFUSED:
            return Refused(reason, brief(answer.text(), LONGEST_REFUSAL))
        if status in (401, 403):
            raise InputError(f"{self.url}: refuses the key (status {status}); {self._key_hint()}")
        refuse_redirect(answer, self.url, "base_url of the server that answers, for a key is sent nowhere else")
        if status != 200:
            raise InputError(
                f"{self.url}: got {reason}; allowed: base_url of a server with /{self.path} that knows the model "
                f"{self.model!r}."
            )
        try:
            data = answer.data()
        except ValueError:
            data = None
        return data if isinstance(data, dict) else no_completion(answer.text())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def _key_hint(self) -> str:
        if not self.key_variable:
            return "allowed: key_variable, the name of the environment variable that holds the key."
        if not self._key:
            return f"the environment has no {self.key_variable}, which key_variable names: export it."
        return f"allowed: a key of this server in {self.key_variable}."


def no_completion(answer: str | dict[str, Any]) -> Failure:
    """Return the failure of an answer that violates the protocol."""
    try:
        said = answer if isinstance(answer, str) else json.dumps(answer)
    except RecursionError:
        said = "nested too deep"
    return Failure(f"an answer that is no completion: {brief(said, 80)!r}")


def with_other_length(payload: dict[str, Any], refused: Refused) -> dict[str, Any]:
    """Return a request with the length key of OpenAI's reasoning models, if they ask for it.

    They refuse the key that all others accept.
    """
    if "max_tokens" not in payload or not refused.names(OTHER_LENGTH):
        return payload
    rest = {key: value for key, value in payload.items() if key != "max_tokens"}
    return {**rest, OTHER_LENGTH: payload["max_tokens"]}


def address(base_url: str, path: str) -> str:
    """Return the URL for completions: below the address, or below its ``/v1`` if it has no path."""
    base = base_url.rstrip("/")
    return f"{base}{'' if urlsplit(base).path.strip('/') else '/v1'}/{path}"


def _has_answer(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None and future.result() is not None
