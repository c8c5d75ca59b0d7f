"""NTU files: where they are looked for, and what is left out."""

from __future__ import annotations

import os
import pickle
import re
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ntu_lines import ONE, TEXT, body_lines, lines_of, parse, text_of

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers import archives
from zskel.data.readers.ntu import NTUReader, missing_skeletons
from zskel.data.synthetic import Settings, generate, write_ntu

# -- the generator's files -----------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_round_trip_of_generated_recordings(tmp_path, newline):
    settings = Settings(seed=3, performers=2, cameras=1, empty=1.0, frames=(16, 24))
    recordings = {r.sample_id: r for r in generate(settings)}
    write_ntu(recordings.values(), tmp_path, newline)
    reader = reader_of(tmp_path, dataset="synthetic", num_classes=40)
    entries = reader.scan().entries
    assert [entry.sample_id for entry in entries] == sorted(recordings)
    sizes, absences = set(), 0
    for entry in entries:
        recording = recordings[entry.sample_id]
        bodies = sorted(recording.bodies, key=lambda body: int(body.present.argmax()))
        exact = np.stack([body.joints for body in bodies])
        printed = np.array([float(f"{value:.7g}") for value in exact.ravel()])
        expected = printed.astype(np.float32).reshape(exact.shape)
        np.testing.assert_array_equal(reader.read(entry), expected)
        assert (entry.label, entry.subject) == (recording.label, recording.performer)
        sizes.add(len(bodies))
        absences += sum(int((~body.present).sum()) for body in bodies)
    assert sizes == {1, 2}
    assert absences > 50


# -- the sources ---------------------------------------------------------------


def name_of(setup=1, camera=2, subject=3, replication=1, action=4) -> str:
    return f"S{setup:03d}C{camera:03d}P{subject:03d}R{replication:03d}A{action:03d}"


def put(folder: Path, name: str, text: bytes = TEXT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.skeleton"
    path.write_bytes(text)
    return path


def pack(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def reader_of(*sources: Path, dataset: str = "ntu120", num_classes: int = 120, **options):
    return NTUReader(sources, dataset, num_classes, **options)


def test_folders_archives_and_files_are_read_in_place(tmp_path):
    put(tmp_path / "a" / "deep" / "er", name_of(2, 3, 106, 2, 120))
    pack(tmp_path / "a" / "inner.zip", {f"x/{name_of(action=2)}.skeleton": TEXT})
    outer = pack(tmp_path / "outer.zip", {
        f"nturgb+d_skeletons/{name_of(action=1)}.skeleton": text_of(ONE, "\r\n"),
        "nturgb+d_skeletons/README.txt": b"no recording",
    })
    single = put(tmp_path / "b", name_of(action=5))
    before = sorted(tmp_path.rglob("*"))
    reader = pickle.loads(pickle.dumps(reader_of(tmp_path / "a", outer, single)))
    scan = reader.scan()
    identities = [
        (e.label, e.setup, e.camera, e.subject, e.replication, bool(e.member), e.span)
        for e in pickle.loads(pickle.dumps(scan.entries))
    ]
    assert identities == [
        (0, 1, 2, 3, 1, True, None),
        (1, 1, 2, 3, 1, True, None),
        (4, 1, 2, 3, 1, False, None),
        (119, 2, 3, 106, 2, False, None),
    ]
    assert scan.entries[3].sample_id == "S002C003P106R002A120"
    assert scan.skipped == []
    for entry in scan.entries:
        np.testing.assert_array_equal(reader.read(entry), parse(TEXT))
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_left_out_is_listed_with_its_reason(tmp_path):
    missing, later = sorted(missing_skeletons("ntu60"))[0], name_of(action=61)
    for name in (name_of(), missing, later, name_of(camera=0), "._" + name_of(), "s001", "S001\n"):
        put(tmp_path, name)
    scan = reader_of(tmp_path, dataset="ntu60", num_classes=60).scan()
    assert [entry.sample_id for entry in scan.entries] == [name_of()]
    reasons = {skip.name.rsplit("/")[-1]: skip.reason for skip in scan.skipped}
    other_name = "is not named SsssCcccPpppRrrrAaaa.skeleton"
    assert reasons == {
        missing: "on ntu60's list of missing or incomplete skeletons",
        later: "action 61 is not among the first 60",
        f"{name_of(camera=0)}.skeleton": "has a 000 in its name; numbers count from 1",
        f"._{name_of()}.skeleton": other_name,
        "s001.skeleton": other_name,
        "S001\\n.skeleton": other_name,
    }
    kept = reader_of(tmp_path, dataset="ntu60", num_classes=60, drop_missing=False).scan()
    assert {entry.sample_id for entry in kept.entries} == {missing, name_of()}
    other = reader_of(tmp_path, dataset="synthetic").scan()
    assert {entry.sample_id for entry in other.entries} == {missing, name_of(), later}


def test_the_first_of_two_places_is_used_and_both_are_named(tmp_path):
    first, second = put(tmp_path / "b", name_of()), put(tmp_path / "a", name_of())
    scan = reader_of(tmp_path / "b", tmp_path / "a").scan()
    assert [entry.path for entry in scan.entries] == [str(first)]
    (skip,) = scan.skipped
    assert skip.name == name_of()
    assert skip.reason == f"{second}, also in {first}, which is used"


def test_the_last_copy_in_an_archive_is_used(tmp_path):
    member = f"{name_of()}.skeleton"
    path = pack(tmp_path / "a.zip", {member: b"damaged"})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(member, TEXT)
    reader = reader_of(path)
    scan = reader.scan()
    assert [skip.reason for skip in scan.skipped] == [
        "is in the archive 2 times; the last copy is used"
    ]
    np.testing.assert_array_equal(reader.read(scan.entries[0]), parse(TEXT))


def test_links_are_followed_once(tmp_path):
    put(tmp_path / "elsewhere", name_of())
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw" / "self").symlink_to(tmp_path / "raw")
    scan = reader_of(tmp_path / "raw").scan()
    assert [entry.sample_id for entry in scan.entries] == [name_of()]
    assert scan.skipped == []


def test_a_source_that_holds_nothing_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no archive")
    (tmp_path / "with").mkdir()
    (tmp_path / "with" / "bad.zip").write_bytes(b"PK\x05\x06 cut off")
    put(tmp_path / "good", name_of())
    for source, message in [
        (tmp_path / "absent", "absent: no such file or folder; --raw takes"),
        (tmp_path / "empty", "empty: holds no .skeleton file; --raw takes"),
        (pack(tmp_path / "e.zip", {"a.txt": b""}), "e.zip: holds no .skeleton file"),
        (tmp_path / "text.txt", "text.txt: cannot be opened as a zip archive: File is not"),
        (tmp_path / "with", "no .skeleton file; .*bad.zip cannot be opened as a zip archive"),
        (Path(os.devnull), "is neither a folder nor an archive"),
    ]:
        with pytest.raises(BadInput, match=message) as caught:
            reader_of(tmp_path / "good", source).scan()
        assert str(caught.value).isprintable()
    with pytest.raises(BadInput, match="no source given"):
        reader_of().scan()


def test_a_broken_archive_inside_a_folder_is_skipped(tmp_path):
    put(tmp_path, name_of())
    (tmp_path / "bad.zip").write_bytes(b"cut off")
    scan = reader_of(tmp_path).scan()
    assert len(scan.entries) == 1
    assert [skip.name for skip in scan.skipped] == [str(tmp_path / "bad.zip")]


# -- damaged files -------------------------------------------------------------


def read_only_entry(reader: NTUReader) -> np.ndarray:
    (entry,) = reader.scan().entries
    return reader.read(entry)


def test_messages_name_file_member_and_line(tmp_path):
    path = put(tmp_path / "f", name_of(), TEXT[:-2] + b"x 1\n")
    with pytest.raises(ClipError, match=rf"^{path}: line 29: "):
        read_only_entry(reader_of(path.parent))
    member = f"in/{name_of()}.skeleton"
    archive = pack(tmp_path / "a.zip", {member: b""})
    with pytest.raises(ClipError, match=rf"^{archive}!{member}: line 1: .* the file is empty"):
        read_only_entry(reader_of(archive))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / f"{name_of()}.skeleton")
    with pytest.raises(ClipError, match="is not a regular file"):
        read_only_entry(reader_of(tmp_path))


def test_a_link_to_nowhere(tmp_path):
    (tmp_path / f"{name_of()}.skeleton").symlink_to(tmp_path / "gone")
    with pytest.raises(ClipError, match="cannot be read: No such file"):
        read_only_entry(reader_of(tmp_path))


def test_files_above_the_limit_are_not_read(tmp_path, monkeypatch):
    sources = [
        put(tmp_path / "f", name_of()),
        pack(tmp_path / "a.zip", {f"{name_of()}.skeleton": TEXT}),
    ]
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", len(TEXT))
    for source in sources:
        read_only_entry(reader_of(source))
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", len(TEXT) - 1)
    for source in sources:
        with pytest.raises(ClipError, match="MB are not read"):
            read_only_entry(reader_of(source))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_an_error(tmp_path, method):
    path = pack(tmp_path / "a.zip", {f"{name_of()}.skeleton": TEXT}, method)
    content = bytearray(path.read_bytes())
    content[100] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ClipError, match="is damaged in the archive"):
        read_only_entry(reader_of(path))


def test_sizes_that_lie_neither_inflate_without_bound_nor_pass(tmp_path):
    zeros = b"0" * (64 << 20)
    path = pack(tmp_path / "a.zip", {f"{name_of()}.skeleton": zeros})
    content = path.read_bytes()
    assert content.count(len(zeros).to_bytes(4, "little")) == 2
    path.write_bytes(content.replace(len(zeros).to_bytes(4, "little"), b"\0\1\0\0"))
    reader = reader_of(path)
    (entry,) = reader.scan().entries
    tracemalloc.start()
    try:
        with pytest.raises(ClipError, match="is damaged in the archive: Bad CRC"):
            reader.read(entry)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_other_compressions_and_encryption_are_refused(tmp_path):
    member = {f"{name_of()}.skeleton": TEXT}
    with pytest.raises(ClipError, match="compressed by method 14; repack"):
        read_only_entry(reader_of(pack(tmp_path / "l.zip", member, zipfile.ZIP_LZMA)))
    path = pack(tmp_path / "e.zip", member)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ClipError, match="is encrypted"):
        read_only_entry(reader_of(path))


def test_an_archive_that_changes_is_opened_anew(tmp_path):
    member = f"{name_of()}.skeleton"
    path = pack(tmp_path / "a.zip", {member: TEXT})
    reader = reader_of(path)
    (entry,) = reader.scan().entries
    assert reader.read(entry).shape[1] == 1
    pack(path, {member: text_of(lines_of([], [body_lines(1)]))})
    assert reader.read(entry).shape[1] == 2


# -- the lists -----------------------------------------------------------------


def test_missing_lists():
    ntu60, ntu120 = missing_skeletons("ntu60"), missing_skeletons("ntu120")
    assert (len(ntu60), len(ntu120)) == (302, 535)
    assert ntu60 < ntu120
    assert all(int(name[1:4]) <= 17 and int(name[-3:]) <= 60 for name in ntu60)
    assert all(re.fullmatch(r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}", name) for name in ntu120)
