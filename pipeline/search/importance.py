"""Which parameters of a step mattered, as Optuna measures it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zskel.pipeline.search.space import Dimension

#: Trials below which shares of importance say nothing.
FEWEST = 8


@dataclass(frozen=True)
class Importance:
    """Shares of importance, which add up to 1.

    Attributes:
        measure: "fANOVA": share of the variance of values that a parameter accounts for
            in a random forest (Hutter et al., 2014). "PED-ANOVA": how much the best tenth
            differs from all trials in it (Watanabe et al., 2023).
        shares: By parameter, in the order of the space.
    """

    measure: str
    shares: tuple[tuple[str, float], ...]


def importances(step: Mapping[str, Any]) -> list[Importance]:
    """By each measure; none where there are too few trials or their values are all the same.

    The trials are taken in the order of their slots, so that the shares do not depend on
    who did what when.
    """
    import optuna
    from optuna import importance

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    whole = [trial for trial in step["trials"] if trial["state"] == "complete"]
    names = list(step["space"])
    if (len(whole) < FEWEST or len(names) < 2
            or len({trial["value"] for trial in whole}) < 2):
        return []
    distributions = {name: Dimension(**each).distribution()
                     for name, each in step["space"].items()}
    study = optuna.create_study(direction="maximize")
    for trial in whole:
        study.add_trial(optuna.trial.create_trial(
            params=trial["params"], distributions=distributions, value=trial["value"]))
    evaluators: dict[str, Callable[[], Any]] = {
        "fANOVA": lambda: importance.FanovaImportanceEvaluator(seed=0),
        "PED-ANOVA": importance.PedAnovaImportanceEvaluator,
    }
    found = []
    for measure, make in evaluators.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                shares = importance.get_param_importances(study, evaluator=make())
            except (RuntimeError, ValueError):
                continue  # trees that never split: there is nothing to share out
        if sum(shares.values()) > 0:
            found.append(Importance(measure, tuple((name, float(shares.get(name, 0.0)))
                                                   for name in names)))
    return found
