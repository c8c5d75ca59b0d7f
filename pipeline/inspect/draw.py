"""Draws one clip: frames side by side (PNG) or an animation (GIF).

The front view is what the camera sees: depth cameras put x to their own left,
so x grows to the left of the picture, and a person who faces the camera has the
left hand on the right. The side view stands at the camera's right, the camera
beyond the left edge.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path
from zskel.data.skeleton import Clip, JointLayout, present
from zskel.pipeline.report.clips import FRAME_MS

_MIDDLE, _LEFT, _RIGHT = "#444444", "#0072b2", "#d55e00"
#: How the first, second, ... body is drawn: line style and opacity.
_BODIES: tuple[tuple[Any, float], ...] = (("solid", 1.0), ("dashed", 0.75), ("dotted", 0.6))
#: No more pictures than this in one GIF; longer clips leave frames out.
_MOST_PICTURES = 120
_MARGIN = 0.1


class View(NamedTuple):
    """From where a skeleton is seen: which axis lies across, and which one points up."""

    title: str
    label: str
    axis: int
    mirrored: bool
    up: int = 1


FRONT = View("front, as the camera sees it", "x (m)", 0, True)
VIEWS = (FRONT, View("side, camera to the left", "z (m)", 2, False))


def draw(
    clip: Clip, layout: JointLayout, path: str | os.PathLike[str], class_name: str, frames: int = 8
) -> None:
    """Writes the drawing that the file name asks for, whole or not at all.

    Left-side bones are blue, right-side ones orange, the others grey; the
    second body is dashed. Axes are metres of equal length in all frames.

    Args:
        clip: What to draw.
        layout: Its joints and bones.
        path: ``.gif`` for an animation, else frames as PNG.
        class_name: For the title.
        frames: How many frames a PNG shows, evenly spread over the clip.

    Raises:
        BadInput: Another number of joints than the layout's, or no body in any frame.
    """
    check(clip, layout)
    scene = Scene(clip.keypoint, layout)
    with atomic_path(path) as temporary:
        if Path(path).suffix.lower() == ".gif":
            _animation(scene, _title(clip, class_name), temporary)
        else:
            _sheet(scene, _title(clip, class_name), frames).savefig(temporary, format="png")


class Scene:
    """A clip with its bones, colours and limits."""

    def __init__(self, keypoint: np.ndarray, layout: JointLayout) -> None:
        self.keypoint = np.asarray(keypoint, np.float64)
        self.frames = keypoint.shape[1]
        self.here = present(self.keypoint)
        # A joint at the origin was not tracked; a bone to it would be a lie.
        self.valid = (self.keypoint != 0).any(-1) & np.isfinite(self.keypoint).all(-1)
        self.child, self.parent = np.asarray(layout.bones).T
        colour = {"left": _LEFT, "right": _RIGHT, "": _MIDDLE}
        self.colours = [colour[side] for side in layout.sides]
        real = self.keypoint[self.valid]
        low, high = real.min(axis=0) - _MARGIN, real.max(axis=0) + _MARGIN
        # Both views get the width of the wider one, so that columns line up.
        spare = (high - low)[[0, 2]].max() - (high - low)[[0, 2]]
        low[[0, 2]] -= spare / 2
        high[[0, 2]] += spare / 2
        self.limits = np.stack([low, high], axis=1)
        self.bodies = np.flatnonzero(self.here.any(axis=1))

    @property
    def size(self) -> np.ndarray:
        """Metres from edge to edge, of either view, and from bottom to top."""
        return np.ptp(self.limits[:2], axis=1)

    def figure(
        self, title: str, panels: Sequence[Sequence[View]], scale: float
    ) -> tuple[Figure, np.ndarray]:
        """Empty panels under a title and a legend.

        Args:
            title: Above everything.
            panels: The view of each panel, row by row.
            scale: Inches a metre.

        Returns:
            The figure and its axes ``[rows, columns]``.
        """
        rows, columns = len(panels), len(panels[0])
        inches = (self.size * scale + (0.3, 0.75)) * (columns, rows) + (0.75, 0.7)
        figure = Figure((max(inches[0], 4.5, 0.3 + 0.09 * len(title)), inches[1]),
                        dpi=100, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, view in zip(grid.flat, chain(*panels), strict=True):
            self.fit(axes, view)
            axes.set_axisbelow(True)
            axes.tick_params(labelsize=7, length=2)
            axes.grid(linewidth=0.4, color="#dddddd")
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, weight="bold")
        lines: list[tuple[str, str, Any]] = [
            ("left side", _LEFT, "solid"), ("right side", _RIGHT, "solid")]
        if len(self.bodies) > 1:
            lines += [(f"body {number}", _MIDDLE, style)
                      for number, (style, _) in enumerate(_BODIES[:len(self.bodies)], 1)]
        figure.legend(
            handles=[Line2D([], [], color=colour, linestyle=style, label=label)
                     for label, colour, style in lines],
            loc="outside lower left", ncols=len(lines), fontsize=8, frameon=False)
        return figure, grid

    def fit(self, axes: Axes, view: View) -> None:
        """Makes room for all frames, at one scale across and up."""
        left, right = self.limits[view.axis]
        axes.set(xlim=(right, left) if view.mirrored else (left, right),
                 ylim=self.limits[view.up], aspect="equal")

    def paint(self, axes: Axes, view: View, frame: int) -> list[Any]:
        """Draws all bodies of one frame; returns what was drawn."""
        drawn: list[Any] = []
        for order, body in enumerate(self.bodies):
            if not self.here[body, frame]:
                continue
            style, opacity = _BODIES[min(order, len(_BODIES) - 1)]
            flat = self.keypoint[body, frame][:, [view.axis, view.up]]
            valid = self.valid[body, frame]
            whole = valid[self.child] & valid[self.parent]
            child, parent = self.child[whole], self.parent[whole]
            drawn.append(axes.add_collection(LineCollection(
                list(np.stack([flat[child], flat[parent]], axis=1)), linestyles=style,
                alpha=opacity, colors=[self.colours[joint] for joint in child], linewidths=1.8)))
            joints = np.flatnonzero(valid)
            drawn.append(axes.scatter(
                flat[joints, 0], flat[joints, 1], s=5, c=[self.colours[joint] for joint in joints],
                alpha=opacity, linewidths=0, zorder=3))
        if not drawn:
            drawn.append(axes.text(0.5, 0.5, "empty frame", transform=axes.transAxes,
                                   ha="center", va="center", fontsize=8, color="#888888"))
        return drawn


#: Where a scene is drawn, and how it is seen.
Panel = tuple[Axes, Scene, View]


def _sheet(scene: Scene, title: str, frames: int) -> Figure:
    """Both views of evenly spread frames, time from left to right."""
    total = scene.frames
    chosen = np.unique(np.linspace(0, total - 1, min(frames, total)).round().astype(int))
    width, height = scene.size
    figure, grid = scene.figure(
        title, [[view] * len(chosen) for view in VIEWS], 1.9 / max(height, 1.2 * width))
    for view, row in zip(VIEWS, grid, strict=True):
        for axes, frame in zip(row, chosen, strict=True):
            scene.paint(axes, view, int(frame))
            axes.set_title(f"frame {frame + 1} of {total}", fontsize=8)
            axes.set_xlabel(view.label, fontsize=7)
            axes.tick_params(labelleft=axes is row[0])
        row[0].set_ylabel(f"{view.title}\ny (m)", fontsize=8)
    return figure


def _animation(scene: Scene, title: str, path: Path) -> None:
    """Both views next to each other, played at the recorded speed."""
    total = scene.frames
    step = -(-total // _MOST_PICTURES)
    width, height = scene.size
    figure, grid = scene.figure(title, [VIEWS], min(3.2 / height, 4.0 / width))
    for axes, view in zip(grid[0], VIEWS, strict=True):
        axes.set_xlabel(view.label, fontsize=8)
        axes.set_ylabel("y (m)", fontsize=8)
        axes.set_title(view.title, fontsize=8)
    film(figure, [(axes, scene, view) for axes, view in zip(grid[0], VIEWS, strict=True)],
         [[frame] * len(VIEWS) for frame in range(0, total, step)], step * FRAME_MS, path,
         f"frame {{}} of {total}")


def film(
    figure: Figure, panels: Sequence[Panel], frames: Sequence[Sequence[int]], ms: float,
    path: Path, counter: str = "",
) -> None:
    """Writes a GIF.

    Args:
        figure: With its axes and titles.
        panels: Where each skeleton moves.
        frames: For each picture, the frame of each panel.
        ms: Milliseconds a picture.
        path: Of the file.
        counter: A text in the corner, with the number of the first panel's frame.
    """
    from PIL import Image  # comes with matplotlib

    number = figure.text(0.99, 0.01, "", ha="right", va="bottom", fontsize=9, animated=True)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Axes and grid are drawn once: they take most of the time and never change.
    empty = canvas.copy_from_bbox(figure.bbox)
    pictures: list[Image.Image] = []
    palette: Image.Image | None = None
    for each in frames:
        canvas.restore_region(empty)
        number.set_text(counter.format(each[0] + 1))
        figure.draw_artist(number)
        for (axes, scene, view), frame in zip(panels, each, strict=True):
            for artist in scene.paint(axes, view, frame):
                axes.draw_artist(artist)
                artist.remove()
        picture = Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB")
        # One palette for all, or the background flickers; the legend has every colour.
        palette = palette or picture.quantize(64)
        pictures.append(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    pictures[0].save(path, format="GIF", save_all=True, append_images=pictures[1:], loop=0,
                     duration=_durations(len(pictures), ms))


def _durations(pictures: int, ms: float) -> list[int]:
    """Milliseconds a picture, in the steps of 10 that a GIF knows, right in the sum."""
    ends = np.round(np.arange(pictures + 1) * ms / 10).astype(int) * 10
    return [int(value) for value in np.diff(ends)]


def check(clip: Clip, layout: JointLayout) -> None:
    """Refuses a clip that cannot be drawn.

    Raises:
        BadInput: Another number of joints than the layout's, or no body in any frame.
    """
    if clip.keypoint.ndim != 4 or clip.keypoint.shape[2:] != (layout.num_joints, 3):
        raise BadInput(f"clip {clip.sample_id!r} has shape {clip.keypoint.shape}, layout "
                       f"{layout.name!r} needs [M, T, {layout.num_joints}, 3]")
    if not present(clip.keypoint).any():
        raise BadInput(f"clip {clip.sample_id!r} has no body in any frame; choose another")


def _title(clip: Clip, class_name: str) -> str:
    numbers = [f"{name} {getattr(clip, name)}" for name in ("subject", "camera", "setup")
               if getattr(clip, name) >= 0]
    return ", ".join([f"{clip.sample_id}: {class_name}", *numbers])
