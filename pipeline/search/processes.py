"""Which process works on a trial, and whether it still does."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

#: Seconds between two signs of life of a worker.
HEARTBEAT = 10.0
#: Seconds without one after which a worker of another machine counts as dead.
GRACE = 120.0


def this_process() -> dict[str, Any]:
    """What a worker leaves in its trials: where it is and when it was started."""
    import psutil

    return {"host": host(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def host() -> str:
    """Names the machine, and the container where process ids are its own.

    The name alone is not enough: clusters have given several machines the same.
    """
    parts = [socket.gethostname()]
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        try:
            text = os.readlink(path) if path.name == "pid" else path.read_text()
        except OSError:
            continue
        parts.append("".join(c for c in text if c.isalnum())[:16])
    return "/".join(parts)


def known_dead(worker: Any) -> bool:
    """Whether a worker of this machine has ended; False if nobody here can tell."""
    import psutil

    if not isinstance(worker, dict) or worker.get("host") != host():
        return False
    try:
        process = psutil.Process(int(worker["pid"]))
        # Process ids return; the time of the start does not.
        same = abs(process.create_time() - float(worker["started"])) < 0.5
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


class Watch:
    """Tells which workers have been silent for too long, by this process's own clock.

    The clocks of several machines need not agree: what counts is for how long a sign
    of life has been the same.

    Args:
        grace: Seconds.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._seen: dict[int, tuple[Any, float]] = {}

    def silent(self, trial: int, sign: Any, now: float | None = None) -> bool:
        """Whether a trial's sign of life is the same as a grace period ago.

        >>> watch = Watch(grace=10)
        >>> [watch.silent(7, sign, now) for sign, now in [(1, 0), (1, 9), (2, 11), (2, 22)]]
        [False, False, False, True]
        """
        now = time.monotonic() if now is None else now
        before, since = self._seen.get(trial, (None, now))
        if trial not in self._seen or before != sign:
            self._seen[trial] = (sign, now)
            return False
        return now - since > self._grace
