"""One progress display for all commands, and what is told to ``--json-log``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from zskel.data.common.os_errors import naming

Tell = Callable[..., None]
Relay = Callable[[str, Any], None]
"""Told "message" or "warning" with a text, or "progress" with (done, total)."""

#: Messages for people go to standard error; standard output stays for data.
console = Console(stderr=True, highlight=False)

_log: IO[str] | None = None
_relay: Relay | None = None
_warned: set[str] = set()
#: Seconds between two words about the progress of one step to the process that shows it.
_PATIENCE = 0.2


def quiet() -> None:
    """Stops all messages and the log of this process; another one reports for it."""
    console.quiet = True
    log_to(None)


def report_to(relay: Relay) -> None:
    """From now on another process shows and logs what this one has to tell."""
    global _relay
    quiet()
    _relay = relay


def log_to(path: str | Path | None) -> None:
    """Appends every event from now on to a file, one JSON object a line.

    Args:
        path: The file; None ends the log.

    Raises:
        OSError: The file cannot be opened.
    """
    global _log
    if _log is not None:
        _log.close()
    # Line by line, so that the log of a killed job is whole up to its last event.
    _log = None if path is None else open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115


def event(name: str, level: str = "info", **fields: Any) -> None:
    """Writes one event to the log, if there is one.

    Args:
        name: "started", "message", "progress", "ended" or "error".
        level: "info" or "error".
        fields: JSON values; others are written as text.
    """
    if _log is not None:
        content = {"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                   "level": level, "event": name, "fields": fields}
        with naming(_log.name):
            _log.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")


def say(message: str) -> None:
    """Prints one line for the person who waits."""
    if _relay is not None:
        _relay("message", message)
        return
    event("message", text=message)
    console.print(message, markup=False, soft_wrap=True)


def tell_warning(message: Warning | str) -> None:
    """A warning, of a library or ours, as one line; the same one once."""
    text = " ".join(re.sub(r"\x1b\[[\d;]*m", "", str(message)).split())
    if _relay is not None:
        _relay("warning", text)
    elif text not in _warned:
        _warned.add(text)
        say(f"warning: {text}")


def table(*rows: tuple[str, str]) -> None:
    """Prints names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"  {name:<{width}}  {value}")


def tell_notices(notices: Iterable[Mapping[str, str]]) -> None:
    """Says what looks wrong with clips, of ``zskel.data.plausibility``, one line each."""
    for notice in notices:
        say(f"NOTICE: {notice['text']}")


class ProgressLines:
    """When a long step leaves a line, where no bar can be seen.

    Every ten seconds, and later whenever a tenth of the time so far has gone by again.

    Args:
        now: Seconds, as of ``time.monotonic``.
    """

    def __init__(self, now: float) -> None:
        self._start = self._last = now

    def due(self, done: float, total: int, now: float) -> bool:
        """Whether to leave a line now.

        >>> lines = ProgressLines(0.0)
        >>> [second for second in range(150) if lines.due(second, 200, second)]
        [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 112, 125, 139]
        >>> ProgressLines(0.0).due(100, 100, 60.0)  # is over
        False
        """
        if done >= total or now - self._last < max(10.0, (now - self._start) / 10):
            return False
        self._last = now
        return True

    def remaining(self, done: float, total: int, now: float) -> float:
        """Seconds to go, if it goes on as it went."""
        return (now - self._start) / done * (total - done) if done else float("inf")


@contextmanager
def bar(description: str) -> Iterator[Tell]:
    """A bar with count, elapsed time and ETA; now and then a line when not on a terminal.

    Yields:
        A function to call with (done, total) and an optional note.
    """
    if _relay is not None:
        yield _seldom(_relay)
        return
    with Progress(
        TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(description, total=None, note="")
        lines = ProgressLines(time.monotonic())

        def tell(done: float, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)
            now = time.monotonic()
            if lines.due(done, total, now):
                event("progress", step=description, done=int(done), total=total, note=note)
                if not console.is_terminal:
                    console.print(_line(description, done, total, lines.remaining(done, total, now),
                                        note), markup=False, soft_wrap=True)

        yield tell


def _seldom(relay: Relay) -> Tell:
    """Tells a relay how a step goes on, but not for each of a thousand small ones."""
    last = float("-inf")

    def tell(done: float, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PATIENCE:
            last = now
            relay("progress", (done, total))

    return tell


def _line(description: str, done: float, total: int, seconds: float, note: str) -> str:
    """What a bar says, as one line.

    >>> _line("training", 3, 12, 95.0, "loss 0.5")
    '  training: 3/12 (25 %), about 2 min to go, loss 0.5'
    """
    left = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    parts = [f"{int(done)}/{total} ({int(100 * done / max(total, 1))} %)"]
    if seconds != float("inf"):
        parts.append(f"about {left} to go")
    return f"  {description}: " + ", ".join([*parts, *([note] if note else [])])
