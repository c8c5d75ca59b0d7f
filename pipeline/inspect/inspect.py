"""``pipeline inspect``: what a raw source, store, cache, result or work directory holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py

from zskel.data.caches import CALIBRATION, SKELETON_FORMAT, TEST, TEXT_FORMAT
from zskel.data.common.checksums import open_hdf5
from zskel.data.common.errors import BadInput
from zskel.data.common.files import ONLY_ZEROS, only_zeros, read_text
from zskel.data.common.registry import nearest
from zskel.data.store import STORE_FORMAT
from zskel.pipeline.base.render import show as show_description
from zskel.pipeline.base.render import stdout_console
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.inspect.features import describe_skeleton, describe_text
from zskel.pipeline.inspect.reader_choice import KINDS, open_raw
from zskel.pipeline.inspect.records import describe_result, describe_work_dir
from zskel.pipeline.inspect.sources import ClipSource, Options, StoreSource
from zskel.pipeline.steps.result_record import FORMAT as RESULT_FORMAT
from zskel.pipeline.steps.results import find_results

FORMAT, FORMAT_VERSION = "zsl-inspection", 1
_ENDINGS = (".png", ".gif")
#: What can be drawn of clips.
PICTURES = ("clip", "steps", "classes")
#: What describes a path, and where its clips can be drawn from, if it has coordinates.
_Recognised = tuple[Callable[[], dict[str, Any]], ClipSource | None]


def inspect(
    path: str | Path | None = None,
    out: str | Path | None = None,
    clip: str | None = None,
    picture: str = PICTURES[0],
    layout: str | None = None,
    **told: Any,
) -> dict[str, Any]:
    """Tells what a path holds and, if asked, draws its clips.

    Args:
        path: Raw recordings (folder or archive), a sequence store, skeleton or
            text features, a result record, or a work directory; None: show
            ``layout`` itself.
        out: Where the drawing goes, ``.png`` for frames side by side or
            ``.gif`` for an animation, ``.svg`` for a layout; None: nothing is written.
        clip: Sample id of the clip to describe and draw; None: the first is drawn.
        picture: What is drawn: "clip"; "steps", the same before and after each
            preprocessing step; or "classes", a clip of each class.
        layout: Of joints that the source does not name.
        **told: See :class:`Options`.

    Returns:
        A JSON document; ``show`` prints it.

    Raises:
        BadInput: The path is nothing that is known or is damaged, or there is
            no such clip or layout.
    """
    if picture not in PICTURES:
        raise BadInput(f"--picture {picture}: {nearest(picture, PICTURES)}")
    if path is None:
        return _layout(layout, out)
    path = Path(path)
    if out is not None and Path(out).suffix.lower() not in _ENDINGS:
        raise BadInput(f"{out}: a drawing is called .png (frames side by side) or .gif (animated)")
    describe, clips = _recognise(path, Options(layout=layout, **told))
    one_clip = out is not None or clip is not None
    if one_clip and clips is None:
        raise BadInput(f"{path}: has no coordinates to draw or describe a clip of; name the "
                       "sequence store, the work directory or the raw recordings")
    document: dict[str, Any] = {
        "format": FORMAT, "format_version": FORMAT_VERSION, **describe()}
    if one_clip and clips is not None:
        chosen = clips.clip(clip)
        document["clip"] = clips.describe_clip(chosen)
        if out is not None:
            from zskel.pipeline.inspect import draw, views

            class_name = document["clip"]["class"]
            if picture == "clip":
                draw.draw(chosen, clips.layout, out, class_name)
            elif picture == "steps":
                views.draw_steps(chosen, clips, Path(out), class_name)
            else:
                views.draw_classes(clips, Path(out))
            document["drawn"] = str(out)
    return document


def _layout(name: str | None, out: str | Path | None) -> dict[str, Any]:
    from zskel.pipeline.inspect.layouts import describe_layout, draw_layout

    if name is None:
        raise BadInput("name a path to inspect, or with --layout a joint layout")
    document = {"format": FORMAT, "format_version": FORMAT_VERSION, **describe_layout(name)}
    if out is not None:
        draw_layout(name, out)
        document["drawn"] = str(out)
    return document


def show(document: Mapping[str, Any]) -> None:
    """Prints what ``inspect`` returns on standard output."""
    hidden = ("format", "format_version", "drawn")
    show_description({key: value for key, value in document.items() if key not in hidden},
                     stdout_console())


def _recognise(path: Path, options: Options) -> _Recognised:
    """Finds out what a path is."""
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder; {KINDS}")
    if path.is_file() and only_zeros(path):
        raise BadInput(f"{path}: {ONLY_ZEROS}")
    if options.reader is None:
        if path.is_file() and h5py.is_hdf5(path):
            known = _hdf5(path, options)
        else:
            known = _work_dir(path, options) or _result(path)
        if known is not None and options.layout is not None:
            raise BadInput(f"{path}: --layout goes with raw recordings that do not say theirs")
        if known is not None:
            return known
    raw = open_raw(path, options)
    return partial(raw.describe, options), raw


def _hdf5(path: Path, options: Options) -> _Recognised | None:
    with open_hdf5(path) as file:
        found = file.attrs.get("format")
    if found == STORE_FORMAT:
        store = StoreSource(path)
        return partial(store.describe, options), store
    describe = {SKELETON_FORMAT: describe_skeleton, TEXT_FORMAT: describe_text}.get(found)
    return describe and (partial(describe, path), None)


def _result(path: Path) -> _Recognised | None:
    if path.suffix != ".json" or not path.is_file():
        return None
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict):
        return None
    if value and all(isinstance(text, str) or (
            isinstance(text, list) and text and all(isinstance(each, str) for each in text)
    ) for text in value.values()):
        raise BadInput(f"{path}: holds texts by name, such as {next(iter(value))!r}; where the "
                       "names are classes, configs/_base_/text/own_file.py takes them into an "
                       "experiment, and --text-source into `pipeline predict`")
    return (partial(describe_result, path), None) if value.get("format") == RESULT_FORMAT else None


def _work_dir(path: Path, options: Options) -> _Recognised | None:
    if not path.is_dir():
        return None
    work = WorkDir(path)
    files = (work.store, work.skeleton(TEST), work.skeleton(CALIBRATION), work.text)
    if not any(file.is_file() for file in files) and not find_results(path):
        return None
    try:
        clips = StoreSource(work.store) if work.store.is_file() else None
    except BadInput:
        clips = None  # the description says what is wrong with the store
    return partial(describe_work_dir, path), clips
