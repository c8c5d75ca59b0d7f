"""``pipeline fit``: feature caches to result records, one a method, split and seed."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.caches import CALIBRATION, TEST, SkeletonFeatures, TextFeatures
from data.caches import read_skeleton_features, read_text_features
from data.errors import BadInput
from data.files import digest_file, digest_json
from pipeline.commands.extract import seen_test_accuracy
from pipeline.config import Experiment, FitConfig
from pipeline.progress import bar, say
from pipeline.results import (
    Backbone,
    CacheDigests,
    ClassResult,
    History,
    ResultArrays,
    ResultRecord,
    SampleCounts,
    Text,
    read_arrays,
    read_result,
    result_stem,
    write_result,
)
from pipeline.workdir import WorkDir


def fit(
    experiment: Experiment,
    work_dir: str | Path | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Path]:
    """Fits and evaluates the experiment's method for each seed.

    Results that are there already and were made by the same config from the
    same caches are kept, so the same call goes on where a stopped one was.

    Args:
        experiment: From ``load_experiment``.
        work_dir: Default ``work_dirs/<experiment>``.
        seeds: Default: as many as the config says, from 0.

    Returns:
        The result files, one a seed.

    Raises:
        PipelineError: Caches are missing or unfit, or a fit fails.
    """
    work = WorkDir.of(experiment.name, work_dir)
    seeds = list(range(experiment.fit.seeds)) if seeds is None else list(seeds)
    test = read_skeleton_features(work.skeleton(TEST))
    calibration = read_skeleton_features(work.skeleton(CALIBRATION))
    text = read_text_features(work.text)
    digests = CacheDigests(
        skeleton_test=digest_file(work.skeleton(TEST)),
        skeleton_calibration=digest_file(work.skeleton(CALIBRATION)),
        text=digest_file(work.text),
    )
    method = _method(experiment.fit, 0)
    gate = _gate(experiment.fit, 0)
    say(f"experiment {experiment.name}: {experiment.fit.method.name} "
        f"({_variant(method)}), gate {gate.name}, protocol {experiment.fit.protocol}, "
        f"{len(seeds)} seed(s), f_x {test.f_x.shape[1]}-d, f_y {text.f_y.shape[1]}-d")
    return [
        _fit_seed(experiment, work, seed, test, calibration, text, digests) for seed in seeds
    ]


def _fit_seed(
    experiment: Experiment, work: WorkDir, seed: int, test: SkeletonFeatures,
    calibration: SkeletonFeatures, text: TextFeatures, digests: CacheDigests,
) -> Path:
    from zsl.protocols import strict

    method = _method(experiment.fit, seed)
    # The seed is a field of its own: all seeds of one setting share a digest.
    config = experiment.fit.model_dump(mode="json", exclude={"seeds"})
    identity: dict[str, Any] = {
        "method": experiment.fit.method.name, "variant": _variant(method),
        "protocol": experiment.fit.protocol, "split": experiment.split.name, "seed": seed,
    }
    path = work.results / f"{result_stem(**identity)}.json"
    if _current(path, digest_json(config), digests):
        say(f"kept {path}")
        return path
    started = time.perf_counter()
    with bar(f"fitting seed {seed}") as tell:
        evaluation = strict(
            test, calibration, text,
            method=lambda value: _method(experiment.fit, value),
            gate=lambda value: _gate(experiment.fit, value),
            seed=seed, on_progress=tell,
        )
    names = test.class_names
    rows = evaluation.rows
    tested = {index: int((rows.label == index).sum()) for index in range(len(names))}
    record = ResultRecord(
        **identity,
        experiment=experiment.name,
        dataset=test.dataset,
        sample_protocol=test.sample_protocol,
        zsl_accuracy=evaluation.zsl_accuracy,
        gzsl_seen_accuracy=evaluation.gzsl_seen_accuracy,
        gzsl_unseen_accuracy=evaluation.gzsl_unseen_accuracy,
        gzsl_harmonic_mean=evaluation.gzsl_harmonic_mean,
        zsl_accuracy_class_averaged=evaluation.zsl_class_averaged,
        gzsl_seen_accuracy_class_averaged=evaluation.gzsl_seen_class_averaged,
        gzsl_unseen_accuracy_class_averaged=evaluation.gzsl_unseen_class_averaged,
        gzsl_harmonic_mean_class_averaged=evaluation.gzsl_harmonic_class_averaged,
        gzsl_oracle_harmonic_mean=evaluation.oracle_harmonic_mean,
        per_class=[
            ClassResult(
                name=names[index], index=index, unseen=index in test.unseen_classes,
                count=tested[index],
                zsl_accuracy=evaluation.zsl_per_class.get(index),
                gzsl_accuracy=evaluation.gzsl_per_class.get(index),
            )
            for index in sorted((*test.seen_classes, *test.unseen_classes))
        ],
        counts=SampleCounts(**{
            name: evaluation.counts[name] for name in SampleCounts.model_fields
        }),
        seen_classes=[names[index] for index in test.seen_classes],
        unseen_classes=[names[index] for index in test.unseen_classes],
        validation_unseen_classes=[names[index] for index in calibration.unseen_classes],
        backbone=Backbone(name=test.backbone, weights_sha256=test.weights_sha256,
                          seen_test_accuracy=seen_test_accuracy(test)),
        text=Text(encoder=text.encoder, encoder_revision=text.encoder_revision,
                  text_source=text.text_source),
        gate=evaluation.gate,
        history=History(**{phase: _epochs(terms) for phase, terms in evaluation.history.items()}),
        config=config,
        config_digest=digest_json(config),
        cache_digests=digests,
        software={name: version(name) for name in ("torch", "numpy", "scikit-learn", "h5py")},
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        duration_seconds=round(time.perf_counter() - started, 3),
    )
    write_result(work.root, record, ResultArrays(
        label=rows.label, sample_id=rows.sample_id, zsl_prediction=rows.zsl_prediction,
        gzsl_prediction=rows.gzsl_prediction, p_seen=rows.p_seen,
        z_r=rows.latents.z_r, z_v=rows.latents.z_v,
    ))
    say(f"seed {seed}: ZSL {record.zsl_accuracy:.1%}, GZSL seen {record.gzsl_seen_accuracy:.1%}, "
        f"unseen {record.gzsl_unseen_accuracy:.1%}, H {record.gzsl_harmonic_mean:.1%} "
        f"({record.duration_seconds:.0f} s) -> {path}")
    return path


def check_fit(config: FitConfig) -> None:
    """Checks method and gate options without fitting anything.

    Raises:
        BadConfig: A name or an option is unknown or impossible.
    """
    _method(config, 0)
    _gate(config, 0)


def _method(config: FitConfig, seed: int) -> Any:
    from zsl.methods import METHODS

    return METHODS.build(config.method.name, **{**config.method.options, "seed": seed})


def _gate(config: FitConfig, seed: int) -> Any:
    from zsl.gates import GATES

    return GATES.build(config.gate.name, **{**config.gate.options, "seed": seed})


def _variant(method: Any) -> str:
    return str(getattr(getattr(method, "params", None), "variant", "default"))


def _current(path: Path, config_digest: str, digests: CacheDigests) -> bool:
    try:
        record = read_result(path)
        whole = read_arrays(path, record) is not None
    except BadInput:
        return False
    return whole and record.config_digest == config_digest and record.cache_digests == digests


def _epochs(terms: dict[str, list[float]]) -> list[dict[str, float]]:
    """A dict of curves as a list of epochs."""
    return [dict(zip(terms, values)) for values in zip(*terms.values())]
