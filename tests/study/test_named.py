from __future__ import annotations

import pytest
from tiny import Project

from dac.study import named
from dac.study.identity import Run
from dac.system.errors import UserError


def test_names_of_a_run(project: Project) -> None:
    params, run = project.load(), Run(project.group(), 1)
    group = run.group
    for name in (
        str(run),
        f"results/runs/{run}/",
        f"{group.fingerprint}/1",
        f"{group.fingerprint[:5]}/seed-1",
        f"pendulum/{group.fingerprint}/1",
        "pendulum/soft/1",  # the variant of an experiment
        "pendulum/soft-H2-lcb0.5/seed-1",
        "pendulum/1",
    ):
        assert named.run(params, name) == run
    assert named.run(params, group.fingerprint).seed == 0


def test_a_name_that_means_several(project: Project) -> None:
    params = project.set("studies.tiny.experiments", ["guidance"]).load()
    with pytest.raises(UserError, match="'pendulum/1' names runs of 2 settings") as error:
        named.run(params, "pendulum/1")
    assert [line.split("-")[0] for line in str(error.value).splitlines()[1:]] == ["  pendulum/soft", "  pendulum/none"]


@pytest.mark.parametrize("name", ["tyni", "pendulum/soft/7", "pendlum/soft/0", "abc", "0123456789ab/0"])
def test_a_name_of_none(name: str, project: Project) -> None:
    with pytest.raises(UserError, match=f"no study or run '{name}'; studies allowed: tiny.") as error:
        named.run(project.load(), name)
    assert str(error.value).endswith("one of params.yaml." if name[0] in "0at" else "such as pendulum.")
