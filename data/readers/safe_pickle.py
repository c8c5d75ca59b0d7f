"""Pickles that can hold numbers, text and arrays, and can do nothing.

A pickle is a program: it names functions and has them called. Here it gets none.
The few names that numpy arrays, numpy scalars and builtin containers are written
with stand for functions of this file, which check what they are given; numpy
itself never sees what the pickle says about types, shapes and memory. Every
other name is refused before anything is called.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import pickle
import pickletools
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.common.files import ONLY_ZEROS, only_zeros
from zskel.data.readers.raw_file import printable

_MAX_DEPTH = 16
_SPEC = re.compile(r"[biuf](1|2|4|8)|[US][1-9][0-9]{0,5}|O8")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_BUILTINS = ("builtins", "__builtin__")


class _Refused(Exception):
    """What the pickle asks for is not given."""


class _Name:
    """What a name in the pickle stands for: it can be called and nothing else."""

    __slots__ = ("_call", "name")

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused(f"changes {self.name}")


class _Type:
    """A dtype in the making: of booleans, numbers or text only."""

    __slots__ = ("dtype",)

    def __init__(self, spec: Any, *flags: Any) -> None:
        if isinstance(spec, bytes):
            spec = spec.decode("ascii", "replace")
        if not isinstance(spec, str) or not _SPEC.fullmatch(spec):
            raise _Refused(f"holds an array of type {ascii(spec)[:40]}; only arrays of numbers and "
                           "text are read")
        try:
            self.dtype = np.dtype(spec)
        except TypeError:
            raise _Refused(f"holds an array of unknown type {spec!r}") from None

    def __setstate__(self, state: Any) -> None:
        order: Any = state[1] if isinstance(state, tuple) and len(state) >= 8 else None
        if isinstance(order, bytes):
            order = order.decode("ascii", "replace")
        if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise _Refused("holds an array of a structured or damaged type")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array in the making; ``value`` once its content is there.

    ``numpy.save`` of a dictionary makes an array of one object, without dimensions,
    around it: that stands for the object.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _Refused("holds an array in an unknown form")
        _, shape, kind, fortran, content = state
        if shape == () and isinstance(kind, _Type) and kind.dtype.hasobject \
                and isinstance(content, list) and len(content) == 1:
            self.value = content[0]
            return
        self.value = _filled(content, kind, shape, "F" if fortran else "C")


def _filled(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(kind, _Type) or order not in ("C", "F"):
        raise _Refused("holds an array in an unknown form")
    if isinstance(content, str):  # written by Python 2, or in protocol 0
        content = _encoded(content, "latin1")
    if not isinstance(content, (bytes, bytearray)) or kind.dtype.hasobject:
        raise _Refused("holds an array of objects; only arrays of numbers and text are read")
    fine = isinstance(shape, tuple) and len(shape) <= 16 and all(
        type(length) is int and 0 <= length < 2**48 for length in shape
    )
    if not fine or math.prod(shape) * kind.dtype.itemsize != len(content):
        raise _Refused(f"holds {len(content)} bytes for an array of {kind.dtype} of shape "
                       f"{ascii(shape)[:60]}")
    if not content:
        return np.zeros(shape, kind.dtype)
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _reconstruct(kind: Any, shape: Any, spec: Any) -> _Array:
    if not isinstance(kind, _Name) or kind.name != "numpy.ndarray":
        raise _Refused("holds an array of a class of its own")
    return _Array()


def _scalar(kind: Any, content: Any) -> Any:
    return _filled(content, kind, (1,), "C")[0]


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any = "C") -> np.ndarray:
    return _filled(content, kind, shape, order)


def _encoded(text: Any, encoding: Any) -> bytes:
    # How protocols 0 to 2 write bytes.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _Refused("calls _codecs.encode with another encoding than latin1")
    return text.encode("latin1")


def _no_array(*arguments: Any) -> Any:
    raise _Refused("calls numpy.ndarray itself")


def _of_items(container: Callable[..., Any]) -> Callable[..., Any]:
    def build(*items: Any) -> Any:
        if len(items) > 1 or not all(isinstance(item, (list, tuple, bytes)) for item in items):
            raise _Refused(f"makes a {container.__name__} of something else than a list")
        return container(*items)

    return build


_ALLOWED: dict[tuple[str, str], _Name] = {
    (module, name): _Name(f"{module}.{name}", call)
    for modules, name, call in (
        (_MULTIARRAY, "_reconstruct", _reconstruct),
        (_MULTIARRAY, "scalar", _scalar),
        (_NUMERIC, "_frombuffer", _from_buffer),
        (("numpy",), "ndarray", _no_array),
        (("numpy",), "dtype", _Type),
        (("_codecs",), "encode", _encoded),
        (_BUILTINS, "set", _of_items(set)),
        (_BUILTINS, "frozenset", _of_items(frozenset)),
        (_BUILTINS, "bytes", _of_items(bytes)),
        (_BUILTINS, "bytearray", _of_items(bytearray)),
    )
    for module in modules
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None:
            raise _Refused(f"asks for {printable(f'{module}.{name}'[:120])}, which is neither a "
                           "numpy array nor a builtin container")
        return found

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("asks for an object from outside the file")


def load(path: str | os.PathLike[str]) -> Any:
    """Reads a pickle of builtin containers, numbers, text and numpy arrays.

    Protocols 0 to 5, arrays written by numpy 1 and 2. Arrays of fixed-size
    numbers and text are taken, arrays of objects and records are not. Arrays are
    read-only views of what the pickle holds.

    Raises:
        BadInput: The file cannot be read, is damaged, or asks for anything
            else: one line, which names it. Nothing of it has been executed.
    """
    path = Path(path)
    where = printable(path)
    with _one_line(where):
        if not path.is_file():
            raise BadInput(f"{where}: no such file")
        with open(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            if size == 0:
                raise BadInput(f"{where}: is empty")
            if only_zeros(path):
                raise BadInput(f"{where}: {ONLY_ZEROS}")
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _check_lengths(content, size)
            return _finished(_Unpickler(handle).load(), {}, 0)


def loads(content: bytes, where: str) -> Any:
    """As ``load``, of a pickle in memory.

    Args:
        content: The pickle.
        where: Names it in messages.

    Raises:
        BadInput: As ``load``.

    >>> loads(pickle.dumps([1, "two"]), "an example")
    [1, 'two']
    """
    with _one_line(where):
        if not content:
            raise BadInput(f"{where}: is empty")
        _check_lengths(content, len(content))
        return _finished(_Unpickler(io.BytesIO(content)).load(), {}, 0)


@contextmanager
def _one_line(where: str) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except _Refused as error:
        raise BadInput(f"{where}: refused, as this pickle {error}") from None
    except Exception as error:  # a damaged pickle raises nearly any kind
        cause = printable((str(error) or type(error).__name__)[:160])
        raise BadInput(f"{where}: is not a whole pickle ({cause})") from None


def _check_lengths(content: bytes | mmap.mmap, size: int) -> None:
    """Walks over the pickle without running it.

    The walk fails where a length goes past the file's end; memo numbers and
    frames, for which the unpickler would make room all the same, are checked here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the text in damaged files
        steps: Iterator[Any] = pickletools.genops(content)  # type: ignore[arg-type]  # reads like a file
        for count, (operation, argument, _) in enumerate(steps):
            name = operation.name
            if name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > count:
                raise _Refused(f"numbers an object {argument} that is at most the {count}th")
            if name == "FRAME" and argument > size:
                raise ValueError(f"a frame of {argument} bytes in a file of {size}")


def _finished(value: Any, seen: dict[int, Any], depth: int) -> Any:
    """Puts the arrays in the place of what they were made from.

    Shared parts are visited once, so that a small file cannot stand for a
    structure that is too large to walk over.
    """
    kind = type(value)
    if kind is _Array:
        if value.value is None:
            raise _Refused("holds an array without content")
        if isinstance(value.value, np.ndarray):
            return value.value
        if depth == _MAX_DEPTH:
            raise _Refused(f"nests containers deeper than {_MAX_DEPTH}")
        return _finished(value.value, seen, depth + 1)
    if kind is _Type:
        return value.dtype
    if kind is _Name:
        raise _Refused(f"holds the function {value.name}")
    if kind not in (dict, list, tuple, set, frozenset):
        return value
    if id(value) in seen:
        return seen[id(value)][1]
    if depth == _MAX_DEPTH:
        raise _Refused(f"nests containers deeper than {_MAX_DEPTH}")
    # The value itself is kept as well: its id must not be given away.
    seen[id(value)] = (value, value)
    if kind is list:
        value[:] = [_finished(item, seen, depth + 1) for item in value]
    elif kind is dict:
        for key in value:
            if isinstance(_finished(key, seen, depth + 1), np.ndarray):
                raise _Refused("holds an array as a key")
            value[key] = _finished(value[key], seen, depth + 1)
    else:
        seen[id(value)] = (value, kind(_finished(item, seen, depth + 1) for item in value))
    return seen[id(value)][1]
