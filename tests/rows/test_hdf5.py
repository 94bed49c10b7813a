from __future__ import annotations

import gzip
import io
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from tiny import write_rows
from unprivileged import somebody_else
from writing import writer

from dac.rows import checks, hdf5, layout
from dac.study.datasets_lock import locked_file
from dac.system.errors import UserError

PATH = Path("a.hdf5")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(PATH)


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, observations=np.zeros(3))
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.hdf5", "x")
    return stream.getvalue()


def saved_by_torch() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", "x")
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
KINDS = {
    "a git-LFS pointer": LFS,
    "a gzip archive; unpack it first": gzip.compress(b"x"),
    r"a NumPy archive \(\.npz\)": npz(),
    "a zip archive; unpack it first": zipped(),
    "a Python pickle, which could run any program": pickle.dumps({"observations": [1]}),
    "an HTML page": b"\n<!DOCTYPE html><html>404</html>",
    "XML and not HDF5": b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
    r"text \(JSON\) and not HDF5": b'{"error": "not found"}',
    "a Parquet table": b"PAR1" + bytes(20),
    "empty": b"",
    "an lz4 archive; unpack it first": b"\x04\x22\x4d\x18x",
    "an HDF4 file": b"\x0e\x03\x13\x01" + bytes(20),
    "an SQLite database": b"SQLite format 3\0" + bytes(20),
    "a safetensors file": (40).to_bytes(8, "little") + b'{"observations":{"dtype":"F32"',
    "a PyTorch file, which could run any program": saved_by_torch(),
    "a git-annex pointer": b"/annex/objects/SHA256E-s123--4d7a.hdf5\n",
    "a DVC file": b"outs:\n- md5: 4d7a\n  path: a.hdf5\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(kind: str) -> None:
    PATH.write_bytes(KINDS[kind])
    with pytest.raises(UserError, match=rf"^a.hdf5: it is {kind}") as error:
        layout.read(PATH)
    assert "elete" not in str(error.value)


def folder_instead() -> None:
    PATH.mkdir()


def link_to_nowhere() -> None:
    PATH.symlink_to("gone/b.hdf5")


def pipe() -> None:
    os.mkfifo(PATH)


@pytest.mark.parametrize(
    ("make", "said", "instead"),
    [
        (folder_instead, "a folder, where a file is expected", " but a folder, where a file is expected"),
        (
            link_to_nowhere,
            "a link to gone/b.hdf5, which is not there",
            " but a link to gone/b.hdf5, which is not there",
        ),
        (pipe, "neither a file nor a folder", " but neither a file nor a folder"),
        (lambda: None, "no such file", ""),
    ],
)
def test_what_is_no_file(make: Callable[[], None], said: str, instead: str) -> None:
    PATH.unlink()
    make()
    with pytest.raises(UserError, match=rf"^a.hdf5: {said}. Get it with `dac fetch`, or correct the path"):
        layout.read(PATH)
    with pytest.raises(UserError, match=rf"has no entry for it and there is no file a.hdf5{instead}. Put the file in"):
        locked_file("file:a.hdf5", PATH)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(range(256)) * 10, "it is something else, or was never closed. Give another file"),
        (bytes(5000), "it begins with zeros: a copy or a download that did not end. Get it again"),
        (b"observation,action\n1,2\n", "it is a text that begins with 'observation,action'. Give another file"),
        (b" \n", "it is a text that begins with ''. Give another file"),
        (pickle.dumps([1.0], protocol=0), "it is a text that begins with '.lp0"),
    ],
)
def test_bytes_of_no_known_kind(content: bytes, said: str) -> None:
    PATH.write_bytes(content)
    with pytest.raises(UserError, match=rf"^a.hdf5: not readable as HDF5: {said}"):
        layout.read(PATH)


def test_hdf5_is_of_no_other_kind() -> None:
    assert hdf5.foreign(PATH) is None
    with h5py.File(PATH, "w", userblock_size=512) as file:
        file["x"] = 1
    assert hdf5.foreign(PATH) is None
    with PATH.open("r+b") as stream:
        stream.write(b'{"a block": "of the user"}')
    assert hdf5.foreign(PATH) is None


def replace(key: str, make: Callable[[h5py.File], None]) -> None:
    with h5py.File(PATH, "r+") as file:
        del file[key]
        make(file)


@pytest.fixture
def other() -> Path:
    write_rows(Path("other.hdf5"), seed=1)
    return Path("other.hdf5")


def virtual(file: h5py.File) -> None:
    virtual = h5py.VirtualLayout((240, 4), "f4")
    virtual[:] = h5py.VirtualSource("other.hdf5", "observations", (240, 4))
    file.create_virtual_dataset("observations", virtual)


def external_storage(file: h5py.File) -> None:
    file.create_dataset("observations", (240, 4), "f4", external=[("other.bin", 0, h5py.h5f.UNLIMITED)])


def external_link(file: h5py.File) -> None:
    file["observations"] = h5py.ExternalLink("other.hdf5", "/observations")


def link_to_a_group_elsewhere(file: h5py.File) -> None:
    file["beside"] = h5py.ExternalLink("other.hdf5", "/")
    file["observations"] = h5py.SoftLink("/beside/observations")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (virtual, "/observations is a virtual dataset, whose values are in other files"),
        (external_storage, r"the values of /observations are in external storage \(other.bin\)"),
        (external_link, "/observations is an external link, into other.hdf5"),
        (link_to_a_group_elsewhere, "/beside is an external link, into other.hdf5"),
    ],
)
def test_contents_in_another_file_are_refused(other: Path, make: Callable[[h5py.File], None], message: str) -> None:
    """Whether that file is there or not."""
    replace("observations", make)
    for _ in range(2):
        with pytest.raises(UserError, match=rf"a.hdf5: {message}.*all contents must be in the file"):
            layout.read(PATH)
        other.unlink(missing_ok=True)


def test_links_within_the_file_are_followed() -> None:
    before = layout.read(PATH)
    with h5py.File(PATH, "r+") as file:
        file.move("observations", "group/rows")
        file["observations"] = h5py.SoftLink("group/rows")
    assert (layout.read(PATH).observations == before.observations).all()


def test_a_link_that_leads_nowhere_is_a_missing_key() -> None:
    replace("observations", lambda file: file.__setitem__("observations", h5py.SoftLink("/observations")))
    with pytest.raises(UserError, match="the key 'observations' is missing"):
        layout.read(PATH)


def test_an_environment_in_another_file_is_refused(other: Path) -> None:
    with h5py.File(PATH, "r+") as file:
        file["metadata"] = h5py.ExternalLink("other.hdf5", "/")
    with pytest.raises(UserError, match="/metadata is an external link"):
        layout.env_id(PATH)


@pytest.mark.parametrize("value", ["Hopper-v4", np.bytes_("Hopper-v4"), ["Hopper-v4"]])
def test_texts_of_any_kind(value: object) -> None:
    with h5py.File(PATH, "r+") as file:
        file["metadata/env_id"] = value
    assert layout.env_id(PATH) == "Hopper-v4"


def test_a_number_is_no_text() -> None:
    with h5py.File(PATH, "r+") as file:
        file["metadata/env_id"] = 4
    assert layout.env_id(PATH) is None


def test_values_that_are_no_numbers() -> None:
    replace("rewards", lambda file: file.__setitem__("rewards", ["a"] * 240))
    with pytest.raises(UserError, match=r"a.hdf5: /rewards holds object; allowed are real numbers"):
        layout.read(PATH)


COMPOUND = np.dtype([("x", "f4"), ("y", "f4")])
OTHER_TYPES = {
    "strings": lambda file: file.create_dataset("rewards", data=["a"] * 240),
    "fixed strings": lambda file: file.create_dataset("rewards", data=np.full(240, b"1.0")),
    "complex": lambda file: file.create_dataset("rewards", data=np.full(240, 1 + 2j)),
    "compound": lambda file: file.create_dataset("rewards", data=np.zeros(240, COMPOUND)),
    "opaque": lambda file: file.create_dataset("rewards", data=np.zeros(240, "V8")),
    "rows of differing lengths": lambda file: file.create_dataset("rewards", (240,), h5py.vlen_dtype(np.float32)),
    "references": lambda file: file.create_dataset("rewards", (240,), h5py.ref_dtype),
}


@pytest.mark.parametrize("make", OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_values_of_other_types_are_refused_by_their_key(make: Callable[[h5py.File], None]) -> None:
    replace("rewards", make)
    with pytest.raises(UserError, match=r"a.hdf5: /rewards holds .*; allowed are real numbers. Convert them"):
        layout.read(PATH)


def test_a_type_that_numpy_lacks_is_refused_by_its_key() -> None:
    def times(file: h5py.File) -> None:
        h5py.h5d.create(file.id, b"rewards", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((240,)))

    replace("rewards", times)
    with pytest.raises(UserError, match=r"a.hdf5: /rewards holds values of a type that NumPy lacks"):
        layout.read(PATH)


def test_flags_that_are_no_numbers_are_refused_by_their_key() -> None:
    replace("timeouts", lambda file: file.__setitem__("timeouts", np.full(240, np.nan)))
    with pytest.raises(UserError, match=r"a.hdf5: timeouts is neither 0 nor 1 in 240 of 240 rows"):
        layout.read(PATH)


@pytest.mark.parametrize("key", ["observations", "next_observations"])
@pytest.mark.parametrize("storage", [{}, {"chunks": (1000, 100)}, {"chunks": (1000, 100), "compression": "gzip"}])
def test_an_array_that_was_declared_and_not_written_is_refused_before_memory_is_taken(
    key: str, storage: dict[str, object]
) -> None:
    with h5py.File(PATH, "r+") as file:
        file.pop(key, None)
        file.create_dataset(key, (10**10, 100), "f4", **storage)
    assert PATH.stat().st_size < 20_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=rf"a.hdf5: /{key} declares an array of shape \(10000000000, 100\), 4000 GB"):
        checks.read(PATH)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_chunk_larger_than_its_array_is_refused_before_memory_is_taken() -> None:
    """Of a chunk that is compressed, all is read for a part of it."""
    storage = {"maxshape": (None,), "chunks": (10**9,), "compression": "gzip"}
    replace("rewards", lambda file: file.create_dataset("rewards", (240,), "f4", **storage))
    with pytest.raises(UserError, match=r"a.hdf5: /rewards declares an array of shape \(240,\), 4 GB to read"):
        layout.read(PATH)


def test_rows_that_compress_well_are_read() -> None:
    rows = np.zeros((30_000, 1000), np.float32)  # 120 MB, of which gzip leaves 0.2
    with h5py.File("zeros.hdf5", "w") as file:
        file.create_dataset("x", data=rows, chunks=(3000, 1000), compression="gzip", compression_opts=9)
        assert hdf5.numbers(hdf5.find(file, "x")).shape == rows.shape


def test_a_file_that_another_program_writes() -> None:
    with (
        writer("file = h5py.File('a.hdf5', 'a')"),
        pytest.raises(UserError, match=r"a.hdf5: another program holds it open for writing. Let that end"),
    ):
        layout.read(PATH)
    assert len(layout.read(PATH)) == 240


@pytest.mark.parametrize("swmr", ["", "; file.swmr_mode = True"])
def test_a_file_whose_writer_was_killed(swmr: str) -> None:
    with writer(f"file = h5py.File('a.hdf5', 'w', libver='latest'); file['x'] = 1; file.flush(){swmr}"):
        pass
    with pytest.raises(UserError, match=r"a.hdf5: it is marked as open for writing. .*`h5clear -s` on the file"):
        layout.read(PATH)


def test_a_truncated_file() -> None:
    content = PATH.read_bytes()
    PATH.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"a.hdf5: not readable as HDF5 \(it is truncated\). Copy or fetch the whole"):
        layout.read(PATH)


def test_a_filter_that_is_not_installed() -> None:
    """Its number is in the file; 32015 is Zstandard's."""
    replace("rewards", lambda file: file.create_dataset("rewards", data=np.zeros(240), compression="gzip"))
    content = PATH.read_bytes()
    gzip_message = (1).to_bytes(2, "little") + (8).to_bytes(2, "little") + (1).to_bytes(2, "little")
    assert content.count(gzip_message) == 1
    PATH.write_bytes(content.replace(gzip_message, (32015).to_bytes(2, "little") + gzip_message[2:]))
    with pytest.raises(UserError, match=r"a.hdf5: /rewards is compressed by the filter 32015 .*HDF5_PLUGIN_PATH"):
        layout.read(PATH)


def test_a_file_without_permission() -> None:
    PATH.chmod(0)
    with somebody_else(), pytest.raises(UserError, match=r"a.hdf5: it may not be read .*Correct the permissions"):
        layout.read(PATH)


def test_a_file_that_is_damaged_inside() -> None:
    with h5py.File(PATH) as file:
        start = file["rewards"].id.get_offset()
        size = file["rewards"].id.get_storage_size()
    content = bytearray(PATH.read_bytes())
    kept = content[start : start + size]
    content[96:start] = bytes(start - 96)
    assert content[start : start + size] == kept
    PATH.write_bytes(content)
    with pytest.raises(UserError, match=r"a.hdf5: "):
        layout.read(PATH)
