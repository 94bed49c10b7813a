"""What a check found, for people: a line for each part, what to set, and its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate  # type: ignore[import-untyped]

from dac.bench.gpu_check.parts import BY_NAME
from dac.bench.gpu_check.trained import WAITING
from dac.system import files

GAIN = 1.2  # of two packs at once over one after the other, from which on sharing a GPU is advised
CURVE = "curve.png"

Record = Mapping[str, Any]


def line(name: str, outcome: Record) -> str:
    """A part's outcome in a line, with what to set where it failed."""
    state, said = outcome["state"], outcome["said"]
    text = said.splitlines()[0] if said else _found(name, outcome["result"])
    if state != "failed":
        return f"  {state:8s}{text}"
    part = BY_NAME[name]
    return f"  FAILED  {text.rstrip('.')}. {f'Set {part.advice}' if part.counts else 'No setting uses it'}."


def _found(name: str, result: Any) -> str:
    """What a part that passed found, in a few words."""
    return _FOUND[name](result)


def _training_found(result: Record) -> str:
    return (
        f"{result['runs']} runs, {result['steps']:,} steps, {result['steps_per_second']:.0f} steps/s, waited "
        f"{result['waited']:.0%} of the time for evaluations, {result['cores']} cores"
    )


def _fastest(rows: list[Record]) -> list[Record]:
    """Of each pack that fitted the faster way."""
    best: dict[int, Record] = {}
    for row in rows:
        if "step_ms" in row and row["step_ms"] < best.get(row["runs"], {"step_ms": float("inf")})["step_ms"]:
            best[row["runs"]] = row
    return list(best.values())


def _kernels_found(result: Record) -> str:
    errors = ", ".join(f"{_share(error)} ({precision})" for precision, error in result["errors"].items())
    return f"off by {errors}; a step in {_kernel_times(result)} of PyTorch's time"


def _kernel_times(result: Record) -> str:
    """The kernels' time of a step as a share of PyTorch's, by precision."""
    step = {(row["precision"], row["kernel"]): row.get("step_ms") for row in result["times"]}
    shares = {
        precision: f"{triton / step[precision, 'torch']:.2f}" if triton and step[precision, "torch"] else "-"
        for (precision, kernel), triton in step.items()
        if kernel == "triton"
    }
    return ", ".join(f"{share} ({precision})" for precision, share in shares.items())


def _two_packs_found(result: Record) -> str:
    if "gain" not in result:
        return (
            f"{result['mps']['gain']:.2f} times the steps of one pack after the other by MPS; not possible without in "
            "this compute mode, EXCLUSIVE_PROCESS"
        )
    by_mps = f", {result['mps']['gain']:.2f} by MPS" if result["mps"] else "; MPS does not run here"
    return f"{result['gain']:.2f} times the steps of one pack after the other{by_mps}"


def _share(error: Mapping[str, float]) -> str:
    """Error of the targets in percent of the ensemble's spread."""
    return f"{100 * error['rms'] / error['spread']:.2g}%"


_FOUND: Mapping[str, Callable[[Any], str]] = {
    "device": lambda result: str(result["name"]),
    "tests": lambda result: f"{result['tests']} tests",
    "parity": lambda result: "worst " + ", ".join(f"{worst:.0e} ({key})" for key, worst in result.items()),
    "packs": lambda result: ", ".join(f"{row['step_ms']:.1f} ms ({row['runs']})" for row in _fastest(result)),
    "training": _training_found,
    "targets": lambda result: "off by " + ", ".join(f"{_share(error)} ({key})" for key, error in result.items()),
    "out-of-memory": lambda result: str(result["said"][0]),
    "kernels": _kernels_found,
    "two-packs": _two_packs_found,
    "second-gpu": lambda result: f"on {result['device']}",
}


def advice(record: Record) -> Iterator[str]:
    """What to set in params.yaml after a check: for what failed, and for what would be faster otherwise."""
    for name, outcome in record["parts"].items():
        if outcome["state"] == "failed" and BY_NAME[name].counts:
            yield f"{BY_NAME[name].advice} ({name} failed)"
    results = {name: outcome["result"] for name, outcome in record["parts"].items() if outcome["state"] == "passed"}
    if record["kind"] == "cpu":
        return
    yield from _sharing(results.get("two-packs", {}))
    training = results.get("training", {})
    if training.get("waited", 0.0) >= WAITING:
        yield (
            f"compute.threads_per_job: {training['cores'] + 2} (with {training['cores']}, a training waits "
            f"{training['waited']:.0%} of its time for evaluations)"
        )
    fitted = [row["runs"] for row in results.get("packs") or [] if "step_ms" in row]
    if fitted and max(fitted) < 8:
        yield f"compute.pack_size: {max(fitted)} (larger packs do not fit the memory)"


def _sharing(two_packs: Record) -> Iterator[str]:
    """Whether two packs should share a GPU, by MPS if that is what makes it worth it."""
    plain, by_mps = two_packs.get("gain", 0.0), (two_packs.get("mps") or {}).get("gain", 0.0)
    if max(plain, by_mps) >= GAIN:
        how = "" if plain >= by_mps else ", by MPS as it runs here (docs/gpus.md)"
        yield f"compute.packs_per_gpu: 2 (two packs make {max(plain, by_mps):.2f} times the steps of one{how})"


def write(folder: Path) -> Path:
    """Write a check's page, and its learning curve if it has one; returns the page's path."""
    record = files.read_json(folder / "check.json") or {}
    parts = record["parts"]
    found = {name: outcome["result"] for name, outcome in parts.items() if outcome["state"] == "passed"}
    what = "Check of a GPU" if record["kind"] == "cuda" else "Small, on a CPU: this says nothing of a GPU"
    made = f"{record['machine']}, torch {record['versions']['torch']}, {record['date']}, commit {record['commit']}"
    sections = [f"# {what}\n", f"Written by `dac gpu-check`. {made}.\n", _overview(parts)]
    settings = [f"- {text}" for text in advice(record)]
    sections += ["What to set in params.yaml:\n", "\n".join(settings) + "\n"] if settings else []
    sections += [_packs(found["packs"])] if "packs" in found else []
    sections += [_targets(found["targets"])] if "targets" in found else []
    if "training" in found:
        _plot(found["training"], folder / CURVE)
        sections += [f"## Training\n\n{_found('training', found['training'])}; {found['training']['task']}.\n"]
        sections += [f"![Returns during training, a line for each run, and their mean]({CURVE})\n"]
    files.write_text(folder / "README.md", "\n".join(sections))
    return folder / "README.md"


def _overview(parts: Record) -> str:
    rows = [
        (name, BY_NAME[name].title, outcome["state"], _cell(outcome["said"]) or _found(name, outcome["result"]))
        for name, outcome in parts.items()
    ]
    return _table(rows, ("part", "what it shows", "state", "found"))


def _cell(text: str) -> str:
    return text.splitlines()[0].replace("|", "\\|") if text else ""


def _packs(rows: list[Record]) -> str:
    cells = [
        (
            row["runs"],
            "graph" if row["graph"] else "kernel by kernel",
            f"{row['step_ms']:.2f}" if "step_ms" in row else "-",
            f"{row['step_ms'] / row['runs']:.2f}" if "step_ms" in row else "-",
            f"{row['bytes'] / 1e6:.0f}" if row.get("bytes") else row.get("refused", "-"),
        )
        for row in rows
    ]
    return "## Packs\n\n" + _table(cells, ("runs", "as", "ms a step", "ms a step and run", "peak MB"))


def _targets(errors: Mapping[str, Mapping[str, float]]) -> str:
    cells = [
        (
            precision,
            f"{error['rms']:.1e}",
            f"{error['mean']:.1e}",
            f"{error['spread']:.1e}",
            _share(error),
        )
        for precision, error in errors.items()
    ]
    headers = ("precision", "rms error", "mean error", "spread of the ensemble", "rms ÷ spread")
    return "## Targets of trained critics against float64\n\n" + _table(cells, headers)


def _table(rows: list[tuple[Any, ...]], headers: tuple[str, ...]) -> str:
    return str(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)) + "\n"


def _plot(training: Record, path: Path) -> None:
    from matplotlib.figure import Figure

    curve = pd.DataFrame(training["curve"])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for _, run in curve.groupby("seed"):
        axis.plot(run["step"], run["return"], color="0.75", linewidth=1)
    mean = curve.groupby("step")["return"].mean()
    axis.plot(mean.index, mean, color="C0", marker="o", markersize=3, label=f"mean of {curve['seed'].nunique()} runs")
    axis.set(xlabel="Gradient steps", ylabel=f"Return, {training['task']}")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def section(folder: Path) -> list[str]:
    """The checks of a folder of them, one folder each, as a section of another page; nothing where there is none.

    Args:
        folder: where they are, beside that page.
    """
    rows = []
    for path in sorted(folder.glob("*/check.json")):
        record = files.read_json(path) or {}
        if record.get("kind") != "cuda":
            continue
        states = [outcome["state"] for outcome in record["parts"].values()]
        device = record["parts"]["device"]["result"] or {}
        failed = [name for name, outcome in record["parts"].items() if outcome["state"] == "failed"]
        training = record["parts"]["training"]["result"] or {}
        rows.append(
            (
                f"[{path.parent.name}]({folder.name}/{path.parent.name}/README.md)",
                device.get("name", "-"),
                record["date"],
                f"{states.count('passed')} of {len(states)}",
                ", ".join(failed) or "-",
                f"{training['steps_per_second']:.0f}" if training else "-",
            )
        )
    if not rows:
        return []
    headers = ("check", "GPU", "date", "parts passed", "failed", "steps a second, 8 runs")
    return ["## Checks of GPUs (`make gpu-check`)\n", _table(rows, headers)]
