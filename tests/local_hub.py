"""A model hub on the loopback, for the real client: it serves folders, and can be told not to answer."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """Models by id, each a folder. ``silent``: connections are taken and never answered, as when a network hangs."""

    def __init__(self, models: dict[str, Path], *, silent: bool = False) -> None:
        self.models, self.silent = models, silent
        self.requests: list[str] = []
        self.stop = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.environment = {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.server.server_port}",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }


@contextmanager
def local_hub(models: dict[str, Path], *, silent: bool = False) -> Iterator[LocalHub]:
    """Serve until the block ends; ``environment`` of what is yielded points a client to it."""
    hub = LocalHub(models, silent=silent)
    thread = threading.Thread(target=hub.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.stop.set()
        hub.server.shutdown()
        hub.server.server_close()


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *arguments: object) -> None:
            pass

        def _answer(self, *, with_body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            if hub.silent:
                hub.stop.wait()
                self.close_connection = True
                return
            status, body, headers = _resource(hub, self.path.partition("?")[0])
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    return Handler


def _resource(hub: LocalHub, path: str) -> tuple[int, bytes, dict[str, str]]:
    for model, folder in hub.models.items():
        files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        if path.startswith(f"/api/models/{model}/revision/"):
            found = {"id": model, "sha": COMMIT, "siblings": [{"rfilename": name} for name in sorted(files)]}
            return 200, json.dumps(found).encode(), {"Content-Type": "application/json"}
        if path.startswith(f"/api/models/{model}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": _etag(file)}
                for name, file in sorted(files.items())
            ]
            return 200, json.dumps(tree).encode(), {"Content-Type": "application/json"}
        name = path.removeprefix(f"/{model}/resolve/{COMMIT}/")
        if name in files:
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_etag(files[name])}"'}
            return 200, files[name].read_bytes(), headers
    return 404, b"{}", {"X-Error-Code": "RepoNotFound", "Content-Type": "application/json"}


def _etag(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:40]
