"""A project of its own for a test: the repository's workflow on the miniature study, run as a user runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.executable)
SOURCES = ("Snakefile", "dvc.yaml", ".gitignore", ".dvcignore", ".dvc/config", "pyproject.toml", "dac", "workflow")
TIMEOUT = 900  # seconds, for any one command, on a machine that has much else to do

TOOLS = ("snakemake", "dvc")
NAMED_BY = {"collect": "dataset", "report": "study", "time": "timing"}  # keys of the journal's events
ACTION_SAMPLES = {"replay": (1, 2), "expert": (1,)}  # N_a that the miniature study evaluates, by task


@dataclass
class Work:
    """What was executed. Runs are named <task>/<Q-target>/<seed>, evaluations with N_a behind, such as `… N_a 2`, and
    timings as their folders.
    """

    collected: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    evaluated: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    timed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for items in (self.collected, self.trained, self.evaluated, self.reported, self.timed):
            items.sort()


def runs(group: str, *seeds: int) -> list[str]:
    """Names of runs: of one group, such as `replay/lcb0.5`, at some seeds."""
    return [f"{group}/{seed}" for seed in seeds]


def evaluations(names: Iterable[str]) -> list[str]:
    """Names of all evaluations that the study asks of some runs."""
    return [f"{name} N_a {count}" for name in names for count in ACTION_SAMPLES[name.partition("/")[0]]]


def nothing() -> Work:
    """No work at all."""
    return Work()


def page_alone(*studies: str) -> Work:
    """Pages are written, nothing is trained or evaluated."""
    return Work(reported=list(studies or ("mini",)))


def made(*names: str) -> Work:
    """Runs are trained and evaluated, and the page of `mini` is written."""
    return Work(trained=list(names), evaluated=evaluations(names), reported=["mini"])


@dataclass(frozen=True)
class Project:
    """A project folder with the repository's code, its own params.yaml, git and DVC.

    Args:
        path: of the folder. python: that runs its commands, see `preloaded`; Snakemake and DVC are beside it.
    """

    path: Path
    python: Path = PYTHON

    # Commands

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `python -m <arguments>` in the project, with the project's code and the interpreter's tools."""
        return subprocess.Popen(
            [self.python, "-m", *arguments],
            cwd=self.path,
            env=environment(self.python),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Exit status and output of a started command; one that takes too long is killed with its children."""
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            pytest.fail(f"{process.args!r} took more than {TIMEOUT} s:\n{output}")
        return process.returncode, output

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output of `python -m <arguments>`."""
        return self.finish(self.start(*arguments))

    def succeed(self, *arguments: str) -> str:
        """Output of `python -m <arguments>`, which must end well."""
        status, output = self.run(*arguments)
        assert status == 0, f"{' '.join(arguments)} ended with {status}:\n{output}"
        return output

    def git(self, *arguments: str) -> None:
        command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *arguments]
        subprocess.run(command, cwd=self.path, env=environment(), check=True, capture_output=True, timeout=TIMEOUT)

    def make(self, tool: str, *studies: str) -> Work:
        """Ask Snakemake for studies, or DVC for the one that dvc_study names, and return what was executed."""
        before = len(self.journal())
        if tool == "snakemake":
            self.succeed("snakemake", *studies, "--cores", "2", "--show-failed-logs")
        else:
            self.succeed("dvc", "repro")
        return work_of(self.journal()[before:])

    # Edits

    @property
    def params(self) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load((self.path / "params.yaml").read_text())
        return content

    def set_param(self, key: str, value: Any) -> None:
        """Set a dotted key of params.yaml, such as `studies.mini.seeds`."""
        content = self.params
        *parents, last = key.split(".")
        section = content
        for parent in parents:
            section = section[parent]
        section[last] = value
        # In one go: a job that starts at this moment must not read half a file.
        new = self.path / "params.yaml.new"
        new.write_text(yaml.safe_dump(content, sort_keys=False))
        new.replace(self.path / "params.yaml")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text that stands exactly once in a file."""
        text = (self.path / name).read_text()
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        (self.path / name).write_text(text.replace(old, new))

    def edit_all(self, name: str, old: str, new: str) -> None:
        """Replace a text wherever it stands in a file."""
        text = (self.path / name).read_text()
        assert old in text
        (self.path / name).write_text(text.replace(old, new))

    # What is there

    def journal(self) -> list[dict[str, Any]]:
        path = self.path / "work/journal.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def run_folder(self, name: str) -> Path:
        """Folder of the one run of that name, such as `replay/lcb0.5/1`."""
        task, target, seed = name.split("/")
        (folder,) = (self.path / "results/runs" / task).glob(f"soft-H2-{target}-*/seed-{seed}")
        return folder

    def store(self) -> set[str]:
        """Every file of the store and of the pages."""
        return {str(path.relative_to(self.path)) for path in (self.path / "results").rglob("*") if path.is_file()}

    def table(self, name: str, study: str = "mini") -> pd.DataFrame:
        return pd.read_csv(self.path / "results" / study / "tables" / f"{name}.csv", dtype={"seeds": "Int64"})

    # Assertions

    def assert_settled(self, study: str = "mini") -> None:
        """The tables show what params.yaml says, and neither tool finds anything left to do."""
        self.assert_tables(study)
        output = self.succeed("snakemake", study, "--dry-run")
        assert "Nothing to be done" in output, output
        output = self.succeed("dvc", "status")
        assert "Data and pipelines are up to date" in output, output

    def assert_tables(self, study: str) -> None:
        """Every mean, deviation and count of the tables equals one computed here from the files of the store."""
        for name in self.params["studies"][study]["experiments"]:
            experiment = self.params["experiments"][name]
            scores = self.table(f"{name}-scores", study).query("source == 'this study'").set_index(["task", "method"])
            expected = self._expected(study, experiment)
            assert sorted(scores.index) == sorted(expected)
            for key, values in expected.items():
                found = scores.loc[[key]].iloc[0]
                assert found["seeds"] == len(values)
                assert found["mean"] == pytest.approx(values.mean(), abs=6e-5), (name, key)
                assert found["std"] == pytest.approx(values.std(ddof=1), abs=6e-5), (name, key)
            if "action_samples" in experiment["show"]:
                self._assert_action_samples(study, name, experiment)

    def _expected(self, study: str, experiment: dict[str, Any]) -> dict[tuple[str, str], pd.Series]:
        """Scores of the runs behind each cell of a table, by task and variant."""
        return {
            (task, variant): pd.Series([self._curve_score(folder, task) for folder in folders])
            for task, variant, folders in self._cells(study, experiment)
        }

    def _assert_action_samples(self, study: str, name: str, experiment: dict[str, Any]) -> None:
        counts = experiment["evaluation"]["action_samples"]
        table = self.table(f"{name}-action-samples", study).set_index(["task", "variant", "action_samples"])
        cells = list(self._cells(study, experiment))
        assert len(table) == len(cells) * len(counts)
        for task, variant, folders in cells:
            for count in counts:
                means = [self._evaluation_score(folder, task, count) for folder in folders]
                assert table.loc[(task, variant, count), "mean"] == pytest.approx(sum(means) / len(means), abs=6e-5)

    def _cells(self, study: str, experiment: dict[str, Any]) -> Iterable[tuple[str, str, list[Path]]]:
        """Task, variant and run folders of each cell, found by what the runs' run.json say of themselves."""
        targets = experiment["vary"]["q_target"] if "vary" in experiment else ["lcb"]
        for task in experiment["tasks"]:
            for target in targets:
                folders = [self._find(task, target, seed) for seed in self.params["studies"][study]["seeds"]]
                yield task, target if "vary" in experiment else "dac", folders

    def _find(self, task: str, target: str, seed: int) -> Path:
        rho = (
            self.params["tasks"][task]
            .get("settings", {})
            .get("lcb_coefficient", self.params["agent"]["lcb_coefficient"])
        )
        version = re.search(
            rf'^Q_TARGET = .*"{target}": (\d+)', (self.path / "dac/study/versions.py").read_text(), re.M
        )
        assert version
        wanted = {"q_target": target, "rho": rho if target == "lcb" else None, "version": int(version[1])}
        found = []
        for path in (self.path / "results/runs" / task).glob(f"*/seed-{seed}/run.json"):
            identity = json.loads(path.read_text())["identity"]
            settings = identity["settings"]
            this = {
                "q_target": settings["q_target"],
                "rho": settings.get("lcb_coefficient"),
                "version": identity["versions"]["q_target"],
            }
            found += [path.parent] if this == wanted else []
        assert len(found) == 1, f"runs of {task}, seed {seed}, with {wanted}: {found}"
        return found[0]

    def _score(self, task: str, value: float) -> float:
        low, high = self.params["tasks"][task]["reference_returns"]
        return float(100 * (value - low) / (high - low))

    def _curve_score(self, folder: Path, task: str) -> float:
        """Mean of the run's last evaluations during training, as a score."""
        means = pd.read_csv(folder / "curve.csv").groupby("step")["return"].mean()
        return self._score(task, means.tail(self.params["report"]["window"]).mean())

    def _evaluation_score(self, folder: Path, task: str, action_samples: int) -> float:
        """Mean score of the run's evaluation after training, with the number of episodes that params.yaml says."""
        episodes = self.params["evaluation"]["episodes"]
        content = json.loads((folder / "run.json").read_text())
        (entry,) = (
            entry
            for entry in content["evaluations"].values()
            if (entry["settings"]["action_samples"], entry["settings"]["episodes"]) == (action_samples, episodes)
        )
        frame = pd.read_parquet(folder / entry["file"])
        assert len(frame) == episodes
        return self._score(task, frame["return"].mean())


def work_of(events: list[dict[str, Any]]) -> Work:
    """The journal's lines as the work that they record."""
    work: dict[str, list[str]] = {"collect": [], "train": [], "evaluate": [], "report": [], "time": []}
    for event in events:
        name = _run_name(event["run"]) if "run" in event else event[NAMED_BY[event["event"]]]
        count = f" N_a {event['action_samples']}" if event["event"] == "evaluate" else ""
        work[event["event"]].append(name + count)
    return Work(work["collect"], work["train"], work["evaluate"], work["report"], work["time"])


def _run_name(run: str) -> str:
    match = re.fullmatch(r"([a-z]+)/soft-H2-([a-z]+[0-9.]*)-[0-9a-f]{12}/seed-(\d+)", run)
    assert match, run
    return "/".join(match.groups())


def environment(python: Path = PYTHON) -> dict[str, str]:
    """This environment, without what would lead a command to other code, and with an interpreter's tools first."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DVC_", "SNAKEMAKE", "GIT_"))
    }
    return kept | {
        "PATH": os.pathsep.join([str(python.parent), str(PYTHON.parent), os.environ["PATH"]]),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def new_project(folder: Path, python: Path = PYTHON) -> Project:
    """The repository's code in a folder, without parameters."""
    for name in SOURCES:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target)  # what is compiled, too
        else:
            shutil.copy(ROOT / name, target)
    return Project(folder, python)


def build_base(folder: Path) -> Project:
    """The project that all tests start from: the finished miniature study, committed, with DVC's remote pushed.

    Its store also has the runs of replay at rho 0.25, at which the study stood for a while.
    """
    shutil.rmtree(folder, ignore_errors=True)
    project = new_project(folder / "project")
    shutil.copy(ROOT / "tests/workflow/params.yaml", project.path)
    project.git("init", "--quiet", "--initial-branch", "main")
    project.succeed("dvc", "remote", "add", "--default", "local", str(folder / "remote"))
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "code and parameters")
    project.make("snakemake", "mini")
    project.assert_settled()
    project.set_param("tasks.replay.settings.lcb_coefficient", 0.25)
    project.make("snakemake", "mini_runs")
    project.git("checkout", "params.yaml")
    project.succeed("dvc", "commit", "--force")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "results")
    project.succeed("dvc", "push")
    return project


def copy_of(base: Project, folder: Path) -> Project:
    """A working copy in the state of the base: results, DVC's cache and Snakemake's notes included."""
    shutil.copytree(base.path, folder, symlinks=True)
    return replace(base, path=folder)


def clone_of(base: Project, folder: Path) -> Project:
    """A fresh clone of the base's repository, before `dvc pull`."""
    base.git("clone", "--quiet", str(base.path), str(folder))
    return replace(base, path=folder)
