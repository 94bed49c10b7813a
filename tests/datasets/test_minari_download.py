"""Minari's download through its own client, from a server on this machine that speaks the hub's protocol."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest
import yaml
from recorded_data import record
from tiny import Project

DATASET = "D4RL/hopper/tiny-v1"


class Hub:
    """Serves the Minari datasets in a folder as the repositories of the author farama-minari."""

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
        served = self.root / "D4RL"
        files = sorted(str(file.relative_to(served)) for file in served.rglob("*") if file.is_file())
        repository = {
            "id": "farama-minari/D4RL", "sha": "a" * 40, "private": False, "tags": [], "downloads": 0,
            "siblings": [{"rfilename": name} for name in files],
        }  # fmt: skip
        if path == "/api/datasets":
            return json.dumps([repository]).encode()
        if path.startswith("/api/datasets/farama-minari/D4RL/tree/"):
            tree = [
                {"type": "file", "path": name, "oid": "b" * 40, "size": (served / name).stat().st_size}
                for name in files
            ]
            return json.dumps(tree).encode()
        if path.startswith("/api/datasets/farama-minari/D4RL"):
            return json.dumps(repository).encode()
        name = path.removeprefix("/datasets/farama-minari/D4RL/resolve/").partition("/")[2]
        return (self.root / "D4RL" / name).read_bytes() if name in files else None


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "server"))
    record(gym.make("Hopper-v5"), DATASET)
    (tmp_path / "server/D4RL/namespace_metadata.json").write_text(
        json.dumps({"datasets": [DATASET], "namespaces": ["D4RL/hopper"]})
    )
    hub = Hub(tmp_path / "server")
    thread = threading.Thread(target=hub.web.serve_forever, daemon=True)
    thread.start()
    yield hub
    hub.web.shutdown()
    hub.web.server_close()
    thread.join()


def fetch(dataset: str, hub: Hub, root: Path) -> tuple[int, str]:
    """`dac fetch` with an empty Minari folder and the server instead of the hub."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_HOME": str(root / "hub-cache"), "MINARI_DATASETS_PATH": str(root / "minari"),
        "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    command = [sys.executable, "-m", "dac", "fetch", f"minari:{dataset}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_version_is_downloaded_once(hub: Hub, tmp_path: Path, project: Project) -> None:
    project.load()
    status, output = fetch(DATASET, hub, tmp_path)
    assert status == 0, output
    copy = tmp_path / "minari" / DATASET / "data" / "main_data.hdf5"
    assert copy.read_bytes() == (tmp_path / "server" / DATASET / "data" / "main_data.hdf5").read_bytes()
    assert json.loads(Path("datasets.lock").read_text()).keys() == {f"minari:{DATASET}"}
    asked = len(hub.requests)
    status, output = fetch(DATASET, hub, tmp_path)
    assert status == 0, output
    assert len(hub.requests) == asked, "a copy that is here asks nobody"


def test_a_version_that_is_not_there(hub: Hub, tmp_path: Path, project: Project) -> None:
    project.load()
    status, output = fetch("D4RL/hopper/tiny-v7", hub, tmp_path)
    assert status == 1
    assert "minari:D4RL/hopper/tiny-v7: not downloaded: ValueError: The dataset version" in output
    assert DATASET in output, "the version that is there"
    assert "Traceback" not in output
    assert yaml.safe_load(Path("params.yaml").read_text())["dvc_study"] == "tiny"
    assert not Path("datasets.lock").exists()
