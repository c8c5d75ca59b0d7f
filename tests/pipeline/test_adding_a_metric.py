"""A metric is one entry of one table: everything that names metrics then has it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from zskel.data.common.errors import BadConfig
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.fit.fit import fit
from zskel.pipeline.report.report import report
from zskel.pipeline.search.search import plan_search, search
from zskel.pipeline.search.space import load_space
from zskel.zsl.metrics import METRICS, Metric, Predictions

MADE = Path(__file__).parent / "resources" / "made_before"
SPACE = """
search = dict(objective={objective!r}, steps=[dict(
    name="penalty", sampler="grid", pruner={pruner!r},
    space=dict(penalty=dict(type="grid", values=[1e-5, 1e-1, 1e3])))])
"""


def taken_for_unseen(predictions: Predictions) -> float:
    """Share of the seen classes' clips that are given an unseen class."""
    _, given = predictions.gzsl_seen
    return float(np.isin(given, predictions.unseen_classes).mean())


@pytest.fixture
def metric() -> Iterator[Metric]:
    added = Metric("taken_for_unseen", "Taken for unseen", "Errors", taken_for_unseen,
                   higher_is_better=False)
    METRICS[added.name] = added
    yield added
    del METRICS[added.name]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MADE, tmp_path / "work"))


def space(folder: Path, objective: str, pruner: str = "none") -> str:
    path = folder / f"{objective}.py"
    path.write_text(SPACE.format(objective=objective, pruner=pruner))
    return str(path)


def test_an_added_metric_is_in_the_record_the_csv_and_the_page(
    metric: Metric, work: Path, tiny_config: Path, tmp_path: Path
) -> None:
    path, = fit(load_experiment(str(tiny_config)), work, [0], ["ridge"], keep_models=False)
    content = json.loads(path.read_text(encoding="utf-8"))
    with np.load(path.with_suffix(".npz")) as arrays:
        unseen = [entry["index"] for entry in content["per_class"] if entry["unseen"]]
        of_seen = ~np.isin(arrays["label"], unseen)
        expected = np.isin(arrays["gzsl_prediction"][of_seen], unseen).mean()
    assert content["metrics"][metric.name] == expected > 0
    assert content["metrics"].keys() == METRICS.keys()

    made = report([work], tmp_path / "report")
    for name in ("results", "runs"):
        table = tmp_path / "report" / "tables" / f"{name}.csv"
        by_method = {row["method"]: row for row in csv.DictReader(table.open(encoding="utf-8"))}
        column = metric.name + ("_mean" if name == "results" else "")
        assert float(by_method["ridge"][column]) == expected
        # The other record was made before there was such a metric.
        assert by_method["sa_dvae"][column] == ""
    page = made.html.read_text(encoding="utf-8")
    assert ">Errors</th>" in page and "Taken for unseen" in page and f"{100 * expected:.2f}" in page


def test_an_added_metric_is_a_search_objective_in_its_own_direction(
    metric: Metric, work: Path, tiny_config: Path, tmp_path: Path
) -> None:
    job = plan_search(load_experiment(str(tiny_config)), space(tmp_path, metric.name),
                      method="ridge", work_dir=work)
    content = search(job)
    trials = content["steps"][0]["trials"]
    values = [trial["value"] for trial in trials]
    assert values == [trial["metrics"][metric.name] for trial in trials]
    assert len(set(values)) > 1 and content["best"]["value"] == min(values)
    assert next(trial for trial in trials if trial["best"])["value"] == min(values)
    page, = work.rglob("search.html")
    assert "Taken for unseen" in page.read_text(encoding="utf-8")
    with pytest.raises(BadConfig, match="prunes by ZSL accuracy, of which more is better"):
        load_space(space(tmp_path, metric.name, "median"))


def test_an_unknown_objective_names_the_nearest_metric(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"objective.*did you mean 'gzsl_ausuc'\?"):
        load_space(space(tmp_path, "gzsl_asuc"))
    assert load_space(space(tmp_path, "domain_auc"))[1].objective == "domain_auc"
