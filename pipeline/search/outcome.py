"""What is written of a search: its trials as JSON and CSV, and the best setting as a config."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zskel.data.classes import class_names
from zskel.pipeline.base.config import Experiment, check_experiment
from zskel.pipeline.base.experiment_file import experiment_source
from zskel.pipeline.search.job import SearchJob, with_options
from zskel.pipeline.search.worker import Chosen

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FORMAT, FORMAT_VERSION = "zsl-search", 1

#: What of a trial says who did it and when; everything else follows from the seed where
#: the sampler is random or a grid.
INCIDENTAL = ("worker", "seconds")


def outcome(
    job: SearchJob, finished: Sequence[Sequence[FrozenTrial]], chosen: Sequence[Chosen],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """A search as JSON values.

    Args:
        job: The search.
        finished: By step, the finished trial of every slot.
        chosen: By step.
        digests: Of the caches.
    """
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION,
        "experiment": job.experiment.name, "space": job.space, "name": job.name,
        "title": job.config.title, "method": job.method_name,
        "objective": job.config.objective, "phase": "calibration", "seed": job.seed,
        "split": job.experiment.split.name, "gate": job.experiment.fit.gate.name,
        "seen_classifier": job.seen_from, "config_digest": job.config_digest(),
        "cache_digests": dict(digests),
        "steps": [{
            "name": step.name, "sampler": step.sampler, "pruner": step.pruner,
            "seeds": step.seeds,
            "space": {name: each.model_dump(mode="json", exclude_none=True)
                      for name, each in step.space.items()},
            "fixed": dict(step.fixed), "ties": dict(step.ties),
            "best_slot": choice.trial.user_attrs["slot"] if choice.trial else None,
            "trials": [trial_row(trial, choice) for trial in trials],
        } for step, trials, choice in zip(job.config.steps, finished, chosen)],
        "best": {"value": chosen[-1].trial.value if chosen[-1].trial else None,
                 "options": chosen[-1].options},
    }


def trial_row(trial: FrozenTrial, choice: Chosen | None = None) -> dict[str, Any]:
    """A finished trial as JSON values."""
    attributes = trial.user_attrs
    return {
        "slot": attributes["slot"], "state": trial.state.name.lower(), "value": trial.value,
        "best": choice is not None and choice.trial is not None
        and choice.trial.user_attrs["slot"] == attributes["slot"],
        "params": dict(trial.params), "metrics": attributes.get("metrics", {}),
        "by_seed": attributes.get("by_seed", []), "error": attributes.get("error"),
        "seconds": attributes.get("seconds"), "worker": attributes.get("worker"),
    }


def to_csv(content: Mapping[str, Any]) -> str:
    """All trials, one a row, in full precision."""
    names = list(dict.fromkeys(
        name for step in content["steps"] for name in step["space"]))
    metrics = list(dict.fromkeys(
        name for step in content["steps"] for trial in step["trials"] for name in trial["metrics"]))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["step", "slot", "state", "best", "value", *names,
                     *(f"validation_{name}" for name in metrics), "seconds", "host", "pid",
                     "error"])
    for step in content["steps"]:
        for trial in step["trials"]:
            worker = trial["worker"] or {}
            writer.writerow([
                step["name"], trial["slot"], trial["state"], trial["best"], _cell(trial["value"]),
                *(_cell(trial["params"].get(name)) for name in names),
                *(_cell(trial["metrics"].get(name)) for name in metrics),
                _cell(trial["seconds"]), worker.get("host", ""), worker.get("pid", ""),
                trial["error"] or "",
            ])
    return file.getvalue()


def best_config(job: SearchJob, best: Chosen) -> str:
    """The experiment with the best setting, as a config that needs no other file."""
    experiment = with_options(job.experiment, best.options)
    content = _content(experiment)
    check_experiment(content, "the best setting")
    value = f"{best.trial.value:.4f}" if best.trial is not None else "none"
    return experiment_source([
        f"The best setting of `pipeline search {job.experiment.name}`, space {job.name}: "
        "chosen by",
        f"{job.config.objective} on the calibration phase ({value}); no test clip had a part "
        "in it.",
    ], content)


def _content(experiment: Experiment) -> dict[str, Any]:
    content = experiment.model_dump(mode="python", exclude_none=True)
    if experiment.dataset.class_names is not None:
        # They may stand in a file, which this config shall not need.
        content["dataset"]["class_names"] = list(class_names(experiment.dataset.name))
    for key in ("class_text_parts", "feature_views"):
        if not content.get(key):
            content.pop(key, None)
    return content


def _cell(value: Any) -> Any:
    return "" if value is None else repr(value) if isinstance(value, float) else value
