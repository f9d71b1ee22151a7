"""Asking a language model behind an OpenAI-compatible server: a public one, or one's own (vLLM, Ollama, transformers).

One kind of request: POST ``<base_url>/chat/completions`` with a system and a user message, answered by one text.
Answers are stored under a fingerprint of model, temperature and length and never requested again. The address is not
included: the same model behind another server is assumed to give the same answers.
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
# Increment when stored answers would no longer be the same.
REVISION = 1


class Prompt(NamedTuple):
    """A prompt: system message and question."""

    system: str
    user: str


class Endpoint:
    """Asks a model several prompts at once and stores the answers."""

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
        """Prepare the client without sending a request.

        Args:
            base_url, model, key_variable, seconds, attempts, concurrency, sleep: as of ``LanguageServer``.
            temperature: 0 for the most likely answer.
            max_tokens: per answer.
            prompts: the version of the caller's prompts, part of the answers' store key.
            store: the folder of all stores; None keeps nothing.

        Raises:
            InputError: the address is not HTTP or holds a secret, or the key cannot be sent.
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
        """Return the number of answers so far, how many were requested now, and where they are stored."""
        store = None if self._store is None else str(self._store.folder)
        return {"total": self.total, "computed": self.computed, "reused": self.total - self.computed, "store": store}

    def ask(self, prompts: Sequence[Prompt]) -> dict[Prompt, str | None]:
        """Return the answer to each prompt, None if the server refuses it; stored answers are not requested again.

        A request that fails (no connection, no answer in time, 408, 429, 5xx, an answer that is no chat completion or
        too long for one) is retried at growing intervals, or when the server asks for it. If the model repeats the key,
        it is removed before storing.

        Raises:
            InputError: the server cannot be reached, refuses the key, does not know the model, or refuses every prompt
                of several. Earlier answers are kept.
        """
        self._refusals.clear()
        recalled = recall(self._store, list(prompts), self._ask_all)
        self.total += len(prompts)
        self.computed += recalled.n_computed
        if self._refusals:
            reason = next(iter(self._refusals.values()))
            if len(self._refusals) == len(set(prompts)) > 1:
                raise InputError(
                    f"{self.url}: refuses all {len(self._refusals)} prompts ({reason}); "
                    "change the prompts or the model's entry."
                )
            logger.warning(
                "%s: refuses %d of %d prompts (%s)", self.url, len(self._refusals), len(set(prompts)), reason
            )
        return {prompt: recalled.values.get(prompt) for prompt in prompts}

    def _ask_all(self, missing: list[Key]) -> Iterator[dict[Key, str]]:
        """Yield answers in order of completion. After a final failure, yield those still under way, then raise it."""
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
        # Null if all tokens went into reasoning.
        return self._server.without_key(text or "")
