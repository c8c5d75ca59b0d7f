"""Code of one's own, named in a config: ``package.module:Attribute`` or ``file.py:Attribute``.

Only what its user has named is run: a config or the command line names code, and so does
who calls :func:`trust`. What a cache, a result or a fitted model names is not.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from zskel.data.common.errors import BadConfig
from zskel.data.common.files import digest_file

_TRUSTED: set[str] = set()
_LOADED: set[str] = set()  # modules, by ``__name__``
_NAME = re.compile(r".*\.py:[A-Za-z_]\w*|[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_outside(name: str) -> bool:
    """Whether a name is that of code from outside, rather than of a registered part.

    >>> is_outside("my_method.py:MyMethod"), is_outside("sa_dvae")
    (True, False)
    """
    return ":" in name


def trust(*names: str) -> None:
    """Lets ``load_trusted`` run code that its user has named."""
    _TRUSTED.update(name for name in names if is_outside(name))


def trust_config(content: Any) -> None:
    """Trusts everything that a config, read from its own file, may name."""
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, str):
        trust(content)
    elif isinstance(content, (list, tuple)):
        for each in content:
            trust_config(each)


def load_trusted(name: str, kind: str) -> Any:
    """What :func:`load_outside` gives, where the user has named it.

    Raises:
        BadConfig: Nobody did; or as there.
    """
    if name not in _TRUSTED:
        raise BadConfig(f"{kind} {name!r}: is code from outside that only a file names; it runs "
                        "where you name it, on the command line or in the experiment's config "
                        "(in Python: zskel.data.common.outside.trust)")
    return load_outside(name, kind)


def load_outside(name: str, kind: str) -> Any:
    """The attribute that a name stands for; its file or module is run.

    Args:
        name: ``package.module:Attribute``, or ``file.py:Attribute`` with a path that is
            absolute or begins where the command runs.
        kind: What it is to be, as messages call it, e.g. "method".

    Raises:
        BadConfig: There is no such file, module or attribute, or it cannot be loaded.
    """
    place, attribute = _parts(name, kind)
    source = _source(place)
    if source is None:
        shown = f"no such file: {Path(place).absolute()}" if place.endswith(".py") else \
            f"no module {place!r} with a source file"
        raise BadConfig(f"{kind} {name!r}: {shown}; expected 'package.module:Attribute' or "
                        "'path/to/file.py:Attribute'")
    try:
        found = getattr(_load(place, source), attribute, None)
    except Exception as error:  # the code is the user's: anything can go wrong in it
        raise BadConfig(f"{kind} {name!r}: {place} cannot be loaded: {one_line(error)}") from None
    if found is None:
        raise BadConfig(f"{kind} {name!r}: {place} has no {attribute!r}")
    return found


def outside_digest(name: str) -> str | None:
    """SHA-256 of the file that a name stands for, which is not loaded; None where it is gone."""
    place, colon, _ = name.rpartition(":")
    source = _source(place) if colon and place else None
    return None if source is None else digest_file(source)


def outside_code(content: Any) -> dict[str, str | None]:
    """The digest of each file that a config's values name, whatever their depth."""
    if isinstance(content, str):
        digest = outside_digest(content) if _NAME.fullmatch(content) else None
        return {} if digest is None else {content: digest}
    values = content.values() if isinstance(content, Mapping) else content
    found: dict[str, str | None] = {}
    for value in values if isinstance(content, (Mapping, list, tuple)) else ():
        found |= outside_code(value)
    return found


def one_line(error: Exception) -> str:
    """The kind of an error and the first line that it says."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def error_in_outside_code(error: Exception) -> str | None:
    """The file, line and words of an error that code from outside made, else None.

    It may have arisen in a library that the code called, but not in this package.
    """
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = frame.f_globals.get("__name__", "")
        if module in _LOADED:
            return f"{frame.f_code.co_filename}, line {line}: {one_line(error)}"
        if module.startswith("zskel."):
            break
    return None


def _parts(name: str, kind: str) -> tuple[str, str]:
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute.isidentifier():
        raise BadConfig(f"{kind} {name!r}: expected 'package.module:Attribute' or "
                        "'path/to/file.py:Attribute'")
    return place, attribute


def _source(place: str) -> Path | None:
    """The file that a module or a path stands for."""
    if place.endswith(".py"):
        return Path(place) if Path(place).is_file() else None
    try:
        spec = importlib.util.find_spec(place)
    except Exception:  # a parent package runs its own code, and may not be there
        return None
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.is_file() else None


def _load(place: str, source: Path) -> ModuleType:
    if not place.endswith(".py"):
        _LOADED.add(place)
        return importlib.import_module(place)
    # Known by its content, so that two files of the same name are two modules.
    name = f"_outside_{source.stem}_{digest_file(source)[:16]}"
    _LOADED.add(name)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
