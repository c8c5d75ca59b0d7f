"""The caches that a search reads: those of the calibration phase and the texts.

The test phase's are not opened, and need not be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zskel.data.caches import (
    CALIBRATION,
    SkeletonFeatures,
    TextFeatures,
    read_skeleton_features,
    read_text_features,
)
from zskel.data.common.errors import BadInput
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.feature_files import cache_digest, missing_texts


@dataclass(frozen=True)
class SearchCaches:
    """What a method is validated on.

    Attributes:
        calibration: Calibration-phase features.
        text: Text features, or those of each part by name.
        extra: Calibration-phase caches of further features that the method can use.
        digests: SHA-256 by what a file holds: "calibration cache", "text cache", ...
    """

    calibration: SkeletonFeatures
    text: TextFeatures | dict[str, TextFeatures]
    extra: dict[str, tuple[SkeletonFeatures, ...]]
    digests: dict[str, str]


def read_search_caches(work: WorkDir, method: Any) -> SearchCaches:
    """Reads what a method needs from a work directory.

    Args:
        work: The work directory.
        method: A ``ZeroShotMethod``.

    Raises:
        BadCache: A cache is missing or breaks its contract.
        BadInput: The method takes text features that are not there.
    """
    skeleton = work.skeleton(CALIBRATION)
    texts = {part: work.text_part(part) for part in method.text_parts} or {"": work.text}
    missing = missing_texts(work, method)
    if missing:
        raise BadInput(missing)
    others = {name: work.skeleton(CALIBRATION, name) for name in method.extra_features}
    others = {name: path for name, path in others.items() if path.is_file()}
    digests = {"calibration cache": cache_digest(skeleton)}
    digests |= {f"text cache {part}".strip(): cache_digest(path) for part, path in texts.items()}
    digests |= {f"{name} cache": cache_digest(path) for name, path in others.items()}
    read = {part: read_text_features(path) for part, path in texts.items()}
    return SearchCaches(
        calibration=read_skeleton_features(skeleton),
        text=read[""] if not method.text_parts else read,
        extra={name: (read_skeleton_features(path),) for name, path in others.items()},
        digests=digests,
    )
