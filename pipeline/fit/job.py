"""One fit: a method and a seed on one work directory, with all gates on top of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import TRAIN
from zskel.data.common.errors import BadInput
from zskel.data.common.files import digest_json
from zskel.data.common.memory import memory_in_one_line
from zskel.data.common.outside import trust_config
from zskel.pipeline.base.changes import differences, few
from zskel.pipeline.base.config import Experiment, FitConfig
from zskel.pipeline.base.determinism import use_deterministic_algorithms
from zskel.pipeline.base.progress import bar, say
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.fits import Fit, is_current_result
from zskel.pipeline.steps.fitted_models import fitted_model_path, gates_to_fit, keep_fitted_model
from zskel.pipeline.steps.records import make_arrays, make_record
from zskel.pipeline.steps.result_record import CacheDigests, ResultRecord, result_stem
from zskel.pipeline.steps.results import read_result, write_result
from zskel.zsl.devices import computing_on
from zskel.zsl.metrics import Predictions
from zskel.zsl.threads import single_threaded

#: From this share of a side's test clips on, the user is told that they are on the other.
_NEARLY_ALL = 0.95


@dataclass(frozen=True)
class FitJob:
    """A fit as a value, which can be handed to another process.

    Attributes:
        experiment: Whose.
        config: Its fit section, with the method and all gates.
        work: Where its caches are.
        seed: Of everything random.
        keep_models: Whether to keep what is fitted.
    """

    experiment: Experiment
    config: FitConfig
    work: WorkDir
    seed: int
    keep_models: bool

    @cached_property
    def what(self) -> Fit:
        """The fit section made callable."""
        return Fit(self.config)

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What tells it from others of its work directory."""
        return {"method": self.what.method_name, "variant": self.what.variant(self.seed),
                "seed": self.seed, "protocol": self.config.protocol_name,
                "split": self.experiment.split.name}

    @property
    def name(self) -> str:
        """Of its files."""
        return result_stem(**self.identity)

    def __str__(self) -> str:
        return f"{self.what.method_name}, seed {self.seed}"

    def with_gates_of(self, other: FitJob) -> FitJob:
        """The same fit with what another one wants of it, too."""
        config = self.config.model_copy(
            update={"gates": {**self.config.gates, **other.config.gates}})
        return replace(self, config=config, keep_models=self.keep_models or other.keep_models)

    def __getstate__(self) -> dict[str, Any]:
        return {name: vars(self)[name] for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What comes from another process of this program, its user has named there.
        trust_config(state["config"].model_dump(mode="json"))
        vars(self).update(state)


@dataclass(frozen=True)
class FitStatus:
    """What of a fit is there already.

    Attributes:
        paths: Of its results, by gate key.
        missing: Keys of those that are not there or not current.
        wanted: Keys of all gates to be fitted, for results or for the models kept.
        model: The file of the fitted models.
        digests, model_digests: Of the caches that results, and models, depend on.
        gate_digests: Of the gates' configs, by key.
        steps: Training steps of one phase.
    """

    paths: dict[str, Path]
    missing: list[str]
    wanted: list[str]
    model: Path
    digests: CacheDigests
    model_digests: CacheDigests
    gate_digests: dict[str, str]
    steps: int


class Fitter:
    """Does fits one after the other; the caches are read once for all of a work directory.

    Args:
        deterministic: See ``zskel.pipeline.fit.fit.fit``, which says so.
    """

    def __init__(self, deterministic: bool = False) -> None:
        if deterministic:
            use_deterministic_algorithms(lambda message: None)
        self._of: tuple[Path, str] | None = None
        self._files: FeatureFiles | None = None

    def files(self, work: WorkDir, features: str) -> FeatureFiles:
        """The caches of a work directory, with what is taken for f_x.

        Raises:
            BadCache: A skeleton cache is missing or breaks its contract.
        """
        if self._files is None or self._of != (work.root, features):
            self._files = None  # two would be in memory
            self._of, self._files = (work.root, features), FeatureFiles(work, features)
        return self._files

    def _files_of(self, job: FitJob) -> FeatureFiles:
        return self.files(job.work, job.config.features)

    def status(self, job: FitJob) -> FitStatus:
        """Looks what of a job is there already."""
        what, files = job.what, self._files_of(job)
        method = what.method(job.seed)
        digests, of_model = files.digests(method, what.views), files.digests(method)
        # The seed is a field of its own: all seeds of one setting share a digest.
        paths = {key: job.work.results / f"{result_stem(**job.identity, gate_key=key)}.json"
                 for key in what.gates}
        missing = [key for key, path in paths.items()
                   if not is_current_result(path, digest_json(what.result_config(key)), digests)]
        model = fitted_model_path(job.work, job.identity)
        gate_digests = {key: digest_json(what.gate_config(key)) for key in what.gates}
        lacking = gates_to_fit(model, what.model_digest(), gate_digests,
                           of_model) if job.keep_models else []
        wanted = [key for key in what.gates if key in missing or key in lacking]
        steps = method.steps(len(files.test.rows(TRAIN)))
        return FitStatus(paths, missing, wanted, model, digests, of_model, gate_digests, steps)

    # So the fits themselves are, and then a record says so whatever process it is made in.
    @single_threaded()
    def __call__(self, job: FitJob) -> None:
        """Does a fit and writes what of it is missing.

        Raises:
            PipelineError: The fit fails.
        """
        found = self.status(job)
        if not found.wanted:
            return  # somebody else has done it in the meantime
        what, files = job.what, self._files_of(job)
        fitted: list[Any] = []
        started = time.perf_counter()
        with computing_on(what.device()):
            work_now = f"fitting {job}"
            with bar(work_now) as tell, memory_in_one_line(
                work_now, "free some and give the same command again, it goes on; or set a "
                "smaller fit.method.options.batch_size or model, which is another fit",
            ):
                evaluations = what.evaluate(files, found.wanted, job.seed, tell, fitted.append)
            self._keep(job, found, evaluations, fitted[0], time.perf_counter() - started)

    def _keep(
        self, job: FitJob, found: FitStatus, evaluations: Mapping[str, Any], fitted: Any,
        seconds: float,
    ) -> None:
        """Writes results and, if they are wanted, models."""
        what = job.what
        for key in found.missing:
            self._write(job, found, key, evaluations[key], seconds)
        if job.keep_models:
            gates = {key: what.gate_config(key) for key in found.wanted}
            keep_fitted_model(found.model, fitted, gates, {
                "experiment": job.experiment.name,
                "identity": dict(job.identity),
                "own": job.config.method == job.experiment.fit.method,
                "dataset": job.experiment.dataset.model_dump(mode="json"),
                "features": job.config.features,
                "config_digest": what.model_digest(),
                "gate_digests": {key: found.gate_digests[key] for key in found.wanted},
                "cache_digests": found.model_digests.model_dump(mode="json"),
            }, self._files_of(job))

    def _write(
        self, job: FitJob, found: FitStatus, key: str, evaluation: Any, seconds: float
    ) -> None:
        what, files = job.what, self._files_of(job)
        record = make_record(
            evaluation,
            {**job.identity, "gate_key": key, "experiment": job.experiment.name,
             "seen_classifier": what.seen_classifier},
            config=what.result_config(key), test=files.test, calibration=files.calibration,
            text=files.text_record(what.method(job.seed)), digests=found.digests, seconds=seconds,
        )
        changes = _changes(found.paths[key], record)
        write_result(job.work.root, record, make_arrays(evaluation))
        if changes:
            say(f"replaced {found.paths[key].name}: {few(changes)}")
        say(f"{what.method_name}, gate {key or record.config['gate']['name']}, seed {job.seed}: "
            f"ZSL {record.zsl_accuracy:.1%}, GZSL seen {record.gzsl_seen_accuracy:.1%}, "
            f"unseen {record.gzsl_unseen_accuracy:.1%}, H {record.gzsl_harmonic_mean:.1%} "
            f"({record.duration_seconds:.0f} s) -> {found.paths[key]}")
        for line in one_sided(evaluation.predictions, evaluation.gate):
            say(f"note: {line}")


def one_sided(predictions: Predictions, gate: Mapping[str, Any]) -> Iterator[str]:
    """Tells that a gate takes nearly all clips of one side for the other's, if it does.

    Nothing is chosen by this; the numbers of the result tell it too, to those who look.

    Args:
        predictions: Of the test rows.
        gate: Its description.
    """
    unseen, said_unseen = (np.isin(classes, predictions.unseen_classes)
                           for classes in (predictions.label, predictions.gzsl_prediction))
    fitted = (f"; it was fitted on {gate['seen_rows']} and {gate['unseen_rows']} calibration clips "
              "of seen and unseen classes" if {"seen_rows", "unseen_rows"} <= set(gate) else "")
    for side, other, rows in (("seen", "unseen", ~unseen), ("unseen", "seen", unseen)):
        wrong, number = int((said_unseen != unseen)[rows].sum()), int(rows.sum())
        if wrong >= _NEARLY_ALL * number:
            yield (f"gate {gate['name']} takes {wrong} of {number} test clips of {side} classes "
                   f"for {other} ones{fitted}; docs/gates.md says why that happens")


def _changes(path: Path, record: ResultRecord) -> list[str]:
    """How the config of a result that is there, if one is, differs from that of the new one."""
    try:
        return differences(read_result(path).config, record.config, "fit")
    except BadInput:
        return []
