"""Jobs among servers that repeat the key: no file, and nothing on the terminal, holds it in any spelling."""

from __future__ import annotations

import base64
import html
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import pandas as pd
import pytest
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from features import explain_features
from ground import query_counts
from hostile_server import DEEP, HEAD, Mischief, drip, endless, hostile_server, packed, say
from leakscope.counting import infini_gram
from leakscope.jobs.job import job
from leakscope.models.sources import hub as hub_client
from leakscope.web import retrying
from local_endpoint import Reply, error, local_endpoint
from local_infini_gram import Reply as IndexReply
from local_infini_gram import local_infini_gram
from models import fetch_model

KEY = "sk_Live+4f/9Q=x7\"k&<z'7"
SPELT = {
    "as it is": KEY,
    "in an address": quote(KEY, safe=""),
    "in a form": quote_plus(KEY),
    "in JSON": json.dumps(KEY)[1:-1],
    "in JSON in JSON": json.dumps(json.dumps(KEY))[3:-3],
    "in HTML": html.escape(KEY),
    "in base64": base64.b64encode(KEY.encode()).decode(),
    "in base64 of an address": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "in hexadecimal": KEY.encode().hex(),
}
ALL = " | ".join(SPELT.values())
# Where a line is cut amid the key, its beginning is left.
PIECE = 7


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("JUDGE", f"{KEY}\n")
    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(infini_gram, "ATTEMPTS", 2)
    monkeypatch.chdir(tmp_path)


def run(work: Callable[[], None]) -> str:
    """Run a job as an entry script does, and return what it ends with; nothing if it ends well."""
    try:
        with job("logs/job.log"):
            work()
    except SystemExit as ended:
        sys.stderr.write(f"{ended.code}\n")  # as the interpreter does
        return str(ended.code)
    except Exception:
        sys.excepthook(*sys.exc_info())
        return "a traceback"
    return ""


def explain(url: str, **changed: Any) -> str:
    """Run the job that asks a language model about two features."""
    rows = [
        (feature, kind, rank, [f" {feature}", f" {kind}"], [0.0, 1.0])
        for feature in (0, 1)
        for kind in ("top", "quantile", "test_firing", "test_silent")
        for rank in (1, 2)
    ]
    columns = ["feature", "kind", "rank", "tokens", "activations"]
    pd.DataFrame(rows, columns=columns).to_parquet("contexts.parquet")
    pd.DataFrame({"feature": [0, 1], "firing_rate": 0.1, "dead": False}).to_parquet("firing.parquet")
    settings = {
        "kind": "openai", "base_url": url, "model": "tiny", "key_variable": "JUDGE", "temperature": 0.0,
        "max_tokens": 9, "timeout": 20.0, "attempts": 2, "concurrency": 1, "features": None, **changed,
    }  # fmt: skip
    snakemake = SimpleNamespace(
        input=SimpleNamespace(firing="firing.parquet", contexts="contexts.parquet"),
        params=SimpleNamespace(explainer=settings, is_control=True, store="store", seed=0),
        wildcards=SimpleNamespace(explainer="judge"),
        output=SimpleNamespace(summary="summary.json", explanations="explanations.parquet"),
    )
    return run(lambda: explain_features.main(snakemake))


def count(url: str) -> str:
    """Run the job that asks an index for counts."""
    Path("subjects.csv").write_text("id,name,variants\nflu,flu,\n")
    Path("groups.csv").write_text("id,name,variants\ntall,tall,\n")
    lexicons = {"subjects": "subjects.csv", "groups": "groups.csv"}
    source = {"index": "v4_small", "url": url, "max_clause_freq": 10, "terms_per_clause": 1}
    naming = {"lexicons": lexicons, "names": None, "rename": {}, "groups": {}, "exclude": []}
    snakemake = SimpleNamespace(
        params=SimpleNamespace(
            source=source, naming=naming, windows=[10], level=0.95, store="store", requests_per_second=1e6
        ),
        wildcards=SimpleNamespace(indexed_axis="people"),
        output=SimpleNamespace(terms="terms.csv", totals="totals.json", table="counts.csv", counts="counts.parquet"),
    )
    return run(lambda: query_counts.main(snakemake))


def assert_nothing_holds_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Look through all files, tables unpacked, and both streams."""
    shown = capsys.readouterr()
    written = {str(path): path.read_bytes().decode("utf-8", "replace") for path in Path().rglob("*") if path.is_file()}
    written |= {f"{path}, unpacked": pd.read_parquet(path).to_csv() for path in map(str, Path().glob("*.parquet"))}
    assert "logs/job.log" in written
    for where, text in {**written, "stdout": shown.out, "stderr": shown.err}.items():
        for how, spelt in SPELT.items():
            for piece in (spelt[:PIECE], spelt[4 : 4 + PIECE], spelt[-PIECE:]):
                assert piece.lower() not in text.lower(), (where, how, piece)


ERRORS = [
    (Reply(401, error(f"Incorrect API key provided: {ALL}")), "refuses the key (status 401)"),
    (Reply(400, error(f"no such field: {ALL}")), "refuses all 2 prompts (status 400 no such field: *** |"),
    (Reply(500, f"<html><pre>Bearer {ALL}</pre></html>"), "in 2 attempts (status 500 <html><pre>Bearer ***"),
    (Reply(500, error("." * 190 + ALL)), "...***"),
    (Reply(404, error(ALL)), "got status 404 *** | ***"),
    (Reply(200, json.dumps({"you said": ALL})), 'no completion: \'{"you said": "***'),
    (Reply(200, json.dumps([SPELT])), 'no completion: \'[{"as it is": "***'),
    (Reply(302, "", (("Location", f"http://u:{quote(KEY)}@other/?key={quote(KEY)}"),)), "to http://***@other/?key=***"),
    (Reply(429, error(ALL)), "in 2 attempts (status 429 *** |"),
]


@pytest.mark.parametrize(("reply", "message"), ERRORS)
def test_a_server_that_repeats_the_key_in_an_error(
    reply: Reply, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with local_endpoint(lambda system, user: reply) as server:
        ended = explain(server.url)
        assert server.keys[0] == f"Bearer {KEY}"
    assert message in ended
    assert "\n" not in ended
    assert ended.startswith("Error: http://127.0.0.1")
    assert "HTTP Request" not in Path("logs/job.log").read_text()
    assert_nothing_holds_it(capsys)


def test_a_server_that_refuses_one_prompt_with_the_key_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    replies = [Reply(400, error(ALL))]
    with local_endpoint(lambda system, user: "words", replies) as server:
        assert explain(server.url) == ""
    assert "refuses 1 of 2 prompts (status 400 *** | ***" in Path("logs/job.log").read_text()
    assert_nothing_holds_it(capsys)


def test_a_model_that_repeats_the_key_in_its_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with local_endpoint(lambda system, user: f"the key {ALL}") as server:
        assert explain(server.url) == ""
    assert pd.read_parquet("explanations.parquet")["explanation"][0].startswith("the key *** | ***")
    assert any("the key ***" in path.read_text() for path in Path("store").rglob("*.jsonl"))
    assert_nothing_holds_it(capsys)


def test_a_key_that_cannot_be_sent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE", f"{KEY}\n{KEY}")
    assert explain("http://127.0.0.1:9").startswith("Error: the environment variable JUDGE: got a line break")
    assert_nothing_holds_it(capsys)


@pytest.mark.parametrize("ask", [explain, count])
@pytest.mark.parametrize(
    "url",
    [f"http://user:{KEY}@127.0.0.1:9", f"http://user:{quote(KEY)}@h", f"http://127.0.0.1:9/v1?api_key={quote(KEY)}"],
)
def test_an_address_that_holds_it(ask: Callable[[str], str], url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "allowed: one without" in ask(url)
    assert_nothing_holds_it(capsys)


def test_a_connection_that_fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{quote(KEY, safe='')}@127.0.0.1:9")
    assert "gave no answer in 2 attempts" in explain("http://host.invalid")
    assert_nothing_holds_it(capsys)


def test_a_mistake_of_ours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **named: object) -> None:
        logging.getLogger("some.library").warning("sends %r", {"Authorization": f"Bearer {KEY}"})
        raise RuntimeError(f"cannot send {ALL}")

    monkeypatch.setattr(explain_features, "explain_by_endpoint", fail)
    assert explain("http://127.0.0.1:9") == "a traceback"
    assert "RuntimeError: cannot send ***" in Path("logs/job.log").read_text()
    assert_nothing_holds_it(capsys)


def test_an_index_that_repeats_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    for reply in (
        IndexReply(200, json.dumps({"error": ALL})),
        IndexReply(500, ALL),
        IndexReply(404, f"<p>{ALL}"),
        IndexReply(200, json.dumps({"count": ALL})),
    ):
        with local_infini_gram(["flu tall"], [reply] * 2) as server:
            assert count(server.url).startswith("Error: infini-gram")
        assert_nothing_holds_it(capsys)


# The hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Point the hub's client to a server; return what runs the job that fetches a model."""

    def fetched(url: str) -> str:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
        monkeypatch.setattr(hub_client, "ATTEMPTS", 1)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        snakemake = SimpleNamespace(
            params=SimpleNamespace(snapshot={"id": "owner/model", "revision": "main", "trust_remote_code": False}),
            output=SimpleNamespace(manifest="model.json"),
        )
        return run(lambda: fetch_model.main(snakemake))

    yield fetched
    set_client_factory(default_client_factory)


@pytest.mark.parametrize(
    "mischief",
    [
        say(json.dumps({"error": ALL}).encode(), b"500 Oh"),
        say(json.dumps({"error": ALL}).encode(), b"400 Bad"),
        say(f"<html>{ALL}".encode()),
        say(json.dumps([ALL]).encode()),
        say(json.dumps({"sha": ALL, "id": "owner/model"}).encode()),
        say(b"", b"302 Found", f"Location: http://127.0.0.1:9/?token={quote(KEY)}\r\n".encode()),
        say(DEEP),
    ],
)
def test_a_hub_that_repeats_the_token(
    mischief: Mischief, hub: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    with hostile_server(mischief) as server:
        ended = hub(server.url)
    assert ended.startswith("Error: model owner/model: the hub cannot be reached (")
    assert "\n" not in ended
    assert_nothing_holds_it(capsys)


def test_a_hub_that_redirects_does_not_hand_the_token_on(hub: Callable[[str], str]) -> None:
    with hostile_server(say(b"{}", b"404 Not Found")) as other:
        with hostile_server(say(b"", b"302 Found", f"Location: {other.url}\r\n".encode())) as server:
            hub(server.url)
        assert f"Bearer {KEY}".encode() in server.requests[0]
        assert other.requests
        assert not any(b"authorization" in request.lower() for request in other.requests)


@pytest.mark.parametrize(
    ("mischief", "reason"),
    [
        (drip(HEAD + b"Content-Length: 1000\r\n\r\n"), "an answer that does not end in time"),
        (endless, "an answer of more than 1 MB"),
        (packed, "an answer that is packed"),
    ],
)
def test_a_hub_that_goes_on_and_on_is_given_up(
    mischief: Mischief, reason: str, hub: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "WAITS", 0.2 if "time" in reason else 20)
    monkeypatch.setattr(hub_client, "LARGEST_LISTING", 2**20)
    with hostile_server(mischief) as server:
        assert reason in hub(server.url)


def test_a_token_of_the_hub_that_cannot_be_sent(hub: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "ключ-ключ")
    assert hub("http://127.0.0.1:9").startswith("Error: the environment variable HF_TOKEN: got a line break")
