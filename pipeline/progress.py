"""One progress display for all commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn

Tell = Callable[..., None]

#: Messages for people go to standard error; standard output stays for data.
console = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """Prints one line for the person who waits."""
    console.print(message, markup=False, soft_wrap=True)


def table(*rows: tuple[str, str]) -> None:
    """Prints names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"  {name:<{width}}  {value}")


@contextmanager
def bar(description: str) -> Iterator[Tell]:
    """A bar with count, elapsed time and ETA; quiet when not on a terminal.

    Yields:
        A function to call with (done, total) and an optional note.
    """
    with Progress(
        TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(description, total=None, note="")

        def tell(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield tell
