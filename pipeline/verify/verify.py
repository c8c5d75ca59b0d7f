"""``pipeline verify``: are files what was written, and made from what is there now?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from zskel.data.caches import (
    SKELETON_FORMAT,
    TEXT_FORMAT,
    read_skeleton_features,
    read_text_features,
)
from zskel.data.common.checksums import open_hdf5, write_checksum
from zskel.data.common.errors import BadCache, BadInput
from zskel.data.store import STORE_FORMAT
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.results import find_results
from zskel.pipeline.verify.checks import BROKEN, NOTICE, OK, STALE, Check
from zskel.pipeline.verify.consistency import check_consistency
from zskel.pipeline.verify.files import Files
from zskel.pipeline.verify.model_store import BACKBONES, check_model_store
from zskel.pipeline.verify.staleness import check_staleness, known_experiment
from zskel.pipeline.verify.work_dir import Parts, read_parts

FORMAT, FORMAT_VERSION = "zsl-verification", 1
_STYLES = {OK: "green", NOTICE: "yellow", STALE: "bold magenta", BROKEN: "bold red"}
_KNOWN = ("verify knows work directories, model stores, folders of those, sequence stores and "
          "features (.h5), results (.json), fitted models and saved methods (.safetensors) "
          "and weights (.pth, .pt)")


def verify(
    paths: Sequence[str | Path], experiment: Experiment | None = None, named: str = ""
) -> dict[str, Any]:
    """Everything that can be found out about each path.

    Args:
        paths: Work directories, model stores, folders of those, or single files.
        experiment: Compare with this config rather than that of the experiment
            that a work directory names.
        named: What the commands that are proposed call ``experiment``.

    Returns:
        JSON values: "ok", "counts" by status, and the "checks", each with "path",
        "part", "check", "status" ("ok", "notice", "stale" or "broken"), "detail" and
        "remedy".

    Raises:
        BadInput: A path is not there or nothing that is known.
    """
    found = [(path, check) for path in map(Path, paths)
             for check in _verify(path, experiment, named)]
    counts = Counter(check.status for _, check in found)
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION,
        "ok": all(check.passed for _, check in found),
        "counts": {status: counts[status] for status in (OK, NOTICE, STALE, BROKEN)},
        "checks": [{"path": str(path), **asdict(check), "part": str(check.part)}
                   for path, check in found],
    }


def write_checksums(paths: Sequence[str | Path]) -> None:
    """Writes the checksums of caches that were changed on purpose anew.

    Raises:
        BadCache: A file is no cache, or breaks the contract; it stays as it is.
    """
    for path in map(Path, paths):
        write_checksum(path, _keeps_the_contract)
        say(f"wrote the checksum of {path}")


def show(content: Mapping[str, Any]) -> None:
    """Prints what ``verify`` returns, a line a check."""
    from zskel.pipeline.base.render import stdout_console

    console = stdout_console()
    for check in content["checks"]:
        wrong = "; ".join(filter(None, (check["detail"], check["remedy"])))
        text = escape(": ".join(filter(None, (check["check"], wrong))))
        status = check["status"]
        console.print(f"[{_STYLES[status]}]{status:<6}[/]  {text}", soft_wrap=True)
    console.print(", ".join(f"{count} {status}" for status, count in content["counts"].items()))


def _verify(path: Path, experiment: Experiment | None, named: str) -> list[Check]:
    """All findings about one path."""
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder; {_KNOWN}")
    if path.is_file():
        return _file(path, experiment, named)
    if (path / "model.json").is_file():
        return Files().saved_method(path)[1]
    files, found = Files(root=path, experiment=named), list[Check]()
    here = [path] if _is_work_dir(path) or _is_model_store(path) else sorted(path.iterdir())
    for folder in sorted(here, key=_is_work_dir):
        if _is_work_dir(folder):
            parts = read_parts(folder, files)
            found += [*parts.checks, *_compared(parts, experiment)]
        elif _is_model_store(folder):
            found += check_model_store(folder, files)
    if not found:
        raise BadInput(f"{path}: holds nothing to verify; {_KNOWN}")
    # What several work directories share is told of once.
    return list(dict.fromkeys(found))


def _is_work_dir(path: Path) -> bool:
    """Whether a folder holds an experiment's store, features or results."""
    work = WorkDir(path)
    return (work.own_store.is_file() or work.store_pointer.is_file()
            or any(path.glob("features/*.h5")) or bool(find_results(path)))


def _is_model_store(path: Path) -> bool:
    """Whether a folder holds shared stores or backbones."""
    return any(path.glob("stores/*/skeletons.h5")) or any(
        path.glob(f"{BACKBONES}/backbone.json"))


def _compared(parts: Parts, experiment: Experiment | None) -> list[Check]:
    found = check_consistency(parts)
    if experiment is None:
        experiment, told = known_experiment(parts)
        found += told
    return found if experiment is None else [*found, *check_staleness(parts, experiment)]


def _file(path: Path, experiment: Experiment | None, named: str) -> list[Check]:
    files, root = Files(), path.parent.parent
    found = _alone(path, files)
    if not _is_work_dir(root) or not all(check.passed for check in found):
        return found
    # Of the others no more is read than what the file was made from.
    parts = read_parts(root, Files(thorough=False, experiment=named))
    if path.parent == parts.work.models:
        parts.models[path] = files.model(path)[0] or {}
    return [*found, *(check for check in _compared(parts, experiment) if check.part == path)]


def _is_method_file(path: Path) -> bool:
    """Whether a file is what a method's ``save`` writes."""
    from zskel.zsl.model_file import METHOD, read_card

    try:
        read_card(path, METHOD)
    except BadInput:
        return False
    return True


def _alone(path: Path, files: Files) -> list[Check]:
    if path.suffix == ".npz" and path.with_suffix(".json").is_file():
        path = path.with_suffix(".json")
    if path.suffix == ".json":
        return files.result(path)[1]
    if path.suffix == ".safetensors":
        folder = path.with_name("model.json").is_file()  # as version 1 saved methods
        if folder or _is_method_file(path):
            return files.saved_method(path.parent if folder else path)[1]
        return files.model(path)[1]
    if path.suffix in (".pth", ".pt"):
        there = path.with_name("backbone.json").is_file()
        return files.weights(path)[1] if there else files.other_weights(path)[1]
    try:
        form = _format(path)
    except BadInput as error:
        if path.suffix not in (".h5", ".hdf5"):
            raise BadInput(f"{path}: not recognised; {_KNOWN}") from None
        return [Check(path, f"{path} is whole", BROKEN, str(error))]
    readers = {STORE_FORMAT: files.store, SKELETON_FORMAT: files.skeleton, TEXT_FORMAT: files.text}
    if form not in readers:
        raise BadInput(f"{path}: an HDF5 file of format {form!r}; {_KNOWN}")
    return readers[form](path)[1]


def _keeps_the_contract(path: Path) -> None:
    readers = {SKELETON_FORMAT: read_skeleton_features, TEXT_FORMAT: read_text_features}
    form = _format(path)
    if form not in readers:
        raise BadCache(f"{path}: format is {form!r}; checksums are written for caches alone "
                       f"({', '.join(readers)})")
    readers[form](path)


def _format(path: Path) -> Any:
    with open_hdf5(path) as file:
        return file.attrs.get("format")
