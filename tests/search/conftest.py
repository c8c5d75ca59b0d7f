"""A search that takes a second: made-up calibration caches, and no test-phase cache at all."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from search_caches import NAMES, UNSEEN, VALIDATION, skeleton, texts

from zskel.data.caches import write_skeleton_features, write_text_features
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.search.job import SearchJob
from zskel.pipeline.search.search import plan_search

EXPERIMENT = f"""
imported = dict(format="npz", source="made up")
dataset = dict(name="made-up", class_names={list(NAMES)!r})
split = dict(name="own", unseen={list(UNSEEN)!r}, validation_unseen={list(VALIDATION)!r})
fit = dict(
    method=dict(name="sa_dvae", options=dict(
        epochs=3, batch_size=8, z_r_dim=8, z_v_dim=4, classifier_samples=20, engine="fast",
        classifier_epochs=20, classifier_learning_rate=0.05, joint_samples=10,
        learning_rate=3e-2)),
    gate=dict(name="calibrated_stacking"),
    seeds=1,
)
"""

SPACE = """
search = dict(
    title="two quick steps",
    steps=[
        dict(name="betas", trials=4, fixed=dict(z_r_dim=8),
             space=dict(beta_x=dict(type="uniform", low=0.0, high=1.0),
                        beta_y=dict(type="uniform", low=0.0, high=1.0)),
             ties=dict(lambda_2="beta_y")),
        dict(name="rest", trials=7,
             space=dict(learning_rate=dict(type="exponent", low=-3, high=-1),
                        z_r_dim=dict(type="int", low=6, high=10, step=2),
                        batch_size=dict(type="choice", values=[8, 16])),
             ties=dict(lambda_2="beta_y")),
    ],
)
"""


@pytest.fixture(scope="session")
def quick_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with the two caches that a search reads, a config and a space."""
    folder = tmp_path_factory.mktemp("quick")
    write_skeleton_features(folder / "work" / "features" / "skeleton_calibration.h5", skeleton())
    write_text_features(folder / "work" / "features" / "text.h5", texts())
    (folder / "quick.py").write_text(EXPERIMENT)
    (folder / "space.py").write_text(SPACE)
    return folder


@pytest.fixture
def quick(quick_source: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    shutil.copytree(quick_source, tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def job(quick: Path) -> Callable[..., SearchJob]:
    """Plans the quick search, with changes."""
    def plan(space: str | None = None, work: str = "work", cfg: tuple[str, ...] = (),
             **options: Any) -> SearchJob:
        path = quick / "space.py"
        if space is not None:
            path = quick / "other.py"
            path.write_text(space)
        return plan_search(load_experiment(str(quick / "quick.py"), cfg), str(path),
                           work_dir=quick / work, **options)

    return plan
