"""What the tests of `pipeline inspect` look at: made-up recordings and caches."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from zskel.data.caches import SkeletonFeatures, TextFeatures
from zskel.data.classes import class_names
from zskel.data.synthetic import Settings

ACTIONS = ("raise left arm sideways", "wave both hands", "two people push each other")
SETTINGS = Settings(performers=3, cameras=2, actions=ACTIONS)
LABELS = [0, 8, 36]
TWO_PEOPLE = "S031C001P001R001A037"


def texts(names: tuple[str, ...], **changes) -> TextFeatures:
    f_y = np.random.default_rng(1).normal(size=(len(names), 5)).astype(np.float32)
    return dataclasses.replace(TextFeatures(
        f_y=f_y, text=np.asarray(names), class_names=names, encoder="made up",
        encoder_revision="1", text_source="label"), **changes)


def skeleton(phase: str) -> SkeletonFeatures:
    """Classes 0 and 36 are seen, 8 unseen; subject 3 is for test, 2 for calibration."""
    test = phase == "test"
    held, other = (3, "test") if test else (2, "calibration")
    rows = [(s, label) for s in (1, 2, 3) for label in LABELS
            if (s == held and (test or label != 8)) or (s < held and label != 8)]
    if not test:  # class 36 is validation-unseen
        rows = [(s, label) for s, label in rows if label != 36 or s == held]
    subject = np.asarray([s for s, _ in rows], np.int16)
    unknown = np.full(len(rows), -1, np.int16)
    seen = (0, 36) if test else (0,)
    return SkeletonFeatures(
        f_x=np.random.default_rng(0).normal(size=(len(rows), 4)).astype(np.float32),
        # The backbone's head is right about every seen class.
        logits=np.asarray([[label == s for s in seen] for _, label in rows], np.float32),
        label=np.asarray([label for _, label in rows]),
        sample_id=np.asarray([f"p{s}a{label}" for s, label in rows]),
        subset=np.where(subject == held, other, "train"),
        subject=subject, camera=unknown, setup=unknown, replication=unknown,
        dataset="synthetic", sample_protocol="cross-subject", phase=phase,
        class_names=class_names("synthetic"), seen_classes=seen,
        unseen_classes=(8,) if test else (36,), backbone="made up",
        weights_sha256=hashlib.sha256(phase.encode()).hexdigest(),
        config={"experiment": "tiny", "split": "default"}, software={"numpy": "2"},
    )
