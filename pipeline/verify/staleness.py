"""Whether the parts of a work directory are what an experiment's config asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zskel.data.classes import class_names
from zskel.data.common.errors import PipelineError
from zskel.pipeline.base.changes import differences, few
from zskel.pipeline.base.config import Experiment, experiment_names, load_experiment
from zskel.pipeline.verify.checks import NOTICE, STALE, Check, checked
from zskel.pipeline.verify.work_dir import Parts


def known_experiment(parts: Parts) -> tuple[Experiment | None, list[Check]]:
    """The experiment that the features name, if it is one of ``configs/``.

    A config file is a program, so none is run that lies somewhere else, whatever
    the features say.
    """
    name = parts.experiment
    if name in experiment_names():
        return load_experiment(name), []
    if not parts.skeleton and not parts.results:
        return None, []
    why = f"{name!r} is not in configs/" if name else "the features name no experiment"
    return None, [Check(parts.work.root, "parts are what the config asks for", NOTICE,
                        f"not compared: {why}; name its file with --experiment")]


def check_staleness(parts: Parts, experiment: Experiment) -> Iterator[Check]:
    """Compares the config with what features, results and models say they were made with."""
    if experiment.imported is None:
        yield from _features(parts, experiment)
    yield from _fitted(parts, experiment)


def _features(parts: Parts, experiment: Experiment) -> Iterator[Check]:
    from zskel.pipeline.steps.phase_plan import make_plan, resolve_split
    from zskel.pipeline.steps.skeleton_cache import cache_changes
    from zskel.pipeline.steps.text_cache import text_changes

    work, store, again = parts.work, parts.store, parts.command("extract")
    found: dict[Path, list[str]] = {}
    if store is not None:
        dataset, names = experiment.dataset, list(class_names(experiment.dataset.name))
        changes = [*differences(store.dataset, dataset.name, "dataset"),
                   *differences(list(store.class_names), names, "class_names"),
                   *differences(store.cleaning, dataset.cleaning, "cleaning")]
        yield checked(store.path, "the store is read as the config says", not changes, STALE,
                      few(changes), f"{again} --raw PATH")
        try:
            plan = make_plan(experiment, store, resolve_split(experiment))
        except PipelineError as error:
            yield Check(store.path, "the config fits the store", STALE, str(error), again)
            return
        for phase in plan.phases:
            found |= cache_changes(experiment, plan, phase, work)
    elif parts.skeleton:
        yield Check(work.store, "features are what the config asks for", NOTICE,
                    "not compared: the sequence store is not there")
    found |= text_changes(experiment, work)
    for path, changes in found.items():
        if not path.is_file():
            yield _asked_for(path, ["it is not there"], again)
        elif path in parts.skeleton or path in parts.text:
            yield _asked_for(path, changes, again)


def _fitted(parts: Parts, experiment: Experiment) -> Iterator[Check]:
    """Results and models of the experiment's own settings."""
    from zskel.pipeline.steps.fits import Fit

    fits: dict[str, Fit | None] = {}
    changes: dict[Path, list[str] | None] = {}
    for path, record in parts.results.items():
        fit = _own_fit(experiment, record.model_dump(include=_NAMED_BY), fits)
        changes[path] = fit and differences(record.config, fit.result_config(record.gate_key))
    for path, card in parts.models.items():
        origin = card["origin"]
        fit = _own_fit(experiment, {**origin["identity"], "gate_key": ""}, fits)
        changes[path] = fit and (
            [] if origin["config_digest"] == fit.model_digest() else differences(
                card["phases"]["test"]["params"],
                fit.method(card["seed"]).params.model_dump(mode="json")
            ) or ["the digest of what it was fitted with is another one"])
    for path, own in changes.items():
        if own is not None:
            yield _asked_for(path, own, parts.command("fit"))
    others = [path.name for path, own in changes.items() if own is None]
    if others:
        yield Check(parts.work.results, "results are what the config asks for", NOTICE,
                    f"{len(others)} of methods, variants or splits that the config does not "
                    f"name are not compared, such as {others[0]}")


#: Decides whether a result is one that the config makes, as opposed to how it makes it.
_NAMED_BY = {"method", "variant", "protocol", "split", "seed", "gate_key"}


def _own_fit(experiment: Experiment, identity: Mapping[str, Any], made: dict[str, Any]) -> Any:
    """The fit that the config makes under this name; None if it makes none."""
    from zskel.pipeline.steps.fits import Fit, fit_configs
    from zskel.zsl.gates import GATES

    name = identity["method"]
    if name not in made:
        gates = [gate for gate in GATES.names() if gate != experiment.fit.gate.name]
        try:
            made[name] = Fit(fit_configs(experiment, (name,), gates)[0])
        except PipelineError:
            made[name] = None  # a method that has no config here
    fit = made[name]
    same = fit is not None and identity["gate_key"] in fit.gates and (
        identity["protocol"], identity["split"], identity["variant"]) == (
        fit.config.protocol_name, experiment.split.name, fit.variant(identity["seed"]))
    return fit if same else None


def _asked_for(path: Path, changes: list[str], again: str) -> Check:
    return checked(path, f"{path.name} is what the config asks for", not changes, STALE,
                   few(changes), again)
