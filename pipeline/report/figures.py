"""The report's figures: every run, per-class bars, confusion, training, weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zskel.pipeline.report import svg
from zskel.pipeline.report.contents import epoch_of
from zskel.pipeline.report.gates import weighted
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


def series_of(setting: Setting, group: Group) -> int:
    """0 for the headline method, then backwards through its variants; 3 for all others."""
    compared = setting.compared
    return len(compared) - 1 - compared.index(group) if group in compared else 3


def run_panels(setting: Setting) -> list[Panel]:
    """The headline metrics of every run, a row for each group."""
    rows = [(setting.short(group), group, series_of(setting, group)) for group in setting.groups]
    return [_runs_panel(setting, metric, "of every run", rows, chance)
            for metric, chance in zip(MAIN, (setting.chance, None), strict=True)]


def sensitivity_panels(setting: Setting) -> list[Panel]:
    """The same for each pair of beta_x and beta_y; none for one pair."""
    rows = [(f"β_x {beta_x:g}, β_y {beta_y:g}", group, int(group != setting.headline))
            for (beta_x, beta_y), group in weighted(setting)]
    return [_runs_panel(setting, metric, "by weight", rows) for metric in MAIN] if rows else []


def _runs_panel(
    setting: Setting, metric: str, what: str, rows: Sequence[tuple[str, Group, int]],
    chance: float | None = None,
) -> Panel:
    """A dot for every run and a tick for the mean, on a scale from 0 to 100 percent.

    Args:
        setting: Whose groups.
        metric: What is drawn.
        what: Tells the figure from others of the metric.
        rows: Label, group and series.
        chance: Of a uniform guess; None: not drawn.
    """
    # Room for the longest label, within reason, at 7.2 units a character.
    left = min(max(112, 16 + 7.2 * max(len(label) for label, *_ in rows)), 230)
    frame = svg.Frame(420, 52 + 30 * len(rows), (0, 1), (0, 1), left, 44, 8, 36)
    parts = frame.axes(x_ticks=svg.QUARTERS, x_text="{:.0%}")
    if chance is not None:
        x = frame.x(chance)
        parts += [svg.polyline([(x, frame.top), (x, frame.height - frame.bottom)], "chance"),
                  svg.text(x, frame.height - 5, f"chance {percent(chance, 1)} %", "tick middle")]
    said = []
    for at, (label, group, series) in enumerate(rows):
        stat = group.stat(metric)
        assert stat is not None, "every record has the headline rates"
        y, mean = frame.top + 20 + 30 * at, frame.x(stat.mean)
        parts += [svg.text(frame.left - 10, y + 4, label, "label end"),
                  svg.marks(((frame.x(v), y) for v in stat.values), svg.DOT, f"run s{series}"),
                  svg.polyline([(mean, y - 10), (mean, y + 10)], f"mean s{series}"),
                  svg.text(frame.width - 2, y + 4, percent(stat.mean, 1), "value end")]
        said.append(f"{label} {percent(stat.mean, 1)} percent over {stat.count} seeds")
    title = METRICS[metric].label
    return Panel(title, frame.drawing(
        slugify(f"{setting.key}-{metric}-{what}"), f"{title} {what}: {'; '.join(said)}.", parts))


def bar_rows(setting: Setting, unseen: bool) -> list[dict[str, Any]]:
    """Per-class bars of the unseen or the seen classes; ZSL ones of the unseen alone."""
    def bars(name: str, field: str) -> list[Bar]:
        return [Bar(series_of(setting, group), group.variant_label, group.class_stat(name, field))
                for group in setting.compared]

    return [{"name": entry.name, "count": entry.count, "number": number,
             "zsl": bars(entry.name, "zsl_accuracy") if unseen else [],
             "gzsl": bars(entry.name, "gzsl_accuracy")}
            for number, entry in enumerate(setting.unseen if unseen else setting.seen, 1)]


def confusion_rows(setting: Setting, task: str) -> list[list[dict[str, Any]]] | None:
    """Row-wise shares of the headline method's confusion counts; None without arrays."""
    counts = confusion(setting.headline, setting, task)
    if counts is None:
        return None
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [[{"share": float(share), "clips": int(clips), "correct": true == guess}
             for guess, (share, clips) in enumerate(zip(shares[true], counts[true]))]
            for true in range(len(counts))]


def training_panels(setting: Setting) -> list[Panel]:
    """A panel for each loss of the headline method; a line for each seed and phase."""
    runs = setting.headline.runs
    lines: dict[str, list[tuple[str, list[tuple[int, float]]]]] = {}
    for phase in ("calibration", "test"):
        for run in runs:
            history = getattr(run.record.history, phase)
            for name in dict.fromkeys(key for entry in history for key in entry if key != "epoch"):
                lines.setdefault(name, []).append((phase, [
                    (epoch_of(entry, at), entry[name])
                    for at, entry in enumerate(history) if name in entry]))
    return [_loss_panel(setting, name, each) for name, each in lines.items()]


def _loss_panel(
    setting: Setting, name: str, lines: Sequence[tuple[str, Sequence[tuple[int, float]]]]
) -> Panel:
    """One loss over epochs; ``lines`` are pairs of a phase and its points."""
    epochs, values = zip(*(point for _, points in lines for point in points))
    low, high = span(values, 0.06)
    frame = svg.Frame(300, 190, (min(epochs), max(epochs)), (low, high), left=52)
    parts = frame.axes(svg.ticks(min(epochs), max(epochs), 6, integer=True),
                       svg.ticks(low, high), "epoch")
    for phase, points in lines:
        place = [frame.at(point) for point in points]
        parts.append(svg.polyline(place, f"curve {phase}") if len(place) > 1
                     else svg.marks(place, svg.DOT, f"curve {phase}"))
    last = [points[-1][1] for phase, points in lines if phase == "test"]
    ends = (f" In the test phase it ends between {min(last):.4g} and {max(last):.4g}."
            if last else "")
    return Panel(name.replace("_", " "), frame.drawing(
        slugify(f"{setting.key}-curve-{name}"),
        f"{name} per epoch over {len(setting.headline.runs)} seeds.{ends}", parts))


def span(values: Sequence[float] | np.ndarray, margin: float = 0.02) -> tuple[float, float]:
    """Smallest and largest value with a margin on both sides.

    >>> span([1.0, 3.0], 0.5)
    (0.0, 4.0)
    """
    low, high = float(np.min(values)), float(np.max(values))
    pad = (high - low) * margin or abs(high) * margin or 1.0
    return low - pad, high + pad
