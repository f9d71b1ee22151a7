"""Log-probabilities of the tokens of texts, by a language model behind an OpenAI-compatible server.

``POST <base_url>/completions`` with a text, of which the server says how probable each token was. That is no part of
the protocol that all servers share; the first text is asked for in every way that is known, the others in the way that
was answered. One token is written each time, which is not read: asked for none, some servers write as many as fit.

Every text is asked for once, and stored under its server and model, in whichever way it was asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from leakscope.errors import InputError
from leakscope.storage.store import Key, Store
from leakscope.web.asking import LanguageServer, Refused
from leakscope.web.http import Failure, brief
from leakscope.web.spending import Budget, counts, estimate, estimated_tokens, spent
from leakscope.web.token_logprobs import (
    Malformed,
    OtherText,
    Read,
    TokenLogprobs,
    read_echo,
    read_prompt_logprobs,
)

logger = logging.getLogger(__name__)

KIND, PATH = "served_logprobs", "completions"
# Raised by one when what was stored is no longer what would be kept.
REVISION = 2
LONGEST_SHOWN = 60


class Way(NamedTuple):
    """How a server is asked for log-probabilities of a text: keys of the request, and what reads the answer."""

    keys: Mapping[str, Any]
    read: Callable[[Mapping[str, Any], str], Read | None]


WAYS = (
    Way({"echo": True, "logprobs": 1}, read_echo),
    Way({"prompt_logprobs": 0}, read_prompt_logprobs),
    Way({"prompt_logprobs": 1}, read_prompt_logprobs),
)


class TextScorer:
    """Asks a model behind a server how probable texts are, and keeps what it said."""

    def __init__(
        self,
        server: LanguageServer,
        budget: Budget,
        where: str,
        *,
        extra_body: Mapping[str, Any] | None = None,
        store: Path | None = None,
    ) -> None:
        """Prepare the client without sending a request.

        Args:
            server: which, opened at ``PATH``.
            budget: what that may cost, everything that is stored of the texts included.
            where: what the error says first of a server that gives no log-probabilities.
            extra_body: additional keys of each request.
            store: the folder of all stores; None keeps nothing.
        """
        self.server, self.budget, self._where = server, budget, where
        self._extra_body = dict(extra_body or {})
        fingerprint = {
            "kind": KIND,
            "revision": REVISION,
            "url": server.url,
            "model": server.model,
            "extra_body": self._extra_body,
        }
        self._store = None if store is None else Store(store, fingerprint)
        self._way: Way | None = None
        self._records: dict[str, dict[str, Any]] = {}
        self._fresh: set[str] = set()

    def score(self, texts: Iterable[str]) -> list[TokenLogprobs]:
        """Return the tokens of each text, in their order; what is stored, or was asked before, is not asked again.

        A request that fails (see ``LanguageServer.each``), or whose log-probabilities cannot be right, is repeated.

        Raises:
            InputError: the server gives no log-probabilities, or tokens of another text; it cannot be reached, refuses
                the key or a text, or does not know the model; or the budget is spent. What it said before is kept.
        """
        wanted = list(texts)
        self._recall([text for text in dict.fromkeys(wanted) if text not in self._records])
        return [TokenLogprobs(*(self._records[text][key] for key in TokenLogprobs._fields)) for text in wanted]

    def summary(self, texts: Sequence[str], own: Iterable[str] | None = None) -> dict[str, Any]:
        """Return what was done for texts that were scored: as of ``store.Recalled``, who answered, and what they cost.

        Args:
            texts: may repeat.
            own: those that were asked for, and paid, on their account; all if None.
        """
        records = [self._records[text] for text in texts]
        counted = {text: self._records[text]["request"] for text in (texts if own is None else own)}
        n_fresh = len(counted.keys() & self._fresh)
        return {
            **{"total": len(texts), "computed": n_fresh, "reused": len(texts) - n_fresh},
            "store": None if self._store is None else str(self._store.folder),
            "answered_by": {key: counts(record[key] for record in records) for key in ("model", "system_fingerprint")},
            **spent(list(counted.values()), self.budget.prices),
        }

    def _recall(self, texts: list[str]) -> None:
        """Have records of texts: from the store, else from the server."""
        keys: list[Key] = [(text,) for text in texts]
        stored = {} if self._store is None else self._store.read(keys)
        self.budget.take_stored(stored.values())
        self._records |= {str(key[0]): record for key, record in stored.items()}
        missing = [text for text in texts if text not in self._records]
        logger.info("%d log-probabilities of texts: %d in the store", len(texts), len(texts) - len(missing))
        if missing:
            asked = [(estimated_tokens(text), 1) for text in missing]
            self.budget.announce(estimate(asked, 1, self.budget.prices), self.server.model)
        for text, record in self._ask_all(missing):
            kept = record if self._store is None else self._store.append({(text,): record})[(text,)]
            self._records[text] = kept
            self._fresh.add(text)

    def _ask_all(self, missing: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield records as they come; as long as the way is not known, of one text, the shortest."""
        first = [] if self._way else [min(missing, key=len)] if missing else []
        for texts in (first, [text for text in missing if text not in first]):
            if texts:
                yield from self.server.each(texts, self._ask, "text")

    def _ask(self, http: httpx2.Client, text: str) -> dict[str, Any] | Failure:
        """Ask once, in the way that is known, else in one after the other."""
        known, refused = self._way, None
        for way in WAYS if known is None else [known]:
            answer, request = self._post(http, way, text)
            if isinstance(answer, Failure):
                return answer
            if isinstance(answer, Refused):
                refused = refused or answer
                continue
            read = way.read(answer, text)
            if read is not None:
                return self._record(way, read, text, answer, request)
        if known is None:
            raise self._none_given(refused)
        if refused is None:
            return Failure("an answer without log-probabilities")
        raise InputError(
            f"{self.server.url}: refuses the text {_shown(text)} ({refused.reason}); "
            "change the text or the model's entry."
        )

    def _post(
        self, http: httpx2.Client, way: Way, text: str
    ) -> tuple[dict[str, Any] | Refused | Failure, list[int | None]]:
        """Return what the server answers, and the tokens that it has read and written for that."""
        payload = {
            **self._extra_body,
            **way.keys,
            "model": self.server.model,
            "prompt": text,
            "max_tokens": 1,
            # By which some servers divide logits before they tell of them.
            "temperature": 1.0,
        }
        with self.budget.held(estimated_tokens(text), 1, self.server.stopped):
            if self.server.stopped.is_set():
                return Failure("stopped"), []
            answer = self.server.post(http, payload)
            took = self.budget.take(answer.get("usage"), self.server.url) if isinstance(answer, dict) else []
        return answer, took

    def _record(
        self, way: Way, read: Read, text: str, answer: Mapping[str, Any], request: list[int | None]
    ) -> dict[str, Any] | Failure:
        if isinstance(read, Malformed):
            return Failure(f"log-probabilities that cannot be right: {read.reason}")
        if isinstance(read, OtherText):
            raise InputError(
                f"{self.server.url}: got the tokens {_shown(self.server.without_key(read.tokens))} for the text "
                f"{_shown(text)}; allowed: tokens that make up the text that was sent."
            )
        self._way = way
        model, version = self.server.who_answers(answer)
        return {**read._asdict(), "model": model, "system_fingerprint": version, "request": request}

    def _none_given(self, refused: Refused | None) -> InputError:
        said = f" ({refused.reason})" if refused else ""
        return InputError(
            f"{self._where}: got a server that gives no log-probabilities of a text, neither by `echo` and `logprobs` "
            f"nor by `prompt_logprobs`{said}; allowed: `logprobs: false`, with which the step leak measures its texts "
            "alone, and ground and validate leave it out."
        )


def continuation(text: str, tokens: TokenLogprobs, begins: int) -> list[float] | None:
    """Return the log-probability of each token of a text from a character on; None where one runs across it.

    Args:
        text: that was scored.
        tokens: of it.
        begins: the character.

    Raises:
        InputError: the first token is asked for, and the server puts nothing before it.
    """
    starts = [0, *tokens.ends[:-1]]
    if any(start < begins < end for start, end in zip(starts, tokens.ends, strict=True)):
        return None
    after = [logprob for start, logprob in zip(starts, tokens.logprobs, strict=True) if start >= begins]
    known = [logprob for logprob in after if logprob is not None]
    if len(known) < len(after):
        raise InputError(
            f"text {_shown(text)}: got no log-probability of its first token, as the server puts nothing before it; "
            'set `beginning` in the entry of the model to a text to put there, such as "<|endoftext|>".'
        )
    return known


def _shown(text: str) -> str:
    return repr(brief(text, LONGEST_SHOWN))
