"""Labels that are counted from 1: the cause is named, and an option is the cure."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.common.errors import BadInput
from zskel.data.readers import READERS
from zskel.data.readers.base import Reader
from zskel.pipeline.base.config import load_experiment

Case = Callable[..., Path]

TWIN = """
_base_ = ["_base_/datasets/pose_pickle.py", "_base_/backbones/stgcn_tiny.py",
          "_base_/text/minilm_label.py", "_base_/methods/sa_dvae.py"]
dataset = dict(
    name="gestures", class_names=["wave", "clap", "jump", "kick", "throw"], reader="pose_pickle",
    reader_options=dict(_delete_=True, dataset="gestures", train_split="train"),
    sample_protocol="listed")
split = dict(name="own", unseen=[3])
"""


def make_twin(folder: Path) -> None:
    draw = np.random.default_rng(0)
    names = [f"s{person:02d}_{label}_{take}" for person in (1, 2) for label in range(1, 6)
             for take in range(2)]
    annotations = [{"frame_dir": name, "label": int(name[4]), "total_frames": 9,
                    "keypoint": draw.normal(size=(1, 9, 25, 3)).astype(np.float32)}
                   for name in names]
    split = {"train": [name for name in names if name.startswith("s01")],
             "val": [name for name in names if not name.startswith("s01")]}
    (folder / "gestures.pkl").write_bytes(
        pickle.dumps({"split": split, "annotations": annotations}))
    (folder / "exp.py").write_text(TWIN, encoding="utf-8")


@pytest.fixture(params=["as given", "twin"])
def folder(request: pytest.FixtureRequest, case: Case, tmp_path: Path) -> Path:
    if request.param == "as given":
        return case("labels-from-one", make_twin)
    make_twin(tmp_path)
    return tmp_path


def reader_of(folder: Path, *options: str) -> Reader:
    dataset = load_experiment(str(folder / "exp.py"), options).dataset
    reader: Reader = READERS.build(
        dataset.reader, [folder / "gestures.pkl"], **dataset.reader_options)
    return reader


def test_the_cause_is_named(folder: Path) -> None:
    with pytest.raises(BadInput) as caught:
        reader_of(folder).scan()
    assert str(caught.value) == (
        f"{folder / 'gestures.pkl'}: labels run from 1 to 5 and there are 5 classes: labels seem "
        "to be counted from 1; say so with reader_options.first_label=1, or count from 0 in the "
        "file")


def test_an_option_is_the_cure(folder: Path) -> None:
    scan = reader_of(folder, "dataset.reader_options.first_label=1").scan()
    assert not scan.skipped
    # The clips' names hold the labels as the file has them.
    assert {(int(entry.sample_id[4]), entry.label) for entry in scan.entries} == {
        (label, label - 1) for label in range(1, 6)}


def test_extract_says_it_in_one_line(folder: Path, commands: Any) -> None:
    ended = commands.run("extract", folder / "exp.py", "--raw", folder / "gestures.pkl",
                         "--work-dir", folder / "work")
    assert ended.code == 2 and len(ended.err.splitlines()) == 1
    assert "labels seem to be counted from 1" in ended.err
