"""Which reader understands a path, and what it needs to be told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any

from zskel.data.classes import class_names, datasets
from zskel.data.common.errors import BadInput
from zskel.data.exchange.arrays import about_arrays, kind_of
from zskel.data.readers import READERS, Reader, Scan
from zskel.data.readers.raw_file import printable
from zskel.data.skeleton import LAYOUTS, layout_of
from zskel.pipeline.inspect.sources import Options, RawSource

#: Readers in the order in which they are tried; others follow by name.
_FIRST = ("ntu", "utd_mhad", "pku_mmd", "nw_ucla", "pose_pickle")
#: Files whose ending says whose they are: what that reader says of them is the answer.
BY_SUFFIX = {
    **dict.fromkeys((".skeleton", ".zip", ".tar", ".tgz", ".gz", ".npz", ".npy"), "ntu"),
    ".pkl": "pose_pickle", ".pickle": "pose_pickle",
}
#: NTU-120 added setups 18 to 32, and recorded only actions 61 to 120 in them.
_NTU60_SETUPS, _NTU60_ACTIONS = 17, 60


#: What ``pipeline inspect`` takes.
KINDS = (f"inspect shows raw recordings ({', '.join(READERS.names())}: folders or archives), a "
         "sequence store, skeleton or text features (.h5), a result record (.json) and a work "
         "directory")
#: So many names of a folder are looked at to tell which readers come near.
_MOST_NAMES = 100_000


def open_raw(path: Path, options: Options) -> RawSource:
    """Finds the reader that understands a path.

    Raises:
        BadInput: The one reader that can be meant, by ``options.reader`` or by
            the file's ending, refuses the path; or all readers do. What those say that
            found files of their kind is in the message.
        BadConfig: There is no layout ``options.layout``.
    """
    if options.layout is not None:
        layout_of(options.layout)
    only = options.reader or (BY_SUFFIX.get(path.suffix.lower()) if path.is_file() else None)
    if only is not None:
        reader, scan = _scan(only, path, options)
        if not scan.entries:
            raise BadInput(f"{path}: reader {only!r} {_nothing_in(scan)}")
        return RawSource(path, only, reader, scan)
    known, refusals = READERS.names(), {}
    for name in sorted(known, key=lambda name: _FIRST.index(name) if name in _FIRST else 99):
        try:
            reader, scan = _scan(name, path, options)
        except BadInput as error:
            refusals[name] = str(error).removeprefix(f"{path}: ")
            continue
        if scan.entries:
            return RawSource(path, name, reader, scan)
        refusals[name] = _nothing_in(scan)
    if path.is_file() and kind_of(path) == "hdf5":
        raise BadInput(f"{printable(about_arrays(path))}; no reader takes recordings from HDF5")
    endings = _endings(path)
    near = [f"; reader {name!r}: {why}" for name, why in refusals.items()
            if endings & set(getattr(READERS.get(name), "endings", ()))]
    raise BadInput(f"{path}: not recognised{''.join(near)}; {KINDS}; --reader NAME says why "
                   "a reader refuses it")


def _nothing_in(scan: Scan) -> str:
    first = f"; {scan.skipped[0].name}: {scan.skipped[0].reason}" if scan.skipped else ""
    return f"finds no clip in it{first}"


def _endings(path: Path) -> set[str]:
    """What the names of a file, or of those below a folder, end in."""
    if not path.is_dir():
        return {path.suffix.lower()}
    names = (name for _, _, names in os.walk(path) for name in names)
    return {Path(name).suffix.lower() for name in islice(names, _MOST_NAMES)}


def _scan(name: str, path: Path, told: Options) -> tuple[Reader, Scan]:
    """Builds the reader with the first set of options that it can read a clip with.

    If there is none, the first set stays: its errors are as good as any.
    """
    if told.layout is not None and "layout" not in signature(READERS.get(name)).parameters:
        raise BadInput(f"{path}: reader {name!r} takes no layout, for its files have their own")
    first: tuple[Reader, Scan] | None = None
    for options in _options(name, path, told):
        reader: Reader = READERS.build(name, [path], **options)
        scan = reader.scan()
        if name != "pose_pickle" or _readable(reader, scan):
            return reader, scan
        first = first or (reader, scan)
    assert first is not None
    return first


def _options(name: str, path: Path, told: Options) -> Iterator[dict[str, Any]]:
    """What a reader has to be told that its files do not say."""
    dataset = told.dataset
    if name == "ntu":
        dataset = dataset or _guess_ntu(path)
        yield {"dataset": dataset, "num_classes": len(class_names(dataset))}
    elif name == "pose_pickle":
        dataset = dataset or _named_in(path)
        names = None if dataset is not None else _placeholders(path)
        for layout in LAYOUTS if told.layout is None else (told.layout,):
            yield {"dataset": dataset or path.stem, "class_names": names, "layout": layout,
                   "map_to_ntu": False}
    else:
        yield {}


def _readable(reader: Reader, scan: Scan) -> bool:
    for entry in scan.entries[:3]:
        try:
            reader.read(entry)
            return True
        except BadInput:
            continue
    return False


def _named_in(path: Path) -> str | None:
    """The data set whose name the file's has, e.g. ntu120 in ntu120_3danno.pkl."""
    plain = path.stem.lower().replace("-", "").replace("_", "")
    found = [name for name in datasets() if name.lower().replace("-", "") in plain]
    return max(found, key=len, default=None)


def _placeholders(path: Path) -> list[str]:
    """Names for the classes of a pickle of nobody knows which data set."""
    from zskel.data.readers.safe_pickle import load

    if path.is_dir():
        return ["any"]  # the reader says what it takes instead
    content = load(str(path))
    listed = content.get("annotations") if isinstance(content, dict) else content
    listed = listed if isinstance(listed, list) else []
    labels: list[Any] = [item.get("label") for item in listed if isinstance(item, dict)]
    # Anything else among the labels is the reader's to refuse.
    count = max((int(label) for label in labels if str(label).isdecimal()), default=0) + 1
    return [f"class {index}" for index in range(min(count, 10_000))]


def _guess_ntu(path: Path) -> str:
    """Which data set in NTU format this is, from setup and action numbers alone."""
    from zskel.data.readers.ntu import NTUReader

    # Numbers have three digits, so nothing is left out as out of range here.
    scan = NTUReader([path], dataset="any", num_classes=999).scan()
    pairs = {(entry.setup, entry.label + 1) for entry in scan.entries}
    action = max((a for _, a in pairs), default=0)
    if any(s > _NTU60_SETUPS and a <= _NTU60_ACTIONS for s, a in pairs):
        return "synthetic" if action <= len(class_names("synthetic")) else "ntu120"
    return "ntu120" if action > _NTU60_ACTIONS else "ntu60"
