"""NTU as arrays: the same clips as the text gives, or one line on what is wrong."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.ntu_array_files import write_ctr_gcn, write_st_gcn, write_txt2npy
from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers.ntu import NTUReader
from zskel.data.readers.ntu_arrays import protocol_of
from zskel.data.synthetic import Recording, Settings, generate, write_ntu

TRAIN = (1, 2)


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    """Without empty frames, which the forms at hand take for padding."""
    actions = ("jump up", "two people wave at each other")
    return list(generate(Settings(performers=3, cameras=1, frames=(16, 24), empty=0,
                                  actions=actions)))


def reader_of(*sources: Path, **options: object) -> NTUReader:
    return NTUReader(sources, **{"dataset": "synthetic", "num_classes": 40, **options})


def clips(*sources: Path) -> dict[str, np.ndarray]:
    reader = reader_of(*sources)
    return {entry.sample_id: reader.read(entry) for entry in reader.scan().entries}


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    # The text has seven digits, the arrays are float32; the order of bodies that are
    # there from the beginning is each form's own.
    assert found.shape == expected.shape
    key = expected[:, 0, 0, 0].argsort(), found[:, 0, 0, 0].argsort()
    np.testing.assert_allclose(found[key[1]], expected[key[0]], atol=2e-6)


@pytest.fixture(scope="module")
def as_text(recordings: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    write_ntu(recordings, folder)
    return folder


@pytest.mark.parametrize("compress", [False, True])
def test_ctr_gcn(
    recordings: list[Recording], as_text: Path, tmp_path: Path, compress: bool
) -> None:
    path = tmp_path / "NTU60_CS.npz"
    rows = write_ctr_gcn(recordings, path, TRAIN, compress=compress)
    reader = reader_of(path)
    scan = reader.scan()
    assert [e.sample_id for e in scan.entries][:2] == ["test-000000", "test-000001"]
    assert reader.sample_protocol == "cross-subject"
    (notice,) = scan.notes
    assert "no sample names" in notice and "hold out clips" in notice and notice.isprintable()
    expected = clips(as_text)
    places = {f"train-{row:06d}" if recording.performer in TRAIN else
              f"test-{row - sum(r.performer in TRAIN for r in rows):06d}": recording
              for row, recording in enumerate(rows)}
    # Backwards too, which compressed arrays are unpacked again for.
    for entry in [*scan.entries, *reversed(scan.entries)]:
        recording = places[entry.sample_id]
        assert entry.label == recording.label
        assert entry.replication == (1 if recording.performer in TRAIN else 2)
        assert (entry.subject, entry.camera, entry.setup) == (-1, -1, -1)
        assert_close(reader.read(entry), expected[recording.sample_id])


@pytest.mark.parametrize("repeat", [False, True])
def test_st_gcn(
    recordings: list[Recording], as_text: Path, tmp_path: Path, repeat: bool
) -> None:
    write_st_gcn(recordings, tmp_path / "xsub", TRAIN, frames=60, repeat=repeat)
    np.save(tmp_path / "xsub" / "train_data_bone.npy", np.zeros(3))  # of another stream
    found, expected = clips(tmp_path), clips(as_text)
    assert found.keys() == expected.keys()
    for name in expected:
        assert_close(found[name], expected[name])
    text, arrays = reader_of(as_text).scan(), reader_of(tmp_path).scan()
    assert arrays.skipped == arrays.notes == []
    for one, other in zip(text.entries, arrays.entries, strict=True):
        assert (one.label, one.subject, one.camera, one.setup, one.replication) == \
            (other.label, other.subject, other.camera, other.setup, other.replication)


def test_txt2npy(recordings: list[Recording], as_text: Path, tmp_path: Path) -> None:
    paths = write_txt2npy(recordings, tmp_path / "npy")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"npy/{path.name}")
    for source in (tmp_path / "npy", tmp_path / "packed.zip"):
        found, expected = clips(source), clips(as_text)
        assert found.keys() == expected.keys()
        for name in expected:
            assert_close(found[name], expected[name])


def test_a_clip_that_ends_before_the_other_is_not_cut(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 12, 25, 2)).astype(np.float32)
    values[0, :, 4:] = 0  # padding
    values[0, :, :, :, 1] = 0  # nobody
    values[1, :, 6:] = values[1, :, :6]  # repeated
    values[1, :, :, :, 1] = values[1, :, :1, :, 1]  # stands still
    np.save(tmp_path / "val_data.npy", values)
    names = ["S001C001P001R001A001", "S001C001P001R001A002"]
    (tmp_path / "val_label.pkl").write_bytes(pickle.dumps((names, [0, 1]), protocol=2))
    found = clips(tmp_path / "val_data.npy")
    np.testing.assert_array_equal(found[names[0]], values[0, :, :4, :, :1].transpose(3, 1, 2, 0))
    assert found[names[1]].shape == (2, 12, 25, 3)


@pytest.mark.parametrize(("name", "protocol"), [
    ("NTU60_CS.npz", "cross-subject"), ("NTU60_CV.npz", "cross-view"),
    ("NTU120_CSub.npz", "cross-subject"), ("NTU120_CSet.npz", "cross-setup"),
    ("ntu-xview-joints.npz", "cross-view"), ("discs.npz", "listed"),
])
def test_the_protocol_is_in_the_name(name: str, protocol: str) -> None:
    assert protocol_of(name) == protocol


# -- what cannot be read -------------------------------------------------------


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


X, Y = np.ones((2, 4, 150), np.float32), np.eye(60)[[3, 5]]


@pytest.mark.parametrize(("arrays", "message"), [
    (dict(features=X), r"holds features \[2, 4, 150\]; features .*recordings are .*x_train"),
    (dict(x_train=X), "has x_train and no y_train"),
    (dict(x_train=X[..., :100], y_train=Y), r"x_train has shape \[2, 4, 100\], expected .* 150"),
    (dict(x_train=X, y_train=Y[:1]), "has 2 clips, y_train 1 labels"),
    (dict(x_train=X, y_train=Y + 1), "row 0 is not one-hot"),
    (dict(x_train=X, y_train=np.array([0.5, 1])), "expected one-hot rows or one class index"),
    (dict(x_train=np.array([None]), y_train=Y), "holds object of shape"),
])
def test_an_npz_that_does_not_fit(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    path = npz(tmp_path / "NTU60_CS.npz", **arrays)
    with pytest.raises(BadInput, match=message) as caught:
        reader_of(path).scan()
    assert str(caught.value).startswith(str(path)) and str(caught.value).isprintable()


def test_nothing_stands_beside_clips_without_names(as_text: Path, tmp_path: Path) -> None:
    path = npz(tmp_path / "NTU60_CS.npz", x_train=X, y_train=Y)
    other = npz(tmp_path / "NTU60_CV.npz", x_train=X, y_train=Y)
    for sources in ([path, as_text], [tmp_path], [path, other]):
        with pytest.raises(BadInput, match="names none of its clips.*give one of the two"):
            reader_of(*sources).scan()


def test_other_arrays_in_a_folder_are_passed_over(
    recordings: list[Recording], tmp_path: Path
) -> None:
    write_ntu(recordings[:1], tmp_path)
    npz(tmp_path / "features.npz", features=X)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "features.npz").read_bytes()[:-30])
    np.save(tmp_path / "train_data_joint.npy", np.zeros((1, 3, 4, 25, 2), np.float32))
    scan = reader_of(tmp_path).scan()
    assert len(scan.entries) == 1
    assert [(Path(skip.name).name, skip.reason.split(":")[0]) for skip in scan.skipped] == [
        ("cut.npz", "is not a whole .npz file; is it cut off?"),
        ("train_data_joint.npy",
         "its labels and sample names, train_label.pkl, are not beside it"),
    ]


def test_a_clip_that_is_wrong_costs_itself_alone(tmp_path: Path) -> None:
    values = np.stack([X[0], X[0] * np.nan, X[0] * 0, X[0]])
    path = npz(tmp_path / "NTU60_CS.npz", x_train=values, y_train=np.array([0, 1, 2, 99]))
    reader = reader_of(path, num_classes=60)
    scan = reader.scan()
    assert [(skip.name, skip.reason) for skip in scan.skipped] == [
        ("train-000003", "action 100 is not among the first 60")]
    assert reader.read(scan.entries[0]).shape == (2, 4, 25, 3)
    with pytest.raises(ClipError, match=r"NTU60_CS.npz!x_train\[1\]: holds a number that is not"):
        reader.read(scan.entries[1])
    with pytest.raises(ClipError, match=r"x_train\[2\]: no body in any of its 4 frames"):
        reader.read(scan.entries[2])


@pytest.mark.parametrize(("labels", "message"), [
    (["a"], "expected .sample names, labels."), ((["S001C001P001R001A001"], [0, 1]), "one length"),
    ((["S001C001P001R001A001"] * 2, [0, 1]), "has 1 clips, val_label.pkl names 2"),
    (([7], [0]), "clip 0 is 7 with label 0, expected a name"),
])
def test_a_label_file_that_does_not_fit(tmp_path: Path, labels: object, message: str) -> None:
    np.save(tmp_path / "val_data_joint.npy", np.ones((1, 3, 4, 25, 2), np.float32))
    (tmp_path / "val_label.pkl").write_bytes(pickle.dumps(labels))
    with pytest.raises(BadInput, match=message):
        reader_of(tmp_path / "val_data_joint.npy").scan()


def test_names_decide_and_labels_must_agree(tmp_path: Path) -> None:
    names = ["S001C001P001R001A001.skeleton", "S001C001P001R001A002.skeleton", "F001V001"]
    np.save(tmp_path / "val_data_joint.npy", np.ones((3, 3, 4, 25, 2), np.float32))
    (tmp_path / "val_label.pkl").write_bytes(pickle.dumps((names, [0, 7, 0])))
    scan = reader_of(tmp_path).scan()
    assert [entry.sample_id for entry in scan.entries] == [names[0][:20]]
    assert [skip.reason for skip in scan.skipped] == [
        "has label 7, by its name S001C001P001R001A002 it is 1",
        "is not named SsssCcccPpppRrrrAaaa.skeleton"]
    assert "[1]" in scan.skipped[0].name and "F001V001" in scan.skipped[1].name


class Execute:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return exit, ("a pickle was executed",)


def saved(content: object) -> bytes:
    handle = io.BytesIO()
    np.save(handle, np.array(content, dtype=object), allow_pickle=True)
    return handle.getvalue()


BODY = np.ones((4, 25, 3))


@pytest.mark.parametrize(("content", "message"), [
    (saved({"skel_body0": Execute()}), "refused, as this pickle asks for"),
    (saved({"rgb_body0": BODY}), "has no skel_body0, the joints in space"),
    (saved({"skel_body0": BODY, "skel_body1": BODY[:3]}), r"skel_body1 is \(3, 25, 3\)"),
    (saved({"skel_body0": BODY * np.inf}), "not finite"),
    (saved({"skel_body0": BODY * 0}), "no body in any of its 4 frames"),
    (saved([BODY, BODY]), "holds object of shape|holds something else"),
    (saved({"skel_body0": BODY})[:-50], "not a whole pickle"),
    (b"", "not a whole .npy file"),
])
def test_a_dictionary_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "S001C001P001R001A001.skeleton.npy"
    path.write_bytes(content)
    reader = reader_of(path)
    (entry,) = reader.scan().entries
    with pytest.raises(ClipError, match=message) as caught:
        reader.read(entry)
    assert str(caught.value).isprintable()
