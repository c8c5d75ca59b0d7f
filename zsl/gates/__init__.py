"""Gates, by name. A new one is one file and one line here."""

from __future__ import annotations

from zskel.data.common.registry import Registry

GATES = Registry("gate", {
    "calibrated_stacking": "zskel.zsl.gates.calibrated_stacking:CalibratedStacking",
    "domain_classifier": "zskel.zsl.gates.domain_classifier:DomainClassifier",
    "error_ratio": "zskel.zsl.gates.error_ratio:ErrorRatio",
    "familiarity": "zskel.zsl.gates.familiarity:FamiliarityGate",
    "hard": "zskel.zsl.gates.hard:HardGate",
    "joint_softmax": "zskel.zsl.gates.joint_softmax:JointSoftmax",
    "left_out_classes": "zskel.zsl.gates.left_out_classes:LeftOutClassesGate",
}, base="zskel.zsl.gates.base:Gate")

__all__ = ["GATES"]
