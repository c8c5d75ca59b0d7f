"""Gates, by name. A new one is one file and one line here."""

from __future__ import annotations

from data.registry import Registry

GATES = Registry("gate", {
    "calibrated_stacking": "zsl.gates.calibrated_stacking:CalibratedStacking",
    "domain_classifier": "zsl.gates.domain_classifier:DomainClassifier",
    "familiarity": "zsl.gates.familiarity:FamiliarityGate",
    "hard": "zsl.gates.hard:HardGate",
    "joint_softmax": "zsl.gates.joint_softmax:JointSoftmax",
})

__all__ = ["GATES"]
