"""Raw files, read whole within a bound, and how messages speak of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from zskel.data.common.errors import BadInput, ClipError
from zskel.data.common.files import ONLY_ZEROS, only_zeros

__all__ = ["cause", "files_of", "printable", "read_file"]


def printable(text: str | Path) -> str:
    r"""A name for a message: one line, whatever characters the name has.

    >>> printable("a\nb")
    'a\\nb'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cause(error: BaseException) -> str:
    """What an error says, for the end of a message.

    >>> cause(ValueError("bad magic")), cause(EOFError())
    ('bad magic', 'EOFError')
    """
    return printable(str(error)[:200]) or type(error).__name__


def files_of(source: Path, ending: str, takes: str) -> list[Path]:
    """A file itself, or the files of a folder at any depth, sorted.

    Args:
        source: A file or folder.
        ending: Of the files of a folder.
        takes: What a message says that there should be.

    Raises:
        BadInput: The source does not exist.
    """
    if source.is_dir():
        return sorted(source.rglob(f"*{ending}"))
    if not source.exists():
        raise BadInput(f"{printable(source)}: no such file or folder; {takes}")
    return [source]


def read_file(path: str | os.PathLike[str], limit: int) -> bytes:
    """The bytes of a regular file.

    Args:
        path: The file.
        limit: The most bytes that are read.

    Raises:
        ClipError: It cannot be read, is no regular file, is larger, or holds only zeros.
    """
    where = printable(str(path))
    try:
        # Checked before opening: opening a named pipe would wait for a writer.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(f"{where}: is not a regular file")
        check_size(status.st_size, limit, where)
        with open(path, "rb", buffering=0) as handle:
            content = handle.read(status.st_size)
    except (OSError, ValueError) as error:
        if isinstance(error, ClipError):
            raise
        reason = error.strerror if isinstance(error, OSError) else None
        raise ClipError(f"{where}: cannot be read: {reason or cause(error)}") from None
    if only_zeros(content):
        raise ClipError(f"{where}: {ONLY_ZEROS}")
    return content


def check_size(size: int, limit: int, where: str) -> None:
    """Refuses a file that is larger than files of its kind are.

    Raises:
        ClipError: It is.
    """
    if size > limit:
        raise ClipError(f"{where}: has {size >> 20} MB; files of this kind above "
                        f"{limit >> 20} MB are not read")
