"""Counts by the API of infini-gram: the protocol, its failures, its limits, and answers that are kept."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakscope.counting import infini_gram
from leakscope.counting.infini_gram import (
    Client,
    Count,
    Query,
    count_pairs,
    count_terms,
    count_tokens,
    excerpts,
    written_forms,
)
from leakscope.errors import InputError
from leakscope.ground.indexed import _limits
from local_infini_gram import LocalInfiniGram, Reply, local_infini_gram

DOCUMENTS = [
    "Asthma is common in black children and asthma is treated",
    "white people and black people have gout . " + "so " * 30 + "asthma",
    "wheezing asthma and asthma near black",
    "nothing",
]
SUBJECTS = {"asthma": ["asthma"], "gout": ["gout", "podagra"]}
GROUPS = {"black": ["black", "African American"], "white": ["white"]}
QUERY = Query("asthma", None)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


class Asked:
    """A local API, a client of it, and how long the client would have slept."""

    def __init__(self, api: LocalInfiniGram, **settings: Any) -> None:
        self.api, self.slept = api, []
        defaults = {"index": api.index, "url": api.url, "requests_per_second": 1e6, "sleep": self.slept.append}
        self.client = Client(**{**defaults, **settings})


@contextmanager
def asked(*failures: Reply, **settings: Any) -> Iterator[Asked]:
    with local_infini_gram(DOCUMENTS, failures) as api:
        yield Asked(api, **settings)


def rows(frame: Any) -> list[tuple[Any, ...]]:
    return list(frame.itertuples(index=False, name=None))


def test_pairs_are_counted_within_windows() -> None:
    with asked() as one:
        table = count_pairs(SUBJECTS, GROUPS, [4, 1000], one.client)
    assert list(table) == ["subject", "group", "window", "mentions", "approximate", "scale"]
    assert not table.pop("scale").any()
    # "Asthma" and "black" lie 4 tokens apart, "black" and "asthma" 3; in the second document they are 30 and more.
    assert rows(table) == [
        ("asthma", "black", 4, 1 + 2, False),
        ("asthma", "black", 1000, 1 + 3, False),
        ("asthma", "white", 4, 0, False),
        ("asthma", "white", 1000, 1, False),
        ("gout", "black", 4, 1, False),
        ("gout", "black", 1000, 1, False),
        ("gout", "white", 4, 0, False),
        ("gout", "white", 1000, 1, False),
    ]


def test_queries_are_those_of_the_protocol() -> None:
    with asked() as one:
        count_pairs({"asthma": ["asthma"]}, {"white": ["white"]}, [10], one.client)
        sent = one.api.requests
    simple = {"index": "v4_small", "query_type": "count"}
    assert sent[0] == {**simple, "query": "asthma"}
    assert sent[-1] == {**simple, "query": "Asthma AND white", "max_diff_tokens": 10, "max_clause_freq": 500_000}


def test_forms_that_the_corpus_lacks_are_asked_for_once() -> None:
    with asked() as one:
        count_pairs(SUBJECTS, GROUPS, [4, 1000], one.client)
        queries = [request["query"] for request in one.api.requests]
    assert [query for query in queries if "podagra" in query] == ["podagra"]
    # Twelve forms, and those that exist, three of subjects with two of groups, in two windows.
    assert len(queries) == 12 + 3 * 2 * 2


def test_terms_are_counted_in_all_their_forms() -> None:
    with asked() as one:
        assert rows(count_terms({"asthma": ["asthma"], "x": ["so so"]}, one.client)) == [
            ("asthma", 5, False),
            ("x", 29, False),
        ]
        assert count_tokens(one.client) == sum(len(document.split()) for document in DOCUMENTS)
    assert written_forms(["African American", "asthma", "Asthma", "HIV"]) == [
        *("African American", "african american", "asthma", "Asthma", "HIV", "hiv"),
    ]
    assert written_forms(["a cherry", "cherry"]) == ["cherry", "Cherry"]
    assert written_forms(["african-american  men"]) == [
        *("african-american men", "African-american men", "African-American Men"),
    ]


def test_forms_joined_by_or_stay_within_the_limit() -> None:
    """Five forms of a group: clauses of four and one, which the API takes; five in one it would refuse."""
    groups = {"all": ["black", "white", "people", "children", "nothing"]}
    with asked() as one:
        joined = count_pairs({"asthma": ["asthma"]}, groups, [1000], one.client, terms_per_clause=4)
        queries = [request["query"] for request in one.api.requests]
        single = count_pairs({"asthma": ["asthma"]}, groups, [1000], one.client)
    assert queries[-2:] == [
        "asthma OR Asthma AND black OR white OR people OR children",
        "asthma OR Asthma AND nothing",
    ]
    # Joined, each of the five mentions of asthma counts once. Form by form: "asthma" is near three "black", one
    # "white", two "people" and one "children"; "Asthma" near one "black" and one "children".
    assert joined["mentions"].tolist() == [5]
    assert single["mentions"].tolist() == [3 + 1 + 2 + 1 + 1 + 1]


def test_a_sampled_count_is_called_approximate() -> None:
    with asked(max_clause_freq=3) as one:
        table = count_pairs({"asthma": ["asthma"]}, {"white": ["white"]}, [10], one.client)
    assert table["approximate"].tolist() == [True]
    # "asthma" stands there four times, of which three are looked at; "Asthma" and "white" are rare.
    assert table["scale"].tolist() == [4 / 3]


def test_a_sampled_count_has_limits_that_hold_the_true_one_as_often_as_they_say() -> None:
    """Simulated as the server samples: a mention of each clause is looked at with its own probability."""
    rng, truth, looked_at = np.random.default_rng(0), 400, 1 / 8
    found = rng.binomial(truth, looked_at, size=4000)
    low, high = _limits(found / looked_at, np.full(len(found), 1 / looked_at), 0.95)
    held = np.mean((low <= truth) & (truth <= high))
    assert 0.95 <= held <= 0.99  # Poisson limits of binomial numbers: too wide by a factor of sqrt(7 / 8)
    assert np.isnan(_limits(np.array([400.0]), np.array([0.0]), 0.95)).all()
    assert _limits(np.array([0.0]), np.array([8.0]), 0.95)[1] == pytest.approx(8 * 3.6889, abs=1e-3)


def test_documents_are_asked_for_once_and_kept(tmp_path: Path) -> None:
    terms = [(["asthma"], ["black"]), (["gout"], ["nowhere"])]
    with asked(store=tmp_path) as one:
        found = excerpts(terms, 4, one.client, 2)
        sent = one.api.requests[-1]
        assert sent == {
            **{"index": "v4_small", "query_type": "search_docs", "query": "asthma OR Asthma AND black"},
            **{"maxnum": 2, "max_disp_len": 250, "max_diff_tokens": 4, "max_clause_freq": 500_000},
        }
        assert [len(excerpt.texts) for excerpt in found] == [2, 0]
        assert found[0].texts[0] == f"{DOCUMENTS[0]} ."
        assert found[0].mentions == 2
        n = len(one.api.requests)
        assert excerpts(terms, 4, one.client, 2) == found
        assert len(one.api.requests) == n
        with pytest.raises(InputError, match="documents: got 11; allowed: 1 to 10"):
            one.client.documents([QUERY], 11)


@pytest.mark.parametrize("body", ['{"cnt": 1}', '{"cnt": 1, "documents": [{"spans": ["a"]}]}', '{"documents": []}'])
def test_an_answer_without_documents_is_a_failure(body: str) -> None:
    with asked(*[Reply(200, body)] * 20) as one, pytest.raises(InputError, match="an answer that is without documents"):
        one.client.documents([Query("asthma AND black", 4)], 2)


@pytest.mark.parametrize(
    ("failure", "waits"),
    [
        (Reply(429, '{"error": "slow down"}', (("Retry-After", "7"),)), 7.0),
        (Reply(503, "busy", (("Retry-After", "3"),)), 3.0),
        (Reply(503, "busy", (("Retry-After", "soon"),)), 1.0),
        (Reply(500, '{"error": "[Flask] Web request timed out."}'), 1.0),
        (Reply(502, "<html>bad gateway</html>"), 1.0),
        (Reply(200, '{"count": 3, "appr'), 1.0),
        (Reply(200, '{"count": "many"}'), 1.0),
        (Reply(200, '{"count": -1}'), 1.0),
        (Reply(200, "[]"), 1.0),
    ],
)
def test_a_failure_is_repeated(failure: Reply, waits: float) -> None:
    with asked(failure) as one:
        assert one.client.count([QUERY]) == {QUERY: Count(4, False)}
        assert len(one.api.requests) == 2
    assert waits in one.slept


def test_a_date_to_wait_until_is_heeded() -> None:
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    with asked(Reply(429, "", (("Retry-After", date),))) as one:
        one.client.count([QUERY])
    assert 50 < max(one.slept) <= 60


def test_a_server_that_hangs_is_asked_again() -> None:
    with asked(Reply(hang=True), seconds=0.2) as one:
        assert one.client.count([QUERY]) == {QUERY: Count(4, False)}
        assert len(one.api.requests) == 2


def test_waits_grow_and_end_in_one_line() -> None:
    with asked(*[Reply(500, "no")] * 20) as one, pytest.raises(InputError, match="6 attempts .status 500.") as caught:
        one.client.count([QUERY])
    assert [seconds for seconds in one.slept if seconds >= 1] == [1, 2, 4, 8, 16]
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_line() -> None:
    with asked() as one:
        pass
    with pytest.raises(InputError, match="gave no answer to 'asthma' in 6 attempts"):
        one.client.count([QUERY])


def test_a_long_wait_is_not_waited() -> None:
    failure = Reply(429, "", (("Retry-After", "86400"),))
    with asked(failure) as one, pytest.raises(InputError, match="asks to wait 86400 seconds"):
        one.client.count([QUERY])
    assert max(one.slept, default=0) < 1


@pytest.mark.parametrize(
    ("failure", "index", "message"),
    [
        (None, "v4_unknown", "Invalid index: v4_unknown"),
        (Reply(200, '{"error": "Please limit your input to <= 1000 characters!"}'), "v4_small", "1000 characters"),
        (Reply(404, "not here"), "v4_small", "status 404"),
        (Reply(301, "", (("Location", "http://127.0.0.1:9/"),)), "v4_small", "status 301"),
    ],
)
def test_a_refusal_is_final(failure: Reply | None, index: str, message: str) -> None:
    failures = [failure] if failure else []
    with asked(*failures, index=index) as one:
        with pytest.raises(InputError, match=message) as caught:
            one.client.count([QUERY])
        assert len(one.api.requests) == 1
    assert index in str(caught.value)
    assert "\n" not in str(caught.value)


def test_answers_are_kept_and_a_run_that_ended_goes_on(tmp_path: Path) -> None:
    queries = [Query(text, None) for text in ("asthma", "black", "white", "gout")]
    with asked(store=tmp_path) as one:
        one.client.count(queries[:2])
        one.api.failures = [Reply(400, "no more")]
        with pytest.raises(InputError):
            one.client.count(queries)
        again = Asked(one.api, store=tmp_path)
        one.api.requests.clear()
        assert [count.mentions for count in again.client.count(queries).values()] == [4, 3, 1, 1]
        assert [request["query"] for request in one.api.requests] == ["white", "gout"]
        # Another setting or index is another fingerprint.
        one.api.requests.clear()
        Asked(one.api, store=tmp_path, max_clause_freq=10).client.count(queries[:1])
        assert len(one.api.requests) == 1


def test_windows_of_a_query_are_told_apart(tmp_path: Path) -> None:
    queries = [Query("asthma AND white", window) for window in (10, 1000)]
    with asked(store=tmp_path) as one:
        first = one.client.count(queries)
        assert first == one.client.count(queries)
        assert len(one.api.requests) == 2
    assert [count.mentions for count in first.values()] == [0, 1]


def test_requests_keep_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(infini_gram.time, "monotonic", lambda: clock[0])
    with asked(requests_per_second=4.0) as one:
        one.client.count([Query(text, None) for text in ("a", "b", "c")])
        clock[0] += 0.2
        one.client.count([Query("d", None)])
    assert one.slept == pytest.approx([0.25, 0.25, 0.05])


@pytest.mark.parametrize("term", ["", "  ", "life OR death", "AND"])
def test_a_term_that_the_api_would_misread_is_refused(term: str) -> None:
    with pytest.raises(InputError, match="infini-gram: got the term"):
        written_forms([term])


@pytest.mark.parametrize("window", [0, 1001, None, 2.5])
def test_a_window_of_the_api_is_one_to_a_thousand(window: Any) -> None:
    with asked() as one:
        with pytest.raises(InputError, match=r"allowed: 1 to 1000 tokens"):
            count_pairs(SUBJECTS, GROUPS, [10, window], one.client)
        with pytest.raises(InputError, match="terms_per_clause: got 5; allowed: 1 to 4"):
            count_pairs(SUBJECTS, GROUPS, [10], one.client, terms_per_clause=5)
        assert not one.api.requests


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "api.infini-gram.io"}, "got the address"),
        ({"url": "ftp://x/"}, "got the address"),
        ({"url": "http://"}, "got the address"),
        ({"max_clause_freq": 500_001}, "allowed: 1 to 500000"),
        ({"requests_per_second": 0}, "numbers above 0"),
    ],
)
def test_settings_are_checked_first(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Client("v4_small", **settings)
