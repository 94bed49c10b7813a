from __future__ import annotations

from tiny import Project, publish

from dac.study import origin
from dac.study.identity import Run


def test_settings_that_differ_from_the_defaults(project: Project) -> None:
    project.set("training.batch_size", 16).set("tasks.pendulum.settings.eta_lr", 0.0)
    project.set("tasks.pendulum.settings.bc_threshold", 0.05)  # without effect: eta is fixed
    found = origin.differing_settings(project.load(), project.group())
    assert found["lcb_coefficient"] == (1.0, 0.5)
    assert found["hidden_sizes"] == ([256, 256, 256], [8, 8])
    assert found["eta_lr"] == (0.001, 0.0)
    assert not {"batch_size", "bc_threshold", "guidance"} & set(found)


def test_the_commands_that_make_a_run(project: Project) -> None:
    cell = project.plan().cells[0]
    run, names = Run(cell.group, 1), "-".join(evaluation.fingerprint for evaluation in cell.evaluations)
    commands = [
        f"dac train pendulum {cell.group.name} --seeds 1",
        f"dac evaluate pendulum {cell.group.name} --seeds 1 --evaluations {names}",
    ]
    assert origin.remake_commands(run.group, [1], cell.evaluations) == commands
    folder = publish(run)
    assert origin.remake_commands(run.group, [1], cell.evaluations) == [f"rm -r {folder}", *commands]
    project.set("tasks.pendulum", {"dataset": "d4rl:hopper-medium-v2", "env": "Hopper-v4"})
    assert origin.remake_commands(project.group(), [0], cell.evaluations)[0] == "dac fetch pendulum"
