from __future__ import annotations

import subprocess
import sys

import pytest

from dac.study.catalog import d4rl_file, d4rl_ids, reference_returns, usable_returns
from dac.system.errors import UserError

PAPER = [
    *(
        f"{env}-{level}-v2"
        for env in ("halfcheetah", "hopper", "walker2d")
        for level in ("medium", "medium-replay", "medium-expert")
    ),
    *(
        f"antmaze-{maze}-v0"
        for maze in ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
    ),
]


@pytest.mark.parametrize("dataset", PAPER)
def test_every_dataset_of_the_paper_has_a_checked_file_and_reference_returns(dataset: str) -> None:
    file = d4rl_file(dataset)
    assert file.id == dataset
    assert file.url.startswith("http")
    assert file.size is not None
    assert file.size > 10_000_000
    assert file.sha256 is not None
    assert len(file.sha256) == 64
    low, high = reference_returns(dataset)
    assert low < high


def test_file_entry() -> None:
    file = d4rl_file("hopper-medium-v2")
    assert file.size == 152_756_557
    assert file.sha256 == "5bdf1bc4a713c82941de44633df669b36c89850b652a25985166796d25cf71a0"
    assert file.url.endswith("/gym_mujoco_v2/hopper_medium-v2.hdf5")


def test_files_without_a_published_checksum_say_so() -> None:
    assert d4rl_file("relocate-human-v1").size is None
    without = [dataset for dataset in d4rl_ids() if d4rl_file(dataset).sha256 is None]
    assert without == ["antmaze-medium-play-v2", "relocate-human-v1", "relocate-expert-v1"]


def test_all_files_have_distinct_checksums() -> None:
    checksums = [digest for dataset in d4rl_ids() if (digest := d4rl_file(dataset).sha256)]
    assert len(set(checksums)) == len(checksums) == 42


def test_what_one_source_says_is_no_identity() -> None:
    file = d4rl_file("antmaze-medium-play-v2")
    assert file.sha256 is None
    assert file.report is not None
    assert file.report.sha256 == "c9fec1c1daad97c71d61bd47f4ccc9f74faa855b8a2d2e8107d5378018827e5b"
    said = {name: d4rl_file(f"kitchen-{name}-v0").report for name in ("complete", "partial", "mixed")}
    assert {name: (report.rows, report.episodes) for name, report in said.items() if report} == {
        "complete": (3680, 19),
        "partial": (136_950, 613),
        "mixed": (136_950, 613),
    }
    assert d4rl_file("hopper-medium-v2").report is None


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_environments_take_the_returns_of_their_family(version: int) -> None:
    assert reference_returns(f"Hopper-v{version}") == reference_returns("hopper-medium-replay-v2")
    assert reference_returns(f"HalfCheetah-v{version}") == (-280.178953, 12135.0)
    assert reference_returns(f"Walker2d-v{version}") == (1.629008, 4592.3)


def test_adroit_returns() -> None:
    assert reference_returns("AdroitHandDoor-v1") == (-56.512833, 2880.5693087298737)


@pytest.mark.parametrize(
    "found",
    [None, [], [1.0], [1.0, 1.0], [2, 1], [0.0, float("nan")], [float("-inf"), 0], [-1.7e308, 1.7e308], ["0", "1"],
     [False, True], [0, 10**400], {"min": 0, "max": 1}],
)  # fmt: skip
def test_returns_that_cannot_be_scores(found: object) -> None:
    assert usable_returns(found) is None


def test_returns_that_can_be_scores() -> None:
    assert usable_returns([-20, 3234.3]) == (-20.0, 3234.3)


def test_unknown_names_are_answered_with_close_matches() -> None:
    with pytest.raises(UserError, match="hopper-medium-v2"):
        d4rl_file("hoper-medium-v2")
    with pytest.raises(UserError, match=r"'Hoper-v5'.*Hopper-v5"):
        reference_returns("Hoper-v5")
    with pytest.raises(UserError, match="Known ones are"):
        reference_returns("zzz")


def test_the_catalog_loads_neither_torch_nor_gymnasium() -> None:
    code = "import sys, dac.study.catalog; print([m for m in ('torch', 'gymnasium', 'numpy') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
