"""Which GPUs a process may use, and which of them it gets, on machines that a stand-in for NVML shows."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpu_box import Box, gpu
from project import ROOT
from unprivileged import NOBODY

from dac.system import gpus, locks
from dac.system.errors import UserError

SLICED = gpu("GPU-b", mig=[1, 1], slices=[{"uuid": "MIG-b1", "free": 9, "total": 10}, {"uuid": "MIG-b2", "free": 8}])


def uuids() -> list[str]:
    return [found.uuid for found in gpus.visible()]


# Which there are


def test_a_machine_without_a_driver(box: Box) -> None:
    assert (gpus.visible(), gpus.count()) == ([], 0)
    assert gpus.why_none() == "NVIDIA's driver does not answer (NVML Shared Library Not Found)"
    box()
    assert gpus.why_none() == "NVIDIA's driver lists no GPU"


def test_a_driver_that_does_not_answer_counts_by_its_files(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a job is promised a GPU, and says what is wrong with it."""
    monkeypatch.setattr(Path, "glob", lambda self, _: iter([self / "nvidia0", self / "nvidia1"]))
    assert gpus.count() == 2
    monkeypatch.setenv(gpus.VISIBLE, "")
    assert gpus.count() == 0


def test_what_is_known_of_a_gpu(box: Box) -> None:
    box(gpu("GPU-a", name="H", free=60, utilisation=37), {"uuid": "GPU-b"})
    first, second = gpus.visible()
    assert (first.free, first.total, first.utilisation) == (60 * 10**9, 80 * 10**9, 37)
    assert (str(first), str(second)) == ("cuda:0 (H, 60.0 of 80.0 GB free, 37 % in use)", "cuda:1 (Fake GPU)")
    assert (first.busy, second.busy, second.full) == (True, False, False)


def test_a_gpu_for_one_process_at_a_time(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its compute mode, of those that are visible; a slice has its GPU's."""
    assert not gpus.exclusive()
    box(gpu("GPU-a", mode=0), {**SLICED, "mode": 3}, gpu("GPU-c"))
    assert gpus.exclusive()
    for visible, exclusive in (("0", False), ("MIG-b2", True), ("GPU-c", False), ("2,1", True)):
        monkeypatch.setenv(gpus.VISIBLE, visible)
        assert gpus.exclusive() is exclusive


def test_a_sliced_gpu_is_its_slices(box: Box) -> None:
    """MIG: each has a uuid and memory of its own; one that is only going to be sliced is whole."""
    box(gpu("GPU-a", mig=[0, 1]), SLICED)
    assert uuids() == ["GPU-a", "MIG-b1", "MIG-b2"]
    assert [found.number for found in gpus.visible()] == [0, 1, 2]
    assert gpus.visible()[1].free == 9 * 10**9


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("2,0", ["GPU-dc", "GPU-a"]),
        ("1", ["MIG-b1", "MIG-b2"]),
        ("MIG-b2", ["MIG-b2"]),
        ("GPU-b", ["MIG-b1", "MIG-b2"]),
        ("GPU-d", ["GPU-dc"]),
        ("GPU-a, GPU-dc", ["GPU-a", "GPU-dc"]),
        ("MIG-b", ["MIG-b1", "MIG-b2"]),
        ("0,7,2", ["GPU-a"]),
        ("0,-1,2", ["GPU-a"]),
        ("0,0", ["GPU-a"]),
        ("GPU-", []),
        ("", []),
    ],
)
def test_visible_devices_are_heeded(
    box: Box, monkeypatch: pytest.MonkeyPatch, setting: str, expected: list[str]
) -> None:
    """Numbers, uuids and their beginnings; what follows one that is unknown or of two GPUs does not count."""
    box(gpu("GPU-a"), SLICED, gpu("GPU-dc"))
    monkeypatch.setenv(gpus.VISIBLE, setting)
    assert uuids() == expected
    assert gpus.count() == len(expected)
    if not expected:
        assert gpus.why_none() == f"CUDA_VISIBLE_DEVICES={setting} shows none of this machine's 4 GPUs"


def test_a_number_that_is_not_there(box: Box) -> None:
    box(gpu("GPU-a"), gpu("GPU-b"))
    assert gpus.numbered(gpus.visible(), 1, "--device").uuid == "GPU-b"
    said = r"^--device: found 'cuda:2'; 2 GPUs are visible here, the last is cuda:1\. Give one"
    with pytest.raises(UserError, match=said):
        gpus.numbered(gpus.visible(), 2, "--device")


# Which one is held


@contextlib.contextmanager
def several(count: int, packs: int = 1) -> Iterator[list[str]]:
    """The uuids that so many claims after each other get, all held."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(gpus.held(gpus.visible, packs)).uuid for _ in range(count)]


def test_the_freest_comes_first_and_a_busy_one_last(box: Box) -> None:
    box(
        gpu("GPU-computing", free=78, utilisation=90),
        gpu("GPU-filled", free=30),
        gpu("GPU-desktop", free=77),
        gpu("GPU-x"),
    )
    with several(4) as found:
        assert found == ["GPU-x", "GPU-desktop", "GPU-computing", "GPU-filled"]
    with several(1) as found:
        assert found == ["GPU-x"], "the others were given back"


def test_several_packs_share_a_gpu_that_would_else_be_somebody_elses(box: Box) -> None:
    box(gpu("GPU-a", free=76), gpu("GPU-b", free=78), gpu("GPU-busy", utilisation=50))
    with several(6, packs=2) as found:
        assert found == ["GPU-b", "GPU-a", "GPU-b", "GPU-a", "GPU-busy", "GPU-busy"]


def test_where_none_is_free_it_waits_and_says_so_every_minute(
    box: Box, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One is held, one has no room; after three minutes the second one has."""
    box(gpu("GPU-a"), gpu("GPU-b", free=1))
    seconds = [0.0]

    def sleep(duration: float) -> None:
        seconds[0] += duration
        if seconds[0] >= 180:
            box(gpu("GPU-a"), gpu("GPU-b", free=20))

    monkeypatch.setattr(gpus.time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(gpus.time, "sleep", sleep)
    caplog.set_level("INFO")
    with several(2) as found:
        assert found == ["GPU-a", "GPU-b"]
    told = [message for message in caplog.messages if message.startswith("waiting")]
    assert [message.partition(":")[0] for message in told] == [
        f"waiting for a free GPU, {minutes} min so far" for minutes in range(3)
    ]
    assert f"is held by process {os.getpid()} of user {os.getuid()}; " in told[0]
    assert told[0].endswith("cuda:1 (Fake GPU, 1.0 of 80.0 GB free, 0 % in use) is too full")
    assert caplog.messages[-1] == "using cuda:1 (Fake GPU, 20.0 of 80.0 GB free, 0 % in use)"


HOLD = """
import os, sys
from pathlib import Path
from dac.system import gpus
os.umask(0o077)
if os.geteuid() == 0:
    os.setuid(int(sys.argv[2]))
gpus.FOLDER = Path(sys.argv[1])
with gpus.held(lambda: [gpus.Gpu(0, "GPU-a", "H"), gpus.Gpu(1, "GPU-b", "H")]) as gpu:
    print(gpu.uuid, flush=True)
    sys.stdin.read()
"""


def hold(folder: Path, user: int) -> subprocess.Popen[str]:
    """A process of another user, with a strict umask, that holds a GPU until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(user)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def everybodys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the locks in one that, as /tmp, all users write to."""
    parent = Path("/tmp") / f"dac-test-{os.getpid()}"
    parent.mkdir()
    parent.chmod(0o1777)
    yield parent / "locks"
    subprocess.run(["rm", "-r", parent], check=True)


def test_users_with_a_strict_umask_share_the_locks(everybodys: Path) -> None:
    """As root the processes are of two users; else of one. Each holds another GPU, and this one sees both held."""
    one, other = hold(everybodys, NOBODY), hold(everybodys, NOBODY - 1)
    assert sorted([first_line(one), first_line(other)]) == ["GPU-a", "GPU-b"]
    assert [locks.try_shared(everybodys / f"GPU-{name}-0") for name in "ab"] == [None, None]
    for process in (one, other):
        process.communicate("")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [everybodys, *everybodys.iterdir()]}
    assert modes == {"locks": 0o1777, "choosing": 0o666, "GPU-a-0": 0o666, "GPU-b-0": 0o666}
    again = hold(everybodys, NOBODY - 1)
    assert first_line(again) == "GPU-a", "a lock is free however its process ended, whoever made its file"
    again.communicate("")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_lock_that_another_user_keeps_to_himself_is_an_error(everybodys: Path) -> None:
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    (everybodys / "choosing").touch(0o600)
    process = hold(everybodys, NOBODY)
    output, _ = process.communicate("")
    assert process.returncode != 0
    assert f"{everybodys}/choosing: Permission denied. All users of this machine share this lock" in output
    assert f"`chmod 666 {everybodys}/choosing`, or delete {everybodys}." in output
