"""Where a search is kept: Optuna's storages, opened so that several processes can share them."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "journal:"
SCHEMES = ("sqlite", "postgresql", "mysql", "mariadb")
#: Seconds between two heartbeats of a trial in a database, and without one until the trial fails.
HEARTBEAT, GRACE = 20, 120
#: Seconds that a process waits for another one's write.
_PATIENCE = 60
#: Processes that make the tables of a new database at the same moment disturb each other.
_ATTEMPTS = 8


def open_storage(url: str) -> BaseStorage:
    """Opens a storage, which is made if it is not there.

    Args:
        url: ``sqlite:///FILE``, ``postgresql://...``, ``mysql://...``, or ``journal:FILE``.

    Raises:
        BadInput: The URL has another form, a driver is missing, or nobody answers.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    scheme = url.partition("://")[0].partition("+")[0]
    if not url.startswith(JOURNAL) and ("://" not in url or scheme not in SCHEMES):
        raise BadInput(f"--storage {shown(url)}: expected sqlite:///FILE, postgresql://..., "
                       "mysql://..., or journal:FILE")
    file = storage_file(url)
    if file is None:
        return _database(url, {"pool_pre_ping": True})
    file.parent.mkdir(parents=True, exist_ok=True)
    return _journal(file) if url.startswith(JOURNAL) else _sqlite(url, file)


def storage_file(url: str) -> Path | None:
    """The file of a storage; None where it is a server.

    Raises:
        BadInput: The URL should name a file and names none.
    """
    from sqlalchemy.engine import make_url

    if url.startswith(JOURNAL):
        file: str | None = url.removeprefix(JOURNAL)
    elif url.startswith("sqlite"):
        file = make_url(url).database
    else:
        return None
    if not file or file == ":memory:":
        raise BadInput(f"--storage {url} names no file; expected sqlite:///FILE or journal:FILE")
    return Path(file)


def shown(url: str) -> str:
    """A URL without its password.

    >>> shown("postgresql://me:secret@host/trials")
    'postgresql://me:***@host/trials'
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


@contextmanager
def work_lock(url: str, alone: bool = False) -> Iterator[bool]:
    """The lock that every worker holds while it runs a trial of a storage that is a file.

    It is the kernel's and ends with its process. Whoever gets it alone knows that nobody
    runs a trial, so that those which are called running are what dead workers have left.

    Args:
        url: Of the storage.
        alone: Do not wait for it, and share it with nobody.

    Yields:
        Whether it is held: not where others hold it, nor where the storage is a server.
    """
    import fcntl

    file = storage_file(url)
    if file is None:
        yield False
        return
    with open(f"{file}.workers", "a+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
            held = True
        except BlockingIOError:
            held = False
        yield held


def _sqlite(url: str, file: Path) -> BaseStorage:
    from filelock import FileLock
    from sqlalchemy import event
    from sqlalchemy.engine import make_url

    with FileLock(f"{file}.lock"):
        if not file.exists():
            # Elsewhere first: of a process that dies between a table and its unique index, the
            # table would stay, nobody would add the index, and a study could be there twice.
            with atomic_path(file) as temporary:
                whole = make_url(url).set(database=str(temporary))
                _database(whole.render_as_string(hide_password=False), {}).engine.dispose()
        storage = _database(url, {"connect_args": {"timeout": _PATIENCE}})

    # sqlite3 begins a transaction with its first write, when what was read may have
    # changed: two processes could both take a waiting trial. One at a time cannot.
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(storage.engine, "connect", connected)
    event.listen(storage.engine, "begin", begun)
    storage.engine.dispose()
    return storage


def _database(url: str, options: dict[str, Any], attempt: int = 1) -> Any:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return RDBStorage(url, options, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    except ImportError as error:
        needed = getattr(error.__cause__, "name", None) or "the database's driver"
        raise BadInput(f"--storage {shown(url)}: needs the Python package {needed}") from None
    except (SQLAlchemyError, RuntimeError) as error:
        if attempt == _ATTEMPTS or url.startswith("sqlite"):
            text = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise BadInput(f"--storage {shown(url)}: {text}") from None
    time.sleep(0.25 * attempt)
    return _database(url, options, attempt + 1)


def _journal(file: Path) -> BaseStorage:
    from filelock import FileLock
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    class Lock:
        """A lock that ends with its process, where Optuna's own is waited for for 30 seconds.

        Whoever gets it removes the half line of one that died while it wrote; the next
        line would else be written behind it, and both be lost.
        """

        _lock = FileLock(f"{file}.lock")

        def acquire(self) -> bool:
            self._lock.acquire()
            with open(file, "r+b") as journal:
                end = journal.seek(0, 2)
                journal.seek(max(end - 1, 0))
                if journal.read() not in (b"\n", b""):
                    journal.seek(0)
                    journal.truncate(journal.read().rfind(b"\n") + 1)
            return True

        def release(self) -> None:
            self._lock.release()

    try:
        return JournalStorage(JournalFileBackend(str(file), lock_obj=Lock()))  # type: ignore[arg-type]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise BadInput(f"--storage {JOURNAL}{file}: is no journal of Optuna") from None
