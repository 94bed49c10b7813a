"""Where D4RL's files are looked for."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import h5py
import pytest
from faulty_server import running
from tiny import Project, write_rows

from dac.cli import main
from dac.datasets import d4rl, transfer
from dac.datasets.sources import d4rl as source
from dac.study.catalog import D4RLFile, Report, d4rl_file, d4rl_mirrors
from dac.system.errors import UserError
from dac.system.hashing import sha256_of

HUGGING_FACE = "https://huggingface.co/datasets/imone/D4RL/resolve/main"
CACHE = "/no/d4rl"  # of the tests
HERE = ["data/d4rl/hopper_medium-v2.hdf5", f"{CACHE}/hopper_medium-v2.hdf5"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the current one and the home folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_order_of_folders_and_addresses(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = d4rl_file("hopper-medium-v2")
    mirror = f"{HUGGING_FACE}/hopper_medium-v2.hdf5"
    assert d4rl.addresses(file) == [*HERE, file.url, mirror]
    assert d4rl.addresses(file, []) == [*HERE, file.url]
    monkeypatch.setenv("DAC_D4RL_MIRROR", "file:///disk/d4rl/  http://near.example/x")
    assert d4rl.addresses(file, ["https://far.example"]) == [
        *HERE,
        "file:///disk/d4rl/gym_mujoco_v2/hopper_medium-v2.hdf5",
        "http://near.example/x/gym_mujoco_v2/hopper_medium-v2.hdf5",
        "http://near.example/x/hopper_medium-v2.hdf5",
        "http://near.example/x/hopper-medium-v2.hdf5",
        "https://far.example/gym_mujoco_v2/hopper_medium-v2.hdf5",
        "https://far.example/hopper_medium-v2.hdf5",
        "https://far.example/hopper-medium-v2.hdf5",
        file.url,
        mirror,
    ]


def test_a_file_whose_two_names_are_one_is_asked_for_once(folder: Path) -> None:
    file = d4rl_file("pen-human-v1")
    assert d4rl.addresses(file, ["http://near.example"]) == [
        "data/d4rl/pen-human-v1.hdf5",
        f"{CACHE}/pen-human-v1.hdf5",
        "http://near.example/hand_dapg_v1/pen-human-v1.hdf5",
        "http://near.example/pen-human-v1.hdf5",
        file.url,
        f"{HUGGING_FACE}/pen-human-v1.hdf5",
    ]


def test_d4rls_own_folder_is_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = d4rl_file("antmaze-umaze-v0")
    monkeypatch.delenv("D4RL_DATASET_DIR")
    name = "Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse.hdf5"
    assert f"~/.d4rl/datasets/{name}" in d4rl.addresses(file)
    assert d4rl.nearest(file) == file.url
    Path(".d4rl/datasets").mkdir(parents=True)
    Path(".d4rl/datasets", name).touch()
    assert d4rl.nearest(file) == f"~/.d4rl/datasets/{name}"


def test_known_mirrors_are_addresses_that_a_user_could_name() -> None:
    assert d4rl_mirrors() == (HUGGING_FACE,)


@pytest.mark.parametrize("wrong", ["ftp://disk/d4rl", "http://"])
def test_a_mirror_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("DAC_D4RL_MIRROR", wrong)
    with pytest.raises(UserError, match=rf"DAC_D4RL_MIRROR: found '{wrong}'; allowed .* /disk/d4rl"):
        d4rl.addresses(d4rl_file("hopper-medium-v2"))


@pytest.mark.parametrize("spelling", ["file://{}/mirror", "{}/mirror", "~/mirror", "file://~/mirror", "mirror"])
@pytest.mark.parametrize("name", ["gym_mujoco_v2/some_name-v2.hdf5", "some_name-v2.hdf5", "some-name-v2.hdf5"])
def test_a_mirror_on_the_disk_gives_the_file(folder: Path, spelling: str, name: str) -> None:
    served = Path("mirror", name)
    write_rows(served)
    url = "http://127.0.0.1:9/offline_rl/gym_mujoco_v2/some_name-v2.hdf5"
    file = D4RLFile("some-name-v2", url, None, sha256_of(served))
    destination = Path("data/d4rl/some-name-v2.hdf5")
    assert d4rl.fetch(file, destination, [spelling.format(folder)]) == file.sha256
    assert destination.samefile(served)


def test_every_place_is_compared_and_a_wrong_file_means_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of seven places the last has the right file; none of the user's files is touched."""
    right = Path("right.hdf5")
    write_rows(right, observation_dim=11, seed=5)
    file = D4RLFile("hopper-medium-v2", f"{{}}/gym_mujoco_v2/{right}", right.stat().st_size, sha256_of(right))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("D4RL_DATASET_DIR", "~/cache")
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.01)
    wrong = [Path("data/d4rl/right.hdf5"), Path("cache/right.hdf5"), Path("mirror/hopper-medium-v2.hdf5")]
    for path in wrong:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile("data/pendulum.hdf5", path)
    destination = Path("data/d4rl/hopper-medium-v2.hdf5")
    with running(right.read_bytes()) as server, running(right.read_bytes()) as mirror:
        file = D4RLFile(file.id, f"{server.root}/offline_rl/gym_mujoco_v2/right.hdf5", file.size, file.sha256)
        monkeypatch.setattr(d4rl, "d4rl_mirrors", lambda: (mirror.root,))
        server.faults = ["html", 404, 404, "other"]
        assert d4rl.fetch(file, destination, ["~/mirror", f"{server.root}/flat"]) == file.sha256
        assert mirror.paths == ["/right.hdf5"]
        for path in wrong:
            assert path.read_bytes() == Path("data/pendulum.hdf5").read_bytes()
            assert path.stat().st_nlink == 1
        destination.unlink()
        server.faults, mirror.faults = ["html", 404, 404, 500, 500, 500], [403]
        with pytest.raises(UserError) as caught:
            d4rl.fetch(file, destination, ["~/mirror", f"{server.root}/flat"])
        destinations = [line.partition(": ")[::2] for line in str(caught.value).splitlines()[1:-1]]
        assert [place.strip() for place, _ in destinations] == [
            "data/d4rl/right.hdf5",
            "~/cache/right.hdf5",
            "~/mirror/hopper-medium-v2.hdf5",
            f"{server.root}/flat/gym_mujoco_v2/right.hdf5",
            f"{server.root}/flat/right.hdf5",
            f"{server.root}/flat/hopper-medium-v2.hdf5",
            f"{server.root}/offline_rl/gym_mujoco_v2/right.hdf5",
            f"{mirror.root}/right.hdf5",
        ]
        assert [problem.partition(" ")[0] for _, problem in destinations] == ["it"] * 4 + ["HTTP"] * 4


@pytest.mark.parametrize("same", [True, False])
def test_a_sha256_of_one_source_is_compared_and_refuses_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, same: bool
) -> None:
    """The identity is that of the file that came, whichever it is; from then on the lock's counts."""
    digest = sha256_of(Path("data/pendulum.hdf5"))
    report = Report(digest if same else "c" * 64, None, None, "somebody")
    name = "antmaze-medium-play-v2"
    file = D4RLFile(name, "http://127.0.0.1:9/x", None, None, report)
    monkeypatch.setattr("dac.datasets.sources.d4rl.d4rl_file", lambda _: file)
    monkeypatch.setenv("DAC_D4RL_MIRROR", "mirror")
    Path("mirror").mkdir()
    shutil.copyfile("data/pendulum.hdf5", f"mirror/{name}.hdf5")
    source.download(name, ())
    assert json.loads(Path("datasets.lock").read_text()) == {f"d4rl:{name}": {"sha256": digest}}
    said = f"data/d4rl/{name}.hdf5 is {digest}; one source alone (somebody) says {'c' * 64}. It is used"
    assert (said in caplog.text) != same
    caplog.clear()
    source.download(name, ())
    assert (said in caplog.text) != same


@pytest.mark.parametrize(("rows", "episodes"), [(240, 20), (240, 21), (241, 20)])
def test_rows_and_episodes_of_one_source_are_compared(
    project: Project, caplog: pytest.LogCaptureFixture, rows: int, episodes: int
) -> None:
    path = Path("data/pendulum.hdf5")
    file = D4RLFile(
        "k-v0", "http://127.0.0.1:9/k.hdf5", None, sha256_of(path), Report(None, rows, episodes, "somebody")
    )
    shutil.copyfile(path, "data/k-v0.hdf5")
    assert d4rl.fetch(file, Path("data/d4rl/k-v0.hdf5"), ["data"]) == file.sha256
    said = f"has 240 rows in 20 episodes; one source alone (somebody) says {rows} in {episodes}. It is used"
    assert (said in caplog.text) == ((rows, episodes) != (240, 20))


def test_a_file_that_cannot_be_trained_on_means_the_next_address(project: Project, tmp_path: Path) -> None:
    """Of one without a published sha256: it is in the right layout, and no episode ends."""
    for name in ("ends", "endless"):
        write_rows(Path(name, "k-v0.hdf5"))
    with h5py.File("endless/k-v0.hdf5", "r+") as file:
        file["terminals"][:] = file["timeouts"][:] = False
    wanted = D4RLFile("k-v0", "http://127.0.0.1:9/k.hdf5", None, None)
    digest = d4rl.fetch(wanted, Path("data/d4rl/k-v0.hdf5"), ["endless", "ends"])
    assert digest == sha256_of(Path("ends/k-v0.hdf5"))
    assert not Path("data/d4rl/k-v0.hdf5").samefile("endless/k-v0.hdf5")


@pytest.mark.parametrize("garbage", ["pointer", "gzip", "truncated", "page"])
def test_what_a_mirror_gives_instead_is_named_and_never_the_identity(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], garbage: str
) -> None:
    """Of a file without a published sha256, over the network: it means the next address, and leaves nothing behind."""
    write_rows(Path("right.hdf5"), observation_dim=39)
    right = Path("right.hdf5").read_bytes()
    wrong, said = {
        "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "it is a git-LFS pointer"),
        "gzip": (gzip.compress(right), "it is a gzip archive"),
        "truncated": (right[: len(right) // 2], "it is truncated"),
        "page": (b"<!DOCTYPE html>", "it is an HTML page"),
    }[garbage]
    with running(wrong) as first, running(right) as second:
        file = D4RLFile("relocate-human-v1", f"{first.root}/x/relocate-human-v1.hdf5", None, None)
        monkeypatch.setattr("dac.datasets.sources.d4rl.d4rl_file", lambda _: file)
        project.set("tasks.hand", {"dataset": "d4rl:relocate-human-v1"}).set("compute.d4rl_mirrors", []).load()
        assert main(["fetch", "hand"]) == 1
        assert f"{file.url}: " in (told := capsys.readouterr().err)
        assert said in told
        assert not Path("datasets.lock").exists()
        monkeypatch.setattr(d4rl, "d4rl_mirrors", lambda: (second.root,))
        project.set("compute.d4rl_mirrors", None).load()
        assert main(["fetch", "hand"]) == 0
    lock = json.loads(Path("datasets.lock").read_text())
    assert lock["d4rl:relocate-human-v1"] == {"sha256": sha256_of(Path("right.hdf5"))}
    assert sorted(path.name for path in Path("data/d4rl").iterdir()) == [
        "relocate-human-v1.hdf5",
        "relocate-human-v1.hdf5.bad",
    ]


def test_a_file_that_differs_from_the_locks_is_told_with_the_lock(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it lies in place or comes from elsewhere; and following the message helps."""
    write_rows(Path("old/relocate-human-v1.hdf5"), observation_dim=39)
    write_rows(Path("new/relocate-human-v1.hdf5"), observation_dim=39, seed=1)
    file = D4RLFile("relocate-human-v1", "http://127.0.0.1:9/relocate-human-v1.hdf5", None, None)
    monkeypatch.setattr("dac.datasets.sources.d4rl.d4rl_file", lambda _: file)
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(d4rl, "d4rl_mirrors", lambda: ())
    project.set("tasks.hand", {"dataset": "d4rl:relocate-human-v1"}).set("compute.d4rl_mirrors", ["old"]).load()
    assert main(["fetch", "hand"]) == 0
    shutil.rmtree("data/datasets")
    Path("data/d4rl/relocate-human-v1.hdf5").unlink()
    shutil.copyfile("new/relocate-human-v1.hdf5", "data/d4rl/relocate-human-v1.hdf5")
    project.set("compute.d4rl_mirrors", ["new"]).load()
    capsys.readouterr()
    assert main(["fetch", "hand"]) == 1
    said = capsys.readouterr().err
    digests = [sha256_of(Path(name, "relocate-human-v1.hdf5")) for name in ("old", "new")]
    assert said.count(f"its sha256 is {digests[1]}, expected is {digests[0]}") == 2
    assert "It is kept as data/d4rl/relocate-human-v1.hdf5.bad" in said
    assert (
        "from datasets.lock. If that one was wrong, delete the entry d4rl:relocate-human-v1 in it and fetch again"
        in said
    )
    Path("datasets.lock").unlink()
    assert main(["fetch", "hand"]) == 0
    assert json.loads(Path("datasets.lock").read_text())["d4rl:relocate-human-v1"]["sha256"] == digests[1]


def test_params_yaml_names_mirrors_or_turns_the_known_off(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(d4rl, "d4rl_mirrors", lambda: ("http://127.0.0.1:10/known",))
    file = d4rl_file("hopper-medium-v2")
    url = "http://127.0.0.1:9/offline_rl/gym_mujoco_v2/hopper_medium-v2.hdf5"
    monkeypatch.setattr("dac.datasets.sources.d4rl.d4rl_file", lambda _: D4RLFile(file.id, url, file.size, file.sha256))
    project.set("tasks.hopper", {"dataset": "d4rl:hopper-medium-v2"})
    for mirrors, asked in [(None, True), ([], False), (["~/mine"], True)]:
        project.set("compute.d4rl_mirrors", mirrors).load()
        assert main(["fetch", "hopper"]) == 1
        said = capsys.readouterr().err
        assert "127.0.0.1:9" in said
        assert ("http://127.0.0.1:10/known/hopper_medium-v2.hdf5: " in said) == asked
        assert ("~/mine" in said) == bool(mirrors)
