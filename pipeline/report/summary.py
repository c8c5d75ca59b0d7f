"""What the report says of result records: settings, groups of runs, statistics."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.common.files import digest_json
from zskel.pipeline.report.labels import (
    DATASET_LABELS,
    GATE_LABELS,
    METHOD_LABELS,
    variant_label,
)
from zskel.pipeline.steps.result_record import ClassResult, ResultRecord, slugify
from zskel.pipeline.steps.results import ResultArrays, read_arrays
from zskel.zsl.protocols import PROTOCOLS, STRICT, protocol_warning

#: At most so many variants of one method stand beside each other, class by class.
MAX_COMPARED = 4


@dataclass(frozen=True)
class Stat:
    """Mean and spread of a number over the seeds.

    Attributes:
        values: One per run.
        digits: Decimals of the percentage.

    >>> stat = Stat((0.5, 0.7))
    >>> round(stat.mean, 3), round(stat.std, 3), stat.count
    (0.6, 0.141, 2)
    """

    values: tuple[float, ...]
    digits: int = 2

    @property
    def count(self) -> int:
        """Number of runs."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Sample standard deviation (n - 1), None for a single run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Run:
    """A record and the file it came from."""

    path: Path
    record: ResultRecord

    @property
    def arrays(self) -> ResultArrays | None:
        """The arrays of its test rows, None where the file is absent; read anew each time."""
        return read_arrays(self.path, self.record)

    @cached_property
    def predictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Labels, ZSL and GZSL predictions; kept, as they are small, unlike the latents."""
        arrays = self.arrays
        if arrays is None:
            return None
        return arrays.label, arrays.zsl_prediction, arrays.gzsl_prediction


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone: one method, configuration and gate.

    Attributes:
        gate_key: Empty for the experiment's own gate.
        seen_classifier: What C_s reads.
        distinction: What tells it from a group that is the same otherwise, or "".
        anchor: Of its runs in the page.
    """

    method: str
    variant: str
    runs: tuple[Run, ...]
    gate_key: str = ""
    seen_classifier: str = "f_x"
    distinction: str = ""
    anchor: str = ""

    @property
    def first(self) -> ResultRecord:
        """Any record: all have the same configuration and caches."""
        return self.runs[0].record

    @property
    def label(self) -> str:
        """As the tables write it, e.g. "SA-DVAE, FD + TC"."""
        return ", ".join(filter(None, (METHOD_LABELS.get(self.method, self.method), self._details)))

    @property
    def label_without_distinction(self) -> str:
        """The same for groups that differ in options alone."""
        return replace(self, distinction="").label

    @property
    def variant_label(self) -> str:
        """As the tables write it where the method is plain."""
        return self._details or METHOD_LABELS.get(self.method, self.method)

    @property
    def gate(self) -> str:
        """Name of the gate, in words."""
        name = self.gate_key or str(self.first.gate.get("name", ""))
        return GATE_LABELS.get(name, name) or "not recorded"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Ascending."""
        return tuple(run.record.seed for run in self.runs)

    def stat(self, pick: str | Callable[[ResultRecord], float | None]) -> Stat | None:
        """Statistics of a metric, or of what ``pick`` makes of a record.

        Returns:
            None if any run has no such number.
        """
        values: list[Any] = [
            run.record.metrics.get(pick) if isinstance(pick, str) else pick(run.record)
            for run in self.runs]
        return None if any(value is None for value in values) else Stat(tuple(map(float, values)))

    def class_stat(self, name: str, field: str) -> Stat | None:
        """Statistics of ``field`` of one class, e.g. "zsl_accuracy" of "wave"."""
        return self.stat(lambda record: getattr(
            next(entry for entry in record.per_class if entry.name == name), field))

    def option(self, name: str) -> Any:
        """An option of the method's configuration; None if it was left at its default."""
        method = self.first.config.get("method")
        options = method.get("options") if isinstance(method, dict) else None
        return options.get(name) if isinstance(options, dict) else None

    @property
    def _details(self) -> str:
        usual = PROTOCOLS.get(self.first.protocol.partition(":")[0], STRICT).seen_from
        other = "" if self.seen_classifier == usual else f"C_s on {self.seen_classifier}"
        return ", ".join(filter(None, (variant_label(self.variant), other, self.distinction)))


@dataclass(frozen=True)
class Setting:
    """What makes results comparable: the same data, the same split, the same protocol.

    Attributes:
        groups: With the experiment's own gate, in the order of the paper; the recommended
            method with the recommended one, too.
        gated: The same and others with further gates: of each fit its own first.
    """

    experiment: str
    dataset: str
    sample_protocol: str
    split: str
    protocol: str
    groups: tuple[Group, ...]
    gated: tuple[Group, ...]

    @property
    def key(self) -> str:
        """A name for anchors in the page."""
        return slugify("-".join((self.experiment, self.dataset, self.sample_protocol, self.split,
                                 self.protocol)))

    @property
    def dataset_label(self) -> str:
        """As the headings write it."""
        return DATASET_LABELS.get(self.dataset, self.dataset)

    @property
    def warning(self) -> str:
        """What of the test data the protocol used, or ""."""
        return protocol_warning(self.protocol)

    @property
    def refined(self) -> bool:
        """Whether unlabelled test clips are looked at together, after the gate."""
        return PROTOCOLS.get(self.protocol.partition(":")[0], STRICT).refinement is not None

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of all groups and gates."""
        return tuple(run for group in self.gated for run in group.runs)

    @property
    def first(self) -> ResultRecord:
        """Any record: class lists and clip counts are the same in all of them."""
        return self.runs[0].record

    @property
    def headline(self) -> Group:
        """The last group in the paper's order, that is the full method.

        It is chosen by its name and never by its numbers.
        """
        return self.groups[-1]

    @property
    def compared(self) -> tuple[Group, ...]:
        """The headline and the other variants of its method, one group of each.

        These are naive, FD and FD + TC where they were run.
        """
        same = {group.variant: group for group in self.groups
                if group.method == self.headline.method}
        return tuple(same.values())[-MAX_COMPARED:]

    @property
    def unseen(self) -> list[ClassResult]:
        """Unseen classes by ascending index; the position is the class's number in figures."""
        return sorted((c for c in self.first.per_class if c.unseen), key=lambda c: c.index)

    @property
    def seen(self) -> list[ClassResult]:
        """Seen classes by ascending index."""
        return sorted((c for c in self.first.per_class if not c.unseen), key=lambda c: c.index)

    @property
    def chance(self) -> float:
        """Accuracy of a uniform guess among the unseen classes."""
        return 1 / len(self.unseen)

    def short(self, group: Group) -> str:
        """The group's label without what all groups share; with the gate where it takes that."""
        several = len({each.method for each in self.groups}) > 1
        label = group.label if several else group.variant_label
        alike = sum(each.label == group.label for each in self.groups) > 1
        return f"{label}, {group.gate}" if alike else label


Read = tuple[object, dict[str, str]]


def _features_read(group: Group) -> Read:
    record = group.first
    caches = [record.cache_digests.skeleton_test, record.cache_digests.skeleton_calibration]
    return record.config.get("features"), {
        "backbone": record.backbone.name, "features digest": digest_json(caches)[:8]}


def _texts_read(group: Group) -> Read:
    record = group.first
    parts = sorted(name for name in record.cache_digests.others if name.startswith("text"))
    return parts, {"text": record.text.text_source, "encoder": record.text.encoder,
                   "text digest": record.cache_digests.text[:8]}


#: By what it is: what a group has read. First its kind, which the method or the config asks
#: for (a feature view, parts of speech), so others are no fault; then what should be the same
#: in all rows of that kind.
READ: dict[str, Callable[[Group], Read]] = {
    "skeleton features": _features_read, "texts": _texts_read}


def confusion(group: Group, setting: Setting, task: str) -> np.ndarray | None:
    """Confusion counts of the test clips, added over the seeds.

    Args:
        group: Whose runs.
        setting: Its setting.
        task: "zsl": unseen classes only, ``[U, U]``. "gzsl": one row and column
            more, the last, for all seen classes together, ``[U + 1, U + 1]``.

    Returns:
        Counts; rows are true classes, columns predicted ones. None if a run
        has no arrays file.
    """
    index = [entry.index for entry in setting.unseen]
    size = len(index) + (task == "gzsl")
    position = {value: at for at, value in enumerate(index)}
    counts = np.zeros((size, size), dtype=np.int64)
    for run in group.runs:
        if run.predictions is None:
            return None
        labels, zsl, gzsl = run.predictions
        predictions = zsl if task == "zsl" else gzsl
        for true, guess in zip(labels.tolist(), predictions.tolist()):
            if task == "gzsl" or true in position:
                counts[position.get(true, len(index)), position.get(guess, len(index))] += 1
    return counts
