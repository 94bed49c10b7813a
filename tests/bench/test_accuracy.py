"""How exact the targets of a precision are."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest
import torch
from tiny import COMPUTE, Project

from dac import cli
from dac.agent import networks
from dac.bench import accuracy, accuracy_page, drift, page, subjects
from dac.bench.subjects import Subject
from dac.study.identity import Run
from dac.training.trainer import train

CPU = torch.device("cpu")
SHORT = dataclasses.replace(subjects.PENDULUM, transitions=600, steps=20)


@pytest.fixture(scope="module")
def subject() -> Subject:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "UNFINISHED", 50)
        return subjects.trained(dataclasses.replace(SHORT, regression=True, steps=60))


def share(subject: Subject, precision: str, samples: int = 10) -> float:
    found = accuracy.target_errors(subject, samples, precision, CPU)
    return float(found["rms"] / found["spread"])


def test_the_error_of_targets(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 by its rounding, bf16 by little more; where all of an activation is rounded, many times that."""
    monkeypatch.setattr(accuracy, "BATCHES", 1)
    assert 0 < share(subject, "fp32") == share(subject, "tf32") < 1e-3
    bf16 = share(subject, "bf16")
    assert share(subject, "fp32") < bf16 < accuracy_page.LARGEST_RMS
    assert share(subject, "bf16", samples=1) == share(subject, "fp32", samples=1)
    monkeypatch.setattr(
        networks, "product_about_mean", lambda h, _, b, low, __: torch.bmm(h.bfloat16().to(low.dtype), low) + b
    )
    assert share(subject, "bf16") > 4 * bf16


def test_a_shift_of_the_rounded_values_is_the_mean(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "BATCHES", 1)
    original = networks.product_about_mean

    def shifted(hidden: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        return original(hidden, *rest) + 1e-2  # type: ignore[arg-type]

    monkeypatch.setattr(networks, "product_about_mean", shifted)
    found = accuracy.target_errors(subject, 10, "bf16", CPU)
    assert abs(found["mean"]) > 0.5 * found["rms"] > 0
    first = {(row["network"], row["layer"]): row["rms_of_means"] for row in found["layers"]}
    assert first["critic", 0] < 1e-6
    assert min(first["critic", 1], first["critic", 2]) > 1e-3


def test_every_layer_has_its_error(subject: Subject) -> None:
    """The first layer is not rounded; of the second, the rows are, and their averages are not."""
    found = accuracy.target_errors(subject, 10, "bf16", CPU)["layers"]
    assert [(row["network"], row["layer"]) for row in found] == [
        (network, layer) for network in ("actor", "critic") for layer in range(4)
    ]
    for network in ("actor", "critic"):
        first, second, *_ = (row for row in found if row["network"] == network)
        assert first["rms"] < 1e-6
        assert 1e-5 < second["rms"] < 2**-8
        assert second["rms_of_means"] < second["rms"] / 2
    exact = accuracy.target_errors(subject, 10, "fp32", CPU)["layers"]
    assert all(row["rms"] < 1e-6 for row in exact)


def test_an_error_that_adds_up_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every rounded product is raised, bf16's values leave float32's; as it is, no more than rounding does."""
    for name, value in {"SEEDS": (0, 1), "READINGS": 2, "STEPS": 20}.items():
        monkeypatch.setattr(drift, name, value)
    found = drift.drift(SHORT, CPU)
    assert [row["step"] for row in found["bf16"]] == [10, 20]
    assert (found["seeds"], found["steps"], found["discount"]) == (2, 20, 0.95)
    assert abs(found["bf16"][-1]["mean"]) < 1e-3 * found["size"]
    original = networks.product_about_mean
    monkeypatch.setattr(networks, "product_about_mean", lambda *arguments: original(*arguments) + 0.05)
    raised = drift.drift(SHORT, CPU)
    assert abs(raised["bf16"][-1]["mean"]) > 100 * abs(found["bf16"][-1]["mean"])
    assert abs(raised["bf16"][-1]["injected"]) > 10 * abs(found["bf16"][-1]["injected"])
    assert raised["nudged"] == found["nudged"]


def test_the_command_measures_runs_of_the_store(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    train(project.group(), [0], COMPUTE, 1)
    run = str(Run(project.group(), 0))
    assert cli.main(["bench", "--accuracy", run, "--threads", "1", "--json", "found.json"]) == 0
    found = json.loads(Path("found.json").read_text())
    assert {(row["subject"], row["samples"]) for row in found["accuracy"]} == {(run, 2)}
    assert [row["precision"] for row in found["accuracy"]] == ["fp32", "tf32", "bf16", "tf32, imitated"]
    fp32, tf32, _, imitated = (row["rms"] for row in found["accuracy"])
    assert fp32 == tf32 < imitated / 10
    assert found["device"] == "cpu" and "torch" in found["versions"] and "drift" not in found
    assert cli.main(["bench", "--accuracy", "nothing/like/it/0"]) == 1
    assert "no study or run" in capsys.readouterr().err


def test_without_runs_small_networks_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chdir(tmp_path)  # no params.yaml is needed
    monkeypatch.setattr(accuracy, "TRAININGS", (SHORT,))
    monkeypatch.setattr(accuracy, "PENDULUM", SHORT)
    for name, value in {"SEEDS": (0, 1), "READINGS": 2, "STEPS": 20}.items():
        monkeypatch.setattr(drift, name, value)
    found = accuracy.measure("cpu", 1)
    assert [(row["samples"], row["precision"]) for row in found["accuracy"]] == [
        (samples, precision) for samples in (1, 10) for precision in ("fp32", "tf32", "bf16", "tf32, imitated")
    ]
    assert len(found["drift"]["bf16"]) == 2


def test_the_page_says_which_precision_is_exact() -> None:
    def row(precision: str, rms: float, mean: float) -> dict[str, object]:
        layers = [{"network": "critic", "layer": 0, "rms": 1e-3, "rms_of_means": 1e-5}]
        return {
            "subject": "x", "samples": 10, "precision": precision, "rms": rms, "mean": mean, "spread": 0.5,
            "size": 40.0, "layers": layers,
        }  # fmt: skip

    reading = {"step": 5, "mean": 0.04, "error": 0.02}
    record = {
        "accuracy": [row("fp32", 1e-5, 0.0), row("tf32", 0.009, -0.052), row("bf16", 0.011, 0.0)],
        "drift": {
            "subject": "x", "seeds": 2, "steps": 5, "discount": 0.9, "size": 4.0, "nudged": [reading],
            "bf16": [reading | {"injected": -0.4}],
        },
    }  # fmt: skip
    text = "\n".join(accuracy_page.sections([record], lambda _: "box", page.table))
    assert "- `fp32` is exact: at most 2.0e-05 of the spread and 0.0e+00 of |Q|." in text
    assert "- `tf32` is **not exact**: at most 1.8e-02 of the spread and 1.3e-03 of |Q|." in text
    assert "- `bf16` is **not exact**: at most 2.2e-02 of the spread and 0.0e+00 of |Q|." in text
    rows = [re.split(r"\s*(?<!\\)\|\s*", line.strip("| ")) for line in text.splitlines() if line.startswith("|")]
    assert ["x", "10", "tf32", "40.0", "0.500", "1.8e-02", "-1.3e-03"] in rows
    assert ["x", "critic", "1.0e-03 (1.0e-05)"] in rows
    assert ["5", "+1.0e-02 ± 5.0e-03", "+1.0e-02 ± 5.0e-03", "-1.0e-01"] in rows
