"""The sequence store: what a source holds comes back, whole, after any interruption."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from zskel.data import store_building
from zskel.data.common.checksums import write_checksum
from zskel.data.common.errors import BadCache, BadConfig, BadInput, ClipError
from zskel.data.readers.base import Entry, Reader, Scan, Skip
from zskel.data.readers.ntu import NTUReader
from zskel.data.readers.utd_mhad import UTDMHADReader
from zskel.data.skeleton import NTU_RGBD
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store

NAMES = ("a", "b", "c")
KEEP_ALL = [{"type": "keep_most_active", "bodies": 9}]


class Memory(Reader):
    """Clips of 1 to 3 bodies and 1 to 7 frames; number 4 is damaged."""

    dataset = "mine"
    layout = NTU_RGBD

    def __init__(self, file: Path, count: int = 11, fail_at: int | None = None) -> None:
        super().__init__([file])
        file.write_bytes(b"source")
        self.count, self.fail_at, self.reads = count, fail_at, []
        self.entries = [
            Entry(f"clip{i:02d}", i % 3, str(file), subject=i % 5, camera=i % 2, setup=300 + i,
                  replication=1 + i % 2)
            for i in range(count)
        ]

    def scan(self) -> Scan:
        return Scan(list(self.entries), [Skip("notes.txt", "no clip")])

    def array(self, number: int) -> np.ndarray:
        draw = np.random.default_rng(number)
        shape = (1 + number % 3, 1 + number % 7, 25, 3)
        clip = draw.normal(size=shape).astype(np.float32)
        if number % 4 == 1:
            clip[:, -1] = 0
        return clip

    def read(self, entry: Entry) -> np.ndarray:
        number = int(entry.sample_id[4:])
        self.reads.append(number)
        if number == self.fail_at:
            raise KeyboardInterrupt
        if number == 4:
            raise ClipError(f"{entry.sample_id}: is damaged")
        return self.array(number)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(store_building, "SHARD_CLIPS", 3)


@pytest.fixture
def reader(tmp_path):
    return Memory(tmp_path / "source")


def sort_bodies(clip: np.ndarray) -> np.ndarray:
    return clip[np.lexsort(clip[:, 0, :2, 0].T)]


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_clip_comes_back_unpadded_with_its_identity(tmp_path, reader):
    build_store(reader, tmp_path / "clips.h5", NAMES, KEEP_ALL)
    store = SequenceStore(tmp_path / "clips.h5")
    kept = [entry for entry in reader.entries if entry.sample_id != "clip04"]
    assert len(store) == 10
    assert store.sample_id.tolist() == [entry.sample_id for entry in kept]
    for name in ("label", "subject", "camera", "setup", "replication"):
        assert getattr(store, name).tolist() == [getattr(entry, name) for entry in kept], name
    for index, entry in enumerate(kept):
        expected = reader.array(int(entry.sample_id[4:]))
        found = store.keypoint(index)
        assert found.dtype == np.float32 and found.shape == expected.shape
        np.testing.assert_array_equal(sort_bodies(found), sort_bodies(expected))
        assert (store.num_bodies[index], store.num_frames[index]) == expected.shape[:2]
    clip = store.clip(2)
    assert (clip.sample_id, clip.label, clip.subject, clip.setup) == ("clip02", 2, 2, 302)
    assert (store.dataset, store.layout, store.class_names) == ("mine", NTU_RGBD, NAMES)
    assert store.cleaning == KEEP_ALL
    assert visible(tmp_path) == ["clips.h5", "clips.h5.report.json", "source"]


def test_names_are_kept_with_their_numbers(tmp_path, reader):
    build_store(reader, tmp_path / "plain.h5", NAMES, KEEP_ALL)
    plain = SequenceStore(tmp_path / "plain.h5")
    assert plain.names == {} and plain.values("subject").tolist() == plain.subject.tolist()
    assert plain.as_stored("subject", [1, "02"], "dataset.train") == [1, 2]
    with pytest.raises(BadConfig, match="dataset.train: 'bob' is no number, and subjects have"):
        plain.as_stored("subject", ["bob"], "dataset.train")

    scan = reader.scan()
    scan.entries[0] = replace(scan.entries[0], subject=-1)
    scan.names, scan.notes = {"subject": {"ann": 0, "bob": 1, "cat": 2, "4": 3, "eve": 4}}, ["so"]
    reader.scan = lambda: scan
    report = build_store(reader, tmp_path / "named.h5", NAMES, KEEP_ALL)
    named = SequenceStore(tmp_path / "named.h5")
    assert named.names == scan.names == report.names and report.notes == ["so"]
    assert json.loads((tmp_path / "named.h5.report.json").read_text()) == report.__dict__
    assert named.values("subject").tolist()[:4] == [-1, "bob", "cat", "4"]
    assert named.values("camera").tolist() == named.camera.tolist()
    assert named.as_stored("subject", ["eve", 4], "x") == ["eve", "4"]
    with pytest.raises(BadConfig, match="x: no subject is called 'bop'; did you mean 'bob'"):
        named.as_stored("subject", ["bop"], "x")
    assert named.digest != plain.digest


def test_cleaning_is_applied(tmp_path, reader):
    build_store(reader, tmp_path / "clips.h5", NAMES, [{"type": "keep_most_active", "bodies": 1}])
    assert SequenceStore(tmp_path / "clips.h5").num_bodies.tolist() == [1] * 10


def test_the_report_says_what_was_read_and_left_out(tmp_path, reader):
    report = build_store(reader, tmp_path / "clips.h5", NAMES, KEEP_ALL)
    kept = [reader.array(i) for i in range(11) if i != 4]
    assert (report.found, report.stored) == (12, 10)
    assert report.skipped == [{"name": "notes.txt", "reason": "no clip"},
                              {"name": "clip04", "reason": "clip04: is damaged"}]
    bodies = [len(clip) for clip in kept]
    assert report.bodies_per_clip == {str(b): bodies.count(b) for b in (1, 2, 3)}
    frames = [clip.shape[1] for clip in kept]
    assert report.frames == {"min": min(frames), "median": float(np.median(frames)),
                             "max": max(frames), "total": sum(frames)}
    assert report.empty_frames == 3
    written = json.loads((tmp_path / "clips.h5.report.json").read_text())
    assert written == report.__dict__


def test_progress_reaches_the_end_and_never_falls(tmp_path, reader):
    told = []
    build_store(reader, tmp_path / "clips.h5", NAMES, KEEP_ALL,
                on_progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {11}
    done = [d for d, _ in told]
    assert done == sorted(done) and done[-1] == 11


def test_a_whole_store_is_kept(tmp_path, reader):
    path = tmp_path / "clips.h5"
    first = build_store(reader, path, NAMES, KEEP_ALL)
    before, reader.reads = path.read_bytes(), []
    assert build_store(reader, path, NAMES, KEEP_ALL) == first
    assert reader.reads == [] and path.read_bytes() == before


@pytest.mark.parametrize("change", ["cleaning", "source size", "clips"])
def test_a_store_of_something_else_is_made_anew(tmp_path, reader, change):
    path = tmp_path / "clips.h5"
    build_store(reader, path, NAMES, KEEP_ALL)
    digest, reader.reads, cleaning = SequenceStore(path).digest, [], KEEP_ALL
    if change == "cleaning":
        cleaning = [{"type": "keep_most_active", "bodies": 1}]
    elif change == "source size":
        reader.sources[0].write_bytes(b"longer source")
    else:
        reader.entries.pop()
    build_store(reader, path, NAMES, cleaning)
    assert len(reader.reads) == len(reader.entries)
    assert SequenceStore(path).digest != digest


@pytest.mark.parametrize("field", ["subject", "camera", "setup", "replication"])
def test_a_store_of_other_identities_is_made_anew(tmp_path, reader, field):
    """Another split file of PKU-MMD gives the same clips other replications."""
    path = tmp_path / "clips.h5"
    build_store(reader, path, NAMES, KEEP_ALL)
    reader.entries = [replace(entry, **{field: 9}) for entry in reader.entries]
    build_store(reader, path, NAMES, KEEP_ALL)
    assert set(getattr(SequenceStore(path), field).tolist()) == {9}


@pytest.mark.parametrize("fail_at", [0, 5, 10])
def test_a_stopped_build_leaves_no_store_and_goes_on_where_it_was(tmp_path, fail_at):
    path = tmp_path / "stopped" / "clips.h5"
    path.parent.mkdir()
    stopped = Memory(tmp_path / "source", fail_at=fail_at)
    with pytest.raises(KeyboardInterrupt):
        build_store(stopped, path, NAMES, KEEP_ALL)
    assert not path.exists()
    again = Memory(tmp_path / "source")
    report = build_store(again, path, NAMES, KEEP_ALL)
    assert again.reads == list(range(fail_at // 3 * 3, 11))
    assert visible(path.parent) == ["clips.h5", "clips.h5.report.json"]
    undisturbed = tmp_path / "undisturbed.h5"
    assert build_store(Memory(tmp_path / "source"), undisturbed, NAMES, KEEP_ALL) == report
    assert_same_store(path, undisturbed)


def assert_same_store(one: Path, other: Path) -> None:
    with h5py.File(one) as a, h5py.File(other) as b:
        assert sorted(a) == sorted(b) and sorted(a.attrs) == sorted(b.attrs)
        for name in a:
            np.testing.assert_array_equal(a[name][()], b[name][()], err_msg=name)
        for name in a.attrs:
            np.testing.assert_array_equal(a.attrs[name], b.attrs[name], err_msg=name)


def test_processes_give_the_same_store(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(1, 8):
        skeleton = np.random.default_rng(number).normal(size=(20, 3, number))
        savemat(raw / f"a{number}_s1_t1_skeleton.mat", {"d_skel": skeleton})
    (raw / "a9_s1_t1_skeleton.mat").write_bytes(b"damaged")
    reports = [build_store(UTDMHADReader([raw]), tmp_path / f"{workers}.h5", NAMES, workers=workers)
               for workers in (1, 2)]
    assert reports[0] == reports[1] and reports[0].stored == 7
    assert_same_store(tmp_path / "1.h5", tmp_path / "2.h5")


def test_processes_that_read_one_archive_give_the_same_store(tmp_path, tiny_raw):
    with zipfile.ZipFile(tmp_path / "raw.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, path in enumerate(sorted(tiny_raw.glob("*.skeleton"))[:24]):
            content = path.read_bytes()
            archive.writestr(path.name, content[:99] if number in (3, 17) else content)
    reader = NTUReader([tmp_path / "raw.zip"], "synthetic", 40)
    names = [f"class {number}" for number in range(40)]
    reports = [build_store(reader, tmp_path / f"{workers}.h5", names, workers=workers)
               for workers in (1, 2)]
    assert reports[0] == reports[1] and reports[0].stored == 22
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_a_source_of_damaged_clips_only_is_refused(tmp_path, reader):
    reader.entries = reader.entries[4:5]
    with pytest.raises(BadInput, match="none of 2 files could be read; the first: no clip"):
        build_store(reader, tmp_path / "clips.h5", NAMES, KEEP_ALL)
    assert not (tmp_path / "clips.h5").exists()


def test_a_store_can_be_sent_to_another_process(tmp_path, reader):
    build_store(reader, tmp_path / "clips.h5", NAMES, KEEP_ALL)
    store = SequenceStore(tmp_path / "clips.h5")
    expected = store.keypoint(3)  # opens the file, which must not be sent
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).keypoint(3), expected)


def remove(name):
    return lambda file: file.__delitem__(name)


def set_attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value)


def cut_rows(file):
    rows = file["keypoint"][:-1]
    del file["keypoint"]
    file["keypoint"] = rows


@pytest.mark.parametrize(("damage", "message"), [
    (remove("offset"), "offset"),
    (remove("sample_id"), "sample_id"),
    (remove("camera"), "camera"),
    (set_attribute("format", "other"), "format is 'other'"),
    (set_attribute("format_version", 99), "format_version is 99"),
    (cut_rows, "does not end where /keypoint does"),
])
def test_a_damaged_store_is_refused_in_one_line(tmp_path, reader, damage, message):
    path = tmp_path / "clips.h5"
    build_store(reader, path, NAMES, KEEP_ALL)
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(BadCache, match="its checksum does not hold"):
        SequenceStore(path)
    write_checksum(path)  # so that what is wrong with it is found out
    with pytest.raises(BadCache, match=message) as caught:
        SequenceStore(path)
    assert str(caught.value).startswith(f"{path}: not a whole sequence store")
    assert "\n" not in str(caught.value)
    build_store(reader, path, NAMES, KEEP_ALL)  # and is made anew
    assert len(SequenceStore(path)) == 10


def test_absent_and_cut_stores_are_refused(tmp_path, reader):
    path = tmp_path / "clips.h5"
    with pytest.raises(BadCache, match="no such file"):
        SequenceStore(path)
    build_store(reader, path, NAMES, KEEP_ALL)
    whole = path.read_bytes()
    for length in (0, 50, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(BadCache, match="clips.h5: (not a readable HDF5 file|its checksum)"):
            SequenceStore(path)
