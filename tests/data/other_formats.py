"""Writes synthetic recordings in the formats of other data sets.

The recordings are the same whatever they are written as. Formats of one body
take the recording's first; those of 20 joints leave out the neck, hand tips and
thumbs, which Kinect v1 does not have. Labels beyond a format's classes cannot
be kept: NW-UCLA's and UTD-MHAD's files number the recordings' actions through.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path, write_text
from zskel.data.skeleton import KINECT_V1, NTU_RGBD, UTD_MHAD, layout_of
from zskel.data.synthetic.layouts import as_layout
from zskel.data.synthetic.recording import Recording

#: The action numbers that occur in NW-UCLA's file names, in label order.
NW_UCLA_ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)
_CAMERAS = "LMR"
_IDLE_FRAMES = 12


def keypoint(recording: Recording) -> np.ndarray:
    """Float64 ``[M, T, 25, 3]`` of a recording, zeros where a body is absent."""
    return np.stack([body.joints for body in recording.bodies])


def write_pku_mmd(
    recordings: Iterable[Recording],
    folder: str | os.PathLike[str],
    phase: int = 1,
    instances: int = 5,
    train_subjects: Collection[int] = (1, 3, 5, 7, 9),
    suffixes: tuple[str, str] = ("txt", "txt"),
) -> dict[str, list[tuple[int, int, int]]]:
    """Writes a PKU-MMD tree: a performer's recordings joined to long sequences.

    Args:
        recordings: What to write; one or two bodies each.
        folder: Gets ``Data/Skeleton``, ``Label/Train_Label_PKU_final`` and ``Split``.
        phase: 1 or 2, which decides how videos and split files are called.
        instances: Recordings joined to one video, at most.
        train_subjects: Performers of the training videos of cross-subject;
            cameras M and R train in cross-view.
        suffixes: Of skeleton and label files.

    Returns:
        For each video and camera, e.g. "0001-L", its instances: the index of
        the recording, first frame, one past the last.

    Raises:
        BadInput: A recording has three bodies, or there are too many videos.
    """
    recordings, folder = list(recordings), Path(folder)
    takes: dict[tuple[int, int], list[int]] = {}
    for index, recording in enumerate(recordings):
        takes.setdefault((recording.performer, recording.camera), []).append(index)
    written: dict[str, list[tuple[int, int, int]]] = {}
    subjects: dict[str, int] = {}
    numbers: dict[tuple[int, int], int] = {}
    for (performer, camera), indices in sorted(takes.items()):
        for part, start in enumerate(range(0, len(indices), instances), start=1):
            number = numbers.setdefault((performer, part), len(numbers) + 1)
            video = f"A{part:02d}N{performer:02d}" if phase == 2 else f"{number:04d}"
            if number > 9999 or (phase == 2 and max(part, performer) > 99):
                raise BadInput(f"performer {performer}, part {part}: too many for PKU-MMD's names")
            name = f"{video}-{_CAMERAS[camera - 1]}"
            subjects[name] = performer
            written[name] = _write_sequence(
                recordings, indices[start : start + instances],
                folder / "Data" / "Skeleton" / f"{name}.{suffixes[0]}",
                folder / "Label" / "Train_Label_PKU_final" / f"{name}.{suffixes[1]}",
            )
    ending = "_v2" if phase == 2 else ""
    for protocol, trains in (
        ("cross-subject", lambda name: subjects[name] in train_subjects),
        ("cross-view", lambda name: name[-1] in "MR"),
    ):
        _write_split(folder / "Split" / f"{protocol}{ending}.txt", sorted(written), trains)
    return written


def _write_sequence(
    recordings: list[Recording], indices: list[int], path: Path, label_path: Path
) -> list[tuple[int, int, int]]:
    frames: list[np.ndarray] = []
    found, labels, at = [], [], 0
    for index in indices:
        bodies = keypoint(recordings[index])
        if len(bodies) > 2:
            raise BadInput(f"{recordings[index].sample_id}: PKU-MMD files hold two bodies at most")
        clip = np.zeros((bodies.shape[1], 2, NTU_RGBD.num_joints, 3))
        clip[:, : len(bodies)] = bodies.transpose(1, 0, 2, 3)
        # Between two actions the performer waits in the pose that ended the first.
        waiting = np.repeat(clip[-1:], _IDLE_FRAMES, axis=0)
        frames += [clip, waiting]
        found.append((index, at, at + len(clip)))
        labels.append(f"{recordings[index].action},{at},{at + len(clip)},2\n")
        at += len(clip) + _IDLE_FRAMES
    rows = np.concatenate(frames).reshape(at, -1).tolist()
    line = " ".join(["%.7g"] * len(rows[0])) + "\n"
    _write(path, "".join(line % tuple(row) for row in rows))
    _write(label_path, "".join(labels))
    return found


def _write_split(path: Path, names: list[str], trains: Callable[[str], bool]) -> None:
    train = ", ".join(name for name in names if trains(name))
    test = ", ".join(name for name in names if not trains(name))
    write_text(path, f"Training videos: \n{train}\nValidation videos: \n{test}\n")


def write_nw_ucla(
    recordings: Iterable[Recording], folder: str | os.PathLike[str]
) -> list[Path]:
    """Writes ``aXX_sYY_eZZ_vVV.json`` files of 20 joints; returns their paths.

    Raises:
        BadInput: The recordings show more than 10 actions.
    """
    recordings = list(recordings)
    rank = _ranks(recordings, len(NW_UCLA_ACTIONS), "NW-UCLA")
    paths = []
    for recording in recordings:
        label = rank[recording.action] + 1
        name = (f"a{NW_UCLA_ACTIONS[label - 1]:02d}_s{recording.performer:02d}"
                f"_e{recording.replication:02d}_v{recording.camera:02d}")
        joints = as_layout(keypoint(recording)[0], KINECT_V1)
        rounded = np.vectorize(lambda x: float(f"{x:.7g}"))(joints)
        content = {"file_name": name, "skeletons": rounded.tolist(), "label": label}
        paths.append(_write(Path(folder) / f"{name}.json", json.dumps(content)))
    return paths


def write_utd_mhad(
    recordings: Iterable[Recording], folder: str | os.PathLike[str], compress: bool = True
) -> list[Path]:
    """Writes ``aA_sS_tT_skeleton.mat`` files of 20 joints; returns their paths.

    Cameras count as further trials. Coordinates are float64, as they are.

    Raises:
        BadInput: The recordings show more than 27 actions.
    """
    from scipy.io import savemat

    recordings = list(recordings)
    rank = _ranks(recordings, 27, "UTD-MHAD")
    paths = []
    for recording in recordings:
        trial = 3 * (recording.replication - 1) + recording.camera
        name = f"a{rank[recording.action] + 1}_s{recording.performer}_t{trial}_skeleton.mat"
        joints = as_layout(keypoint(recording)[0], UTD_MHAD)
        path = Path(folder) / name
        with atomic_path(path, durable=False) as temporary:
            savemat(temporary, {"d_skel": joints.transpose(1, 2, 0)}, do_compression=compress)
        paths.append(path)
    return paths


def write_pose_pickle(
    recordings: Iterable[Recording],
    path: str | os.PathLike[str],
    train_subjects: Collection[int] = (1, 3, 5, 7, 9),
    layout: str = "nturgb+d",
    protocol: int = 4,
) -> None:
    """Writes the neutral pickle of mmaction2 and pyskl, float32.

    Args:
        recordings: What to write.
        path: The file.
        train_subjects: Performers of the split "xsub_train"; "xsub_val" has the others.
        layout: A name of ``zskel.data.layouts``.
        protocol: Pickle protocol, 0 to 5.
    """
    known = layout_of(layout)
    split: dict[str, list[str]] = {"xsub_train": [], "xsub_val": []}
    annotations = []
    for recording in recordings:
        joints = as_layout(keypoint(recording), known).astype(np.float32)
        name = "xsub_train" if recording.performer in train_subjects else "xsub_val"
        split[name].append(recording.sample_id)
        annotations.append({
            "frame_dir": recording.sample_id, "label": recording.label,
            "keypoint": joints, "total_frames": joints.shape[1],
        })
    with atomic_path(path, durable=False) as temporary:
        content = {"split": split, "annotations": annotations}
        temporary.write_bytes(pickle.dumps(content, protocol=protocol))


def _ranks(recordings: list[Recording], most: int, dataset: str) -> dict[int, int]:
    actions = sorted({recording.action for recording in recordings})
    if len(actions) > most:
        raise BadInput(f"{len(actions)} actions are too many to write as {dataset}, "
                       f"which has {most}")
    return {action: rank for rank, action in enumerate(actions)}


def _write(path: Path, text: str) -> Path:
    with atomic_path(path, durable=False) as temporary:
        temporary.write_text(text, encoding="ascii")
    return path
