"""Each method against the headline method, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zskel.pipeline.report.rows import CONTEXT, METHOD, names
from zskel.pipeline.report.summary import Group, Setting
from zskel.pipeline.report.tables import Column, Table
from zskel.zsl.metrics import MAIN, METRICS

LEVEL = 0.95
#: Behind a mean whose paired difference to the headline's has an interval without 0.
BETTER, WORSE = "▲", "▼"
#: The 95 % interval of two differences is over ten times as wide as they lie apart.
FEWEST = 3


@dataclass(frozen=True)
class Difference:
    """A group less the headline, over the seeds that both have.

    Attributes:
        comparison: A ``zskel.zsl.statistics.PairedComparison``.
    """

    group: Group
    metric: str
    comparison: Any

    @property
    def mark(self) -> str:
        """Which side the 95 % interval of the mean difference lies on, "" if on both."""
        interval = self.comparison.interval
        return BETTER if interval.low > 0 else WORSE if interval.high < 0 else ""


def differences(setting: Setting) -> list[Difference]:
    """Every group against the headline; only where both have the same ``FEWEST`` seeds or more."""
    head, found = setting.headline, []
    for group in setting.groups:
        if group == head or group.seeds != head.seeds or len(group.seeds) < FEWEST:
            continue
        # scipy.stats takes half a second, and most commands never get here.
        from zskel.zsl.statistics import paired_comparison

        for metric in MAIN:
            ours, theirs = group.stat(metric), head.stat(metric)
            if ours is not None and theirs is not None:
                found.append(Difference(
                    group, metric, paired_comparison(ours.values, theirs.values, LEVEL)))
    return found


def marks(found: Sequence[Difference], group: Group) -> dict[str, str]:
    """Column key -> mark, of one group's row."""
    return {each.metric: each.mark for each in found if each.group == group and each.mark}


def _gates(group: Group, head: Group) -> str:
    return group.gate if group.gate == head.gate else f"{group.gate} against {head.gate}"


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
    rows = []
    for setting in settings:
        for each in differences(setting):
            found = each.comparison
            rows.append({
                **names(setting, each.group), "gate": _gates(each.group, setting.headline),
                "against": setting.headline.label,
                "metric": METRICS[each.metric].short, "pairs": found.n,
                "difference": found.mean_difference, "low": found.interval.low,
                "high": found.interval.high, "wins": found.wins, "losses": found.losses,
                "p_sign": found.p_sign, "marks": {"difference": each.mark} if each.mark else {}})
    return Table("paired", "Paired differences to the headline method over the same seeds, in "
                 "percentage points, with Student's interval and the exact sign test. They speak "
                 "of seeds on this split, not of other splits.", columns, rows,
                 legend=f"{BETTER} {WORSE}: the interval leaves 0 out; of many rows some do so "
                        "by chance.")
