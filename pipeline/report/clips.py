"""The clips behind a setting's numbers, to be seen moving.

Which are shown first is a rule: of each unseen class the one that the headline method's
lowest seed got right with the highest probability among the unseen classes, and the one
that it got wrong with the highest. Where records hold no probabilities, and among equal
ones, the first in the order of the test cache is taken.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.store import SequenceStore
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.report.embedding import Embeddings
from zskel.pipeline.report.summary import Run, Setting
from zskel.pipeline.steps.results import ResultArrays

#: Characters that the coordinates of all clips of a page may take.
MOST_CHARACTERS = 3_000_000
#: A longer clip leaves frames out; the page moves between those it has.
MOST_FRAMES = 30
MOST_BODIES = 2
#: Depth cameras record 30 frames a second.
FRAME_MS = 1000 / 30
#: The grid that coordinates lie on, and what stands for a joint that is not there.
GRID, ABSENT = 254, 255


@dataclass(frozen=True)
class Clips:
    """What the page's script needs to show clips.

    Attributes:
        document: As JSON: ``names`` of all classes; ``unseen`` indices; ``bones`` with
            the ``side`` of each; ``clips`` with their coordinates (see ``encode``);
            ``runs``, a prediction a clip each; ``first``, pairs of a clip and a run;
            ``rows``, the clip of each point of the t-SNE, -1 for none; ``places``, the
            points of each of its pictures. None where there are no clips.
        missing: Why clips are not shown, or not all, or "".
    """

    document: dict[str, Any] | None
    missing: str

    @property
    def json(self) -> str:
        """The document for a script element, in which ``<`` must not stand."""
        return json.dumps(self.document, separators=(",", ":")).replace("<", "\\u003c")


def clips_of(
    setting: Setting, embeddings: Embeddings, places: Sequence[Sequence[int]], room: int
) -> Clips:
    """The clips of the headline method.

    Args:
        setting: Whose headline.
        embeddings: Whose points shall show their clips.
        places: Where these lie in each drawing: x, y, x, y, ...
        room: Characters that the coordinates may take; of more clips, the first are shown
            everywhere before the others of the t-SNE are.
    """
    runs = setting.headline.runs
    found = [run.arrays for run in runs]
    arrays = [each for each in found if each is not None]
    if len(arrays) < len(runs):
        return Clips(None, "Clips are not shown: the arrays of at least one run are not beside "
                     "its record.")
    store, why = store_of(runs[0].path.parent.parent)
    if store is None:
        return Clips(None, f"Clips are not shown: {why}")
    labels = dict(zip(arrays[0].sample_id.tolist(), arrays[0].label.tolist()))
    stored = {name: at for at, name in enumerate(store.sample_id.tolist())
              if labels.get(name) == store.label[at]}
    first = chosen(arrays[0], setting)
    wanted = [*(arrays[0].sample_id[row] for row in first),
              *behind_cells(arrays, setting), *embeddings.sample_id.tolist()]
    names = [str(name) for name in dict.fromkeys(wanted) if name in stored]
    clips: list[dict[str, Any]] = []
    for name in names:
        clip = {"id": name, "y": labels[name], **encode(store.keypoint(stored[name]))}
        room -= len(clip["xy"])
        if room < 0:
            break
        clips.append(clip)
    if not clips:
        return Clips(None, "Clips are not shown: the sequence store has none of them.")
    place = {clip["id"]: at for at, clip in enumerate(clips)}
    left = len(names) - len(clips)
    return Clips({
        "names": {entry.index: entry.name for entry in setting.first.per_class},
        "unseen": [entry.index for entry in setting.unseen],
        "bones": [list(bone) for bone in store.layout.bones],
        "side": [store.layout.sides[child] for child, _ in store.layout.bones],
        "clips": clips,
        "runs": [_run(run, each, place, setting)
                 for run, each in zip(runs, arrays, strict=True)],
        "first": [[place[arrays[0].sample_id[row]], 0] for row in first
                  if arrays[0].sample_id[row] in place],
        "rows": [place.get(name, -1) for name in embeddings.sample_id.tolist()],
        "places": places,
    }, f"The coordinates of {left} more clips would make the page too large." if left else "")


def chosen(arrays: ResultArrays, setting: Setting) -> list[int]:
    """Rows of the clips that are shown first: see the module."""
    sure = confidence(arrays, setting)
    rows: list[int] = []
    for entry in setting.unseen:
        own = arrays.label == entry.index
        for kind in (own & (arrays.zsl_prediction == entry.index),
                     own & (arrays.zsl_prediction != entry.index)):
            candidates = np.flatnonzero(kind)
            if len(candidates):
                rows.append(int(candidates[sure[candidates].argmax()]))
    return rows


def confidence(arrays: ResultArrays, setting: Setting) -> np.ndarray:
    """Float ``[N]``: probability of the ZSL prediction; zeros where it was not recorded."""
    return np.zeros(len(arrays.label)) if arrays.p_u is None else arrays.p_u.max(axis=1)


def behind_cells(arrays: Iterable[ResultArrays], setting: Setting) -> list[str]:
    """Of each cell of the confusion matrices, and each run, the most confident clip."""
    unseen = [entry.index for entry in setting.unseen]
    names: list[str] = []
    for each in arrays:
        order = np.argsort(-confidence(each, setting), kind="stable")
        true = np.where(np.isin(each.label, unseen), each.label, -1)
        for prediction in (each.zsl_prediction, each.gzsl_prediction):
            guess = np.where(np.isin(prediction, unseen), prediction, -1)
            cells = np.stack([true, guess], axis=1)[order]
            firsts = np.unique(cells, axis=0, return_index=True)[1]
            names += each.sample_id[order[np.sort(firsts)]].tolist()
    return names


def encode(keypoint: np.ndarray, most_frames: int = MOST_FRAMES) -> dict[str, Any]:
    """A clip as the camera sees it, on a grid.

    Args:
        keypoint: ``[M, T, V, 3]``.
        most_frames: Of a longer clip frames are left out.

    Returns:
        ``m`` bodies, ``t`` frames, milliseconds of ``ms`` each, and ``xy``: base64 of
        ``[m, t, V, 2]`` bytes, x to the right and y downwards, 255 for what was not tracked.

    >>> clip = encode(np.ones((1, 60, 25, 3), np.float32))
    >>> clip["m"], clip["t"], round(clip["ms"]), len(base64.b64decode(clip["xy"]))
    (1, 30, 67, 1500)
    """
    total = keypoint.shape[1]
    frames = np.linspace(0, total - 1, min(total, most_frames)).round().astype(int)
    bodies = np.flatnonzero((keypoint != 0).any(axis=(1, 2, 3)))[:MOST_BODIES]
    shown = keypoint[bodies][:, frames].astype(np.float64)
    there = (shown != 0).any(axis=-1) & np.isfinite(shown).all(axis=-1)
    # Depth cameras put x to their own left; y is up.
    flat = -shown[..., :2]
    grid = np.full(flat.shape, ABSENT, np.uint8)
    if there.any():
        low, high = flat[there].min(axis=0), flat[there].max(axis=0)
        scale = GRID / max((high - low).max(), 1e-6)
        # In the middle, with the lowest joint on the ground.
        start = np.array([(GRID - (high - low)[0] * scale) / 2, GRID - (high - low)[1] * scale])
        grid[there] = ((flat[there] - low) * scale + start).round()
    return {"m": len(bodies), "t": len(frames), "ms": round(total * FRAME_MS / len(frames), 1),
            "xy": base64.b64encode(grid.tobytes()).decode()}


def store_of(work_dir: Path) -> tuple[SequenceStore | None, str]:
    """The sequence store of a work directory, or None and why there is none."""
    path = WorkDir(work_dir).store
    if not path.is_file():
        return None, "the sequence store is not at hand."
    try:
        store = SequenceStore(path)
        assert store.layout.num_joints
        return store, ""
    except BadInput:
        return None, "the sequence store cannot be read; `pipeline verify` says why."


def _run(
    run: Run, arrays: ResultArrays, place: dict[str, int], setting: Setting
) -> dict[str, Any]:
    """What a run says of each clip, in the order of ``place``; probabilities in percent."""
    row = {name: at for at, name in enumerate(arrays.sample_id.tolist())}
    rows = np.array([row[name] for name in place])
    column = {entry.index: at for at, entry in enumerate(setting.unseen)}
    label = arrays.label[rows].tolist()
    p_u = None if arrays.p_u is None else arrays.p_u[rows]
    of_true = [] if p_u is None else [
        float(p_u[at, column[y]]) if y in column else 0.0 for at, y in enumerate(label)]

    def percents(values: Iterable[float]) -> list[float]:
        return [round(100 * float(value), 1) for value in values]

    return {
        "seed": run.record.seed, "zsl": arrays.zsl_prediction[rows].tolist(),
        "gzsl": arrays.gzsl_prediction[rows].tolist(),
        "p": percents([] if p_u is None else p_u.max(axis=1)), "p_true": percents(of_true),
        "p_seen": percents(arrays.p_seen[rows]),
    }
