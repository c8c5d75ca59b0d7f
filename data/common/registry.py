"""Parts that configs name: readers, encoders, methods, gates, or code of one's own."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zskel.data.common.errors import BadConfig
from zskel.data.common.outside import is_outside, load_trusted

#: Of more names than the first, the second are told.
_ALL_NAMED, _NEAREST = 20, 3


def nearest(name: str, known: Iterable[str]) -> str:
    """What to suggest to someone who wrote ``name``.

    >>> nearest("sa_dave", ["sa_dvae", "smie"])
    "did you mean 'sa_dvae'?"
    >>> nearest("x", ["sa_dvae", "smie"])
    'there are sa_dvae, smie'
    >>> nearest("7", [f"x{number}" for number in range(30, 60)])
    'there are 30, such as x37, x47, x57'
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if len(known) <= _ALL_NAMED:
        return f"there are {', '.join(known) or 'none'}"
    few = sorted(difflib.get_close_matches(name, known, n=_NEAREST, cutoff=0))
    return f"there are {len(known)}, such as {', '.join(few)}"


class Registry:
    """Named parts of one kind, imported when first asked for.

    Wherever a registered name stands, ``package.module:Attribute`` or ``file.py:Attribute``
    does too (``zskel.data.common.outside``). What was loaded so is known by the ``name``
    that it gives itself from then on.

    Args:
        kind: As messages call it, e.g. "reader".
        parts: Name -> ``"package.module:attribute"``, or the part itself.
        base: ``"package.module:Class"`` that code of one's own is a subclass of, if any.
    """

    def __init__(
        self, kind: str, parts: Mapping[str, str | Callable[..., Any]], base: str | None = None
    ) -> None:
        self.kind = kind
        self._base = base
        self._parts = dict(parts)
        self._loaded: set[str] = set()

    def register(self, name: str, part: str | Callable[..., Any]) -> None:
        """Makes a part of one's own known as ``name``."""
        self._parts[name] = part

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._parts)

    def get(self, name: str) -> Any:
        """The part of that name.

        Raises:
            BadConfig: There is none; the message names the nearest.
        """
        if is_outside(name):
            return self._load(name)
        if name not in self._parts:
            raise BadConfig(f"unknown {self.kind} {name!r}; {nearest(name, self._parts)}")
        part = self._parts[name]
        return _imported(part) if isinstance(part, str) else part

    def called(self, name: str) -> str:
        """What a part is called in results: its own ``name`` where it is from outside.

        Raises:
            BadConfig: As ``get``.
        """
        return str(getattr(self.get(name), "name", name)) if is_outside(name) else name

    def _load(self, name: str) -> Any:
        part = load_trusted(name, self.kind)
        if self._base is not None and not (
                isinstance(part, type) and issubclass(part, _imported(self._base))):
            place, _, attribute = name.rpartition(":")
            raise BadConfig(f"{place}: {attribute} is no {self.kind} (a subclass of "
                            f"{self._base.replace(':', '.')})")
        called = getattr(part, "name", None)
        if isinstance(called, str):
            if called in self._parts and called not in self._loaded:
                raise BadConfig(f"{self.kind} {name!r}: calls itself {called!r}, as one that ships "
                                "does; give it a name of its own")
            self._parts[called] = part
            self._loaded.add(called)
        return part

    def build(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Calls the part of that name.

        Raises:
            BadConfig: There is none, or it takes no such option.
        """
        part = self.get(name)
        signature = inspect.signature(part)
        try:
            signature.bind(*arguments, **options)
        except TypeError as error:
            strange = [option for option in options if repr(option) in str(error)]
            hint = "".join(f"; {nearest(option, signature.parameters)}" for option in strange)
            raise BadConfig(f"{self.kind} {name!r}: {error}{hint}") from None
        return part(*arguments, **options)


def _imported(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
