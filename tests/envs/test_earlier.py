"""Metadata of data that were recorded before code moved: whoever reads them with Minari still gets the environment."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from gymnasium.envs.registration import EnvSpec

from dac import envs

PLACES = {
    "D4RL/AntMaze_UMaze-v2": "dac.d4rl_tasks:AntMaze",
    "D4RL/AdroitHandPen-v1": "dac.d4rl_tasks:make_pen",
    "D4RL/AdroitHandDoor-v1": "dac.d4rl_tasks:make_hand",
    "D4RL/Kitchen_MicrowaveKettleLightSlider-v0": "dac.d4rl_tasks:make_kitchen",
    "Bandit2D-v0": "dac.bandit:Bandit",
}
# In a process that has imported nothing of this program, as Minari's `recover_environment` makes it.
RECOVER = (
    "import sys, gymnasium; from gymnasium.envs.registration import EnvSpec;"
    "print(gymnasium.make(EnvSpec.from_json(sys.argv[1])).observation_space.shape)"
)


@pytest.mark.parametrize("env_id", PLACES)
def test_an_environment_of_before_is_recovered(env_id: str) -> None:
    env = envs.make(env_id)
    assert env.spec is not None
    specification = json.loads(env.spec.to_json()) | {"entry_point": PLACES[env_id]}
    command = [sys.executable, "-W", "ignore", "-c", RECOVER, json.dumps(specification)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(env.observation_space.shape), done.stderr


def test_recordings_name_the_wrappers_as_they_did() -> None:
    """So that equal data have equal metadata, and earlier versions of this program know them."""
    spec: EnvSpec | None = envs.make("Pendulum-v1").spec
    assert spec is not None
    places = [wrapper.entry_point for wrapper in spec.additional_wrappers]
    assert places == ["dac.envs:UnitAction", "dac.envs:FlatObservation"]
