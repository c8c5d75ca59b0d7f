"""Fitted models in a work directory: kept by ``pipeline fit``, found by ``pipeline predict``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zskel.data.common.errors import BadInput
from zskel.data.common.registry import nearest
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.result_record import CacheDigests, result_stem
from zskel.zsl.protocols import STRICT

if TYPE_CHECKING:
    from zskel.zsl.fitted import Fitted

SUFFIX = ".safetensors"


def fitted_model_path(work: WorkDir, identity: Mapping[str, Any]) -> Path:
    """The file of one method, split and seed, whatever gates it holds.

    Args:
        work: The work directory.
        identity: See ``zskel.pipeline.steps.result_record.result_stem``; "gate_key" is of
            no account.
    """
    fields = ("method", "variant", "protocol", "split", "seed")
    return work.models / f"{result_stem(**{f: identity[f] for f in fields})}{SUFFIX}"


def gates_to_fit(
    path: Path, config_digest: str, gates: Mapping[str, str], digests: CacheDigests
) -> list[str]:
    """The gates that a file lacks, all of them where it was fitted otherwise.

    Args:
        path: The file.
        config_digest: Of what decides the method.
        gates: Key -> digest of the gate's config.
        digests: Of the caches.
    """
    from zskel.zsl.fitted import read_card

    try:
        origin = read_card(path)["origin"]
    except BadInput:
        return list(gates)
    same = (origin.get("config_digest") == config_digest
            and origin.get("cache_digests") == digests.model_dump(mode="json"))
    known = origin.get("gate_digests", {}) if same else {}
    return [key for key, digest in gates.items() if known.get(key) != digest]


def keep_fitted_model(
    path: Path, fitted: Fitted, gates: Mapping[str, Mapping[str, Any]], origin: Mapping[str, Any],
    files: FeatureFiles,
) -> None:
    """Writes a file; gates that it holds already, of the same fit, stay in it.

    Args:
        path: The file.
        fitted: The models and their gates.
        gates: ``{"name": ..., "options": ...}`` of each gate.
        origin: With "config_digest", "gate_digests" and "cache_digests".
        files: The caches that were fitted on.
    """
    from zskel.zsl.fitted import Fitted, load_fitted, read_card, save_fitted

    alike = ("config_digest", "cache_digests")
    try:
        card = read_card(path)
        same = all(card["origin"][k] == origin[k] for k in alike)
        before: Any = card["origin"] if same else None
        older = before and load_fitted(
            path, files.test, files.calibration, files.texts(fitted.method),
            extra=files.extra(fitted.method))
    except (BadInput, KeyError):
        older = None
    if older:
        others = [key for key in older.gates if key not in fitted.gates]
        fitted = Fitted(fitted.phases, {**{key: older.gates[key] for key in others},
                                        **fitted.gates}, fitted.seed)
        gates = {**{key: {k: card["gates"][key][k] for k in ("name", "options")}
                    for key in others}, **gates}
        origin = {**origin, "gate_digests": {
            **{key: before["gate_digests"][key] for key in others}, **origin["gate_digests"]}}
    save_fitted(fitted, path, gates, origin)


def find_fitted_model(
    work: WorkDir, method: str | None, seed: int, protocol: str = STRICT.name
) -> tuple[Path, dict[str, Any]]:
    """The file of a method and seed, and its card.

    Args:
        work: The work directory.
        method: Name of a method, of a method with its variant ("sa_dvae fd"), or of
            the file; None: the experiment's own, or the only one that is there.
        seed: Of the fit.
        protocol: Which is taken of a method that was fitted under several; "strict" where
            it was not fitted under this one.

    Raises:
        BadInput: There is none, or more than one; the message names them.
    """
    from zskel.zsl.fitted import read_card

    paths = sorted(work.models.glob(f"*{SUFFIX}"))
    if not paths:
        raise BadInput(f"{work.root}: no fitted model in models/; run `pipeline fit`")
    cards = {path: read_card(path) for path in paths}
    seeds = sorted({card["seed"] for card in cards.values()})
    found = {path: card for path, card in cards.items() if card["seed"] == seed}
    if not found:
        raise BadInput(f"{work.root}: no fitted model of seed {seed}; there are seeds "
                       f"{', '.join(map(str, seeds))}")
    if method is None:
        own = {path: card for path, card in found.items() if card["origin"]["own"]}
        found = own or found
    else:
        named = {path: card for path, card in found.items() if method in _names(path, card)}
        if not named:
            known = sorted({name for path, card in found.items()
                            for name in _names(path, card)[:2]})
            raise BadInput(f"{work.root}: no fitted model {method!r}; {nearest(method, known)}")
        found = named
    if len({_names(path, card)[1] for path, card in found.items()}) == 1:  # protocols differ
        under = {card["origin"]["identity"]["protocol"]: {path: card}
                 for path, card in found.items()}
        found = under.get(protocol) or under.get(STRICT.name) or found
    if len(found) > 1:
        raise BadInput(f"{work.root}: several fitted models of seed {seed}; choose with "
                       "--method NAME, one of " + ", ".join(path.stem for path in found))
    return next(iter(found.items()))


def check_current(path: Path, card: Mapping[str, Any], files: FeatureFiles, method: Any) -> None:
    """Checks that the caches are those that were fitted on.

    Raises:
        BadInput: They are not.
    """
    if card["origin"]["cache_digests"] != files.digests(method).model_dump(mode="json"):
        raise BadInput(f"{path}: was fitted on other caches than those in {path.parents[1]}; "
                       "run `pipeline fit` again")


def _names(path: Path, card: Mapping[str, Any]) -> Sequence[str]:
    identity = card["origin"]["identity"]
    return identity["method"], f"{identity['method']} {identity['variant']}", path.stem
