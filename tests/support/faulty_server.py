"""A web server on this machine that answers with faults where it is told to."""

from __future__ import annotations

import gzip
import http.server
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.serving import serving_requests


class Server:
    """Serves one content at some path, or at every path; `faults` are used up, one a request, before it answers well.

    Faults: a status code, alone or with a value of `Retry-After`; `cut` (half of what was asked for, then the
    connection ends), the same after a number of bytes (`cut <n>`) or by a reset (`reset`); `unsized` (half, without
    saying how much there is), `many` (all, with a length that is no number); `whole` (ignores the range); `other range`
    (the rest from a byte on that was not asked for); `gzip` (encoded, whatever was asked), `gzip cut`; `redirect`,
    `loop`; `html`, `other` (wrong bytes), `silent`.

    Attributes:
        ranges: of each request, None where it had none. paths: of each request; of one to a proxy, the whole address.
        together: so many requests must have come before any is answered. hold: while it is cleared, the second half of
            a body is not sent.
    """

    def __init__(self, content: bytes, path: str | None = None) -> None:
        self.content = content
        self.path = path
        self.faults: list[int | str | tuple[int, str]] = []
        self.ranges: list[str | None] = []
        self.paths: list[str] = []
        self.hold = threading.Event()
        self.hold.set()
        self.together = 1
        self._came = threading.Condition()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.web.server_address[1]}"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        with self._came:
            self.ranges.append(asked)
            self.paths.append(request.path)
            self._came.notify_all()
            self._came.wait_for(lambda: len(self.paths) >= self.together, timeout=100)
        fault = self.faults.pop(0) if self.faults else ""
        if isinstance(fault, tuple):
            self._status(request, fault[0], {"Retry-After": fault[1], "Content-Length": "0"})
        elif isinstance(fault, int) or self.path not in (None, request.path):
            request.send_error(fault if isinstance(fault, int) else 404)
        elif fault in ("redirect", "loop"):
            if fault == "loop":
                self.faults.append("loop")  # before the answer, which the next request follows at once
            self._status(request, 302, {"Location": request.path, "Content-Length": "0"})
        elif fault != "silent":
            self._body(request, fault, asked)

    def _body(self, request: http.server.BaseHTTPRequestHandler, fault: str, asked: str | None) -> None:
        body = {"html": b"\n<!DOCTYPE html><p>Please log in", "other": self.content[::-1]}.get(fault, self.content)
        encoded = fault.startswith("gzip")
        body = gzip.compress(body, 1) if encoded else body
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "whole" and not encoded else 0
        if start and start >= len(body):
            self._status(request, 416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
            return
        start -= 7 if fault == "other range" else 0
        headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        if fault != "unsized":
            headers["Content-Length"] = "many" if fault == "many" else str(len(body) - start)
        self._status(request, 206 if start else 200, headers | ({"Content-Encoding": "gzip"} if encoded else {}))
        rest = body[start:]
        kind, _, count = fault.rpartition(" ")
        if kind == "cut":
            rest = rest[: int(count)]
        elif fault in ("cut", "unsized", "gzip cut", "reset"):
            rest = rest[: len(rest) // 2]
        half = len(rest) // 2
        request.wfile.write(rest[:half])
        self.hold.wait(timeout=100)
        request.wfile.write(rest[half:])
        if fault == "reset":
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.connection.close()

    def _status(self, request: http.server.BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()


@contextmanager
def running(content: bytes, path: str | None = None) -> Iterator[Server]:
    """A server that answers until the block ends."""
    server = Server(content, path)
    with serving_requests(server.web):
        yield server
