"""Work directories with made-up caches, of the size that a data set has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zskel.data.caches import (
    SkeletonFeatures,
    TextFeatures,
    write_skeleton_features,
    write_text_features,
)


@dataclass(frozen=True)
class Phase:
    """The clips of a phase.

    Attributes:
        seen, unseen: Its classes.
        train: How many clips train, all of seen classes.
        held_out: How many are held out, of all classes.
    """

    seen: Sequence[int]
    unseen: Sequence[int]
    train: int
    held_out: int


@dataclass(frozen=True)
class Size:
    """A data set's.

    Attributes:
        dataset: Its name.
        classes: How many it has.
        phases: By name.
        text: Columns of f_y, and of its verbs and nouns.
        views: Names of further features of the clips.
        f_x: Columns of f_x.
    """

    dataset: str
    classes: int
    phases: dict[str, Phase]
    text: int
    views: Sequence[str] = ()
    f_x: int = 256


def write_caches(folder: Path, size: Size) -> None:
    """Both phases, f_y and the texts of verbs and nouns: clips around an image of their text."""
    random = np.random.default_rng(0)
    names = tuple(f"action {c}" for c in range(size.classes))
    f_y = random.normal(size=(size.classes, size.text)).astype(np.float32)
    image = random.normal(size=(size.text, size.f_x)) / np.sqrt(size.text)
    for name, phase in size.phases.items():
        label = np.concatenate([np.resize(phase.seen, phase.train),
                                np.resize((*phase.seen, *phase.unseen), phase.held_out)])
        subset = np.repeat(["train", name], [phase.train, phase.held_out])
        unknown = np.full(len(label), -1, np.int16)
        for view in ("f_x", *size.views):
            f_x = f_y[label] @ image + random.normal(size=(len(label), size.f_x))
            suffix = "" if view == "f_x" else f"_{view.removeprefix('f_x_')}"
            write_skeleton_features(folder / f"skeleton_{name}{suffix}.h5", SkeletonFeatures(
                f_x=np.maximum(f_x, 0).astype(np.float32),
                logits=random.normal(size=(len(label), len(phase.seen))).astype(np.float32),
                label=label, subset=subset,
                sample_id=np.array([f"{part} {i}" for i, part in enumerate(subset)]),
                subject=unknown, camera=unknown, setup=unknown, replication=unknown,
                dataset=size.dataset, sample_protocol="cross-subject", phase=name,
                class_names=names, seen_classes=tuple(phase.seen),
                unseen_classes=tuple(phase.unseen), backbone="made up",
                weights_sha256="0" * 64))
    for part, file in enumerate(("text", "text_verb", "text_noun")):
        write_text_features(folder / f"{file}.h5", TextFeatures(
            f_y=np.roll(f_y, part, axis=1), text=np.array(names), class_names=names,
            encoder="made up", encoder_revision="1", text_source="label"))
