"""What a check's page says of a GPU's results, what it advises to set, and its line on the benchmarks' page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dac.bench.gpu_check import page
from dac.bench.gpu_check.parts import PARTS


def passed(result: Any) -> dict[str, Any]:
    return {"state": "passed", "said": "", "result": result}


@pytest.fixture
def record() -> dict[str, Any]:
    """Of a GPU on which all went well."""
    error = {"rms": 1e-3, "mean": 1e-4, "spread": 0.5}
    curve = {"seed": [0, 0, 1, 1], "step": [0, 5000, 0, 5000], "return": [1.0, 2.0, 3.0, 4.0]}
    packs = [{"runs": runs, "graph": True, "step_ms": 2.0 + runs, "bytes": 10**8 * runs} for runs in (1, 8, 32)]
    training = {
        "settings": {}, "task": "Hopper-v4", "runs": 8, "steps": 100_000, "cores": 2, "seconds": 200.0,
        "steps_per_second": 500.0, "waited": 0.02, "curve": curve,
    }  # fmt: skip
    steps = {("fp32", "torch"): 4.0, ("fp32", "triton"): 3.0, ("tf32", "torch"): 2.0}  # the fourth did not fit
    times = [{"precision": precision, "kernel": kernel, "step_ms": ms} for (precision, kernel), ms in steps.items()]
    times.append({"precision": "tf32", "kernel": "triton", "refused": "CUDA out of memory"})
    results: dict[str, Any] = {
        "device": {"name": "NVIDIA H", "cuda": "13.0", "bf16": True, "gpus": []},
        "tests": {"tests": 10, "failures": 0, "errors": 0, "skipped": 0},
        "parity": {"float64": 1e-9, "fp32": 1e-5, "tf32": 1e-3, "bf16": 1e-2},
        "packs": packs,
        "training": training,
        "targets": {"fp32": error, "tf32": error, "bf16": error},
        "kernels": {"errors": {"fp32": error, "tf32": error}, "times": times, "tiles": {}},
        "out-of-memory": {"runs": 8, "said": ["8 runs do not fit the device's memory; 4 at a time"]},
        "two-packs": {"runs": 8, "alone_ms": 10.0, "together_ms": 19.0, "gain": 1.05, "mps": None},
        "second-gpu": {"device": "NVIDIA H", "uuid": "GPU-b"},
    }
    return {
        "machine": "box, 64 cores", "kind": "cuda", "date": "2026-11-29", "commit": "abc", "minutes": 10.0,
        "versions": {"torch": "2.13.0"}, "parts": {part.name: passed(results[part.name]) for part in PARTS},
    }  # fmt: skip


def written(record: dict[str, Any], folder: Path) -> list[list[str]]:
    """The cells of the page's tables."""
    (folder / "check.json").write_text(json.dumps(record))
    lines = page.write(folder).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_the_page_says_what_was_found(record: dict[str, Any], tmp_path: Path) -> None:
    rows = written(record, tmp_path)
    assert [row[0] for row in rows[2:12]] == [part.name for part in PARTS]
    assert ["packs", "a gradient step of packs of 1 to 32, as a graph and without", "passed",
            "3.0 ms (1), 10.0 ms (8), 34.0 ms (32)"] in rows  # fmt: skip
    assert ["8", "graph", "10.00", "1.25", "800"] in rows
    assert ["bf16", "1.0e-03", "1.0e-04", "5.0e-01", "0.2%"] in rows
    assert ["kernels", "the target half as Triton kernels, exactness and speed", "passed",
            "off by 0.2% (fp32), 0.2% (tf32); a step in 0.75 (fp32), - (tf32) of PyTorch's time"] in rows  # fmt: skip
    assert ["two-packs", "two packs at once on one GPU", "passed",
            "1.05 times the steps of one pack after the other; MPS does not run here"] in rows  # fmt: skip
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Check of a GPU\n\nWritten by `dac gpu-check`. box, 64 cores, torch 2.13.0, 2026-11-29")
    assert "8 runs, 100,000 steps, 500 steps/s, waited 2% of the time for evaluations, 2 cores; Hopper-v4" in text
    assert "What to set" not in text
    assert (tmp_path / page.CURVE).is_file()


def test_what_would_be_faster_is_advised(record: dict[str, Any]) -> None:
    assert list(page.advice(record)) == []
    record["parts"]["two-packs"]["result"]["gain"] = 1.5
    record["parts"]["training"]["result"]["waited"] = 0.4
    record["parts"]["packs"]["result"][1:] = [{"runs": 2, "graph": True, "refused": "CUDA out of memory"}]
    assert list(page.advice(record)) == [
        "compute.packs_per_gpu: 2 (two packs make 1.50 times the steps of one)",
        "compute.threads_per_job: 4 (with 2, a training waits 40% of its time for evaluations)",
        "compute.pack_size: 1 (larger packs do not fit the memory)",
    ]
    record["parts"]["two-packs"]["result"] = {"gain": 1.1, "mps": {"gain": 1.3}}
    assert next(page.advice(record)) == (
        "compute.packs_per_gpu: 2 (two packs make 1.30 times the steps of one, by MPS as it runs here (docs/gpus.md))"
    )
    assert page.line("two-packs", record["parts"]["two-packs"]).endswith("one pack after the other, 1.30 by MPS")
    record["parts"]["two-packs"]["result"] = {"mps": {"gain": 1.3}}
    assert next(page.advice(record)).endswith("1.30 times the steps of one, by MPS as it runs here (docs/gpus.md))")
    assert page.line("two-packs", record["parts"]["two-packs"]) == (
        "  passed  1.30 times the steps of one pack after the other by MPS; not possible without in this compute mode, "
        "EXCLUSIVE_PROCESS"
    )
    record["kind"] = "cpu"
    assert list(page.advice(record)) == [], "a CPU's speed says nothing of a GPU's settings"


def test_what_failed_is_said_with_what_to_set(record: dict[str, Any], tmp_path: Path) -> None:
    """And a page is written of whatever there is."""
    failed = {"state": "failed", "said": "2 of 10 failed | see tests.log\nmore", "result": None}
    dropped = {"state": "dropped", "said": "3 s were left; give more --minutes", "result": None}
    record["parts"] |= {"tests": failed, "training": dropped, "packs": dropped, "targets": dropped}
    assert page.line("tests", failed) == (
        "  FAILED  2 of 10 failed | see tests.log. Set compute.cuda_graphs: false, and run this again."
    )
    assert page.line("training", dropped) == "  dropped 3 s were left; give more --minutes"
    assert list(page.advice(record)) == ["compute.cuda_graphs: false, and run this again (tests failed)"]
    record["parts"]["kernels"] = failed
    assert page.line("kernels", failed) == "  FAILED  2 of 10 failed | see tests.log. No setting uses it."
    assert list(page.advice(record)) == ["compute.cuda_graphs: false, and run this again (tests failed)"]
    rows = written(record, tmp_path)
    assert ["training", PARTS[4].title, "dropped", "3 s were left; give more --minutes"] in rows
    text = (tmp_path / "README.md").read_text()
    assert "- compute.cuda_graphs: false, and run this again (tests failed)" in text
    assert "2 of 10 failed \\| see tests.log " in text
    assert not (tmp_path / page.CURVE).exists()


def test_checks_of_gpus_have_a_line_each_among_the_benchmarks(record: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "gpu-check"
    assert page.section(folder) == []
    for name, kind in (("box", "cuda"), ("laptop", "cpu")):
        (folder / name).mkdir(parents=True)
        (folder / name / "check.json").write_text(json.dumps(record | {"kind": kind}))
    title, table = page.section(folder)
    assert title == "## Checks of GPUs (`make gpu-check`)\n"
    (row,) = (line for line in table.splitlines() if "box" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["[box](gpu-check/box/README.md)", "NVIDIA H", "2026-11-29", "10 of 10", "-", "500"]
    assert "laptop" not in table
