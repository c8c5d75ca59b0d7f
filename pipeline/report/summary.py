"""From result records to what the report says: settings, groups of runs, statistics."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data.errors import BadInput
from pipeline.results import (
    ClassResult, ResultArrays, ResultRecord, find_results, read_arrays, read_result, slugify,
)

#: How methods and variants are written, in the order of the paper's Tables 6 and 7.
METHOD_LABELS = {"sa_dvae": "SA-DVAE"}
VARIANT_LABELS = {"naive": "naive alignment", "fd": "FD", "fd+tc": "FD + TC"}
DATASET_LABELS = {
    "ntu60": "NTU RGB+D 60", "ntu120": "NTU RGB+D 120", "pku-mmd": "PKU-MMD",
    "utd-mhad": "UTD-MHAD", "nw-ucla": "NW-UCLA", "synthetic": "Synthetic body",
}


@dataclass(frozen=True)
class Stat:
    """Mean and spread of a number over the seeds.

    Attributes:
        values: One per run.

    >>> stat = Stat((0.5, 0.7))
    >>> round(stat.mean, 3), round(stat.std, 3), stat.count
    (0.6, 0.141, 2)
    """

    values: tuple[float, ...]

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

    @cached_property
    def arrays(self) -> ResultArrays | None:
        """The arrays of its test rows, None where the file is absent."""
        return read_arrays(self.path, self.record)


@dataclass(frozen=True)
class Group:
    """The runs of one method and variant in one setting; they differ in the seed."""

    method: str
    variant: str
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """As the tables write it, e.g. "SA-DVAE, FD + TC"."""
        return f"{METHOD_LABELS.get(self.method, self.method)}, {self.variant_label}"

    @property
    def variant_label(self) -> str:
        """As the tables write the variant alone."""
        return VARIANT_LABELS.get(self.variant, self.variant)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Ascending."""
        return tuple(run.record.seed for run in self.runs)

    def stat(self, pick: str | Callable[[ResultRecord], float | None]) -> Stat | None:
        """Statistics of a record's field, or of what ``pick`` makes of a record.

        Returns:
            None if any run has no such number.
        """
        values = [getattr(run.record, pick) if isinstance(pick, str) else pick(run.record)
                  for run in self.runs]
        return None if any(value is None for value in values) else Stat(tuple(map(float, values)))

    def class_stat(self, name: str, field: str) -> Stat | None:
        """Statistics of ``field`` of one class, e.g. "zsl_accuracy" of "wave"."""
        return self.stat(lambda record: getattr(
            next(entry for entry in record.per_class if entry.name == name), field))


@dataclass(frozen=True)
class Setting:
    """What makes results comparable: the same data, the same split, the same protocol."""

    experiment: str
    dataset: str
    sample_protocol: str
    split: str
    protocol: str
    groups: tuple[Group, ...]

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
    def runs(self) -> tuple[Run, ...]:
        """The runs of all groups."""
        return tuple(run for group in self.groups for run in group.runs)

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
    def headlines(self) -> tuple[Group, ...]:
        """The full variant of each method: the last of its groups."""
        return tuple({group.method: group for group in self.groups}.values())

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


def load_runs(work_dirs: Sequence[str | os.PathLike[str]]) -> list[Run]:
    """Reads every record of the work directories; one given twice is read once.

    Raises:
        BadInput: A directory is absent, holds no results, a record is broken, or
            two files claim to be the same run.
    """
    runs: list[Run] = []
    for folder in dict.fromkeys(Path(work_dir).resolve() for work_dir in work_dirs):
        if not folder.is_dir():
            raise BadInput(f"{folder}: no such work directory")
        paths = find_results(folder)
        if not paths:
            raise BadInput(f"{folder / 'results'}: no result records; run `pipeline fit` first")
        runs += [Run(path, read_result(path)) for path in paths]
    taken: dict[tuple[object, ...], Path] = {}
    for run in runs:
        record = run.record
        name = (*_setting_key(record), record.method, record.variant, record.seed)
        if name in taken:
            raise BadInput(
                f"{run.path}: the same method, variant, protocol, split and seed of experiment "
                f"{record.experiment!r} as in {taken[name]}; report on one of the two")
        taken[name] = run.path
    return runs


def summarize(runs: Iterable[Run]) -> list[Setting]:
    """Groups runs into settings, and by method and variant within them.

    Raises:
        BadInput: Records of one setting disagree about classes or clips.
    """
    by_setting: dict[tuple[str, ...], dict[tuple[str, str], list[Run]]] = {}
    for run in runs:
        groups = by_setting.setdefault(_setting_key(run.record), {})
        groups.setdefault((run.record.method, run.record.variant), []).append(run)
    settings = []
    for key in sorted(by_setting):
        groups = tuple(
            Group(method, variant, tuple(sorted(members, key=lambda run: run.record.seed)))
            for (method, variant), members in sorted(by_setting[key].items(), key=_group_order)
        )
        setting = Setting(*key, groups)
        _check_comparable(setting)
        settings.append(setting)
    return settings


def remarks(setting: Setting) -> list[str]:
    """What a reader must know before comparing the setting's rows."""
    found = []
    for group in setting.groups:
        digests = {run.record.config_digest for run in group.runs}
        if len(digests) > 1:
            found.append(f"The {len(group.runs)} runs of {group.label} were made with "
                         f"{len(digests)} different configurations.")
    caches = {run.record.cache_digests.model_dump_json() for run in setting.runs}
    if len(caches) > 1:
        found.append(f"The runs read {len(caches)} different sets of feature caches.")
    counts = {len(group.runs) for group in setting.groups}
    if len(counts) > 1:
        found.append("The rows average over different numbers of seeds.")
    if any(len(group.runs) == 1 for group in setting.groups):
        found.append("A single seed has no standard deviation; none is shown.")
    return found


def confusion(
    group: Group, setting: Setting, task: str
) -> np.ndarray | None:
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
        if run.arrays is None:
            return None
        labels = run.arrays.label
        predictions = run.arrays.zsl_prediction if task == "zsl" else run.arrays.gzsl_prediction
        for true, guess in zip(labels.tolist(), predictions.tolist()):
            if task == "gzsl" or true in position:
                counts[position.get(true, len(index)), position.get(guess, len(index))] += 1
    return counts


def _setting_key(record: ResultRecord) -> tuple[str, ...]:
    return (record.experiment, record.dataset, record.sample_protocol, record.split,
            record.protocol)


def _group_order(item: tuple[tuple[str, str], object]) -> tuple[object, ...]:
    method, variant = item[0]
    known = list(VARIANT_LABELS)
    rank = known.index(variant) if variant in known else len(known)
    return (method in METHOD_LABELS, method, rank, variant)


def _check_comparable(setting: Setting) -> None:
    def identity(record: ResultRecord) -> list[tuple[int, str, bool, int]]:
        return sorted((c.index, c.name, c.unseen, c.count) for c in record.per_class)

    reference = setting.runs[0]
    for run in setting.runs[1:]:
        if identity(run.record) != identity(reference.record):
            raise BadInput(
                f"{run.path}: field 'per_class' has other classes or clip counts than "
                f"{reference.path} of the same experiment and split; delete the outdated one")
