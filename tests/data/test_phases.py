"""The two phases: who trains, who is held out, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.phases import calibration_phase
from zskel.data.phases import test_phase as make_test_phase
from zskel.data.splits import class_split, held_out_clips, make_split

SUBJECTS = 6
TRAINING = (1, 2, 3, 4)
SPLIT = make_split("nw-ucla", "mine", unseen=[2, 7], validation_unseen=[0, 9])


def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every subject 1..6 performs each of the ten classes once."""
    subject = np.repeat(np.arange(1, SUBJECTS + 1), 10)
    label = np.tile(np.arange(10), SUBJECTS)
    return label, np.where(np.isin(subject, TRAINING), "train", "test"), subject


def test_test_phase_by_hand():
    label, subset, subject = grid()
    phase = make_test_phase(label, subset, SPLIT)
    assert phase.name == "test"
    assert phase.seen_classes == (0, 1, 3, 4, 5, 6, 8, 9)
    assert phase.unseen_classes == (2, 7)
    assert len(phase.train) == 4 * 8 and set(subject[phase.train]) == {1, 2, 3, 4}
    assert len(phase.held_out) == 2 * 10 and set(subject[phase.held_out]) == {5, 6}
    assert not np.isin(label[phase.train], (2, 7)).any()
    assert len(phase.rows) == 52 and (np.diff(phase.rows) > 0).all()
    assert [str(s) for s in phase.subset] == [subset[row] for row in phase.rows]


def test_calibration_phase_by_hand():
    label, subset, subject = grid()
    phase = calibration_phase(label, subset, subject, SPLIT, [3])
    assert phase.name == "calibration"
    assert phase.seen_classes == (1, 3, 4, 5, 6, 8)
    assert phase.unseen_classes == (0, 9)
    assert len(phase.train) == 3 * 6 and set(subject[phase.train]) == {1, 2, 4}
    assert set(label[phase.train]) == {1, 3, 4, 5, 6, 8}
    # Seen and validation-unseen classes of the held-out subject, nothing else.
    assert subject[phase.held_out].tolist() == [3] * 8
    assert label[phase.held_out].tolist() == [0, 1, 3, 4, 5, 6, 8, 9]
    assert set(phase.subset) == {"train", "calibration"}
    assert (phase.subset == "calibration").sum() == 8


@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(1, SUBJECTS)), max_size=60),
    held=st.sets(st.sampled_from(TRAINING), min_size=1, max_size=3),
)
def test_calibration_never_touches_a_test_clip_or_an_unseen_class(rows, held):
    label, subset, subject = grid()
    extra = np.asarray(rows, int).reshape(-1, 2)
    label, subject = np.append(label, extra[:, 0]), np.append(subject, extra[:, 1])
    subset = np.where(np.isin(subject, TRAINING), "train", "test")
    phase = calibration_phase(label, subset, subject, SPLIT, held)
    assert (subset[phase.rows] == "train").all()
    assert not np.isin(label[phase.rows], SPLIT.unseen).any()
    assert not np.isin(label[phase.train], SPLIT.validation_unseen).any()
    assert set(subject[phase.held_out]) == held
    assert not set(subject[phase.train]) & held
    assert not set(phase.train) & set(phase.held_out)
    test = make_test_phase(label, subset, SPLIT)
    assert not set(phase.rows) & set(test.held_out)
    assert set(phase.rows) <= set(test.train)


def test_any_group_can_take_the_place_of_subjects():
    label, subset, subject = grid()
    video = subject * 10 + label % 2
    phase = calibration_phase(label, subset, video, SPLIT, [20, 21])
    assert set(subject[phase.held_out]) == {2}


@pytest.mark.parametrize(("dataset", "name"), [
    ("nw-ucla", "purls-5-5"), ("utd-mhad", "purls-14-13")])
def test_a_split_without_calibration_has_a_test_phase_all_the_same(dataset, name):
    split = class_split(dataset, name)
    label = np.tile(np.arange(split.num_classes), 4)
    subject = np.repeat(np.arange(4), split.num_classes)
    subset = np.where(subject < 2, "train", "test")
    phase = make_test_phase(label, subset, split)
    assert phase.unseen_classes == split.unseen
    with pytest.raises(BadConfig, match=f"{name}: no calibration phase") as caught:
        calibration_phase(label, subset, subject, split, [0])
    assert "\n" not in str(caught.value)


def test_missing_classes_are_refused():
    label, subset, subject = grid()
    keep = ~((label == 4) & (subset == "train"))
    with pytest.raises(BadInput, match="1 classes have no training clips.*class 4"):
        make_test_phase(label[keep], subset[keep], SPLIT)
    keep = ~((label == 7) & (subset == "test"))
    with pytest.raises(BadInput, match="1 classes have no test clips.*class 7"):
        make_test_phase(label[keep], subset[keep], SPLIT)
    keep = (label != 4) | (subject == 3)
    with pytest.raises(BadInput, match="no calibration-phase training clips.*class 4"):
        calibration_phase(label[keep], subset[keep], subject[keep], SPLIT, [3])


def test_clips_can_take_the_place_of_subjects():
    label, subset, _ = grid()
    rows = make_test_phase(label, subset, SPLIT).train
    held = held_out_clips(label, rows, share=0.25, seed=0)
    # One of the four training clips of each seen class.
    assert sorted(label[list(held)]) == list(SPLIT.seen)
    phase = calibration_phase(label, subset, np.arange(len(label)), SPLIT, held, "clip")
    assert phase.held_out.tolist() == list(held)
    assert len(phase.train) == 3 * 6 and not set(phase.train) & set(held)
    few = rows[~np.isin(label[rows], SPLIT.validation_unseen)]
    held = held_out_clips(label, few, share=0.25, seed=0)
    with pytest.raises(BadInput, match="calibration: no held-out clip is of a validation-unseen"):
        calibration_phase(label, subset, np.arange(len(label)), SPLIT, held, "clip")


def test_groups_can_have_names():
    label, subset, subject = grid()
    names = np.asarray(["", "ann", "ben", "cal", "dan", "eve", "fay"], object)[subject]
    phase = calibration_phase(label, subset, names, SPLIT, ["cal"])
    assert set(subject[phase.held_out]) == {3}
    with pytest.raises(BadInput, match="subject 'eve' has no training clips"):
        calibration_phase(label, subset, names, SPLIT, ["eve"])


def test_a_held_out_group_must_train_otherwise():
    label, subset, subject = grid()
    for stranger in (5, 77):  # a test subject, and nobody
        with pytest.raises(BadInput, match=f"subjects: subject {stranger} has no training"):
            calibration_phase(label, subset, subject, SPLIT, [stranger])


@pytest.mark.parametrize(("classes", "what"), [(SPLIT.validation_unseen, "unseen"),
                                               (SPLIT.validation_seen, "seen")])
def test_held_out_groups_need_clips_of_both_kinds(classes, what):
    label, subset, subject = grid()
    keep = ~(np.isin(label, classes) & (subject == 3))
    with pytest.raises(BadInput, match=rf"clip \(subjects \[3\]\) is of a validation-{what}"):
        calibration_phase(label[keep], subset[keep], subject[keep], SPLIT, [3])
