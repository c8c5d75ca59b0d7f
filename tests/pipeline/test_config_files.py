"""Experiments anywhere: bases by the shipped names, and what is said where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zskel.data.common.errors import BadConfig
from zskel.pipeline.base.config import find_config, load_experiment
from zskel.pipeline.base.config_files import read_config, shipped_configs
from zskel.pipeline.extract.extract import resolve_split

BASES = """_base_ = [
    "_base_/datasets/pose_pickle.py", "_base_/backbones/stgcn_tiny.py",
    "_base_/text/minilm_label.py", "_base_/methods/sa_dvae.py",
]
"""
OWN = """
dataset = dict(name="mine", class_names=["wave", "clap", "jump", "kick", "throw"],
               reader_options=dict(dataset="mine"))
split = dict(name="own", unseen=["kick"])
"""
CASES = sorted((Path(__file__).resolve().parents[3] / "shared" / "cases").glob("*/exp.py"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, outside the checkout, that one works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    return name


def refused(name: str) -> str:
    with pytest.raises(BadConfig) as caught:
        load_experiment(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["demo", "utd-mhad-22-5", "ntu60-55-5", "demo-small"])
def test_a_copy_of_a_shipped_experiment_is_the_same(folder: Path, name: str) -> None:
    own = write("sub/own.py", find_config(name).read_text(encoding="utf-8"))
    assert load_experiment(own, [f"name={name}"]) == load_experiment(name)


@pytest.mark.parametrize("config", CASES, ids=lambda path: path.parent.name)
def test_the_cases_load_without_a_path(folder: Path, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("CONFIGS/", "")
    assert load_experiment(write("exp.py", text)).dataset.reader == "pose_pickle"


def test_a_file_beside_the_experiment_comes_first(folder: Path) -> None:
    write("_base_/methods/sa_dvae.py",
          "_base_ = ['_base_/methods/cada_vae.py']\nfit = dict(seeds=7)\n")
    experiment = load_experiment(write("own.py", BASES + OWN))
    # And a base that has bases finds them the same way.
    assert (experiment.fit.seeds, experiment.fit.method.name) == (7, "cada_vae")


def test_an_experiment_may_be_called_like_its_shipped_base(folder: Path) -> None:
    own = write("demo.py", "_base_ = ['demo.py']\nfit = dict(seeds=1)\n")
    assert load_experiment(own) == load_experiment("demo", ["fit.seeds=1"])


def test_what_mmengine_puts_in_place_of_words_still_is(folder: Path) -> None:
    own = write("sub/own.py", BASES + OWN + (
        "name = '{{ fileBasenameNoExtension }}'\n"
        "fit = dict(seeds={{ _base_.backbone.model.backbone.num_stages }},\n"
        "           method=dict(options=dict(\n"
        "    n_d=_base_.backbone.model.backbone.base_channels + 1,\n"
        "    folder='{{ fileDirname }}')))\n"))
    fit = load_experiment(own).fit
    assert (fit.seeds, fit.method.options["n_d"]) == (5, 17)
    assert fit.method.options["folder"] == (folder / "sub").as_posix()


@pytest.mark.parametrize("before", ["import os\n", "from pathlib import Path\n", "\ufeff",
                                    "import numpy as np\n"])
def test_imports_and_a_byte_order_mark_are_no_hindrance(folder: Path, before: str) -> None:
    assert load_experiment(write("own.py", before + BASES + OWN)).split.unseen == [3]
    assert read_config(shipped_configs() / "demo.py") == read_config(
        Path(write("demo.py", "\ufeff" + find_config("demo").read_text(encoding="utf-8"))))


def test_nothing_to_delete_is_no_fault(folder: Path) -> None:
    own = write("own.py", BASES + OWN + "fit = dict(gate=dict(options=dict(_delete_=True)))\n")
    assert load_experiment(own).fit.gate.options == {}


def test_class_names_may_lie_beside_the_config(folder: Path) -> None:
    write("sub/classes.txt", "wave\nclap\njump\nkick\nthrow\n")
    write("sub/own.py", BASES + "dataset = dict(name='listed', class_names='classes.txt')\n"
                                "split = dict(name='own', unseen=['throw'])\n")
    elsewhere = load_experiment("sub/own.py")
    assert elsewhere.split.unseen == [4]
    assert elsewhere.dataset.class_names == "classes.txt"


@pytest.mark.parametrize(("text", "message"), [
    (BASES.replace("stgcn_tiny", "stgcn_tinny"),
     "own.py: _base_: there is no '_base_/backbones/stgcn_tinny.py' beside this file or among the "
     "shipped configs; did you mean '_base_/backbones/stgcn_tiny.py'?"),
    ("_base_ = ['CONFIGS/_base_/text/minilm_label.py']\n",
     "did you mean '_base_/text/minilm_label.py'?"),
    ("_base_ = ['demo']\n", "did you mean 'demo.py'?"),
    ("_base_ = ['?']\n", "those are *.py, _base_/backbones/*.py, "),
    ("_base_ = ['demo.py', '_base_/text/minilm_label.py']\n",
     "own.py: _base_: 'class_text' is in both demo.py and _base_/text/minilm_label.py; leave one "
     "of them out and set what you want of it below _base_"),
    (BASES + "dataset = dict(reader_options=dict(layout=dict(joints=[])))\n",
     "own.py: dataset.reader_options.layout is a dict here and 'nturgb+d' in its base "
     "_base_/datasets/pose_pickle.py; write layout=dict(_delete_=True, ...) to put yours in its "
     "place"),
    (BASES + "backbone = dict(prepare=dict(type='PreNormalize3D'))\n",
     "backbone.prepare is a dict here and a list in its base _base_/backbones/stgcn_tiny.py; "
     "give a list"),
    ("_base_ = ['own.py']\n",
     "own.py: _base_: 'own.py' is built on this file itself; take it out of one of the two"),
    ("_base_ = ['other.py']\n",
     "other.py: _base_: 'own.py' is built on this file itself; take it out of one of the two"),
    ("_base_ = [3]\n", "own.py: _base_: expected names of config files, found 3"),
    ("_base_ = names\n", "own.py, line 1: _base_: name 'names' is not defined"),
    (BASES + "dataset = dict(name=mine)\n",
     "own.py, line 5: NameError: name 'mine' is not defined"),
    (BASES + "dataset = dict(\n", "own.py, line 5: SyntaxError: '(' was never closed"),
    (BASES + "text = dict(name='label')\n",
     "own.py: text is reserved by mmengine; give the variable another name, such as _text"),
    (BASES + "dataset = dict(name='mine', class_names='none.txt')\nsplit = dict(name='own')\n",
     "own.py: class_names: none.txt cannot be read as a text file"),
])
def test_what_does_not_fit_is_one_line(folder: Path, text: str, message: str) -> None:
    write("other.py", "_base_ = ['own.py']\n")
    assert message in refused(write("own.py", text + ("" if "dataset" in text else OWN)))


def test_the_reader_reads_the_experiments_data_set(folder: Path) -> None:
    own = write("own.py", BASES + OWN.replace('reader_options=dict(dataset="mine")', ""))
    with pytest.raises(BadConfig, match="dataset.name is 'mine', and dataset.reader_options."
                                        "dataset 'ntu60'; set both to the same"):
        resolve_split(load_experiment(own))


def test_the_fault_of_a_base_is_told_of_the_base(folder: Path) -> None:
    write("common.py", BASES + "backbone = dict(epochs=few)\n")
    assert refused(write("own.py", "_base_ = ['common.py']\n" + OWN)) == (
        "common.py, line 5: NameError: name 'few' is not defined")


def test_report_and_predict_take_a_config_file_as_fit_does(
    folder: Path, commands: Any
) -> None:
    own = write("mine.py", "_base_ = ['demo.py']\nname = 'my-study'\n")
    for command in (["report", own], ["predict", own, "clip.skeleton"]):
        ended = commands.at(folder).run(*command)
        assert ended.code == 2
        assert "work_dirs/my-study: no such work directory" in ended.err.replace("\n", "")
