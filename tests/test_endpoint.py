"""Explanations by a language model behind a server: the protocol, its failures, and answers that are kept."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tqdm import tqdm

from helpers import complete
from leakscope.errors import InputError
from leakscope.features.description.detection import DETECT
from leakscope.features.description.explaining import explain_by_endpoint
from leakscope.models.opening import LanguageModel
from leakscope.web.asking import LanguageServer, address
from leakscope.web.endpoint import Endpoint, Prompt
from local_endpoint import Answer, LocalEndpoint, Reply, completion, error, local_endpoint, transformers_serve
from tiny_task import open_tiny_model

QUESTION = Prompt("Be brief.", "What is it?")
QUESTIONS = [Prompt("Be brief.", f"What is {number}?") for number in range(12)]
WORDS = ["cat", "dog", "owl", "elk", "bee"]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


class Asked:
    """A local server, a client of it, and how long the client would have slept."""

    def __init__(self, server: LocalEndpoint, **settings: Any) -> None:
        self.server, self.slept = server, []
        defaults: dict[str, Any] = {"base_url": server.url, "model": "tiny", "sleep": self.slept.append}
        self.endpoint = Endpoint(**{**defaults, **settings})


@contextmanager
def asked(*failures: Reply, answer: Answer = lambda system, user: f"{user}!", **settings: Any) -> Iterator[Asked]:
    with local_endpoint(answer, failures) as server:
        yield Asked(server, **settings)


def explainer(system: str, user: str) -> str:
    """Answer as one who looks at the words: the marked one explains, and an excerpt that has it is one that fires."""
    if system != DETECT:
        return re.findall("«(.*?)»", user)[0].strip()
    head, _, excerpts = user.partition("\n\nExcerpts:\n")
    word = head.removeprefix("Description: ")
    return json.dumps([int(line.split(".")[0]) for line in excerpts.splitlines() if f" {word} " in line])


def tables(n_features: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return firing and contexts of features that each fire on a word of their own; the last fires most."""
    features = range(n_features)
    firing = pd.DataFrame({"feature": features, "firing_rate": [0.1 * (i + 1) for i in features], "dead": False})
    rows = []
    for feature in features:
        for kind in ("top", "quantile", "test_firing", "test_silent"):
            fires = kind != "test_silent"
            word = WORDS[feature if fires else (feature + 1) % n_features]
            for rank in range(1, 5):
                tokens = [f" {number}" for number in range(rank)] + [f" {word}", " sat"]
                activations = [0.0] * rank + [float(fires), 0.0]
                rows.append((feature, kind, rank, tokens, activations))
    return firing, pd.DataFrame(rows, columns=["feature", "kind", "rank", "tokens", "activations"])


def explain(endpoint: Endpoint, n_features: int | None = None, **changed: Any) -> pd.DataFrame:
    firing, contexts = tables()
    given = {"firing": firing, "contexts": contexts, "interpretable": True, "seed": 0, **changed}
    return explain_by_endpoint(endpoint=endpoint, name="judge", n_features=n_features, **given)


def test_a_model_explains_and_its_explanations_are_scored() -> None:
    with asked(answer=explainer) as one:
        table = explain(one.endpoint)
        assert len(one.server.requests) == 2 * len(table)
    assert table["explanation"].tolist() == WORDS
    assert set(table["status"]) == {"explained"}
    assert set(table["detection"]) == {1.0}
    assert table[["n_firing", "n_silent"]].to_numpy().tolist() == [[4, 4]] * 5


def test_a_wrong_explanation_scores_as_bad_as_it_is() -> None:
    def wrong(system: str, user: str) -> str:
        return "sat" if system != DETECT else "[1, 2, 3, 4, 5, 6, 7, 8]"

    with asked(answer=wrong) as one:
        assert set(explain(one.endpoint)["detection"]) == {0.5}


def test_requests_are_those_of_the_protocol() -> None:
    with asked(temperature=0.5, max_tokens=7) as one:
        assert one.endpoint.ask([QUESTION]) == {QUESTION: "What is it?!"}
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is it?"}]
    assert one.server.requests == [{"model": "tiny", "messages": messages, "temperature": 0.5, "max_tokens": 7}]
    assert one.server.paths == ["/v1/chat/completions"]
    assert one.server.keys == [None]


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/chat/completions"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1/chat/completions"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
        ("https://example.org/api/v1/", "https://example.org/api/v1/chat/completions"),
    ],
)
def test_an_address_may_have_its_version_or_not(base_url: str, url: str) -> None:
    assert address(base_url, "chat/completions") == url


def test_the_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with local_endpoint(lambda system, user: "yes", key="s3cret") as server:
        monkeypatch.delenv("JUDGE_KEY", raising=False)
        for variable, hint in ((None, "key_variable"), ("JUDGE_KEY", "the environment has no JUDGE_KEY")):
            with pytest.raises(InputError, match=f"refuses the key .status 401.*{hint}"):
                Asked(server, key_variable=variable).endpoint.ask([QUESTION])
        monkeypatch.setenv("JUDGE_KEY", "other")
        with pytest.raises(InputError, match="allowed: a key of this server in JUDGE_KEY") as caught:
            Asked(server, key_variable="JUDGE_KEY").endpoint.ask([QUESTION])
        assert "other" not in str(caught.value)
        assert len(server.requests) == 3
        monkeypatch.setenv("JUDGE_KEY", "s3cret")
        assert Asked(server, key_variable="JUDGE_KEY").endpoint.ask([QUESTION]) == {QUESTION: "yes"}
        assert server.keys[-1] == "Bearer s3cret"


def test_a_server_without_keys_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with asked(key_variable="JUDGE_KEY") as one:
        assert one.endpoint.ask([QUESTION]) == {QUESTION: "What is it?!"}


@pytest.mark.parametrize(
    ("failure", "waits"),
    [
        (Reply(429, error("slow down"), (("Retry-After", "7"),)), 7.0),
        (Reply(429, error("slow down")), 1.0),
        (Reply(503, "busy", (("Retry-After", "3"),)), 3.0),
        (Reply(500, "<html>oh no</html>"), 1.0),
        (Reply(408, ""), 1.0),
        (Reply(200, '{"choices": [{"mess'), 1.0),
        (Reply(200, '{"choices": []}'), 1.0),
        (Reply(200, '{"error": {"message": "overloaded"}}'), 1.0),
        (Reply(200, "[]"), 1.0),
        (Reply(200, '{"choices": [{"message": {"content": 3}}]}'), 1.0),
        (Reply(drop=True), 1.0),
    ],
)
def test_a_failure_is_repeated(failure: Reply, waits: float) -> None:
    with asked(failure) as one:
        assert one.endpoint.ask([QUESTION]) == {QUESTION: "What is it?!"}
        assert len(one.server.requests) == 2
    assert one.slept == [waits]


def test_a_server_that_hangs_is_asked_again() -> None:
    with asked(Reply(hang=True), seconds=0.2) as one:
        assert one.endpoint.ask([QUESTION]) == {QUESTION: "What is it?!"}
        assert len(one.server.requests) == 2


def test_waits_grow_and_end_in_one_line() -> None:
    with asked(*[Reply(500, error("no\nway"))] * 20, attempts=4) as one:
        with pytest.raises(InputError, match="no answer in 4 attempts .status 500 no way.") as caught:
            one.endpoint.ask([QUESTION])
        assert len(one.server.requests) == 4
    assert one.slept == [1, 2, 4]
    assert "\n" not in str(caught.value)


def test_a_long_wait_is_not_waited() -> None:
    with (
        asked(Reply(429, "", (("Retry-After", "86400"),))) as one,
        pytest.raises(InputError, match="asks to wait 86400 seconds"),
    ):
        one.endpoint.ask([QUESTION])
    assert one.slept == []


def test_a_server_that_is_not_there_is_one_line() -> None:
    with asked(attempts=2) as one:
        pass
    with pytest.raises(InputError, match=r"127.0.0.1:\d+/v1/chat/completions: gave no answer in 2 attempts") as caught:
        one.endpoint.ask(QUESTIONS)
    assert "\n" not in str(caught.value)
    assert not list(tqdm._instances)  # a bar left open would indent the lines of the next one


@pytest.mark.parametrize(
    ("failure", "settings", "message"),
    [
        (None, {"model": "huge"}, "status 404 The model huge does not exist"),
        (Reply(301, "", (("Location", "http://127.0.0.1:9/"),)), {}, "status 301"),
        (Reply(403, error("no entry")), {}, "refuses the key .status 403."),
    ],
)
def test_what_would_be_said_of_every_prompt_is_final(
    failure: Reply | None, settings: dict[str, Any], message: str
) -> None:
    with asked(*([failure] if failure else []), concurrency=1, **settings) as one:
        with pytest.raises(InputError, match=message):
            one.endpoint.ask([QUESTION])
        assert len(one.server.requests) == 1


def test_one_refused_prompt_is_a_status_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    def picky(system: str, user: str) -> str | Reply:
        if "owl" in user and system != DETECT:
            return Reply(400, error("content is filtered"))
        if "Description: bee" in user:
            return Reply(413, error("too long"))
        return explainer(system, user)

    with asked(answer=picky) as one, caplog.at_level(logging.WARNING):
        table = explain(one.endpoint)
    assert table["status"].tolist() == ["explained", "explained", "failed", "explained", "failed"]
    # What cannot be tested keeps its explanation, without a score.
    assert table["explanation"].tolist() == ["cat", "dog", None, "elk", "bee"]
    assert table["detection"].isna().tolist() == [False, False, True, False, True]
    assert "refuses 1 of 5 prompts (status 400 content is filtered)" in caplog.text


def test_a_server_that_refuses_all_prompts_is_an_error() -> None:
    refuse = Reply(400, error("temperature is not supported"))
    with (
        asked(answer=lambda system, user: refuse) as one,
        pytest.raises(InputError, match="refuses all 12 prompts .status 400 temperature is not supported."),
    ):
        one.endpoint.ask(QUESTIONS)


def test_the_other_name_of_the_length_is_used_where_it_is_asked_for() -> None:
    hint = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    with asked(Reply(400, error(hint)), max_tokens=9, concurrency=1, attempts=1) as one:
        assert one.endpoint.ask(QUESTIONS[:2]) == {prompt: f"{prompt.user}!" for prompt in QUESTIONS[:2]}
        sizes = [(request.get("max_tokens"), request.get("max_completion_tokens")) for request in one.server.requests]
    assert sizes == [(9, None), (None, 9), (None, 9)]


def test_answers_that_cannot_be_read_are_a_status() -> None:
    def rambling(system: str, user: str) -> str | Reply:
        if "cat" in user and system != DETECT:
            return "Sure!\nHere it is:\ncats"
        if "owl" in user and system != DETECT:
            return Reply(body=completion(None))
        return "the first two" if "Description: dog" in user else explainer(system, user)

    with asked(answer=rambling) as one:
        table = explain(one.endpoint)
    assert table["status"].tolist() == ["unparsable", "unparsable", "unparsable", "explained", "explained"]
    assert table["explanation"].tolist() == [None, "dog", None, "elk", "bee"]


def test_nothing_is_asked_of_what_cannot_be_read_and_only_of_those_that_fire_most() -> None:
    firing, contexts = tables()
    firing.loc[4, "dead"] = True
    contexts = contexts[~((contexts["feature"] == 3) & (contexts["kind"] == "test_firing"))]
    with asked(answer=explainer) as one:
        table = explain(one.endpoint, 2, firing=firing, contexts=contexts)
        assert table["status"].tolist() == ["not asked", "explained", "explained", "silent", "dead"]
        assert len(one.server.requests) == 4
        below = explain(one.endpoint, interpretable=False)
        assert set(below["status"]) == {"below the bar"}
        assert explain(one.endpoint, 0)["status"].tolist() == ["not asked"] * 5
        assert len(one.server.requests) == 4


def test_answers_are_kept_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    with asked(store=tmp_path, concurrency=1) as one:
        one.endpoint.ask(QUESTIONS[:3])
        one.server.failures = [*[Reply(200, completion("yes"))] * 2, Reply(401, "")]
        with pytest.raises(InputError):
            one.endpoint.ask(QUESTIONS)
        one.server.requests.clear()
        again = Asked(one.server, store=tmp_path)
        answers = again.endpoint.ask(QUESTIONS)
        # Three, and two of the run that ended.
        assert len(one.server.requests) == len(QUESTIONS) - 5
        assert list(answers.values()) == [
            f"{prompt.user}!" if i not in (3, 4) else "yes" for i, prompt in enumerate(QUESTIONS)
        ]
        summary = again.endpoint.summary()
        assert (summary["total"], summary["computed"], summary["reused"]) == (12, 7, 5)
        assert Path(summary["store"]).parent == tmp_path / "chat"
        # Another model or setting is another fingerprint; another address is not.
        for changed in ({"temperature": 0.5}, {"max_tokens": 5}, {"prompts": 2}):
            one.server.requests.clear()
            Asked(one.server, store=tmp_path, **changed).endpoint.ask(QUESTIONS[:1])
            assert len(one.server.requests) == 1
    gone = Endpoint("http://127.0.0.1:9", "tiny", store=tmp_path)
    assert gone.ask(QUESTIONS) == answers


def test_what_was_under_way_when_a_request_failed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, failed = threading.Barrier(2), threading.Event()
    plain = LanguageServer._until_answered

    def noticed(*arguments: Any) -> Any:
        try:
            return plain(*arguments)
        except InputError:
            failed.set()
            raise

    def answer(system: str, user: str) -> str | Reply:
        both.wait(timeout=20)
        if user == "What is 0?":
            return Reply(401, "")
        failed.wait(timeout=20)
        return "late"

    monkeypatch.setattr(LanguageServer, "_until_answered", noticed)

    with asked(answer=answer, store=tmp_path, concurrency=2) as one:
        with pytest.raises(InputError, match="401"):
            one.endpoint.ask(QUESTIONS[:2])
        kept = Asked(one.server, store=tmp_path)
        assert kept.endpoint.ask(QUESTIONS[1:2]) == {QUESTIONS[1]: "late"}
        assert kept.endpoint.summary()["computed"] == 0


def test_requests_run_side_by_side_and_no_more_than_wanted() -> None:
    gate = threading.Barrier(3)

    def together(system: str, user: str) -> str:
        gate.wait(timeout=20)  # three at once, or nobody gets on
        return "yes"

    with asked(answer=together, concurrency=3) as one:
        assert set(one.endpoint.ask(QUESTIONS).values()) == {"yes"}
        assert one.server.most == 3


def test_equal_prompts_are_asked_once() -> None:
    with asked() as one:
        assert one.endpoint.ask([QUESTION, QUESTION]) == {QUESTION: "What is it?!"}
        assert len(one.server.requests) == 1


def test_a_small_model_can_be_asked(micro_model: LanguageModel) -> None:
    """A real model behind the server, whose texts are what they are: each is read, or called unreadable."""
    lock = threading.Lock()

    def answer(system: str, user: str) -> str:
        last = user.splitlines()[-1].replace("«", "").replace("»", "")
        prompts = pd.DataFrame([{"prompt_set": "s", "prompt_id": "p", "prompt": f"The bag is {last}"}])
        with lock:
            return str(complete(micro_model, prompts, samples=1, temperature=0.0)["text"].iloc[0])

    with asked(answer=answer) as one:
        table = explain(one.endpoint, 3)
        assert 3 <= len(one.server.requests) <= 6
    assert set(table["status"]) <= {"explained", "unparsable", "not asked"}
    assert (table["status"] == "not asked").sum() == 2
    assert table["explanation"].notna().any()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, LanguageModel]]:
    """A model on disk behind ``transformers serve``: its address, and the model."""
    model = open_tiny_model(tmp_path)
    with transformers_serve(tmp_path) as url:
        yield url, model


@pytest.mark.slow
def test_transformers_serve_answers_as_the_model_itself(served: tuple[str, LanguageModel]) -> None:
    """The first attempts come before the server is up, and are repeated."""
    url, model = served
    prompts = [Prompt("Be brief.", "Are ants a fish?"), Prompt("Be brief.", "Are oaks a bird?")]
    answers = Endpoint(url, str(model.tokenizer.name_or_path), max_tokens=8, attempts=7, concurrency=2).ask(prompts)
    for prompt in prompts:
        chat = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        ids = model.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        written = model.model.generate(ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :]
        assert answers[prompt] == model.tokenizer.decode(written, skip_special_tokens=True) != ""


@pytest.mark.parametrize("url", ["api.openai.com", "ftp://x/", "http://"])
def test_an_address_is_checked_first(url: str) -> None:
    with pytest.raises(InputError, match="base_url: got"):
        Endpoint(url, "tiny")
