"""A server on the loopback that answers chat completions, as OpenAI-compatible servers do.

What it says, a function of the request decides. Before it answers it can be told to fail in each of the ways in which
servers fail.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Answer = Callable[[str, str], "str | Reply"]


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
        if path != "/v1/chat/completions":
            return Reply(404, error("not found"))
        if self.key is not None and key != f"Bearer {self.key}":
            return Reply(401, error(f"Incorrect API key provided: {key}"))
        if asked["model"] != "tiny":
            return Reply(404, error(f"The model {asked['model']} does not exist"))
        system, user = (message["content"] for message in asked["messages"])
        said = self.answer(system, user)
        return Reply(body=completion(said)) if isinstance(said, str) else said


@contextmanager
def local_endpoint(answer: Answer, failures: Sequence[Reply] = (), key: str | None = None) -> Iterator[LocalEndpoint]:
    """Serve until the block ends."""
    endpoint = LocalEndpoint(answer, failures, key)
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.stop.set()
        endpoint.server.shutdown()
        endpoint.server.server_close()


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
