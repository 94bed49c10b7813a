"""The recipe of docs/sharing-with-dvc.md, followed word for word with a study of one's own on data of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from documentation import blocks, copy_of_the_project, run
from project import ROOT
from tiny import write_rows

pytestmark = pytest.mark.workflow

PAGE = ROOT / "docs/sharing-with-dvc.md"
TASK = {"dataset": "file:data/mine.hdf5", "env": "InvertedPendulum-v5", "reference_returns": [0.0, 100.0]}
EXPERIMENT = {"title": "My data", "tasks": ["mine"], "variants": {"DAC": {}}}
SMALL = {"preset": "small", "steps": 40, "batch_size": 16, "eval_interval": 10, "eval_episodes": 2}


def test_a_colleague_has_nothing_left_to_do(tmp_path: Path) -> None:
    """The three blocks of "docs/sharing-with-dvc.md": once, after a study, and at the colleague's."""
    project = copy_of_the_project(tmp_path / "project")
    variables = {"STORE": str(tmp_path / "store"), "REPOSITORY": str(tmp_path / "project.git")}
    write_rows(project / "data/mine.hdf5")
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["dvc_study"] = "mine"
    content["tasks"]["mine"] = TASK
    content["experiments"]["mine"] = EXPERIMENT
    content["studies"]["mine"] = {"experiments": ["mine"], "seeds": [0, 1], "settings": SMALL}
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    once, send, receive = (block.text for block in blocks(PAGE, "bash"))
    run(once, project, variables)
    assert "Data and pipelines are up to date" in run(send, project, variables)
    assert run("git status --porcelain", project) == ""

    # The colleague's commands begin outside any clone, and go on inside: there, with the code that was cloned.
    (tmp_path / "elsewhere").mkdir()
    colleague = tmp_path / "elsewhere/colleague"
    output = run(receive, colleague.parent, {**variables, "PYTHONPATH": str(colleague)})
    assert "Nothing to be done" in output and "Data and pipelines are up to date" in output
    assert "mine.mine.DAC" in output  # of `dvc metrics show`
    assert run("git status --porcelain", colleague) == ""
    assert not (colleague / "data").exists()
    assert run("dac why mine", colleague) == "mine: complete, nothing to do\n"
    # Without the data, an evaluation is made of the policies that were pulled.
    params = colleague / "params.yaml"
    params.write_text(yaml.safe_dump({**content, "evaluation": {**content["evaluation"], "episodes": 2}}))
    assert "train" not in run("snakemake mine --cores all --quiet host", colleague)
