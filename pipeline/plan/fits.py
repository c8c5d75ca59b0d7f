"""Which results a table's fits give, and which of them are there already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zskel.data.common.errors import BadCache, BadConfig
from zskel.data.common.files import digest_json
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.plan.definition import FitCall
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.fits import Fit, fit_configs, is_current_result
from zskel.pipeline.steps.result_record import result_stem

THERE, TO_FIT, WAITING = "there", "to fit", "after features"


@dataclass(frozen=True)
class Result:
    """One result of a table: a method, a gate and a seed on one experiment.

    Attributes:
        experiment, method, variant, gate, protocol, seen_classifier, seed: What it is.
        path: Its JSON file, there or not.
        config_digest: Of what decides it apart from caches and seed.
        options: Of the method.
        state: One of this module's constants.
    """

    experiment: str
    method: str
    variant: str
    gate: str
    protocol: str
    seen_classifier: str
    seed: int
    path: Path
    config_digest: str
    options: dict[str, Any]
    state: str


def results_of(call: FitCall, work: WorkDir, current: bool) -> list[Result]:
    """The results of one fit, for each seed and gate.

    Args:
        call: The fit.
        work: Where its caches and results are.
        current: Whether the caches are what the experiment asks for.

    Raises:
        BadConfig: A method or an option is unknown or impossible.
    """
    files = _files(work, call.experiment.fit.features) if current else None
    found = []
    for config in fit_configs(call.experiment, call.methods, call.gates):
        what = Fit(config)
        for seed in range(call.seeds):
            method = what.method(seed)
            variant = what.variant(seed)
            digests = None
            if files is not None and not files.missing(method):
                digests = files.digests(method, what.views)
            for key, gate in {"": config.gate, **config.gates}.items():
                stem = result_stem(what.method_name, variant, config.protocol_name,
                                   call.experiment.split.name, seed, key)
                path = work.results / f"{stem}.json"
                whole = what.result_config(key)
                digest = digest_json(whole)
                state = WAITING
                if digests is not None:
                    there = is_current_result(path, digest, digests)
                    state = THERE if there else TO_FIT
                found.append(Result(
                    call.experiment.name, what.method_name, variant, gate.name,
                    config.protocol_name, what.seen_classifier, seed, path, digest,
                    whole["method"]["options"], state))
    return found


def check_distinct_files(results: Iterable[Result], table: str) -> None:
    """Checks that no two results of a table are one file.

    Raises:
        BadConfig: Two are, and differ in their config.
    """
    taken: dict[Path, Result] = {}
    for result in results:
        other = taken.setdefault(result.path, result)
        if other.config_digest != result.config_digest:
            raise BadConfig(f"table {table}: two fits would write {result.path}; "
                            "give the runs of one of them a suffix")


def _files(work: WorkDir, features: str) -> FeatureFiles | None:
    try:
        return FeatureFiles(work, features)
    except BadCache:
        return None
