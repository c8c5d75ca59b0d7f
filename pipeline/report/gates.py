"""Gates side by side: what each loses, and what it could do at other operating points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zskel.pipeline.report.rows import (
    ANY_GATE_LEGEND,
    CONTEXT,
    GATE,
    METHOD,
    SEED,
    SEEDS,
    compact_columns,
    group_row,
    metric_columns,
    run_rows,
)
from zskel.pipeline.report.summary import Group, Setting
from zskel.pipeline.report.tables import Column, Table
from zskel.pipeline.steps.result_record import ResultRecord

#: Digits of curve points: enough to tell any two clips of any data set apart.
_DIGITS = 6


def gates_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Every gate of every fit, with what a gate without error would reach."""
    columns = (*CONTEXT, *METHOD, SEEDS, *metric_columns("gates"))
    return Table("gates", "Gates side by side, in percent: accuracies over clips, the harmonic "
                 "mean of the same classifiers with a gate that never errs, the area under the "
                 "seen-unseen curve, and that under the ROC of the decision for “seen”.",
                 columns, [group_row(setting, group, out_dir, columns)
                           for setting in settings for group in setting.gated],
                 legend=ANY_GATE_LEGEND)


def operating_curves_table(settings: Sequence[Setting]) -> Table:
    """Points of the seen-unseen curves of every run, with operating and oracle points."""
    columns = (*CONTEXT, *METHOD, SEED, Column("point", "Point"),
               Column("seen", "Seen", "number"), Column("unseen", "Unseen", "number"))
    rows = []
    for row, run in run_rows(settings, gated=True):
        curve = run.record.seen_unseen_curve
        points = [*(("curve", pair) for pair in curve), ("operating", operating_point(run.record))]
        if curve:
            points.append(("oracle", oracle_point(run.record)))
        rows += [{**row, "point": kind, "seen": round(seen, _DIGITS),
                  "unseen": round(unseen, _DIGITS)} for kind, (seen, unseen) in points]
    return Table("seen_unseen_curves", "Seen and unseen accuracy at other operating points.",
                 columns, rows, data=True)


def roc_table(settings: Sequence[Setting]) -> Table:
    """Points of the ROC of the decision for "seen" of every run."""
    columns = (*CONTEXT, *METHOD, SEED, Column("fpr", "False positive rate", "number"),
               Column("tpr", "True positive rate", "number"))
    rows = [{**row, "fpr": round(fpr, _DIGITS), "tpr": round(tpr, _DIGITS)}
            for row, run in run_rows(settings, gated=True) for fpr, tpr in run.record.domain_roc]
    return Table("gate_roc", "ROC of the decision for “seen”.", columns, rows, data=True)


def sensitivity_table(settings: Sequence[Setting], out_dir: Path) -> Table:
    """Table B's way of looking: one row for each pair of beta_x and beta_y that was run."""
    columns = (*CONTEXT, Column("label", "Method"), GATE, Column("beta_x", "β_x", "number"),
               Column("beta_y", "β_y", "number"), SEEDS, *compact_columns("stat"))
    rows = [{**group_row(setting, group, out_dir, columns),
             "label": group.label_without_distinction, "beta_x": beta_x, "beta_y": beta_y}
            for setting in settings for (beta_x, beta_y), group in weighted(setting)]
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


def operating_point(record: ResultRecord) -> tuple[float, float]:
    """Seen and unseen accuracy that the gate chose."""
    return record.gzsl_seen_accuracy, record.gzsl_unseen_accuracy


def oracle_point(record: ResultRecord) -> tuple[float, float]:
    """What a gate that never errs would give: both ends of the curve at once."""
    return record.seen_unseen_curve[0][0], record.seen_unseen_curve[-1][1]
