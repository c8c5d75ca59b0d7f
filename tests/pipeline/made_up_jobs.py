"""Jobs that other processes of tests can do, without anything that is slow to import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zskel.data.common.errors import BadInput
from zskel.pipeline.base.progress import bar, say, tell_warning


@dataclass(frozen=True)
class MadeUp:
    """Writes a file ``name`` with its process's id, and then does what it is told to.

    Attributes:
        folder: Of the file.
        name: Of the job.
        then: "", "fail", "mistake", "die" or "sleep".
    """

    folder: Path
    name: str
    then: str = ""


def worker() -> Callable[[MadeUp], None]:
    """Makes what does the jobs."""
    return _do


def _do(job: MadeUp) -> None:
    (job.folder / job.name).write_text(str(os.getpid()))
    with bar(job.name) as tell:
        tell(1, 4)
    say(f"{job.name} is done")
    tell_warning("the same for all")
    if job.then == "fail":
        raise BadInput("bad from the\nstart")
    if job.then == "mistake":
        raise KeyError("nobody")
    if job.then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.then == "sleep":
        time.sleep(600)
