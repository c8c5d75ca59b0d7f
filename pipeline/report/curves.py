"""Drawings of gates at all operating points: seen-unseen curves and ROC."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from zskel.pipeline.report import svg
from zskel.pipeline.report.figures import Panel
from zskel.pipeline.report.gates import operating_point, oracle_point
from zskel.pipeline.report.summary import Group, Setting
from zskel.pipeline.report.tables import percent
from zskel.pipeline.steps.result_record import slugify


@dataclass(frozen=True)
class CurveKind:
    """A kind of curve over all biases of a gate.

    Attributes:
        title: What it is called.
        x_label, y_label: What its axes are, both from 0 to 1.
        points: Field of a result record that holds it.
        area: Metric that is the area under it.
    """

    title: str
    x_label: str
    y_label: str
    points: str
    area: str


SEEN_UNSEEN = CurveKind("Seen-unseen curve", "seen accuracy", "unseen accuracy",
                        "seen_unseen_curve", "gzsl_ausuc")
ROC = CurveKind("ROC of the decision for seen", "unseen taken for seen", "seen taken for seen",
                "domain_roc", "domain_auc")


def gate_panels(setting: Setting, kind: CurveKind) -> list[Panel]:
    """A panel a fit, with the curve of every gate of the lowest seed.

    In seen-unseen curves also the operating points and the oracle's, of every seed.
    """
    gates, panels = gates_of(setting), []
    for at, family in enumerate(families(setting)):
        curves = [getattr(group.first, kind.points) for group in family]
        if not any(curves):
            continue
        frame = svg.Frame(300, 290, (0, 1), (0, 1), left=40, bottom=44, top=22)
        parts = [*frame.axes(svg.QUARTERS, svg.QUARTERS),
                 svg.text(frame.width - frame.right, frame.height - 6, kind.x_label, "tick end"),
                 svg.text(6, 12, kind.y_label, "tick")]
        points: list[str] = []
        said = []
        for group, curve in zip(family, curves, strict=True):
            colour, outline = svg.mark_of(gates.index(group.gate))
            if curve:
                parts.append(svg.polyline(map(frame.at, curve), f"line {colour}"))
            if kind == SEEN_UNSEEN:
                records = [run.record for run in group.runs]
                oracle = [oracle_point(each) for each in records if each.seen_unseen_curve]
                points += [
                    svg.marks(map(frame.at, map(operating_point, records)), outline,
                              f"mark {colour}"),
                    svg.marks(map(frame.at, oracle), svg.CROSS, f"cross {colour}")]
            area = group.stat(kind.area)
            said.append(group.gate + (f" area {percent(area.mean, 1)} percent" if area else ""))
        panels.append(Panel(setting.short(family[0]), frame.drawing(
            slugify(f"{setting.key}-{kind.points}-{at}"),
            f"{kind.title}, {family[0].label}: {'; '.join(said)}.", [*parts, *points])))
    return panels


def families(setting: Setting) -> list[list[Group]]:
    """The groups that are gates of one fit, together; the headline's fit last."""
    return [list(same) for _, same in groupby(setting.gated, key=lambda group: group.label)]


def gates_of(setting: Setting) -> list[str]:
    """Its gates in words, in the order of their marks."""
    return list(dict.fromkeys(group.gate for group in setting.gated))
