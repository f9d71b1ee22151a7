"""What is hidden, in which spellings, and what is left as it is; and where a study may not put a secret."""

from __future__ import annotations

import base64
import html
import json
import logging
import sys
import threading
import time
import traceback
import weakref
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from leakscope.errors import InputError
from leakscope.jobs import job, redaction
from leakscope.jobs.redaction import hide, hide_in, hide_key, is_secret_name
from leakscope.typed.wording import show
from leakscope.web.servers import BY_VARIABLE, check_address, read_key

KEY = 's3cr"et/+ k&y=<1>\\'


@pytest.mark.parametrize(
    "spelt",
    [
        KEY,
        KEY.upper(),
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        quote_plus(KEY),
        quote(quote(KEY)),
        json.dumps(KEY)[1:-1],
        json.dumps(json.dumps(KEY))[3:-3],
        "".join(f"\\u{ord(character):04x}" for character in KEY),
        "".join(f"&#{ord(character)};" for character in KEY),
        html.escape(KEY),
        html.escape(html.escape(KEY)),
        quote(json.dumps(KEY)[1:-1]),
        quote(html.escape(KEY)),
        base64.b64encode(KEY.encode()).decode(),
        base64.urlsafe_b64encode(KEY.encode()).decode(),
        KEY.encode().hex(),
    ],
)
def test_a_key_is_hidden_in_every_spelling(spelt: str) -> None:
    assert hide_key(f"({spelt})", KEY) == "(***)"


@pytest.mark.parametrize(("before", "left"), [("u:", "dT***"), ("us:", "dXM6***"), ("user:", "dXNlcj***")])
def test_a_key_is_hidden_behind_a_name_in_base64(before: str, left: str) -> None:
    # "u:" is dT and four bits of the next character, which goes with the key; "us:" is dXM6.
    assert hide_key(base64.b64encode(f"{before}{KEY}".encode()).decode(), KEY) == left


def test_a_long_key_is_hidden_to_its_end() -> None:
    key = "".join(f"{number:03d}." for number in range(500))
    assert hide_key(f"{key}; {key}", key) == "***; ***"


def test_a_placeholder_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    assert hide("EMPTY lists") == hide_key("EMPTY lists", "EMPTY") == "EMPTY lists"


def test_the_environments_tokens_are_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "HF_TOKEN": "abcdef-1\n",
        "HUGGING_FACE_HUB_TOKEN": "abcdef-2",
        "MY_API_KEY": "abcdef-3",
        "KEYS": "abcdef",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert hide("abcdef-1 abcdef-2 abcdef-3 abcdef") == "*** *** *** abcdef"
    monkeypatch.setenv("MINE", "ghijkl")
    assert hide("ghijkl") == "ghijkl"
    read_key("MINE")
    assert hide("ghijkl") == "***"


def test_of_two_secrets_the_longer_is_hidden_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "abcdef")
    monkeypatch.setenv("MY_API_KEY", "abcdefghij")
    assert hide("abcdefghij") == "***"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("http://user:pw@host/v1", "http://***@host/v1"),
        ("https://token@host", "https://***@host"),
        ("http://user:p@ss@host", "http://***@host"),
        ("http://user:p/w@host", "http://***@host"),
        ("user:pw@host:8000", "***@host:8000"),
        ("redis://:pw@host", "redis://***@host"),
        ("http://h?a=1&api_key=x&b=2", "http://h?a=1&api_key=***&b=2"),
        ("http://h?X-Amz-Signature=x#access_token=y", "http://h?X-Amz-Signature=***#access_token=***"),
        (f"sent hf_{'aB3' * 12}.", "sent ***."),
        (f"sent sk-proj-{'aB3_' * 12}.", "sent ***."),
        ('["Authorization: Token x"] ', '["Authorization: ***"] '),
        (r"{\"Authorization\": \"Token x\"}", r"{\"Authorization\": \"***\"}"),
        ('{"authorization": "x, y"}', '{"authorization": "***, y"}'),
        ("sent Bearer s3cret; allowed: a", "sent Bearer ***; allowed: a"),
        ("sent Basic dTpwYXNz1A==, bearer  s3cret", "sent Basic ***, bearer ***"),
        # No secrets.
        ("basic words", "basic words"),
        ("Basic English, bearer of bad news", "Basic English, bearer of bad news"),
        ("https://x.org:8080/a@b", "https://x.org:8080/a@b"),
        ("https://x.org/@scope/x", "https://x.org/@scope/x"),
        ("git@host.org:owner/x.git", "git@host.org:owner/x.git"),
        ("at 12:30 to me@x.org", "at 12:30 to me@x.org"),
        ("Write:hello@bar.com now", "Write:hello@bar.com now"),
        ("/data/run:v2@2024/x.csv", "/data/run:v2@2024/x.csv"),
        ("data/set;key=a/x.csv: no such file", "data/set;key=a/x.csv: no such file"),
        ("results/sk-wikipedia-2020", "results/sk-wikipedia-2020"),
        ("?max_tokens=3&monkey=1", "?max_tokens=3&monkey=1"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, hidden: str) -> None:
    assert hide(text) == hidden
    assert hide(hidden) == hidden


def test_hiding_takes_no_longer_than_reading() -> None:
    began = time.monotonic()
    for unit in (
        "://a:b",
        "a@:",
        "?key=",
        "a:",
        "user:pw@",
        "A/+",
        "%73",
        "\\",
        "%5c",
        "&amp;",
        "Bearer ",
        "authorization: ",
    ):
        hide(unit * 30_000 + "@")
        hide_key(unit * 30_000, KEY)
    assert time.monotonic() - began < 5


def test_names_of_secrets() -> None:
    secret = ["api_key", "key", "Authorization", "hf-token", "client_secret", "password", "X-Amz-Credential"]
    secret += ["bearer", "pass", "db_passphrase", "jwt", "Set-Cookie"]
    assert all(map(is_secret_name, secret))
    assert not any(map(is_secret_name, ["tokens", "max_tokens", "keys", "tokenizer", "keyword", "author"]))
    assert hide_in({"a": [{"api_key": "x", "b": 1}]}) == {"a": [{"api_key": "***", "b": 1}]}


def test_an_error_hides_and_what_is_shown_of_a_value_is_hidden_before_it_is_cut() -> None:
    assert str(InputError("x: got 'http://u:p@h'.")) == "x: got 'http://***@h'."
    assert show({"api_key": "x", "base_url": "http://u:p@h"}) == '{"api_key": "***", "base_url": "http://***@h"}'
    assert show("y" * 38 + " http://user:" + "p" * 30 + "@h") == repr("y" * 38 + " http://***@h")
    assert show("x", "api_key") == show("x", "key_variable") == "***"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://user:pw@host/v1", "x: got an address with a user or password before @; allowed: one without; name"),
        ("http://pw@host", "x: got an address with a user or password before @"),
        ("http://user:p/w@host", "x: got an address with a user or password before @"),
        ("http://user:12/34pw@host/v1", "x: got an address with a user or password before @"),
        ("http://user%3Apw%40h/", "x: got an address with a user or password before @"),
        ("http://user:pw\uff20h/", "x: got an address with a user or password before @"),
        (
            "http://h/v1;api_key=pw",
            "x: got an address with a part after '?', '#' or ';'; allowed: one without; name the",
        ),
        ("http://h/v1%3Fapi_key=pw", "x: got an address with a part after '?', '#' or ';'"),
        ("http://h/v1%253bpw", "x: got an address with a part after '?', '#' or ';'"),
        ("http://h/api%5Fkey=pw/v1", "x: got an address with a key in its path; allowed: one without; name the"),
        ("http://user:p w@host", "x: got an address with a user or password before @"),
        ("user:pw@host", "x: got an address with a user or password before @"),
        (
            "http://host/v1?api_key=pw",
            "x: got an address with a part after '?', '#' or ';'; allowed: one without; name the",
        ),
        ("http://host/v1?k=pw", "x: got an address with a part after '?', '#' or ';'"),
        ("http://host/v1#pw", "x: got an address with a part after '?', '#' or ';'"),
        ("http://ho st", "x: got the address 'http://ho st'; allowed: http://... or https://..."),
        ("http://host:99999", "x: got the address 'http://host:99999'"),
        ("http://host\n/", r"x: got the address 'http://host\n/'"),
        ("ftp://host", "x: got the address"),
        ("http://", "x: got the address"),
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(url: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_address(url, "x", BY_VARIABLE)
    assert str(caught.value).startswith(message)
    assert "pw" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000/v1", "HTTPS://api.x.org", "http://[::1]:80/a", "http://münchen.de", "http://h/model=a"],
)
def test_an_address_without_one_is_taken(url: str) -> None:
    check_address(url, "x")


@pytest.mark.parametrize("value", ["s3cret-key\n", "\r\n s3cret-key\t\n"])
def test_a_key_keeps_no_line_break_of_a_file(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE", value)
    assert read_key("JUDGE") == "s3cret-key"
    monkeypatch.delenv("JUDGE")
    assert read_key("JUDGE") == ""


@pytest.mark.parametrize("value", ["s3cret\nkey", "s3cret\x1bkey", "s3crèt", "ключ", "s3cret\udcffkey", "s3cret\u200b"])
def test_a_key_that_cannot_be_sent_is_refused_by_its_variables_name(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE", value)
    with pytest.raises(InputError) as caught:
        read_key("JUDGE")
    message = "the environment variable JUDGE: got a line break, a control character or a letter that is not ASCII; "
    assert str(caught.value) == f"{message}allowed: only the key, on one line."


def test_every_logger_handler_and_traceback_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret-key")
    other = logging.StreamHandler(sys.stdout)
    library = logging.getLogger("some_library")
    library.addHandler(other)
    library.propagate = False
    log = tmp_path / "log"
    with pytest.raises(KeyError), job.job(str(log)):  # noqa: PT012
        logging.getLogger("a").warning("%s and %d", "s3cret-key", 3)
        logging.getLogger("a").warning("s3cret-key %")
        library.error("it said s3cret-key", stack_info=True)
        logging.getLogger("httpx2").info("POST http://host")
        {}["s3cret-key"]
    assert "*** and 3" in log.read_text()
    assert "KeyError: '***'" in log.read_text()
    assert "POST" not in log.read_text()
    try:
        {}["s3cret-key"]
    except KeyError:
        sys.excepthook(*sys.exc_info())
        assert "s3cret-key" in traceback.format_exc()
    shown = capsys.readouterr()
    assert "it said ***" in shown.out
    assert "KeyError: '***'" in shown.err
    assert "s3cret-key" not in log.read_text() + shown.out + shown.err
    library.handlers.clear()


def test_what_is_raised_where_nobody_can_catch_it_is_hidden(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Closing:
        def __repr__(self) -> str:
            return "of s3cret-key"

        def __call__(self, _: object) -> None:
            raise KeyError("s3cret-key")

    monkeypatch.setenv("HF_TOKEN", "s3cret-key")
    for module, hook in ((sys, "unraisablehook"), (sys, "excepthook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    redaction.hide_in_logs()
    gone = Closing()
    watched = weakref.ref(gone, Closing())  # is called when what it refers to is gone
    del gone
    assert watched() is None
    shown = capsys.readouterr().err
    assert "of ***\nTraceback" in shown
    assert shown.endswith("KeyError: '***'\n")
    assert "s3cret-key" not in shown


def test_a_message_that_cannot_be_put_together_does_not_end_a_job(tmp_path: Path) -> None:
    with job.job(str(tmp_path / "log")):
        logging.getLogger("a").info("%d", "no number")
        logging.getLogger("a").info("goes on")
    assert "goes on" in (tmp_path / "log").read_text()


def test_the_process_of_snakemake_hides_too(root: Path) -> None:
    assert "\nhide_in_logs()\n" in (root / "rules/common.smk").read_text()
    redaction.hide_in_logs()
    record = logging.getLogger("snakemake").makeRecord("s", 20, "f", 1, "at http://u:p@h", (), None)
    assert record.msg == "at http://***@h"  # as its formatter reads it
