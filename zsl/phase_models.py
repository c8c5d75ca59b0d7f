"""Everything that is fitted on the train rows of one phase, and its answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zskel.data.caches import TRAIN, SkeletonFeatures
from zskel.data.common.errors import BadInput
from zskel.zsl.cache_checks import (
    Extra,
    Text,
    descriptors_of,
    extra_of,
    input_of,
    text_of,
    views_of,
)
from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.gates.base import (
    DESCRIPTORS,
    ERRORS,
    EVIDENCE,
    F_X,
    F_Y,
    JOINT_PROBA,
    REFERENCE,
    GateInput,
    Reference,
)
from zskel.zsl.methods.base import EpochHook, Latents, Progress, ZeroShotMethod
from zskel.zsl.methods.checks import TOKENS, WHOLE, TextFeatures, unit_rows
from zskel.zsl.protocols import SeenFrom


def fit_method(
    method: ZeroShotMethod, features: SkeletonFeatures, text: Text, extra: Extra, *,
    on_progress: Progress | None = None, on_epoch: EpochHook | None = None,
) -> None:
    """Fits a method on the train rows of a phase.

    Args:
        method: Unfitted.
        features: Of the phase.
        text: Of all classes.
        extra: See ``zskel.zsl.cache_checks.Extra``.
        on_progress, on_epoch: See ``ZeroShotMethod.fit``.

    Raises:
        BadInput: The method cannot work with the features, or a loss is not finite.
    """
    train = features.rows(TRAIN)
    others: dict[str, Any] = {
        name: f[train] for name, f in extra_of(method, extra, features).items()}
    if method.feature_views:
        others["view_shapes"] = {
            name: view.shape[1:] for name, view in views_of(method, extra, features).items()}
    method.fit(
        input_of(method, extra, features)[train], features.label[train], text_of(method, text),
        seen_classes=features.seen_classes, on_progress=on_progress, on_epoch=on_epoch, **others,
    )


def fit_seen_classifier(
    method: ZeroShotMethod, features: SkeletonFeatures, seen_from: SeenFrom, extra: Extra
) -> SeenClassifier | None:
    """C_s of a phase, with a fitted method; None where it is the backbone's last layer."""
    if seen_from == "logits":
        return None
    train = features.rows(TRAIN)
    of_seen = features.f_x[train] if seen_from == "f_x" else method.transform(
        input_of(method, extra, features)[train]).z_r
    return SeenClassifier().fit(of_seen, features.label[train])


class PhaseModels:
    """A method, C_u and C_s of one phase.

    Args:
        method: Fitted on the train rows of ``features``, C_u included.
        features: Of the phase.
        text: Of all classes.
        seen_from: What C_s is.
        seen_classifier: C_s; None where it is the backbone's last layer.
        extra: See ``zskel.zsl.cache_checks.Extra``; for methods and refinements that take
            views.

    Attributes:
        seen_classes: Columns of C_s.
    """

    def __init__(
        self, method: ZeroShotMethod, features: SkeletonFeatures, text: Text,
        seen_from: SeenFrom, seen_classifier: SeenClassifier | None, extra: Extra,
    ) -> None:
        self.method, self.features, self.seen_from = method, features, seen_from
        self.seen_classifier = seen_classifier
        self.seen_classes = np.asarray(features.seen_classes)
        self._train, self._extra = features.rows(TRAIN), extra
        self._input = input_of(method, extra, features)
        self._f_y: TextFeatures = text_of(method, text)

    @property
    def unseen_classes(self) -> np.ndarray:
        """Columns of C_u."""
        return self.method.unseen_classes

    def add_classes(self, f_y: TextFeatures) -> np.ndarray:
        """Takes the text of further classes. See :meth:`ZeroShotMethod.add_classes`."""
        classes = self.method.add_classes(f_y)
        if isinstance(f_y, Mapping) and isinstance(self._f_y, Mapping):
            self._f_y = {part: np.concatenate([known, f_y[part]])
                         for part, known in self._f_y.items()}
        else:
            self._f_y = np.concatenate([self._f_y, f_y])
        return classes

    def choose_among(self, unseen_classes: Sequence[int]) -> None:
        """Fits C_u for other classes; where they are the same it stays as it is."""
        if not np.array_equal(np.sort(unseen_classes), self.unseen_classes):
            self.method.fit_unseen_classifier(unseen_classes)

    def inputs(self, rows: np.ndarray, needs: Collection[str] = ()) -> GateInput:
        """What gates may look at, for rows of the cache.

        Args:
            rows: Indices.
            needs: Of ``zskel.zsl.gates.base.OPTIONAL``, and DESCRIPTORS where the caches
                hold their views; nothing else is computed.

        Raises:
            BadInput: The method cannot give something that is needed.
        """
        features = self.features
        found = self.inputs_of(features.f_x[rows], features.logits[rows], needs,
                               self._input[rows], features.label[rows])
        return replace(found, descriptors=self._descriptors(rows, needs))

    def transform(self, rows: np.ndarray) -> Latents:
        """Latents of rows of the cache."""
        return self.method.transform(self._input[rows])

    def inputs_of(
        self, f_x: np.ndarray, logits: np.ndarray | None, needs: Collection[str] = (),
        views: np.ndarray | None = None, label: np.ndarray | None = None,
    ) -> GateInput:
        """The same for clips of anywhere.

        Args:
            f_x: ``[N, D]``.
            logits: ``[N, S]`` of the phase's backbone; needed only where C_s is
                its last layer.
            needs: See :meth:`inputs`.
            views: What the method takes, where it takes feature views in place of f_x.
            label: For methods that look at it (``ZeroShotMethod.looks_at_labels``).
        """
        method = self.method
        taken = f_x if views is None else views
        peek = label if method.looks_at_labels else None
        return GateInput(
            self._seen_logits(f_x if self.seen_from == "f_x" else taken, logits),
            method.predict_proba(taken) if peek is None else method.proba_knowing(taken, peek),
            joint_proba=method.predict_joint_proba(taken) if JOINT_PROBA in needs else None,
            errors=method.errors(taken) if ERRORS in needs else None,
            evidence=method.evidence(taken) if EVIDENCE in needs else {},
            f_x=f_x if F_X in needs else None,
            f_y=self._text() if F_Y in needs else None,
            reference=self._reference(needs) if REFERENCE in needs else None,
        )

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """The class of each row as a column: seen classes first, then unseen ones."""
        classes = np.concatenate([self.seen_classes, self.unseen_classes])
        order = np.argsort(classes)
        return order[np.searchsorted(classes[order], self.features.label[rows])]

    def _text(self) -> np.ndarray:
        """f_y of this phase's classes; where there are parts, all side by side in unit rows."""
        f_y = self._f_y
        if isinstance(f_y, Mapping) and TOKENS in f_y:
            f_y = f_y[WHOLE]
        elif isinstance(f_y, Mapping):
            f_y = np.concatenate([unit_rows(part, name) for name, part in f_y.items()], axis=1)
        return f_y[np.concatenate([self.seen_classes, self.unseen_classes])]

    def _reference(self, needs: Collection[str]) -> Reference:
        rows, features = self._train, self.features
        return Reference(features.f_x[rows], self.columns(rows), features.subject[rows],
                         self._descriptors(rows, needs))

    def _descriptors(self, rows: np.ndarray, needs: Collection[str]) -> np.ndarray | None:
        return descriptors_of(self._extra, self.features, rows) if DESCRIPTORS in needs else None

    def _seen_features(self, f_x: np.ndarray) -> np.ndarray:
        return f_x if self.seen_from == "f_x" else self.method.transform(f_x).z_r

    def _seen_logits(self, f_x: np.ndarray, logits: np.ndarray | None) -> np.ndarray:
        if self.seen_classifier is not None:
            return self.seen_classifier.logits(self._seen_features(f_x))
        if logits is None:
            raise BadInput("C_s is the backbone's last layer; its logits are missing")
        if not logits.any():
            raise BadInput("the skeleton features hold no logits of a backbone (all are 0); "
                           "C_s must be a softmax on f_x or z_r: fit.seen_classifier")
        return logits.astype(np.float64)
