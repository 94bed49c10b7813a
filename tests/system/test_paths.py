"""A project's folders have one home in the code."""

from __future__ import annotations

import re
from pathlib import Path

import dac
from dac.system import paths

FOLDERS = ("results", "data", "work", "logs", "benchmarks")
SOURCE = Path(dac.__file__).parent


def test_users_find_things_where_they_have_been() -> None:
    """Stores, DVC's records and people's scripts name these."""
    assert {name: str(path) for name, path in vars(paths).items() if name.isupper()} == {
        "RESULTS": "results",
        "RUNS": "results/runs",
        "COLLECTED": "results/datasets",
        "DATA": "data",
        "D4RL": "data/d4rl",
        "CONVERTED": "data/datasets",
        "WORK": "work",
        "TODO": "work/todo",
        "LOCKS": "work/locks",
        "PROGRESS": "work/progress",
        "JOURNAL": "work/journal.jsonl",
        "REPLACED": "work/replaced",
        "HASHES": "work/sha256.json",
        "CALIBRATION": "work/calibration.json",
        "PARTIAL": "work/partial",
        "HISTOGRAMS": "work/datasets",
        "LOGS": "logs",
        "WATCH_LOGS": "logs/watch",
        "FETCH_LOGS": "logs/fetch",
        "TENSORBOARD": "logs/tensorboard",
        "BENCHMARKS": "benchmarks",
        "BENCHMARK_RESULTS": "benchmarks/results",
        "GPU_CHECKS": "benchmarks/gpu-check",
    }


def test_no_other_module_and_no_rule_makes_a_path_of_their_names() -> None:
    named = re.compile(rf"""(?:Path|touch)\(f?["'](?:{"|".join(FOLDERS)})["'/]""")
    sources = [*SOURCE.rglob("*.py"), SOURCE.parent / "Snakefile", *(SOURCE.parent / "workflow").rglob("*.smk")]
    elsewhere = {
        str(path.relative_to(SOURCE.parent)): found
        for path in sources
        if path != SOURCE / "system" / "paths.py" and (found := named.findall(path.read_text()))
    }
    assert elsewhere == {}
    assert len(sources) > 100
    assert named.findall((SOURCE / "system" / "paths.py").read_text())
