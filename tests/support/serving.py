"""A web server of a test, in a thread of its own."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving_requests(web: http.server.ThreadingHTTPServer) -> Iterator[None]:
    """Answer requests until the block ends; the address is free again then."""
    thread = threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
