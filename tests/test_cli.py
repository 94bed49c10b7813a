from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tiny import Project, publish, publish_study

from dac import cli
from dac.bench import accuracy, measure, page, targets
from dac.study import store, task_data
from dac.study.identity import Run
from dac.study.pending import Pending
from dac.system import files, signals
from dac.system.errors import UserError
from dac.training import trainer

ROOT = Path(__file__).parents[1]
Capture = pytest.CaptureFixture[str]


def dac(*arguments: str, capsys: Capture) -> tuple[int, str, str]:
    """A command in this process: exit status, output, errors."""
    capsys.readouterr()
    try:
        status = cli.main(arguments)
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refused(*arguments: str, capsys: Capture) -> str:
    """The message of a command that a user's mistake stops."""
    status, _, errors = dac(*arguments, capsys=capsys)
    assert status == 1
    assert errors.startswith("dac: ")
    assert "Traceback" not in errors
    return errors.removeprefix("dac: ").strip()


# The steps of the pipeline


def test_train_evaluate_report(project: Project, capsys: Capture) -> None:
    """The commands that Snakemake would run for the study leave it complete."""
    plan = project.plan()
    cell = plan.cells[0]
    pack = ("pendulum", cell.group.name, "--seeds", "0-1")
    names = "-".join(evaluation.fingerprint for evaluation in cell.evaluations)
    assert dac("train", *pack, capsys=capsys)[0] == 0
    assert dac("evaluate", *pack, "--evaluations", names, capsys=capsys)[0] == 0
    status, output, _ = dac("report", "tiny", "--plan", plan.fingerprint, capsys=capsys)
    assert (status, output) == (0, "Read results/tiny/README.md\n")
    assert Pending(plan.params, "5e5510").report("tiny") == []
    assert "Main" in Path("results/tiny/README.md").read_text()
    assert dac("why", capsys=capsys)[1] == "tiny: complete, nothing to do\n"
    events = [line.split('"event": "')[1].partition('"')[0] for line in store.JOURNAL.read_text().splitlines()]
    assert events == ["train"] * 2 + ["evaluate"] * 4 + ["report"]


def test_jobs_of_an_old_plan_refuse(project: Project, capsys: Capture) -> None:
    plan = project.plan()
    group, evaluation = plan.cells[0].group, plan.cells[0].evaluations[0]
    project.set("tasks.pendulum.settings.eta", 2.0).load()
    assert "no longer describes" in refused("train", "pendulum", group.name, "--seeds", "0", capsys=capsys)
    said = refused("report", "tiny", "--plan", plan.fingerprint, capsys=capsys)
    assert said.startswith(f"params.yaml changed since this page was planned (plan {plan.fingerprint}, now ")
    del project.settings["tasks"]["pendulum"]["settings"]["eta"]
    project.set("evaluation.episodes", 3).load()
    wanted = ("--seeds", "0", "--evaluations", evaluation.fingerprint)
    assert "no longer asks" in refused("evaluate", "pendulum", group.name, *wanted, capsys=capsys)
    said = refused("collect", "InvertedPendulum-v5", "--datasets", "0123456789ab", capsys=capsys)
    assert "its recipe for InvertedPendulum-v5 no longer gives 0123456789ab" in said
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "pendulun", "soft", "--seeds", "0"), "no task 'pendulun'; allowed: pendulum"),
        (("time", "pendulun", "timing-soft"), "no task 'pendulun'; allowed: pendulum"),
        (("collect", "Pendulun-v1", "--datasets", "0"), "collect: no environment 'Pendulun-v1'; allowed: "),
        (("runs", "pendulun"), "no task 'pendulun'; allowed: pendulum"),
        (("fetch", "tiny"), "No task or D4RL dataset 'tiny'. `dac fetch --all tiny` fetches what that study needs."),
    ],
)
def test_a_name_that_was_mistyped(arguments: tuple[str, ...], said: str, project: Project, capsys: Capture) -> None:
    project.load()
    assert said in refused(*arguments, capsys=capsys)
    assert not Path("results").exists()


def test_evaluating_and_reporting_before_training(project: Project, capsys: Capture) -> None:
    cell = project.plan().cells[0]
    wanted = ("--seeds", "0", "--evaluations", cell.evaluations[0].fingerprint)
    said = refused("evaluate", "pendulum", cell.group.name, *wanted, capsys=capsys)
    assert (
        said == f"results/runs/pendulum/{cell.group.name}/seed-0: missing. Start snakemake again: it re-makes this run."
    )
    assert "seed-0: missing" in refused("report", "tiny", capsys=capsys)


@pytest.mark.parametrize("seeds", ["0-0", "1-01", "zero", "0-", "", "0,1"])
def test_seeds(seeds: str, project: Project, capsys: Capture) -> None:
    said = refused("train", "pendulum", project.group().name, f"--seeds={seeds}", capsys=capsys)
    allowed = "different numbers joined by '-', and ranges of them, for example 0-2-5..9"
    assert said == f"--seeds: found {seeds!r}; allowed are {allowed}"


@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143)])
def test_the_exit_status_of_an_interrupted_training(
    number: int, status: int, project: Project, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object) -> None:
        raise signals.Interrupted("stopped by a signal", number)

    monkeypatch.setattr(trainer, "train", train)
    group = project.group().name
    assert dac("train", "pendulum", group, "--seeds", "0", capsys=capsys) == (status, "", "dac: stopped by a signal\n")


def test_fetch_knows_its_datasets(project: Project, capsys: Capture) -> None:
    project.load()
    said = refused("fetch", "hopper-medum-v2", capsys=capsys)
    assert "No task or D4RL dataset 'hopper-medum-v2'. Close matches: hopper-medium-v2" in said
    assert "is collected, not fetched: `snakemake <study>_datasets`" in refused("fetch", "replay", capsys=capsys)
    project.set("tasks.moons", {"dataset": "bandit:two-moons"}).load()
    assert "is drawn when it is needed; there is nothing to fetch" in refused("fetch", "moons", capsys=capsys)
    said = refused("fetch", "pendulum", "--dataset", "0123456789ab", capsys=capsys)
    assert "params.yaml changed since this job was planned: the dataset of pendulum is now file:data/pendu" in said


def test_fetch_converts_a_file_of_ones_own(project: Project, capsys: Capture) -> None:
    path = task_data.dataset_of(project.load(), "pendulum").path
    status, out, _ = dac("fetch", "pendulum", capsys=capsys)
    assert (status, out.splitlines()[-1]) == (0, f"file:data/pendulum.hdf5 is in {path}")
    assert (path / "dataset.json").is_file()


# Looking at the plan and the store


def test_plan(project: Project, capsys: Capture) -> None:
    project.set("studies.tiny.experiments", ["main", "guidance"]).set("studies.tiny.description", "A tiny study.")
    publish(project.plan().runs()[0])
    status, output, _ = dac("plan", capsys=capsys)
    assert status == 0
    lines = output.splitlines()
    assert lines[0] == "study tiny: A tiny study."
    rows = {line.split()[0]: line.split()[1:7] for line in lines[2:6]}
    #                        runs  own packs missing steps evaluations
    assert rows == {
        "experiment": ["runs", "own", "packs", "missing", "steps", "evaluations"],
        "main": ["2", "2", "1", "1", "80", "4"],
        "guidance": ["4", "2", "1", "2", "80", "4"],
        "total": ["4", "4", "2", "3", "160", "8"],
    }
    assert "wall clock of what is missing: about " in output
    assert "assumed" in output
    assert "`dac plan tiny --calibrate` measures here" in output
    assert lines[-2].startswith(
        "params.yaml: studies.tiny.settings.steps: found 40 with eta 1 and eta_lr 0.001 (soft on"
    )
    assert refused("plan", "tyni", capsys=capsys) == "params.yaml: no study 'tyni'; allowed: tiny. Did you mean 'tiny'?"


def test_status_and_show(project: Project, capsys: Capture) -> None:
    publish_study(project.plan())
    for study in ([], ["tiny"], ["tiny", "--watch"]):  # without a terminal there is nothing to draw over
        status, output, _ = dac("status", *study, capsys=capsys)
        assert (status, output.splitlines()[0]) == (0, "tiny: all 2 runs are done")
    said = refused("status", "tyni", capsys=capsys)
    assert said == "params.yaml: no study 'tyni'; allowed: tiny. Did you mean 'tiny'?"
    said = refused("show", "pendulum/hard/0", capsys=capsys)
    assert said.startswith("params.yaml: no study or run 'pendulum/hard/0'")
    run = Run(project.group(), 1)
    publish(run, "step,episode,return,length\n40,0,55.0,9\n")
    assert dac("show", "pendulum/soft/1", capsys=capsys)[1].split()[:2] == ["run", str(run)]


def test_why(project: Project, capsys: Capture) -> None:
    publish_study(project.plan())
    run = Run(project.set("tasks.pendulum.settings.eta", 2.0).group(), 1)
    assert f"/{run.group.name}, seeds 0-1: new setting eta: 1.0 → 2.0" in dac("why", "tiny", capsys=capsys)[1]
    for name in (str(run), f"results/runs/{run}", f"results/runs/{run}/"):
        assert dac("why", name, capsys=capsys)[:2] == (0, f"{run}: new setting eta: 1.0 → 2.0\n")
    said = refused("why", "replay", capsys=capsys)
    assert said.startswith("params.yaml: no study or run 'replay'; studies allowed: tiny.")


def test_tensorboard_shows_what_an_experiment_varies(project: Project, capsys: Capture) -> None:
    project.set("experiments.main", {"title": "Main", "tasks": ["pendulum"], "vary": {"diffusion_steps": [1, 2]}})
    groups = [cell.group for cell in project.set("studies.tiny.settings.steps", 10).plan().cells]
    for group in groups:
        assert dac("train", "pendulum", group.name, "--seeds", "0", capsys=capsys)[0] == 0
    assert sorted(path.name for path in Path("logs/tensorboard/pendulum").iterdir()) == [
        f"soft-H2-lcb0.5-diffusion_steps={count}-{group.fingerprint}"
        for count, group in zip((1, 2), groups, strict=True)
    ]
    assert all(store.run_problem(Run(group, 0)) is None for group in groups)


def test_runs(project: Project, capsys: Capture) -> None:
    plan = project.plan()
    assert dac("runs", capsys=capsys)[1] == "the store results/runs has no run\n"
    folders = [publish(run) for run in plan.runs()]
    status, output, _ = dac("runs", capsys=capsys)
    assert status == 0
    assert [line.split()[:3] for line in output.splitlines()[1:3]] == [["pendulum", "1", "2"], ["total", "1", "2"]]
    status, output, _ = dac("runs", "--all", capsys=capsys)
    assert status == 0
    assert dac("runs", "pendulum", capsys=capsys)[1] == output
    header, first, _ = output.splitlines()
    assert header.split() == ["run", "varied", "state", "evaluations", "MB", "used", "by"]
    assert first.split() == [str(plan.runs()[0]), "complete", "0", "0.0", "tiny"]
    (folders[0] / "curve.csv").unlink()
    status, output, errors = dac("runs", capsys=capsys)
    assert status == 1
    assert "incomplete: curve.csv is missing" in output
    assert errors.startswith("dac: some runs are damaged; delete the files and start snakemake again")


# Usage


def test_a_wrong_command_line(project: Project, capsys: Capture) -> None:
    assert dac("trian", capsys=capsys)[0] == 2
    assert dac(capsys=capsys)[0] == 2
    assert dac("train", "pendulum", capsys=capsys)[0] == 2
    status, output, _ = dac("--help", capsys=capsys)
    assert status == 0
    for command in ("plan", "why", "runs", "fetch", "collect", "train", "evaluate", "report", "bench"):
        assert command in output


def test_a_mistake_in_params(project: Project, capsys: Capture) -> None:
    with pytest.raises(UserError):
        project.set("agent.guidence", "soft").load()
    for command in (["plan"], ["why"], ["runs"], ["train", "pendulum", "x", "--seeds", "0"], ["report", "tiny"]):
        assert "agent.guidence: unknown key" in refused(*command, capsys=capsys)


def test_as_a_module(project: Project) -> None:
    project.load()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dac", "why", "tyni"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.startswith("dac: params.yaml: no study or run 'tyni'")


# The evaluation's rows are what the page shows


def test_the_page_shows_the_scores(project: Project, capsys: Capture) -> None:
    plan = project.set("studies.tiny.seeds", [0]).plan()
    cell = plan.cells[0]
    pack = ("pendulum", cell.group.name, "--seeds", "0")
    names = "-".join(evaluation.fingerprint for evaluation in cell.evaluations)
    for command in (("train", *pack), ("evaluate", *pack, "--evaluations", names), ("report", "tiny")):
        assert dac(*command, capsys=capsys)[0] == 0
    curve = pd.read_csv(store.run_directory(Run(cell.group, 0)) / "curve.csv")
    expected = curve.query("step >= 30")["return"].mean() - 5.0  # reference returns 5 and 105, window 2
    metrics = files.read_json(Path("results/tiny/metrics.json"))
    assert metrics == {"score": {"main": {"pendulum": {"soft": pytest.approx(expected, abs=1e-4)}}}}


def test_parity_passes_and_fails_by_its_tolerance(capsys: Capture) -> None:
    recording = str(ROOT / "tests/data/parity/soft_min.npz")
    status, out, _ = dac("parity", recording, "--dtype", "float64", "--pack", "2", capsys=capsys)
    assert status == 0
    assert "parameters/critic" in out
    message = refused("parity", recording, "--tolerance", "1e-12", capsys=capsys)
    assert "soft_min: next_q deviates by" in message


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("file:x.hdf5", "is a file of yours"),
        ("bandit:two-moons", "is drawn when it is needed"),
        ("collect:Hopper-v4/medium", "is collected"),
        ("minari:", "give a name behind it"),
        ("minari:foo/bar", "give the version too"),
    ],
)
def test_what_cannot_be_fetched_says_why(
    what: str, said: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.load()
    assert cli.main(["fetch", what]) == 1
    assert said in capsys.readouterr().err


# Options that would be ignored, and values that nothing can be measured with


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--targets", "--device", "cuda", "--runs", "1", "8"), "--targets: found --device, --runs, which"),
        (("--targets", "--precision", "fp32"), "--targets: found --precision"),  # also where it is the default
        (("--targets", "--kernel", "triton"), "allowed with it: --threads, --seconds, --json."),
        (("--accuracy", "--precision", "bf16"), "allowed with it: --device, --threads, --json."),
        (("--accuracy", "quick/soft/0", "--seconds", "3"), "--accuracy: found --seconds"),
        (("--page", "--json", "page.json"), "--page: found --json, which it does not heed; allowed with it: nothing."),
    ],
)
def test_options_that_a_benchmark_would_ignore(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for module, name in ((targets, "measure"), (accuracy, "measure"), (page, "write")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("it was begun"))
    assert said in refused("bench", *arguments, capsys=capsys)


def test_what_a_benchmark_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture) -> None:
    """And what holds where nothing is said."""
    told: list[tuple[object, ...]] = []
    for module in (targets, accuracy, measure):
        monkeypatch.setattr(module, "measure", lambda *arguments: told.append(arguments) or {"date": "today"})
    out = tmp_path / "found.json"
    everything = ("--runs", "1", "8", "--diffusion-steps", "5", "--precision", "bf16", "--kernel", "triton")
    for arguments in (
        (),
        ("--device", "cuda:1", "--threads", "4", "--seconds", "0.5", *everything, "--processes", "8"),
        ("--targets", "--threads", "4", "--seconds", "30"),
        ("--accuracy", "a/b/0", "c/d/1", "--device", "auto", "--json", str(out)),
        ("--accuracy",),
    ):
        assert dac("bench", *arguments, capsys=capsys)[0] == 0
    assert told == [
        ("cpu", 2, 10.0, [1], [], "fp32", 0, "torch"),
        ("cuda:1", 4, 0.5, [1, 8], [5], "bf16", 8, "triton"),
        (4, 30.0),
        ("auto", 2, ["a/b/0", "c/d/1"]),
        ("cpu", 2, []),
    ]
    assert files.read_json(out) == {"date": "today"}


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--threads", "0", "a whole number from 1 on"),
        ("--runs", "-1", "a whole number from 1 on"),
        ("--diffusion-steps", "1001", "a whole number from 1 to 1000"),
        ("--processes", "two", "a whole number from 0 on"),
        ("--seconds", "nan", "a number above 0"),
        ("--seconds", "soon", "a number above 0"),
        ("--device", "gpu", "cpu, cuda, cuda:NUMBER, auto"),
    ],
)
def test_values_that_nothing_can_be_measured_with(option: str, value: str, allowed: str, capsys: Capture) -> None:
    status, _, errors = dac("bench", option, value, capsys=capsys)
    assert status == 2
    assert f"argument {option}: found '{value}'; allowed: {allowed}" in errors


def test_a_benchmark_does_one_thing(capsys: Capture) -> None:
    status, _, errors = dac("bench", "--accuracy", "--targets", capsys=capsys)
    assert status == 2
    assert "argument --targets: not allowed with argument --accuracy" in errors


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_kernels_of_a_precision_that_has_none(device: str, capsys: Capture) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    arguments = ("--kernel", "triton", "--precision", "bf16", "--device", device)
    said = "--kernel triton: precision: bf16; the Triton kernels have fp32 and tf32."
    assert refused("bench", *arguments, capsys=capsys).startswith(said)
