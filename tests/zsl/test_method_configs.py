"""The configs of methods name options that the methods take."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from zskel.zsl.methods import METHODS

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "_base_" / "methods"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_config_builds_its_method(file):
    chosen = Config.fromfile(file).to_dict()["fit"]["method"]
    method = METHODS.build(chosen["name"], **chosen["options"], seed=1)
    assert file.stem.startswith(method.name)
    assert method.params.model_dump(mode="json").keys() >= chosen["options"].keys()


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_has_a_config(name):
    assert (FOLDER / f"{name}.py").is_file()
