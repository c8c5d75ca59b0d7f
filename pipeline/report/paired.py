"""Each method against the headline method, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zskel.pipeline.report.summary import Group, Setting
from zskel.zsl.metrics import MAIN

LEVEL = 0.95
#: Behind a mean whose paired difference to the headline's has an interval without 0.
BETTER, WORSE = "▲", "▼"


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
    """Every group against the headline; only where both have the same two seeds or more."""
    found = []
    for group in setting.groups:
        for metric in MAIN:
            difference = compare(group, setting.headline, metric)
            if difference is not None:
                found.append(difference)
    return found


def compare(group: Group, headline: Group, metric: str) -> Difference | None:
    """One group against the headline; None without the same seeds, or for the headline itself."""
    if group == headline or group.seeds != headline.seeds or len(group.seeds) < 2:
        return None
    ours, theirs = group.stat(metric), headline.stat(metric)
    if ours is None or theirs is None:
        return None
    # scipy.stats takes half a second, and most commands never get here.
    from zskel.zsl.statistics import paired_comparison

    return Difference(group, metric, paired_comparison(ours.values, theirs.values, LEVEL))


def marks(found: Sequence[Difference], group: Group) -> dict[str, str]:
    """Column key -> mark, of one group's row."""
    return {each.metric: each.mark for each in found if each.group == group and each.mark}
