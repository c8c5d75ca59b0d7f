"""One search as a value: what is searched, where it is kept, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zskel.data.caches import CALIBRATION, read_skeleton_features, read_text_features
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.files import digest_json
from zskel.pipeline.base.config import Experiment, NamedConfig
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.search.space import SearchConfig, Step, check_parameters
from zskel.pipeline.steps.feature_files import cache_digest, missing_features
from zskel.pipeline.steps.made_from import check_made_from
from zskel.zsl.cache_checks import by_part
from zskel.zsl.gates import GATES
from zskel.zsl.methods import METHODS
from zskel.zsl.validation import Validation


@dataclass(frozen=True)
class SearchJob:
    """A search of one experiment. It can be handed to another process.

    Attributes:
        experiment: With the method that is searched.
        space: Name of the search space.
        config: The search space.
        work: Where the caches are.
        storage: URL.
        name: The space's name with what else tells this search from others.
        seed: Of the samplers.
    """

    experiment: Experiment
    space: str
    config: SearchConfig
    work: WorkDir
    storage: str
    name: str
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Where everything that comes of it is written."""
        return search_folder(self.work, self.name)

    @property
    def method_name(self) -> str:
        """Of the method that is searched."""
        return self.experiment.fit.method.name

    @property
    def seen_from(self) -> Any:
        """What C_s is. The honest default, whatever protocol the experiment is fitted by."""
        return self.experiment.fit.seen_classifier or "f_x"

    def study_name(self, step: Step) -> str:
        """Of a step, in the storage."""
        return f"{self.experiment.name}/{self.name}/{step.name}/seed-{self.seed}"

    def method(self, options: dict[str, Any], seed: int = 0) -> Any:
        """An unfitted method."""
        return METHODS.build(self.method_name, **{**options, "seed": seed})

    def gate(self, seed: int) -> Any:
        """An unfitted gate."""
        gate = self.experiment.fit.gate
        return GATES.build(gate.name, **{**gate.options, "seed": seed})

    def options(self, at: int, settled: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        """The method's options in a trial of the ``at``-th step.

        Args:
            at: Which step.
            settled: What earlier steps have left.
            params: What is tried.
        """
        step = self.config.steps[at]
        options = {**settled, **step.fixed, **params}
        if any(other not in options for other in step.ties.values()):
            options = {**vars(self.method(options).params), **options}
            options.pop("seed")
        return {**options, **{name: options[other] for name, other in step.ties.items()}}

    def config_digest(self) -> str:
        """SHA-256 of what decides a trial's value apart from caches and space."""
        fit = self.experiment.fit
        return digest_json({
            "method": fit.method.model_dump(mode="json"), "gate": fit.gate.model_dump(mode="json"),
            "seen_classifier": self.seen_from, "split": self.experiment.split.name,
        })

    def check(self) -> None:
        """Checks that the method can be made with every kind of setting.

        Raises:
            BadConfig: A parameter is unknown, or a value impossible.
        """
        own = dict(self.experiment.fit.method.options)
        known = self.method(own).params.model_dump()
        check_parameters(self.config, self.method_name, known)
        self.gate(0)
        settled = dict(known)
        for at, step in enumerate(self.config.steps):
            for params in step.extremes():
                try:
                    options = self.options(at, settled, params)
                    self.method({**own, **{name: options[name] for name in (
                        *step.fixed, *step.space, *step.ties)}})
                except BadConfig as error:
                    raise BadConfig(f"search step {step.name!r}: {error}") from None
            settled |= step.fixed


def read_validation(job: SearchJob) -> tuple[Validation, dict[str, str]]:
    """What settings are scored on: the calibration phase's caches and the texts.

    The test phase's are not opened, and need not be there.

    Returns:
        The objective, and SHA-256 by what a file holds: "calibration cache", "text cache" ...

    Raises:
        BadCache: A cache is missing or breaks its contract.
        BadInput: The method takes text features that are not there.
    """
    work, method = job.work, job.method(dict(job.experiment.fit.method.options))
    missing = missing_features(work, method, (CALIBRATION,))
    if missing:
        raise BadInput(missing)
    texts = {part: work.text_part(part) for part in method.text_parts} or {"": work.text}
    others = {name: work.skeleton(CALIBRATION, name)
              for name in (*method.extra_features, *method.feature_views)}
    others = {name: path for name, path in others.items() if path.is_file()}
    files = {"calibration cache": work.skeleton(CALIBRATION, job.experiment.fit.features),
             **{f"text cache {part}".strip(): path for part, path in texts.items()},
             **{f"{name} cache": path for name, path in others.items()}}
    digests = {name: cache_digest(path) for name, path in files.items()}
    read = {part: read_text_features(path) for part, path in texts.items()}
    return Validation(
        read_skeleton_features(files["calibration cache"]), read if method.text_parts else read[""],
        gate=job.gate, seen_from=job.seen_from,
        extra={name: (read_skeleton_features(path),) for name, path in others.items()}), digests


def check_validation(job: SearchJob, validation: Validation) -> None:
    """Checks that the caches which were read are what the config asks for.

    Raises:
        BadCache: One is not.
    """
    check_made_from(job.experiment, job.work, [validation.features], by_part(validation.text),
                    validation.extra)


def search_folder(work: WorkDir, name: str) -> Path:
    """The folder of a search in a work directory."""
    return work.root / "search" / name


def with_method(experiment: Experiment, method: NamedConfig) -> Experiment:
    """The experiment with another method."""
    return experiment.model_copy(
        update={"fit": experiment.fit.model_copy(update={"method": method})})
