"""How fast a machine is: what was measured here for a plan's own shapes, and the committed benchmarks elsewhere.

`dac.bench.calibrate` measures shapes (`dac.cost.shapes`), `dac.cost.estimate` adds them up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

from dac.study.params import ComputeSettings
from dac.system import files, provenance
from dac.system import gpus as nvidia
from dac.system.errors import UserError
from dac.system.paths import BENCHMARK_RESULTS, CALIBRATION

# Where no GPU's speed is recorded: the order of magnitude of one in a data centre.
ASSUMED_GPU_FLOPS = 3e13
NEVER = "-"  # in the place of a date, of what was not measured


@dataclass(frozen=True)
class Calibration:
    """Measured speed of a machine.

    Attributes:
        machine: processor and number of cores. device: `cpu` or `cuda`. date: of the measurement; `NEVER` for none.
        flops: floating-point operations per second of a gradient step of the paper's size in one job, in float32.
        environment_steps: environment steps per second and core, the policy's arithmetic aside.
        threads: of PyTorch while `measured` was; `flops` is of one job with as many.
        startup: seconds that a job takes to start.
        beside: how much longer a job takes while the machine's other job slots are busy; 1 is no longer at all.
        other_flops: the same for other values of `training.precision`, where they were measured.
        measured: seconds by shape, see `shapes`: `gradient`, `acting`, `environment`, `collection`.
    """

    machine: str
    device: str
    date: str
    flops: float
    environment_steps: float
    threads: int = 1
    startup: float = 3.0
    beside: float = 1.2
    other_flops: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, dict[str, float]] = field(default_factory=dict)

    def step_flops(self, precision: str) -> float:
        """Floating-point operations per second of a gradient step; float32's where a precision was not measured."""
        return self.other_flops.get(precision, self.flops)


# This machine


def cores() -> int:
    """Cores that this process may use: what `snakemake --cores all` takes."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> int:
    """GPUs that jobs here may use, each slice of a sliced one; found without importing torch."""
    return nvidia.count()


def device_kind(setting: str) -> str:
    """The kind of device, `cpu` or `cuda`, that a job of this `compute.device` would use."""
    return "cuda" if setting.startswith("cuda") or (setting == "auto" and gpus()) else "cpu"


# Records


def calibration(compute: ComputeSettings, kind: str | None = None) -> Calibration:
    """This machine's own calibration, over the nearest of the committed benchmarks for what it lacks.

    Args:
        kind: of device, `cpu` or `cuda`; None: that of a job here.

    Raises:
        UserError: work/calibration.json is damaged.
    """
    device, threads = kind or device_kind(compute.device), compute.cpu_threads
    base = benchmark(device, threads)
    if device == "cuda" != base.device:
        base = replace(base, machine="no GPU", device=device, date=NEVER, flops=ASSUMED_GPU_FLOPS, other_flops={})
    record = recorded(device, threads)
    if record is None:
        return base
    return Calibration(
        record["machine"],
        device,
        record["date"],
        base.flops,
        base.environment_steps,
        threads,
        record["startup_seconds"],
        record["beside"],
        base.other_flops,
        record["measured"],
    )


def recorded(device: str, threads: int) -> dict[str, Any] | None:
    """The contents of work/calibration.json, if they are of this machine, kind of device and number of threads.

    Raises:
        UserError: the file is damaged.
    """
    if not CALIBRATION.exists():
        return None
    try:
        record: dict[str, Any] = json.loads(CALIBRATION.read_text())
        found = tuple(record[key] for key in ("machine", "device", "threads"))
        _ = record["date"], float(record["startup_seconds"]), float(record["beside"]), dict(record["measured"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{CALIBRATION}: it is not a calibration ({error!r}). Delete it; `dac plan STUDY --calibrate` makes "
            "another."
        ) from None
    return record if found == (provenance.machine(), device, threads) else None


def save(record: Mapping[str, Any]) -> None:
    """Write work/calibration.json."""
    files.write_text(CALIBRATION, json.dumps(record, indent=2, sort_keys=True) + "\n")


def benchmark(device: str, threads: int) -> Calibration:
    """The nearest of the recorded `dac bench` results.

    Same kind of device before others, this processor and number of cores before others, then the newest, of those in
    float32; and the newest in each other precision of that machine and device. Their FLOP/s are of as many threads as
    they had; a job here with fewer has its share.
    """
    results = (json.loads(path.read_text()) for path in sorted(BENCHMARK_RESULTS.glob("calibration-*.json")))
    # Not `dac bench --accuracy`'s, and none of kernels that no training uses.
    found = [record for record in results if "flops" in record and record.get("kernel", "torch") == "torch"]
    records = [record for record in found if record.get("precision", "fp32") == "fp32"]
    if not records:
        # Before the first `dac bench`: a laptop's order of magnitude.
        return Calibration("not measured", "cpu", NEVER, 3e10, 5000.0, threads)
    here = provenance.machine()

    def nearness(record: Mapping[str, Any]) -> tuple[bool, bool, bool, str]:
        machine = record["machine"]
        same_model = machine.rpartition(",")[0] == here.rpartition(",")[0]
        return record["device"] == device, machine == here, same_model, record["date"]

    def flops(record: Mapping[str, Any]) -> float:
        share = threads / max(threads, record.get("threads", threads)) if record["device"] == "cpu" else 1.0
        return float(record["flops"] * share)

    nearest = max(records, key=nearness)
    alike = [record for record in found if all(record[key] == nearest[key] for key in ("machine", "device"))]
    others = {
        record["precision"]: flops(record)
        for record in sorted(alike, key=itemgetter("date"))
        if record.get("precision", "fp32") != "fp32"
    }
    return Calibration(
        nearest["machine"],
        nearest["device"],
        nearest["date"],
        flops(nearest),
        nearest["environment_steps"],
        threads,
        other_flops=others,
    )
