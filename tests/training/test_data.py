from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import Project, write_rows

from dac.system.errors import UserError
from dac.training.data import training_data


def test_all_transitions_are_put_on_the_device_with_their_names(project: Project) -> None:
    data = training_data(project.group())
    assert (data.observation_dim, data.action_dim) == (4, 1)
    batch = data.on(torch.device("cpu"))
    assert batch.observations.shape == (len(data.transitions), 4)
    for name in ("observations", "actions", "rewards", "next_observations", "dones"):
        np.testing.assert_array_equal(getattr(batch, name).numpy(), getattr(data.transitions, name))


def test_data_of_another_environment_are_refused(project: Project) -> None:
    write_rows(Path("data/pendulum.hdf5"), observation_dim=11)
    with pytest.raises(UserError, match=r"tasks\.pendulum: .* of shapes \(11,\) and \(1,\), .* \(4,\) and \(1,\)"):
        training_data(project.group())


def test_a_batch_larger_than_the_data_is_refused(project: Project) -> None:
    group = project.set("studies.tiny.settings.batch_size", 1000).group()
    # 240 rows less 10 time-outs; the last of them is the last row, too.
    with pytest.raises(UserError, match=r"230 transitions, fewer than batch_size \(1000\)"):
        training_data(group)
