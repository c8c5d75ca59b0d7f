"""Unseen classes by name: in an experiment, on the command line, in a mapping file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zskel.data.common.errors import BadConfig
from zskel.data.exchange.own_arrays import read_own_arrays
from zskel.data.splits import make_split
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.steps.phase_plan import resolve_split

Case = Callable[..., Path]

TWIN = """
_base_ = ["_base_/datasets/pose_pickle.py", "_base_/backbones/stgcn_tiny.py",
          "_base_/text/minilm_label.py", "_base_/methods/sa_dvae.py"]
dataset = dict(
    name="gestures", class_names=["wave", "clap", "jump", "kick", "throw"], reader="pose_pickle",
    reader_options=dict(_delete_=True, dataset="gestures", train_split="train"),
    sample_protocol="listed")
split = dict(name="own", unseen=["kick"])
"""


def make_twin(folder: Path) -> None:
    (folder / "exp.py").write_text(TWIN, encoding="utf-8")


@pytest.fixture(params=["as given", "twin"])
def config(request: pytest.FixtureRequest, case: Case, tmp_path: Path) -> str:
    if request.param == "as given":
        return str(case("unseen-by-name", make_twin) / "exp.py")
    make_twin(tmp_path)
    return str(tmp_path / "exp.py")


def test_a_name_is_its_index(config: str) -> None:
    experiment = load_experiment(config)
    assert experiment.split.unseen == [3]
    assert resolve_split(experiment).unseen == (3,)
    assert experiment.digest() == load_experiment(config, ["split.unseen=[3]"]).digest()


@pytest.mark.parametrize(("option", "unseen", "validation_unseen"), [
    ("split.unseen=['Jump', 'WAVE!']", [2, 0], None),
    ("split.unseen=['throw', 1]", [4, 1], None),
    ("split.unseen=['3']", [3], None),
    ("split.validation_unseen=['clap']", [3], [1]),
])
def test_names_and_indices_on_the_command_line(
    config: str, option: str, unseen: list[int], validation_unseen: list[int] | None
) -> None:
    split = load_experiment(config, [option]).split
    assert (split.unseen, split.validation_unseen) == (unseen, validation_unseen)


@pytest.mark.parametrize(("option", "message"), [
    ("split.unseen=['kik']", "split.unseen: no class 'kik'; did you mean 'kick'?"),
    ("split.validation_unseen=['stand']", "split.validation_unseen: no class 'stand'; there are "
                                          "clap, jump, kick, throw, wave"),
    ("split.unseen=[None]", "split.unseen.0: input should be a valid integer or a valid string, "
                            "found None"),
])
def test_an_unknown_name_tells_the_nearest(config: str, option: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_experiment(config, [option])
    assert str(caught.value) == f"--cfg-options: {message}"


def test_a_name_that_two_classes_have_needs_its_index(config: str) -> None:
    names = "dataset.class_names=['sit-down', 'Sit down', 'jump', 'kick', 'throw']"
    assert load_experiment(config, [names, "split.unseen=['Sit down']"]).split.unseen == [1]
    with pytest.raises(BadConfig, match="may be class 0 .'sit-down'. or 1 .'Sit down'.; give its"):
        load_experiment(config, [names, "split.unseen=['sit down']"])


def test_a_split_made_in_python_takes_names() -> None:
    split = make_split("utd-mhad", "own", ["Tennis-Swing", 4], ["bowling"])
    assert split == make_split("utd-mhad", "own", [14, 4], [11])


def test_a_mapping_file_takes_names_as_freely(tmp_path: Path) -> None:
    label = np.repeat(np.arange(5), 4)
    np.savez(tmp_path / "all.npz", f_x=np.random.default_rng(0).normal(size=(20, 3)), label=label,
             train=np.tile([True, True, False, False], 5), subject=np.tile([1, 2, 3, 4], 5))
    mapping = {"dataset": "gestures", "split": {"unseen": ["KICK"], "validation_unseen": ["jump "]},
               "source": [{"file": "all.npz", "subset": "train", "subject": "subject",
                           "class_names": ["wave", "clap", "jump", "kick", "throw"]}]}
    (tmp_path / "map.json").write_text(json.dumps(mapping))
    split = read_own_arrays(tmp_path / "map.json").own_split()
    assert (split.unseen, split.validation_unseen) == ((3,), (2,))
