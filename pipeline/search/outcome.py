"""What is written of a search: its trials as JSON and CSV, and the best setting as a config."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zskel.data.classes import class_names
from zskel.data.common.files import remove_left_behind, write_json, write_text
from zskel.pipeline.base.config import check_experiment
from zskel.pipeline.base.config_files import experiment_source
from zskel.pipeline.base.locks import held
from zskel.pipeline.search.job import SearchJob, with_method
from zskel.pipeline.search.page import write_page
from zskel.pipeline.search.worker import SLOT, WORKER, StepResult

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FORMAT, FORMAT_VERSION = "zsl-search", 1

#: What of a trial says who did it and when; everything else follows from the seed where
#: the sampler is random or a grid.
INCIDENTAL = ("worker", "seconds")


def write_outcome(
    job: SearchJob, results: Sequence[StepResult], digests: Mapping[str, str]
) -> tuple[dict[str, Any], Path]:
    """Writes all that a finished search leaves in its folder; the arguments are ``outcome``'s.

    Returns:
        The content of ``trials.json``, and the page.
    """
    content = outcome(job, results, digests)
    with held(job.folder / ".outcome", f"the outcome of search {job.name}",
              lambda: remove_left_behind(job.folder)):
        write_json(job.folder / "trials.json", content)
        write_text(job.folder / "trials.csv", to_csv(content))
        write_text(job.folder / "best.py", best_config(job, results[-1]))
        return content, write_page(content, job.folder)


def outcome(
    job: SearchJob, results: Sequence[StepResult], digests: Mapping[str, str]
) -> dict[str, Any]:
    """A search as JSON values.

    Args:
        job: The search.
        results: Of each step.
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
            "best_slot": result.best.user_attrs[SLOT],
            "trials": [trial_row(trial, trial.number == result.best.number)
                       for trial in result.trials],
        } for step, result in zip(job.config.steps, results)],
        "best": {"value": results[-1].best.value, "options": results[-1].options},
    }


def trial_row(trial: FrozenTrial, best: bool) -> dict[str, Any]:
    """A finished trial as JSON values."""
    attributes = trial.user_attrs
    return {
        "slot": attributes[SLOT], "state": trial.state.name.lower(), "value": trial.value,
        "best": best, "params": dict(trial.params), "metrics": attributes.get("metrics", {}),
        "by_seed": attributes.get("by_seed", []), "error": attributes.get("error"),
        "seconds": round(trial.duration.total_seconds(), 3) if trial.duration else None,
        "worker": attributes.get(WORKER),
    }


def to_csv(content: Mapping[str, Any]) -> str:
    """All trials, one a row, in full precision."""
    rows = [(step["name"], trial) for step in content["steps"] for trial in step["trials"]]
    names = list(dict.fromkeys(name for step in content["steps"] for name in step["space"]))
    metrics = list(dict.fromkeys(name for _, trial in rows for name in trial["metrics"]))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["step", "slot", "state", "best", "value", *names,
                     *(f"validation_{name}" for name in metrics), "seconds", "host", "pid",
                     "error"])
    for step, trial in rows:
        worker = trial["worker"] or {}
        writer.writerow(["" if value is None else value for value in (
            step, trial["slot"], trial["state"], trial["best"], trial["value"],
            *map(trial["params"].get, names), *map(trial["metrics"].get, metrics),
            trial["seconds"], worker.get("host"), worker.get("pid"), trial["error"])])
    return file.getvalue()


def best_config(job: SearchJob, result: StepResult) -> str:
    """The experiment with the best setting, as a config that needs no other file."""
    method = job.experiment.fit.method
    experiment = with_method(
        job.experiment, method.model_copy(update={"options": result.options}))
    content = experiment.model_dump(mode="python", exclude_none=True)
    if experiment.dataset.class_names is not None:
        # They may stand in a file, which this config shall not need.
        content["dataset"]["class_names"] = list(class_names(experiment.dataset.name))
    for key in ("class_text_parts", "feature_views"):
        if not content.get(key):
            content.pop(key, None)
    check_experiment(content, "the best setting")
    return experiment_source([
        f"The best setting of `pipeline search {job.experiment.name}`, space {job.name}: "
        "chosen by",
        f"{job.config.objective} on the calibration phase ({result.best.value:.4f}); no test clip "
        "had a part in it.",
    ], content)
