"""Caches and results of version 0.1.0, before everything was imported as ``zskel``, are read."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from zskel.data.caches import read_skeleton_features, read_text_features
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.fit.fit import fit
from zskel.pipeline.report.report import report
from zskel.zsl.metrics import METRICS

MADE = Path(__file__).parent / "resources" / "made_before"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MADE, tmp_path / "work"))


def test_caches_are_read(work: Path) -> None:
    for phase, rows in (("test", 142), ("calibration", 90)):
        features = read_skeleton_features(work / "features" / f"skeleton_{phase}.h5")
        assert features.phase == phase and features.f_x.shape == (rows, 8)
    assert read_text_features(work / "features" / "text.h5").f_y.shape == (40, 384)


def test_a_fit_on_old_caches_gives_the_numbers_of_then(work: Path, tiny_config: Path) -> None:
    """Ridge regression draws nothing: 4 of 6 unseen clips, 3 of 34 seen ones."""
    path, = fit(load_experiment(str(tiny_config)), work, [0], ["ridge"], keep_models=False)
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["zsl_accuracy"] == pytest.approx(4 / 6)
    assert record["gzsl_seen_accuracy"] == pytest.approx(3 / 34)
    assert record["gzsl_harmonic_mean"] == pytest.approx(0.155844, abs=1e-6)


def test_old_results_are_reported(work: Path, tmp_path: Path) -> None:
    old, = (work / "results").glob("sa_dvae*.json")
    record = json.loads(old.read_text(encoding="utf-8"))
    page = report([work], tmp_path / "report").html.read_text(encoding="utf-8")
    columns: dict[str, str] = {}
    for name in ("results", "class_averaged", "gates"):
        with (tmp_path / "report" / "tables" / f"{name}.csv").open(encoding="utf-8") as table:
            columns |= next(csv.DictReader(table))
    # Then, every metric stood at the top level of a record.
    metrics = [name for name in METRICS if name in record]
    assert "metrics" not in record and len(metrics) == 11
    assert {name: float(columns[f"{name}_mean"]) for name in metrics} == {
        name: record[name] for name in metrics}
    assert old.stem in page and f"{record['zsl_accuracy']:.1%}".rstrip("%") in page
