"""A server on the loopback that means no good: it reads a request, then a function has the socket."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Mischief = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DEEP = b"[" * 100_000  # more lists in lists than Python follows


class HostileServer:
    """``requests`` holds what it was sent, headers above all; ``stop`` is set when the test is over."""

    def __init__(self, mischief: Mischief) -> None:
        self.mischief, self.stop = mischief, threading.Event()
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            self.requests.append(request)
            self.mischief(connection)


@contextmanager
def hostile_server(mischief: Mischief) -> Iterator[HostileServer]:
    """Serve until the block ends."""
    server = HostileServer(mischief)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.stop.set()
        server.listener.close()


def drip(beginning: bytes, drop: bytes = b" ") -> Mischief:
    """Send a beginning at once, then one byte, or what else drops, each twentieth of a second, for ever."""

    def send(connection: socket.socket) -> None:
        connection.sendall(beginning)
        while True:
            threading.Event().wait(0.05)
            connection.sendall(drop)

    return send


def endless(connection: socket.socket) -> None:
    """Send an answer that does not end, as fast as it is taken."""
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b"[" * 65536)


def packed(connection: socket.socket) -> None:
    """Send 300 KB that are 300 MB unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    megabyte = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    body = bytes.fromhex("1f8b0800000000000003") + 300 * megabyte + packer.flush()
    length = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    connection.sendall(HEAD + length + body)


def say(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> Mischief:
    """Send an answer and end the connection."""

    def send(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n" + headers)
        connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    return send
