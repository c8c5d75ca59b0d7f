"""Whether a bank's stores and backbones are whole and are what their names say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from zskel.data.classes import class_names
from zskel.data.common.errors import PipelineError
from zskel.data.common.files import digest_json
from zskel.pipeline.base.changes import differences, few
from zskel.pipeline.verify.checks import BROKEN, NOTICE, STALE, Check, checked
from zskel.pipeline.verify.files import Files

#: Where backbones lie: folders named by a digest.
BACKBONES = f"backbones/{'[0-9a-f]' * 16}"


def check_bank(root: Path, files: Files) -> Iterator[Check]:
    """Looks through a bank; see ``zskel.pipeline.steps.model_store`` for what lies where."""
    for path in sorted(root.glob("stores/*/skeletons.h5")):
        store, checks = files.store(path)
        yield from checks
        yield from _source(path, () if store is None else store.class_names, files)
    for folder in sorted(path for path in root.glob(BACKBONES) if path.is_dir()):
        yield from _backbone(folder, files)


def _source(path: Path, names: tuple[str, ...], files: Files) -> Iterator[Check]:
    source, check = path.with_name("source.json"), f"{files.name(path)} says what it is read from"
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        digest, then = digest_json(content), content["reading"]
        now = list(class_names(then["dataset"]))
    except OSError:
        yield Check(path, check, NOTICE, "source.json is not there, so it is found only by --raw")
        return
    except PipelineError:
        now = list(names)  # a data set of one's own, known to its config alone
    except (ValueError, KeyError, TypeError) as error:
        yield Check(source, check, BROKEN, f"not the JSON that was written ({error})",
                    "extract with --raw again")
        return
    yield checked(source, check, path.parent.name.endswith(digest[:16]), BROKEN,
                  "its content is not what the folder is named by", "extract with --raw again")
    changes = differences(then["class_names"], now, "class_names") or (
        differences(then["class_names"], list(names), "class_names") if names else [])
    yield checked(path, f"{files.name(path)} has the classes of its data set", not changes, STALE,
                  few(changes), "extract with --raw again")


def _backbone(folder: Path, files: Files) -> Iterator[Check]:
    weights = folder / "weights.pth"
    if not weights.is_file():
        yield Check(folder, f"{files.name(folder)} is trained", NOTICE,
                    "it was begun and not finished; `pipeline extract` goes on")
        return
    summary, checks = files.weights(weights)
    yield from checks
    if summary is None:
        return
    yield checked(folder, f"{files.name(folder)} is the backbone that it is named by",
                  summary["digest"].startswith(folder.name), BROKEN,
                  f"its digest is {summary['digest'][:16]}...", "delete it and extract again")
    for path in sorted(folder.glob("features-*.h5")):
        features, checks = files.skeleton(path)
        yield from checks
        if features is not None:
            yield checked(path, f"{files.name(path)} were made with these weights",
                          features.weights_sha256 == summary["weights_sha256"], STALE,
                          "the weights are others now", "delete it and extract again")
