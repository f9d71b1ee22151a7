"""A server on the loopback that answers completions, of chats and of texts, as OpenAI-compatible servers do.

What it says, a function of the request decides: of its messages, or of all of it. Before it answers it can be told to
fail in each of the ways in which servers fail.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from transformers.utils.import_utils import is_serve_available

Answer = Callable[[str, str], "str | Reply"]
# From the whole request, with its `messages` or its `prompt`, and how many texts are wanted, to those.
Writes = Callable[[dict[str, Any], int], "Sequence[str | None | dict[str, Any]] | Reply"]
VERSION = "fp_1"
Served = TypeVar("Served", bound="LocalEndpoint")


class Reply(NamedTuple):
    """What is sent instead of an answer; ``hang`` sends nothing and keeps the connection, ``drop`` ends it."""

    status: int = 200
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    hang: bool = False
    drop: bool = False


def completion(text: str | None) -> str:
    """Return a chat completion as JSON."""
    message = {"role": "assistant", "content": text}
    return json.dumps({"object": "chat.completion", "choices": [{"index": 0, "message": message}]})


def written(asked: dict[str, Any], texts: Sequence[str | None | dict[str, Any]], usage: Any) -> str:
    """Return completions as JSON; a text may be a whole choice instead."""
    choices = []
    for index, text in enumerate(texts):
        content = {"message": {"role": "assistant", "content": text}} if "messages" in asked else {"text": text}
        choice = text if isinstance(text, dict) else {**content, "finish_reason": "stop"}
        choices.append({"index": index, **choice})
    said = {"model": asked["model"], "system_fingerprint": VERSION, "choices": choices}
    return json.dumps({**said, **({"usage": usage} if usage else {})})


def error(message: str) -> str:
    """Return an error as JSON."""
    return json.dumps({"error": {"message": message, "type": "invalid_request_error"}})


class LocalEndpoint:
    """A model named ``tiny``. ``failures`` are sent first, one a request; ``requests`` holds what was asked.

    ``most`` is the largest number of requests that were being answered at once.
    """

    def __init__(self, answer: Answer, failures: Sequence[Reply] = (), key: str | None = None) -> None:
        self.answer, self.failures, self.key = answer, list(failures), key
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.running = self.most = 0
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def reply(self, path: str, key: str | None, asked: dict[str, Any]) -> Reply:
        """Return what is sent, with the errors that such servers have."""
        with self.lock:
            self.requests.append(asked)
            self.paths.append(path)
            self.keys.append(key)
            failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            return failure
        if self.key is not None and key != f"Bearer {self.key}":
            return Reply(401, error(f"Incorrect API key provided: {key}"))
        if asked["model"] != "tiny":
            return Reply(404, error(f"The model {asked['model']} does not exist"))
        return self.answered(path, asked)

    def answered(self, path: str, asked: dict[str, Any]) -> Reply:
        """Return the answer to a request that is allowed."""
        if path != "/v1/chat/completions":
            return Reply(404, error("not found"))
        system, user = (message["content"] for message in asked["messages"])
        said = self.answer(system, user)
        return Reply(body=completion(said)) if isinstance(said, str) else said


class WritingEndpoint(LocalEndpoint):
    """A model that writes several texts of a prompt, counts tokens as words, and says what it has counted.

    Args:
        writes: the request and the number of texts that are wanted → these.
        several: whether `n` is heeded; otherwise one text is written, whatever it says.
        refuses: keys of requests that are refused with status 400.
        counts: whether it says what it counted.
    """

    def __init__(
        self,
        writes: Writes,
        failures: Sequence[Reply] = (),
        key: str | None = None,
        *,
        several: bool = True,
        refuses: Sequence[str] = (),
        counts: bool = True,
    ) -> None:
        self.writes, self.several, self.refuses, self.counts = writes, several, refuses, counts
        self.read = self.wrote = 0
        super().__init__(lambda system, user: "", failures, key)

    def answered(self, path: str, asked: dict[str, Any]) -> Reply:
        for name in self.refuses:
            if name in asked:
                return Reply(400, error(f"Unsupported parameter: '{name}' is not supported with this model."))
        if path != ("/v1/chat/completions" if "messages" in asked else "/v1/completions"):
            return Reply(404, error("not found"))
        texts = self.writes(asked, asked.get("n", 1) if self.several else 1)
        if isinstance(texts, Reply):
            return texts
        said = " ".join(one["content"] for one in asked["messages"]) if "messages" in asked else asked["prompt"]
        usage = {
            "prompt_tokens": len(said.split()),
            "completion_tokens": sum(len(text.split()) for text in texts if isinstance(text, str)),
        }
        with self.lock:
            self.read, self.wrote = self.read + usage["prompt_tokens"], self.wrote + usage["completion_tokens"]
        return Reply(body=written(asked, texts, usage if self.counts else None))


# Text → each of its tokens, and the log-probability of that after those before it.
Tokens = Callable[[str], "list[tuple[str, float | None]]"]


class ScoringEndpoint(LocalEndpoint):
    """A model that says how probable texts are, and writes ``Written`` as one token after them.

    Args:
        tokens: of a text.
        form: ``echo``, as OpenAI's completions, or ``prompt_logprobs``, as vLLM. What is asked for in the other one, or
            in any where it is ``none``, is passed over.
        alters: changes an answer, given the request.
    """

    def __init__(
        self,
        tokens: Tokens,
        failures: Sequence[Reply] = (),
        key: str | None = None,
        *,
        form: str = "echo",
        alters: Callable[[dict[str, Any], dict[str, Any]], Reply | None] = lambda answer, asked: None,
    ) -> None:
        self.tokens, self.form, self.alters = tokens, form, alters
        self.read = 0
        self.reading = threading.Lock()
        super().__init__(lambda system, user: "", failures, key)

    @property
    def texts(self) -> list[str]:
        """The texts that were asked for."""
        return [asked["prompt"] for asked in self.requests]

    def answered(self, path: str, asked: dict[str, Any]) -> Reply:
        if path != "/v1/completions":
            return Reply(404, error("not found"))
        with self.reading:
            read = self.tokens(asked["prompt"])
            self.read += len(read)
        choice: dict[str, Any] = {"index": 0, "text": "Written", "finish_reason": "length", "logprobs": None}
        if self.form == "echo" and asked.get("echo"):
            choice |= {"text": f"{asked['prompt']}Written", "logprobs": as_echo([*read, ("Written", -0.5)])}
        if self.form == "prompt_logprobs" and "prompt_logprobs" in asked:
            choice["prompt_logprobs"] = as_prompt_logprobs(read, asked["prompt_logprobs"])
        usage = {"prompt_tokens": len(read), "completion_tokens": 1}
        answer = {"model": "tiny", "system_fingerprint": VERSION, "choices": [choice], "usage": usage}
        return self.alters(answer, asked) or Reply(body=json.dumps(answer))


def as_echo(tokens: Sequence[tuple[str, float | None]]) -> dict[str, Any]:
    """Return tokens as ``logprobs`` of OpenAI's completions."""
    lengths = [len(token) for token, _ in tokens]
    offsets = [sum(lengths[:place]) for place in range(len(lengths))]
    said: dict[str, Any] = {"tokens": [token for token, _ in tokens], "text_offset": offsets}
    return {**said, "token_logprobs": [logprob for _, logprob in tokens], "top_logprobs": None}


def as_prompt_logprobs(tokens: Sequence[tuple[str, float | None]], others: int) -> list[dict[str, Any] | None]:
    """Return tokens as vLLM's ``prompt_logprobs``: nothing of the first, and after each so many others."""
    told: list[dict[str, Any] | None] = [None]
    for number, (token, logprob) in enumerate(tokens[1:]):
        said = {str(number): {"logprob": logprob, "rank": 2, "decoded_token": token}}
        more = {str(1000 + k): {"logprob": -0.1, "rank": 1, "decoded_token": "other"} for k in range(others)}
        told.append(said | more)
    return told


@contextmanager
def local_endpoint(answer: Answer, failures: Sequence[Reply] = (), key: str | None = None) -> Iterator[LocalEndpoint]:
    """Serve until the block ends."""
    with serving(LocalEndpoint(answer, failures, key)) as endpoint:
        yield endpoint


@contextmanager
def serving(endpoint: Served) -> Iterator[Served]:
    """Serve until the block ends."""
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.stop.set()
        endpoint.server.shutdown()
        endpoint.server.server_close()


@contextmanager
def transformers_serve(folder: Path) -> Iterator[str]:
    """Yield the address of ``transformers serve`` with the model in a folder, by whose path it calls it.

    It is not up yet: who asks first has to ask again.
    """
    if not is_serve_available():
        pytest.skip("transformers serve needs fastapi, uvicorn and openai, which are not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", folder, "--port", str(port)]
    options = ["--host", "127.0.0.1", "--device", "cpu"]
    with subprocess.Popen([*map(str, command), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            job.terminate()


def _handler(endpoint: LocalEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet: else each answer waits for an acknowledgement

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with endpoint.lock:
                endpoint.running += 1
                endpoint.most = max(endpoint.most, endpoint.running)
            try:
                reply = endpoint.reply(self.path, self.headers["Authorization"], asked)
            finally:
                with endpoint.lock:
                    endpoint.running -= 1
            if reply.hang or reply.drop:
                if reply.hang:
                    endpoint.stop.wait()
                self.close_connection = True
                return
            body = reply.body.encode()
            self.send_response(reply.status)
            for name, value in (*reply.headers, ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
