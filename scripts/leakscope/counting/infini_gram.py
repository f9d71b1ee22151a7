"""Co-occurrence counts in corpora too large to hold, from infini-gram's API (arXiv 2401.17377, docs: "API Endpoint").

Counts are close to those of ``cooccurrence``, with these differences:

* The API counts case-sensitive token sequences. Each term is queried as written, in lower case, with a capital first
  letter and with all words capitalised, and the counts are added. A longer word or term that begins with the same
  tokens is counted as well.
* Windows are in tokens, from the start of one mention to the start of the other, 1 to 1000. There are no counts of
  documents, and no counts without a window.
* For two forms, the API counts mentions of the rarer one (in each shard of its index) with the other one in the window.
  This is at most the number of pairs of mentions, and less where one mention has several neighbours.
* Mentions of a form with more than ``max_clause_freq`` mentions are sampled and the count is scaled up: it is
  ``approximate``, and ``scale`` gives the factor, for an interval.
"""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, TypeVar

import httpx2
import pandas as pd

from leakscope.errors import InputError
from leakscope.jobs.progress import progress
from leakscope.storage.store import Key, Store, recall, turn
from leakscope.web.http import Answer, Failure, brief, failure_reason, post_json, refuse_redirect, retry_after
from leakscope.web.retrying import NoAnswerError, ask_again
from leakscope.web.servers import check_address

URL = "https://api.infini-gram.io/"
WIDEST = 1000
PAIR_COLUMNS = ["subject", "group", "window", "mentions", "approximate", "scale"]
TERM_COLUMNS = ["concept", "mentions", "approximate"]

# Limits of the API.
MAX_CLAUSE_FREQ, MAX_TERMS_PER_CLAUSE, MAX_DOCUMENTS = 500_000, 4, 10
SECONDS = 30.0
REQUESTS_PER_SECOND = 2.0
ATTEMPTS = 6
# More mentions than any corpus has; sums must fit 64 bits.
MOST = 2**50
# The first letter of a word.
WORD = re.compile(r"(?<![^\s-])\w")
# Increased by one whenever stored answers become invalid.
REVISION = 1
KIND, DOCUMENTS = "ngram_counts", "ngram_documents"
# Length of an excerpt around a mention.
TOKENS_SHOWN = 250


Name = TypeVar("Name", str, int)


class Query(NamedTuple):
    """A query: a sequence of words, or clauses joined by AND that must co-occur within the window, in tokens."""

    text: str
    window: int | None


class Count(NamedTuple):
    """The API's count of a query; ``approximate`` if mentions were sampled."""

    mentions: int
    approximate: bool


class Clause(NamedTuple):
    """Forms of a concept joined by OR, and the sum of their counts in the corpus."""

    text: str
    mentions: int


class Excerpts(NamedTuple):
    """Excerpts from documents that match a query, drawn at random by the server, and the query's count."""

    texts: list[str]
    mentions: int


class Client:
    """A rate-limited client for one index, which stores all answers."""

    def __init__(
        self,
        index: str,
        *,
        url: str = URL,
        store: Path | None = None,
        requests_per_second: float = REQUESTS_PER_SECOND,
        max_clause_freq: int = MAX_CLAUSE_FREQ,
        seconds: float = SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Create a client; no request is sent yet.

        Args:
            index: such as ``v4_piletrain_llama``.
            url: of the API.
            store: the folder of all stores, where answers are kept; None keeps none.
            requests_per_second: at most.
            max_clause_freq: number of mentions of a clause above which the API samples.
            seconds: timeout of a whole answer.
            sleep: function that waits for a number of seconds.

        Raises:
            InputError: the address is not HTTP or contains a secret, or a number is out of range.
        """
        check_address(url, "infini-gram")
        if not 1 <= max_clause_freq <= MAX_CLAUSE_FREQ:
            raise InputError(f"infini-gram: max_clause_freq: got {max_clause_freq}; allowed: 1 to {MAX_CLAUSE_FREQ}.")
        if requests_per_second <= 0 or seconds <= 0:
            raise InputError(
                f"infini-gram: requests_per_second, seconds: got {requests_per_second}, {seconds}; allowed: numbers "
                "above 0."
            )
        asked = {"revision": REVISION, "url": url, "index": index, "max_clause_freq": max_clause_freq}
        self.index, self.url = index, url
        self.max_clause_freq = max_clause_freq
        self._store = None if store is None else Store(store, {"kind": KIND, **asked})
        self._documents = None if store is None else Store(store, {"kind": DOCUMENTS, "tokens": TOKENS_SHOWN, **asked})
        self._interval, self._seconds, self._sleep = 1 / requests_per_second, seconds, sleep
        self._last = float("-inf")
        self._turn: Callable[[], AbstractContextManager[None]] = (
            nullcontext if store is None else partial(turn, store, KIND)
        )

    @property
    def folder(self) -> str | None:
        """The folder of stored answers; None without a store."""
        return None if self._store is None else str(self._store.folder)

    def count(self, queries: Sequence[Query]) -> dict[Query, Count]:
        """Return query → its count; stored answers are reused.

        A failed query (no connection, timeout, 429, 5xx, an answer without a valid count) is tried up to ``ATTEMPTS``
        times at growing intervals, or after the delay that the API requests.

        Raises:
            InputError: the API refuses a query or cannot be reached. Earlier answers are kept.
        """
        keys: list[Key] = [(query.text, query.window or 0) for query in queries]
        values = recall(self._store, keys, partial(self._ask_all, read_count, {"query_type": "count"})).values
        return {query: Count(*values[key]) for query, key in zip(queries, keys, strict=True)}

    def documents(self, queries: Sequence[Query], most: int) -> dict[Query, Excerpts]:
        """Return query → up to ``most`` excerpts; stored answers are reused.

        The API draws mentions at random with replacement; an excerpt has ``TOKENS_SHOWN`` tokens around its mention.

        Raises:
            InputError: as ``count``, or ``most`` is out of range.
        """
        if not 1 <= most <= MAX_DOCUMENTS:
            raise InputError(f"infini-gram: documents: got {most}; allowed: 1 to {MAX_DOCUMENTS}.")
        keys: list[Key] = [(query.text, query.window or 0, most) for query in queries]
        shown = {"query_type": "search_docs", "maxnum": most, "max_disp_len": TOKENS_SHOWN}
        values = recall(self._documents, keys, partial(self._ask_all, read_documents, shown)).values
        return {query: Excerpts(*values[key]) for query, key in zip(queries, keys, strict=True)}

    def _ask_all(self, read: Reads, asked: Mapping[str, Any], missing: list[Key]) -> Iterator[dict[Key, list[Any]]]:
        name = f"infini-gram {self.index}"
        # Concurrent jobs take turns, so that they respect the request rate together.
        with self._turn(), httpx2.Client() as http:
            for key in progress(missing, total=len(missing), name=name, unit="request"):
                yield {key: self._ask(http, Query(str(key[0]), int(key[1]) or None), read, asked)}

    def _ask(self, http: httpx2.Client, query: Query, read: Reads, asked: Mapping[str, Any]) -> list[Any]:
        payload: dict[str, Any] = {"index": self.index, "query": query.text, **asked}
        if query.window is not None:  # the API fails where a query of one clause has these
            payload |= {"max_diff_tokens": query.window, "max_clause_freq": self.max_clause_freq}

        def attempt() -> list[Any] | Failure:
            self._pace()
            given = post_json(http, self.url, payload, self._seconds)
            return given if isinstance(given, Failure) else self._read(given, query, read)

        try:
            return ask_again(attempt, attempts=ATTEMPTS, sleep=self._sleep, question=query.text)
        except NoAnswerError as error:
            raise InputError(
                f"infini-gram: {self.url} {error} ({error.reason}); try later: earlier answers are kept."
            ) from error

    def _pace(self) -> None:
        wait = self._last + self._interval - time.monotonic()
        if wait > 0:
            self._sleep(wait)
        self._last = time.monotonic()

    def _read(self, answer: Answer, query: Query, read: Reads) -> list[Any] | Failure:
        """Return the values of an answer, or a Failure that may be retried; raise permanent refusals."""
        try:
            data = answer.data()
        except ValueError:
            data = None
        given = data if isinstance(data, dict) else {}
        status, where = answer.status, f"infini-gram, index {self.index!r}: {self.url}"
        if status == 429 or status >= 500:
            return Failure(f"status {status} {failure_reason(answer)}".strip(), retry_after(answer))
        refuse_redirect(answer, where, "url of the server that answers")
        if "error" in given or status != 200:
            reason = failure_reason(answer) if status == 200 else f"status {status} {failure_reason(answer)}".strip()
            raise InputError(f"{where} refuses {query.text!r}: {reason}; check the index and the term.")
        found = read(given)
        if found is None:
            what = "no count" if read is read_count else "without documents"
            return Failure(f"an answer that is {what}: {brief(answer.text(), 80)!r}")
        return list(found)


# Reads an answer from its JSON; None where the answer is invalid.
Reads = Callable[[Mapping[str, Any]], Count | Excerpts | None]


def read_count(given: Mapping[str, Any]) -> Count | None:
    """Return the count in an answer; None where there is no valid count."""
    mentions, approximate = given.get("count"), given.get("approx", False)
    return Count(mentions, approximate) if _is_count(mentions) and isinstance(approximate, bool) else None


def read_documents(given: Mapping[str, Any]) -> Excerpts | None:
    """Return the excerpts in an answer, joined from spans (text, clause); None where there are no valid documents."""
    mentions, documents = given.get("cnt"), given.get("documents")
    if not _is_count(mentions) or not isinstance(documents, list):
        return None
    try:
        texts = ["".join(text for text, _ in document["spans"]) for document in documents]
    except (KeyError, TypeError, ValueError):
        return None
    # Half a surrogate pair cannot be encoded in UTF-8.
    return Excerpts([text.encode(errors="replace").decode() for text in texts], mentions)


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < MOST


def count_terms(concepts: Mapping[str, Sequence[str]], client: Client) -> pd.DataFrame:
    """Return the number of mentions of each concept's terms in the corpus, as ``concept, mentions, approximate``.

    Args:
        concepts: id → terms.
        client: of the index.

    Raises:
        InputError: as ``Client.count``, or a term contains AND or OR, which are operators of the API.
    """
    forms = {concept: written_forms(terms) for concept, terms in concepts.items()}
    counts = client.count([Query(form, None) for form in itertools.chain(*forms.values())])
    rows = [(concept, *_sum(counts[Query(form, None)] for form in own)) for concept, own in forms.items()]
    return pd.DataFrame(rows, columns=TERM_COLUMNS)


def count_pairs(
    subjects: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    windows: Sequence[int],
    client: Client,
    *,
    terms_per_clause: int = 1,
) -> pd.DataFrame:
    """Return co-occurrence counts, one row per pair and window, as ``subject, group, window, mentions, approximate,
    scale``.

    The count of a pair is summed over all combinations of the subject's and the group's forms. Forms that the corpus
    lacks are not queried in pairs.

    ``scale`` is an upper bound on the number of mentions that one sampled mention represents. For a query it is the
    product over both clauses of max(1, mentions / ``max_clause_freq``); for a pair, the mean over its queries weighted
    by mentions; 0 where nothing was sampled. It is a bound because the server does not say which clauses it samples.

    Args:
        subjects: id → terms.
        groups: id → terms.
        windows: the largest distances, in tokens.
        client: of the index.
        terms_per_clause: number of forms of a concept joined by OR in one query, up to four. 1 is closest to counting
            pairs of mentions. 4 needs as few as a sixteenth of the requests, but counts a mention of the rarer side
            only once, even if several forms of the other side are near.

    Raises:
        InputError: as ``count_terms``, or a window or ``terms_per_clause`` is out of range.
    """
    for window in windows:
        if type(window) is not int or not 1 <= window <= WIDEST:
            raise InputError(f"infini-gram: window: got {window!r}; allowed: 1 to {WIDEST} tokens.")
    if not 1 <= terms_per_clause <= MAX_TERMS_PER_CLAUSE:
        raise InputError(
            f"infini-gram: terms_per_clause: got {terms_per_clause}; allowed: 1 to {MAX_TERMS_PER_CLAUSE}."
        )
    left, right = (_clauses(side, client, terms_per_clause) for side in (subjects, groups))
    asked = {
        (subject, group, window): _joined(left[subject], right[group], window, client.max_clause_freq)
        for subject in subjects
        for group in groups
        for window in windows
    }
    counts = client.count(list(itertools.chain(*asked.values())))
    rows = [(*row, *_sum(counts[query] for query in scales), _scale(counts, scales)) for row, scales in asked.items()]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def excerpts(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], window: int, client: Client, most: int
) -> list[Excerpts]:
    """Return for each pair of concepts up to ``most`` excerpts per query that contain both, and their count.

    Args:
        pairs: terms of one concept and of the other.
        window: the largest distance, in tokens.
        client: of the index.
        most: excerpts per query, up to ten. A query joins up to four forms per side, so most pairs need one query.

    Raises:
        InputError: as ``count_terms``, or a number is out of range.
    """
    sides = [{number: terms[side] for number, terms in enumerate(pairs)} for side in (0, 1)]
    left, right = (_clauses(side, client, MAX_TERMS_PER_CLAUSE) for side in sides)
    asked = [list(_joined(left[number], right[number], window, 1)) for number in range(len(pairs))]
    found = client.documents(list(itertools.chain(*asked)), most)
    return [
        Excerpts([text for query in queries for text in found[query].texts], sum(found[q].mentions for q in queries))
        for queries in asked
    ]


def count_tokens(client: Client) -> int:
    """Return the number of tokens in the corpus.

    Raises:
        InputError: as ``Client.count``.
    """
    nothing = Query("", None)
    return client.count([nothing])[nothing].mentions


def written_forms(terms: Sequence[str]) -> list[str]:
    """Return the distinct forms under which a concept's terms are queried.

    As written, in lower case, with a capital first letter, with all words capitalised ("African-American"). A form that
    contains another one ("a cherry", "cherry") is dropped, because its mentions would be counted twice.

    Raises:
        InputError: a term is empty, or contains the word AND or OR.
    """
    forms = []
    for term in terms:
        form = " ".join(term.split())
        if not form or {"AND", "OR"} & set(form.split()):
            raise InputError(
                f"infini-gram: got the term {term!r}; allowed: terms that are not empty and lack the words AND and OR."
            )
        forms += [form, form.lower(), form[0].upper() + form[1:], WORD.sub(lambda first: first[0].upper(), form)]
    return [form for form in dict.fromkeys(forms) if not any(_holds(form, other) for other in forms)]


def _holds(form: str, other: str) -> bool:
    """Return whether a form properly contains the word sequence of another one."""
    return form != other and f" {other} " in f" {form} "


def _clauses(concepts: Mapping[Name, Sequence[str]], client: Client, size: int) -> dict[Name, list[Clause]]:
    """Return concept → clauses of up to ``size`` forms each, without forms that the corpus lacks."""
    forms = {concept: written_forms(terms) for concept, terms in concepts.items()}
    counts = client.count([Query(form, None) for form in itertools.chain(*forms.values())])
    mentions = {query.text: count.mentions for query, count in counts.items()}
    present = {concept: [form for form in own if mentions[form]] for concept, own in forms.items()}
    return {
        concept: [
            Clause(" OR ".join(own[i : i + size]), sum(mentions[form] for form in own[i : i + size]))
            for i in range(0, len(own), size)
        ]
        for concept, own in present.items()
    }


def _joined(left: Sequence[Clause], right: Sequence[Clause], window: int, frequency: int) -> dict[Query, float]:
    """Return the queries for two concepts, each with its ``scale``, see ``count_pairs``."""
    return {
        Query(f"{one.text} AND {other.text}", window): math.prod(max(1.0, c.mentions / frequency) for c in (one, other))
        for one in left
        for other in right
    }


def _scale(counts: Mapping[Query, Count], scales: Mapping[Query, float]) -> float:
    """Return variance / mean of a sum of counts, some of them scaled up; 0 where none is."""
    sampled = {query: scale for query, scale in scales.items() if counts[query].approximate}
    total = sum(counts[query].mentions for query in scales)
    if not total:
        return max(sampled.values(), default=0.0)
    return sum(counts[query].mentions * scale for query, scale in sampled.items()) / total


def _sum(counts: Iterator[Count]) -> Count:
    added = list(counts)
    return Count(sum(count.mentions for count in added), any(count.approximate for count in added))
