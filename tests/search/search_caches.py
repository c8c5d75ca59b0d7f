"""Made-up caches of one small zero-shot problem."""

from __future__ import annotations

import numpy as np

from zskel.data.caches import SkeletonFeatures, TextFeatures

CLASSES, UNSEEN, VALIDATION = 14, (3, 8, 12), (1, 6, 10)
NAMES = tuple(f"action {c}" for c in range(CLASSES))


def skeleton(phase: str = "calibration", seed: int = 0) -> SkeletonFeatures:
    """Clips whose f_x is a random image of their class's text, with noise."""
    random = np.random.default_rng(seed)
    unseen = UNSEEN if phase == "test" else VALIDATION
    known = [c for c in range(CLASSES) if phase == "test" or c not in UNSEEN]
    seen = tuple(c for c in known if c not in unseen)
    label = np.concatenate([np.repeat(seen, 8), np.repeat(known, 6)])
    f_x = texts().f_y[label] @ np.random.default_rng(5).normal(size=(12, 24)) / 3
    unknown, n = np.full(len(label), -1, np.int16), len(label)
    return SkeletonFeatures(
        f_x=(f_x + 0.5 * random.normal(size=(n, 24))).astype(np.float32),
        logits=np.zeros((n, len(seen)), np.float32), label=label,
        sample_id=np.array([f"{phase}-{i}" for i in range(n)]),
        subset=np.repeat(["train", phase], [8 * len(seen), 6 * len(known)]),
        subject=np.arange(n, dtype=np.int16) % 3, camera=unknown, setup=unknown,
        replication=unknown, dataset="made-up", sample_protocol="cross-subject", phase=phase,
        class_names=NAMES, seen_classes=seen, unseen_classes=unseen, backbone="drawn",
        weights_sha256="0",
    )


def texts() -> TextFeatures:
    f_y = np.random.default_rng(1).normal(size=(CLASSES, 12)).astype(np.float32)
    return TextFeatures(f_y=f_y, text=np.array(NAMES), class_names=NAMES, encoder="drawn",
                        encoder_revision="1", text_source="label")
