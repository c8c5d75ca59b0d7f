"""The caches that stage two reads from a work directory, each read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zskel.data.caches import (
    CALIBRATION,
    TEST,
    SkeletonFeatures,
    TextFeatures,
    read_skeleton_features,
    read_text_features,
)
from zskel.data.common.errors import BadCache
from zskel.data.common.files import digest_file
from zskel.data.text_rows import cut_classes
from zskel.pipeline.base.config import with_texts_of, with_views_of
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.result_record import CacheDigests, Text

if TYPE_CHECKING:
    from zskel.zsl.cache_checks import Caches


class FeatureFiles:
    """Skeleton and text caches of a work directory.

    Args:
        work: The work directory.
        features: What is taken for f_x, as of ``FitConfig``.

    Attributes:
        test, calibration: The skeleton features of the two phases.

    Raises:
        BadCache: A skeleton cache is missing or breaks its contract.
    """

    def __init__(self, work: WorkDir, features: str = "f_x") -> None:
        self._work = work
        self._main = {phase: work.skeleton(phase, features) for phase in (TEST, CALIBRATION)}
        self._digests: dict[Path, str] = {}
        self._texts: dict[Path, TextFeatures] = {}
        self.test = read_skeleton_features(self._main[TEST])
        self.calibration = read_skeleton_features(self._main[CALIBRATION])

    def texts(self, method: Any) -> TextFeatures | dict[str, TextFeatures]:
        """What a method takes: f_y, or its text parts by name.

        Raises:
            BadCache: A cache is missing or breaks its contract.
        """
        if not method.text_parts:
            return self._text(self._work.text)
        return {part: self._text(path) for part, path in self._parts(method).items()}

    def caches(self, method: Any, views: Sequence[str] = ()) -> Caches:
        """All that a method is evaluated on.

        Args:
            method: Fitted or not, or its class.
            views: Of a refinement, which are taken where they were all extracted.

        Raises:
            BadCache: A cache is missing or breaks its contract, or they do not belong together.
        """
        from zskel.zsl.cache_checks import Caches

        return Caches(self.test, self.calibration, self.texts(method),
                      self._read(self._extra_paths(method, views)))

    def extra(self, method: Any) -> dict[str, tuple[SkeletonFeatures, SkeletonFeatures]]:
        """Further skeleton features that a method takes, where they were extracted."""
        return self._read(self._extra_paths(method))

    def extra_names(self, method: Any) -> list[str]:
        """Of those features."""
        return list(self._extra_paths(method))

    def text_record(self, method: Any) -> Text:
        """What a result record says of the texts."""
        texts = self.texts(method)
        features = list(texts.values()) if isinstance(texts, dict) else [texts]
        return Text(**{
            field: " + ".join(dict.fromkeys(getattr(each, field) for each in features))
            for field in ("encoder", "encoder_revision", "text_source")
        }, cut_classes=list(dict.fromkeys(name for each in features for name in cut_classes(each))),
            tokens=self.tokens_read(method))

    def tokens_read(self, method: Any) -> int:
        """How many tokens of a class the method reads at most; 0: f_y alone."""
        found = self.texts(method)
        if not method.reads_tokens or isinstance(found, dict) or found.token_features is None:
            return 0
        return int(found.token_features.shape[1])

    def digests(self, method: Any, views: Sequence[str] = ()) -> CacheDigests:
        """SHA-256 of every cache that ``caches`` of the same arguments reads."""
        parts = list(self._parts(method).values()) or [self._work.text]
        others = [*parts[1:], *(path for paths in self._extra_paths(method, views).values()
                                for path in paths)]
        return CacheDigests(
            skeleton_test=self._digest(self._main[TEST]),
            skeleton_calibration=self._digest(self._main[CALIBRATION]),
            text=self._digest(parts[0]),
            others={path.stem: self._digest(path) for path in others},
        )

    def missing(self, method: Any) -> str:
        """Why a method cannot be fitted on these caches; empty if it can."""
        return missing_features(self._work, method)

    @cached_property
    def text_width(self) -> int:
        """Columns of f_y."""
        return int(self._text(self._work.text).f_y.shape[1])

    def _parts(self, method: Any) -> dict[str, Path]:
        return {part: self._work.text_part(part) for part in method.text_parts}

    def _extra_paths(
        self, method: Any, views: Sequence[str] = ()
    ) -> dict[str, tuple[Path, Path]]:
        def there(names: Sequence[str]) -> dict[str, tuple[Path, Path]]:
            found = {name: (self._work.skeleton(TEST, name), self._work.skeleton(CALIBRATION, name))
                     for name in names}
            return {name: paths for name, paths in found.items()
                    if all(path.is_file() for path in paths)}

        of_views = there(views)
        return {**there((*method.extra_features, *method.feature_views)),
                **(of_views if len(of_views) == len(views) else {})}

    @staticmethod
    def _read(
        paths: Mapping[str, tuple[Path, Path]]
    ) -> dict[str, tuple[SkeletonFeatures, SkeletonFeatures]]:
        return {name: (read_skeleton_features(test), read_skeleton_features(calibration))
                for name, (test, calibration) in paths.items()}

    def _text(self, path: Path) -> TextFeatures:
        if path not in self._texts:
            self._texts[path] = read_text_features(path)
        return self._texts[path]

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = cache_digest(path)
        return self._digests[path]


def missing_features(
    work: WorkDir, method: Any, phases: Sequence[str] = (TEST, CALIBRATION)
) -> str:
    """Why what a method takes besides f_x and f_y is not all there; empty if it is."""
    folder = work.text.parent
    lacking = [part for part in method.text_parts if not work.text_part(part).is_file()]
    if lacking:
        config = with_texts_of(lacking)
        return (f"{method.name} takes the text features {' and '.join(lacking)}, which are not in "
                f"{folder}; add _base_/text/{config}.py to the experiment's config and run "
                f"`pipeline extract` again, or `pipeline import` with --class-text {config}")
    lacking = [view for view in method.feature_views
               if not all(work.skeleton(phase, view).is_file() for phase in phases)]
    if lacking:
        return (f"{method.name} takes the feature views {' and '.join(lacking)}, which are not in "
                f"{folder}; add _base_/views/{with_views_of(lacking)}.py, or what it says, to the "
                "experiment's config and run `pipeline extract` again")
    return ""


def cache_digest(path: Path) -> str:
    """SHA-256 of a cache's file.

    Raises:
        BadCache: It is not there.
    """
    try:
        return digest_file(path)
    except FileNotFoundError:
        raise BadCache(f"{path}: no such cache; `pipeline extract` makes it") from None
