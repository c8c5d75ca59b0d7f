"""Who chooses the settings of a step, and who ends trials early."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

from zskel.data.common.errors import BadConfig
from zskel.pipeline.search.space import INDEPENDENT, Step

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial


def slot_seed(seed: int, step: str, slot: int) -> int:
    """The seed of a slot's draws: the same on every machine, whoever takes the slot.

    >>> slot_seed(0, "betas", 0) != slot_seed(0, "betas", 1) != slot_seed(1, "betas", 1)
    True
    """
    text = f"{seed}/{step}/{slot}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def given_parameters(step: Step, seed: int, study: Study) -> Any:
    """Of each slot, what its trial is given beforehand.

    Random draws of a slot follow from the seed, the step and the slot alone, and a
    grid's points from the slot: how many workers there are, and how often they were
    stopped, changes nothing. Other samplers learn from trials that have ended, and
    choose when a trial is taken.
    """
    from optuna.samplers import RandomSampler
    from optuna.trial import TrialState, create_trial

    grid = list(step.grid()) if step.sampler == "grid" else []
    unborn = create_trial(state=TrialState.WAITING)

    def parameters(slot: int) -> dict[str, Any]:
        if step.sampler == "grid":
            return grid[slot]
        if step.sampler != "random":
            return {}
        draw = RandomSampler(slot_seed(seed, step.name, slot)).sample_independent
        return {name: draw(study, unborn, name, distribution)
                for name, distribution in step.distributions().items()}

    return parameters


def new_sampler(step: Step, seed: int, slot: int) -> BaseSampler:
    """The sampler of one slot.

    Raises:
        BadConfig: It needs a package that is not installed.
    """
    from optuna import samplers

    own = slot_seed(seed, step.name, slot)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental in Optuna, and asked for all the same
        if step.sampler in INDEPENDENT:
            return samplers.RandomSampler(own)
        if step.sampler == "tpe":
            # Trials that still run count as bad ones, or workers would try the same.
            return samplers.TPESampler(seed=own, constant_liar=True)
        if step.sampler == "qmc":
            # One sequence for all: its scrambling may not differ between slots.
            return samplers.QMCSampler(seed=slot_seed(seed, step.name, -1), scramble=True)
        try:
            import cmaes  # noqa: F401
        except ImportError:
            raise BadConfig(f"search step {step.name!r}: sampler 'cmaes' needs the Python package "
                            "cmaes: pip install cmaes") from None
        return samplers.CmaEsSampler(seed=own)


def new_pruner(step: Step) -> BasePruner:
    """The pruner of a step."""
    from optuna import pruners

    if step.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)
    if step.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource="auto")
    return pruners.NopPruner()


def suggest(trial: Trial, step: Step) -> dict[str, Any]:
    """A trial's value of every parameter."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    values: dict[str, Any] = {}
    for name, distribution in step.distributions().items():
        if isinstance(distribution, CategoricalDistribution):
            values[name] = trial.suggest_categorical(name, distribution.choices)
        elif isinstance(distribution, IntDistribution):
            values[name] = trial.suggest_int(
                name, distribution.low, distribution.high, step=distribution.step)
        else:
            assert hasattr(distribution, "log")
            values[name] = trial.suggest_float(
                name, distribution.low, distribution.high, log=distribution.log)  # type: ignore[attr-defined]
    return values
