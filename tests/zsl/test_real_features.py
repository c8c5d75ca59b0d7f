"""The splits of real features that the benchmarks use: honest and usable."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zskel.data.caches import TextFeatures
from zskel.zsl.cache_checks import check_caches

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location(
    "benchmarks_real_features", ROOT / "benchmarks/real_features.py")
real = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = real  # Dataclasses look their module up.
spec.loader.exec_module(real)

pytestmark = pytest.mark.skipif(
    not real.available(), reason=f"{real.FOLDER}: no real features there")


@pytest.fixture(scope="module")
def clips():
    return real.read_clips()


def test_both_data_sets_are_there(clips):
    assert len(clips.label) == 861 + 1480 and len(clips.class_names) == 37
    assert np.bincount(clips.label).min() == 31
    assert len(np.unique(clips.subject)) == 8 + 10


@pytest.mark.parametrize("seed", [0, 7])
def test_splits_keep_test_subjects_and_unseen_classes_apart(clips, seed):
    test, calibration = real.split_caches(clips, seed)
    names = clips.class_names
    text = TextFeatures(f_y=np.eye(37, dtype=np.float32), text=np.array(names), class_names=names,
                        encoder="drawn", encoder_revision="1", text_source="label")
    check_caches(test, calibration, text)
    assert len(test.unseen_classes) == len(calibration.unseen_classes) == 8
    assert (test.subject[test.rows("train")] % 2 == 1).all()
    assert (test.subject[test.rows("test")] % 2 == 0).all()
    held = set(calibration.subject[calibration.rows("calibration")].tolist())
    assert len(held) == 2 and len({subject >= 100 for subject in held}) == 2
    assert not held & set(calibration.subject[calibration.rows("train")].tolist())
    assert set(calibration.sample_id) <= set(test.sample_id[test.rows("train")])


def test_splits_are_drawn_with_the_seed(clips):
    assert real.draw_split(3, 37) == real.draw_split(3, 37)
    drawn = {real.draw_split(seed, 37).unseen for seed in range(20)}
    assert len(drawn) == 20


def test_a_head_gives_usable_logits(clips):
    small = replace(clips, f_x=clips.f_x[:, :40])  # Fewer columns, faster.
    test, _ = real.split_caches(small, 0, head=True)
    rows = test.rows("train")
    right = np.asarray(test.seen_classes)[test.logits[rows].argmax(axis=1)] == test.label[rows]
    assert right.mean() > 0.5
