"""Raw files, read whole within a bound."""

from __future__ import annotations

import os
import stat

from data.errors import ClipError
from data.files import ONLY_ZEROS, only_zeros
from data.readers.ntu import printable

__all__ = ["printable", "read_file"]


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
        if status.st_size > limit:
            raise ClipError(f"{where}: has {status.st_size >> 20} MB; files of this kind above "
                            f"{limit >> 20} MB are not read")
        with open(path, "rb", buffering=0) as handle:
            content = handle.read(status.st_size)
    except (OSError, ValueError) as error:
        if isinstance(error, ClipError):
            raise
        raise ClipError(f"{where}: cannot be read: {error}") from None
    if only_zeros(content):
        raise ClipError(f"{where}: {ONLY_ZEROS}")
    return content
