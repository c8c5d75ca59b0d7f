"""The checksum at the start of HDF5 files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from zskel.data.common.checksums import (
    BLOCK_BYTES,
    checksummed_hdf5,
    has_checksum,
    open_hdf5,
    write_checksum,
)
from zskel.data.common.errors import BadCache


def write(path: Path, left_out: str | None = None) -> bytes:
    with checksummed_hdf5(path, left_out) as file:
        file["x"] = np.arange(2000)
        file["big"] = np.arange(500, 700, dtype=np.float32)
        file.attrs["names"] = ["wave", "größe"]
    return path.read_bytes()


def test_the_line_is_what_the_documentation_says(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.h5")
    word, kind, digest = whole[:BLOCK_BYTES].split(b"\n")[0].split()
    assert (word, kind) == (b"zsl-sealed", b"sha256") and BLOCK_BYTES == 512
    assert digest.decode() == hashlib.sha256(whole[512:]).hexdigest()
    assert whole[len(word + kind + digest) + 3 : 512].strip(b"\0") == b""
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.userblock_size == 512 and file.attrs["sealed"] == "sha256"
    assert has_checksum(tmp_path / "a.h5") and write(tmp_path / "b.h5") == whole


def test_what_is_left_out_may_change_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    whole = write(path, "big")
    with h5py.File(path) as file:
        start, size = file["big"].id.get_offset(), file["big"].id.get_storage_size()
    *_, digest, word, hole = whole[:512].split(b"\n")[0].split()
    assert (word, hole) == (b"except", f"{start}+{size}".encode()) and size == 800
    assert digest.decode() == hashlib.sha256(whole[512:start] + whole[start + size:]).hexdigest()
    for at, fine in [(start, True), (start + size - 1, True), (start - 1, False),
                     (start + size, False), (len(whole) - 1, False)]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
        if fine:
            assert has_checksum(path)
        else:
            with pytest.raises(BadCache, match="its checksum does not hold"):
                has_checksum(path)
    # A larger hole would hide more.
    path.write_bytes(whole.replace(hole, b"512+9999", 1))
    with pytest.raises(BadCache, match="its checksum does not hold"):
        has_checksum(path)


@pytest.mark.parametrize(("change", "message"), [
    (lambda b: b[:700] + b"\xff" + b[701:], "does not hold.*pipeline verify --write-checksums"),
    (lambda b: b[:-1], "does not hold"),
    (lambda b: b + b"\0", "does not hold"),
    (lambda b: b[:40] + b"0" * 20 + b[60:], "does not hold"),
    (lambda b: b"zsl-sealed sha512 " + b[18:], "does not hold"),
    (lambda b: b"\0\0\0" + b[3:], "does not hold"),
    (lambda b: bytes(512) + b[512:], "has lost the checksum at its start"),
    (lambda b: b[512:], "has lost the checksum at its start"),
    (lambda b: b"", "not a readable HDF5 file"),
    (lambda b: b"plain text", "not a readable HDF5 file"),
])
def test_a_changed_file_is_refused_in_one_line(tmp_path: Path, change, message: str) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(change(write(path)))
    with pytest.raises(BadCache, match=message) as caught, open_hdf5(path):
        pytest.fail("was opened")
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_files_of_other_makers_are_opened(tmp_path: Path) -> None:
    for name, size in (("plain.h5", 0), ("matlab.h5", 512)):
        with h5py.File(tmp_path / name, "w", userblock_size=size) as file:
            file["x"] = [1, 2]
        if size:
            with open(tmp_path / name, "r+b") as handle:
                handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
        assert not has_checksum(tmp_path / name)
        with open_hdf5(tmp_path / name) as file:
            assert file["x"][:].tolist() == [1, 2]


def test_what_cannot_be_read_is_told_as_damage(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    for error in (KeyError("gone"), RuntimeError("no\nway")):
        with pytest.raises(BadCache, match="not a readable HDF5"), open_hdf5(tmp_path / "a.h5"):
            raise error
    with pytest.raises(KeyboardInterrupt), open_hdf5(tmp_path / "a.h5"):
        raise KeyboardInterrupt


def test_sealing_keeps_everything_and_checks_first(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(6.0).reshape(2, 3), compression="gzip")
        file["text"] = ["ä", "b"]
        file.attrs["names"] = ["wave", "größe"]
        file.attrs["count"] = np.int64(3)
    before = path.read_bytes()
    with pytest.raises(BadCache, match="a.h5: not like this"):
        def refuse(sealed: Path) -> None:
            assert has_checksum(sealed)
            raise BadCache(f"{sealed}: not like this")
        write_checksum(path, refuse)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    for _ in range(2):  # a second time changes nothing more
        write_checksum(path)
        assert has_checksum(path)
        with open_hdf5(path) as file:
            assert sorted(file) == ["text", "x"] and file["x"][:].tolist() == [[0, 1, 2], [3, 4, 5]]
            assert file["text"].asstr()[:].tolist() == ["ä", "b"]
            assert dict(file.attrs).keys() == {"names", "count", "sealed"}
            assert file.attrs["names"].tolist() == ["wave", "größe"] and file.attrs["count"] == 3
    with pytest.raises(BadCache, match="b.h5: cannot be read"):
        write_checksum(tmp_path / "b.h5")
