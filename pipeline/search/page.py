"""The page of a search: best setting, history, importance, sensitivity, all trials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zskel.data.common.files import write_text
from zskel.pipeline.report.tables import Column, Table, format_cell
from zskel.pipeline.report.templating import render_template
from zskel.pipeline.search.figures import FEWEST, Figure, draw
from zskel.pipeline.search.space import Dimension
from zskel.zsl.metrics import METRICS

PAGE = "search.html"


def write_page(content: Mapping[str, Any], folder: Path) -> Path:
    """Writes ``search.html`` and ``figures/*.svg``; the same trials give the same bytes.

    Args:
        content: Of ``trials.json``.
        folder: Of the search.
    """
    html, figures = render_page(content)
    for figure in figures:
        write_text(folder / "figures" / f"{figure.name}.svg", figure.svg)
    path = folder / PAGE
    write_text(path, html)
    return path


def render_page(content: Mapping[str, Any]) -> tuple[str, list[Figure]]:
    """The page, one string that needs nothing else to be shown, and its figures."""
    objective = content["objective"]
    views = [{
        "step": step, "table": trials_table(step, objective), "figures": draw(step, objective),
        "pruned": sum(trial["state"] == "pruned" for trial in step["trials"]),
        "broken": sum(bool(trial["error"]) for trial in step["trials"]),
    } for step in content["steps"]]
    searched = {name for step in content["steps"] for name in (*step["space"], *step["ties"])}
    page = render_template(
        "search.html", lambda href: href,
        it=content, views=views, objective=METRICS[objective].label,
        shown=[metric for name, metric in METRICS.items()
               if "results" in metric.tables or name == objective],
        best=content["steps"][-1]["trials"][content["steps"][-1]["best_slot"]],
        options=[(name, _text(value), name in searched)
                 for name, value in content["best"]["options"].items()],
        fewest=FEWEST,
        described=lambda dimension: Dimension(**dimension).described(),
    )
    return page, [figure for view in views for figure in view["figures"]]


def trials_table(step: Mapping[str, Any], objective: str) -> Table:
    """All trials of a step, the best ones first."""
    metrics = [metric for name, metric in METRICS.items()
               if name != objective and metric.tables != ("class_averaged",)]
    columns = [
        Column("slot", "Slot", "count"), Column("state", "State"),
        Column("value", METRICS[objective].label, "rate", over="validation, %"),
        *(Column(metric.name, metric.label, "rate", over="validation, %") for metric in metrics),
        *(Column(f"param_{name}", name,
                 "number" if _is_number(each) else "text", over="setting")
          for name, each in step["space"].items()),
        Column("seconds", "Seconds", "number"),
    ]
    rows = [{
        **{metric.name: trial["metrics"].get(metric.name) for metric in metrics},
        **{f"param_{name}": value for name, value in trial["params"].items()},
        "slot": trial["slot"], "state": "failed" if trial["error"] else trial["state"],
        "value": trial["metrics"].get(objective), "seconds": trial["seconds"],
        "ours": trial["best"],
    } for trial in sorted(step["trials"], key=lambda each: (
        each["state"] != "complete", METRICS[objective].worse(each["value"] or 0.0),
        each["slot"]))]
    return Table(f"trials-{step['name']}", f"All trials of step {step['name']}, best first; "
                 "the one that was chosen is marked.", columns, rows)


def _is_number(dimension: Mapping[str, Any]) -> bool:
    values = dimension.get("values")
    return values is None or all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _text(value: Any) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return format_cell(float(value), "number").text if number else str(value)
