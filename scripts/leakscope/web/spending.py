"""What texts of a server cost: about, before they are asked for; exactly, by the tokens that the server counts.

Costs are in the currency of the prices.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeGuard

from leakscope.errors import InputError

logger = logging.getLogger(__name__)

PER = 1_000_000
# Of English text, and what a chat template adds to a prompt: for estimates alone.
BYTES_PER_TOKEN, TOKENS_AROUND = 4, 8
# Of a request: more were never counted.
MOST_TOKENS = 10**12


class Prices(NamedTuple):
    """Prices of a million tokens that a model reads (``input``) and writes (``output``)."""

    input: float
    output: float

    def cost(self, read: float, written: float) -> float:
        """Return what so many tokens cost."""
        return (read * self.input + written * self.output) / PER


class Estimate(NamedTuple):
    """What texts may take. Of two numbers the first is where a server gives all texts of a prompt at once.

    requests: to the server.
    read: tokens of prompts, about.
    written: tokens of texts, at most.
    cost: of both; None without prices.
    """

    requests: tuple[int, int]
    read: tuple[int, int]
    written: int
    cost: tuple[float, float] | None

    def in_words(self) -> str:
        """Return it as part of a sentence."""
        requests, read = (_either(f"{few:,}", f"{many:,}") for few, many in (self.requests, self.read))
        said = f"{requests} requests, about {read} tokens to read and at most {self.written:,} to write"
        if self.cost is None:
            return said
        few, many = (f"{cost:.2g}" for cost in self.cost)
        return f"{said}, at a cost of at most about {_either(few, many)}"


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a prompt has."""
    return math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN) + TOKENS_AROUND


def estimate(prompts: Iterable[tuple[int, int]], max_tokens: int, prices: Prices | None) -> Estimate:
    """Return what texts may take.

    Args:
        prompts: of each the number of its tokens and of texts that are wanted.
        max_tokens: per text.
        prices: if known.
    """
    asked = [(tokens, samples) for tokens, samples in prompts if samples]
    n_texts = sum(samples for _, samples in asked)
    read = sum(tokens for tokens, _ in asked), sum(tokens * samples for tokens, samples in asked)
    written = n_texts * max_tokens
    few, many = (prices.cost(tokens, written) if prices else math.nan for tokens in read)
    return Estimate((len(asked), n_texts), read, written, (few, many) if prices else None)


class Budget:
    """What requests of several threads have cost together, and may.

    ``spent`` never exceeds ``most`` but by what a request costs more than was expected of it. What requests
    cost that were never answered is not known.
    """

    def __init__(self, prices: Prices | None, most: float | None, where: str) -> None:
        """Begin with nothing spent.

        Args:
            prices: None: unknown, and nothing is counted.
            most: that may be spent; None: any amount. Needs prices.
            where: what the error says first.
        """
        self.prices, self.most, self.spent = prices, most, 0.0
        self._where, self._dearest, self._held = where, 0.0, list[float]()
        self._changed = threading.Condition()

    @contextmanager
    def held(self, read: int, written: int, stopped: threading.Event) -> Iterator[None]:
        """Keep what a request may cost, while it is under way; wait for others where it might be too much beside them.

        Args:
            read: tokens of its prompt, about.
            written: tokens that it may write.
            stopped: whether nobody needs to wait any more.

        Raises:
            InputError: it might cost more than is left.
        """
        cost = self.prices.cost(read, written) if self.prices else 0.0
        with self._changed:
            while not self._fits(cost) and not stopped.is_set():
                if not self._held:
                    raise self._too_much(cost)
                self._changed.wait(0.1)
            self._held.append(cost)
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(cost)
                self._changed.notify_all()

    def pay(self, read: int, written: int) -> None:
        """Count a request's tokens as reported by the server."""
        if self.prices is None:
            return
        cost = self.prices.cost(read, written)
        with self._changed:
            self.spent += cost
            self._dearest = max(self._dearest, cost)

    def take(self, usage: Any, url: str) -> list[int | None]:
        """Return and count the tokens that a request read and wrote; None if the server does not report them.

        Args:
            usage: of an answer.
            url: what the error says first.

        Raises:
            InputError: the server does not report them, and ``max_cost`` is set.
        """
        said = usage if isinstance(usage, dict) else {}
        read, written = (said.get(key) for key in ("prompt_tokens", "completion_tokens"))
        if not _is_number(read) or not _is_number(written):
            if self.most is not None:
                raise InputError(
                    f"{url}: got an answer without `usage`, its numbers of tokens; allowed: a server "
                    "that returns them, or no `max_cost`."
                )
            return [None, None]
        self.pay(read, written)
        return [read, written]

    def take_stored(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Count the cost of stored answers, by their ``request`` if they have one."""
        for record in records:
            if None not in record.get("request", (None,)):
                self.pay(*record["request"])

    def announce(self, expected: Estimate, model: str) -> None:
        """Log the expected cost of requests, and warn if it may exceed the maximum."""
        logger.info("%s: %s", model, expected.in_words())
        if self.most is not None and expected.cost is not None and self.spent + expected.cost[1] > self.most:
            said = "%s: %s; max_cost is %g, of which %.2g is spent"
            logger.warning(said, model, expected.in_words(), self.most, self.spent)

    def _fits(self, cost: float) -> bool:
        held = sum(max(each, self._dearest) for each in (*self._held, cost))
        return self.most is None or self.spent + held <= self.most

    def _too_much(self, cost: float) -> InputError:
        cost = max(cost, self._dearest)
        return InputError(
            f"{self._where}: max_cost: {self.spent:.4g} of {self.most:g} is spent, and the next request may cost "
            f"{cost:.2g}; what was written is kept: raise `max_cost` to go on."
        )


def spent(requests: Sequence[Sequence[int | None]], prices: Prices | None) -> dict[str, Any]:
    """Return ``requests`` (how many), ``tokens`` and ``cost`` of all; null unless the server reported it for each.

    Args:
        requests: tokens read and written by each.
        prices: if known.
    """
    read, written = (_sum(request[place] for request in requests) for place in (0, 1))
    cost = None if prices is None or read is None or written is None else prices.cost(read, written)
    return {"requests": len(requests), "tokens": {"input": read, "output": written}, "cost": cost}


def counts(said: Iterable[str | None]) -> dict[str, int]:
    """Return value → how often the server reported it, ignoring answers without it."""
    return dict(sorted(Counter(name for name in said if name is not None).items()))


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = list(numbers)
    return None if None in known else sum(number for number in known if number is not None)


def _is_number(tokens: Any) -> TypeGuard[int]:
    return isinstance(tokens, int) and not isinstance(tokens, bool) and 0 <= tokens < MOST_TOKENS


def _either(few: str, many: str) -> str:
    return few if few == many else f"{few} to {many}"
