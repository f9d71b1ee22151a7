"""Asking a language model behind an OpenAI-compatible server: a public one, or one's own (vLLM, Ollama, transformers).

One kind of request: POST ``<base_url>/chat/completions`` with a system and a user message, answered by one text. What
was answered is kept and never asked for again, under a fingerprint of model, temperature and length. The address is no
part of it: the same model behind another server is taken to answer alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from leakscope.errors import InputError
from leakscope.storage.store import Key, Store, recall
from leakscope.web.asking import (
    ATTEMPTS,
    CONCURRENCY,
    SECONDS,
    LanguageServer,
    Refused,
    no_completion,
    with_other_length,
)
from leakscope.web.http import Failure

logger = logging.getLogger(__name__)

KIND = "chat"
# Raised by one when answers that were stored are no longer what would be kept.
REVISION = 1


class Prompt(NamedTuple):
    """What a model is asked: how it is to behave, and the question."""

    system: str
    user: str


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
            base_url, model, key_variable, seconds, attempts, concurrency, sleep: as of ``LanguageServer``.
            temperature: 0 for the most likely answer.
            max_tokens: of an answer.
            prompts: the version of the caller's prompts, part of what answers are stored under.
            store: the folder of all stores; None keeps nothing.

        Raises:
            InputError: the address is none of HTTP or holds a secret, or the key cannot be sent.
        """
        self._server = LanguageServer(
            base_url,
            "chat/completions",
            model,
            key_variable=key_variable,
            seconds=seconds,
            attempts=attempts,
            concurrency=concurrency,
            sleep=sleep,
        )
        fingerprint = {
            "kind": KIND,
            "revision": REVISION,
            "model": model,
            "temperature": float(temperature),
            "max_tokens": max_tokens,
            "prompts": prompts,
        }
        self.url = self._server.url
        self.total = self.computed = 0
        self._settings: dict[str, Any] = {"model": model, "temperature": temperature, "max_tokens": max_tokens}
        self._store = None if store is None else Store(store, fingerprint)
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
        answers: Iterator[tuple[Key, str | Refused]] = self._server.each(missing, self._ask, "answer")
        for key, answer in answers:
            if isinstance(answer, Refused):
                self._refusals[key] = answer.reason
            else:
                yield {key: answer}

    def _ask(self, http: httpx2.Client, key: Key) -> str | Refused | Failure:
        roles = zip(("system", "user"), key, strict=True)
        messages = [{"role": role, "content": text} for role, text in roles]
        settings = self._settings
        answer = self._server.post(http, {**settings, "messages": messages})
        if isinstance(answer, Refused):
            other = with_other_length(settings, answer)
            if other != settings:
                self._settings = other
                return self._ask(http, key)
        return self._text(answer) if isinstance(answer, dict) else answer

    def _text(self, answer: dict[str, Any]) -> str | Failure:
        try:
            text = answer["choices"][0]["message"]["content"]
        except (LookupError, TypeError):
            return no_completion(answer)
        if not isinstance(text, str | None):
            return Failure(f"an answer that is no completion: a {type(text).__name__} for a text")
        # Null where all tokens went into reasoning.
        return self._server.without_key(text or "")
