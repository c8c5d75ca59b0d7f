"""All that a protocol has fitted, kept in one file: weights, and what they are in JSON.

The file is a safetensors file; its metadata hold one JSON document, ``card``.
Nothing in it is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from zskel.data.caches import CALIBRATION, TEST, SkeletonFeatures
from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path
from zskel.data.common.os_errors import raise_refusal
from zskel.zsl.cache_checks import Text, text_of
from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import Gate
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.base import State, ZeroShotMethod
from zskel.zsl.phase_models import PhaseModels

FORMAT, FORMAT_VERSION = "zero-shot-skeleton/fitted", 1
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

    def keep(prefix: str, state: State) -> dict[str, Any]:
        arrays.update({f"{prefix}.{name}": np.asarray(array, order="C")
                       for name, array in state.arrays.items()})
        return state.values

    phases = {phase: fitted.phases[phase] for phase in _PHASES}
    c_s = {phase: models.seen_classifier for phase, models in phases.items()}
    card = {
        "format": FORMAT, "format_version": FORMAT_VERSION,
        "method": fitted.method.name,
        "params": fitted.method.params.model_dump(mode="json"),  # type: ignore[attr-defined]
        "seed": fitted.seed,
        "seen_from": phases[TEST].seen_from,
        "phases": {phase: keep(f"{phase}.method", models.method.state())
                   for phase, models in phases.items()},
        "seen_classifiers": {phase: keep(f"{phase}.seen", c.state())
                             for phase, c in c_s.items() if c is not None},
        "gates": {key: {**gates[key], "values": keep(f"gate.{key}", gate.state())}
                  for key, gate in fitted.gates.items()},
        "origin": dict(origin),
    }
    card["arrays_sha256"] = _digest(arrays)
    with atomic_path(path) as temporary:
        # Not save_file: it gives the file to its owner alone.
        temporary.write_bytes(save(arrays, {"card": json.dumps(card, allow_nan=False)}))


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file says of itself, without its arrays.

    Raises:
        BadInput: There is no such file, or it is damaged or of another format.
    """
    try:
        with safe_open(path, "numpy") as file:
            card = json.loads((file.metadata() or {}).get("card", "null"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; `pipeline fit` keeps what it fits") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise_refusal(error, path)
        raise BadInput(f"{path}: damaged ({error}); delete it and fit again") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise BadInput(f"{path}: not what `pipeline fit` keeps (format {FORMAT!r} expected)")
    if card.get("format_version") != FORMAT_VERSION:
        raise BadInput(f"{path}: format_version {card.get('format_version')!r}, expected "
                       f"{FORMAT_VERSION}; delete it and fit again")
    return card


def check_fitted(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The card of a file whose arrays are those that were written.

    Raises:
        BadInput: They are not; or as :func:`read_card`.
    """
    return _read(path)[0]


def load_fitted(
    path: str | os.PathLike[str], test: SkeletonFeatures, calibration: SkeletonFeatures, text: Text
) -> Fitted:
    """Reads what :func:`save_fitted` wrote.

    Args:
        path: The file.
        test, calibration, text: The caches that the models were fitted on.

    Raises:
        BadInput: The file is damaged or of another format.
        BadConfig: Its parameters are not this version's.
    """
    card, arrays = _read(path)

    def state(prefix: str, values: dict[str, Any]) -> State:
        start = f"{prefix}."
        return State({name.removeprefix(start): array for name, array in arrays.items()
                      if name.startswith(start)}, values)

    try:
        phases = {}
        for phase, features in zip(_PHASES, (calibration, test), strict=True):
            method = METHODS.build(card["method"], **card["params"])
            method.restore(state(f"{phase}.method", card["phases"][phase]))
            c_s = None
            if phase in card["seen_classifiers"]:
                c_s = SeenClassifier()
                c_s.restore(state(f"{phase}.seen", card["seen_classifiers"][phase]))
            phases[phase] = PhaseModels.restored(
                method, features, text_of(method, text), card["seen_from"], c_s)
        gates = {}
        for key, kept in card["gates"].items():
            gates[key] = GATES.build(kept["name"], **{**kept["options"], "seed": card["seed"]})
            gates[key].restore(state(f"gate.{key}", kept["values"]))
        return Fitted(phases, gates, card["seed"])
    except (KeyError, IndexError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path}: its arrays do not make a {card.get('method')} ({reason}); delete "
                       "it and fit again") from None


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    card = read_card(path)
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise_refusal(error, path)
        raise BadInput(f"{path}: damaged ({error}); delete it and fit again") from None
    if _digest(arrays) != card.get("arrays_sha256"):
        raise BadInput(f"{path}: damaged (its arrays are not those that were written); delete it "
                       "and fit again")
    return card, arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
