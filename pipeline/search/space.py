"""What a search consists of: a small config, checked when it is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from zskel.data.common.errors import BadConfig
from zskel.data.common.files import digest_json
from zskel.data.common.registry import nearest
from zskel.pipeline.base.config import find_config, load_section
from zskel.pipeline.base.schema import Section
from zskel.zsl.metrics import METRICS, Metric

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

Sampler = Literal["random", "tpe", "grid"]
Pruner = Literal["none", "median", "hyperband"]
Kind = Literal["uniform", "log-uniform", "exponent", "int", "choice", "grid"]

#: Samplers whose slots do not depend on one another: the outcome follows from the seed.
INDEPENDENT = ("random", "grid")

_KEYS = {"uniform": {"low", "high"}, "log-uniform": {"low", "high"}, "exponent": {"low", "high"},
         "int": {"low", "high", "step"}, "choice": {"values"}, "grid": {"values"}}
_OPTIONAL = {"step"}


class Dimension(Section):
    """The values of one parameter.

    Attributes:
        type: "uniform" and "log-uniform" between low and high; "exponent": 10 to a
            power that is uniform between low and high; "int": whole numbers from low
            to high, both included; "choice": values without order; "grid": values in
            order, for the sampler "grid".
        low, high: Bounds.
        step: Of "int".
        values: Of "choice" and "grid".
    """

    type: Kind
    low: float | None = None
    high: float | None = None
    step: int | None = Field(None, ge=1)
    values: list[bool | int | float | str] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        known = _KEYS[self.type]
        given = self.model_fields_set - {"type"}
        for key in sorted(given - known):
            raise ValueError(f"{self.type} takes no {key!r}; it takes {', '.join(sorted(known))}")
        for key in sorted(known - _OPTIONAL - given):
            raise ValueError(f"{self.type} needs {key!r}")
        if self.low is not None and self.high is not None:
            if not (math.isfinite(self.low) and math.isfinite(self.high)
                    and self.low <= self.high):
                raise ValueError(f"low is {self.low:g} and high {self.high:g}")
            if self.type == "log-uniform" and self.low <= 0:
                raise ValueError(f"log-uniform needs a positive low, found {self.low:g}")
            if self.type == "int" and not (self.low.is_integer() and self.high.is_integer()):
                raise ValueError("int needs whole low and high")
        if self.values is not None and len(set(map(repr, self.values))) < len(self.values):
            raise ValueError("values has duplicates")
        return self

    def distribution(self) -> BaseDistribution:
        """As Optuna has it."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        if self.values is not None:
            return CategoricalDistribution(self.values)
        assert self.low is not None and self.high is not None
        if self.type == "int":
            return IntDistribution(int(self.low), int(self.high), step=self.step or 1)
        if self.type == "exponent":
            return FloatDistribution(10 ** self.low, 10 ** self.high, log=True)
        return FloatDistribution(self.low, self.high, log=self.type == "log-uniform")

    def suggest(self, trial: Trial, name: str) -> Any:
        """The value of this parameter in a trial."""
        if self.values is not None:
            return trial.suggest_categorical(name, self.values)
        own: Any = self.distribution()
        if self.type == "int":
            return trial.suggest_int(name, own.low, own.high, step=own.step)
        return trial.suggest_float(name, own.low, own.high, log=own.log)

    def points(self) -> list[Any]:
        """All values; none where there are infinitely many."""
        if self.values is not None:
            return list(self.values)
        if self.type != "int" or self.low is None or self.high is None:
            return []
        return list(range(int(self.low), int(self.high) + 1, self.step or 1))

    def described(self) -> str:
        """For people.

        >>> Dimension(type="exponent", low=-6, high=-3).described()
        '10^(-6 .. -3)'
        >>> Dimension(type="int", low=128, high=256, step=16).described()
        '128, 144 .. 256'
        """
        if self.values is not None:
            return ", ".join(str(value) for value in self.values)
        if self.type == "int":
            points = self.points()
            return (f"{points[0]}, {points[1]} .. {points[-1]}" if len(points) > 3
                    else ", ".join(map(str, points)))
        span = f"{self.low:g} .. {self.high:g}"
        return {"exponent": f"10^({span})", "log-uniform": f"{span}, logarithmic"}.get(
            self.type, span)


class Step(Section):
    """One round of a search. What earlier steps have chosen stays as it is.

    Attributes:
        name: Of the study; steps of a search have different ones.
        trials: How many settings are tried; a grid has as many as it has points.
        space: Parameters of the method that are searched.
        fixed: Values of others, instead of the experiment's.
        ties: Parameters that always have the value of another.
        sampler: Who chooses settings: the grid in order, or Optuna's random or TPE sampler.
        pruner: Who ends trials early that look bad: nobody, or Optuna's pruners.
        seeds: Fits of a setting; their mean counts.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    trials: int | None = Field(None, ge=1)
    space: dict[str, Dimension] = Field(min_length=1)
    fixed: dict[str, Any] = Field({})
    ties: dict[str, str] = Field({})
    sampler: Sampler = "random"
    pruner: Pruner = "none"
    seeds: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        for name in (*self.fixed, *self.ties):
            if name in self.space:
                raise ValueError(f"{name!r} is in space and in fixed or ties")
        if self.sampler == "grid":
            endless = [name for name, each in self.space.items() if not each.points()]
            if endless:
                raise ValueError(f"sampler 'grid' needs values of {endless[0]!r}, of type grid, "
                                 "choice or int")
            if self.trials is not None and self.trials > self.grid_size:
                raise ValueError(f"trials is {self.trials}, the grid has {self.grid_size} points")
        elif self.trials is None:
            raise ValueError("key 'trials' is missing")
        return self

    @property
    def grid_size(self) -> int:
        """Points of the grid."""
        return math.prod(len(each.points()) for each in self.space.values())

    @property
    def slots(self) -> int:
        """How many settings are tried."""
        return self.grid_size if self.trials is None else self.trials

    def extremes(self) -> list[dict[str, Any]]:
        """Settings to check beforehand: all lowest, all highest, each value of a choice."""
        ends = {}
        for name, each in self.space.items():
            own: Any = each.distribution()
            ends[name] = each.values or [own.low, own.high]
        low = {name: values[0] for name, values in ends.items()}
        high = {name: values[-1] for name, values in ends.items()}
        return [low, high, *({**low, name: value} for name, values in ends.items()
                             for value in values[1:-1])]

    def grid(self) -> list[dict[str, Any]]:
        """Its points in order, the last parameter changing first."""
        return [dict(zip(self.space, values))
                for values in product(*(each.points() for each in self.space.values()))]


class SearchConfig(Section):
    """A search.

    Attributes:
        title: What it is, for people.
        objective: The metric that trials are compared by, on the calibration phase.
        steps: One after the other.
    """

    title: str = ""
    objective: str = "gzsl_harmonic_mean"
    steps: list[Step] = Field(min_length=1)

    @field_validator("objective")
    @classmethod
    def _is_a_metric(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(f"no such metric; {nearest(name, METRICS)}")
        return name

    @model_validator(mode="after")
    def _steps_go_together(self) -> Self:
        names = [step.name for step in self.steps]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two steps are named {twice!r}")
        pruned = next((step.name for step in self.steps if step.pruner != "none"), None)
        if pruned is not None and not self.metric.higher_is_better:
            raise ValueError(f"step {pruned!r} prunes by ZSL accuracy, of which more is better; of "
                             f"{self.objective} less is, which needs pruner='none'")
        return self

    @property
    def metric(self) -> Metric:
        """The objective."""
        return METRICS[self.objective]

    def digest(self, up_to: int) -> str:
        """SHA-256 of what decides a step's trials, however many of them are asked for."""
        content = self.model_dump(mode="json", exclude={"title"})
        content["steps"] = [{key: value for key, value in step.items() if key != "trials"}
                            for step in content["steps"][:up_to + 1]]
        return digest_json(content)

    def with_trials(self, trials: int | None) -> SearchConfig:
        """With another number of trials of the last step.

        Raises:
            BadConfig: It is a grid with fewer points.
        """
        if trials is None:
            return self
        last = self.steps[-1]
        if last.sampler == "grid" and trials > last.grid_size:
            raise BadConfig(f"--trials {trials}: the grid of step {last.name!r} has "
                            f"{last.grid_size} points")
        steps = [*self.steps[:-1], last.model_copy(update={"trials": trials})]
        return self.model_copy(update={"steps": steps})


def load_space(name: str) -> tuple[str, SearchConfig]:
    """Loads a search by name or config file.

    Args:
        name: A config of ``configs/_base_/search`` without ``.py``, or a path to one.

    Returns:
        Its name and its content.

    Raises:
        BadConfig: There is no such search, an unknown key or an impossible value; the
            message names the key and the nearest right one.
    """
    path = find_config(name, "search space", "_base_/search")
    config: SearchConfig = load_section(path, "search", SearchConfig)
    return path.stem, config


def check_parameters(config: SearchConfig, method: str, known: Mapping[str, Any]) -> None:
    """Checks that a method has every parameter that a search names.

    Args:
        config: The search.
        method: The method's name, for the message.
        known: Its parameters by name.

    Raises:
        BadConfig: One is unknown, is the seed, or a tie leads nowhere.
    """
    for step in config.steps:
        where = f"search step {step.name!r}"
        for name in (*step.space, *step.fixed, *step.ties, *step.ties.values()):
            if name == "seed":
                raise BadConfig(f"{where}: the seed is no parameter to search; see 'seeds'")
            if name not in known:
                raise BadConfig(f"{where}: {method} has no parameter {name!r}; "
                                f"{nearest(name, known)}")
