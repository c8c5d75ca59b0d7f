"""Signals that wait until what must not be cut in two is done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

#: Those that end a command: Ctrl-C, ``kill`` or a scheduler, a closed terminal.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP")
               if hasattr(signal, name))


class DeferredSignals:
    """The signals that have come so far."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self._before: dict[int, Any] = {}

    def deliver(self) -> None:
        """Lets what has come happen now, as if nothing had held it back.

        Raises:
            KeyboardInterrupt: Or whatever else the handlers raise.
        """
        while self._came:
            number = self._came.pop(0)
            handler = self._before[number]
            if callable(handler):
                handler(number, None)
            else:  # the default: it ends the process
                signal.signal(number, handler)
                signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)


@contextlib.contextmanager
def deferred_signals() -> Iterator[DeferredSignals]:
    """Holds back the signals of ``ENDING`` until the block ends or asks for them.

    Only the main thread gets signals; in others this does nothing.
    """
    held = DeferredSignals()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    for number in ENDING:
        handler = signal.getsignal(number)
        if handler not in (None, signal.SIG_IGN):
            held._before[number] = handler
            signal.signal(number, held._note)
    try:
        yield held
    finally:
        for number, handler in held._before.items():
            signal.signal(number, handler)
        held.deliver()
