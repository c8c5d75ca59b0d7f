"""From an evaluation to the record and the arrays that are kept of it."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from pydantic import ValidationError

from zskel.data.caches import SkeletonFeatures
from zskel.data.common.files import digest_json
from zskel.data.common.machine import machine
from zskel.pipeline.steps.backbone_accuracy import seen_test_accuracy
from zskel.pipeline.steps.results import (
    Backbone,
    CacheDigests,
    ClassResult,
    History,
    ResultArrays,
    ResultRecord,
    SampleCounts,
    Text,
    first_problem,
)


@contextlib.contextmanager
def _defects() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise RuntimeError("this result cannot be recorded, a defect of this program and not of "
                           "what it was given; please report it with the experiment's config: "
                           f"{first_problem(error)}") from None


@_defects()
def make_record(
    evaluation: Any,
    identity: dict[str, Any],
    *,
    config: dict[str, Any],
    test: SkeletonFeatures,
    calibration: SkeletonFeatures,
    text: Text,
    digests: CacheDigests,
    seconds: float,
) -> ResultRecord:
    """The record of one evaluation.

    Args:
        evaluation: A ``zskel.zsl.evaluation.Evaluation``.
        identity: Experiment, method, variant, protocol, split, seed, gate key and C_s.
        config: What decided the result apart from caches and seed.
        test, calibration: The skeleton features.
        text, digests: See ``zskel.pipeline.steps.feature_files``.
        seconds: That the fit took, for all gates together.

    Raises:
        RuntimeError: They make no valid record, which no input is to blame for.
    """
    names, label = test.class_names, evaluation.rows.label
    return ResultRecord(
        **identity,
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
        gzsl_ausuc=evaluation.ausuc,
        domain_auc=evaluation.roc.area,
        seen_unseen_curve=_pairs(evaluation.curve.seen, evaluation.curve.unseen),
        domain_roc=_pairs(evaluation.roc.fpr, evaluation.roc.tpr),
        per_class=[
            ClassResult(
                name=names[index], index=index, unseen=index in test.unseen_classes,
                count=int((label == index).sum()),
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
                          seen_test_accuracy=seen_test_accuracy(test),
                          preprocessing=dict(test.preprocessing),
                          notices=[dict(notice) for notice in test.notices]),
        text=text,
        gate=evaluation.gate,
        selection=evaluation.selection,
        history=History(**{phase: _epochs(terms) for phase, terms in evaluation.history.items()}),
        config=config,
        config_digest=digest_json(config),
        cache_digests=digests,
        software={**{name: version(name) for name in ("torch", "numpy", "scikit-learn", "h5py")},
                  **machine()},
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        duration_seconds=round(seconds, 3),
    )


def make_arrays(evaluation: Any) -> ResultArrays:
    """The predictions and latents of the test rows."""
    rows = evaluation.rows
    return ResultArrays(
        label=rows.label, sample_id=rows.sample_id, zsl_prediction=rows.zsl_prediction,
        gzsl_prediction=rows.gzsl_prediction, p_seen=rows.p_seen,
        z_r=rows.latents.z_r, z_v=rows.latents.z_v,
    )


def _pairs(first: Any, second: Any) -> list[tuple[float, float]]:
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _epochs(terms: dict[str, list[float]]) -> list[dict[str, float]]:
    """A dict of curves as a list of epochs."""
    return [dict(zip(terms, values)) for values in zip(*terms.values())]
