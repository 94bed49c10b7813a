"""The workflow on a real Slurm of one node, by the profile: what a cluster does to jobs loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import slurm
import yaml
from project import TIMEOUT, Project, environment, new_project
from slurm import Cluster, wait_until

from dac.cost import demand, speeds
from dac.study import check, plan

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.slurm,
    pytest.mark.skipif(slurm.what_is_missing() is not None, reason=f"no Slurm: {slurm.what_is_missing()}"),
]

# The runs of each value of rho meet something of their own.
REQUEUED, CANCELLED, LIMITED, ORPHANED = RHOS = (0.1, 0.2, 0.3, 0.4)
SETTINGS = {"steps": 2000, "eval_interval": 400, "batch_size": 16, "eval_episodes": 2, "eval_action_samples": 2,
            "kept_policies": 1, "hidden_sizes": [8, 8], "ensemble_size": 2, "next_action_samples": 2}  # fmt: skip
SEEDS = (0, 1)
# Nothing is to be collected for it.
BANDIT = {"dataset": "bandit:two-moons", "env": "Bandit2D-v0", "reward_scaling": "none"}
# Slurm is asked more often than a user's patience asks for.
OFTEN = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5"]

# Takes the place of `dac` in the jobs: run.json of one group is out of view from its training's end until the command
# of its evaluation looks, as on a shared file system that is behind.
LATE = f"""
import sys
from pathlib import Path

from dac.cli import main


def move(old, new):
    for path in Path().glob(f"results/runs/replay/soft-H2-lcb{REQUEUED}-*/seed-*/{{old}}"):
        path.rename(path.with_name(new))


if __name__ == "__main__":
    command, group = sys.argv[1], (sys.argv[3:] or [""])[0]
    its_own = group.startswith("soft-H2-lcb{REQUEUED}-")
    if its_own and command == "evaluate":
        move("run.json.late", "run.json")
    status = main(sys.argv[1:])
    if its_own and command == "train" and status == 0:
        move("run.json", "run.json.late")
    sys.exit(status)
"""


def params(rhos: tuple[float, ...]) -> dict[str, Any]:
    """A study of one task, with a group for each rho."""
    content: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "params.yaml").read_text())
    variants = {f"rho {rho}": {"lcb_coefficient": rho} for rho in rhos}
    content["experiments"] = {
        "main": {"title": "On a cluster", "tasks": ["replay"], "variants": variants, "show": ["scores"]}
    }
    study = {"description": "A study.", "experiments": ["main"], "seeds": list(SEEDS), "settings": SETTINGS}
    content |= {"studies": {"mini": study}}
    content["compute"] |= {"checkpoint_seconds": 1}
    return content


def write_params(project: Project, content: dict[str, Any]) -> None:
    (project.path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with slurm.running_cluster() as running:
        yield running


@dataclass(frozen=True)
class Head:
    """The machine where a user starts snakemake."""

    project: Project
    cluster: Cluster
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str, output: str) -> subprocess.Popen[bytes]:
        """Start `snakemake <arguments>` with the plugin; what it says goes to a file of the project."""
        python = str(slurm.python_with_plugin())
        with (self.project.path / output).open("wb") as stream:
            process = subprocess.Popen(
                [python, "-m", "snakemake", *arguments],
                cwd=self.project.path,
                env=self.cluster.environment(environment()),
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def make(self, output: str) -> subprocess.Popen[bytes]:
        return self.start("mini", "--workflow-profile", "workflow/profiles/slurm", *OFTEN, output=output)

    def said(self, output: str) -> str:
        return (self.project.path / output).read_text()

    # Trainings

    def folder(self, rho: float, seed: int) -> Path:
        return self.project.run_folder(f"replay/lcb{rho}/{seed}")

    def log(self, rho: float) -> str:
        found = self.project.path.glob(f"logs/train/replay/soft-H2-lcb{rho}-*/0-1.log")
        return "".join(path.read_text() for path in found)

    def trainings(self, rho: float) -> list[int]:
        """Process numbers of `dac train` of a group, in this project, without what started them."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().decode().split("\0")
                here = (process / "cwd").readlink() == self.project.path
            except (OSError, UnicodeDecodeError):
                continue
            if here and words[1:3] == ["late.py", "train"] and words[4].startswith(f"soft-H2-lcb{rho}-"):
                found.append(int(process.name))
        return found

    def stop_in_the_middle(self) -> dict[float, int]:
        """Stop each training after an evaluation, so that what happens next happens there; their numbers."""
        stopped: dict[float, int] = {}
        until = time.monotonic() + TIMEOUT
        while len(stopped) < len(RHOS):
            assert time.monotonic() < until, self.said("first.txt")
            for rho in RHOS:
                if rho not in stopped and "step 400: return" in self.log(rho):
                    (stopped[rho],) = self.trainings(rho)
                    os.kill(stopped[rho], signal.SIGSTOP)
            time.sleep(0.02)
        return stopped

    # What is there

    def resumed_from(self, rho: float, seed: int) -> int:
        """The step that the last attempt of a run's training began at."""
        content = json.loads((self.folder(rho, seed) / "provenance.json").read_text())
        return int(content["resumed_from_step"])

    def evaluated(self, rho: float) -> bool:
        events = [event for event in self.project.journal() if event["event"] == "evaluate"]
        return len([event for event in events if f"lcb{rho}-" in event["run"]]) == len(SEEDS)

    def results(self) -> dict[str, bytes]:
        """Contents of all that a study computes, by their paths."""
        results = self.project.path / "results"
        names = ("runs/*/*/*/curve.csv", "runs/*/*/*/policy-*", "runs/*/*/*/evaluation-*", "mini/tables/*.csv")
        paths = {path for name in names for path in results.glob(name)} - {results / "mini/tables/provenance.csv"}
        return {str(path.relative_to(results)): path.read_bytes() for path in paths}


@pytest.fixture
def head(cluster: Cluster, tmp_path: Path) -> Iterator[Head]:
    """In a project without parameters, whose path has a space."""
    project = new_project(tmp_path / "my project")
    project.git("init", "--quiet")
    head = Head(project, cluster)
    yield head
    for process in head.started:
        process.kill()
        process.wait()
    cluster.cancel_all()
    for path in sorted(project.path.glob("*.txt")):
        print(path.read_text())  # pytest shows it where the test failed


def test_nothing_is_lost(head: Head, cluster: Cluster, tmp_path: Path) -> None:
    """A job is requeued, one cancelled, one at its limit; the node is drained, snakemake killed and started again."""
    project = head.project
    write_params(project, params(RHOS))
    (project.path / "late.py").write_text(LATE)
    project.edit("workflow/rules/common.smk", "(sys.executable)} -m dac", "(sys.executable)} late.py")

    # A drained node starts nothing until it is resumed.
    cluster.set_node("DRAIN")
    first = head.make("first.txt")
    wait_until(lambda: [job.state for job in cluster.jobs("collect")] == ["PENDING"], "the first job is in the queue")
    cluster.set_node("RESUME")
    stopped = head.stop_in_the_middle()
    ours = {rho: cluster.jobs("train", f"lcb{rho}-")[0] for rho in RHOS}
    assert all("gres" not in cluster.details(job) for job in ours.values())  # the device is the CPU

    cluster.run("scontrol", "requeue", ours[REQUEUED].number)
    cluster.run("scancel", ours[CANCELLED].number)
    cluster.run("scontrol", "update", f"JobId={ours[LIMITED].number}", "TimeLimit=1")
    local = new_project(tmp_path / "local")
    write_params(local, params(RHOS))
    local.succeed("snakemake", "mini", "--cores", "2", "--show-failed-logs")  # while Slurm waits

    # Requeued: the same job again, and its evaluation, whose node does not see run.json. The others: a second attempt.
    wait_until(lambda: head.evaluated(REQUEUED) or first.poll() is not None, "the requeued job is evaluated")
    for rho in (CANCELLED, LIMITED):
        wait_until(lambda rho=rho: len(cluster.jobs("train", f"lcb{rho}-")) == 2, f"a second attempt at {rho}")
    assert first.poll() is None, head.said("first.txt")
    states = [cluster.jobs("train", f"lcb{rho}-")[0].state for rho in RHOS]
    assert states == ["COMPLETED", "CANCELLED", "TIMEOUT", "RUNNING"]
    # An error names the log of the rule and of Slurm, and shows the job's last words.
    said = head.said("first.txt")
    assert f"SLURM-job '{ours[LIMITED].number}' failed, SLURM status is: 'TIMEOUT'" in said
    assert f"{ours[LIMITED].number}.log" in said
    assert "interrupted at step" in said

    # Without snakemake its jobs go on; the next one's job waits for the one that is there.
    first.kill()
    first.wait(TIMEOUT)
    second = head.make("second.txt")
    wait_until(lambda: "waiting for process" in head.log(ORPHANED), "the second training waits for the first")
    os.kill(stopped[ORPHANED], signal.SIGCONT)
    assert second.wait(TIMEOUT) == 0, head.said("second.txt")

    trained = [event["run"] for event in project.journal() if event["event"] == "train"]
    assert sorted(trained) == sorted(set(trained))
    assert len(trained) == len(RHOS) * len(SEEDS)
    resumed = {rho: [head.resumed_from(rho, seed) for seed in SEEDS] for rho in RHOS}
    assert resumed[ORPHANED] == [0, 0]
    assert min(min(resumed[rho]) for rho in (REQUEUED, CANCELLED, LIMITED)) >= 400
    results = head.results()
    assert len(results) > 3 * len(RHOS) * len(SEEDS)  # curve, policy, evaluation; tables
    assert results == Head(local, cluster).results()


def test_a_job_asks_for_what_the_plan_estimates(head: Head, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training where the device is not the CPU: a GPU, and the estimated memory and time. Ctrl-C cancels it."""
    content = params(RHOS[:1])
    content["compute"] |= {"device": "auto", "threads_per_job": 2}
    content["tasks"]["replay"] = BANDIT
    write_params(head.project, content)
    cluster.set_node("DRAIN")
    before = len(cluster.jobs("train"))
    process = head.make("said.txt")
    wait_until(lambda: len(cluster.jobs("train")) > before or process.poll() is not None, "a training is in the queue")
    job = cluster.jobs("train")[-1]
    details = cluster.details(job)
    process.send_signal(signal.SIGINT)
    process.wait(TIMEOUT)
    cluster.set_node("RESUME")
    assert cluster.jobs("train")[-1].state == "CANCELLED", head.said("said.txt")

    monkeypatch.chdir(head.project.path)
    loaded = check.load()
    (cell,) = plan.study_plan(loaded, "mini").cells
    asked = demand.training(cell.group, len(SEEDS), loaded, speeds.calibration(loaded.compute))
    assert "TresPerJob=gres:gpu:1" in details
    assert f"MinMemoryNode={asked.mem_mb}M" in details
    assert f"TimeLimit=00:{asked.runtime}:00" in details
    assert "NumCPUs=2 " in details


def test_many_seeds_and_evaluations_have_names_that_fit(head: Head, cluster: Cluster) -> None:
    """The plugin makes one folder's name of a job's wildcards: here of 32 seeds and 10 values of N_a."""
    content = params(RHOS[:1])
    content["tasks"]["replay"] = BANDIT
    content["compute"] |= {"pack_size": 32}
    content["experiments"]["main"]["show"] = ["bandit"]
    content["studies"]["mini"] |= {
        "seeds": list(range(32)),
        "settings": {**SETTINGS, "steps": 2, "eval_interval": 1},
        "evaluation": {"action_samples": list(range(1, 11)), "episodes": 1},
    }
    write_params(head.project, content)
    before = len(cluster.jobs())
    assert head.make("said.txt").wait(TIMEOUT) == 0, head.said("said.txt")
    rules = [job.comment.split("_")[1] for job in cluster.jobs()[before:]]
    assert rules == ["train", "evaluate", "evaluate"]
    assert len(list((head.project.path / "results/runs").glob("*/*/*/evaluation-*"))) == 32 * 10
