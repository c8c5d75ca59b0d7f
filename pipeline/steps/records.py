"""From an evaluation to the record and the arrays that are kept of it."""

from __future__ import annotations

import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from zskel.data.caches import SkeletonFeatures
from zskel.data.common.files import digest_json
from zskel.data.common.machine import machine
from zskel.pipeline.steps.backbone_accuracy import seen_test_accuracy
from zskel.pipeline.steps.result_record import (
    HEADLINE,
    Backbone,
    CacheDigests,
    ClassResult,
    History,
    ResultRecord,
    SampleCounts,
    Text,
)
from zskel.pipeline.steps.results import ResultArrays
from zskel.zsl.metrics import per_class_accuracy

if TYPE_CHECKING:
    from zskel.zsl.evaluation import Evaluation


def make_record(
    evaluation: Evaluation,
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
        evaluation: Of one gate.
        identity: Experiment, method, variant, protocol, split, seed, gate key and C_s.
        config: What decided the result apart from caches and seed.
        test, calibration: The skeleton features.
        text, digests: See ``zskel.pipeline.steps.feature_files``.
        seconds: That the fit took, for all gates together.

    Raises:
        pydantic.ValidationError: They make no valid record, which no input is to blame for.
    """
    names, predictions = test.class_names, evaluation.predictions
    curve, roc = predictions.curve.thinned(), predictions.roc.thinned()
    zsl = per_class_accuracy(*predictions.zsl)
    gzsl = per_class_accuracy(predictions.label, predictions.gzsl_prediction)
    return ResultRecord(
        **identity,
        dataset=test.dataset,
        sample_protocol=test.sample_protocol,
        **{name: evaluation.metrics[name] for name in HEADLINE},
        metrics=evaluation.metrics,
        seen_unseen_curve=_pairs(curve.seen, curve.unseen),
        domain_roc=_pairs(roc.fpr, roc.tpr),
        per_class=[
            ClassResult(
                name=names[index], index=index, unseen=index in test.unseen_classes,
                count=int((predictions.label == index).sum()),
                zsl_accuracy=zsl.get(index),
                gzsl_accuracy=gzsl.get(index),
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
                  **machine(), "device": torch.get_default_device().type},
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        duration_seconds=round(seconds, 3),
    )


def make_arrays(evaluation: Evaluation) -> ResultArrays:
    """The predictions and latents of the test rows."""
    predictions, latents = evaluation.predictions, evaluation.latents
    p_u = predictions.p_u
    return ResultArrays(
        predictions.label, predictions.sample_id, predictions.zsl_prediction,
        predictions.gzsl_prediction, predictions.p_seen, latents.z_r, latents.z_v,
        None if p_u is None else p_u[:, predictions.unseen_classes.argsort()])


def _pairs(first: Any, second: Any) -> list[tuple[float, float]]:
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _epochs(terms: dict[str, list[float]]) -> list[dict[str, float]]:
    """A dict of curves as a list of epochs."""
    return [dict(zip(terms, values)) for values in zip(*terms.values())]
