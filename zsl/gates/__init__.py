"""Gates, by name. A new one is one file and one line here."""

from __future__ import annotations

from data.registry import Registry

GATES = Registry("gate", {"domain_classifier": "zsl.gates.domain_classifier:DomainClassifier"})

__all__ = ["GATES"]
