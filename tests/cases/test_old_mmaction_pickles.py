"""Pickles of mmaction2 0.x: a list of 3D annotations is read, the rest is told in one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers.pose_pickle import PosePickleReader
from zskel.pipeline.inspect.inspect import inspect, show

Case = Callable[..., Path]

SINGLE = "S001C001P001R001A001.pkl"


def annotations(*shape: int, kind: str = "float32") -> list[dict[str, Any]]:
    draw = np.random.default_rng(0)
    return [{"frame_dir": f"S001C001P{person:03d}R001A{label + 1:03d}", "label": label,
             "total_frames": shape[1], "keypoint": draw.normal(size=shape).astype(kind)}
            for person in range(1, 5) for label in range(4)]


def make_twin(folder: Path) -> None:
    flat = annotations(1, 30, 17, 2, kind="float16")
    scored = annotations(1, 30, 17, 3, kind="float16")
    for name, content in {
        "ntu60_3d_list": annotations(1, 40, 25, 3), "ntu60_xsub_train": flat,
        "ntu60_hrnet": {"split": {"train": [a["frame_dir"] for a in flat]}, "annotations": flat},
        "coco17_xyscore": {"split": {}, "annotations": scored}, Path(SINGLE).stem: flat[0],
    }.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))


@pytest.fixture(params=["as given", "twin"])
def folder(request: pytest.FixtureRequest, case: Case, tmp_path: Path) -> Path:
    if request.param == "as given":
        return case("old-mmaction-pickles", make_twin)
    make_twin(tmp_path)
    return tmp_path


def test_a_list_of_3d_annotations_is_read(folder: Path) -> None:
    reader = PosePickleReader([folder / "ntu60_3d_list.pkl"], dataset="ntu60")
    scan = reader.scan()
    assert len(scan.entries) == 16 and not scan.skipped
    assert sorted({entry.label for entry in scan.entries}) == [0, 1, 2, 3]
    assert all(f"P{entry.subject:03d}" in entry.sample_id for entry in scan.entries)
    assert reader.read(scan.entries[0]).shape == (1, 40, 25, 3)


def test_inspect_shows_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspect(folder / "ntu60_3d_list.pkl")
    assert (found["reader"], found["clips"], found["skipped"]) == ("pose_pickle", 16, [])
    show(found)
    assert "identity" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "message"), [
    ("ntu60_xsub_train.pkl", "holds 2D poses"), ("ntu60_hrnet.pkl", "holds 2D poses"),
    (SINGLE, r"expected dict\(split=.*annotations=.*, or such a list of annotations alone"),
])
def test_the_rest_is_one_line(folder: Path, name: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        PosePickleReader([folder / name], dataset="ntu60").scan()
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(folder / name))


def test_other_joints_are_told_by_clip(folder: Path) -> None:
    reader = PosePickleReader([folder / "coco17_xyscore.pkl"], dataset="ntu60")
    with pytest.raises(ClipError, match=r"shape \(1, 30, 17, 3\), expected \[bodies, frames, 25"):
        reader.read(reader.scan().entries[0])
