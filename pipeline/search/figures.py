"""Drawings of a search: history, importance, slices, and the map of a two-parameter grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from typing import Any

from zskel.pipeline.report import svg
from zskel.pipeline.report.figures import Panel, span
from zskel.pipeline.report.tables import percent
from zskel.pipeline.search.space import Dimension
from zskel.zsl.metrics import MAIN, METRICS

#: Trials below which shares of importance say nothing.
FEWEST = 8

@dataclass(frozen=True)
class Figure:
    """A drawing with a name of its own in the page and among the SVG files."""

    name: str
    panel: Panel


def history_figure(step: Mapping[str, Any], objective: str) -> Figure | None:
    """The value of every trial by slot, and the best so far."""
    whole = _whole(step)
    if not whole:
        return None
    low, high = span([trial["value"] for trial in whole], 0.08)
    frame = svg.Frame(420, 230, (-0.5, len(step["trials"]) - 0.5), (low, high), left=48, bottom=36)
    parts = frame.axes(svg.ticks(0, max(len(step["trials"]) - 1, 1), 6, integer=True),
                       svg.ticks(low, high), "slot")
    metric = METRICS[objective]
    best_so_far = list(accumulate((trial["value"] for trial in whole),
                                  lambda *pair: min(pair, key=metric.worse)))
    stairs: list[tuple[float, float]] = []
    for trial, before, best in zip(whole, best_so_far[:1] + best_so_far, best_so_far):
        if before != best:
            stairs.append((frame.x(trial["slot"]), frame.y(before)))
        stairs.append((frame.x(trial["slot"]), frame.y(best)))
    parts.append(svg.marks(((frame.x(t["slot"]), frame.y(t["value"])) for t in whole), svg.DOT,
                           "run s1"))
    if len(stairs) > 1:
        parts.append(svg.polyline(stairs, "line c0"))
    name = f"history-{step['name']}"
    return Figure(name, Panel(f"{metric.label} of every trial", frame.drawing(
        name, f"{metric.label} of {len(whole)} trials by slot; the best is "
        f"{percent(best_so_far[-1], 1)} percent.", parts)))


def importances(step: Mapping[str, Any]) -> dict[str, float]:
    """The share of the spread of values that each parameter accounts for.

    Optuna's fANOVA: shares of the variance in a random forest (Hutter et al., 2014). The
    trials are taken in the order of their slots, so that it does not matter who did what when.

    Returns:
        Shares, which add up to 1; none where there are too few trials or their values are
        all the same.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    whole = _whole(step)
    if (len(whole) < FEWEST or len(step["space"]) < 2
            or len({trial["value"] for trial in whole}) < 2):
        return {}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    spread = {name: Dimension(**each).distribution() for name, each in step["space"].items()}
    study.add_trials([optuna.trial.create_trial(
        params=trial["params"], distributions=spread, value=trial["value"]) for trial in whole])
    try:
        shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    except (RuntimeError, ValueError):
        return {}  # trees that never split: there is nothing to share out
    return {name: shares.get(name, 0.0) for name in step["space"]} if any(shares.values()) else {}


def importance_figure(step: Mapping[str, Any]) -> Figure | None:
    """A bar for each parameter's share of importance."""
    shares = importances(step)
    if not shares:
        return None
    frame = svg.Frame(420, 48 + 25 * len(shares), (0, 1), (0, 1), left=112, top=8, bottom=24,
                      right=44)
    parts = frame.axes(x_ticks=svg.QUARTERS, x_text="{:.0%}")
    for row, (name, share) in enumerate(shares.items()):
        y = frame.top + 8 + 25 * row
        parts.append(svg.text(frame.left - 10, y + 12.5, name, "label end"))
        parts.append(_rectangle(frame.left, y + 3, frame.x(share) - frame.left, 11, "share s0"))
        parts.append(svg.text(frame.width - 2, y + 13, percent(share, 0), "value end"))
    said = "; ".join(f"{name} {percent(share, 0)} percent" for name, share in shares.items())
    title = f"importance-{step['name']}"
    return Figure(title, Panel("Importance of parameters, %", frame.drawing(
        title, f"Importance: {said}.", parts)))


def slice_figures(step: Mapping[str, Any], objective: str) -> list[Figure]:
    """The value over each parameter, a dot a trial."""
    whole, figures = _whole(step), []
    if len(whole) < 2:
        return []
    low, high = span([trial["value"] for trial in whole], 0.08)
    for name, dimension in step["space"].items():
        places, ticks = _scale(dimension, [trial["params"][name] for trial in whole])
        ends = span([*places, *(place for place, _ in ticks)], 0.05)
        frame = svg.Frame(300, 190, ends, (low, high), left=44, bottom=34)
        parts = frame.axes((), svg.ticks(low, high))
        floor = frame.height - frame.bottom
        parts += [svg.text(frame.x(place), floor + 15, text, "tick middle")
                  for place, text in ticks]
        parts.append(svg.marks(((frame.x(x), frame.y(trial["value"]))
                                for x, trial in zip(places, whole)), svg.DOT, "run s1"))
        best = next((trial for trial in whole if trial["best"]), None)
        if best is not None:
            at = places[whole.index(best)]
            parts.append(svg.marks([frame.at((at, best["value"]))], svg.CROSS,
                                   "cross c1"))
        title = f"slice-{step['name']}-{name}".replace("_", "-")
        figures.append(Figure(title, Panel(name, frame.drawing(
            title, f"{METRICS[objective].label} over {name}; the best trial has "
            f"{_short(best['params'][name]) if best else 'none'}.", parts))))
    return figures


def map_figures(step: Mapping[str, Any]) -> list[Figure]:
    """Of a grid of two parameters: ZSL accuracy and H at every point, as Table B has them."""
    if step["sampler"] != "grid" or len(step["space"]) != 2:
        return []
    (across, of_across), (down, of_down) = step["space"].items()
    columns, rows = (Dimension(**each).points() for each in (of_across, of_down))
    found = {(t["params"][across], t["params"][down]): t for t in _whole(step)}
    figures = []
    for metric in MAIN:
        values = {key: trial["metrics"][metric] for key, trial in found.items()}
        if not values:
            continue
        least, most = min(values.values()), max(values.values())
        left, top, wide, tall = 74, 30, 62, 34
        frame = svg.Frame(left + wide * len(columns) + 8, top + tall * len(rows) + 34,
                          (0, 1), (0, 1))
        parts = [svg.text(left - 10, top - 10, down, "tick end"),
                 svg.text(frame.width - 8, frame.height - 4, across, "tick end")]
        for i, row in enumerate(rows):
            y = top + tall * i
            parts.append(svg.text(left - 10, y + tall / 2 + 4, _short(row), "label end"))
            for j, column in enumerate(columns):
                value = values.get((column, row))
                x = left + wide * j
                share = 0.0 if value is None else (value - least) / (most - least or 1.0)
                parts.append(_rectangle(x + 1, y + 1, wide - 2, tall - 2, "cell",
                                        f"--v:{share:.3f}"))
                best = value is not None and found[column, row]["best"]
                parts.append(svg.text(
                    x + wide / 2, y + tall / 2 + 4,
                    "–" if value is None else percent(value, 1),
                    "middle chosen" if best else "middle"))
        parts += [svg.text(left + wide * (j + 0.5), top + tall * len(rows) + 16, _short(column),
                           "tick middle") for j, column in enumerate(columns)]
        name = f"map-{step['name']}-{metric}".replace("_", "-")
        figures.append(Figure(name, Panel(f"{METRICS[metric].label}, %", frame.drawing(
            name, f"{METRICS[metric].label} by {across} and {down}, between "
            f"{percent(least, 1)} and {percent(most, 1)} percent.", parts))))
    return figures


def standalone(drawing: str, style: str) -> str:
    """A drawing of the page as an SVG file of its own."""
    opened = drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head, end, rest = opened.partition(">")
    return f"{head}{end}<style>{escape(style, quote=False)}</style>{rest}\n"


def _whole(step: Mapping[str, Any]) -> list[Any]:
    return [trial for trial in step["trials"] if trial["state"] == "complete"]


def _scale(
    dimension: Mapping[str, Any], values: Sequence[Any]
) -> tuple[list[float], list[tuple[float, str]]]:
    """Where values lie on a parameter's axis, and its ticks."""
    if dimension.get("values") is not None:
        order = list(dimension["values"])
        return ([float(order.index(value)) for value in values],
                [(float(i), _short(value)) for i, value in enumerate(order)])
    if dimension["type"] in ("log-uniform", "exponent"):
        places = [math.log10(value) for value in values]
        first, last = math.ceil(min(places) - 0.3), math.floor(max(places) + 0.3)
        return places, [(float(k), f"1e{k}") for k in range(first, last + 1)]
    ticks = svg.ticks(min(values), max(values), 5, integer=dimension["type"] == "int")
    return [float(value) for value in values], [(tick, f"{tick:g}") for tick in ticks]


def _rectangle(x: float, y: float, width: float, height: float, kind: str, style: str = "") -> str:
    own = f' style="{style}"' if style else ""
    return (f'<path class="{kind}"{own} d="M{svg.number(x)} {svg.number(y)}'
            f'h{svg.number(max(width, 0))}v{svg.number(height)}h{svg.number(-max(width, 0))}z"/>')


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
