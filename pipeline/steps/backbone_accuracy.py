"""How well a backbone names the seen classes on clips that did not train it."""

from __future__ import annotations

import numpy as np

from zskel.data.caches import TEST, SkeletonFeatures


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
