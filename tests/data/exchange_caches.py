"""Small caches of both phases for the tests of ``zskel.data.exchange``."""

from __future__ import annotations

import numpy as np

from zskel.data.caches import SkeletonFeatures, TextFeatures

NAMES = ("sit", "stand", "wave", "clap", "jog", "lunge", "squat", "throw", "read")


def random_caches(
    seed: int = 0, unseen: int = 2, width: int = 5, rows_a_class: int = 4, subjects: bool = True,
    shuffled: bool = True,
) -> tuple[SkeletonFeatures, SkeletonFeatures, dict[str, TextFeatures]]:
    """Two phases of a random split of nine classes, with rows in no order, and three texts."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(NAMES))
    first, second = order[:unseen], order[unseen:2 * unseen]
    every = range(len(NAMES))
    test_seen = [c for c in every if c not in first]
    own_seen = [c for c in test_seen if c not in second]

    def features(phase: str, seen: list[int], held: np.ndarray) -> SkeletonFeatures:
        pairs = [(c, "train") for c in seen for _ in range(rows_a_class)]
        pairs += [(c, phase) for c in (*seen, *held) for _ in range(rng.integers(1, 4))]
        if shuffled:
            rng.shuffle(pairs)
        label = np.array([int(c) for c, _ in pairs])
        count = len(label)
        whole = {name: rng.integers(-1, 40, count).astype(np.int16) if subjects
                 else np.full(count, -1, np.int16)
                 for name in ("subject", "camera", "setup", "replication")}
        return SkeletonFeatures(
            f_x=rng.normal(size=(count, width)).astype(np.float32),
            logits=rng.normal(size=(count, len(seen))).astype(np.float32), label=label,
            sample_id=np.array([f"{phase}-{row}" for row in range(count)]),
            subset=np.array([subset for _, subset in pairs]), **whole, dataset="nine-moves",
            sample_protocol="cross-subject", phase=phase, class_names=NAMES,
            seen_classes=tuple(seen), unseen_classes=tuple(sorted(int(c) for c in held)),
            backbone="stgcn", weights_sha256="0" * 64, preprocessing={"steps": [1, "two"]},
            config={"split": "seven-two"}, software={"numpy": "2"}, created="2024-01-01",
        )

    texts = {part: TextFeatures(
        f_y=rng.normal(size=(len(NAMES), 4)).astype(np.float32),
        text=np.array([f"{part}{name}" for name in NAMES]), class_names=NAMES,
        encoder="org/some encoder", encoder_revision="r1", text_source="label",
        config={"a": [1]}, **counted) for part, counted in (
            ("", {"tokens": np.arange(9, dtype=np.int32), "token_limit": (8,)}),
            ("verb", {}), ("noun", {}))}
    return features("test", test_seen, first), features("calibration", own_seen, second), texts


def same(ours: SkeletonFeatures | TextFeatures, theirs: SkeletonFeatures | TextFeatures) -> None:
    """Asserts that every field is equal, arrays to the bit."""
    assert type(ours) is type(theirs)
    for name in ours.__dataclass_fields__:
        a, b = getattr(ours, name), getattr(theirs, name)
        if isinstance(a, np.ndarray):
            assert a.shape == b.shape and a.dtype.kind == b.dtype.kind, name
            if a.dtype.kind == "U":
                assert a.tolist() == b.tolist(), name
            else:
                assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), name
        else:
            assert a == b, name
