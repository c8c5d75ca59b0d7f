"""``fit`` and ``search`` take caches only of what its config asks for, as far as they tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zskel.data.caches import (
    read_decided,
    read_skeleton_features,
    read_text_features,
    write_skeleton_features,
)
from zskel.data.common.errors import BadCache
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.made_from import check_made_from


def check(config: Path, folder: Path, *options: str, imported: bool = False) -> None:
    experiment, work = load_experiment(str(config), options), WorkDir(folder)
    if imported:
        experiment = experiment.model_validate({
            **experiment.model_dump(), "imported": {"format": "npz", "source": "x.toml"},
            "backbone": None, "class_text": None})
    files = FeatureFiles(work)
    check_made_from(experiment, work, (files.test, files.calibration),
                    {"": read_text_features(work.text)})


def tell(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Lets the caches say something else of how they were made."""
    for path in WorkDir(folder).skeleton_caches(""):
        found = read_skeleton_features(path)
        write_skeleton_features(path, replace(found, config=change(dict(found.config))))


@pytest.mark.parametrize(("option", "told"), [
    ("split.unseen=[1,2]", "skeleton_test.h5: is not what the config asks for: split.unseen was "
     "[1, 8, 12, 18, 27, 37], is [1, 2]; run `pipeline extract`, or give the options here"),
    ("split.validation_seed=3", "skeleton_calibration.h5: .*: split.validation_unseen was "),
    ("dataset.sample_protocol=random-clips",
     'dataset.sample_protocol was "cross-subject", is "random-clips"; run'),
    ("dataset.cleaning.0.bodies=2", "for: dataset.cleaning.0.bodies was 1, is 2; run"),
    ("dataset.train=[1,2]", "for: its clips are not those that dataset.train and dataset.group"),
    ("calibration.subjects=[2]", r"calibration.subjects was \[\d\], is \[2\]; run"),
    ("backbone.epochs=5", "for: backbone.epochs was 2, is 5; run"),
    ("backbone.model.cls_head.dropout=0.1",
     "for: backbone.model.cls_head.dropout was 0.5, is 0.1; run"),
    ("backbone.text_supervision={}", "for: backbone.text_supervision is new: "),
    ("class_text.source.name=template",
     'text.h5: is not what the config asks for: class_text.source.name was "label", is "temp'),
])
def test_what_the_features_were_made_from_is_told_by_its_key(
    tiny_work: Path, tiny_config: Path, option: str, told: str
) -> None:
    with pytest.raises(BadCache, match=told.replace("[1", r"\[1")):
        check(tiny_config, tiny_work, option)


@pytest.mark.parametrize("options", [
    (), ("name=another",), ("backbone.num_workers=2",), ("fit.seeds=1",),
    ("split.name=mine", "split.unseen=[37,1,8,12,18,27]"),
    ("class_text.source={'name': 'label'}",),
])
def test_what_makes_no_other_features_is_taken(
    tiny_work: Path, tiny_config: Path, options: tuple[str, ...]
) -> None:
    check(tiny_config, tiny_work, *options)


def test_without_the_clips_what_depends_on_no_joint_is_compared(
    tiny_work: Path, tiny_config: Path, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features",))
    check(tiny_config, work)
    check(tiny_config, work, "backbone.model.cls_head.dropout=0.1")  # nothing tells the layout
    for option in ("backbone.epochs=5", "split.unseen=[1,2]"):
        with pytest.raises(BadCache, match=option.split("=")[0]):
            check(tiny_config, work, option)


def test_caches_that_know_less_are_taken(
    tiny_work: Path, tiny_config: Path, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("store", "features"))
    tell(work, lambda said: {key: said[key] for key in ("backbone", "store_digest", "split")})
    check(tiny_config, work)
    check(tiny_config, work, "calibration.subjects=[2]")
    with pytest.raises(BadCache, match="epochs was 2, is 5"):
        check(tiny_config, work, "backbone.epochs=5")
    tell(work, lambda said: {"backbone": {"of": "a later version"}})
    check(tiny_config, work, "backbone.epochs=5")
    tell(work, lambda said: {})  # of another maker
    check(tiny_config, work, "split.unseen=[1,2]")


def test_the_split_of_imported_features_is_fixed(
    tiny_work: Path, tiny_config: Path, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features",))
    tell(work, lambda said: {"imported": "npz", "split": "theirs"})
    check(tiny_config, work, imported=True)
    check(tiny_config, work, "split.unseen=[37,1,8,12,18,27]", imported=True)
    with pytest.raises(BadCache, match=r'split.name was "theirs", is "default"; split.unseen was '
                       r"\[1, 8, .*\], is \[1, 2\]; the features were imported: `pipeline import` "
                       "makes others"):
        check(tiny_config, work, "split.unseen=[1,2]", imported=True)
    assert read_decided(WorkDir(work).skeleton("test"))["imported"] == "npz"
    # Fitted by an experiment that could extract: its published split, but not its drawn classes.
    check(tiny_config, work, "split.validation_seed=3")
    with pytest.raises(BadCache, match="split.unseen was"):
        check(tiny_config, work, "split.unseen=[1,2]")
