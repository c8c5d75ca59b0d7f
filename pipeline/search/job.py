"""One search as a value: what is searched, where it is kept, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zskel.data.common.errors import BadConfig
from zskel.data.common.files import digest_json
from zskel.pipeline.base.config import Experiment
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.search.space import SearchConfig, Step, check_parameters


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
        batch: How many trials a worker takes at once.
    """

    experiment: Experiment
    space: str
    config: SearchConfig
    work: WorkDir
    storage: str
    name: str
    seed: int = 0
    batch: int = 1

    @property
    def folder(self) -> Path:
        """Where everything that comes of it is written."""
        return search_folder(self.work, self.name)

    @property
    def method_name(self) -> str:
        """Of the method that is searched."""
        return self.experiment.fit.method.name

    @property
    def seen_from(self) -> str:
        """What C_s is. The honest default, whatever protocol the experiment is fitted by."""
        return self.experiment.fit.seen_classifier or "f_x"

    def study_name(self, step: Step) -> str:
        """Of a step, in the storage."""
        return f"{self.experiment.name}/{self.name}/{step.name}/seed-{self.seed}"

    def method(self, options: dict[str, Any], seed: int) -> Any:
        """An unfitted method."""
        from zskel.zsl.methods import METHODS

        return METHODS.build(self.method_name, **{**options, "seed": seed})

    def gate(self, seed: int) -> Any:
        """An unfitted gate."""
        from zskel.zsl.gates import GATES

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
            options = {**vars(self.method(options, 0).params), **options}
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
        method = self.method(dict(self.experiment.fit.method.options), 0)
        known = method.params.model_dump()
        check_parameters(self.config, self.method_name, known)
        self.gate(0)
        settled = dict(known)
        for at, step in enumerate(self.config.steps):
            for ends in _corners(step):
                try:
                    options = self.options(at, settled, ends)
                    self.method({**self.experiment.fit.method.options, **{
                        name: options[name] for name in (*step.fixed, *step.space, *step.ties)}}, 0)
                except BadConfig as error:
                    raise BadConfig(f"search step {step.name!r}: {error}") from None
            settled |= step.fixed


def search_folder(work: WorkDir, name: str) -> Path:
    """The folder of a search in a work directory."""
    return work.root / "search" / name


def search_name(space: str, method: str | None, seed: int) -> str:
    """What a search is called: its space, and what is not the default.

    >>> search_name("paper", None, 0), search_name("tpe", "cada_vae", 2)
    ('paper', 'tpe-cada_vae-seed2')
    """
    return "-".join([space, *([method] if method else []), *([f"seed{seed}"] if seed else [])])


def with_method(experiment: Experiment, method: Any) -> Experiment:
    """The experiment with another method."""
    return experiment.model_copy(
        update={"fit": experiment.fit.model_copy(update={"method": method})})


def with_options(experiment: Experiment, options: dict[str, Any]) -> Experiment:
    """The experiment with other options of its method."""
    method = experiment.fit.method
    return with_method(experiment, method.model_copy(update={"options": options}))


def _corners(step: Step) -> list[dict[str, Any]]:
    """The lowest and the highest of everything, and each value of a choice."""
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    more: list[dict[str, Any]] = []
    for name, dimension in step.space.items():
        distribution = dimension.distribution()
        values = dimension.values or [distribution.low, distribution.high]  # type: ignore[attr-defined]
        low[name], high[name] = values[0], values[-1]
        more += [{name: value} for value in values[1:-1]]
    return [low, high, *({**low, **each} for each in more)]
