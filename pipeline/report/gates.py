"""Gates side by side: what each loses, and what it could do at other operating points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zskel.pipeline.report import paired
from zskel.pipeline.report.contents import (
    CONTEXT,
    METHOD,
    SEEDS,
    compact_columns,
    context,
    metric_columns,
    names,
    stat_cells,
)
from zskel.pipeline.report.links import record_href
from zskel.pipeline.report.summary import Group, Setting
from zskel.pipeline.report.tables import Column, Table
from zskel.zsl.metrics import METRICS

#: Digits of curve points: enough to tell any two clips of any data set apart.
_DIGITS = 6


def gates_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Every gate of every fit, with what a gate without error would reach."""
    columns = (*CONTEXT, *METHOD, Column("gate", "Gate"), SEEDS, *metric_columns("gates"))
    rows = [{**names(setting, group), **stat_cells(group, columns), "gate": group.gate,
             "href": record_href(group, out_dir)}
            for setting in settings for group in setting.gated]
    return Table("gates", "Gates side by side, in percent: accuracies over clips, the harmonic "
                 "mean of the same classifiers with a gate that never errs, the area under the "
                 "seen-unseen curve, and that under the ROC of the decision for “seen”.",
                 columns, rows)


def paired_table(settings: Sequence[Setting]) -> Table:
    """Each group against the headline on the same seeds."""
    columns = (
        *CONTEXT, *METHOD, Column("against", "Against"), Column("metric", "Metric"),
        Column("pairs", "Seeds", "count"), Column("difference", "Mean", "points", "Difference"),
        Column("low", "from", "points", "95 % interval"),
        Column("high", "to", "points", "95 % interval"),
        Column("wins", "Better", "count", "Seeds on which it is"),
        Column("losses", "Worse", "count", "Seeds on which it is"),
        Column("p_sign", "Sign test p", "number"),
    )
    rows: list[dict[str, Any]] = []
    for setting in settings:
        for each in paired.differences(setting):
            found = each.comparison
            rows.append({
                **names(setting, each.group), "against": setting.headline.label,
                "metric": METRICS[each.metric].short, "pairs": found.n,
                "difference": found.mean_difference, "low": found.interval.low,
                "high": found.interval.high, "wins": found.wins, "losses": found.losses,
                "p_sign": found.p_sign, "marks": {"difference": each.mark} if each.mark else {},
            })
    return Table("paired", "Paired differences to the headline method over the same seeds, in "
                 "percentage points, with Student's interval and the exact sign test. They speak "
                 "of seeds on this split, not of other splits.", columns, rows,
                 legend=f"{paired.BETTER} {paired.WORSE}: the interval leaves 0 out; of many rows "
                        "some do so by chance.")


def operating_curves_table(settings: Sequence[Setting]) -> Table:
    """Points of the seen-unseen curves of every run, with operating and oracle points."""
    columns = (*CONTEXT, *METHOD, Column("gate", "Gate"), Column("seed", "Seed", "count"),
               Column("point", "Point"), Column("seen", "Seen", "number"),
               Column("unseen", "Unseen", "number"))
    rows = []
    for setting in settings:
        for group in setting.gated:
            for run in group.runs:
                record = run.record
                points = [("curve", pair) for pair in record.seen_unseen_curve]
                points.append(("operating", operating_point(record)))
                if record.seen_unseen_curve:
                    points.append(("oracle", oracle_point(record)))
                rows += [{**names(setting, group), "gate": group.gate, "seed": record.seed,
                          "point": kind, "seen": round(seen, _DIGITS),
                          "unseen": round(unseen, _DIGITS)} for kind, (seen, unseen) in points]
    return Table("seen_unseen_curves", "Seen and unseen accuracy at other operating points.",
                 columns, rows, data=True)


def roc_table(settings: Sequence[Setting]) -> Table:
    """Points of the ROC of the decision for "seen" of every run."""
    columns = (*CONTEXT, *METHOD, Column("gate", "Gate"), Column("seed", "Seed", "count"),
               Column("fpr", "False positive rate", "number"),
               Column("tpr", "True positive rate", "number"))
    rows = [{**names(setting, group), "gate": group.gate, "seed": run.record.seed,
             "fpr": round(fpr, _DIGITS), "tpr": round(tpr, _DIGITS)}
            for setting in settings for group in setting.gated for run in group.runs
            for fpr, tpr in run.record.domain_roc]
    return Table("gate_roc", "ROC of the decision for “seen”.", columns, rows, data=True)


def sensitivity_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Table B's way of looking: one row for each pair of beta_x and beta_y that was run."""
    columns = (*CONTEXT, Column("label", "Method"), Column("beta_x", "β_x", "number"),
               Column("beta_y", "β_y", "number"), SEEDS, *compact_columns("stat"))
    rows = [{**context(setting), **stat_cells(group, columns),
             "label": group.label_without_distinction, "beta_x": betas[0], "beta_y": betas[1],
             "seeds": len(group.runs), "href": record_href(group, out_dir)}
            for setting in settings for betas, group in weighted(setting)]
    return Table("sensitivity", "Sensitivity to β_x and β_y; in percent, over clips.", columns,
                 rows)


def weighted(setting: Setting) -> list[tuple[tuple[float, float], Group]]:
    """Groups of the headline's method and variant by (beta_x, beta_y), if several were run."""
    head = setting.headline
    found = []
    for group in setting.groups:
        betas = group.option("beta_x"), group.option("beta_y")
        same = (group.method, group.variant) == (head.method, head.variant)
        if same and None not in betas:
            found.append(((float(betas[0]), float(betas[1])), group))
    several = len({betas for betas, _ in found}) > 1
    return sorted(found, key=lambda item: item[0]) if several else []


def operating_point(record: Any) -> tuple[float, float]:
    """Seen and unseen accuracy that the gate chose."""
    return record.gzsl_seen_accuracy, record.gzsl_unseen_accuracy


def oracle_point(record: Any) -> tuple[float, float]:
    """What a gate that never errs would give: both ends of the curve at once."""
    return record.seen_unseen_curve[0][0], record.seen_unseen_curve[-1][1]
