"""A web server on this machine that answers with faults where it is told to."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Server:
    """Serves one content at some path, or at every path; `faults` are used up, one a request, before it answers well.

    Faults: a status code, `cut` (half of what was asked for, then the connection ends), `whole` (ignores the range),
    `html`, `other` (wrong bytes).
    """

    def __init__(self, content: bytes, path: str | None = None) -> None:
        self.content = content
        self.path = path
        self.faults: list[int | str] = []
        self.ranges: list[str | None] = []
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
        self.ranges.append(asked)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int) or self.path not in (None, request.path):
            request.send_error(fault if isinstance(fault, int) else 404)
            return
        body = {"html": b"\n<!DOCTYPE html><p>Please log in", "other": self.content[::-1]}.get(str(fault), self.content)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "whole" else 0
        if start >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        rest = body[start:]
        request.wfile.write(rest[: len(rest) // 2] if fault == "cut" else rest)


@contextmanager
def running(content: bytes, path: str | None = None) -> Iterator[Server]:
    """A server that answers until the block ends."""
    server = Server(content, path)
    thread = threading.Thread(target=server.web.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.web.shutdown()
        server.web.server_close()
        thread.join()
