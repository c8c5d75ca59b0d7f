"""Everything that is fitted on the train rows of one phase, and its answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from zskel.data.caches import TRAIN, SkeletonFeatures
from zskel.data.common.errors import BadInput
from zskel.zsl.cache_checks import Extra, Text, extra_of, text_of
from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.gates.base import EVIDENCE, F_X, F_Y, JOINT_PROBA, REFERENCE, GateInput, Reference
from zskel.zsl.methods.base import EpochHook, Progress, ZeroShotMethod
from zskel.zsl.methods.checks import TextFeatures, unit_rows

SeenFrom = Literal["f_x", "z_r", "logits"]
"""What C_s is: a linear softmax on f_x (eq. 10), one on z_r (Table 8), or the
backbone's own last layer, whose scores the cache holds (the released codes)."""


class PhaseModels:
    """A method, C_u and C_s of one phase.

    Args:
        method: Unfitted.
        features: Of the phase; only train rows are fitted on.
        text: Of all classes.
        extra: See ``zskel.zsl.cache_checks.Extra``.
        seen_from: What C_s is.
        on_progress, on_epoch: See ``ZeroShotMethod.fit``.

    Attributes:
        method: Fitted, with C_u over the phase's unseen classes.
        seen_classes: Columns of C_s.
        seen_classifier: C_s; None where it is the backbone's last layer.
    """

    _f_y: TextFeatures

    def __init__(
        self,
        method: ZeroShotMethod,
        features: SkeletonFeatures,
        text: Text,
        *,
        extra: Extra,
        seen_from: SeenFrom = "f_x",
        on_progress: Progress | None = None,
        on_epoch: EpochHook | None = None,
    ) -> None:
        if seen_from not in get_args(SeenFrom):
            raise BadInput(f"seen_from is {seen_from!r}, "
                           f"expected one of {', '.join(get_args(SeenFrom))}")
        self.features, self.seen_from, self.method = features, seen_from, method
        self.seen_classifier: SeenClassifier | None = None
        self._train, self._f_y = features.rows(TRAIN), text_of(method, text)
        others = {
            name: f[self._train] for name, f in extra_of(method, extra, features).items()
        }
        method.fit(
            features.f_x[self._train], features.label[self._train], self._f_y,
            seen_classes=features.seen_classes, on_progress=on_progress, on_epoch=on_epoch,
            **others,
        )

    def finish(self) -> PhaseModels:
        """Fits C_u and C_s. Call it after the method has been fitted."""
        self.method.fit_unseen_classifier(self.features.unseen_classes)
        self.seen_classes = np.asarray(self.features.seen_classes)
        if self.seen_from != "logits":
            self.seen_classifier = SeenClassifier().fit(
                self._seen_features(self.features.f_x[self._train]),
                self.features.label[self._train],
            )
        return self

    @classmethod
    def restored(
        cls,
        method: ZeroShotMethod,
        features: SkeletonFeatures,
        f_y: TextFeatures,
        seen_from: SeenFrom,
        seen_classifier: SeenClassifier | None,
    ) -> PhaseModels:
        """Of models that were fitted before, C_u included.

        Args:
            method: Fitted on the train rows of ``features``.
            features: Of the phase.
            f_y: What ``method.fit`` was given.
            seen_from: What C_s is.
            seen_classifier: Fitted; None where it is the backbone's last layer.
        """
        models = cls.__new__(cls)
        models.features, models.seen_from, models.method = features, seen_from, method
        models._train, models._f_y = features.rows(TRAIN), f_y
        models.seen_classes = np.asarray(features.seen_classes)
        models.seen_classifier = seen_classifier
        return models

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
            needs: Of ``zskel.zsl.gates.base.OPTIONAL``; nothing else is computed.

        Raises:
            BadInput: The method cannot give something that is needed.
        """
        return self.inputs_of(self.features.f_x[rows], self.features.logits[rows], needs)

    def inputs_of(
        self, f_x: np.ndarray, logits: np.ndarray | None, needs: Collection[str] = ()
    ) -> GateInput:
        """The same for clips of anywhere.

        Args:
            f_x: ``[N, D]``.
            logits: ``[N, S]`` of the phase's backbone; needed only where C_s is
                its last layer.
            needs: See :meth:`inputs`.
        """
        method = self.method
        return GateInput(
            self._seen_logits(f_x, logits),
            method.predict_proba(f_x),
            joint_proba=method.predict_joint_proba(f_x) if JOINT_PROBA in needs else None,
            evidence=method.evidence(f_x) if EVIDENCE in needs else {},
            f_x=f_x if F_X in needs else None,
            f_y=self._text() if F_Y in needs else None,
            reference=self._reference() if REFERENCE in needs else None,
        )

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """The class of each row as a column: seen classes first, then unseen ones."""
        classes = np.concatenate([self.seen_classes, self.unseen_classes])
        order = np.argsort(classes)
        return order[np.searchsorted(classes[order], self.features.label[rows])]

    def _text(self) -> np.ndarray:
        """f_y of this phase's classes; where there are parts, all side by side in unit rows."""
        f_y = self._f_y
        if isinstance(f_y, Mapping):
            f_y = np.concatenate([unit_rows(part, name) for name, part in f_y.items()], axis=1)
        return f_y[np.concatenate([self.seen_classes, self.unseen_classes])]

    def _reference(self) -> Reference:
        rows, features = self._train, self.features
        return Reference(features.f_x[rows], self.columns(rows), features.subject[rows])

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
