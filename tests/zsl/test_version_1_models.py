"""Models that version 1 wrote, as folders and as files, are read and predict what they did."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from zskel.data.caches import CALIBRATION, TEST, SkeletonFeatures, TextFeatures
from zskel.zsl.fitted import check_fitted, load_fitted, save_fitted
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.saving import load_method
from zskel.zsl.novel_labels import predict_labels

FOLDER = Path(__file__).parent / "resources" / "version_1"
EXPECTED = np.load(FOLDER / "expected.npz")
NAMES = tuple(f"class {k}" for k in range(8))


def assert_predicts(method, name):
    f_x = EXPECTED["f_x"]
    # Sums of products on another processor: the last bits may differ.
    for key, found in (("unseen", method.predict_proba(f_x)), ("z_r", method.transform(f_x).z_r),
                       ("joint", method.predict_joint_proba(f_x))):
        np.testing.assert_allclose(found, EXPECTED[f"{name}/{key}"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["sa_dvae", "cada_vae"])
def test_a_method_in_a_folder(tmp_path, name):
    folder = shutil.copytree(FOLDER / name, tmp_path / name)
    method = load_method(folder)
    assert type(method) is METHODS.get(name) and method.params.seed == 1
    assert len(method.history["loss"]) == method.params.epochs
    assert_predicts(method, name)
    again = METHODS.get(name).load(method.save(tmp_path / "now.safetensors"))
    assert again.params == method.params and again.history == method.history
    assert_predicts(again, name)


def caches():
    """What the files were fitted on."""
    def features(phase, seen, unseen, f_x, y, subset):
        no = np.full(len(y), -1, np.int16)
        return SkeletonFeatures(
            f_x=f_x, logits=np.zeros((len(y), len(seen)), np.float32), label=y.astype(np.int64),
            sample_id=np.array([f"{phase}{k}" for k in range(len(y))]), subset=np.asarray(subset),
            subject=(np.arange(len(y)) % 4).astype(np.int16), camera=no, setup=no, replication=no,
            dataset="made-up", sample_protocol="cross-subject", phase=phase, class_names=NAMES,
            seen_classes=tuple(seen), unseen_classes=tuple(unseen), backbone="none",
            weights_sha256="0" * 64, preprocessing={}, config={}, software={},
            created="2026-01-01T00:00:00+00:00")

    f_x, y, new_x, new_y = (EXPECTED[name] for name in ("f_x", "y", "new_x", "new_y"))
    test = features(TEST, range(6), (6, 7), np.concatenate([f_x, new_x]),
                    np.concatenate([y, new_y]), ["train"] * len(y) + ["test"] * len(new_y))
    calibration = features(CALIBRATION, range(4), (4, 5), f_x, y, EXPECTED["calibration_subset"])
    text = TextFeatures(f_y=EXPECTED["f_y"], text=np.array(NAMES), class_names=NAMES,
                        encoder="none", encoder_revision="", text_source="label")
    return test, calibration, text


@pytest.mark.parametrize("name", ["ridge", "sa_dvae"])
def test_what_a_fit_has_kept(tmp_path, name):
    path, now = FOLDER / f"{name}.safetensors", tmp_path / "now.safetensors"
    card, given = check_fitted(path), caches()
    fitted = load_fitted(path, *given)
    assert (card["method"], fitted.seed, card["origin"]) == (name, 3, {"split": "made up"})
    save_fitted(fitted, now, {key: {"name": key, "options": {}} for key in fitted.gates}, {})
    for kept in (fitted, load_fitted(now, *given)):
        assert_predicts(kept.method, f"fitted/{name}")
        for key, gate in kept.gates.items():
            np.testing.assert_allclose(
                predict_labels(kept.phases[TEST], gate, EXPECTED["new_x"]).joint_proba,
                EXPECTED[f"fitted/{name}/{key}"], rtol=1e-4, atol=1e-6)


def test_a_fitted_file_keeps_of_its_methods_what_their_own_files_do(tmp_path):
    path, now = FOLDER / "sa_dvae.safetensors", tmp_path / "now.safetensors"
    fitted = load_fitted(path, *caches())
    save_fitted(fitted, now, {key: {"name": key, "options": {}} for key in fitted.gates}, {})
    alone = load_file(fitted.method.save(tmp_path / "alone.safetensors"))
    kept = load_file(now)
    for name, array in alone.items():
        np.testing.assert_array_equal(kept[f"test.method.{name}"], array)
    assert check_fitted(now)["phases"]["test"] == fitted.method.content()[0]
