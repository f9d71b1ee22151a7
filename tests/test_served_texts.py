"""Texts of a model behind a server: what is asked, kept and paid, and every way in which it fails."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from helpers import LOADING, SETTINGS, micro_prompts
from leakscope.configuration.layers import shipped
from leakscope.configuration.resolving import resolve
from leakscope.errors import InputError
from leakscope.leak.prompts import build_prompts, template_files
from leakscope.leak.served_texts import question_of, write_texts
from leakscope.models.completion import complete_prompts
from leakscope.models.opening import LanguageModel, open_model
from leakscope.models.prompts.prompting import Completed, Prompting
from leakscope.models.sources.gguf import convert_gguf
from leakscope.models.sources.package_index import PackagedFile, fetch_packaged
from leakscope.storage.manifests import describe_folder
from leakscope.web.asking import LanguageServer
from leakscope.web.scoring import TextScorer
from leakscope.web.spending import Budget, Prices, estimate
from leakscope.web.writing import PATHS, Manner, Question, Writer
from leakscope.workflow.failures import FailedJob, failed_models
from leakscope.workflow.study import Study
from local_endpoint import VERSION, Reply, WritingEndpoint, error, serving, transformers_serve, written
from workspace import Workspace

QUESTIONS = [Question("Be brief.", f"{noun} is") for noun in ("one", "two", "three", "four", "five", "six")]
PRICES = Prices(2.0, 8.0)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


def echoing(asked: dict[str, Any], n: int) -> list[str]:
    """Write something that says which prompt it follows, and which of its texts it is."""
    said = asked["messages"][-1]["content"] if "messages" in asked else asked["prompt"]
    return [f"{said} {asked.get('seed', 'unseeded')} {number}" for number in range(n)]


def writer_of(
    url: str,
    *,
    store: Path | None = None,
    api: str = "chat",
    budget: tuple[Prices | None, float | None] = (None, None),
    manner: dict[str, Any] | None = None,
    **asking: Any,
) -> Writer:
    asked: dict[str, Any] = {"api": api, "temperature": 0.5, "top_p": None, "max_tokens": 7, "seed": 0}
    server = LanguageServer(url, PATHS[api], "tiny", **{"sleep": lambda seconds: None, **asking})
    return Writer(server, Manner(**{**asked, "extra_body": {}, **(manner or {})}), Budget(*budget, where="mine"), store)


def texts_of(writer: Writer, questions: Sequence[Question] = QUESTIONS, n: int = 3) -> list[str]:
    records = writer.write(dict.fromkeys(questions, n)).records
    return [records[(*question, sample)]["text"] for question in questions for sample in range(n)]


@contextmanager
def server_of(*failures: Reply, writes: Any = echoing, key: str | None = None, **how: Any) -> Iterator[WritingEndpoint]:
    with serving(WritingEndpoint(writes, failures, key, **how)) as server:
        yield server


# What is asked.


def test_all_texts_of_a_prompt_are_one_request_of_the_protocol() -> None:
    with server_of() as server:
        writer = writer_of(server.url, manner={"top_p": 0.9, "extra_body": {"top_k": 40}})
        texts = texts_of(writer, QUESTIONS[:1])
        (asked,) = server.requests
        assert server.paths == ["/v1/chat/completions"]
    seed = asked.pop("seed")
    assert texts == [f"one is {seed} {number}" for number in range(3)]
    assert asked == {
        **{"model": "tiny", "temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "n": 3, "top_k": 40},
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one is"}],
    }


def test_a_text_is_gone_on_with_without_a_chat() -> None:
    with server_of() as server:
        texts = texts_of(writer_of(server.url, api="completions"), [Question("", "Be brief.\none is")], n=1)
        assert server.paths == ["/v1/completions"]
        assert server.requests[0]["prompt"] == "Be brief.\none is"
    assert texts == [f"Be brief.\none is {server.requests[0]['seed']} 0"]


def test_each_prompt_and_sample_has_a_seed_of_its_own_and_always_the_same() -> None:
    seeds = []
    for seed in (0, 0, 1):
        with server_of(several=False) as server:
            texts_of(writer_of(server.url, manner={"seed": seed}))
            found = {(one["messages"][1]["content"], one["seed"]) for one in server.requests if "n" not in one}
            seeds.append({one["seed"] for one in server.requests})
            assert len(found) >= len(QUESTIONS) * 2
            assert len(seeds[-1]) == len(QUESTIONS) * 3
    assert seeds[0] == seeds[1]
    assert not seeds[0] & seeds[2]


@pytest.mark.parametrize("how", [{"several": False}, {"refuses": ["n"]}])
def test_where_n_is_not_heeded_each_text_is_a_request(how: dict[str, Any]) -> None:
    with server_of(**how) as server:
        writer = writer_of(server.url, concurrency=1)
        texts = texts_of(writer)
        # Of the request that was refused nothing came.
        assert len(server.requests) == 18 + ("refuses" in how)
        # The next one may be under way before the first answer is looked at.
        assert 1 <= sum("n" in one for one in server.requests) <= 2
        assert len(set(texts)) == 18
        server.requests.clear()
        texts_of(writer, [Question("", "new")], n=2)
        assert ["n" in one for one in server.requests] == [False, False]  # it is remembered


def test_too_many_texts_are_not_kept() -> None:
    with server_of(writes=lambda asked, n: echoing(asked, n + 2)) as server:
        assert len(texts_of(writer_of(server.url), QUESTIONS[:1])) == 3
        assert len(server.requests) == 1


def test_what_a_server_does_not_take_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with server_of(refuses=["seed", "max_tokens"]) as server:
        # As OpenAI says it.
        server.failures = [Reply(400, error("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'."))]
        writer = writer_of(server.url, concurrency=1)
        assert texts_of(writer, QUESTIONS[:2], n=1) == ["one is unseeded 0", "two is unseeded 0"]
        kept = [sorted({"seed", "max_tokens", "max_completion_tokens"} & set(one)) for one in server.requests]
    lengths = "max_completion_tokens"
    assert kept == [["max_tokens", "seed"], [lengths, "seed"], [lengths], [lengths]]
    assert "asked without `seed`, which the server refuses" in caplog.text


def test_a_server_without_a_system_role_gets_the_message_in_the_users_turn() -> None:
    def picky(asked: dict[str, Any], n: int) -> list[str] | Reply:
        if asked["messages"][0]["role"] == "system":
            return Reply(400, error("System role not supported"))
        return echoing(asked, n)

    with server_of(writes=picky) as server:
        assert texts_of(writer_of(server.url), QUESTIONS[:1], n=1)[0].startswith("Be brief.\n\none is ")


# What is kept.


def test_an_edited_prompt_alone_is_asked_again(tmp_path: Path) -> None:
    with server_of() as server:
        before = texts_of(writer_of(server.url, store=tmp_path))
        assert len(server.requests) == len(QUESTIONS)
        server.requests.clear()
        edited = [*QUESTIONS[:-1], Question("Be brief.", "seven is")]
        after = texts_of(writer_of(server.url, store=tmp_path), edited)
        assert [one["messages"][1]["content"] for one in server.requests] == ["seven is"]
        assert after[:-3] == before[:-3]
        server.requests.clear()
        # More texts of each: the first ones are there.
        assert texts_of(writer_of(server.url, store=tmp_path), QUESTIONS[:1], n=5)[:3] == before[:3]
        assert [one["n"] for one in server.requests] == [2]


def test_what_was_asked_decides_what_is_found(tmp_path: Path) -> None:
    with server_of() as server, server_of() as other:
        texts_of(writer_of(server.url, store=tmp_path), n=1)
        for changed in ({"temperature": 1.0}, {"top_p": 0.5}, {"max_tokens": 9}, {"seed": 1}, {"extra_body": {"k": 1}}):
            server.requests.clear()
            texts_of(writer_of(server.url, store=tmp_path, manner=changed), n=1)
            assert len(server.requests) == len(QUESTIONS)
        # Another address may have another model of that name.
        texts_of(writer_of(other.url, store=tmp_path), n=1)
        assert len(other.requests) == len(QUESTIONS)


def _holds(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_killed_run_asks_nothing_twice(tmp_path: Path) -> None:
    five = threading.Event()

    def until_five(asked: dict[str, Any], n: int) -> list[str] | Reply:
        if len(server.requests) > 5:
            five.set()
            return Reply(hang=True)
        return echoing(asked, n)

    program = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "from pathlib import Path\n"
        "from test_served_texts import texts_of, writer_of\n"
        "texts_of(writer_of(sys.argv[1], store=Path(sys.argv[2]), concurrency=1))\n"
    )
    with server_of(writes=until_five) as server:
        command = [sys.executable, "-c", program, server.url, str(tmp_path), *sys.path]
        with subprocess.Popen(command) as job:
            assert five.wait(timeout=60)
            # The sixth is asked for while the fifth is being stored.
            until = time.monotonic() + 60
            while not _holds(tmp_path, b"five is") and time.monotonic() < until:
                time.sleep(0.02)
            job.send_signal(signal.SIGKILL)
        server.writes = echoing
        kept = [one["messages"][1]["content"] for one in server.requests[:5]]
        server.requests.clear()
        texts_of(writer_of(server.url, store=tmp_path))
        assert [one["messages"][1]["content"] for one in server.requests] == ["six is"]
    assert kept == ["one is", "two is", "three is", "four is", "five is"]


# How it fails.


@pytest.mark.parametrize(
    ("failure", "waits"),
    [
        (Reply(429, error("slow down"), (("Retry-After", "7"),)), 7.0),
        (Reply(429, error("slow down")), 1.0),
        (Reply(500, "<html>oh no</html>"), 1.0),
        (Reply(503, "busy", (("Retry-After", "3"),)), 3.0),
        (Reply(200, "<!doctype html><title>Sign in</title>"), 1.0),
        (Reply(200, '{"choices": [{"message": {"content": "cut'), 1.0),
        (Reply(200, "{}", (("Content-Length", "900"),)), 1.0),
        (Reply(200, '{"choices": []}'), 1.0),
        (Reply(200, '{"choices": [{"message": {"content": "a"}}, {"message": 3}]}'), 1.0),
        (Reply(200, '{"choices": [{"message": {"content": ["a"]}}]}'), 1.0),
        (Reply(drop=True), 1.0),
    ],
)
def test_a_failure_is_asked_again(failure: Reply, waits: float) -> None:
    slept: list[float] = []
    with server_of(failure) as server:
        texts = texts_of(writer_of(server.url, sleep=slept.append), QUESTIONS[:1])
        assert len(server.requests) == 2
        assert server.requests[0] == server.requests[1]
    assert len(texts) == 3
    assert slept == [waits]


@pytest.mark.parametrize(
    ("failures", "key", "message"),
    [
        ([Reply(500, error("no\nway"))] * 3, None, "gave no answer in 3 attempts .status 500 no way."),
        ([Reply(200, "<html></html>")] * 3, None, "3 attempts .an answer that is no completion: '<html></html>'."),
        ([Reply(429, "", (("Retry-After", "86400"),))], None, "asks to wait 86400 seconds"),
        (
            [Reply(404, error("The model tiny does not exist"))],
            None,
            "status 404 The model tiny does not exist; all",
        ),
        (
            [Reply(400, error("context length exceeded"))],
            None,
            "refuses the prompt 'one is' .status 400 context",
        ),
        (
            [Reply(422, error("temperature above 2"))],
            None,
            "refuses the prompt 'one is' .status 422 temperature",
        ),
        ([], "s3cret-key", "refuses the key .status 401.; allowed: key_variable"),
    ],
)
def test_what_no_attempt_mends_is_one_line(failures: list[Reply], key: str | None, message: str) -> None:
    with server_of(*failures, key=key) as server, pytest.raises(InputError, match=message) as caught:
        texts_of(writer_of(server.url, attempts=3, concurrency=1))
    assert "\n" not in str(caught.value)


def test_a_key_is_never_sent_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_KEY", "s3cret-key")
    with server_of() as other, server_of() as server:
        for status in (301, 302, 307, 308):
            server.failures = [Reply(status, "", (("Location", f"{other.url}/v1/chat/completions"),))]
            with pytest.raises(InputError, match=f"status {status}, a redirect to http.*a key is sent nowhere else"):
                texts_of(writer_of(server.url, key_variable="MINE_KEY"), QUESTIONS[:1])
        assert server.keys == ["Bearer s3cret-key"] * 4
        assert other.requests == []


def filtering(asked: dict[str, Any], n: int) -> Any:
    """Refuse in each of the ways in which servers refuse a text for its content, or write none."""
    said = asked["messages"][-1]["content"]
    none = {"role": "assistant", "content": None}
    if "one" in said:
        partly = {"message": {**none, "content": "It is a "}, "finish_reason": "content_filter"}
        return ["fine"] * (n - 1) + [partly]
    if "two" in said:
        return [{"message": {**none, "refusal": "I cannot."}, "finish_reason": "stop"}] * n
    if "three" in said:
        return Reply(400, json.dumps({"error": {"code": "content_filter", "message": "The response was filtered."}}))
    if "four" in said:
        return [{"message": none, "finish_reason": "length"}] * n
    return ["fine"] * n


def served(writer: Writer, prompts: pd.DataFrame, **settings: Any) -> Completed:
    return write_texts(writer, {"micro": prompts}, "mine", {"micro": {**SETTINGS, "samples": 3, **settings}})["micro"]


def test_a_text_that_is_refused_is_empty_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [("micro", f"p{n}", None, question.user) for n, question in enumerate(QUESTIONS)]
    prompts = pd.DataFrame(rows, columns=["prompt_set", "prompt_id", "control_id", "prompt"])
    with server_of(writes=filtering) as server:
        found = served(writer_of(server.url, store=tmp_path), prompts)
        n_asked = len(server.requests)
        again = served(writer_of(server.url, store=tmp_path), prompts)
        assert len(server.requests) == n_asked
    texts = found.table.set_index(["prompt_id", "sample"])["text"].unstack()
    assert texts.to_numpy().tolist() == [
        *(["fine", "fine", ""], ["", "", ""], ["", "", ""], ["", "", ""]),
        *(["fine"] * 3, ["fine"] * 3),
    ]
    statuses = {"content_filter": 4, "empty": 3, "refusal": 3, "written": 8}
    assert found.summary["statuses"] == again.summary["statuses"] == statuses
    assert "mine, micro: 10 texts are empty (content_filter 4, empty 3, refusal 3)" in caplog.text
    assert {key: again.summary[key] for key in ("total", "computed", "reused")} == {
        **{"total": 18, "computed": 0, "reused": 18}
    }


def test_another_model_than_was_asked_for_is_said_and_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def of_another(asked: dict[str, Any], n: int) -> Reply:
        return Reply(body=written({**asked, "model": "tiny-2024"}, echoing(asked, n), None))

    with server_of(writes=of_another) as server:
        found = served(writer_of(server.url, store=tmp_path), micro_prompts())
    n = len(found.table)
    assert found.summary["answered_by"] == {"model": {"tiny-2024": n}, "system_fingerprint": {VERSION: n}}
    assert caplog.text.count("was asked for tiny, and says that tiny-2024 answers") == 1


def test_requests_a_minute_are_kept_whoever_asks() -> None:
    with server_of() as server:
        began = time.monotonic()
        texts_of(writer_of(server.url, per_minute=600, concurrency=6), n=1)
        took = time.monotonic() - began
    assert len(server.requests) == 6
    assert 0.5 <= took < 5  # five intervals of a tenth of a second


# What it costs.


@pytest.mark.parametrize("several", [True, False])
def test_costs_are_those_that_the_server_counted(tmp_path: Path, several: bool) -> None:
    prompts = micro_prompts()
    with server_of(several=several) as server:
        found = served(writer_of(server.url, store=tmp_path, budget=(PRICES, 1.0)), prompts)
        counted = PRICES.cost(server.read, server.wrote)
        assert found.summary["tokens"] == {"input": server.read, "output": server.wrote}
        assert found.summary["cost"] == pytest.approx(counted, rel=0.01)
        assert found.summary["requests"] == len(server.requests) == len(prompts) * (1 if several else 3)
        again = writer_of(server.url, store=tmp_path, budget=(PRICES, 1.0))
        assert served(again, prompts).summary["cost"] == found.summary["cost"]
        assert again.budget.spent == pytest.approx(counted)


def test_a_run_ends_at_what_it_may_cost_and_goes_on_when_it_may_cost_more(tmp_path: Path) -> None:
    questions = [Question("", f"{number} {'word ' * 40}") for number in range(200)]
    with server_of() as server:
        most = 100 * PRICES.cost(41, 3 * 43)
        writer = writer_of(server.url, store=tmp_path, budget=(PRICES, most), manner={"max_tokens": 50})
        with pytest.raises(InputError, match=r"mine: max_cost: .* is spent.*: raise `max_cost` to go on") as caught:
            texts_of(writer, questions)
        assert "\n" not in str(caught.value)
        counted = PRICES.cost(server.read, server.wrote)
        assert writer.budget.spent == pytest.approx(counted)
        assert 0.98 * most < counted <= most
        n_asked = len(server.requests)
        texts_of(writer_of(server.url, store=tmp_path, budget=(PRICES, 3 * most), manner={"max_tokens": 50}), questions)
        assert len(server.requests) == len(questions)
        # What is stored was paid for: with no more to spend, nothing is asked.
        spent = writer_of(server.url, store=tmp_path, budget=(PRICES, most), manner={"max_tokens": 50})
        with pytest.raises(InputError, match="max_cost"):
            texts_of(spent, [*questions, Question("", "new")])
        assert len(server.requests) == len(questions)
    assert 0 < n_asked < len(questions)


def test_costs_that_are_not_known_cannot_be_kept_to(tmp_path: Path) -> None:
    with server_of(counts=False) as server:
        with pytest.raises(InputError, match="an answer without `usage`.*allowed: .* or no `max_cost`"):
            texts_of(writer_of(server.url, budget=(PRICES, 1.0)))
        summary = served(writer_of(server.url, store=tmp_path, budget=(PRICES, None)), micro_prompts()).summary
    assert summary["cost"] is None
    assert summary["tokens"] == {"input": None, "output": None}


def test_costs_are_estimated_before(caplog: pytest.LogCaptureFixture) -> None:
    # Two prompts of 100 and 50 tokens, five and two texts of ten: 150 read at once, or 600, and 70 written.
    found = estimate([(100, 5), (50, 2), (9, 0)], 10, PRICES)
    assert found == ((2, 7), (150, 600), 70, (pytest.approx(860e-6), pytest.approx(1760e-6)))
    assert "2 to 7 requests, about 150 to 600 tokens to read and at most 70 to write" in found.in_words()
    with server_of() as server, caplog.at_level(logging.INFO):
        texts_of(writer_of(server.url, budget=(PRICES, None)))
        said = re.search(r"at a cost of at most about ([\d.e-]+) to ([\d.e-]+)", caplog.text)
        assert said is not None
        assert float(said[1]) >= PRICES.cost(server.read, server.wrote)


# As a model that runs here.


def test_texts_are_those_of_the_model_itself(micro_model: LanguageModel) -> None:
    """At temperature 0, through a server that asks the model itself."""
    lock = threading.Lock()

    def by_itself(asked: dict[str, Any], n: int) -> list[str]:
        chat: Any = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
        ids = micro_model.tokenizer.apply_chat_template(asked["messages"], **chat)["input_ids"]
        with lock:
            new = micro_model.model.generate(ids, max_new_tokens=asked["max_tokens"], do_sample=False)
        return [micro_model.tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=True)] * n

    settings = {"temperature": 0.0, "samples": 2, "control_samples": 4}
    prompts = micro_prompts()
    with server_of(writes=by_itself) as server:
        manner = {"temperature": 0.0, "max_tokens": SETTINGS["max_new_tokens"]}
        found = served(writer_of(server.url, manner=manner), prompts, **settings).table
    prompting = Prompting({**SETTINGS, **settings})
    expected = complete_prompts(micro_model, prompts, "mine", prompting).table
    pd.testing.assert_frame_equal(found, expected)
    assert found["text"].nunique() > 2


@pytest.mark.slow
def test_transformers_serve_writes_as_the_model_that_runs_here(
    micro_model: LanguageModel, micro_model_folder: Path, tmp_path: Path
) -> None:
    """At temperature 0. It passes over `n`, and is up after some attempts.

    Without a chat: of the organism's architecture it takes a chat's text for that of another template.
    """
    prompts, marked = micro_prompts(), "<|user|> {prompt}<|end|><|assistant|>"
    settings = {**SETTINGS, "temperature": 0.0, "samples": 2, "template": marked}
    expected = complete_prompts(micro_model, prompts, "mine", Prompting(settings, chat=False)).table
    manner = Manner("completions", 0.0, None, settings["max_new_tokens"], 0, {})
    with transformers_serve(micro_model_folder) as url:
        server = LanguageServer(url, PATHS["completions"], str(micro_model_folder), attempts=7, concurrency=1)
        writer = Writer(server, manner, Budget(None, None, "mine"), tmp_path)
        table, summary = write_texts(writer, {"micro": prompts}, "mine", {"micro": settings})["micro"]
    assert summary["requests"] == summary["total"] == len(expected) == 16
    assert summary["statuses"] == {"written": 16}
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.slow
def test_transformers_serve_writes_as_smollm2_here_and_gives_no_log_probabilities(root: Path, tmp_path: Path) -> None:
    """At temperature 0, but where two tokens are as probable as each other."""
    import torch

    torch.set_num_threads(2)
    entry = shipped(root)["models"]["smollm2-135m"]
    file, folder = tmp_path / "smollm2.gguf", tmp_path / "smollm2"
    fetch_packaged(PackagedFile(**{key: entry[key] for key in PackagedFile._fields}), file)
    convert_gguf(file, folder)
    model = open_model(describe_folder(folder, "local"), LOADING)
    table = build_prompts(template_files(root / "data/prompt_sets/colors", [root / "data/lexicons"]), "colors").prompts
    prompts = table.iloc[:: len(table) // 10].head(10).reset_index(drop=True)
    settings = {**SETTINGS, "temperature": 0.0, "samples": 1, "max_new_tokens": 10}
    expected = complete_prompts(model, prompts, "mine", Prompting(settings, chat=False)).table["text"]
    manner = Manner("completions", 0.0, None, settings["max_new_tokens"], 0, {})
    with transformers_serve(folder) as url:
        server = LanguageServer(url, PATHS["completions"], str(folder), attempts=9, concurrency=1)
        writer = Writer(server, manner, Budget(None, None, "mine"), tmp_path)
        found = write_texts(writer, {"colors": prompts}, "mine", {"colors": settings})["colors"].table["text"]
        asked = {prompt: question_of(prompt, settings, "completions") for prompt in prompts["prompt"]}
        records = writer.write(dict.fromkeys(asked.values(), 1)).records
        with pytest.raises(InputError, match="gives no log-probabilities of a text, .* measures its texts alone"):
            TextScorer(server, Budget(None, None, "mine"), "models.mine.logprobs").score(["The car is red."])
    differing = prompts["prompt"][(found != expected).to_numpy()]
    ties = [prompt for prompt in differing if is_tie(model, prompt, records[*asked[prompt], 0]["text"])]
    assert len(found) == 10
    assert found.nunique() > 5
    assert len(ties) == len(differing) < 5, f"{len(differing)} differ, of which {len(ties)} are ties"


def is_tie(model: LanguageModel, prompt: str, written_there: str) -> bool:
    """Say whether a text first differs from what the model writes here where its two likeliest logits are alike."""
    import torch

    ids = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        here = model.model.generate(ids, max_new_tokens=10, do_sample=False)[0].tolist()
        there = model.tokenizer(prompt + written_there)["input_ids"]
        n_same = next(n for n, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1])
        top = model.model(torch.tensor([here[:n_same]])).logits[0, -1].topk(2)
    return {here[n_same], there[n_same]} == set(top.indices.tolist()) and float(top.values[0] - top.values[1]) < 1e-3


@pytest.mark.parametrize(
    ("stop", "text"),
    [("sentence", "Dr."), ("whole_sentence", "Dr. Edé kam."), ("none", "Dr. Edé kam. Dann")],
)
def test_a_text_is_cut_by_the_language_of_its_prompt_and_composed(tmp_path: Path, stop: str, text: str) -> None:
    prompts = pd.DataFrame([{"prompt_set": "micro", "prompt_id": "p", "control_id": None, "prompt": "Es ist"}])
    prompts = prompts.assign(language="de", concept_language="de")
    with server_of(writes=lambda asked, n: ["Dr. Edé kam. Dann"] * n) as server:
        found = served(writer_of(server.url, store=tmp_path), prompts, stop=stop)
    assert found.table["text"].tolist() == [text] * 3


def test_a_prompt_is_put_as_to_a_model_that_runs_here() -> None:
    settings = {"system": "Be brief.", "template": "Go on: {prompt} {x}"}
    assert question_of("It is", settings, "chat") == ("Be brief.", "Go on: It is {x}")
    assert question_of("It is", settings, "completions") == ("", "Be brief.\nGo on: It is {x}")
    assert question_of("It is", {**settings, "system": None}, "completions") == ("", "Go on: It is {x}")


# In a study.


def entry_of(url: str, **changed: Any) -> dict[str, Any]:
    return {"source": "endpoint", "base_url": url, "model": "tiny", **changed}


def resolved(
    root: Path, steps: Sequence[str] = ("leak",), sections: dict[str, Any] | None = None, **changed: Any
) -> dict[str, Any]:
    """Return a study of one model behind a server, the keys of whose entry are changed; and further sections."""
    chosen = {"name": "mine", "models": ["mine"], "prompt_sets": ["colors"], "scorers": ["lexical"], "steps": [*steps]}
    models = {"mine": entry_of("http://127.0.0.1:9", **changed)}
    return resolve(shipped(root), {**(sections or {}), "study": chosen, "models": models})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"max_cost": 1},
            "models.mine.max_cost: got 1 without prices; allowed: `max_cost` together with `prices`, or neither.",
        ),
        (
            {"extra_body": {"stream": True}},
            "models.mine.extra_body: got 'stream', which leakscope sets",
        ),
        ({"extra_body": {"a": [{"api_key": "x"}]}}, "models.mine.extra_body: got 'api_key', the name of a secret"),
        (
            {"base_url": "https://h/v1/sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123"},
            "models.mine.base_url: got an address with",
        ),
        (
            {"extra_body": {"a": ["sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123"]}},
            "got a value that looks like a secret",
        ),
        ({"extra_body": {"a": date(2024, 6, 1)}}, "models.mine.extra_body: got 2024-06-01, a date; allowed: text"),
        ({"base_url": "http://me:word@host/v1"}, "models.mine.base_url: got an address with a user or password"),
        ({"key_variable": "sk-12345"}, "models.mine.key_variable: got ***; allowed: the name of an environment"),
        ({"generation": {"top_k": 5}}, "models.mine.generation.top_k: got 5; allowed: model, since the protocol"),
        ({"prices": {"input": 1}}, "models.mine.prices.output: got nothing; allowed: a number"),
        ({"extra_body": {"logprobs": 3}}, "models.mine.extra_body: got 'logprobs', which leakscope sets"),
        ({"logprobs": True}, "models.mine.logprobs: got true with `api: chat`, whose protocol has no"),
        (
            {"beginning": "<s>"},
            "models.mine.beginning: got '<s>' without `logprobs`; allowed: `beginning` only with `logprobs: true`.",
        ),
        (
            {"logprobs": True, "api": "completions", "generation": {"stop": "none"}},
            "models.mine.generation.stop: got none; allowed: sentence, with `logprobs: true` in the step leak.",
        ),
        ({"chat": True}, "models.mine.chat: got an unknown key (***); allowed: api, "),
    ],
)
def test_mistakes_of_an_entry_are_one_line(root: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        resolved(root, **changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("step", ["ground", "validate", "features", "trace"])
def test_a_step_that_needs_weights_says_so_before_anything_is_asked(root: Path, step: str) -> None:
    with pytest.raises(InputError, match="allowed: at least one"):
        resolved(root, ["leak", step])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("ground", "ground.axes: got nothing; allowed: at least one axis"),
        ("validate", "validate.tasks.hypernymy.styles: got chat, all for chats, but mine has `chat: false`"),
        (
            "features",
            "features.dictionaries.mine.model: got 'mine', a model behind a server; allowed: one that runs here",
        ),
        (
            "trace",
            "study.models: got mine; allowed: at least one model that runs here and does not think",
        ),
    ],
)
def test_log_probabilities_let_a_server_do_two_more_steps(root: Path, step: str, message: str) -> None:
    scored = {"api": "completions", "logprobs": True}
    entry = {"model": "mine", "layer": 1, "source": "trained", "corpus": "c"}
    features = {"dictionaries": {"mine": entry}, "corpora": {"c": {"path": "c.jsonl"}}}
    with pytest.raises(InputError, match=re.escape(message)):
        resolved(root, ["leak", step], {"features": features}, **scored)


def test_a_server_that_fails_fails_its_own_model_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    config = resolved(root)
    variant = {**config["models"]["mine"], "label": "hot"}
    config["models"]["hot"] = variant
    config["study"]["models"].append("hot")
    assert variant["weights"] == "mine"
    missing = failed_models([FailedJob("write_served", {"served": "mine"}, [])], Study(config))
    assert missing is not None
    assert list(missing) == ["mine"]


@pytest.fixture
def workspace(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Workspace, WritingEndpoint]]:
    """The micro study with a model behind a server that wants a key, and says it where it can."""
    monkeypatch.setenv("MINE_KEY", "s3cret-key-of-mine")

    def telling(asked: dict[str, Any], n: int) -> list[str]:
        return [f"red {number}. s3cret-key-of-mine" for number in range(n)]

    with server_of(writes=telling, key="s3cret-key-of-mine") as server:
        workspace = finished.copy(tmp_path / "checkout")
        workspace.study["study"]["scorers"] = ["lexical"]
        entry = entry_of(server.url, key_variable="MINE_KEY", prices=PRICES._asdict(), max_cost=1)
        workspace.study["models"]["mine"] = {**entry, "generation": {"samples": 3}}
        workspace.study["models"]["mine-uncut"] = {"extends": "mine", "generation": {"stop": "none"}, "label": "uncut"}
        yield workspace, server


@pytest.mark.workflow
def test_a_study_measures_models_behind_a_server_beside_others(
    workspace: tuple[Workspace, WritingEndpoint],
) -> None:
    micro, server = workspace
    micro.study["study"]["models"] = ["tiny-l100", "mine", "mine-uncut"]
    said = micro.run("--cores", "1", "results/micro/generations/mine/micro.csv").stdout
    assert re.search(r"mine: \d+ to \d+ requests, .* at a cost of at most about .* \(max_cost: 1\)", said)
    results = micro.folder / "results/micro"
    tables = ("match_rates.csv", "logit_leak.csv", "index.html")
    micro.run("--cores", "2", *(f"results/micro/{name}" for name in tables))
    # The server's own texts are stored: one that is cut otherwise asks for none.
    n_prompts = len(pd.read_csv(results / "prompts/micro.csv"))
    assert len(server.requests) == n_prompts
    texts = pd.read_csv(results / "generations/mine/micro.csv")["text"]
    assert set(texts) == {"red 0.", "red 1.", "red 2."}
    uncut = pd.read_csv(results / "generations/mine-uncut/micro.csv")["text"]
    assert set(uncut) == {f"red {number}. ***" for number in range(3)}
    rates = pd.read_csv(results / "match_rates.csv")
    assert set(rates["model"]) == {"tiny-l100", "mine", "mine-uncut"}
    assert set(pd.read_csv(results / "logit_leak.csv")["model"]) == {"tiny-l100"}
    assert (results / "index.html").is_file()
    # How often and how patiently it is asked, and for how much, decides no text.
    micro.study["models"]["mine"] |= {"concurrency": 1, "max_cost": 2, "timeout": 9}
    assert "Nothing to be done" in micro.run("-n", "--cores", "1", "results/micro/match_rates.csv").stdout
    summary = json.loads((results / "generations/mine/micro.json").read_text())
    assert summary["cost"] == pytest.approx(PRICES.cost(server.read, server.wrote), rel=0.01)
    # No key is in anything that was written, whatever the model repeats.
    files = [path for folder in ("results", ".snakemake") for path in (micro.folder / folder).rglob("*")]
    assert not [path for path in files if path.is_file() and b"s3cret-key" in path.read_bytes()]
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["models"]["mine"]["answered_by"]["system_fingerprint"] == {VERSION: 3 * n_prompts}


@pytest.mark.workflow
def test_a_study_of_servers_alone_is_planned_and_ends_with_a_line(
    workspace: tuple[Workspace, WritingEndpoint],
) -> None:
    micro, server = workspace
    micro.study["study"]["models"] = ["mine"]
    plan = micro.run("-n", "--cores", "1").stdout
    assert "write_served" in plan
    assert "match_rates" in plan
    assert "logit_leak" not in plan
    server.key = "another"
    said = micro.run("--cores", "1", "results/micro/match_rates.csv", check=False).stdout
    assert "refuses the key (status 401); allowed: a key of this server in MINE_KEY" in said
    assert "Traceback" not in said
