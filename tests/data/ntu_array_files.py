"""Writes recordings as the arrays that preprocessing of NTU RGB+D leaves.

Coordinates stay in metres and where they are; only the first two bodies are kept
where a format has room for no more.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from tests.data.other_formats import keypoint
from zskel.data.common.files import atomic_path
from zskel.data.skeleton import NTU_RGBD
from zskel.data.synthetic.recording import Recording

_BODIES = 2


def write_ctr_gcn(
    recordings: Iterable[Recording], path: str | os.PathLike[str],
    train_subjects: Collection[int] = (1, 3, 5, 7, 9), frames: int = 300, classes: int = 60,
    compress: bool = False,
) -> list[Recording]:
    """Writes ``x_train``, ``y_train``, ``x_test``, ``y_test`` in one .npz file.

    Args:
        recordings: What to write.
        path: The file, such as NTU60_CS.npz.
        train_subjects: Performers of the training clips.
        frames: Of every clip; shorter ones end in zeros.
        classes: Width of the one-hot labels.
        compress: As ``numpy.savez_compressed``.

    Returns:
        The recordings in the order of their rows, training clips first.
    """
    ordered = sorted(recordings, key=lambda recording: recording.performer not in train_subjects)
    train = sum(recording.performer in train_subjects for recording in ordered)
    values = _padded(ordered, frames).transpose(0, 2, 1, 3, 4).reshape(len(ordered), frames, -1)
    labels = np.eye(classes)[[recording.label for recording in ordered]]
    save = np.savez_compressed if compress else np.savez
    with atomic_path(path, durable=False) as temporary, open(temporary, "wb") as handle:
        save(handle, x_train=values[:train], y_train=labels[:train],
             x_test=values[train:], y_test=labels[train:])
    return ordered


def write_st_gcn(
    recordings: Iterable[Recording], folder: str | os.PathLike[str],
    train_subjects: Collection[int] = (1, 3, 5, 7, 9), frames: int = 300, repeat: bool = False,
) -> None:
    """Writes ``train_data_joint.npy``, ``train_label.pkl`` and the same of ``val``.

    Args:
        recordings: What to write.
        folder: Gets the four files.
        train_subjects: Performers of the training clips.
        frames: Of every clip.
        repeat: Repeat shorter clips, as 2s-AGCN does, instead of adding zeros.
    """
    recordings, folder = list(recordings), Path(folder)
    for part in ("train", "val"):
        chosen = [recording for recording in recordings
                  if (recording.performer in train_subjects) == (part == "train")]
        values = _padded(chosen, frames, repeat).transpose(0, 4, 2, 3, 1)
        names = [f"{recording.sample_id}.skeleton" for recording in chosen]
        labels = (names, [recording.label for recording in chosen])
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{part}_data_joint.npy", np.ascontiguousarray(values))
        (folder / f"{part}_label.pkl").write_bytes(pickle.dumps(labels))


def write_txt2npy(
    recordings: Iterable[Recording], folder: str | os.PathLike[str]
) -> list[Path]:
    """Writes ``SsssCcccPpppRrrrAaaa.skeleton.npy`` dictionaries; returns their paths.

    A body's number is its place in the frame, so that it changes where another is lost.
    """
    paths = []
    for recording in recordings:
        bodies = keypoint(recording)
        placed = np.zeros_like(bodies)
        for t, listed in enumerate(recording.frames):
            placed[: len(listed), t] = bodies[list(listed), t]
        counts = [len(listed) for listed in recording.frames if listed]
        content = {
            "file_name": recording.sample_id, "nbodys": counts, "njoints": NTU_RGBD.num_joints,
            **{f"skel_body{number}": placed[number] for number in range(max(counts))},
        }
        path = Path(folder) / f"{recording.sample_id}.skeleton.npy"
        with atomic_path(path, durable=False) as temporary, open(temporary, "wb") as handle:
            np.save(handle, np.array(content, dtype=object), allow_pickle=True)
        paths.append(path)
    return paths


def _padded(recordings: list[Recording], frames: int, repeat: bool = False) -> np.ndarray:
    """Float32 ``[N, 2, T, 25, 3]``."""
    values = np.zeros((len(recordings), _BODIES, frames, NTU_RGBD.num_joints, 3), np.float32)
    for row, recording in zip(values, recordings):
        bodies = keypoint(recording)[:_BODIES, :frames]
        if repeat:
            bodies = bodies[:, np.arange(frames) % bodies.shape[1]]
        row[: len(bodies), : bodies.shape[1]] = bodies
    return values
