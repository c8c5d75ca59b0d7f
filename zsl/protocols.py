"""Protocols: who may be fitted and chosen on which rows. By name in ``PROTOCOLS``.

``strict`` chooses nothing on test data. The method, C_s and C_u are fitted
twice: on the calibration phase, whose validation-unseen classes then teach the
gate what unseen clips look like, and on the test phase, where everything meets
the test rows once.

``released`` is what the released codes of this field do, test rows included. It
is there to say what that is worth; its numbers belong beside no honest ones.

Both have a form for several gates, which costs one fit of the method.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from zskel.data.caches import SkeletonFeatures
from zskel.data.common.registry import Registry
from zskel.zsl.cache_checks import Extra, Text, check_caches
from zskel.zsl.evaluation import Evaluation
from zskel.zsl.gates.hard import HardGate
from zskel.zsl.methods.base import Progress
from zskel.zsl.phase_models import SeenFrom
from zskel.zsl.two_phases import FittedHook, GateFactory, MethodFactory, run_phases

_NONE: Extra = MappingProxyType({})


def strict(
    test: SkeletonFeatures,
    calibration: SkeletonFeatures,
    text: Text,
    *,
    method: MethodFactory,
    gate: GateFactory,
    seed: int = 0,
    seen_from: SeenFrom = "f_x",
    extra: Extra = _NONE,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Fits and evaluates a method without choosing anything on test data.

    Args:
        test: Test-phase features.
        calibration: Calibration-phase features, whose backbone has seen
            neither the validation-unseen classes nor the calibration rows.
        text: Text features of all classes; for methods with ``text_parts`` a
            mapping with those of each part.
        method: Makes an unfitted method from a seed; called once a phase.
        gate: Makes an unfitted gate from a seed.
        seed: Handed to both.
        seen_from: What C_s is: a linear softmax on "f_x" (eq. 10) or on "z_r"
            (Table 8), or the backbone's own "logits".
        extra: For methods with ``extra_features``: by name the test-phase and
            the calibration-phase cache of them, with the rows of ``test`` and
            ``calibration``.
        on_progress: Told the method's training steps, over both phases.

    Raises:
        BadCache: The caches do not belong together.
        BadInput: The method or the gate cannot work with them.
    """
    return strict_many(
        test, calibration, text, method=method, gates={"": gate}, seed=seed,
        seen_from=seen_from, extra=extra, on_progress=on_progress,
    )[""]


def strict_many(
    test: SkeletonFeatures,
    calibration: SkeletonFeatures,
    text: Text,
    *,
    method: MethodFactory,
    gates: Mapping[str, GateFactory],
    seed: int = 0,
    seen_from: SeenFrom = "f_x",
    extra: Extra = _NONE,
    on_progress: Progress | None = None,
    on_fitted: FittedHook | None = None,
) -> dict[str, Evaluation]:
    """:func:`strict` with several gates on the same fitted method.

    Args:
        gates: Makers of unfitted gates, by names of the caller's; the
            evaluations come back under the same names.
        on_fitted: Given the models of both phases and the gates, to keep them.
    """
    return run_phases(
        test, calibration, text, protocol="strict", method=method, gates=gates, seed=seed,
        seen_from=seen_from, best_epoch=False, extra=extra, on_progress=on_progress,
        on_fitted=on_fitted,
    )


def released(
    test: SkeletonFeatures,
    calibration: SkeletonFeatures,
    text: Text,
    *,
    method: MethodFactory,
    gate: GateFactory | None = None,
    seed: int = 0,
    seen_from: SeenFrom = "logits",
    best_epoch: bool = True,
    extra: Extra = _NONE,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Evaluates as the released codes do: **the epoch is chosen on test rows**.

    After each epoch of the test phase C_u is fitted and tried on the test rows
    of unseen classes; the best epoch is kept. The calibration phase does the
    same on its own held-out rows of validation-unseen classes.

    Two things the caches cannot tell apart from ``strict``: the released
    backbones score all C classes where the cache holds the seen ones, and the
    released calibration rows probably are test subjects' clips.

    Args:
        gate: Default the released one: hard, with its threshold on the wrong
            side (``HardGate(mirrored=True)``).
        seen_from: See :func:`strict`; the released codes take "logits".
        best_epoch: False takes the last epoch, so that what the choice alone
            is worth can be measured.
        test, calibration, text, method, seed, extra, on_progress: See :func:`strict`.

    Raises:
        BadCache, BadInput: See :func:`strict`.
    """
    return released_many(
        test, calibration, text, method=method, gates={"": gate or released_gate}, seed=seed,
        seen_from=seen_from, best_epoch=best_epoch, extra=extra, on_progress=on_progress,
    )[""]


def released_many(
    test: SkeletonFeatures,
    calibration: SkeletonFeatures,
    text: Text,
    *,
    method: MethodFactory,
    gates: Mapping[str, GateFactory],
    seed: int = 0,
    seen_from: SeenFrom = "logits",
    best_epoch: bool = True,
    extra: Extra = _NONE,
    on_progress: Progress | None = None,
    on_fitted: FittedHook | None = None,
) -> dict[str, Evaluation]:
    """:func:`released` with several gates on the same fitted method."""
    return run_phases(
        test, calibration, text, protocol="released", method=method, gates=gates, seed=seed,
        seen_from=seen_from, best_epoch=best_epoch, extra=extra, on_progress=on_progress,
        on_fitted=on_fitted,
    )


def released_gate(seed: int) -> HardGate:
    """The gate of the released codes, mirrored threshold included."""
    return HardGate(mirrored=True, seed=seed)


PROTOCOLS = Registry("protocol", {"strict": strict, "released": released})

__all__ = [
    "PROTOCOLS", "Evaluation", "check_caches", "released", "released_gate",
    "released_many", "strict", "strict_many",
]
