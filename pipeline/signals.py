"""Signals that end a command."""

from __future__ import annotations

import os
import signal
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a scheduler or ``kill`` sends it: an interrupt by somebody else."""


def terminate_like_an_interrupt() -> None:
    """Makes SIGTERM unwind this process as Ctrl-C does, so that nothing half-written stays.

    Processes that it starts by forking die of SIGTERM as ever: whoever ends them, a
    pool of workers say, does not wait for them to clean up.
    """
    own = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == own:
            raise Terminated
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)
