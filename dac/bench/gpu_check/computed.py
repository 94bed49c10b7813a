"""Parts of a check that compute steps by themselves: the device, its tests, parity, and the time of packs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import torch

from dac.agent import Agent
from dac.agent.config import PRECISIONS
from dac.agent.precision import multiplies_bf16
from dac.bench import parity
from dac.bench.clock import median_seconds
from dac.bench.gpu_check.setup import PAPERS_SIZES, Failed, Setup, Skipped
from dac.bench.processes import step_seconds
from dac.bench.workload import Workload
from dac.system import devices, gpus, mps, provenance

CHECKOUT = provenance.PACKAGE.parent
RECORDINGS = CHECKOUT / "tests/data/parity"
TESTS = CHECKOUT / "tests"


def device(setup: Setup) -> dict[str, Any]:
    """What there is."""
    with devices.claimed(setup.kind) as chosen:
        found: dict[str, Any] = {
            "name": devices.name(chosen),
            "cuda": torch.version.cuda,
            "bf16": multiplies_bf16(chosen),
            "gpus": [str(gpu) for gpu in gpus.visible()],
        }
        if chosen.type == "cuda":
            major, minor = torch.cuda.get_device_capability(chosen)
            found |= {"capability": f"{major}.{minor}", "bytes": torch.cuda.get_device_properties(chosen).total_memory}
        return found


def tests(setup: Setup) -> dict[str, Any]:
    """The tests marked `gpu`, in a pytest of their own; not those of experiments, which no setting uses."""
    marked = sorted(path for path in TESTS.rglob("test_*.py") if "mark.gpu" in path.read_text())
    if not marked:
        raise Skipped("the tests are in the checkout, and this is none")
    report = setup.folder.resolve() / "tests.xml"
    which = ("-m", "gpu and not experiment")
    command = [sys.executable, "-m", "pytest", "-q", *which, f"--junitxml={report}", *map(str, marked)]
    with devices.claimed(setup.kind):  # the processes that are started from here see this GPU alone
        subprocess.run(command, cwd=CHECKOUT, check=False)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    found = {what: int(suite.get(what, 0)) for what in ("tests", "failures", "errors", "skipped")}
    if failed := found["failures"] + found["errors"]:
        raise Failed(f"{failed} of {found['tests']} failed, see tests.log", found)
    if found["skipped"] == found["tests"]:
        raise Skipped(f"all {found['tests']} need a GPU")
    return found


def recorded(setup: Setup) -> dict[str, Any]:
    """The authors' recorded numbers, replayed alone and as one of three runs, in every precision: `dac parity`."""
    recordings = sorted(RECORDINGS.glob("*.npz"))
    if not recordings:
        raise Skipped("the recordings are in the checkout, and this is none")
    worst: dict[str, float] = {}
    beyond = []
    with devices.claimed(setup.kind) as chosen:
        for dtype, precision in [(torch.float64, "fp32"), *((torch.float32, precision) for precision in PRECISIONS)]:
            label = "float64" if dtype == torch.float64 else precision
            for path in recordings:
                for pack in (1, 3):
                    found = parity.worst_deviations(path, dtype, pack=pack, precision=precision, device=chosen)
                    for quantity, deviation in found.items():
                        worst[label] = max(worst.get(label, 0.0), deviation)
                        if not deviation <= parity.tolerance(quantity, precision):
                            beyond.append(f"{label}: {quantity} of {path.stem} deviates by {deviation:.1e}")
    if beyond:
        raise Failed(f"{'; '.join(beyond[:3])}{' ...' if len(beyond) > 3 else ''}", worst)
    return worst


def packs(setup: Setup) -> list[dict[str, Any]]:
    """A gradient step of packs of several sizes, as a recorded graph and kernel by kernel; until one does not fit."""
    rows: list[dict[str, Any]] = []
    with devices.claimed(setup.kind) as chosen:
        for runs in setup.sizes.packs:
            for captured in (True, False) if chosen.type == "cuda" else (False,):
                row = timed(setup, chosen, runs, captured=captured)
                rows.append(row)
                print(row, flush=True)
                if "refused" in row:
                    return rows
    return rows


def timed(
    setup: Setup,
    chosen: torch.device,
    runs: int,
    *,
    captured: bool,
    precision: str = "tf32",
    kind: type[Agent] = Agent,
) -> dict[str, Any]:
    """Milliseconds of a step of a pack, and the tensors' bytes on a GPU; or what refused it memory."""
    row: dict[str, Any] = {"runs": runs, "graph": captured}
    if chosen.type == "cuda":
        torch.cuda.reset_peak_memory_stats(chosen)
    try:
        work = Workload(
            setup.sizes.config(precision), runs, PAPERS_SIZES, chosen, batch_size=setup.sizes.batch_size,
            captured=captured, kind=kind,
        )  # fmt: skip
        seconds = median_seconds(work.step, setup.sizes.seconds, chosen)
    except (RuntimeError, MemoryError) as error:
        refused = devices.out_of_memory(error)
        if refused is None:
            raise
        return row | {"refused": refused}
    bytes_used = torch.cuda.max_memory_allocated(chosen) if chosen.type == "cuda" else None
    return row | {"step_ms": round(1000 * seconds, 3), "bytes": bytes_used}


def two_packs(setup: Setup) -> dict[str, Any]:
    """Two processes with a pack each on one GPU, against one: whether `compute.packs_per_gpu: 2` is worth it.

    Also by NVIDIA's MPS, where its daemon runs; without, the driver gives the GPU to one process after the other. In
    the compute mode EXCLUSIVE_PROCESS, which NVIDIA recommends with MPS, it refuses all processes but the daemon's.

    Returns:
        `runs` of a pack; `alone_ms`, `together_ms` and `gain` without MPS, which are missing in that mode; the same
        three by MPS as `mps`, None where it does not run.

    Raises:
        Skipped: neither is possible here.
    """
    with devices.claimed(setup.kind) as chosen:
        exclusive = chosen.type == "cuda" and gpus.exclusive()
        if exclusive and not mps.control():
            raise Skipped("in the GPU's compute mode, EXCLUSIVE_PROCESS, MPS alone shares it, and does not run here")
        found: dict[str, Any] = {"runs": setup.sizes.pack}
        if not exclusive:
            with mps.avoided():
                found |= _side_by_side(setup, chosen)
        return found | {"mps": _side_by_side(setup, chosen) if mps.control() else None}


def _side_by_side(setup: Setup, chosen: torch.device) -> dict[str, float]:
    """Milliseconds of a step of one pack alone and of each of two at once, and the steps that two make over one's."""
    sizes = setup.sizes
    alone, together = (
        step_seconds(
            count, PAPERS_SIZES, chosen, count, sizes.seconds, sizes.config(), runs=sizes.pack,
            batch_size=sizes.batch_size,
        )
        for count in (1, 2)
    )  # fmt: skip
    return {
        "alone_ms": round(1000 * alone, 3),
        "together_ms": round(1000 * together, 3),
        "gain": round(2 * alone / together, 3),
    }
