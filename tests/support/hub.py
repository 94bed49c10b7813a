"""A server on this machine that speaks the protocol of the hub from which Minari downloads."""

from __future__ import annotations

import contextlib
import http.server
import json
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.serving import serving_requests


class Hub:
    """Serves the Minari datasets in a folder as repositories of the author farama-minari, one for each namespace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.web.server_address[1]}"

    def answer(self, request: http.server.BaseHTTPRequestHandler, body: bool) -> None:
        path = urllib.parse.unquote(urllib.parse.urlparse(request.path).path)
        self.requests.append(path)
        content = self.content(path)
        if content is None:
            request.send_response(404)
            request.send_header("X-Error-Code", "EntryNotFound")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(200)
        request.send_header("ETag", f'"{hash(content) & 0xFFFFFFFF:040x}"')
        request.send_header("X-Repo-Commit", "a" * 40)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if body:
            request.wfile.write(content)

    def content(self, path: str) -> bytes | None:
        if path == "/api/datasets":
            return json.dumps([self.repository(folder.name) for folder in sorted(self.root.iterdir())]).encode()
        kind, _, rest = path.partition("/farama-minari/")
        name, _, rest = rest.partition("/")
        files = self.files(name) if (self.root / name).is_dir() else []
        if kind == "/api/datasets" and rest.startswith("tree/"):
            tree = [
                {"type": "file", "path": file, "oid": "b" * 40, "size": (self.root / name / file).stat().st_size}
                for file in files
            ]
            return json.dumps(tree).encode()
        if kind == "/api/datasets":
            return json.dumps(self.repository(name)).encode()
        file = rest.removeprefix("resolve/").partition("/")[2]
        return (self.root / name / file).read_bytes() if kind == "/datasets" and file in files else None

    def repository(self, name: str) -> dict[str, object]:
        siblings = [{"rfilename": file} for file in self.files(name)]
        return {
            "id": f"farama-minari/{name}", "sha": "a" * 40, "private": False, "tags": [], "downloads": 0,
            "siblings": siblings,
        }  # fmt: skip

    def files(self, name: str) -> list[str]:
        folder = self.root / name
        return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


@contextlib.contextmanager
def serving(root: Path, datasets: Iterable[str]) -> Iterator[Hub]:
    """A hub of the datasets in Minari's folder `root`, which gets the list of them that each namespace has."""
    alike: dict[str, list[str]] = {}
    for dataset in datasets:
        alike.setdefault(dataset.partition("/")[0], []).append(dataset)
    for namespace, names in alike.items():
        families = sorted({name.rpartition("/")[0] for name in names})
        (root / namespace / "namespace_metadata.json").write_text(
            json.dumps({"datasets": names, "namespaces": families})
        )
    hub = Hub(root)
    with serving_requests(hub.web):
        yield hub


def asking(hub: Hub, home: Path) -> dict[str, str]:
    """What leads Minari's client to the hub, with its own folders below `home`."""
    return {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hub-cache"), "MINARI_DATASETS_PATH": str(home / "minari"),
    }  # fmt: skip
