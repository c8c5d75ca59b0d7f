"""Signals that end a command."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

_MOMENT = 0.05  # seconds


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a scheduler or ``kill`` sends it: an interrupt by another program.

    Attributes:
        word: What has become of the command.
        exit_code: 128 and the signal's number, as shells and schedulers know it.
    """

    word, exit_code = "terminated", 128 + signal.SIGTERM


class HungUp(Terminated):
    """SIGHUP: the terminal is closed or the connection to it is lost."""

    word, exit_code = "hung up", 129


def terminate_like_an_interrupt() -> None:
    """Makes SIGTERM and SIGHUP unwind this process as Ctrl-C does.

    So nothing half-written stays. Where SIGHUP is ignored (``nohup``) it stays so.
    Processes that it starts by forking die of these signals as ever: whoever ends them,
    a pool of workers say, does not wait for them to clean up.

    An interrupt, Ctrl-C too, that comes where Python only prints exceptions (it forks, say,
    or clears an object away) comes again a moment later.
    """
    own = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == own:
            raise Terminated if number == signal.SIGTERM else HungUp
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)
    _repeat_what_is_lost(own)
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        signal.signal(hang_up, end)


def _repeat_what_is_lost(own: int) -> None:
    print_it = sys.unraisablehook

    def repeat(lost: sys.UnraisableHookArgs) -> None:
        if os.getpid() != own or not issubclass(lost.exc_type, KeyboardInterrupt):
            print_it(lost)
            return
        numbers: dict[type[BaseException], int] = {
            Terminated: signal.SIGTERM, HungUp: getattr(signal, "SIGHUP", 0)}
        number = numbers.get(lost.exc_type, signal.SIGINT)
        # Not at once: what is raised in here is lost as well.
        again = threading.Timer(_MOMENT, os.kill, (own, number))
        again.daemon = True
        again.start()

    sys.unraisablehook = repeat
