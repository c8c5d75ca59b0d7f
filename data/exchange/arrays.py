"""Numpy files read without trust and written whole; every complaint names the file."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from zskel.data.common.checksums import DAMAGE, has_checksum
from zskel.data.common.errors import BadInput
from zskel.data.common.files import ONLY_ZEROS, atomic_path, only_zeros
from zskel.data.common.hdf5 import open_to_read
from zskel.data.common.limits import ZIP_DAMAGE, check_npy, check_npz, own_dataset, read_strings
from zskel.data.common.os_errors import raise_refusal
from zskel.data.common.registry import nearest

#: So many arrays are listed in a message.
_MOST_LISTED = 8
_FULL = {"npy": "an .npy file", "npz": "an .npz file", "hdf5": "an HDF5 file"}


def kind_of(path: Path) -> str:
    """What a file of arrays is by its content: "npy", "npz", "hdf5", or "" for none of them.

    Raises:
        BadInput: The file is absent, cannot be read, or holds only zeros.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    try:
        with open(path, "rb") as handle:
            start = handle.read(6)
        if only_zeros(path):
            raise BadInput(f"{path}: {ONLY_ZEROS}")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error})") from None
    if start.startswith(b"PK\x03\x04"):
        return "npz"
    return "npy" if start == b"\x93NUMPY" else "hdf5" if h5py.is_hdf5(path) else ""


def load_array(path: Path, name: str | None) -> np.ndarray:
    """Reads one array: of an .npz or HDF5 file by its name, or that of an .npy file.

    Names may be stored as bytes in UTF-8; they come as strings.

    Raises:
        BadInput: As ``load_npy``, or there is no array of that name.
    """
    kind = kind_of(path)
    if name is None:
        if kind in ("npz", "hdf5"):
            raise BadInput(f"{path}: is {_FULL[kind]}, whose arrays have names: write "
                           f'"{path.name}:NAME"')
        array, where = load_npy(path), str(path)
    else:
        if kind == "npy":
            raise BadInput(f"{path}: is an .npy file, whose one array has no name; write "
                           f'"{path.name}" where {name!r} stands, and leave `file` out')
        if kind == "hdf5":
            return load_hdf5(path, name)
        array, where = load_npz(path, (name,))[name], f"{path}: {name}"
    if array.dtype.kind != "S":
        return array
    try:
        return np.asarray(np.char.decode(array, "utf-8"))
    except UnicodeDecodeError:
        raise BadInput(f"{where}: holds bytes that are no UTF-8 text") from None


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the named arrays of an .npz or HDF5 file; other files have none.

    Raises:
        BadInput: It is damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    kind = kind_of(path)
    if kind == "hdf5":
        with _hdf5(path) as file:
            file.visititems(lambda name, item: shapes.update(
                {name: item.shape} if isinstance(item, h5py.Dataset) else {}))
    elif kind == "npz":
        with _numpy_file(path):
            check_npz(path)
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.filename.endswith(".npy"):
                        name = member.filename[:-4]
                        with archive.open(member) as handle:
                            shapes[name] = check_npy(handle, member.file_size, f"{path}: {name}")
    return shapes


def about_arrays(path: Path) -> str:
    """What arrays a file holds, and what takes them in if they are features.

    Raises:
        BadInput: It is damaged.
    """
    if kind_of(path) == "npy":
        with _numpy_file(path), open(path, "rb") as handle:
            shapes = {"one array": check_npy(handle, path.stat().st_size, f"{path}: the array")}
    else:
        shapes = array_shapes(path)
    listed = [f"{name} {list(shape or ())}" for name, shape in shapes.items()]
    more = f" and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    return (f"{path}: holds {', '.join(listed[:_MOST_LISTED]) or 'no array'}{more}; features "
            "[N, D] go to `pipeline import npz MAPPING`, from .npz, .npy and HDF5 files alike "
            "(docs/exchange.md says what MAPPING tells)")


def load_hdf5(path: Path, name: str) -> np.ndarray:
    """Reads a data set of an HDF5 file by its path in it, such as "train/features".

    Raises:
        BadInput: The file is absent or damaged, or holds no such data set.
    """
    with _hdf5(path) as file:
        item = own_dataset(file, name, path)
        if item is not None:
            text = h5py.check_string_dtype(item.dtype) is not None
            return np.asarray(read_strings(item, name, path) if text else item[()])
    known = array_shapes(path)
    raise BadInput(f"{path}: holds no data set {name!r}; {nearest(name, known)}")


@contextmanager
def _hdf5(path: Path) -> Iterator[h5py.File]:
    try:
        has_checksum(path)  # it may be a cache, and then be damaged
        with open_to_read(path) as file:
            yield file
    except BadInput:
        raise
    except DAMAGE as error:
        raise_refusal(error, path)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{path}: not a whole HDF5 file ({reason}); is it truncated?") from None


def load_npy(path: Path) -> np.ndarray:
    """Reads an .npy file; pickled objects are refused.

    Raises:
        BadInput: The file is absent, damaged, truncated or holds objects.
    """
    kind_of(path)
    with _numpy_file(path), open(path, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        check_npy(handle, size, f"{path}: the array")
        handle.seek(0)
        array = np.lib.format.read_array(handle, allow_pickle=False)
        left = size - handle.tell()
    if left:
        raise BadInput(f"{path}: {left} bytes follow the array; the file is not what was written")
    return array


def load_npz(
    path: Path, names: Iterable[str] | None = None, optional: Iterable[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays of an .npz file: all of them, or the named ones and the optional ones that
    are there.

    Raises:
        BadInput: As ``load_npy``, or an array is not there.
    """
    kind = kind_of(path)
    if kind not in ("npz", ""):
        raise BadInput(f"{path}: is {_FULL[kind]}, not an .npz file")
    with _numpy_file(path):
        check_npz(path)
        with np.load(path, allow_pickle=False) as file:
            wanted = file.files if names is None else list(dict.fromkeys(names))
            for name in wanted:
                if name not in file.files:
                    raise BadInput(f"{path}: holds no array {name!r}; "
                                   f"{nearest(name, file.files)}")
            there = [name for name in optional if name in file.files]
            return {name: file[name] for name in dict.fromkeys([*wanted, *there])}


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
                       "expected features [N, D]"
                       + ("; recordings go to `pipeline extract --raw`" if array.ndim > 2 else ""))
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
        from_one = array.min() == 1 and array.max() == classes
        raise BadInput(f"{where}: row {outside[0]} is class {int(array[outside[0]])}, "
                       f"expected 0..{classes - 1}"
                       + ("; they are counted from 1, subtract it" if from_one else ""))
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


def save_npy_files(folder: Path, arrays: Mapping[str, np.ndarray], force: bool) -> list[Path]:
    """Writes .npy files by their path below ``folder``.

    Args:
        folder: Where they go.
        arrays: By relative path.
        force: Replace files that say something else.

    Returns:
        The files.

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
    return [folder / name for name in content]


@contextmanager
def _numpy_file(path: Path) -> Iterator[None]:
    """Turns what numpy says of a damaged file into one line that names it."""
    try:
        yield
    except BadInput:
        raise
    except (ValueError, EOFError, OSError, MemoryError, SyntaxError, *ZIP_DAMAGE) as error:
        text = str(error)
        if "allow_pickle" in text or "Object arrays" in text:
            problem = "holds pickled Python objects, which are never loaded; save plain arrays"
        else:
            first = text.splitlines()[0] if text else type(error).__name__
            problem = f"not a whole numpy file ({first}); is it truncated?"
        raise BadInput(f"{path}: {problem}") from None


def require_new(paths: Iterable[Path], force: bool) -> None:
    """Refuses to write where files are.

    Raises:
        BadInput: One is there, and ``force`` is not given.
    """
    there = next((path for path in paths if path.exists()), None)
    if there is not None and not force:
        raise BadInput(f"{there}: is there already; export to another folder or replace it with "
                       "--force")
