"""Pixels and a score, given as if they were metres: said by inspect, extract and report."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zskel.data.caches import read_skeleton_features
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.extract.extract import extract
from zskel.pipeline.inspect.inspect import inspect, show

ROOT = Path(__file__).resolve().parents[2]
SAID = ("coordinates far from metres", "third axis within 0..1", "looks like 2D with a score")

EXPERIMENT = """
_base_ = ["_base_/datasets/pose_pickle.py", "_base_/backbones/stgcn_tiny.py",
          "_base_/text/minilm_label.py", "_base_/methods/sa_dvae.py"]
dataset = dict(
    name="gestures", class_names=["wave", "clap", "jump", "kick"], reader="pose_pickle",
    reader_options=dict(_delete_=True, dataset="gestures"),
    cleaning=[dict(type="keep_most_active", bodies=1)], train=[1, 2, 3],
    sample_protocol="cross-subject")
split = dict(name="own", unseen=[3], validation_unseen=[2])
backbone = dict(name="tiny", epochs=1, model=dict(backbone=dict(base_channels=4),
                                                  cls_head=dict(in_channels=64)))
"""


def twin(folder: Path) -> None:
    random = np.random.default_rng(0)
    annotations = []
    for subject in range(1, 5):
        for label in range(4):
            keypoint = np.concatenate([random.uniform(160, 940, (1, 40, 25, 2)),
                                       random.uniform(0, 1, (1, 40, 25, 1))], axis=-1)
            annotations.append(dict(
                frame_dir=f"S001C001P{subject:03d}R001A{label + 1:03d}", label=label,
                total_frames=40, keypoint=keypoint.astype(np.float32)))
    (folder / "body25.pkl").write_bytes(pickle.dumps(dict(split={}, annotations=annotations)))
    (folder / "exp.py").write_text(EXPERIMENT, encoding="utf-8")


@pytest.fixture(params=["given", "twin"])
def folder(request: pytest.FixtureRequest, case: Callable[..., Path]) -> Path:
    name = "pixel-coordinates"
    return case(name if request.param == "given" else f"{name}-twin", twin)


def test_inspect_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = inspect(folder / "body25.pkl")
    assert [notice["code"] for notice in found["notices"]] == ["pixels"]
    show(found)
    printed = capsys.readouterr().out
    assert all(words in printed for words in SAID)


def test_extract_says_so_once_and_the_caches_keep_it(
    case: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = case("pixel-coordinates", twin)
    config = folder / "exp.py"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"_base_/', f'"{ROOT}/configs/_base_/'), encoding="utf-8")
    work = folder / "work"
    made = extract(load_experiment(str(config)), [folder / "body25.pkl"], work, workers=1)
    told = capsys.readouterr().err
    assert [told.count(words) for words in SAID] == [1, 1, 1]
    assert made is not None
    for path in made.skeleton.values():
        assert [notice["code"] for notice in read_skeleton_features(path).notices] == ["pixels"]
    report = json.loads((work / "store/skeletons.h5.report.json").read_text(encoding="utf-8"))
    assert report["notices"] == list(read_skeleton_features(made.skeleton["test"]).notices)
    for kept in (work, work / "store/skeletons.h5", made.skeleton["calibration"]):
        assert inspect(kept)["notices"] == report["notices"]
