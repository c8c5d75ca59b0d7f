"""Zero-shot methods, by name. A new one is one file and one line here."""

from __future__ import annotations

from data.registry import Registry

METHODS = Registry("method", {"sa_dvae": "zsl.methods.sa_dvae:SADVAE"})

__all__ = ["METHODS"]
