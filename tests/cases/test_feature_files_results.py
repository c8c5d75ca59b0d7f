"""Features that tell every seen test clip apart: each fraction of the result is one of 1."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.fit.fit import fit
from zskel.pipeline.import_.import_ import ImportOptions, import_features
from zskel.pipeline.steps.feature_files import FeatureFiles
from zskel.pipeline.steps.fits import Fit
from zskel.pipeline.steps.records import make_record
from zskel.pipeline.steps.results import read_result

NAMES = ["drink water", "clap", "jump up", "kick", "throw", "wave", "sit down", "stand up"]


def separated_features(folder: Path) -> None:
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(len(NAMES), 32)) * 3
    sources = []
    for part, classes, each in (("train", range(6), 30), ("val", range(6), 8),
                                ("test", (6, 7), 10)):
        label = np.repeat(classes, each)
        subset = np.full(len(label), "test", "U11")
        if part == "train":
            subset[:] = "train"
            subset[::4] = "calibration"
        np.save(folder / f"{part}_feat.npy",
                (centers[label] + generator.normal(size=(len(label), 32))).astype(np.float32))
        np.save(folder / f"{part}_label.npy", label)
        subset_file = "train_subset_cal.npy" if part == "train" else f"{part}_subset.npy"
        np.save(folder / subset_file, subset)
        sources.append({"f_x": f"{part}_feat.npy", "label": f"{part}_label.npy",
                        "class_names": NAMES, "subset": subset_file})
    (folder / "j-calibration-marked.json").write_text(json.dumps({
        "dataset": "mine", "backbone": "shift-gcn",
        "split": {"name": "own", "unseen": NAMES[6:]}, "source": sources}))


def imported(folder: Path, work: Path) -> Path:
    """An experiment on the features of a folder, with drawn text features."""
    mapping = json.loads((folder / "j-calibration-marked.json").read_text())
    np.save(folder / "f_y.npy", np.random.default_rng(1).normal(size=(8, 16)).astype(np.float32))
    mapping["text"] = {"f_y": "f_y.npy", "encoder": "drawn", "source": "label"}
    (folder / "mapping.json").write_text(json.dumps(mapping))
    return import_features("npz", folder / "mapping.json", work, ImportOptions(method="ridge"))


@pytest.mark.parametrize("twin", [False, True])
def test_a_result_of_features_that_separate_well_is_kept(case, tmp_path, twin):
    if twin:
        folder = tmp_path / "twin"
        folder.mkdir()
        separated_features(folder)
    else:
        folder = case("feature-files", separated_features)
    work = tmp_path / "work"
    config = imported(folder, work)
    # The seen classes are told apart whatever the bias: 48 clips whose shares add up to 1.
    for path in fit(load_experiment(str(config)), work, seeds=[0], gates=["all"]):
        record = read_result(path)
        assert record.seen_unseen_curve[0] == (1.0, 0.0)
        assert record.seen_unseen_curve[-1][0] == 0.0
        seen = {48 * pair[0] for pair in record.seen_unseen_curve}
        assert max(abs(count - round(count)) for count in seen) < 1e-12


def test_a_record_that_is_not_valid_is_not_made(tmp_path):
    separated_features(tmp_path)
    experiment = load_experiment(str(imported(tmp_path, tmp_path / "work")))
    files, what = FeatureFiles(WorkDir(tmp_path / "work")), Fit(experiment.fit)
    evaluation = what.evaluate(files, [""], 0, None, None)[""]
    identity = {"experiment": "mine", "method": "ridge", "variant": "", "seed": 0,
                "protocol": "strict", "split": "own", "gate_key": "", "seen_classifier": "f_x"}
    rest = {"config": {}, "test": files.test,
            "calibration": files.calibration, "text": files.text_record(what.method(0)),
            "digests": files.digests(what.method(0)), "seconds": 1.0}
    assert make_record(evaluation, identity, **rest).gzsl_seen_accuracy == 1
    for name in ("zsl_accuracy", "gzsl_ausuc"):
        wrong = dataclasses.replace(evaluation, metrics={**evaluation.metrics, name: 1.5})
        with pytest.raises(ValidationError, match=f"{name}(.|\n)*input_value=1.5"):
            make_record(wrong, identity, **rest)
