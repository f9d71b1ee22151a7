"""Texts of a language model behind an OpenAI-compatible server, several per prompt, each requested once.

``POST <base_url>/chat/completions`` with messages, or ``<base_url>/completions`` with a text to continue. All texts of
a prompt are requested at once by ``n``; if a server gives fewer or does not accept ``n``, the others are requested one
by one. ``seed`` differs for each prompt and sample, so that texts are reproducible on a server that uses it.

Every text is stored as the server gave it, under request, server, model and sample number, with the model, version
(``system_fingerprint``) and token counts that the server reported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from leakscope.errors import InputError
from leakscope.statistics.seeding import seeded_hash
from leakscope.storage.store import Key, Store
from leakscope.web.asking import OTHER_LENGTH, LanguageServer, Refused, no_completion, with_other_length
from leakscope.web.conversations import Conversation, Message
from leakscope.web.http import Failure, brief
from leakscope.web.reasoning import REASONING, told_apart
from leakscope.web.spending import Budget, Estimate, estimate, estimated_tokens

logger = logging.getLogger(__name__)

KIND = "served"
# Increment when stored texts would no longer be the same.
REVISION = 1
PATHS = {"chat": "chat/completions", "completions": "completions"}
# What becomes of a request for a text. Of all but the first there is none: an empty one stands for it.
WRITTEN, REFUSAL, FILTERED, UNFINISHED = "written", "refusal", "content_filter", "unfinished"
# Why a server ended a text at the most tokens that it may have.
AT_LENGTH = "length"
# Largest value that every server accepts.
SEEDS = 2**31


class Question(NamedTuple):
    """A prompt: system message, empty if none, and the user's turn or the text to continue."""

    system: str
    user: str


class Manner(NamedTuple):
    """Settings of requests that determine the texts.

    api: ``chat`` or ``completions``. temperature: 0 for the most likely text. top_p: None: the server's own.
    max_tokens: per text. seed: from which each prompt and sample has its own. extra_body: additional keys of each
    request. thinks: of a model that thinks first, the marks that a thought may stand between in its content; None of
    others.
    """

    api: str
    temperature: float
    top_p: float | None
    max_tokens: int
    seed: int
    extra_body: Mapping[str, Any]
    thinks: Sequence[tuple[str, str]] | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Return the settings as JSON for the store key, without thoughts for a model that answers directly."""
        known = {**self._asdict(), "temperature": float(self.temperature), "extra_body": dict(self.extra_body)}
        return {key: value for key, value in known.items() if key != "thinks" or value is not None}


class ServedTexts(NamedTuple):
    """The texts: key → record, and the keys requested now.

    A record has ``text``, ``status``, ``finish`` (why it ended), ``model`` and ``system_fingerprint`` (as the server
    says); ``thought``, of a model that thinks first; and ``request`` where it is the first text of its request: the
    tokens read and written, null if not said.
    """

    records: dict[Key, dict[str, Any]]
    fresh: set[Key]
    store: str | None


class _Unwritten(NamedTuple):
    """Samples of a prompt that are still missing."""

    question: Question | Conversation
    samples: tuple[int, ...]


class _SaidText(NamedTuple):
    """One text from a server: its status, why it ended, and the thought before it."""

    text: str
    status: str
    finish: str | None
    thought: str = ""


class Writer:
    """Requests texts from a model behind a server and stores them."""

    def __init__(
        self,
        server: LanguageServer,
        manner: Manner,
        budget: Budget,
        store: Path | None = None,
        *,
        prompts: int | None = None,
    ) -> None:
        """Prepare the client without sending a request.

        Args:
            server: which, opened at ``PATHS[manner.api]``.
            manner: how it is asked.
            budget: what that may cost, everything that is stored of the texts included.
            store: the folder of all stores; None keeps nothing.
            prompts: the version of the caller's prompts, part of what texts are stored under; None: they have none.
        """
        self.server, self.manner, self.budget = server, manner, budget
        fingerprint = {
            "kind": KIND,
            "revision": REVISION,
            "url": server.url,
            "model": server.model,
            **manner.fingerprint(),
            **({} if prompts is None else {"prompts": prompts}),
        }
        self._store = None if store is None else Store(store, fingerprint)
        # What the server does not take: `seed`, `n`, `system` (the role), `max_tokens` (by this name).
        self._without: frozenset[str] = frozenset()
        self._alone = False  # whether `n` is passed over

    def write(self, numbers: Mapping[Question | Conversation, int]) -> ServedTexts:
        """Return the requested number of texts per prompt; stored texts are not requested again.

        A request that fails (no connection, no answer in time, 408, 429, 5xx, an answer that is no completion) is
        repeated, as ``LanguageServer.each`` says. A text whose content the server refuses is an empty one, and said to
        be.

        Raises:
            InputError: the server cannot be reached, refuses the key or a request, or does not know the model; or the
                budget is spent. Texts written so far are kept.
        """
        keys: list[Key] = [(*question, sample) for question, n in numbers.items() for sample in range(n)]
        records: dict[Key, dict[str, Any]] = {} if self._store is None else self._store.read(keys)
        missing = [key for key in keys if key not in records]
        self.budget.take_stored(records.values())
        logger.info("%d texts: %d in the store, %d to ask for", len(keys), len(records), len(missing))
        if missing:
            self.budget.announce(self.expected(missing), self.server.model)
        for batch in self._ask_all(missing) if missing else ():
            records.update(batch if self._store is None else self._store.append(batch))
        return ServedTexts(records, set(missing), None if self._store is None else str(self._store.folder))

    def expected(self, missing: Iterable[Key]) -> Estimate:
        """Return the expected cost of missing texts."""
        prompts = [(estimated_tokens("".join(one.question)), len(one.samples)) for one in _by_prompt(missing)]
        return estimate(prompts, self.manner.max_tokens, self.budget.prices)

    def _ask_all(self, missing: list[Key]) -> Iterator[dict[Key, dict[str, Any]]]:
        """Yield records in order of completion; if a prompt got fewer texts than requested, request the others
        afterwards."""
        waiting = _by_prompt(missing)
        while waiting:
            short: list[_Unwritten] = []
            given: Iterator[tuple[_Unwritten, list[dict[str, Any]]]] = self.server.each(waiting, self._ask, "prompt")
            for wanted, records in given:
                yield {(*wanted.question, n): record for n, record in zip(wanted.samples, records, strict=False)}
                left = wanted.samples[len(records) :]
                # The server does not heed `n`, at least not all of it.
                self._alone |= bool(left)
                short += [_Unwritten(wanted.question, (sample,)) for sample in left]
            waiting = short

    def _ask(self, http: httpx2.Client, wanted: _Unwritten) -> list[dict[str, Any]] | Failure:
        return self._ask_without(http, wanted, self._without)

    def _ask_without(
        self, http: httpx2.Client, wanted: _Unwritten, without: frozenset[str]
    ) -> list[dict[str, Any]] | Failure:
        """Ask once, and again without keys that the server does not accept."""
        payload = self._payload(wanted, without)
        read, written = estimated_tokens("".join(wanted.question)), payload.get("n", 1) * self.manner.max_tokens
        with self.budget.held(read, written, self.server.stopped):
            if self.server.stopped.is_set():
                return Failure("stopped")
            answer = self.server.post(http, payload)
            if isinstance(answer, dict):
                records = self._records(answer, wanted)
                if not isinstance(records, Failure):
                    self._adapt(without)
                return records
        if isinstance(answer, Failure):
            return answer
        if answer.is_filtered:
            refused = self._record(_SaidText("", FILTERED, finish=None), model=None, version=None)
            return [dict(refused) for _ in wanted.samples]
        fewer = without | _not_taken(payload, answer)
        if fewer == without:
            raise InputError(
                f"{self.server.url}: refuses {_shown(wanted.question)} ({answer.reason}); "
                "change the prompt or the model's entry."
            )
        return self._ask_without(http, wanted, fewer)

    def _payload(self, wanted: _Unwritten, without: frozenset[str]) -> dict[str, Any]:
        """Return a request for samples of a prompt, or for the first of them where the server gives one at a time."""
        manner, question = self.manner, wanted.question
        payload: dict[str, Any] = {
            **manner.extra_body,
            "model": self.server.model,
            OTHER_LENGTH if "max_tokens" in without else "max_tokens": manner.max_tokens,
            "temperature": manner.temperature,
        }
        if manner.top_p is not None:
            payload["top_p"] = manner.top_p
        if "seed" not in without:
            payload["seed"] = seeded_hash(manner.seed, *question, str(wanted.samples[0])) % SEEDS
        if len(wanted.samples) > 1 and "n" not in without and not self._alone:
            payload["n"] = len(wanted.samples)
        if manner.api == "completions":
            return {**payload, "prompt": question.user}
        return {**payload, "messages": _messages(question, with_system="system" not in without)}

    def _adapt(self, without: frozenset[str]) -> None:
        """Remember keys that the server does not accept, once it answers without them."""
        for name in sorted(without - self._without):
            told = logger.warning if name == "seed" else logger.info
            told("%s: asked without `%s`, which the server refuses", self.server.url, name)
        self._without |= without

    def _records(self, answer: dict[str, Any], wanted: _Unwritten) -> list[dict[str, Any]] | Failure:
        """Return the records of an answer's texts, of no more than were wanted, and count what they cost."""
        choices = answer.get("choices")
        read = [self._choice(one) for one in choices] if isinstance(choices, list) else []
        texts = [one for one in read if one is not None]
        if not texts or len(texts) < len(read):
            return no_completion(answer)
        records = [self._record(one, *self.server.who_answers(answer)) for one in texts[: len(wanted.samples)]]
        records[0]["request"] = self.budget.take(answer.get("usage"), self.server.url)
        return records

    def _record(self, choice: _SaidText, model: str | None, version: str | None) -> dict[str, Any]:
        """Return what is kept of a text; whether it has a thought, what is asked for decides."""
        kept = choice._asdict()
        if self.manner.thinks is None:
            del kept["thought"]
        return {**kept, "model": model, "system_fingerprint": version}

    def _choice(self, choice: Any) -> _SaidText | None:
        """Return the content of a choice; None if it violates the protocol."""
        if not isinstance(choice, dict):
            return None
        message = choice.get("message") if self.manner.api == "chat" else {"content": choice.get("text")}
        text = message.get("content") if isinstance(message, dict) else 0
        if not isinstance(message, dict) or not isinstance(text, str | None):
            return None
        finish = self.server.said(choice.get("finish_reason"))
        if finish == FILTERED:
            return _SaidText("", FILTERED, finish)
        if text is None and message.get("refusal"):
            return _SaidText("", REFUSAL, finish)
        # Null if all tokens went into reasoning.
        written = self.server.without_key(text or "")
        if self.manner.thinks is None:
            return _SaidText(written, WRITTEN, finish)
        thought = self.server.without_key(_reasoning(message))
        told = told_apart(written, thought, self.manner.thinks, finish == AT_LENGTH)
        return _SaidText(told.answer, WRITTEN if told.finished else UNFINISHED, finish, told.thought)


def _by_prompt(keys: Iterable[Key]) -> list[_Unwritten]:
    """Return the samples of each prompt, in the order in which prompts come."""
    samples: dict[tuple[str, ...], list[int]] = {}
    for *question, sample in keys:
        samples.setdefault(tuple(map(str, question)), []).append(int(sample))
    return [_Unwritten(_question(*parts), tuple(numbers)) for parts, numbers in samples.items()]


def _question(system: str, user: str, messages: str = "") -> Question | Conversation:
    return Conversation(system, user, messages) if messages else Question(system, user)


def _shown(question: Question | Conversation) -> str:
    """Return how a refused question is named in errors."""
    roles = f" in messages of {question.roles}" if isinstance(question, Conversation) else ""
    return f"the prompt {brief(question.user, 60)!r}{roles}"


def _not_taken(payload: Mapping[str, Any], refused: Refused) -> set[str]:
    """Return the keys of a request that the refusal names and that can be omitted."""
    named = {name for name in ("seed", "n") if name in payload and refused.names(name)}
    if any(message["role"] == "system" for message in payload.get("messages", ())) and refused.names("system"):
        named.add("system")
    if with_other_length(dict(payload), refused) != payload:
        named.add("max_tokens")
    return named


def _messages(question: Question | Conversation, *, with_system: bool) -> list[Message]:
    """Return a chat; a server without a system role gets that message at the beginning of the user's turn."""
    if isinstance(question, Conversation):
        return question.payload(with_system=with_system)
    if not question.system:
        return [{"role": "user", "content": question.user}]
    if not with_system:
        return [{"role": "user", "content": "\n\n".join(question)}]
    return [{"role": role, "content": text} for role, text in zip(("system", "user"), question, strict=True)]


def _reasoning(message: Mapping[str, Any]) -> str:
    """Return the thought that a server separates from the content; empty if it does not."""
    given = (message.get(name) for name in REASONING)
    return next((text for text in given if isinstance(text, str) and text.strip()), "")
