"""Files that are either whole or absent, and digests that name their content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zskel.data.common.errors import interrupt_behind
from zskel.data.common.os_errors import cannot_write

# How atomic_path names its folders.
_LEFT_BEHIND = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path that becomes ``path`` only if the block succeeds.

    The temporary file lies in the same folder, so the final rename is atomic:
    a reader sees the old file or the whole new one, never half of it.

    Args:
        path: Where the finished file belongs. Missing parent folders are made.
        durable: Wait until the content is on the disk before the rename, so that
            the promise also holds over a power cut. Costs milliseconds a file.

    Yields:
        The path to write to. It does not exist yet.

    Raises:
        OSError: The file cannot be written, by whatever library; names the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its name comes first: an interrupt that falls between making it and knowing it
    # would leave it there.
    folder = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    temporary = folder / path.name
    try:
        folder.mkdir(mode=0o700)
        yield temporary
        if durable:
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
    except Exception as error:
        interrupt = interrupt_behind(error)
        if interrupt is not None:
            raise interrupt from None
        refused = cannot_write(error, path, folder)
        if refused is not None:
            raise refused from error
        raise
    finally:
        try:
            _remove(temporary, folder)
        except KeyboardInterrupt:  # which came in the middle of that
            _remove(temporary, folder)
            raise


def _remove(file: Path, folder: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def remove_left_behind(folder: Path, deep: bool = True) -> int:
    """Removes what killed writers left: temporary folders of ``atomic_path``.

    Call it only while no other process writes there.

    Args:
        folder: Where to look; need not exist.
        deep: Whether to look in the folders below as well.

    Returns:
        How many were removed.
    """
    found = [path for path in (folder.rglob("*.tmp") if deep else folder.glob("*.tmp"))
             if _LEFT_BEHIND.fullmatch(path.name) and path.is_dir()]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return sum(not path.exists() for path in found)


#: What is wrong with a file or a part of one that ``only_zeros`` is true of.
ONLY_ZEROS = "holds only zero bytes (an interrupted download or copy?)"


def only_zeros(content: bytes | Path) -> bool:
    """Whether the bytes, or all of a file's, are zero and there is one.

    Costs one short read for a file that is in order.

    Raises:
        OSError: The file cannot be read.

    >>> only_zeros(b"0"), only_zeros(bytes(3)), only_zeros(b"")
    (False, True, False)
    """
    if isinstance(content, bytes):
        return content[:1] == b"\0" and content.count(0) == len(content)
    with open(content, "rb") as handle:
        block = handle.read(1)
        while block and only_zeros(block):
            block = handle.read(1 << 20)
    return not block and content.stat().st_size > 0


def read_text(path: str | os.PathLike[str]) -> str:
    """The UTF-8 text that someone wrote, without the byte-order mark of Windows' editors.

    Raises:
        OSError: The file cannot be read.
        UnicodeDecodeError: It is no UTF-8.
    """
    return Path(path).read_text(encoding="utf-8-sig")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes JSON atomically, indented, ending in a newline. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON value, independent of key order.

    >>> digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest() if hasattr(
            hashlib, "file_digest"
        ) else _digest_stream(handle)


def _digest_stream(handle: Any) -> str:
    # Python 3.10 has no hashlib.file_digest.
    digest = hashlib.sha256()
    while block := handle.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def mistaken_for(path: str | os.PathLike[str]) -> str | None:
    """What lies in a file's place, where that can be told; asked when it cannot be read.

    Returns:
        In words that follow "is"; None for everything else.
    """
    with open(path, "rb") as handle:
        start = handle.read(512)
        if not start:
            return "an empty file"
        if start.startswith(b"version https://git-lfs"):
            return "a Git LFS pointer instead of the file (`git lfs pull` gets that)"
        if start.lstrip()[:9].lower() in (b"<!doctype", b"<html>") or b"<html" in start.lower():
            return "a web page; download the file itself"
        zeros = not any(start)
        while zeros and (block := handle.read(1 << 20)):
            zeros = not any(block)
    return "a file of nothing but zeros, as an interrupted copy leaves it" if zeros else None
