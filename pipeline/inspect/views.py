"""Several skeletons in one drawing: a clip through preprocessing, a clip of each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure

from zskel.data.bodies import DEFAULT_CLEANING, clean
from zskel.data.canonicalize import canonicalize
from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path
from zskel.data.preprocess import pre_normalize_3d
from zskel.data.skeleton import Clip
from zskel.pipeline.inspect.draw import FRONT, Panel, Scene, View, check, film
from zskel.pipeline.inspect.sources import ClipSource
from zskel.pipeline.report.clips import FRAME_MS

#: ``pre_normalize_3d`` lays the spine along z.
_NORMALIZED = View("front", "x (m)", 0, True, up=2)
_COLUMNS, _PICTURES = 6, 30
#: Inches of a panel.
_SIZE = 1.5


def steps_of(keypoint: np.ndarray, source: ClipSource) -> list[tuple[str, np.ndarray, View]]:
    """What each step makes of a clip, and how to look at it.

    Args:
        keypoint: ``[M, T, V, 3]``, as the source gives it: raw, or cleaned where that is a store.
        source: Of the clip.

    Returns:
        Raw if there is such, cleaned, and of the cleaned clip what ``pre_normalize_3d`` and
        ``canonicalize`` make.
    """
    layout = source.layout
    cleaned = clean(keypoint, DEFAULT_CLEANING) if source.raw else keypoint
    return [
        *([("raw", keypoint, FRONT)] if source.raw else []),
        ("cleaned", cleaned, FRONT),
        ("normalized", pre_normalize_3d(cleaned, layout=layout), _NORMALIZED),
        ("canonicalized", canonicalize(cleaned, layout=layout), FRONT),
    ]


def draw_steps(clip: Clip, source: ClipSource, path: Path, class_name: str) -> None:
    """Draws a clip before and after each preprocessing step.

    Args:
        clip: As the source gives it.
        source: Where it comes from: raw recordings, or a store, whose clips are clean.
        path: ``.gif``, or ``.png`` with a row for each step and time from left to right.
        class_name: For the title.

    Raises:
        BadInput: The clip cannot be drawn.
    """
    check(clip, source.layout)
    steps = steps_of(clip.keypoint, source)
    moving = path.suffix.lower() == ".gif"
    panels: list[tuple[str, Scene, View]] = []
    shares: list[float] = []
    for name, keypoint, view in steps:
        scene = Scene(keypoint, source.layout)
        columns = 1 if moving else _COLUMNS
        panels += [("" if column else name, scene, view) for column in range(columns)]
        shares += np.linspace(0, 1, columns).tolist()
    title = f"{clip.sample_id}: {class_name}"
    seconds = clip.keypoint.shape[1] * FRAME_MS / 1000
    _draw(panels, len(steps) if moving else _COLUMNS, title, path, seconds if moving else shares)


def draw_classes(source: ClipSource, path: Path) -> None:
    """Draws the first clip of each class that can be drawn.

    Args:
        source: Of the clips.
        path: ``.gif``, in which each clip takes the same time, or ``.png``, which shows the
            middle of each.

    Raises:
        BadInput: There is none.
    """
    panels: list[tuple[str, Scene, View]] = []
    for label, name in enumerate(source.names):
        for index in np.flatnonzero(source.label == label):
            try:
                clip = source.clip_at(int(index))
                check(clip, source.layout)
            except BadInput:
                continue
            panels.append((name, Scene(clip.keypoint, source.layout), FRONT))
            break
    if not panels:
        raise BadInput(f"{path}: none of the classes has a clip that can be drawn")
    columns = min(8, math.ceil(math.sqrt(1.6 * len(panels))))
    _draw(panels, columns, f"a clip of each of {len(panels)} classes", path,
          3.0 if path.suffix.lower() == ".gif" else [0.5] * len(panels))


def _draw(
    cells: Sequence[tuple[str, Scene, View]], columns: int, title: str, path: Path,
    time: float | Sequence[float],
) -> None:
    """Panels in rows under their names; ``time`` is seconds of a film, or a share each."""
    rows = math.ceil(len(cells) / columns)
    figure = Figure((max(columns * _SIZE, 4.5), rows * (_SIZE + 0.25) + 0.45), dpi=80,
                    layout="constrained")
    figure.suptitle(f"{title} (left side blue, right side orange)", x=0.01, ha="left", fontsize=9,
                    weight="bold")
    grid = figure.subplots(rows, columns, squeeze=False)
    panels: list[Panel] = []
    for axes in grid.flat:
        axes.set_axis_off()
    for (name, scene, view), axes in zip(cells, grid.flat):
        scene.fit(axes, view)
        # All panels are squares, so that names line up.
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        spare = (high - low - abs(right - left)) / 2
        across, up = np.copysign(max(spare, 0), right - left), max(-spare, 0)
        axes.set(xlim=(left - across, right + across), ylim=(low - up, high + up))
        axes.set_title(fill(name, 24), fontsize=7, loc="left", y=0.98)
        panels.append((axes, scene, view))
    with atomic_path(path) as temporary:
        if isinstance(time, float):
            count = min(_PICTURES, max(scene.frames for _, scene, _ in panels))
            film(figure, panels, [
                [round(share * (scene.frames - 1)) for _, scene, _ in panels]
                for share in np.linspace(0, 1, count)], time * 1000 / count, temporary)
        else:
            for (axes, scene, view), share in zip(panels, time, strict=True):
                scene.paint(axes, view, round(share * (scene.frames - 1)))
            figure.savefig(temporary, format="png")
