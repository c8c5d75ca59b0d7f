"""NTU in tar archives and packed by gzip: as in folders and zip archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers import archives, gzip_file
from zskel.data.readers.gzip_file import GzipFile, gunzip
from zskel.data.readers.ntu import NTUReader
from zskel.data.synthetic import Recording, Settings, generate, write_ntu


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    return list(generate(Settings(performers=3, cameras=1, frames=(16, 24),
                                  actions=("jump up", "two people wave at each other"))))


@pytest.fixture(scope="module")
def folder(recordings: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    write_ntu(recordings, folder)
    return folder


def reader_of(*sources: Path) -> NTUReader:
    return NTUReader(sources, "synthetic", 40)


def pack(path: Path, files: dict[str, bytes]) -> Path:
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def assert_same(source: Path, folder: Path) -> None:
    reader, plain = reader_of(source), reader_of(folder)
    scan, expected = reader.scan(), plain.scan()
    assert scan.skipped == [] and len(scan.entries) == len(expected.entries) == 6
    for entry, other in zip(scan.entries, expected.entries):
        assert (entry.sample_id, entry.subject) == (other.sample_id, other.subject)
        np.testing.assert_array_equal(reader.read(entry), plain.read(other))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "A.TAR"])
def test_tar(folder: Path, tmp_path: Path, name: str) -> None:
    # Not in the order in which they are read, as folders are seldom packed in order.
    files = {f"x/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())[::-1]}
    path = pack(tmp_path / name, {"x/README.txt": b"no recording", **files})
    assert_same(path, folder)
    assert_same(tmp_path, folder)  # found inside a folder


def test_gzip_by_file_and_inside_archives(folder: Path, tmp_path: Path) -> None:
    files = {f"{path.name}.gz": gzip.compress(path.read_bytes()) for path in folder.iterdir()}
    (tmp_path / "loose").mkdir()
    for name, content in files.items():
        (tmp_path / "loose" / name).write_bytes(content)
    assert_same(tmp_path / "loose", folder)
    assert_same(pack(tmp_path / "a.tar", files), folder)


def test_any_place_of_a_gzip_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    content = rng.integers(0, 64, 400_000, np.uint8).tobytes()
    # Two packed files, one after the other, count as one.
    packed = gzip.compress(content[:150_000]) + gzip.compress(content[150_000:]) + b"\0" * 7
    (tmp_path / "f.gz").write_bytes(packed)
    monkeypatch.setattr(gzip_file, "_BLOCK", 1000)
    monkeypatch.setattr(gzip_file, "_BOOKMARKS", 20)
    with GzipFile(tmp_path / "f.gz") as file:
        for place in [0, 399_999, 5, 149_990, 400_001, *rng.integers(0, 400_000, 60).tolist()]:
            file.seek(place)
            assert file.read(3000) == content[place : place + 3000]
            assert file.tell() == min(place + 3000, max(400_000, place))
    assert gunzip(packed, 400_000, "f") == content


# -- what cannot be read -------------------------------------------------------


def test_what_a_tar_archive_may_hold_besides(folder: Path, tmp_path: Path) -> None:
    first, second = sorted(folder.iterdir())[:2]
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(first, first.name)
        archive.add(first, first.name)
        link = tarfile.TarInfo(second.name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    reader = reader_of(path)
    scan = reader.scan()
    assert [skip.reason for skip in scan.skipped] == [
        "is in the archive 2 times; the last copy is used"]
    reader.read(scan.entries[0])
    with pytest.raises(ClipError, match=f"a.tar!{second.name}: is a link"):
        reader.read(scan.entries[1])


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_damaged_tar_archive_is_refused_whole(
    folder: Path, tmp_path: Path, name: str
) -> None:
    """Reading up to the damage would leave out recordings without a word."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    content = pack(tmp_path / name, files).read_bytes()
    header = bytearray(pack(tmp_path / "plain.tar", files).read_bytes())
    header[(len(next(iter(files.values()))) + 1023) // 512 * 512 + 150] ^= 1  # of the second file
    whole = len(header) - len(header.rstrip(b"\0"))
    for damaged in (content[: len(content) // 2], content[:100], b"", b"no archive",
                    *([] if name != "a.tar" else [bytes(header), content[:-whole]])):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(BadInput, match=f"{name}: cannot be opened as a tar archive: ") as error:
            reader_of(tmp_path / name).scan()
        assert str(error.value).isprintable()


def test_bombs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{sorted(folder.iterdir())[0].name}"
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 1 << 20)
    content = b"0" * ((1 << 20) + 1)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    for source in (tmp_path / f"{name}.gz", pack(tmp_path / "a.tar", {name: content}),
                   pack(tmp_path / "a.tgz", {name: content})):
        reader = reader_of(source)
        with pytest.raises(ClipError, match="above 1 MB are not read"):
            reader.read(reader.scan().entries[0])
    monkeypatch.setattr(gzip_file, "room", lambda size: 1 << 20)
    with pytest.raises(BadInput, match="tar archive: it unpacks to more than 1 MB"):
        reader_of(pack(tmp_path / "b.tgz", {name: content})).scan()


def test_a_header_that_announces_a_huge_one(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    for name in ("a.tar", "a.tgz"):
        block = info.tobuf() + b"0" * 4096
        (tmp_path / name).write_bytes(gzip.compress(block) if name == "a.tgz" else block)
        with pytest.raises(BadInput, match="cannot be opened as a tar archive: .*4294967296"):
            reader_of(tmp_path / name).scan()


@pytest.mark.parametrize(("content", "message"), [
    (gzip.compress(b"1\n")[:-3], "is cut off"), (b"", "is cut off"),
    (b"1\n0\n", "is damaged, or not packed by gzip"),
    (gzip.compress(b"1\n") + b"more", "is damaged, or not packed by gzip"),
], ids=["cut off", "empty", "not packed", "more behind it"])
def test_a_damaged_gzip_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "S001C001P001R001A001.skeleton.gz"
    path.write_bytes(content)
    reader = reader_of(path)
    with pytest.raises(ClipError, match=f"{path}: {message}"):
        reader.read(reader.scan().entries[0])
