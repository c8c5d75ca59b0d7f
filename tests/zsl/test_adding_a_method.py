"""The worked example of docs/adding-a-method.md does what the document says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from transferable import make

from zskel.data.common.outside import trust_config
from zskel.pipeline.base.config import FitConfig
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.base import ZeroShotMethod

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "adding-a-method.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"),
                      re.MULTILINE | re.DOTALL)


@pytest.fixture
def fit_config(tmp_path, monkeypatch):
    """Does the document's two steps, in a folder of its own."""
    code, config = blocks("python")
    (tmp_path / "linear_score.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(compile(config, str(DOCUMENT), "exec"), found)
    trust_config(found["fit"])
    return FitConfig.model_validate(found["fit"])


def test_the_example_is_short():
    example = blocks("python")
    assert len(example) == 2 and sum(block.count("\n") for block in example) < 50


def test_the_example_is_a_method_that_learns_is_saved_and_repeats_itself(fit_config, tmp_path):
    found = []
    for seed in range(3):
        problem = make(seed)
        model = METHODS.build(fit_config.method.name, **fit_config.method.options, seed=seed)
        assert isinstance(model, ZeroShotMethod)
        model.fit(problem.f_x, problem.y, problem.f_y, seen_classes=problem.seen)
        model.fit_unseen_classifier(problem.unseen)
        f_x, y = problem.unseen_test
        found.append(np.mean(model.unseen_classes[model.predict_proba(f_x).argmax(axis=1)] == y))
    assert min(found) > 1.8 * problem.chance and np.mean(found) > 3 * problem.chance, found

    again = METHODS.build(fit_config.method.name, **fit_config.method.options, seed=seed)
    again.fit(problem.f_x, problem.y, problem.f_y, seen_classes=problem.seen)
    assert again.history == model.history and len(model.history["loss"]) == 30
    loaded = type(model).load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict_proba(f_x), model.predict_proba(f_x))
    assert model.predict_joint_proba(f_x).shape == (len(f_x), 25)


def test_it_is_called_by_its_own_name(fit_config):
    assert METHODS.called(fit_config.method.name) == "linear_score"
    assert METHODS.get("linear_score") is METHODS.get(fit_config.method.name)
