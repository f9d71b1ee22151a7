"""Asking a language model behind an OpenAI-compatible server: a public one, or one's own (vLLM, Ollama, transformers).

One kind of request: POST ``<base_url>/chat/completions`` with a system and a user message, answered by one text. What
was answered is kept and never asked for again, under a fingerprint of model, temperature and length. The address is no
part of it: the same model behind another server is taken to answer alike.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from leakscope.errors import InputError
from leakscope.jobs.progress import progress
from leakscope.jobs.redaction import hide_key
from leakscope.storage.store import Key, Store, recall
from leakscope.web.http import Answer, Failure, brief, failure_reason, post_json, refuse_redirect, retry_after
from leakscope.web.retrying import NoAnswerError, ask_again
from leakscope.web.servers import BY_VARIABLE, check_address, read_key

logger = logging.getLogger(__name__)

KIND = "chat"
# Raised by one when answers that were stored are no longer what would be kept.
REVISION = 1
SECONDS, ATTEMPTS, CONCURRENCY = 60.0, 6, 4
# What a server says of one prompt alone: it is too long, say, or its content is not allowed.
REFUSED = (400, 413, 422)
BUSY = (408, 429)


class Prompt(NamedTuple):
    """What a model is asked: how it is to behave, and the question."""

    system: str
    user: str


class _Refused(NamedTuple):
    """Why a server does not answer a prompt, however often it is asked."""

    reason: str


class Endpoint:
    """Asks a model, several prompts at once, and keeps what was answered."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key_variable: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 200,
        seconds: float = SECONDS,
        attempts: int = ATTEMPTS,
        concurrency: int = CONCURRENCY,
        prompts: int = 1,
        store: Path | None = None,
        sleep: Callable[[float], Any] | None = None,
    ) -> None:
        """Ask nothing yet.

        Args:
            base_url: of the server, with or without ``/v1`` where that is all of its path.
            model: as the server names it.
            key_variable: the environment's variable that holds the key. Servers of one's own need none.
            temperature: 0 for the most likely answer.
            max_tokens: of an answer.
            seconds: to wait for the whole of an answer.
            attempts: how often a prompt is tried.
            concurrency: requests at once.
            prompts: the version of the caller's prompts, part of what answers are stored under.
            store: the folder of all stores; None keeps nothing.
            sleep: waits for so many seconds; None: until then, or until another request has failed for good.

        Raises:
            InputError: the address is none of HTTP or holds a secret, or the key cannot be sent.
        """
        check_address(base_url, "base_url", BY_VARIABLE)
        fingerprint = {
            "kind": KIND,
            "revision": REVISION,
            "model": model,
            "temperature": float(temperature),
            "max_tokens": max_tokens,
            "prompts": prompts,
        }
        self.url, self.model, self.key_variable = completions_url(base_url), model, key_variable
        # From the environment alone: a configuration is shared, and so are logs.
        self._key = read_key(key_variable) if key_variable else ""
        self.total = self.computed = 0
        self._settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        self._seconds, self._attempts, self._concurrency = seconds, attempts, concurrency
        self._store = None if store is None else Store(store, fingerprint)
        self._sleep = sleep
        self._refusals: dict[Key, str] = {}

    def summary(self) -> dict[str, Any]:
        """Return how many answers were given so far, how many of them were asked for, and where they are kept."""
        store = None if self._store is None else str(self._store.folder)
        return {"total": self.total, "computed": self.computed, "reused": self.total - self.computed, "store": store}

    def ask(self, prompts: Sequence[Prompt]) -> dict[Prompt, str | None]:
        """Return the answer to each prompt, None where the server refuses it; what is stored is not asked again.

        A request that fails (no connection, no answer in time, 408, 429, 5xx, an answer that is no chat completion or
        too long for one) is repeated at growing intervals, or after as long as the server asks for. The key, should the
        model repeat it, is no part of what is kept.

        Raises:
            InputError: the server cannot be reached, refuses the key, does not know the model, or refuses every prompt
                of several. What was answered before is kept.
        """
        self._refusals.clear()
        recalled = recall(self._store, list(prompts), self._ask_all)
        self.total += len(prompts)
        self.computed += recalled.n_computed
        if self._refusals:
            reason = next(iter(self._refusals.values()))
            if len(self._refusals) == len(set(prompts)) > 1:
                raise InputError(f"{self.url}: refuses all {len(self._refusals)} prompts ({reason}).")
            logger.warning(
                "%s: refuses %d of %d prompts (%s)", self.url, len(self._refusals), len(set(prompts)), reason
            )
        return {prompt: recalled.values.get(prompt) for prompt in prompts}

    def _ask_all(self, missing: list[Key]) -> Iterator[dict[Key, str]]:
        """Yield answers as they come. After a failure for good, those that were under way meanwhile, then raise it."""
        stop, taken = threading.Event(), set()
        with httpx2.Client(headers=self._headers()) as http:
            pool = ThreadPoolExecutor(self._concurrency)
            asked = {pool.submit(self._ask_until_answered, http, Prompt(*map(str, key)), stop): key for key in missing}
            told = progress(as_completed(asked), total=len(asked), name=self.model, unit="answer")
            try:
                for future in told:
                    taken.add(future)
                    yield self._to_store(asked[future], future.result())
            except InputError:
                stop.set()
                pool.shutdown(cancel_futures=True)
                for future, key in asked.items():
                    if future not in taken and _has_answer(future):
                        yield self._to_store(key, future.result())
                raise
            finally:
                told.close()
                stop.set()
                pool.shutdown(cancel_futures=True)

    def _to_store(self, key: Key, answer: str | _Refused | None) -> dict[Key, str]:
        if isinstance(answer, _Refused):
            self._refusals[key] = answer.reason
        return {key: answer} if isinstance(answer, str) else {}

    def _ask_until_answered(self, http: httpx2.Client, prompt: Prompt, stop: threading.Event) -> str | _Refused | None:
        """Ask until there is an answer, or another request has failed for good; None then."""
        try:
            return ask_again(
                lambda: None if stop.is_set() else self._ask(http, prompt),
                attempts=self._attempts,
                sleep=self._sleep or stop.wait,
            )
        except NoAnswerError as error:
            if stop.is_set():
                return None
            stop.set()
            raise InputError(f"{self.url}: {error} ({error.reason}); try later: what was answered is kept.") from error
        except InputError:
            stop.set()
            raise

    def _ask(self, http: httpx2.Client, prompt: Prompt) -> str | _Refused | Failure:
        messages = [{"role": role, "content": text} for role, text in zip(("system", "user"), prompt, strict=True)]
        payload = {"model": self.model, "messages": messages, **self._settings}
        given = post_json(http, self.url, payload, self._seconds)
        answer = given if isinstance(given, Failure) else self._read(given)
        if isinstance(answer, _Refused) and "max_tokens" in payload and "max_completion_tokens" in answer.reason:
            # What OpenAI's reasoning models call it, who refuse the name that all others know.
            self._settings = {key: value for key, value in self._settings.items() if key != "max_tokens"}
            self._settings["max_completion_tokens"] = payload["max_tokens"]
            return self._ask(http, prompt)
        return answer

    def _read(self, answer: Answer) -> str | _Refused | Failure:
        """Return what an answer says; what would be said of every prompt is raised."""
        status = answer.status
        if status in BUSY or status >= 500:
            return Failure(f"status {status} {failure_reason(answer)}".strip(), retry_after(answer))
        if status in REFUSED:
            return _Refused(f"status {status} {failure_reason(answer)}".strip())
        if status in (401, 403):
            raise InputError(f"{self.url}: refuses the key (status {status}); {self._key_hint()}")
        refuse_redirect(answer, self.url, "base_url of the server that answers, for a key is sent nowhere else")
        if status != 200:
            raise InputError(
                f"{self.url}: got status {status} {failure_reason(answer)}; allowed: base_url of a server with "
                f"/chat/completions that knows the model {self.model!r}."
            )
        try:
            text = answer.data()["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            return Failure(f"an answer that is no chat completion: {brief(answer.text(), 80)!r}")
        if not isinstance(text, str | None):
            return Failure(f"an answer that is no chat completion: a {type(text).__name__} for a text")
        # Null where all tokens went into reasoning; halves of characters cannot be written.
        return hide_key((text or "").encode(errors="replace").decode(), self._key)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def _key_hint(self) -> str:
        if not self.key_variable:
            return "allowed: key_variable, the name of the environment variable that holds the key."
        if not self._key:
            return f"the environment has no {self.key_variable}, which key_variable names: export it."
        return f"allowed: a key of this server in {self.key_variable}."


def completions_url(base_url: str) -> str:
    """Return where chat completions are asked for: below the address, or below its ``/v1`` where it has no path."""
    base = base_url.rstrip("/")
    return f"{base}{'' if urlsplit(base).path.strip('/') else '/v1'}/chat/completions"


def _has_answer(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
