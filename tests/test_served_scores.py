"""Log-probabilities by a model behind a server: equal to those of the model itself, each asked for once."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from helpers import SETTINGS, micro_candidates, micro_prompts
from leakscope.errors import InputError
from leakscope.ground.sentence_scores import Sentence, score_sentences
from leakscope.ground.served_sentences import score_served_sentences
from leakscope.leak.served_candidates import score_served_prompts
from leakscope.models.candidate_scores import score_prompts
from leakscope.models.opening import LanguageModel
from leakscope.models.prompts.prompting import Completed, Prompting
from leakscope.validate.scoring.item_scores import GeneratorItem
from leakscope.validate.scoring.scored import score_items
from leakscope.validate.scoring.served_scores import score_served_generator, score_served_items
from leakscope.web.asking import LanguageServer
from leakscope.web.scoring import PATH, TextScorer, continuation
from leakscope.web.spending import Budget, Prices
from leakscope.web.taking_turns import open_budget, open_scorer
from leakscope.web.token_logprobs import Malformed, OtherText, TokenLogprobs, lay_along
from local_endpoint import Reply, ScoringEndpoint, Tokens, error, serving
from tiny_task import open_tiny_model, tiny_asking, tiny_items
from workspace import Workspace

PRICES = Prices(2.0, 8.0)
ANSWERS = ["echo", "prompt_logprobs"]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


def tokens_of(model: LanguageModel, before: str | None = None) -> Tokens:
    """Return what reads a text by a model itself; ``before`` is a token that is put before it, and named."""
    lead = [] if before is None else model.tokenizer(before)["input_ids"]

    def read(text: str) -> list[tuple[str, float | None]]:
        given = model.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        ends = [0, *(end for _, end in given["offset_mapping"])]
        ids = [*lead, *given["input_ids"]]
        with torch.inference_mode():
            laws = model.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        logprobs = [None, *(float(laws[place, token]) for place, token in enumerate(ids[1:]))]
        texts = [text[begin:end] for begin, end in zip(ends, ends[1:], strict=False)]
        return list(zip([before] * len(lead) + texts, logprobs, strict=True))

    return read


def words(text: str) -> list[tuple[str, float | None]]:
    """Return words, each with its space, as tokens whose log-probability is −1 for each of their letters."""
    parts = text.replace(" ", "\n ").split("\n")
    return [(part, None if not place else -float(len(part))) for place, part in enumerate(parts)]


@contextmanager
def server_of(tokens: Tokens = words, *failures: Reply, **how: Any) -> Iterator[ScoringEndpoint]:
    with serving(ScoringEndpoint(tokens, failures, **how)) as server:
        yield server


def scorer_of(
    url: str, store: Path | None = None, budget: tuple[Prices | None, float | None] = (None, None), **asking: Any
) -> TextScorer:
    server = LanguageServer(url, PATH, "tiny", **{"sleep": lambda seconds: None, **asking})
    return TextScorer(server, Budget(*budget, where="mine"), "models.mine.logprobs", store=store)


# As a model that runs here.


def served_candidates(scorer: TextScorer, prompts: pd.DataFrame, **settings: Any) -> Completed:
    how = {"micro": {**SETTINGS, **settings}}
    return score_served_prompts(scorer, {"micro": prompts}, {"micro": micro_candidates()}, "mine", how)["micro"]


@pytest.mark.parametrize("form", ANSWERS)
def test_candidates_are_as_probable_as_to_the_model_itself(micro_model: LanguageModel, form: str) -> None:
    prompts = micro_prompts()
    expected = score_prompts(micro_model, prompts, micro_candidates(), "mine", Prompting(SETTINGS, chat=False)).table
    with server_of(tokens_of(micro_model), form=form) as server:
        found = served_candidates(scorer_of(server.url), prompts)
        assert len(set(server.texts)) == len(found.table)
    keys = ["model", "prompt_set", "prompt_id", "slot", "candidate"]
    pd.testing.assert_frame_equal(found.table[keys], expected[keys])
    assert list(found.table.columns) == list(expected.columns)
    assert found.table["logprob"].to_numpy() == pytest.approx(expected["logprob"].to_numpy(), abs=1e-4)
    assert found.table["logprob"].nunique() > 10
    assert found.table[["tokens", "logprob_sampled"]].isna().all(axis=None)
    assert found.summary["total"] == found.summary["computed"] == len(expected)


SENTENCES = [
    Sentence("The car is red.", (11, 14), "The is red."),
    Sentence("red cars have a lime", (0, 3), "red have a lime"),
    Sentence("The bag is blue. The fruit is a plum.", (30, 36), "The bag is blue."),
]


@pytest.mark.parametrize("form", ANSWERS)
@pytest.mark.parametrize("adds", [True, False])
def test_sentences_are_as_probable_as_to_the_model_itself(micro_model: LanguageModel, form: str, adds: bool) -> None:
    """With a beginning that the server puts there itself, and with one that the entry names."""
    beginning = micro_model.tokenizer.eos_token
    expected = score_sentences(micro_model, SENTENCES, "mine", batch_size=4, store=None).table
    with server_of(tokens_of(micro_model, beginning if adds else None), form=form) as server:
        found = score_served_sentences(scorer_of(server.url), SENTENCES, None if adds else beginning).table
    pd.testing.assert_frame_equal(found, expected, atol=1e-4, rtol=0)
    assert found["pmi"].ne(0).all()


def test_a_first_token_without_a_probability_wants_a_beginning() -> None:
    with server_of() as server:
        with pytest.raises(InputError, match="no log-probability of its first token, .*set `beginning`"):
            score_served_sentences(scorer_of(server.url), SENTENCES, None)
        with pytest.raises(InputError, match="first token merges with `beginning`, 'x'"):
            score_served_sentences(scorer_of(server.url), SENTENCES, "x")


@pytest.mark.parametrize("form", ANSWERS)
def test_items_are_scored_as_by_the_model_itself(tmp_path: Path, form: str) -> None:
    torch.set_num_threads(1)
    model, items = open_tiny_model(tmp_path), tiny_items().iloc[:6]
    asking = tiny_asking(tmp_path, ["plain"], chat=False)
    expected = score_items(model, items, "mine", asking)
    with server_of(tokens_of(model), form=form) as server:
        found = score_served_items(scorer_of(server.url, tmp_path / "store"), items, asking)
        assert len(server.texts) - len(set(server.texts)) == (form != "echo")
        n_asked = len(server.texts)
        again = score_served_items(scorer_of(server.url, tmp_path / "store"), items, asking)
        assert len(server.texts) == n_asked
    pd.testing.assert_frame_equal(found.table, expected.table, atol=1e-4, rtol=0)
    pd.testing.assert_frame_equal(again.table, found.table)
    answers = expected.summary["answers"]
    assert found.summary["answers"] == {
        "yes": list(answers["yes"]), "no": list(answers["no"]), "dropped": answers["dropped"],
    }  # fmt: skip
    assert found.summary["total"] == n_asked - (form != "echo")


def test_log_odds_are_of_the_whole_candidate_and_finite_where_a_server_rounds() -> None:
    def certain(text: str) -> list[tuple[str, float | None]]:
        return [(token, logprob and 0.0) for token, logprob in words(text)]

    with server_of(lambda text: [(token, logprob and -math.log(2)) for token, logprob in words(text)]) as server:
        (row,) = score_served_generator(scorer_of(server.url), [GeneratorItem("a b", "c d")]).table.to_dict("records")
    # p = 1/4 of two tokens, 1/2 of the first.
    assert row == {
        **{"tokens": 2, "logprob": pytest.approx(math.log(1 / 4)), "log_odds": pytest.approx(math.log(1 / 3))},
        **{"logprob_first": pytest.approx(math.log(1 / 2)), "log_odds_first": pytest.approx(0, abs=1e-12)},
    }
    with server_of(certain) as server:
        sure = score_served_generator(scorer_of(server.url), [GeneratorItem("a b", "c")]).table
    assert sure["logprob"].item() == 0
    assert sure["log_odds"].item() == pytest.approx(25 * math.log(2), abs=1e-6)


def test_a_token_of_prompt_and_candidate_is_one_line() -> None:
    prompts = micro_prompts().iloc[:1]
    with server_of(lambda text: [(text[:4], None), (text[4:], -1.0)]) as server:
        with pytest.raises(
            InputError, match="candidate 'a cherry.': its first token merges with the prompt's last; end"
        ):
            served_candidates(scorer_of(server.url), prompts)
        with pytest.raises(
            InputError, match="candidate 'c': the candidate's first token merges with the prompt's last"
        ):
            score_served_generator(scorer_of(server.url), [GeneratorItem("abcdefg", "c")])


def test_candidates_without_a_space_begin_behind_the_tokens_of_the_prompt_alone() -> None:
    """Of parts of characters in a row nobody says which are the prompt's, and which the candidate's."""
    prompts = micro_prompts().iloc[:1].assign(prompt="着", language="zh", concept_language="zh")
    candidates = pd.DataFrame({"slot": prompts["slot"], "candidate": ["棉"]})
    part = "\ufffd"
    said = {"着": [(part, None), (part, -2.0), (part, -3.0)]}
    said["着棉。"] = [*said["着"], (part, -4.0), (part, -5.0), ("。", -6.0)]
    settings = {"template": "{prompt}", "system": None}
    with server_of(said.__getitem__) as server:
        scored = score_served_prompts(scorer_of(server.url), {"m": prompts}, {"m": candidates}, "m", {"m": settings})
        assert scored["m"].table["logprob"].tolist() == [-15.0]
        assert sorted(server.texts) == ["着", "着棉。"]
    said["着棉。"] = [*said["着"][:2], (part, -9.0), (part, -4.0), ("。", -6.0)]
    with (
        server_of(said.__getitem__) as server,
        pytest.raises(InputError, match="allowed: `logprobs: false` for a prompt set in this"),
    ):
        score_served_prompts(scorer_of(server.url), {"m": prompts}, {"m": candidates}, "m", {"m": settings})


# What an answer says.


@pytest.mark.parametrize(
    ("text", "given", "ends", "logprobs"),
    [
        ("a bc", [("a", None), (" bc", -1.0)], [1, 4], [None, -1.0]),
        # A server's own beginning, named or not, of one token or two.
        ("a bc", [("<s>", None), ("a", -2.0), (" bc", -1.0)], [1, 4], [-2.0, -1.0]),
        ("a bc", [(None, None), ("a", -2.0), (" bc", -1.0)], [1, 4], [-2.0, -1.0]),
        ("a bc", [("<g>", None), ("<s>", -9.0), ("a", -2.0), (" bc", -1.0)], [1, 4], [-2.0, -1.0]),
        # The first of the text's own is not said.
        ("a bc", [(None, None), (" bc", -1.0)], [1, 4], [None, -1.0]),
        # Some say no space before a word.
        ("a bc", [("a", -2.0), ("bc", -1.0)], [1, 4], [-2.0, -1.0]),
        ("a  bc", [("a", -2.0), (" ", -3.0), (" bc", -1.0)], [1, 2, 5], [-2.0, -3.0, -1.0]),
        # A character of two tokens, and one of three, which some say to be nothing until the last.
        ("é b", [("\ufffd", None), ("\ufffd", -2.0), (" b", -1.0)], [0, 1, 3], [None, -2.0, -1.0]),
        ("a—", [("a", None), ("", -3.0), ("", -2.0), ("—", -1.0)], [1, 1, 1, 2], [None, -3.0, -2.0, -1.0]),
        # Two of one byte each after a whole one, and parts of two characters in a row, with a beginning or without.
        (
            "中国人",
            [("中", None), ("\ufffd", -2.0), ("\ufffd", -3.0), ("人", -4.0)],
            [1, 1, 2, 3],
            [None, -2.0, -3.0, -4.0],
        ),
        ("Он", [(None, None), ("О", -1.0), ("\ufffd", -2.0), ("\ufffd", -3.0)], [1, 1, 2], [-1.0, -2.0, -3.0]),
        (
            "着棉。",
            [("\ufffd", -1.0), ("\ufffd", -2.0), ("\ufffd", -3.0), ("\ufffd", -4.0), ("。", -5.0)],
            [0, 1, 1, 2, 3],
            [-1.0, -2.0, -3.0, -4.0, -5.0],
        ),
        ("纺。", [("bytes:\\xe7\\xba", None), ("bytes:\\xba", -1.0), ("。", -2.0)], [0, 1, 2], [None, -1.0, -2.0]),
        # Rounding above 0.
        ("a bc", [("a", None), (" bc", 1e-4)], [1, 4], [None, 0.0]),
    ],
)
def test_tokens_are_laid_along_a_text(
    text: str, given: list[Any], ends: list[int], logprobs: list[float | None]
) -> None:
    assert lay_along(text, given) == TokenLogprobs(ends, logprobs)


@pytest.mark.parametrize(
    "given",
    [
        [("a", None), (" b", -1.0)],
        [("a", None), (" bcd", -1.0)],
        [("a", None), (" Bc", -1.0)],
        [("x", None), ("y", -1.0), ("z", -1.0), ("a", -1.0), (" bc", -1.0)],
        [],
    ],
)
def test_tokens_of_another_text_are_known(given: list[Any]) -> None:
    assert isinstance(lay_along("a bc", given), OtherText)


def test_tokens_that_do_not_make_up_a_long_text_are_known_at_once() -> None:
    emoji = [(" \ufffd", -1.0), ("\ufffd", -1.0)] * 500
    assert isinstance(lay_along("an end" + " \U0001f600" * 500 + "!", [("an end", None), *emoji]), OtherText)


@pytest.mark.parametrize("value", [None, True, "-1", float("nan"), float("-inf"), -(10**400), 0.01, [1]])
def test_what_is_no_log_probability_is_known(value: Any) -> None:
    assert isinstance(lay_along("a b", [("a", -1.0), (" b", value)]), Malformed)


def test_what_goes_on_from_a_character_is_told_from_what_runs_across_it() -> None:
    tokens = TokenLogprobs([1, 4, 4, 6], [None, -1.0, -2.0, -4.0])
    assert continuation("a bcde", tokens, 1) == [-1.0, -2.0, -4.0]
    assert continuation("a bcde", tokens, 4) == [-2.0, -4.0]
    assert continuation("a bcde", tokens, 6) == []
    assert continuation("a bcde", tokens, 2) is None
    with pytest.raises(InputError, match="no log-probability of its first token"):
        continuation("a bcde", tokens, 0)


# What is asked, kept and paid.

TEXTS = ["one red", "two red", "three red", "four red", "five red", "six reds"]


def test_a_request_asks_for_the_text_and_one_token_more() -> None:
    with server_of() as server:
        server_asked = LanguageServer(server.url, PATH, "tiny")
        TextScorer(server_asked, Budget(None, None, "mine"), "mine", extra_body={"route": "a"}).score(["a b"])
        assert server.requests == [
            {"model": "tiny", "prompt": "a b", "max_tokens": 1, "temperature": 1.0, "route": "a", "echo": True,
             "logprobs": 1},
        ]  # fmt: skip


def test_the_way_is_found_out_once() -> None:
    with server_of(form="prompt_logprobs") as server:
        scorer_of(server.url).score(TEXTS)
        assert [asked["prompt"] for asked in server.requests if "echo" in asked] == ["one red"]
        assert sum("prompt_logprobs" in asked for asked in server.requests) == len(TEXTS)

    def picky(answer: dict[str, Any], asked: dict[str, Any]) -> Reply | None:
        return Reply(400, error("unknown")) if "echo" in asked or asked["prompt_logprobs"] == 0 else None

    with server_of(form="prompt_logprobs", alters=picky) as server:
        scorer_of(server.url).score(TEXTS)
        assert [asked.get("prompt_logprobs") for asked in server.requests] == [None, 0, *[1] * len(TEXTS)]


@pytest.mark.parametrize(
    "said", [{"tokens": ["Written"], "token_logprobs": [-0.5], "text_offset": [0]}, {"content": [{"token": "Written"}]}]
)
def test_log_probabilities_of_what_was_written_are_none_of_the_text(said: dict[str, Any]) -> None:
    """As of servers that heed `logprobs`, and pass over `echo`."""

    def of_written(answer: dict[str, Any], asked: dict[str, Any]) -> None:
        if "echo" in asked:
            answer["choices"][0]["logprobs"] = said

    with server_of(form="none", alters=of_written) as server, pytest.raises(InputError, match="gives no log-prob"):
        scorer_of(server.url).score(TEXTS)
    with server_of(form="prompt_logprobs", alters=of_written) as server:
        assert scorer_of(server.url).score(["one red"])[0].logprobs == [None, -4.0]


@pytest.mark.parametrize("refuses", [True, False])
def test_a_server_without_log_probabilities_is_one_line_that_says_what_it_can_do(refuses: bool) -> None:
    def refusing(answer: dict[str, Any], asked: dict[str, Any]) -> Reply | None:
        return Reply(400, error("echo is not supported")) if refuses else None

    said = r"^models.mine.logprobs: got a server that gives no log-probabilities.*allowed: `logprobs: false`.* alone"
    with server_of(form="none", alters=refusing) as server:
        with pytest.raises(InputError, match=said) as caught:
            scorer_of(server.url).score(TEXTS)
        assert len(server.requests) == 3
    assert ("status 400 echo is not supported" in str(caught.value)) == refuses
    assert "\n" not in str(caught.value)


def test_an_edited_prompt_alone_is_asked_about_again(tmp_path: Path) -> None:
    prompts = micro_prompts()
    with server_of() as server:
        before = served_candidates(scorer_of(server.url, tmp_path), prompts)
        assert len(server.requests) == before.summary["computed"] == len(before.table)
        server.requests.clear()
        edited = prompts.copy()
        edited.loc[1, "prompt"] = "The bag is very red. The fruit is"
        after = served_candidates(scorer_of(server.url, tmp_path), edited)
        assert sorted(server.texts) == sorted(
            f"The bag is very red. The fruit is {fruit}." for fruit in ("a cherry", "a lime", "a plum")
        )
        assert after.summary["computed"] == 3
        # The same text is another one to another model, and under another address.
        server.requests.clear()
        scorer_of(server.url.replace("127.0.0.1", "localhost"), tmp_path).score(["The fruit is a lime."])
        assert len(server.requests) == 1


def _holds(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_killed_run_asks_nothing_twice(tmp_path: Path) -> None:
    waiting = threading.Event()

    def until_five(answer: dict[str, Any], asked: dict[str, Any]) -> Reply | None:
        if len(server.requests) > 5:
            waiting.set()
            return Reply(hang=True)
        return None

    program = (
        "import sys; sys.path[:0] = sys.argv[4:]\n"
        "from pathlib import Path\n"
        "from leakscope.web.scoring import PATH, Budget, LanguageServer, TextScorer\n"
        "server = LanguageServer(sys.argv[1], PATH, 'tiny', concurrency=1)\n"
        "scorer = TextScorer(server, Budget(None, None, 'mine'), 'mine', store=Path(sys.argv[2]))\n"
        "scorer.score(sys.argv[3].split('|'))\n"
    )
    with server_of(alters=until_five) as server:
        command = [sys.executable, "-c", program, server.url, str(tmp_path), "|".join(TEXTS), *sys.path]
        with subprocess.Popen(command) as job:
            assert waiting.wait(timeout=60)
            until = time.monotonic() + 60
            while not _holds(tmp_path, b"five red") and time.monotonic() < until:
                time.sleep(0.02)
            job.send_signal(signal.SIGKILL)
        assert server.texts == TEXTS
        server.alters = lambda answer, asked: None
        server.requests.clear()
        scores = scorer_of(server.url, tmp_path).score(TEXTS)
        assert server.texts == ["six reds"]
    assert [score.logprobs for score in scores] == [[None, -4.0]] * 5 + [[None, -5.0]]


def _logprobs(answer: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = answer["choices"][0]["logprobs"]
    return said


def _without(key: str) -> Any:
    return lambda answer: _logprobs(answer).pop(key)


def _with(key: str, place: int, value: Any) -> Any:
    return lambda answer: _logprobs(answer)[key].__setitem__(place, value)


@pytest.mark.parametrize(
    ("spoils", "said"),
    [
        (lambda answer: answer["choices"][0].update(logprobs=None), "an answer without log-probabilities"),
        (lambda answer: answer["choices"][0].update(logprobs=[1]), "without `tokens`"),
        (lambda answer: answer.update(choices=[]), "an answer without log-probabilities"),
        (_without("tokens"), "without `tokens`"),
        (_without("token_logprobs"), "without `tokens` and `token_logprobs`"),
        (lambda answer: _logprobs(answer)["token_logprobs"].pop(), "3 tokens, 2 token_logprobs, 3 text_offset"),
        (lambda answer: _logprobs(answer)["text_offset"].pop(), "3 tokens, 3 token_logprobs, 2 text_offset"),
        (_with("tokens", 1, 7), "a token that is no text"),
        (_with("token_logprobs", 1, None), "a null log-probability of a token that is not the first"),
        (_with("token_logprobs", 1, "low"), "the log-probability 'low', which is not a finite number"),
        (_with("token_logprobs", 1, True), "the log-probability 'True', which is not a finite number"),
        (_with("token_logprobs", 1, 0.002), "the log-probability 0.002, which is above 0"),
        (_with("token_logprobs", 1, -math.inf), "the log-probability '-inf', which is not a finite number"),
    ],
)
def test_malformed_log_probabilities_are_asked_for_again_and_then_one_line(spoils: Any, said: str) -> None:
    n_left = 1

    def once(answer: dict[str, Any], asked: dict[str, Any]) -> None:
        nonlocal n_left
        if asked["prompt"] == "two reds" and n_left:
            n_left -= 1
            spoils(answer)

    with server_of(alters=once) as server:
        assert scorer_of(server.url).score(["one red", "two reds"])[1].logprobs == [None, -5.0]
        assert server.texts == ["one red", "two reds", "two reds"]
        n_left = 9
        with pytest.raises(InputError, match="gave no answer in 3 attempts") as caught:
            scorer_of(server.url, attempts=3).score(["one red", "two reds"])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tokens_of_another_text_are_one_line() -> None:
    with server_of(lambda text: words(text.upper())) as server, pytest.raises(InputError) as caught:
        scorer_of(server.url).score(["one red"])
    found = "got the tokens 'ONE REDWritten' for the text 'one red'"
    assert (
        str(caught.value)
        == f"{server.url}/v1/completions: {found}; allowed: tokens that make up the text that was sent."
    )


def test_a_failure_is_asked_again_and_a_refusal_is_one_line() -> None:
    slept: list[float] = []
    failures = [Reply(429, error("slow"), (("Retry-After", "7"),)), Reply(500, "oh"), Reply(drop=True)]
    with server_of(words, *failures) as server:
        scorer_of(server.url, sleep=slept.append).score(TEXTS[:1])
        assert len(server.requests) == 4

    def too_long(answer: dict[str, Any], asked: dict[str, Any]) -> Reply | None:
        return Reply(400, error("too long")) if asked["prompt"] == "six reds" else None

    assert slept == [7.0, 2.0, 4.0]
    with server_of(alters=too_long) as server, pytest.raises(InputError, match="refuses the text 'six reds'") as caught:
        scorer_of(server.url).score(TEXTS)
    assert "status 400 too long" in str(caught.value)


def test_costs_are_those_that_the_server_counted(tmp_path: Path) -> None:
    prompts = micro_prompts()
    with server_of() as server:
        scorer = scorer_of(server.url, tmp_path, budget=(PRICES, 1.0))
        found = served_candidates(scorer, prompts)
        counted = PRICES.cost(server.read, len(server.requests))
        assert found.summary["tokens"] == {"input": server.read, "output": len(server.requests)}
        assert found.summary["requests"] == len(server.requests)
        assert found.summary["cost"] == pytest.approx(counted, rel=0.01)
        assert scorer.budget.spent == pytest.approx(counted)
        again = scorer_of(server.url, tmp_path, budget=(PRICES, 1.0))
        assert served_candidates(again, prompts).summary["cost"] == found.summary["cost"]
        assert again.budget.spent == pytest.approx(counted)
        n_asked = len(server.requests)
        # What is stored was paid for: with no more to spend, nothing is asked.
        spent = scorer_of(server.url, tmp_path, budget=(PRICES, counted))
        served_candidates(spent, prompts)
        with pytest.raises(InputError, match=r"mine: max_cost: .* is spent.*: raise `max_cost` to go on"):
            spent.score(TEXTS)
        assert len(server.requests) == n_asked


def test_a_text_of_two_sets_counts_for_the_first(tmp_path: Path) -> None:
    sets = {"micro": micro_prompts(), "again": micro_prompts().iloc[:3].assign(prompt_set="again")}
    with server_of() as server:
        both = {name: micro_candidates() for name in sets}
        found = score_served_prompts(scorer_of(server.url), sets, both, "mine", dict.fromkeys(sets, SETTINGS))
        assert len(server.requests) == found["micro"].summary["requests"]
    assert found["again"].summary["requests"] == found["again"].summary["computed"] == 0
    assert len(found["again"].table) == found["again"].summary["total"] == 9


def _refuse(lock: Any) -> None:
    raise NotImplementedError("no locks here")


def test_jobs_of_a_model_share_what_it_may_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_KEY", "s3cret-key-of-mine")
    for kind, tokens in (("generations", [1000, 10]), ("ground/scores", [500, 0]), ("candidates", [None, None])):
        folder = tmp_path / "results" / kind / "mine"
        folder.mkdir(parents=True)
        summary = {"tokens": dict(zip(("input", "output"), tokens, strict=True))}
        (folder / "set.json").write_text(json.dumps(summary), encoding="utf-8")
    asking: dict[str, Any] = {
        "requests": {"key_variable": "MINE_KEY"},
        "prices": PRICES._asdict(),
        "max_cost": 1.0,
        "results": str(tmp_path / "results"),
    }
    with server_of(key="s3cret-key-of-mine") as server:
        with monkeypatch.context() as without_locks:
            # Some file systems have no locks: it is asked all the same.
            without_locks.setattr("leakscope.storage.store.FileLock.acquire", _refuse)
            with open_budget("mine", asking, tmp_path / "store") as budget:
                assert budget.most == 1
        entry = {"base_url": server.url, "model": "tiny", "extra_body": {}}
        with open_scorer("mine", entry, asking, tmp_path / "store") as scorer:
            assert scorer.budget.spent == pytest.approx(PRICES.cost(1500, 10))
            scorer.score(["one s3cret-key-of-other"])
            assert server.keys == ["Bearer s3cret-key-of-mine"]
    assert not _holds(tmp_path, b"s3cret-key-of-mine")


# In a study.

SUBJECTS, GROUPS = ("gout", "flu", "pox"), ("torin", "lirac")
FORMS = {
    "description": "For tests.",
    "generators": [{"id": "kind", "text": "{question} are a kind of", "negated": "{question} are not a kind of"}],
    "validators": [{"id": "ask", "text": "Are {question} a kind of {candidate}? Answer:"}],
    "styles": [
        {"id": "chat", "shots": 0, "chat": True, "template": "{prompt}"},
        {"id": "plain", "shots": 0, "chat": False, "template": "{prompt}"},
    ],
}
ITEMS = ["robins,bird,yes", "robins,fish,no", "eels,bird,no", "eels,fish,yes", "pears,fruit,yes", "pears,bird,no"]


def drawn(text: str) -> list[tuple[str, float | None]]:
    """Return words after a beginning, each with a log-probability that all before it decides."""
    parts = re.findall(r"\s?\S+|\s", text)
    after = ["".join(parts[: place + 1]) for place in range(len(parts))]
    logprobs = [-0.01 - zlib.crc32(each.encode()) % 1000 / 200 for each in after]
    return [("<s>", None), *zip(parts, logprobs, strict=True)]


def bring_tables(workspace: Workspace) -> None:
    """Write counts, lexicons and templates of an axis, and items and forms of a task."""
    mine = workspace.folder / "data/mine"
    mine.mkdir(parents=True)
    for name, terms in (("subjects", SUBJECTS), ("groups", GROUPS)):
        rows = [f"{term},{term.title()}," for term in terms]
        (mine / f"{name}.csv").write_text("\n".join(["id,name,variants", *rows]) + "\n")
    counts = [f"{subject},{group},{n + 1}" for subject in SUBJECTS for n, group in enumerate(GROUPS)]
    (mine / "counts.csv").write_text("\n".join(["subject,group,count", *counts]) + "\n")
    templates = [{"id": "has", "text": "The {group} man has {subject}."}]
    workspace.write("data/mine/templates/en.yaml", {"language": "en", "templates": templates})
    (mine / "items.csv").write_text("\n".join(["noun1,noun2,taxonomic", *ITEMS]) + "\n")
    workspace.write("data/mine/forms.yaml", FORMS)


@pytest.mark.workflow
def test_a_study_measures_log_probabilities_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In three steps, each of which asks for its own."""
    monkeypatch.setenv("MINE_KEY", "s3cret-key-of-mine")
    micro = Workspace(tmp_path / "checkout")
    bring_tables(micro)
    lexicons = {"subjects": "data/mine/subjects.csv", "groups": "data/mine/groups.csv"}
    axis = {
        "lexicons": lexicons,
        "templates": "data/mine/templates",
        "counts": {"source": "table", "path": "data/mine/counts.csv"},
    }
    task = {"reader": "pairs", "path": "data/mine/items.csv", "forms": "data/mine/forms.yaml"}
    with server_of(drawn, key="s3cret-key-of-mine") as server:
        entry = {"source": "endpoint", "base_url": server.url, "model": "tiny", "api": "completions", "logprobs": True}
        micro.study["models"]["mine"] = {
            **entry, "key_variable": "MINE_KEY", "prices": PRICES._asdict(), "max_cost": 1, "generation": {"samples": 1}
        }  # fmt: skip
        micro.study["study"] |= {"models": ["mine"], "scorers": ["lexical"], "steps": ["leak", "ground", "validate"]}
        micro.study["ground"] = {"axes": {"ills": axis}, "templates_used": 1}
        micro.study["validate"] = {"tasks": {"kinds": task}}
        results = micro.folder / "results/micro"
        tables = ["logit_leak", "ground/kendall_tau", "validate/correlations", "validate/accuracy"]
        n_texts, expected_most = _texts_alone(micro, server)
        micro.run("--cores", "2", *(f"results/micro/{name}.csv" for name in tables))
        asked = len(server.requests)
        # Texts were asked for already; no text is scored twice, whichever steps want it.
        assert len(set(server.texts[n_texts:])) == asked - n_texts
        # Of yes and no eight of ten spellings are no token of their own after the first item, and not asked of others.
        assert 0 <= expected_most - (asked - n_texts) <= 10 * len(ITEMS) + 9
        counted = PRICES.cost(server.read, asked)
    leaks = pd.read_csv(results / "logit_leak.csv")
    assert set(leaks["model"]) == {"mine"}
    assert leaks["log_odds_shift"].notna().all()
    scores = pd.read_parquet(results / "ground/scores/mine/ills.parquet")
    expected = [sum(logprob or 0 for _, logprob in drawn(f"The {row.group.title()} man has {row.subject.title()}."))
                for row in scores.itertuples()]  # fmt: skip
    assert scores["logprob"].to_numpy() == pytest.approx(expected, abs=1e-4)
    assert pd.read_csv(results / "ground/kendall_tau.csv")["tau"].notna().any()
    items = pd.read_parquet(results / "validate/scores/mine/kinds.parquet")
    assert set(items["style"]) == {"plain"}
    assert len(items) == 3 * len(ITEMS)
    assert set(pd.read_csv(results / "validate/correlations.csv")["form"]) == {"plain/kind/ask"}
    assert set(pd.read_csv(results / "validate/accuracy.csv")["model"]) == {"mine"}
    summaries = [json.loads(path.read_text()) for path in results.glob("**/mine/*.json")]
    assert len(summaries) == 4
    assert sum(summary["cost"] for summary in summaries) == pytest.approx(counted, rel=0.01)
    # No key is in anything that was written.
    files = [path for folder in ("results", ".snakemake") for path in (micro.folder / folder).rglob("*")]
    assert not [path for path in files if path.is_file() and b"s3cret-key" in path.read_bytes()]


def _texts_alone(micro: Workspace, server: ScoringEndpoint) -> tuple[int, int]:
    """Have the texts written, and return how many requests that took, and how many more log-probabilities may take."""
    printed = micro.run("--cores", "1", "results/micro/generations/mine/micro.csv").stdout
    assert not [asked for asked in server.requests if "echo" in asked or "prompt_logprobs" in asked]
    said = re.search(r"mine: log-probabilities take (\d+) requests, about .* at a cost of at most about", printed)
    assert said is not None
    return len(server.requests), int(said[1])
