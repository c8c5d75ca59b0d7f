"""Numpy files read without trust and written whole; every complaint names the file."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from data.errors import BadInput
from data.files import atomic_path
from data.limits import ZIP_DAMAGE, check_npy, check_npz
from data.registry import nearest


def load_npy(path: Path) -> np.ndarray:
    """Reads an .npy file; pickled objects are refused.

    Raises:
        BadInput: The file is absent, damaged, truncated or holds objects.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    try:
        with open(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            check_npy(handle, size, f"{path}: the array")
            handle.seek(0)
            array = np.lib.format.read_array(handle, allow_pickle=False)
            left = size - handle.tell()
    except BadInput:
        raise
    except (ValueError, EOFError, OSError, MemoryError, SyntaxError) as error:
        raise BadInput(f"{path}: {_why(error)}") from None
    if left:
        raise BadInput(f"{path}: {left} bytes follow the array; the file is not what was written")
    return array


def load_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Reads arrays of an .npz file, all of them or the named ones.

    Raises:
        BadInput: As ``load_npy``, or an array is not there.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    try:
        check_npz(path)
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise BadInput(f"{path}: not an .npz file")
            wanted = file.files if names is None else list(dict.fromkeys(names))
            for name in wanted:
                if name not in file.files:
                    raise BadInput(f"{path}: holds no array {name!r}; "
                                   f"{nearest(name, file.files)}")
            return {name: file[name] for name in wanted}
    except AttributeError:  # a bare .npy has no context
        raise BadInput(f"{path}: not an .npz file") from None
    except BadInput:
        raise
    except (ValueError, EOFError, OSError, MemoryError, SyntaxError, *ZIP_DAMAGE) as error:
        raise BadInput(f"{path}: {_why(error)}") from None


def features_of(array: np.ndarray, where: str, notes: list[str]) -> np.ndarray:
    """Checks and returns features ``[N, D]`` as float32.

    Raises:
        BadInput: Not two-dimensional, not numbers, empty, or not finite.
    """
    if array.ndim > 2 and array.size == len(array) * array.shape[-1] > 0:
        # synse-zsl's scripts take [C, 1, D] for [C, D], too.
        array = array.reshape(len(array), -1)
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.size:
        raise BadInput(f"{where}: holds {array.dtype} of shape {list(array.shape)}, "
                       "expected features [N, D]")
    if array.dtype != np.float32:
        notes.append(f"{where}: {array.dtype}, stored as float32")
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    require_finite(array, where)
    return np.ascontiguousarray(array)


def require_finite(array: np.ndarray, where: str) -> None:
    """Refuses NaN and infinity.

    Raises:
        BadInput: With the first such row.
    """
    bad = ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if bad.any():
        raise BadInput(f"{where}: {int(bad.sum())} rows hold values that are not finite, "
                       f"the first is row {int(bad.argmax())}")


def labels_of(array: np.ndarray, where: str, classes: int) -> np.ndarray:
    """Checks and returns labels ``[N]`` as int64 in 0..classes-1.

    Raises:
        BadInput: Not one whole number a row, or out of range.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    whole = array.dtype.kind in "iu" or (
        array.dtype.kind == "f" and bool((array == np.floor(array)).all()))
    if array.ndim != 1 or not whole:
        raise BadInput(f"{where}: holds {array.dtype} of shape {list(array.shape)}, "
                       "expected one class index a row")
    outside = np.flatnonzero((array < 0) | (array >= classes))
    if len(outside):
        raise BadInput(f"{where}: row {outside[0]} is class {int(array[outside[0]])}, "
                       f"expected 0..{classes - 1}")
    return array.astype(np.int64)


def row_digests(array: np.ndarray) -> list[bytes]:
    """A short name for each row's content; equal rows have equal names."""
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            for row in np.ascontiguousarray(array)]


def npy_bytes(array: np.ndarray) -> bytes:
    """What an .npy file of the array holds."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def save_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def save_npy_files(folder: Path, arrays: Mapping[str, np.ndarray], force: bool) -> dict[str, str]:
    """Writes .npy files by their path below ``folder``.

    Args:
        folder: Where they go.
        arrays: By relative path.
        force: Replace files that say something else.

    Returns:
        SHA-256 of each file.

    Raises:
        BadInput: A file is there and says something else; nothing is written.
    """
    content = {name: npy_bytes(array) for name, array in arrays.items()}
    new = []
    for name, data in content.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != data:
            if path.exists() and not force:
                raise BadInput(f"{path}: is there already and holds something else; export to "
                               "another folder or name, or replace it with --force")
            new.append(name)
    for name in new:
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content[name])
    return {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}


def _why(error: Exception) -> str:
    text = str(error)
    if "allow_pickle" in text or "Object arrays" in text:
        return "holds pickled Python objects, which are never loaded; save plain arrays"
    return f"not a whole numpy file ({text.splitlines()[0] if text else type(error).__name__}); " \
           "is it truncated?"
