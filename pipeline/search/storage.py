"""Where a search is kept: Optuna's storages, opened so that several processes can share them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zskel.data.common.errors import BadInput
from zskel.pipeline.base.locks import lock_error

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "journal:"
SCHEMES = ("sqlite", "postgresql", "mysql", "mariadb")
#: Seconds that a process waits for another one's write.
_PATIENCE = 60
#: Processes that make the tables of a new database at the same moment disturb each other.
_ATTEMPTS = 8


def default_storage(folder: Path) -> str:
    """An embedded database in the search's own folder."""
    return f"sqlite:///{folder / 'trials.db'}"


def open_storage(url: str) -> BaseStorage:
    """Opens a storage, which is made if it is not there.

    Args:
        url: ``sqlite:///FILE``, ``postgresql://...``, ``mysql://...``, or ``journal:FILE``.

    Raises:
        BadInput: The URL has another form, a driver is missing, or nobody answers.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url.startswith(JOURNAL):
        return _journal(url.removeprefix(JOURNAL))
    scheme = url.partition("://")[0].partition("+")[0]
    if "://" not in url or scheme not in SCHEMES:
        raise BadInput(f"--storage {shown(url)}: expected sqlite:///FILE, postgresql://..., "
                       "mysql://..., or journal:FILE")
    return _sqlite(url) if scheme == "sqlite" else _server(url)


def shown(url: str) -> str:
    """A URL without its password.

    >>> shown("postgresql://me:secret@host/trials")
    'postgresql://me:***@host/trials'
    >>> shown("journal:/shared/trials.log")
    'journal:/shared/trials.log'
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def _sqlite(url: str) -> BaseStorage:
    from filelock import FileLock
    from sqlalchemy import event
    from sqlalchemy.engine import make_url

    file = make_url(url).database
    if not file or file == ":memory:":
        raise BadInput(f"--storage {url}: expected sqlite:///FILE")
    path = Path(file)
    _make_folder(path, url)
    with FileLock(f"{path}.lock"):
        storage = _connect(url, {"connect_args": {"timeout": _PATIENCE}})

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


def _make_folder(path: Path, url: str) -> None:
    """The folder of a file that several processes write, one at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    refused = lock_error(path.parent)
    if refused:
        raise BadInput(f"--storage {url}: files there cannot be locked ({refused}), so "
                       "workers would overwrite each other; name a file on another file system, or "
                       "a server")


def _server(url: str) -> BaseStorage:
    for attempt in range(_ATTEMPTS):
        try:
            return _connect(url, {"pool_pre_ping": True})
        except BadInput:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.25 * (attempt + 1))
    raise AssertionError("unreachable")


def _connect(url: str, options: dict[str, Any]) -> Any:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return RDBStorage(url, engine_kwargs=options)
    except ImportError as error:
        needed = getattr(error.__cause__, "name", None) or "the database's driver"
        raise BadInput(f"--storage {shown(url)}: needs the Python package {needed}") from None
    except (SQLAlchemyError, RuntimeError) as error:
        text = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise BadInput(f"--storage {shown(url)}: {text}") from None


def _journal(file: str) -> BaseStorage:
    import json

    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if not file:
        raise BadInput("--storage journal: names no file; expected journal:FILE")
    path = Path(file)
    _make_folder(path, f"{JOURNAL}{file}")
    try:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_journal_lock(path)))
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        raise BadInput(f"--storage {JOURNAL}{file}: is no journal of Optuna") from None


def _journal_lock(path: Path) -> Any:
    from filelock import FileLock

    class Lock:
        """A lock that ends with its process, where Optuna's is waited for for 30 seconds.

        Whoever gets it takes away the half line of one that died while it wrote; the
        next line would else be written behind it, and both be lost.
        """

        def __init__(self) -> None:
            self._lock = FileLock(f"{path}.lock")

        def acquire(self) -> bool:
            self._lock.acquire()
            try:
                _drop_half_line(path)
            except BaseException:
                self._lock.release()
                raise
            return True

        def release(self) -> None:
            self._lock.release()

    return Lock()


def _drop_half_line(path: Path) -> None:
    with open(path, "r+b") as file:
        end = file.seek(0, 2)
        if not end:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        block = 1 << 16
        while end > 0:
            start = max(0, end - block)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return
            end = start
        file.truncate(0)
