"""What the operating system refuses: a full disk, a read-only folder, too many open files.

Libraries tell of it in their own ways, with or without its number and the file's name;
here it becomes one ``OSError`` that has both.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zskel.data.common.errors import chain

_FULL = "make room, then run the same command again: it goes on from here"
_ALLOWED = "check who may read and write there, or choose another folder"
_GONE = "see that its file system is there and answers, then run the same command again"
_FILES = "raise the limit (`ulimit -n 4096`), then run the same command again"

#: Error numbers that no input of ours is to blame for, and what to do about them.
ADVICE = {
    errno.ENOSPC: _FULL, errno.EDQUOT: _FULL,
    errno.EFBIG: "raise the limit on file sizes (`ulimit -f unlimited`), then run the same "
                 "command again",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: _ALLOWED, errno.EPERM: _ALLOWED,
    errno.EMFILE: _FILES, errno.ENFILE: _FILES,
    **dict.fromkeys((errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN,
                     errno.EHOSTUNREACH, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO), _GONE),
    errno.EAGAIN: "run the same command again", errno.EBUSY: "run the same command again",
    errno.ENOMEM: "free some memory, then run the same command again",
    errno.ENOLCK: "",
    errno.EIO: "the device is failing or gone; check it, then run the same command again",
    errno.ENOTDIR: "a file lies where a folder is needed; choose another place",
}

# HDF5: "errno = 28, error message = ..."; Rust: "No space left on device (os error 28)".
_NUMBER = re.compile(r"(?:\berrno = |\bos error )(\d+)")
_PHRASES = {"database or disk is full": errno.ENOSPC, "readonly database": errno.EROFS,
            **{os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT)}}
_PROBE_BYTES = 1 << 20


def refusal(error: BaseException | None, path: str | os.PathLike[str] = "") -> OSError | None:
    """The operating system's refusal that an error tells of, if it does.

    Args:
        error: Of any library; what it came from is looked at too.
        path: Which file it was, where the error does not say.

    Returns:
        An ``OSError`` with number, text and file name, its number one of ``ADVICE``.

    >>> refusal(RuntimeError("Can't write (errno = 28, error message = 'No space')"), "a.h5")
    OSError(28, 'No space left on device')
    >>> refusal(ValueError("something else")) is None
    True
    """
    for each in chain(error):
        number = _number(each)
        if number in ADVICE:
            own = getattr(each, "filename", None)
            if isinstance(each, OSError) and isinstance(own, (str, os.PathLike)):
                return OSError(number, each.strerror, os.fspath(own))
            return OSError(number, os.strerror(number), os.fspath(path) or None)
    return None


def cannot_write(
    error: BaseException, path: Path, folder: Path
) -> OSError | None:
    """The refusal behind an error that came while ``path`` was written in ``folder``.

    PyTorch and NumPy only say that less was written than they wanted; then it is asked
    for by writing once more, while what they wrote is still there.
    """
    found = refusal(error, path)
    if found is None and isinstance(error, (OSError, RuntimeError)) and not (
            isinstance(error, OSError) and error.errno):
        try:
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                left = _PROBE_BYTES
                while left > 0:
                    left -= file.write(bytes(left)) or 0
                os.fsync(file.fileno())
        except OSError as refused:
            found = refusal(refused, path)
    if found is None:
        return None
    written = found.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    where = Path(found.filename or folder)
    if written or folder in (where, where.parent):
        found.filename = str(path)  # not the temporary file, nor one that is only read
    return found


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Gives refusals that name no file the name of this one.

    Raises:
        OSError: Such a refusal.
    """
    try:
        yield
    except Exception as error:
        found = refusal(error, path)
        if found is None or (isinstance(error, OSError) and error.filename is not None):
            raise
        raise found from error


def raise_refusal(error: BaseException, path: str | os.PathLike[str]) -> None:
    """Raises the refusal behind an error; for those who would take a file for damaged.

    Raises:
        OSError: The file may be whole, it just cannot be read now.
    """
    found = refusal(error, path)
    if found is not None:
        found.filename = os.fspath(path)
        raise found from None


def described(error: OSError) -> str:
    """An error of the operating system in one line, with what to do.

    >>> described(OSError(errno.ENOSPC, "No space left on device", "a"))
    'a: No space left on device; make room, then run the same command again: it goes on from here'
    """
    where = f"{error.filename}: " if error.filename else ""
    advice = ADVICE.get(error.errno or 0)
    text = " ".join(str(error.strerror or error).split())
    return f"{where}{text}" + (f"; {advice}" if advice else "")


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno:
        return error.errno
    text = str(error)
    match = _NUMBER.search(text)
    if match:
        return int(match[1])
    return next((number for phrase, number in _PHRASES.items() if phrase in text), None)
