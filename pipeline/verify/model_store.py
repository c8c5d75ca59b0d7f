"""Whether the stores and backbones of a model store are whole and what their names say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from zskel.data.common.files import digest_json
from zskel.pipeline.verify.checks import BROKEN, NOTICE, STALE, Check, checked
from zskel.pipeline.verify.files import Files

#: Where backbones lie: folders named by a digest.
BACKBONES = f"backbones/{'[0-9a-f]' * 16}"


def check_model_store(root: Path, files: Files) -> Iterator[Check]:
    """Looks through a folder; see ``zskel.pipeline.steps.model_store`` for what lies where."""
    for path in sorted(root.glob("stores/*/skeletons.h5")):
        yield from files.store(path)[1]
        yield _source(path, files)
    for folder in sorted(path for path in root.glob(BACKBONES) if path.is_dir()):
        yield from _backbone(folder, files)


def _source(path: Path, files: Files) -> Check:
    source, name = path.with_name("source.json"), f"{files.name(path)} says what it is read from"
    try:
        digest = digest_json(json.loads(source.read_text(encoding="utf-8")))
    except OSError:
        return Check(path, name, NOTICE, "source.json is not there, so it is found only by --raw")
    except ValueError as error:
        digest = f"not JSON: {error}"
    return checked(source, name, path.parent.name.endswith(digest[:16]), BROKEN,
                   "its content is not what the folder is named by", "extract with --raw again")


def _backbone(folder: Path, files: Files) -> Iterator[Check]:
    weights = folder / "weights.pth"
    if not weights.is_file():
        yield Check(folder, f"{files.name(folder)} is trained", NOTICE,
                    "it was begun and not finished; `pipeline extract` goes on")
        return
    facts, checks = files.weights(weights)
    yield from checks
    if facts is None:
        return
    yield checked(folder, f"{files.name(folder)} is the backbone that it is named by",
                  str(facts.get("digest")).startswith(folder.name), BROKEN,
                  "backbone.json names another one", "delete it and extract again")
    for path in sorted(folder.glob("features-*.h5")):
        features, checks = files.skeleton(path)
        yield from checks
        if features is not None:
            yield checked(path, f"{files.name(path)} were made with these weights",
                          features.weights_sha256 == facts.get("weights_sha256"), STALE,
                          "the weights are others now", "delete it and extract again")
