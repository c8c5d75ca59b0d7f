"""Drawings of operating points: seen-unseen curves, gate ROC, sensitivity to beta."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zskel.pipeline.report import svg
from zskel.pipeline.report.figures import Panel
from zskel.pipeline.report.gates import operating_point, oracle_point, weighted
from zskel.pipeline.report.summary import Group, Setting
from zskel.pipeline.report.tables import percent
from zskel.pipeline.steps.result_record import ResultRecord, slugify
from zskel.zsl.metrics import MAIN, METRICS

_QUARTERS = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class GateFigure:
    """Panels, one a fit, and the gates drawn in them.

    Attributes:
        legend: Pairs of a gate's name and its mark.
    """

    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, str], ...]


def seen_unseen_figure(setting: Setting) -> GateFigure:
    """Unseen over seen accuracy of every gate, with operating points and the oracle's.

    Lines are those of the lowest seed, points those of every seed.
    """
    return _gate_figure(setting, "seen-unseen", "seen accuracy", "unseen accuracy",
                        "Seen-unseen curve", lambda record: record.seen_unseen_curve, True)


def roc_figure(setting: Setting) -> GateFigure:
    """True over false positive rate of each gate's decision for "seen", lowest seed."""
    return _gate_figure(setting, "roc", "unseen taken for seen", "seen taken for seen",
                        "ROC of the decision for seen", lambda record: record.domain_roc, False)


def sensitivity_panels(setting: Setting) -> list[Panel]:
    """ZSL accuracy and harmonic mean for each pair of beta_x and beta_y; none for one pair."""
    found = weighted(setting)
    panels = []
    for field in MAIN:
        title = METRICS[field].label
        if not found:
            break
        frame = svg.Frame(420, 40 + 26 * len(found), (0, 1), (0, 1),
                          left=150, top=8, bottom=24, right=44)
        parts, said = frame.axes(x_ticks=_QUARTERS, x_text="{:.0%}"), []
        for at, ((beta_x, beta_y), group) in enumerate(found):
            stat = group.stat(field)
            assert stat is not None, "every record has the headline rates"
            y = frame.top + 8 + 26 * at + 8
            style = "s0" if group == setting.headline else "s1"
            name = f"β_x {beta_x:g}, β_y {beta_y:g}"
            parts += [svg.text(frame.left - 10, y + 4, name, "label end"),
                      svg.dots(((frame.x(v), y) for v in stat.values), f"run {style}"),
                      svg.line(frame.x(stat.mean), y - 9, frame.x(stat.mean), y + 9,
                               f"mean {style}"),
                      svg.text(frame.width - 2, y + 4, percent(stat.mean, 1), "value end")]
            said.append(f"{name} {percent(stat.mean, 1)} percent")
        panels.append(Panel(title, frame.drawing(
            f"{setting.key}-sensitivity-{field}", f"{title} by weight: {'; '.join(said)}.", parts)))
    return panels


def families(setting: Setting) -> list[list[Group]]:
    """The groups that are gates of one fit, together; the headline's fit last."""
    found: list[list[Group]] = []
    for group in setting.gated:
        same = found and (found[-1][0].label == group.label)
        if same:
            found[-1].append(group)
        else:
            found.append([group])
    return found


def _gate_figure(
    setting: Setting, name: str, x_label: str, y_label: str, said: str,
    points_of: Callable[[ResultRecord], Sequence[tuple[float, float]]], with_points: bool,
) -> GateFigure:
    gates = list(dict.fromkeys(group.gate for group in setting.gated))
    panels = []
    for at, family in enumerate(families(setting)):
        if not any(points_of(group.first) for group in family):
            continue
        frame = svg.Frame(300, 290, (0, 1), (0, 1), left=40, bottom=44, top=22)
        parts = frame.axes(_QUARTERS, _QUARTERS, x_text="{:g}")
        parts += [svg.text(frame.width - frame.right, frame.height - 6, x_label, "tick end"),
                  svg.text(6, 12, y_label, "tick")]
        over: list[str] = []
        told = []
        for group in family:
            colour, outline = svg.mark_of(gates.index(group.gate))
            curve = points_of(group.first)
            if curve:
                parts.append(svg.polyline(((frame.x(x), frame.y(y)) for x, y in curve),
                                          f"line {colour}"))
            if with_points:
                place = [operating_point(run.record) for run in group.runs]
                over.append(svg.marks(((frame.x(x), frame.y(y)) for x, y in place), outline,
                                      f"mark {colour}"))
                over += [svg.cross(frame.x(x), frame.y(y), f"cross {colour}")
                         for x, y in (oracle_point(run.record) for run in group.runs
                                      if run.record.seen_unseen_curve)]
            area = group.stat("gzsl_ausuc" if with_points else "domain_auc")
            told.append(group.gate + (f" area {percent(area.mean, 1)} percent" if area else ""))
        panels.append(Panel(setting.short(family[0]), frame.drawing(
            slugify(f"{setting.key}-{name}-{at}"),
            f"{said}, {family[0].label}: {'; '.join(told)}.", [*parts, *over])))
    legend = []
    for at, gate in enumerate(gates):
        colour, outline = svg.mark_of(at)
        legend.append((gate, f'<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true">'
                       f'{svg.marks([(6, 6)], outline, f"mark {colour}")}</svg>'))
    return GateFigure(tuple(panels), tuple(legend))
