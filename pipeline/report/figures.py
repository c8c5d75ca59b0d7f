"""The report's figures: every run, per-class bars, confusion, training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zskel.pipeline.report import svg
from zskel.pipeline.report.contents import epoch_of
from zskel.pipeline.report.summary import Group, Setting, Stat, confusion
from zskel.pipeline.report.tables import percent
from zskel.pipeline.steps.result_record import slugify
from zskel.zsl.metrics import MAIN, METRICS


@dataclass(frozen=True)
class Panel:
    """One drawing of a figure under its own heading."""

    title: str
    svg: str


@dataclass(frozen=True)
class Bar:
    """One bar of a class.

    Attributes:
        series: Which style it has; 0 is the headline method.
        label: Whose it is.
        stat: What it shows, None where the class has no test clips.
    """

    series: int
    label: str
    stat: Stat | None

    @property
    def text(self) -> str:
        """Its value in percent."""
        return "" if self.stat is None else percent(self.stat.mean, 1)

    @property
    def style(self) -> str:
        """Its length and its whisker, as custom properties for the style sheet."""
        if self.stat is None:
            return "--v:0"
        mean, std = self.stat.mean, self.stat.std or 0.0
        low, high = max(mean - std, 0.0), min(mean + std, 1.0)
        return f"--v:{mean:.4f};--lo:{low:.4f};--hi:{high:.4f}"


@dataclass(frozen=True)
class BarRow:
    """A class with its bars per task."""

    name: str
    count: int
    number: int
    zsl: tuple[Bar, ...]
    gzsl: tuple[Bar, ...]


@dataclass(frozen=True)
class ConfusionCell:
    """Share of a row's clips, and how many over the seeds."""

    share: float
    clips: int
    correct: bool

    @property
    def text(self) -> str:
        """Whole percent."""
        return percent(self.share, 0)


@dataclass(frozen=True)
class Curves:
    """Training curves of one method."""

    panels: tuple[Panel, ...]
    seeds: int


def series_of(setting: Setting, group: Group) -> int:
    """0 for the headline method, then backwards through its variants; 3 for all others."""
    compared = setting.compared
    return len(compared) - 1 - compared.index(group) if group in compared else 3


def run_panels(setting: Setting) -> list[Panel]:
    """A dot for every run and a tick for the mean, on a scale from 0 to 100 percent."""
    panels = []
    for field, chance in zip(MAIN, (setting.chance, None), strict=True):
        title = METRICS[field].label
        rows = len(setting.groups)
        frame = svg.Frame(420, 52 + 30 * rows, (0, 1), (0, 1),
                          left=_label_width(setting), top=8, bottom=36,
                          right=44)
        parts = frame.axes(x_ticks=(0, 0.25, 0.5, 0.75, 1), x_text="{:.0%}")
        if chance is not None:
            x = frame.x(chance)
            parts.append(svg.line(x, frame.top, x, frame.height - frame.bottom, "chance"))
            caption = f"chance {percent(chance, 1)} %"
            parts.append(svg.text(x, frame.height - 5, caption, "tick middle"))
        said = []
        for at, group in enumerate(setting.groups):
            y = frame.top + 8 + 30 * at + 12
            stat = group.stat(field)
            assert stat is not None, "every record has the headline rates"
            colour = f"s{series_of(setting, group)}"
            parts.append(svg.text(frame.left - 10, y + 4, setting.short(group), "label end"))
            parts.append(svg.dots(((frame.x(v), y) for v in stat.values), f"run {colour}"))
            mean = frame.x(stat.mean)
            parts.append(svg.line(mean, y - 10, mean, y + 10, f"mean {colour}"))
            parts.append(svg.text(frame.width - 2, y + 4, percent(stat.mean, 1), "value end"))
            said.append(f"{group.label} {percent(stat.mean, 1)} percent over {stat.count} seeds")
        panels.append(Panel(title, frame.drawing(
            f"{setting.key}-runs-{field}", f"{title} of every run: {'; '.join(said)}.", parts)))
    return panels


def bar_rows(setting: Setting, unseen: bool) -> list[BarRow]:
    """Per-class bars of the unseen or the seen classes."""
    def bars(name: str, field: str) -> tuple[Bar, ...]:
        return tuple(Bar(series_of(setting, group), group.variant_label,
                         group.class_stat(name, field)) for group in setting.compared)

    entries = setting.unseen if unseen else setting.seen
    return [BarRow(entry.name, entry.count, number,
                   bars(entry.name, "zsl_accuracy") if unseen else (),
                   bars(entry.name, "gzsl_accuracy"))
            for number, entry in enumerate(entries, 1)]


def confusion_rows(setting: Setting, task: str) -> list[list[ConfusionCell]] | None:
    """Row-wise shares of the headline method's confusion counts; None without arrays."""
    counts = confusion(setting.headline, setting, task)
    if counts is None:
        return None
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    return [[ConfusionCell(float(share), int(clips), row == column)
             for column, (share, clips) in enumerate(zip(shares[row], counts[row]))]
            for row in range(len(counts))]


def curve_panels(setting: Setting) -> Curves:
    """A panel for each loss of the headline method; a line for each seed and phase."""
    group = setting.headline
    names = list(dict.fromkeys(
        name for run in group.runs for phase in ("test", "calibration")
        for entry in getattr(run.record.history, phase) for name in entry if name != "epoch"))
    panels = []
    for name in names:
        lines = []
        for phase in ("calibration", "test"):
            for run in group.runs:
                points = [(epoch_of(entry, at), entry[name]) for at, entry
                          in enumerate(getattr(run.record.history, phase)) if name in entry]
                if points:
                    lines.append((phase, points))
        epochs = [epoch for _, points in lines for epoch, _ in points]
        low, high = span([value for _, points in lines for _, value in points], 0.06)
        frame = svg.Frame(300, 190, (min(epochs), max(epochs)), (low, high), left=52)
        parts = frame.axes(svg.ticks(min(epochs), max(epochs), 6, integer=True),
                           svg.ticks(low, high), "epoch")
        for phase, points in lines:
            place = [(frame.x(epoch), frame.y(value)) for epoch, value in points]
            draw = svg.polyline if len(place) > 1 else svg.dots
            parts.append(draw(place, f"curve {phase}"))
        last = [points[-1][1] for phase, points in lines if phase == "test"]
        ends = (f" In the test phase it ends between {min(last):.4g} and {max(last):.4g}."
                if last else "")
        panels.append(Panel(name.replace("_", " "), frame.drawing(
            slugify(f"{setting.key}-curve-{name}"),
            f"{name} per epoch over {len(group.runs)} seeds.{ends}", parts)))
    return Curves(tuple(panels), len(group.runs))


def legend_mark(number: int) -> str:
    """The mark of the number-th unseen class, for a legend."""
    colour, outline = svg.mark_of(number - 1)
    return (f'<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true">'
            f'{svg.marks([(6, 6)], outline, f"mark {colour}")}</svg>')


def _label_width(setting: Setting) -> float:
    """Room for the longest label, within reason, at 7.2 units a character."""
    return min(max(112, 16 + 7.2 * max(len(setting.short(g)) for g in setting.groups)), 230)


def span(values: Sequence[float] | np.ndarray, margin: float = 0.02) -> tuple[float, float]:
    """Smallest and largest value with a margin on both sides.

    >>> span([1.0, 3.0], 0.5)
    (0.0, 4.0)
    """
    low, high = float(np.min(values)), float(np.max(values))
    pad = (high - low) * margin or abs(high) * margin or 1.0
    return low - pad, high + pad
