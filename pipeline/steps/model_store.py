"""What experiments share: sequence stores and backbones, named by what made them.

Layout::

    MODEL_STORE/stores/<data set>-<digest>/skeletons.h5, source.json
    MODEL_STORE/backbones/<digest>/weights.pth, backbone.json, features-<digest>.h5
    MODEL_STORE/features/<digest>/features.npz

A store is named by how the recordings are read and from where, a backbone by
everything that decides its weights. Features of all clips of a store, by weights from
elsewhere, are named by the store, the weights and how they are extracted. Beside an
entry, ``<entry>.lock`` is held by the one command that works on it, which
``<entry>.holder.json`` describes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zskel.data.classes import class_names
from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path, digest_json, remove_left_behind, write_json
from zskel.pipeline.base.config import DatasetConfig
from zskel.pipeline.base.locks import held
from zskel.pipeline.base.workdir import DEFAULT_ROOT, WorkDir, read_pointer

#: Of a digest's 64 digits, those that name a folder.
_DIGITS = 16
_STORE = "skeletons.h5"


@dataclass(frozen=True)
class ModelStore:
    """A folder of stores and backbones that several experiments use.

    Attributes:
        root: The folder.
    """

    root: Path

    def backbone(self, digest: str) -> Path:
        """The folder of the backbone of that digest, there or not."""
        return self.root / "backbones" / digest[:_DIGITS]

    def adopt(self, folder: Path, digest: str) -> None:
        """Takes over a finished backbone that a work directory has of its own."""
        entry = self.backbone(digest)
        if (entry / "weights.pth").exists() or trained_digest(folder) != digest:
            return
        for name in ("weights.pth", "backbone.json"):
            with atomic_path(entry / name) as temporary:
                shutil.copyfile(folder / name, temporary)

    def store(self, dataset: DatasetConfig, raw: Sequence[str | Path]) -> Path:
        """Where the store of these recordings belongs.

        The recordings are known by their paths: those that move are read again,
        and give the same store.
        """
        source = _source(dataset, raw)
        name = re.sub(r"[^\w.-]+", "-", dataset.name)
        return self.root / "stores" / f"{name}-{digest_json(source)[:_DIGITS]}" / _STORE

    def note_source(self, dataset: DatasetConfig, raw: Sequence[str | Path]) -> None:
        """Writes down what a store is made from, so that it is found without ``raw``."""
        path = self.store(dataset, raw).with_name("source.json")
        if not path.is_file():
            write_json(path, _source(dataset, raw))

    def find_store(self, dataset: DatasetConfig, work: WorkDir | None = None) -> Path | None:
        """The finished store of a data set, read as the config says.

        Args:
            dataset: Says how the recordings are read.
            work: A work directory whose choice counts where there are several.

        Raises:
            BadInput: There are several and nothing to choose by.
        """
        reading = _source(dataset, ())["reading"]
        found = {}
        for file in sorted(self.root.glob("stores/*/source.json")):
            source, store = json.loads(file.read_text(encoding="utf-8")), file.with_name(_STORE)
            if store.is_file() and source["reading"] == reading:
                found[store] = source["raw"]
        if len(found) > 1 and work is not None and work.store.is_file():
            found = {store: raw for store, raw in found.items()
                     if store.samefile(work.store)} or found
        if len(found) > 1:
            places = "; ".join(", ".join(raw) for raw in found.values())
            raise BadInput(f"{self.root}: holds {len(found)} stores of {dataset.name} ({places}); "
                           "say with --raw which recordings are meant")
        return next(iter(found), None)

    def seen_from(self, pointer: Path) -> str:
        """Its path from a pointer's folder, for ``model_store_of``."""
        return Path(os.path.relpath(self.root, pointer.parent)).as_posix()

    @contextmanager
    def locked(self, entry: Path, work: str) -> Iterator[None]:
        """Keeps an entry to one command; others wait and say for whom.

        A command that dies, however hard, holds nothing any more, and what it left
        half-written is removed. See ``zskel.pipeline.base.locks``.

        Args:
            entry: A folder of the model store.
            work: What is done there, for those who wait.
        """
        entry.parent.mkdir(parents=True, exist_ok=True)
        with held(entry, work, lambda: remove_left_behind(entry)):
            yield


def model_store_of(
    work: WorkDir, model_store: str | Path | None = None, own_work_dir: bool = False
) -> ModelStore | None:
    """The model store of a work directory.

    Args:
        work: The work directory.
        model_store: Where the model store is, if someone said so.
        own_work_dir: Whether someone said where the work directory is. Such a
            one keeps everything itself unless it was made with a model store.

    Returns:
        By default the folder ``bank`` beside the work directory in ``work_dirs``.
    """
    if model_store is not None:
        return ModelStore(Path(model_store))
    for pointer in (work.store_pointer, work.backbone_pointer("test")):
        content = read_pointer(pointer)
        if content and isinstance(content.get("bank"), str):
            return ModelStore(Path(os.path.normpath(pointer.parent / content["bank"])))
    return None if own_work_dir else ModelStore(DEFAULT_ROOT / "bank")


def backbone_facts(folder: Path) -> dict[str, Any]:
    """What ``backbone.json`` says of the weights beside it.

    Raises:
        BadInput: It is not there or does not say which backbone they are.
    """
    path = folder / "backbone.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(content[key], str) for key in ("digest", "weights_sha256")):
            return dict(content)
        raise ValueError("digest or weights_sha256 is no string")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: does not say what was trained ({error})") from None


def trained_digest(folder: Path) -> str | None:
    """Which backbone a folder holds whole; None if it holds none."""
    try:
        return str(backbone_facts(folder)["digest"]) if (folder / "weights.pth").is_file() else None
    except BadInput:
        return None


def trained_with(folder: Path) -> dict[str, str]:
    """Versions and machine of a backbone, as far as it says."""
    try:
        return dict(backbone_facts(folder).get("software", {}))
    except BadInput:
        return {}


def _source(dataset: DatasetConfig, raw: Sequence[str | Path]) -> dict[str, Any]:
    reading = {
        "dataset": dataset.name, "class_names": list(class_names(dataset.name)),
        **dataset.model_dump(mode="json", include={"reader", "reader_options", "cleaning"}),
    }
    return {"reading": reading, "raw": sorted(str(Path(path).resolve()) for path in raw)}
