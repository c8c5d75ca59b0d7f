"""Answers as a table and as drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from zskel.data.common.errors import BadInput
from zskel.data.common.files import write_json
from zskel.data.store import SequenceStore
from zskel.pipeline.base.progress import say
from zskel.pipeline.base.render import stdout_console


def tell(document: Mapping[str, Any], out: Path | None) -> None:
    """Says what a reader of the answers should know, and writes them to a file as JSON."""
    for notice in document["notices"]:
        say(f"note: {notice}")
    for skip in document["skipped"]:
        say(f"skipped {skip['name']}: {skip['reason']}")
    if out is not None:
        write_json(out, document)
        say(f"wrote {out}")


def show(document: Mapping[str, Any]) -> None:
    """Prints the answers to standard output."""
    console = stdout_console()
    clips = document["clips"]
    seen = f" and {len(document['seen_classes'])} seen classes" \
        if document["setting"] == "gzsl" else ""
    fit = (f", protocol {document['protocol']}, seed {document['seed']}, split {document['split']}"
           if "seed" in document else "")
    console.print(escape(
        f"{document['method']} {document['variant']}{fit}: {len(clips)} clip(s) among "
        f"{len(document['labels'])} labels{seen}"), highlight=False)
    known = any(clip["class_of_file"] for clip in clips)
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for title in ("clip", "prediction", "", "then", "seen?", "nearest seen classes",
                  *(["class of the file"] if known else [])):
        table.add_column(title, justify="right" if title in ("", "seen?") else "left")
    for clip in clips:
        first, *others = clip["top"]
        table.add_row(*map(escape, (
            clip["sample_id"], clip["prediction"], _percent(first["probability"]),
            _listed(others[:2]), "-" if clip["p_seen"] is None else _percent(clip["p_seen"]),
            _listed(clip["nearest_seen"][:2]),
            *([clip["class_of_file"] or "-"] if known else []),
        )))
    console.print(table)


def draw_clips(store: SequenceStore, clips: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws each clip under its answers.

    Args:
        store: Holds the clips, in the same order.
        clips: Of the document of ``predict``.
        path: A file that ends in ``.gif`` for one clip; for several a folder.

    Raises:
        BadInput: One file cannot hold several clips.
    """
    from zskel.pipeline.inspect.draw import draw

    if path.suffix.lower() == ".gif" and len(clips) > 1:
        raise BadInput(f"--gif {path}: there are {len(clips)} clips; name a folder")
    for row, clip in enumerate(clips):
        safe = clip["sample_id"].replace("/", "-")
        target = path if path.suffix.lower() == ".gif" else path / f"{safe}.gif"
        draw(store.clip(row), store.layout, target, _listed(clip["top"][:2]))
        say(f"wrote {target}")


def _listed(answers: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{each['label']} {_percent(each['probability'])}" for each in answers)


def _percent(value: float) -> str:
    return f"{value:.0%}" if value > 0.995 or value < 0.0005 else f"{value:.1%}"
