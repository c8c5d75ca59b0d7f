"""All that a protocol has fitted, kept in one file; see ``zskel.zsl.model_file``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from zskel.data.caches import CALIBRATION, TEST, SkeletonFeatures
from zskel.zsl import model_file
from zskel.zsl.cache_checks import Extra, Text
from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import Gate
from zskel.zsl.methods.base import State, ZeroShotMethod
from zskel.zsl.methods.saving import method_of
from zskel.zsl.model_file import FITTED, as_written, read_model_file, write_model_file
from zskel.zsl.phase_models import PhaseModels

_PHASES = (CALIBRATION, TEST)


@dataclass(frozen=True)
class Fitted:
    """The models of both phases and the gates that the calibration phase has taught.

    Attributes:
        phases: "calibration" and "test".
        gates: By the names that the protocol was given.
        seed: Of methods and gates.
    """

    phases: Mapping[str, PhaseModels]
    gates: Mapping[str, Gate]
    seed: int

    @property
    def method(self) -> ZeroShotMethod:
        """That of the test phase."""
        return self.phases[TEST].method


def save_fitted(
    fitted: Fitted,
    path: str | os.PathLike[str],
    gates: Mapping[str, Mapping[str, Any]],
    origin: Mapping[str, Any],
) -> None:
    """Writes the file, whole or not at all.

    Args:
        fitted: What to keep.
        path: Ends in ``.safetensors``.
        gates: ``{"name": ..., "options": ...}`` of each gate, so that an equal
            one can be made.
        origin: JSON values of the caller's: what it was fitted for and from.
    """
    arrays: dict[str, np.ndarray] = {}

    def keep(prefix: str, values: dict[str, Any], of: Mapping[str, np.ndarray]) -> dict[str, Any]:
        arrays.update({f"{prefix}.{name}": array for name, array in of.items()})
        return values

    def keep_state(prefix: str, state: State) -> dict[str, Any]:
        return keep(prefix, state.values, state.arrays)

    phases = {phase: fitted.phases[phase] for phase in _PHASES}
    c_s = {phase: models.seen_classifier for phase, models in phases.items()}
    write_model_file(path, FITTED, {
        "method": fitted.method.name,
        "seed": fitted.seed,
        "seen_from": phases[TEST].seen_from,
        "phases": {phase: keep(f"{phase}.method", *models.method.content())
                   for phase, models in phases.items()},
        "seen_classifiers": {phase: keep_state(f"{phase}.seen", c.state())
                             for phase, c in c_s.items() if c is not None},
        "gates": {key: {**gates[key], "values": keep_state(f"gate.{key}", gate.state())}
                  for key, gate in fitted.gates.items()},
        "origin": dict(origin),
    }, arrays)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file says of itself, without its arrays.

    Raises:
        BadInput: There is no such file, or it is damaged or of another format.
    """
    return _as_now(model_file.read_card(path, FITTED))


def check_fitted(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a file whose arrays are those that were written.

    Raises:
        BadInput: They are not; or as :func:`read_card`.
    """
    return _as_now(read_model_file(path, FITTED)[0])


def load_fitted(
    path: str | os.PathLike[str], test: SkeletonFeatures, calibration: SkeletonFeatures,
    text: Text, gate: str | None = None, extra: Extra = MappingProxyType({}),
) -> Fitted:
    """Reads what :func:`save_fitted` wrote.

    Args:
        path: The file.
        test, calibration, text: The caches that the models were fitted on.
        gate: Key of the one gate to read; None: all of them.
        extra: The feature views, for a method that takes some in place of f_x.

    Raises:
        BadInput: The file is damaged or of another format.
        BadConfig: Its parameters are not this version's.
    """
    card, arrays = read_model_file(path, FITTED)
    card = _as_now(card)

    def of(prefix: str) -> dict[str, np.ndarray]:
        start = f"{prefix}."
        return {name.removeprefix(start): array for name, array in arrays.items()
                if name.startswith(start)}

    with as_written(path, card["method"]):
        phases = {}
        for phase, features in zip(_PHASES, (calibration, test), strict=True):
            method = method_of(card["phases"][phase], of(f"{phase}.method"), path)
            c_s = None
            if phase in card["seen_classifiers"]:
                c_s = SeenClassifier()
                c_s.restore(State(of(f"{phase}.seen"), card["seen_classifiers"][phase]))
            phases[phase] = PhaseModels(method, features, text, card["seen_from"], c_s,
                                        extra)
        gates = {}
        for key, kept in card["gates"].items():
            if gate is not None and key != gate:
                continue
            gates[key] = GATES.build(kept["name"], **{**kept["options"], "seed": card["seed"]})
            gates[key].restore(State(of(f"gate.{key}"), kept["values"]))
    return Fitted(phases, gates, card["seed"])


def _as_now(card: dict[str, Any]) -> dict[str, Any]:
    """The card of version 1, which told name and parameters once for both phases."""
    if card["format_version"] > 1:
        return card
    both = {"method": card["method"], "params": card["params"]}
    return {**card, "phases": {phase: {**both, "values": values}
                               for phase, values in card["phases"].items()}}
