"""Recordings and a work directory for `pipeline inspect`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from inspected import SETTINGS, skeleton, texts

from zskel.data.caches import write_skeleton_features, write_text_features
from zskel.data.classes import class_names
from zskel.data.readers import READERS
from zskel.data.store_building import build_store
from zskel.data.synthetic import generate, write_ntu


@pytest.fixture(scope="module")
def recordings():
    return list(generate(SETTINGS))


@pytest.fixture(scope="module")
def raw(tmp_path_factory, recordings) -> Path:
    """18 good recordings, a damaged and a misnamed one."""
    folder = tmp_path_factory.mktemp("raw")
    write_ntu(recordings, folder)
    (folder / "S031C001P009R001A001.skeleton").write_text("2\n1\nnonsense\n")
    (folder / "notes.skeleton").write_text("0\n")
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory, raw) -> Path:
    """A work directory with store, both skeleton caches and texts that fit together."""
    root = tmp_path_factory.mktemp("work")
    names = class_names("synthetic")
    build_store(READERS.build("ntu", [raw], dataset="synthetic", num_classes=40),
                root / "store" / "skeletons.h5", names)
    write_skeleton_features(root / "features/skeleton_test.h5", skeleton("test"))
    write_skeleton_features(root / "features/skeleton_calibration.h5", skeleton("calibration"))
    write_text_features(root / "features/text.h5", texts(names))
    return root
