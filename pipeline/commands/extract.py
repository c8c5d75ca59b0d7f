"""``pipeline extract``: raw recordings and class names to feature caches."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.caches import (
    IDENTITY,
    TEST,
    SkeletonFeatures,
    read_skeleton_features,
    read_text_features,
    write_skeleton_features,
    write_text_features,
)
from data.classes import class_names
from data.errors import BadCache, BadInput
from data.files import digest_file, digest_json
from data.phases import Phase, calibration_phase, test_phase
from data.protocols import sample_protocol
from data.readers import READERS
from data.splits import ClassSplit, class_split, held_out_groups, make_split
from data.store import ParseReport, SequenceStore, build_store
from pipeline.config import DatasetConfig, Experiment
from pipeline.progress import bar, say, table
from pipeline.workdir import WorkDir

@dataclass(frozen=True)
class Extracted:
    """What ``extract`` left behind.

    Attributes:
        skeleton: The skeleton cache of each phase.
        text: The text cache.
        seen_test_accuracy: Top-1 of the test-phase backbone's own head on the
            test clips of seen classes; reported, never used to choose.
    """

    skeleton: dict[str, Path]
    text: Path
    seen_test_accuracy: float


@dataclass(frozen=True)
class Plan:
    """What extraction works on, known once the store is there."""

    store: SequenceStore
    split: ClassSplit
    phases: tuple[Phase, Phase]
    calibration_group: str
    calibration_subjects: tuple[int, ...]


def extract(
    experiment: Experiment,
    raw: Sequence[str | Path] = (),
    work_dir: str | Path | None = None,
    workers: int | None = None,
    weights: Mapping[str, str | Path] | None = None,
) -> Extracted:
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

    Raises:
        PipelineError: Something is wrong with the input; one clear line.
    """
    weights = {phase: Path(path) for phase, path in (weights or {}).items()}
    for path in weights.values():
        if not path.is_file():
            raise BadInput(f"{path}: no such file of weights")
    work = WorkDir.of(experiment.name, work_dir)
    split = resolve_split(experiment)  # a wrong split should not wait for the parser
    store = open_store(experiment.dataset, raw, work, workers)
    plan = make_plan(experiment, store, split)
    _announce(experiment, plan, work)
    text = _text(experiment, work)
    skeleton = {
        phase.name: _skeleton(experiment, plan, phase, work, weights.get(phase.name))
        for phase in plan.phases
    }
    accuracy = seen_test_accuracy(read_skeleton_features(skeleton[TEST]))
    say(f"seen-class accuracy of the test-phase backbone on test clips: {accuracy:.1%}")
    return Extracted(skeleton, text, accuracy)


def resolve_split(experiment: Experiment) -> ClassSplit:
    """The experiment's class split."""
    config, dataset = experiment.split, experiment.dataset.name
    if config.unseen is not None:
        split = make_split(dataset, config.name, config.unseen, config.validation_unseen,
                           config.validation_seed)
    else:
        split = class_split(dataset, config.name, config.validation_seed)
    split.require_calibration()
    return split


def make_plan(experiment: Experiment, store: SequenceStore, split: ClassSplit) -> Plan:
    """Sorts the store's clips into the two phases."""
    dataset = experiment.dataset
    protocol = sample_protocol(
        dataset.name, dataset.sample_protocol, dataset.train, dataset.group
    )
    if store.sample_protocol not in ("", protocol.name):
        raise BadInput(
            f"{store.path}: its clips are marked for {store.sample_protocol!r}, the experiment's "
            f"sample protocol is {protocol.name!r}; set dataset.reader_options.protocol to the "
            "same and extract with --raw again"
        )
    subset = protocol.subsets(getattr(store, protocol.field))
    test = test_phase(store.label, subset, split)
    group, subjects = getattr(store, protocol.group), experiment.calibration.subjects
    if subjects is None:
        subjects = held_out_groups(
            set(group[test.train].tolist()), experiment.calibration.share,
            experiment.calibration.seed, protocol.group,
        )
    calibration = calibration_phase(store.label, subset, group, split, subjects)
    return Plan(store, split, (test, calibration), protocol.group, tuple(subjects))


def seen_test_accuracy(features: SkeletonFeatures) -> float:
    """Top-1 of the backbone's own head on the test clips of seen classes."""
    seen = np.asarray(features.seen_classes)
    rows = features.rows(TEST)
    rows = rows[np.isin(features.label[rows], seen)]
    return float(np.mean(seen[features.logits[rows].argmax(axis=1)] == features.label[rows]))


def open_store(
    dataset: DatasetConfig, raw: Sequence[str | Path], work: WorkDir, workers: int | None = None
) -> SequenceStore:
    """The sequence store of a work directory, made from ``raw`` where that is given.

    Raises:
        BadInput: There is neither a store nor anything to make it from.
    """
    if raw:
        reader = READERS.build(dataset.reader, raw, **dataset.reader_options)
        with bar("reading clips") as tell:
            report = build_store(
                reader, work.store, class_names(dataset.name), dataset.cleaning,
                workers or os.cpu_count() or 1, tell,
            )
        _tell_parsed(report, work)
    elif not work.store.is_file():
        raise BadInput(f"{work.store}: no sequence store yet; give the raw recordings with --raw")
    return SequenceStore(work.store)


def _tell_parsed(report: ParseReport, work: WorkDir) -> None:
    say(f"store: {report.stored} clips of {report.found} files, {len(report.skipped)} skipped")
    frames = report.frames
    table(
        ("frames a clip", f"{frames['min']} to {frames['max']}, median {frames['median']:.0f}"),
        ("bodies tracked", _tally(report.tracked_bodies)),
        ("bodies kept", _tally(report.bodies_per_clip)),
        ("frames without a body", f"{report.empty_frames}"),
        *((f"{axis} (m)", f"{of['min']:.2f} to {of['max']:.2f}, mean {of['mean']:.2f}")
          for axis, of in report.coordinates.items()),
        *(("skipped", f"{skip['name']}: {skip['reason']}") for skip in report.skipped[:3]),
    )
    if len(report.skipped) > 3:
        say(f"  ... all that was skipped, and why: {work.store}.report.json")


def _tally(counts: dict[str, int]) -> str:
    return ", ".join(f"{bodies} in {clips} clips" for bodies, clips in counts.items())


def _announce(experiment: Experiment, plan: Plan, work: WorkDir) -> None:
    test, calibration = plan.phases
    say(f"experiment {experiment.name}: {plan.store.dataset}, split {plan.split.name}, "
        f"{experiment.dataset.sample_protocol}, work directory {work.root}")
    say(f"  test phase: {len(test.train)} training clips of {len(test.seen_classes)} seen classes, "
        f"{len(test.held_out)} test clips, {len(test.unseen_classes)} unseen classes")
    say(f"  calibration phase: {len(calibration.train)} training clips of "
        f"{len(calibration.seen_classes)} classes, {len(calibration.held_out)} clips of "
        f"{plan.calibration_group}s {_some(plan.calibration_subjects)}, "
        f"{len(calibration.unseen_classes)} validation-unseen classes "
        f"({plan.split.validation_choice})")


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return shown if len(numbers) <= 8 else f"{shown}, ... ({len(numbers)})"


def _text(experiment: Experiment, work: WorkDir) -> Path:
    # Imports of stage one are inside functions: sentence-transformers, open_clip
    # and mmaction2 take seconds each, also when everything is there already.
    from extractors.text.sources import class_texts, source_name

    names, config = class_names(experiment.dataset.name), experiment.class_text
    texts = class_texts(config.source.name, names, **config.source.options)
    provenance = config.model_dump(mode="json")
    if _current_text(work.text, provenance, texts):
        say(f"kept {work.text}")
        return work.text
    from extractors.text import ENCODERS, embed_classes

    encoder = ENCODERS.build(config.encoder.name, **config.encoder.options)
    features = embed_classes(
        encoder, names, texts, source_name(config.source.name, config.source.options), provenance
    )
    write_text_features(work.text, features)
    say(f"wrote {work.text}: {features.f_y.shape[0]} x {features.f_y.shape[1]}, {encoder.name}")
    return work.text


def _current_text(path: Path, provenance: dict[str, Any], texts: list[list[str]]) -> bool:
    try:
        found = read_text_features(path)
    except BadCache:
        return False
    return found.config == provenance and found.text.reshape(len(found.text), -1).tolist() == texts


def _skeleton(
    experiment: Experiment, plan: Plan, phase: Phase, work: WorkDir, given: Path | None
) -> Path:
    path = work.skeleton(phase.name)
    provenance = _provenance(experiment, plan, phase)
    if given is not None:
        provenance["given_weights"] = {"file": given.name, "sha256": digest_file(given)}
    if _current_skeleton(path, provenance):
        say(f"kept {path}")
        return path
    from extractors.mm import register, software

    register()
    from extractors.features import extract_features, load_model
    from extractors.probe import seen_logits
    from extractors.training import BackboneSpec, train_backbone
    from extractors.weights import head_classes, read_state

    spec = BackboneSpec(**experiment.backbone.model_dump())
    rows, store, source = phase.rows, plan.store, "head"
    if given is None:
        with bar(f"training {phase.name}-phase {spec.name}") as tell:
            trained = train_backbone(
                spec, store, phase.train, phase.seen_classes, work.backbone(phase.name),
                lambda epoch, total, losses: tell(epoch, total, f"loss {losses['loss']:.3f}"),
            )
        weights, digest, outputs = trained.weights, trained.weights_sha256, len(trained.classes)
        note = f"training accuracy {_last_accuracy(trained.history)}"
    else:
        weights, digest = given, provenance["given_weights"]["sha256"]
        outputs, note = head_classes(read_state(given), given), f"given weights {given.name}"
    model = load_model(spec, weights, outputs)
    with bar(f"extracting {phase.name}-phase features") as tell:
        f_x, logits = extract_features(model, spec, store, rows, on_progress=tell)
    if given is not None:
        train = np.flatnonzero(np.isin(rows, phase.train))
        logits, source = seen_logits(f_x, logits, store.label[rows], train, phase.seen_classes,
                                     len(store.class_names))
        note += f", logits from the {source}"
    write_skeleton_features(path, SkeletonFeatures(
        f_x=f_x, logits=logits, label=store.label[rows], sample_id=store.sample_id[rows],
        subset=phase.subset,
        **{name: getattr(store, name)[rows] for name in IDENTITY},
        dataset=store.dataset, sample_protocol=experiment.dataset.sample_protocol,
        phase=phase.name, class_names=store.class_names,
        seen_classes=phase.seen_classes, unseen_classes=phase.unseen_classes,
        backbone=spec.name, weights_sha256=digest,
        preprocessing={"cleaning": store.cleaning, "prepare": spec.prepare,
                       "test_pipeline": spec.test_pipeline, "logits": source},
        config=provenance, software=software(),
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    ))
    say(f"wrote {path}: {f_x.shape[0]} x {f_x.shape[1]}, {note}")
    return path


def _provenance(experiment: Experiment, plan: Plan, phase: Phase) -> dict[str, Any]:
    """Everything that decides a skeleton cache's content."""
    return {
        "experiment": experiment.name,
        "split": plan.split.name,
        "split_source": plan.split.source,
        "validation_choice": plan.split.validation_choice,
        "calibration_subjects": list(plan.calibration_subjects),
        "backbone": experiment.backbone.model_dump(mode="json"),
        "store_digest": plan.store.digest,
        "phase_digest": digest_json([
            plan.store.sample_id[phase.rows].tolist(), phase.subset.tolist(),
        ]),
    }


def _current_skeleton(path: Path, provenance: dict[str, Any]) -> bool:
    try:
        return digest_json(read_skeleton_features(path).config) == digest_json(provenance)
    except BadCache:
        return False


def _last_accuracy(history: Sequence[dict[str, float]]) -> str:
    accuracy = history[-1].get("top1_acc") if history else None
    return "unknown" if accuracy is None else f"{accuracy:.1%}"
