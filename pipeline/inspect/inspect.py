"""``pipeline inspect``: what a raw source, store, cache, result or work directory holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zskel.data.common.errors import BadInput
from zskel.pipeline.base.render import show as show_description
from zskel.pipeline.base.render import stdout_console
from zskel.pipeline.inspect.recognition import recognise
from zskel.pipeline.inspect.sources import Options

FORMAT, FORMAT_VERSION = "zsl-inspection", 1
_PICTURES = (".png", ".gif")


def inspect(
    path: str | Path | None = None,
    out: str | Path | None = None,
    clip: str | None = None,
    reader: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
    read: int = 1000,
    layout: str | None = None,
) -> dict[str, Any]:
    """Tells what a path holds and, if asked, draws one clip of it.

    Args:
        path: Raw recordings (folder or archive), a sequence store, skeleton or
            text features, a result record, or a work directory; None: show
            ``layout`` itself.
        out: Where the drawing goes, ``.png`` for frames side by side or
            ``.gif`` for an animation, ``.svg`` for a layout; None: nothing is written.
        clip: Sample id of the clip to describe and draw; None: the first is drawn.
        reader, dataset, split, read, layout: See :class:`Options`.

    Returns:
        A JSON document; ``show`` prints it.

    Raises:
        BadInput: The path is nothing that is known or is damaged, or there is
            no such clip or layout.
    """
    if path is None:
        return _layout(layout, out)
    path = Path(path)
    if out is not None and Path(out).suffix.lower() not in _PICTURES:
        raise BadInput(f"{out}: a drawing is called .png (frames side by side) or .gif (animated)")
    found = recognise(path, Options(reader, dataset, split, read, layout))
    if (out is not None or clip is not None) and found.clips is None:
        raise BadInput(f"{path}: has no coordinates to draw or describe a clip of; name the "
                       "sequence store, the work directory or the raw recordings")
    document: dict[str, Any] = {
        "format": FORMAT, "format_version": FORMAT_VERSION, **found.describe()}
    if found.clips is not None and (out is not None or clip is not None):
        chosen = found.clips.clip(clip)
        document["clip"] = found.clips.describe_clip(chosen)
        if out is not None:
            from zskel.pipeline.inspect.draw import draw

            draw(chosen, found.clips.layout, out, document["clip"]["class"])
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
