"""A server on the loopback that answers like infini-gram's API, over a corpus of a few documents.

Tokens are what spaces separate. Before it answers it can be told to fail in each of the ways in which servers fail.
"""

from __future__ import annotations

import bisect
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

MAX_TERMS, MAX_CLAUSES, MAX_DIFF_TOKENS, MAX_CLAUSE_FREQ = 4, 4, 1000, 500_000


class Reply(NamedTuple):
    """What is sent instead of an answer; ``hang`` sends nothing and keeps the connection."""

    status: int = 200
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    hang: bool = False


class LocalInfiniGram:
    """An index over documents. ``failures`` are sent first, one a request; ``requests`` holds what was asked."""

    def __init__(self, index: str, documents: Sequence[str], failures: Sequence[Reply] = ()) -> None:
        self.index, self.failures = index, list(failures)
        self.requests: list[dict[str, Any]] = []
        self.documents = [document.split() for document in documents]
        self.stop = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def answer(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and answer, with the errors that the API has."""
        if asked.get("index") != self.index:
            return 400, {"error": f"[Flask] Invalid index: {asked.get('index')}"}
        query = asked["query"]
        if asked["query_type"] == "search_docs":
            return 200, self._documents([clause.split(" OR ") for clause in query.split(" AND ")], asked)
        if not (" AND " in query or " OR " in query):
            if {"max_diff_tokens", "max_clause_freq"} & set(asked):  # these are for queries of clauses
                return 500, {"error": "[Flask] Internal server error: unexpected keyword argument"}
            return 200, {"count": self._count(query.split()), "approx": False, "latency": 0.1}
        clauses = [[term.split() for term in clause.split(" OR ")] for clause in query.split(" AND ")]
        if len(clauses) > MAX_CLAUSES:
            return 200, {"error": f"Please enter at most {MAX_CLAUSES} disjunctive clauses!"}
        if any(len(clause) > MAX_TERMS for clause in clauses):
            return 200, {"error": f"Please enter at most {MAX_TERMS} terms in each disjunctive clause!"}
        window, frequency = asked.get("max_diff_tokens", 100), asked.get("max_clause_freq", 50_000)
        if not 1 <= window <= MAX_DIFF_TOKENS:
            return 200, {"error": f"max_diff_tokens must be an integer in [1, {MAX_DIFF_TOKENS}]!"}
        if not 1 <= frequency <= MAX_CLAUSE_FREQ:
            return 200, {"error": f"max_clause_freq must be an integer in [1, {MAX_CLAUSE_FREQ}]!"}
        count, most = self._count_near(clauses, window)
        return 200, {"count": count, "approx": most > frequency, "latency": 0.1}

    def _documents(self, clauses: list[list[str]], asked: dict[str, Any]) -> dict[str, Any]:
        """Return whole documents that have the clauses within the window, with spans as the API has them."""
        window, most = asked["max_diff_tokens"], asked["maxnum"]
        found = []
        for document in self.documents:
            left, right = (
                [place for term in clause for place in _places(document, term.split())] for clause in clauses
            )
            found += [document for place in left for other in right if abs(place - other) <= window]
        spans = [[[" ".join(document), None], [" .", "0"]] for document in found[:most]]
        count, _ = self._count_near([[term.split() for term in clause] for clause in clauses], window)
        return {"cnt": count, "approx": False, "documents": [{"doc_ix": 1, "spans": one} for one in spans]}

    def _count(self, term: list[str]) -> int:
        if not term:
            return sum(map(len, self.documents))
        return sum(len(_places(document, term)) for document in self.documents)

    def _count_near(self, clauses: list[list[list[str]]], window: int) -> tuple[int, int]:
        """Return how many mentions of the rarer clause have the other near, and how many the most frequent has."""
        places = [
            [sorted(place for term in clause for place in _places(document, term)) for document in self.documents]
            for clause in clauses
        ]
        sizes = [sum(map(len, of_clause)) for of_clause in places]
        rarer, *others = [of_clause for _, of_clause in sorted(zip(sizes, places, strict=True))]
        count = 0
        for number, mentions in enumerate(rarer):
            for place in mentions:
                count += all(_is_near(other[number], place, window) for other in others)
        return count, max(sizes)


@contextmanager
def local_infini_gram(
    documents: Sequence[str], failures: Sequence[Reply] = (), index: str = "v4_small"
) -> Iterator[LocalInfiniGram]:
    """Serve until the block ends."""
    api = LocalInfiniGram(index, documents, failures)
    thread = threading.Thread(target=api.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.stop.set()
        api.server.shutdown()
        api.server.server_close()


def _handler(api: LocalInfiniGram) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: else each answer waits for an acknowledgement

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.requests.append(asked)
            reply = api.failures.pop(0) if api.failures else None
            if reply is not None and reply.hang:
                api.stop.wait()
                self.close_connection = True
                return
            if reply is None:
                status, answer = api.answer(asked)
                reply = Reply(status, json.dumps(answer))
            body = reply.body.encode()
            self.send_response(reply.status)
            for name, value in (*reply.headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def _places(document: list[str], term: list[str]) -> list[int]:
    return [i for i in range(len(document) - len(term) + 1) if document[i : i + len(term)] == term]


def _is_near(places: list[int], place: int, window: int) -> bool:
    return bisect.bisect_left(places, place - window) < bisect.bisect_right(places, place + window)
