"""What files declare is believed only within bounds, and memory is made only then."""

from __future__ import annotations

import io
import resource
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from zskel.data.caches import read_text_features
from zskel.data.common.checksums import write_checksum
from zskel.data.common.errors import BadCache, BadInput
from zskel.data.common.limits import ALWAYS_BYTES, _lengths, own_dataset, read_strings, room
from zskel.data.exchange.arrays import load_npy, load_npz
from zskel.data.readers.ntu import NTUReader
from zskel.data.store import SequenceStore

MAX_GROWTH = 400 << 20


@pytest.fixture(autouse=True)
def bounded_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MAX_GROWTH


def never_written(file: h5py.File) -> None:
    file.create_dataset("f_y", (1 << 40, 256), "f4", chunks=(1, 256))


def bomb(file: h5py.File) -> None:
    file.create_dataset("f_y", (1 << 18, 256), "f4", compression="gzip", chunks=(1 << 14, 256))
    file["f_y"][:1] = 1


def external_link(file: h5py.File) -> None:
    file["f_y"] = h5py.ExternalLink("other.h5", "/f_y")


def soft_link(file: h5py.File) -> None:
    file["there"] = h5py.ExternalLink("other.h5", "/")
    file["f_y"] = h5py.SoftLink("/there/f_y")


def external_storage(file: h5py.File) -> None:
    file.create_dataset("f_y", (3, 2), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "f_y", (3, 2))
    file.create_virtual_dataset("f_y", layout)


def empty(file: h5py.File) -> None:
    file["f_y"] = h5py.Empty("f4")


def group(file: h5py.File) -> None:
    file.create_group("f_y")


@pytest.mark.parametrize(("make", "message"), [
    (never_written, "/f_y is declared as .* MB, in a file of"),
    (bomb, "/f_y is declared as 256.0 MB, in a file of"),
    (external_link, "/f_y is a link to something else"), (soft_link, "/f_y is a link"),
    (external_storage, "/f_y lies in other files"), (virtual, "/f_y lies in other files"),
    (empty, "/f_y is empty"), (group, "dataset /f_y is missing"),
])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_cache_that_promises_too_much_is_refused(
    tmp_path: Path, make, message: str, sealed: bool
) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["f_y"] = np.ones((3, 2), np.float32)
    path = tmp_path / "text.h5"
    with h5py.File(path, "w") as file:
        make(file)
        file["text"] = ["a", "b", "c"]
        for name, value in dict(format="zsl-text-features", format_version=1, encoder="e",
                                encoder_revision="1", text_source="label",
                                class_names=["a", "b", "c"]).items():
            file.attrs[name] = value
    with pytest.raises(BadCache, match=message) as caught:
        if sealed:
            write_checksum(path)
        read_text_features(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path}: ")


def test_one_long_string_many_times_over_is_refused(tmp_path: Path) -> None:
    """Strings of variable length are kept once and named by each element."""
    path = tmp_path / "a.h5"
    kind = h5py.string_dtype("utf-8")
    with h5py.File(path, "w") as file:
        file.create_dataset("few", data=["ä" * 3, "b", ""], dtype=kind)
        file.create_dataset("grid", data=np.asarray([["a", "b"], ["c", "dd"]], object), dtype=kind)
        file.create_dataset("one", data=["x" * (1 << 20)], dtype=kind)
        file.create_dataset("packed", data=["ä", "bb"] * 50, dtype=kind, compression="gzip")
        file.create_dataset("fixed", data=np.asarray([b"a", b"bbb"], "S4"))
        file.create_dataset("long", data=["x"] * 2000 + ["y" * (1 << 16)], dtype=kind)
        many = file.create_dataset("many", (5000,), kind)
        many[0] = "x" * (1 << 18)
        at, width = many.id.get_offset(), many.id.get_storage_size() // 5000
    content = bytearray(path.read_bytes())
    content[at : at + 5000 * width] = bytes(content[at : at + width]) * 5000
    path.write_bytes(content)
    with h5py.File(path) as file:
        assert file["many"][4999] == file["many"][0] and len(file["many"][0]) == 1 << 18
        for name in ("many", "long"):
            with pytest.raises(BadCache, match=f"the strings of /{name} take more than"):
                read_strings(own_dataset(file, name, path), name, path)
        assert _lengths(file["few"], path).tolist() == [6, 1, 0]
        assert _lengths(file["packed"], path) is None and _lengths(file["fixed"], path) is None
        assert read_strings(file["packed"], "packed", path).tolist() == ["ä", "bb"] * 50
        assert read_strings(file["fixed"], "fixed", path).tolist() == ["a", "bbb"]
        assert read_strings(file["few"], "few", path).tolist() == ["äää", "b", ""]
        assert read_strings(file["grid"], "grid", path).tolist() == [["a", "b"], ["c", "dd"]]
        assert read_strings(file["one"], "one", path)[0] == "x" * (1 << 20)


def test_a_store_of_a_hundred_terabytes_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.attrs["format"], file.attrs["format_version"] = "zsl-skeleton-store", 1
        file.create_dataset("keypoint", (1 << 38, 25, 3), "f4", chunks=(256, 25, 3))
    with pytest.raises(BadCache, match="s.h5: /keypoint is declared as"):
        SequenceStore(tmp_path / "s.h5")


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(("content", "message"), [
    (header((1 << 40, 8)) + bytes(64), "declared as float32 of shape"),
    (header((1 << 62, 1 << 62)), "declared as float32 of shape"),
    (header((2,), "|O") + b"cos\nsystem\n(S'touch was-here'\ntR.", "pickled Python objects"),
    (header((4,))[:20], "not a whole numpy file"),
    (b"\x93NUMPY\x03\x00" + header((2,))[8:] + bytes(8), "version 3 of numpy's format"),
])
def test_numpy_files_that_promise_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for read, path in ((load_npy, tmp_path / "a.npy"), (load_npz, tmp_path / "a.npz")):
        with pytest.raises(BadInput, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert not (tmp_path / "was-here").exists()


def test_an_npz_bomb_is_refused_and_a_well_compressed_one_is_not(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(2 * ALWAYS_BYTES, np.uint8))
    assert room((tmp_path / "bomb.npz").stat().st_size) < 2 * ALWAYS_BYTES
    with pytest.raises(BadInput, match="bomb.npz: is declared to unpack to 128.0 MB"):
        load_npz(tmp_path / "bomb.npz")
    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros(10_000_000, np.uint8))
    assert not load_npz(tmp_path / "zeros.npz")["x"].any()


def test_archive_members_never_become_paths(tmp_path: Path) -> None:
    """Names that lead out of a folder are read where they lie, and nothing is written."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    joints = "\n".join("0.5 1 2 " + "0 " * 9 for _ in range(25))
    recording = f"1\n1\n1 {'0 ' * 9}\n25\n{joints}\n"
    name = "S001C001P001R001A{:03d}.skeleton"
    members = [f"../../{name.format(1)}", f"{tmp_path}/{name.format(2)}",
               f"..\\{name.format(3)}", f"x/../../{name.format(4)}"]
    with zipfile.ZipFile(inside / "n.zip", "w") as archive:
        for member in members:
            archive.writestr(member, recording)
        link = zipfile.ZipInfo(f"../{name.format(5)}")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    before = sorted(tmp_path.rglob("*"))
    reader = NTUReader([inside / "n.zip"], "ntu120", 120)
    entries = reader.scan().entries
    assert [entry.sample_id[-4:] for entry in entries] == [f"A{n:03d}" for n in range(1, 6)]
    for entry in entries[:4]:
        assert reader.read(entry).shape == (1, 1, 25, 3)
    with pytest.raises(BadInput, match="n.zip"):  # a link's text is no recording
        reader.read(entries[4])
    assert sorted(tmp_path.rglob("*")) == before
