"""Reads one file of any kind and says whether it is whole; remembers what it has read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zskel.data.caches import read_skeleton_features, read_text_features
from zskel.data.common.errors import PipelineError
from zskel.data.common.files import digest_file, digest_json
from zskel.data.store import SequenceStore
from zskel.pipeline.base.progress import bar
from zskel.pipeline.steps.model_store import backbone_facts
from zskel.pipeline.steps.result_record import ResultRecord
from zskel.pipeline.steps.results import read_arrays, read_result
from zskel.pipeline.verify.checks import BROKEN, NOTICE, STALE, Check, checked


class Files:
    """Files, each read once, however many parts of a folder go back to it.

    Each reader returns what a file holds, None if it cannot be read, and the checks.

    Args:
        thorough: Compare every byte that has a checksum; else no more than opening
            a file compares.
        root: Parts are named as seen from here.
        experiment: What commands call the experiment; "": what its features call it.
    """

    def __init__(
        self, thorough: bool = True, root: Path | None = None, experiment: str = ""
    ) -> None:
        self.thorough, self.root, self.experiment = thorough, root, experiment
        self._digests: dict[Path, str] = {}
        self._read: dict[Path, tuple[Any, list[Check]]] = {}

    def name(self, path: Path) -> str:
        """A part's name in a finding."""
        if self.root is not None and path.is_relative_to(self.root):
            return str(path.relative_to(self.root))
        return str(path)

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's bytes."""
        if path not in self._digests:
            self._digests[path] = digest_file(path)
        return self._digests[path]

    def store(self, path: Path) -> tuple[SequenceStore | None, list[Check]]:
        """A sequence store."""
        return self._once(path, SequenceStore, self._clips)

    def skeleton(self, path: Path) -> tuple[Any, list[Check]]:
        """Skeleton features."""
        return self._once(path, read_skeleton_features)

    def text(self, path: Path) -> tuple[Any, list[Check]]:
        """Text features."""
        return self._once(path, read_text_features)

    def result(self, path: Path) -> tuple[ResultRecord | None, list[Check]]:
        """A result record and the arrays beside it."""
        return self._once(path, read_result, self._record)

    def model(self, path: Path) -> tuple[dict[str, Any] | None, list[Check]]:
        """The card of a model that ``pipeline fit`` wrote."""
        from zskel.zsl.fitted import check_fitted, read_card

        return self._once(path, check_fitted if self.thorough else read_card)

    def weights(self, path: Path) -> tuple[dict[str, Any] | None, list[Check]]:
        """What ``backbone.json`` says of the weights beside it."""
        return self._once(path, lambda path: backbone_facts(path.parent), self._trained,
                          "says what was trained")

    def other_weights(self, path: Path) -> tuple[Any, list[Check]]:
        """Weights from elsewhere: what they hold can be read without running code."""
        from zskel.extractors.weights import read_state

        return self._once(path, read_state)

    def saved_method(self, path: Path) -> tuple[Any, list[Check]]:
        """A file, or a folder of version 1, that a method was saved to."""
        from zskel.zsl.methods.saving import load_method

        return self._once(path, load_method)

    def _once(
        self, path: Path, read: Callable[[Path], Any],
        more: Callable[[Path, Any], list[Check]] = lambda path, content: [],
        whole: str = "is whole",
    ) -> tuple[Any, list[Check]]:
        if path not in self._read:
            name = f"{self.name(path)} {whole}"
            try:
                content = read(path)
                found = [Check(path, name), *more(path, content)]
            except (PipelineError, OSError) as error:
                content, found = None, [Check(path, name, BROKEN, str(error))]
            self._read[path] = content, found
        return self._read[path]

    def _clips(self, path: Path, store: SequenceStore) -> list[Check]:
        if not self.thorough:
            return []
        name = f"every clip of {self.name(path)} is what was written"
        if not store.has_checksums:
            return [Check(path, name, NOTICE, "the store is from before there were checksums")]
        bad = []
        with bar(f"reading {path.name}") as tell:
            for index in range(len(store)):
                try:
                    store.keypoint(index)
                except PipelineError as error:
                    bad.append(str(error))
                tell(index + 1, len(store))
        return [checked(path, name, not bad, BROKEN, f"{len(bad)} of {len(store)} clips are not; "
                        f"{bad[0] if bad else ''}")]

    def _record(self, path: Path, record: ResultRecord) -> list[Check]:
        found = [checked(path, f"{path.name}: the config is the one that its digest names",
                         digest_json(record.config) == record.config_digest, BROKEN,
                         "it was changed by hand", "fit again")]
        if not self.thorough:
            return found
        name = f"{path.name}: the accuracies follow from the arrays"
        try:
            there = read_arrays(path, record) is not None
            return [*found, checked(path, name, there, STALE, f"{record.arrays or 'no file'} is "
                                    "not beside the record", "fit again")]
        except PipelineError as error:
            return [*found, Check(path, name, BROKEN, str(error))]

    def _trained(self, path: Path, facts: dict[str, Any]) -> list[Check]:
        return [checked(path, f"{self.name(path)} is what was trained",
                        self.digest(path) == facts["weights_sha256"], STALE,
                        "its SHA-256 is not that of backbone.json beside it")]
