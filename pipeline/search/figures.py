"""Drawings of a search, by Optuna and matplotlib: history, importance, slices, map of a grid."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from zskel.pipeline.search.space import Dimension
from zskel.zsl.metrics import MAIN, METRICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from optuna.study import Study

#: Trials below which shares of importance say nothing.
FEWEST = 8


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        kind: "history", "importance", "slice" or "map".
        name: Of its file.
        title: For people.
        svg: The file's content.
    """

    kind: str
    name: str
    title: str
    svg: str

    @property
    def source(self) -> str:
        """As the ``src`` of an image that needs no file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


def draw(step: Mapping[str, Any], objective: str) -> list[Figure]:
    """The drawings of a step of ``trials.json``, fewer where it has few trials."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "search", "svg.fonttype": "none"}), \
            warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its drawings experimental
        return [Figure(kind, f"{kind}-{step['name']}{end}", title, _svg(make))
                for kind, end, title, make in _drawings(step, objective)]


def importances(step: Mapping[str, Any]) -> dict[str, float]:
    """The share of the spread of values that each parameter accounts for.

    Optuna's fANOVA: shares of the variance in a random forest (Hutter et al., 2014).

    Returns:
        Shares, which add up to 1; none where there are too few trials or their values are
        all the same.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    whole = _complete(step)
    if (len(whole) < FEWEST or len(step["space"]) < 2
            or len({trial["value"] for trial in whole}) < 2):
        return {}
    try:
        shares = get_param_importances(_study(step), evaluator=FanovaImportanceEvaluator(seed=0))
    except (RuntimeError, ValueError):
        return {}  # trees that never split: there is nothing to share out
    return {name: shares.get(name, 0.0) for name in step["space"]} if any(shares.values()) else {}


def _drawings(
    step: Mapping[str, Any], objective: str
) -> Iterator[tuple[str, str, str, Callable[[], Any]]]:
    """Kind, end of the name, title, and what draws it on axes of its own."""
    from optuna.visualization import matplotlib as plots

    whole, label = len(_complete(step)), METRICS[objective].label
    study, shares = _study(step, METRICS[objective].higher_is_better), importances(step)
    if step["sampler"] == "grid" and len(step["space"]) == 2 and whole:
        for name in MAIN:
            yield ("map", f"-{name}".replace("_", "-"), f"{METRICS[name].label}, %",
                   partial(_map, step, name))
    if whole:
        yield ("history", "", f"{label} of every trial",
               lambda: plots.plot_optimization_history(study, target_name=label))
    if shares:
        yield "importance", "", "Importance of parameters", lambda: _bars(shares)
    if whole > 1:
        yield ("slice", "", f"{label} by parameter",
               lambda: plots.plot_slice(study, target_name=label))


def _bars(shares: Mapping[str, float]) -> Any:
    from matplotlib import pyplot

    _, axes = pyplot.subplots()
    axes.bar_label(axes.barh(list(shares), list(shares.values())), fmt="{:.0%}", padding=3)
    axes.set_xlim(0, 1.1)
    axes.invert_yaxis()
    return axes


def _map(step: Mapping[str, Any], metric: str) -> Any:
    """A metric at every point of a grid of two parameters, as the paper's Table B has it."""
    from matplotlib import pyplot

    across, down = step["space"]
    columns, rows = (Dimension(**each).points() for each in step["space"].values())
    values = np.full((len(rows), len(columns)), np.nan)
    _, axes = pyplot.subplots()
    for trial in _complete(step):
        at = rows.index(trial["params"][down]), columns.index(trial["params"][across])
        values[at] = 100 * trial["metrics"][metric]
        axes.text(at[1], at[0], f"{values[at]:.1f}", ha="center", va="center",
                  weight="bold" if trial["best"] else "normal")
    axes.imshow(values, cmap="Blues", alpha=0.6, aspect="auto")
    axes.set_xticks(range(len(columns)), map(str, columns))
    axes.set_yticks(range(len(rows)), map(str, rows))
    axes.set(xlabel=across, ylabel=down)
    return axes


def _svg(make: Callable[[], Any]) -> str:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")  # no window, whatever the user's backend
    drawing: Drawing = np.ravel(np.asarray(make()))[0].figure
    file = io.StringIO()
    drawing.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(drawing)
    return file.getvalue()


def _complete(step: Mapping[str, Any]) -> list[Any]:
    return [trial for trial in step["trials"] if trial["state"] == "complete"]


def _study(step: Mapping[str, Any], higher_is_better: bool = True) -> Study:
    """The complete trials in the order of their slots, whoever did what when."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if higher_is_better else "minimize")
    distributions = {name: Dimension(**each).distribution() for name, each in step["space"].items()}
    study.add_trials([optuna.create_trial(
        params=trial["params"], distributions=distributions, value=trial["value"])
        for trial in _complete(step)])
    return study
