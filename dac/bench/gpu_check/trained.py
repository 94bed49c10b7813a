"""Parts of a check that train with the real trainer, in a project of their own: on data, with evaluations beside."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dac.agent import Agent
from dac.agent.config import PRECISIONS
from dac.bench import kernel
from dac.bench.accuracy import target_errors
from dac.bench.gpu_check.computed import timed
from dac.bench.gpu_check.setup import Failed, Setup, Skipped
from dac.bench.subjects import of_run
from dac.cost import demand, speeds
from dac.datasets.sources import collect
from dac.study import check, store
from dac.study.identity import Group, Run
from dac.study.params import Params
from dac.study.plan import study_plan
from dac.system import devices, files, gpus
from dac.training import trainer

STARTING_SECONDS = 30.0  # of a training: data, processes, a graph
STEPPING_SHARE = 0.7  # of what is left then: evaluations beside it take of the device, too
# Of the ensemble's spread, in float32: by so much the targets may be off. More is not float32.
LARGEST_ERROR = 0.01
SMALL_SHARE = 0.7  # of what a pack needs, that it is given where it is not to fit
WAITING = 0.1  # share of a training's time, from which on more cores would help


def training(setup: Setup) -> dict[str, Any]:
    """A pack at the paper's settings on data, with the curve's evaluations beside it."""
    steps, interval = _steps(setup)
    settings = {"steps": steps, "eval_interval": interval, **_networks(setup)}
    with _project(setup, settings) as (params, group):
        seeds = list(range(setup.sizes.pack))
        cores = _train(params, group, seeds)
        runs = [Run(group, seed) for seed in seeds]
        curve = pd.concat([_curve(run) for run in runs])
        made = files.read_json(store.run_directory(runs[0]) / "provenance.json") or {}
        states = [store.read_run(run)["status"] for run in runs]
        result = {
            "settings": settings,
            "task": group.env,
            "runs": len(runs),
            "steps": steps,
            "cores": cores,
            "seconds": made["wall_seconds"],
            "steps_per_second": round(steps / max(made["wall_seconds"], 1e-9), 2),
            "waited": round(made["evaluation_wait_seconds"] / max(made["wall_seconds"], 1e-9), 3),
            "curve": curve.to_dict("list"),
        }
    if states != ["complete"] * len(runs):
        raise Failed(f"{states.count('diverged')} of {len(runs)} runs diverged", result)
    return result


def targets(setup: Setup) -> dict[str, dict[str, float]]:
    """The error of the targets that trained networks give, in every precision, against the same in float64."""
    return _errors(setup, PRECISIONS, Agent)


def kernels(setup: Setup) -> dict[str, Any]:
    """The target half as Triton kernels against PyTorch's operations: its error on trained networks, and its time.

    Raises:
        Skipped: Triton is not installed, the GPU has too little shared memory, or `training` trained nothing.
        Failed: in float32 the errors are too large.
    """
    if not kernel.installed():
        raise Skipped(kernel.MISSING)
    if setup.kind == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    from triton import OutOfResources

    with devices.claimed(setup.kind) as chosen:
        if (why := kernel.too_small(chosen)) is not None:
            raise Skipped(why)
    try:
        return _measured_kernels(setup)
    except OutOfResources as error:
        raise Skipped(f"the kernels do not fit this GPU: {error}") from error


def _measured_kernels(setup: Setup) -> dict[str, Any]:
    from dac.agent.fused import PRODUCTS, FusedAgent, Tiles

    errors = _errors(setup, tuple(PRODUCTS), FusedAgent)
    with devices.claimed(setup.kind) as chosen:
        times = [
            timed(setup, chosen, setup.sizes.pack, captured=chosen.type == "cuda", precision=precision, kind=kind)
            | {"precision": precision, "kernel": name}
            for precision in PRODUCTS
            for name, kind in (("torch", Agent), ("triton", FusedAgent))
        ]
    return {"errors": errors, "times": times, "tiles": dataclasses.asdict(Tiles())}


def _errors(setup: Setup, precisions: tuple[str, ...], kind: type[Agent]) -> dict[str, dict[str, float]]:
    """Errors of what the part `training` trained, by precision, as a kind of agent computes it.

    Raises:
        Skipped: it trained nothing. Failed: in float32 they are too large.
    """
    trained = setup.result_of("training")
    if trained is None:
        raise Skipped("it needs what the part `training` trains")
    with _project(setup, trained["settings"]) as (_, group), devices.claimed(setup.kind) as chosen:
        subject = of_run(str(Run(group, 0)))
        samples = group.settings.next_action_samples
        found = {precision: target_errors(subject, samples, precision, chosen, kind) for precision in precisions}
    errors = {
        precision: {name: error[name] for name in ("rms", "mean", "spread")} for precision, error in found.items()
    }
    worst = errors["fp32"]["rms"] / errors["fp32"]["spread"]
    if not worst <= LARGEST_ERROR:
        raise Failed(f"in float32 the targets are off by {worst:.1%} of the ensemble's spread", errors)
    return errors


def out_of_memory(setup: Setup) -> dict[str, Any]:
    """A pack that does not fit what it is given of the memory is trained in parts, to the end."""
    heard, short = _Heard(), setup.sizes.short_steps
    seeds, settings = list(range(setup.sizes.pack)), {"steps": short, "eval_interval": short, **_networks(setup)}
    with _project(setup, settings, workers=0) as (params, group), heard, _little_memory(setup, params, group):
        _train(params, group, seeds)
    with _project(setup, settings, workers=0):
        problems = [problem for seed in seeds if (problem := store.run_problem(Run(group, seed)))]
    if problems or not heard.messages:
        said = problems[0] if problems else f"{len(seeds)} runs fitted into less memory than they were to need"
        raise Failed(said, heard.messages)
    return {"runs": len(seeds), "said": heard.messages}


class _Heard(logging.Handler):
    """Keeps what the trainer says, in the block, of packs that do not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def __enter__(self) -> None:
        trainer.LOG.addHandler(self)
        self._before = trainer.LOG.level
        trainer.LOG.setLevel(logging.INFO)

    def __exit__(self, *_: object) -> None:
        trainer.LOG.removeHandler(self)
        trainer.LOG.setLevel(self._before)

    def emit(self, record: logging.LogRecord) -> None:
        if "do not fit" in record.getMessage():
            self.messages.append(record.getMessage())


@contextlib.contextmanager
def _little_memory(setup: Setup, params: Params, group: Group) -> Iterator[None]:
    """In the block, this process may take less memory than a pack of the check's size needs, and enough for one run.

    On a CPU, whose memory has no bound of this kind, a stand-in refuses large tensors.
    """
    if setup.kind == "cuda":
        with devices.claimed(setup.kind) as chosen:
            needed = timed(setup, chosen, setup.sizes.pack, captured=True).get("bytes")
            torch.cuda.empty_cache()
            total = torch.cuda.get_device_properties(chosen).total_memory
        if needed is None:
            raise Skipped("a whole pack does not fit the free memory as it is")
        torch.cuda.set_per_process_memory_fraction(SMALL_SHARE * needed / total, chosen)
        yield
        return
    with _SmallMemory() as alone:
        _train(params, group, [setup.sizes.pack])  # the seed behind the pack's
    with _SmallMemory(SMALL_SHARE * setup.sizes.pack * alone.largest):
        yield


class _SmallMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """In its block, a tensor of more than some bytes is refused as by a device whose memory does not suffice.

    Attributes:
        largest: bytes of the largest so far.
    """

    def __init__(self, most: float = math.inf) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most, self.largest = most, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [item.numel() * item.element_size() for item in tree_leaves(result) if isinstance(item, torch.Tensor)]
        asked = max(sizes, default=0)
        self.largest = max(self.largest, asked)
        if asked > self.most:
            raise torch.OutOfMemoryError(f"out of memory: {asked} bytes, of {self.most:.0f} that there are")
        return result


def second_gpu(setup: Setup) -> dict[str, Any]:
    """While the first GPU is held, a training takes another one and computes there, its graph included."""
    if setup.kind == "cuda" and setup.gpus < 2:
        raise Skipped("one GPU is visible")
    short = setup.sizes.short_steps
    settings = {"steps": short + 1, "eval_interval": short + 1, **_networks(setup)}
    with _project(setup, settings) as (params, group), contextlib.ExitStack() as stack:
        first = stack.enter_context(gpus.held(lambda: gpus.visible()[:1])) if setup.kind == "cuda" else None
        _train(params, group, [0, 1])
        made = files.read_json(store.run_directory(Run(group, 0)) / "provenance.json") or {}
    used = os.environ.get(gpus.VISIBLE)
    if first is not None and used == first.uuid:
        raise Failed(f"both trainings would be on {first}")
    return {"device": made["device"], "uuid": used}


# The project


@contextlib.contextmanager
def _project(setup: Setup, settings: dict[str, Any], workers: int | None = None) -> Iterator[tuple[Params, Group]]:
    """The check's project, made the current folder, with its data; its one group has these settings.

    Args:
        workers: `compute.evaluation_workers`; None: beside the training.
    """
    setup.project.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(setup.project)
    try:
        files.write_text(Path("params.yaml"), json.dumps(_params(setup, settings, workers), indent=2))
        params = check.load()
        group = study_plan(params, "check").cells[0].group
        if setup.data is None and store.dataset_problem(group.dataset) is not None:
            collect.collect(params, group.env, [group.dataset.fingerprint])
        yield params, group
    finally:
        os.chdir(before)


def _params(setup: Setup, settings: dict[str, Any], workers: int | None) -> dict[str, Any]:
    """A params.yaml with the paper's defaults, one task and these settings."""
    sizes = setup.sizes
    env = setup.env or sizes.env
    policies = ["HalfCheetah-v5-12500", "HalfCheetah-v5-17500"] if env == "HalfCheetah-v5" else ["Pendulum-v1-5000"]
    recipe = {"policies": {"files": policies}, "levels": {"mixed": {"transitions": sizes.transitions}}}
    own = f"file:{setup.data.resolve()}" if setup.data else None
    beside = "auto" if setup.kind == "cuda" else 1
    return {
        "dvc_study": "check",
        "agent": {},
        "training": {
            "precision": "tf32",
            "eval_episodes": sizes.episodes,
            "batch_size": sizes.batch_size,
            "kept_policies": 1,
        },
        "evaluation": {},
        "report": {"window": 1},
        "compute": {
            "device": setup.kind,
            "pack_size": sizes.pack,
            "evaluation_workers": beside if workers is None else workers,
        },
        "collect": {} if own else {env: recipe},
        "presets": {},
        "tasks": {"check": {"dataset": own or f"collect:{env}/mixed", "env": env, "reference_returns": [0.0, 100.0]}},
        "experiments": {"check": {"title": "Check", "tasks": ["check"], "variants": {"soft": {}}}},
        "studies": {"check": {"experiments": ["check"], "seeds": list(range(sizes.pack)), "settings": settings}},
    }


def _networks(setup: Setup) -> dict[str, Any]:
    hidden, members, samples = setup.sizes.networks
    return {"hidden_sizes": list(hidden), "ensemble_size": members, "next_action_samples": samples}


def _steps(setup: Setup) -> tuple[int, int]:
    """Steps of the training, and the interval of its evaluations: fewer where the measured speed asks for it."""
    steps, interval = setup.sizes.steps
    rows = setup.result_of("packs") or []
    measured = [row["step_ms"] for row in rows if row["runs"] == setup.sizes.pack and "step_ms" in row]
    if not measured:
        return steps, interval
    fitting = int(STEPPING_SHARE * (setup.seconds - STARTING_SECONDS) * 1000 / min(measured))
    return min(steps, max(1, fitting // interval) * interval), interval


def _train(params: Params, group: Group, seeds: list[int]) -> int:
    """Train some seeds of the project's group; returns the cores that it had."""
    on_gpu = params.compute.device != "cpu"
    cores = demand.training_cores(
        group,
        len(seeds),
        params,
        demand.Speeds.known(params.compute).gpu,
        gpu=on_gpu,
        most=max(1, speeds.cores() - 1),
    )
    trainer.train(group, seeds, params.compute, cores)
    return cores


def _curve(run: Run) -> pd.DataFrame:
    """Mean returns of a run by step."""
    curve = pd.read_csv(store.run_directory(run) / "curve.csv")
    means = curve.groupby("step")["return"].mean()
    return pd.DataFrame({"seed": run.seed, "step": means.index, "return": means.to_numpy()})
