"""``pipeline extract``: raw recordings and class names to feature caches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import TEST, SkeletonFeatures, read_skeleton_features
from zskel.data.classes import class_names
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.parse_report import ParseReport
from zskel.data.phases import calibration_phase, test_phase
from zskel.data.protocols import CLIP, SampleProtocol, random_subsets, sample_protocol
from zskel.data.readers import READERS
from zskel.data.skeleton import UNKNOWN
from zskel.data.splits import ClassSplit, class_split, held_out_clips, held_out_groups, make_split
from zskel.data.store import SequenceStore, build_store
from zskel.extractors.distributed import barrier, is_main, together
from zskel.pipeline.base.config import CalibrationConfig, DatasetConfig, Experiment
from zskel.pipeline.base.determinism import use_deterministic_algorithms
from zskel.pipeline.base.locks import work_dir_locked
from zskel.pipeline.base.progress import bar, quiet, say, table, tell_notices
from zskel.pipeline.base.workdir import WorkDir, write_pointer
from zskel.pipeline.steps.extraction import backbone_config
from zskel.pipeline.steps.model_store import Bank, bank_of
from zskel.pipeline.steps.skeleton_cache import Plan, skeleton_cache
from zskel.pipeline.steps.text_cache import text_caches


@dataclass(frozen=True)
class Extracted:
    """What ``extract`` left behind.

    Attributes:
        skeleton: The skeleton cache of each phase.
        text: The text cache.
        seen_test_accuracy: See :func:`seen_test_accuracy`; reported, never used to
            choose.
        text_parts: The text cache of each part of speech, where there are any.
    """

    skeleton: dict[str, Path]
    text: Path
    seen_test_accuracy: float | None
    text_parts: dict[str, Path] = field(default_factory=dict)


def extract(
    experiment: Experiment,
    raw: Sequence[str | Path] = (),
    work_dir: str | Path | None = None,
    workers: int | None = None,
    weights: Mapping[str, str | Path] | None = None,
    bank: str | Path | None = None,
    launcher: str = "none",
    deterministic: bool = False,
) -> Extracted | None:
    """Reads, trains both backbones, embeds the texts, writes the caches.

    Whatever is there already and was made from the same input and config is
    kept, so the same call goes on where a stopped one was.

    Args:
        experiment: From ``load_experiment``.
        raw: Files or folders of raw recordings; may be empty if the sequence
            store is there.
        work_dir: Default ``work_dirs/<experiment>``.
        workers: Processes that parse; default: one for each core.
        weights: Phase -> file of weights to use instead of training. Whether
            they have seen the unseen classes is for their giver to know; the
            caches record their digest.
        bank: Where store and backbones are shared with other experiments.
            Default: ``work_dirs/bank``; a ``work_dir`` that is given keeps its
            own unless it was made with a bank.
        launcher: What has started several processes that all call this, of
            ``zskel.extractors.distributed``. They train and extract together; the first
            does everything else, and it alone returns what there is.
        deterministic: Compute on a GPU so that it repeats itself to the bit.

    Raises:
        PipelineError: Something is wrong with the input; one clear line.
    """
    with together(launcher):
        if not is_main():
            quiet()
        if deterministic:
            use_deterministic_algorithms()
        return _extract(experiment, raw, work_dir, workers, weights, bank)


def _extract(
    experiment: Experiment, raw: Sequence[str | Path], work_dir: str | Path | None,
    workers: int | None, weights: Mapping[str, str | Path] | None, bank: str | Path | None,
) -> Extracted | None:
    given = {phase: Path(path) for phase, path in (weights or {}).items()}
    for path in given.values():
        if not path.is_file():
            raise BadInput(f"{path}: no such file of weights")
    split = resolve_split(experiment)  # a wrong split should not wait for the parser
    work = WorkDir.of(experiment.name, work_dir)
    alone = work_dir_locked(work.root, "pipeline extract", make=True) if is_main() \
        else nullcontext()
    with alone:
        barrier()  # what is there is looked at only once one has the lock
        shared = bank_of(work, bank, own_work_dir=work_dir is not None)
        return _extract_alone(experiment, raw, work, workers, given, shared, split)


def _extract_alone(
    experiment: Experiment, raw: Sequence[str | Path], work: WorkDir, workers: int | None,
    weights: Mapping[str, Path], shared: Bank | None, split: ClassSplit,
) -> Extracted | None:
    if is_main():
        store = open_store(experiment.dataset, raw, work, workers, shared)
    barrier()
    if not is_main():
        store = SequenceStore(work.store)
    plan = make_plan(experiment, store, split)
    _announce(experiment, plan, work)
    if is_main():
        tell_notices(plan.notices)
        text, text_parts = text_caches(experiment, work)
    skeleton = {
        phase.name: skeleton_cache(experiment, plan, phase, work, shared, weights.get(phase.name))
        # Given weights that do not fit should not wait for the training of the other phase.
        for phase in sorted(plan.phases, key=lambda phase: phase.name not in weights)
    }
    if not is_main():
        return None
    accuracy = seen_test_accuracy(read_skeleton_features(skeleton[TEST]))
    if accuracy is not None:
        say(f"seen-class accuracy of the test-phase backbone on test clips: {accuracy:.1%}")
    return Extracted(skeleton, text, accuracy, text_parts)


def resolve_split(experiment: Experiment) -> ClassSplit:
    """The experiment's class split, for stage one.

    Raises:
        BadConfig: It is impossible, or the features were imported.
    """
    experiment.require_stage_one()
    config, dataset = experiment.split, experiment.dataset.name
    if config.unseen is not None:
        split = make_split(dataset, config.name, config.unseen, config.validation_unseen,
                           config.validation_seed)
    else:
        split = class_split(dataset, config.name, config.validation_seed)
    split.require_calibration()
    return split


def make_plan(experiment: Experiment, store: SequenceStore, split: ClassSplit) -> Plan:
    """Sorts the store's clips into the two phases.

    Raises:
        BadConfig: The backbone asks for joints that the clips do not have.
        BadInput: What the protocol needs is not known of all clips, or a class or
            a subset has no clips where some are needed.
    """
    backbone_config(experiment, store)
    dataset = experiment.dataset
    protocol = sample_protocol(
        dataset.name, dataset.sample_protocol, dataset.train, dataset.group
    ).as_marked(store.sample_protocol, str(store.path))
    if dataset.train is not None and not store.sample_protocol:
        protocol = replace(protocol, train=frozenset(
            store.as_stored(protocol.field, dataset.train, "dataset.train")))
    if protocol.field == CLIP:
        subset = random_subsets(store.label, dataset.test_share, dataset.test_seed)
    else:
        subset = protocol.subsets(store.values(protocol.field))
    test = test_phase(store.label, subset, split)
    group = _calibration_group(dataset, protocol, store, test.train)
    value, held_out = _held_out(experiment.calibration, group, store, test.train)
    calibration = calibration_phase(store.label, subset, value, split, held_out, group)
    return Plan(store, split, (test, calibration), group, () if group == CLIP else held_out,
                _drawn(protocol.field == CLIP, group == CLIP))


def _calibration_group(
    dataset: DatasetConfig, protocol: SampleProtocol, store: SequenceStore, rows: np.ndarray
) -> str:
    """What the calibration phase holds out whole: a field, or clips where nothing is known.

    Raises:
        BadConfig: The field is known of some training clips only.
    """
    name = protocol.group
    if name == CLIP:
        return name
    unknown = rows[getattr(store, name)[rows] == UNKNOWN]
    if len(unknown) == len(rows) and dataset.group is None:
        return CLIP
    if len(unknown):
        raise BadConfig(
            f"{len(unknown)} of {len(rows)} training clips have no known {name}, the first is "
            f"{str(store.sample_id[unknown[0]])!r}; calibration holds out whole {name}s: let the "
            f"reader tell the {name} of every clip, or hold out clips with dataset.group='clip'"
        )
    return name


def _held_out(
    config: CalibrationConfig, group: str, store: SequenceStore, rows: np.ndarray
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Each clip's group, and the groups whose clips calibrate the gate."""
    if group == CLIP:
        if config.subjects is not None:
            raise BadConfig("calibration.subjects: clips are held out, not subjects, because "
                            "dataset.group is 'clip' or no clip has a known subject; leave it out")
        return np.arange(len(store)), held_out_clips(store.label, rows, config.share, config.seed)
    value = store.values(group)
    if config.subjects is not None:
        return value, tuple(store.as_stored(group, config.subjects, "calibration.subjects"))
    return value, held_out_groups(set(value[rows].tolist()), config.share, config.seed, group,
                                  "dataset.group='clip' holds out clips instead")


def _drawn(test: bool, calibration: bool) -> tuple[dict[str, str], ...]:
    """What drawn clips are worth, as notices like those of ``zskel.data.plausibility``."""
    found = []
    if test:
        found.append({"code": "random-test-clips", "text": (
            "test clips were drawn at random, class by class: the same people are likely to train "
            "and to test, so new people will be recognized less well than the results say")})
    if calibration:
        found.append({"code": "calibration-by-clip", "text": (
            "calibration holds out clips, not subjects: the same people are likely to be on both "
            "sides, where the backbone is surer of seen classes than it is with new people; of "
            "those the gate will take too many seen clips for unseen ones")})
    return tuple(found)


def seen_test_accuracy(features: SkeletonFeatures) -> float | None:
    """Top-1 of the backbone's own head on the test clips of seen classes.

    None where there are no such clips, or no scores: imported features without them
    have zeros instead.
    """
    seen, rows = np.asarray(features.seen_classes), features.rows(TEST)
    rows = rows[np.isin(features.label[rows], seen)]
    if not features.logits[rows].any():
        return None
    return float(np.mean(seen[features.logits[rows].argmax(axis=1)] == features.label[rows]))


def open_store(
    dataset: DatasetConfig, raw: Sequence[str | Path], work: WorkDir,
    workers: int | None = None, bank: Bank | None = None,
) -> SequenceStore:
    """The sequence store of a work directory, made from ``raw`` where that is given.

    A store that the work directory has of its own comes before the bank's.

    Raises:
        BadInput: There is neither a store nor anything to make it from.
    """
    if bank is None or work.own_store.is_file():
        return _store_at(work.own_store if raw else work.store, dataset, raw, workers)
    path = bank.store(dataset, raw) if raw else bank.find_store(dataset, work)
    if path is None:
        raise BadInput(f"{bank.root}: no sequence store of {dataset.name} read like this yet; "
                       "give the raw recordings with --raw")
    if raw:
        with bank.locked(path.parent, f"the sequence store of {dataset.name}"):
            store = _store_at(path, dataset, raw, workers)
            bank.note_source(dataset, raw)
    else:
        store = SequenceStore(path)
    point_to_store(work, bank, store)
    return store


def point_to_store(work: WorkDir, bank: Bank, store: SequenceStore) -> None:
    """Lets a work directory name a store of the bank."""
    write_pointer(work.store_pointer, store.path, {
        "digest": store.digest, "dataset": store.dataset,
        "bank": bank.seen_from(work.store_pointer),
    })


def _store_at(
    path: Path, dataset: DatasetConfig, raw: Sequence[str | Path], workers: int | None
) -> SequenceStore:
    if raw:
        assert dataset.reader is not None
        reader = READERS.build(dataset.reader, raw, **dataset.reader_options)
        with bar("reading clips") as tell:
            report = build_store(
                reader, path, class_names(dataset.name), dataset.cleaning,
                workers or os.cpu_count() or 1, tell,
            )
        _tell_parsed(report, path)
    elif not path.is_file():
        raise BadInput(f"{path}: no sequence store yet; give the raw recordings with --raw")
    return SequenceStore(path)


def _tell_parsed(report: ParseReport, store: Path) -> None:
    say(f"store: {report.stored} clips of {report.found} files, {len(report.skipped)} skipped")
    frames = report.frames
    table(
        ("frames a clip", f"{frames['min']} to {frames['max']}, median {frames['median']:.0f}"),
        ("bodies tracked", _tally(report.tracked_bodies)),
        ("bodies kept", _tally(report.bodies_per_clip)),
        ("frames without a body", f"{report.empty_frames}"),
        *((f"{axis} (m)", f"{of['min']:.2f} to {of['max']:.2f}, mean {of['mean']:.2f}")
          for axis, of in report.coordinates.items()),
        *((f"{field}s", f"{len(names)}, numbered by name: {_some(list(names))}")
          for field, names in report.names.items()),
        *(("skipped", f"{skip['name']}: {skip['reason']}") for skip in report.skipped[:3]),
    )
    for note in report.notes:
        say(f"  note: {note}")
    if len(report.skipped) > 3:
        say(f"  ... all that was skipped, and why: {store}.report.json")


def _tally(counts: dict[str, int]) -> str:
    return ", ".join(f"{bodies} in {clips} clips" for bodies, clips in counts.items())


def _announce(experiment: Experiment, plan: Plan, work: WorkDir) -> None:
    test, calibration = plan.phases
    say(f"experiment {experiment.name}: {plan.store.dataset}, split {plan.split.name}, "
        f"{experiment.dataset.sample_protocol}, work directory {work.root}")
    say(f"  test phase: {len(test.train)} training clips of {len(test.seen_classes)} seen classes, "
        f"{len(test.held_out)} test clips, {len(test.unseen_classes)} unseen classes")
    held_out = "drawn class by class" if plan.calibration_group == CLIP else (
        f"of {plan.calibration_group}s {_some(plan.calibration_subjects)}")
    say(f"  calibration phase: {len(calibration.train)} training clips of "
        f"{len(calibration.seen_classes)} classes, {len(calibration.held_out)} clips {held_out}, "
        f"{len(calibration.unseen_classes)} validation-unseen classes "
        f"({plan.split.validation_choice})")


def _some(values: Sequence[int | str]) -> str:
    shown = ", ".join(map(str, values[:8]))
    return shown if len(values) <= 8 else f"{shown}, ... ({len(values)})"
