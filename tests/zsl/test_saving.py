"""Fitted methods as files: the same to the bit when read back, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.files import digest_file
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.methods.saving import CARD, FORMAT, WEIGHTS, load_method

SMALL = dict(z_r_dim=6, z_v_dim=2, epochs=2, batch_size=16, learning_rate=5e-3,
             classifier_samples=30, classifier_epochs=20, joint_samples=10)
SEEN, UNSEEN = (0, 1, 3, 4), (2, 5)


def fitted(seed=0, **params):
    rng = np.random.default_rng(seed)
    f_y = rng.normal(size=(6, 4)).astype(np.float32)
    y = np.asarray(SEEN)[np.arange(50) % 4]
    f_x = (f_y[y] @ rng.normal(size=(4, 8)) + rng.normal(size=(50, 8))).astype(np.float32)
    model = SADVAE(**{**SMALL, "seed": seed, **params}).fit(f_x, y, f_y, seen_classes=SEEN)
    return model, f_x


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model, f_x = fitted()
    return model.fit_unseen_classifier(UNSEEN).save(tmp_path_factory.mktemp("models") / "a"), f_x


@pytest.fixture
def folder(saved, tmp_path):
    """A copy to spoil."""
    shutil.copytree(saved[0], tmp_path / "copy")
    return tmp_path / "copy"


def edit(folder, **changes):
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, **changes}))


def edit_arrays(folder, change):
    """Changes the arrays and signs them again."""
    arrays = load_file(folder / WEIGHTS)
    change(arrays)
    save_file(arrays, folder / WEIGHTS)
    edit(folder, weights_sha256=digest_file(folder / WEIGHTS))


@pytest.mark.parametrize("params", [
    {}, {"variant": "naive"}, {"variant": "fd"}, {"recipe": "released"},
    {"classifier_activation": "relu", "noise": "sample"},
])
def test_a_loaded_method_is_equal_to_the_bit(tmp_path, params):
    model, f_x = fitted(seed=3, **params)
    model.fit_unseen_classifier(UNSEEN).save(tmp_path / "model")
    loaded = SADVAE.load(tmp_path / "model")
    assert loaded.params == model.params
    assert loaded.history == model.history
    assert loaded.discriminator_steps == model.discriminator_steps
    assert loaded.seen_classes.tolist() == list(SEEN)
    assert loaded.unseen_classes.tolist() == list(UNSEEN)
    for call in ("predict_proba", "predict_joint_proba"):
        one, two = getattr(model, call)(f_x), getattr(loaded, call)(f_x)
        assert one.dtype == two.dtype and np.array_equal(one, two)
    one, two = model.transform(f_x), loaded.transform(f_x)
    assert np.array_equal(one.z_r, two.z_r) and np.array_equal(one.z_v, two.z_v)
    one, two = model.evidence(f_x), loaded.evidence(f_x)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_method_without_unseen_classifier_can_be_saved_and_continued(tmp_path):
    model, f_x = fitted()
    loaded = SADVAE.load(model.save(tmp_path / "model"))
    with pytest.raises(BadInput, match="fit_unseen_classifier before"):
        loaded.predict_proba(f_x)
    assert np.array_equal(loaded.fit_unseen_classifier(UNSEEN).predict_proba(f_x),
                          model.fit_unseen_classifier(UNSEEN).predict_proba(f_x))


def test_saving_again_replaces_and_leaves_two_files(saved, tmp_path):
    other, f_x = fitted(seed=1)
    folder = shutil.copytree(saved[0], tmp_path / "model")
    other.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == [CARD, WEIGHTS]
    assert np.array_equal(SADVAE.load(folder).transform(f_x).z_r, other.transform(f_x).z_r)


def test_what_is_saved_is_not_shared_with_the_method(tmp_path):
    model, f_x = fitted()
    other = SADVAE(**{**SMALL, "seed": 0})
    other.restore(model.state())
    before = other.transform(f_x).z_r
    model.fit(f_x + 1, np.asarray(SEEN)[np.arange(50) % 4], np.eye(6, 4) + 1, seen_classes=SEEN)
    assert np.array_equal(other.transform(f_x).z_r, before)


def test_an_unfitted_method_is_refused_and_leaves_no_folder(tmp_path):
    with pytest.raises(BadInput, match="call fit first"):
        SADVAE().save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_crash_between_the_files_leaves_nothing_that_loads(saved, folder, monkeypatch):
    def crash(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("zskel.zsl.methods.saving.write_json", crash)
    model, _ = fitted(seed=1)
    with pytest.raises(KeyboardInterrupt):
        model.save(folder)
    with pytest.raises(BadInput, match="model.json: no such file"):
        load_method(folder)


def swap_weights(folder):
    fitted(seed=9)[0].save(folder.parent / "other")
    shutil.copy(folder.parent / "other" / WEIGHTS, folder / WEIGHTS)


def truncate(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def sign_nonsense(folder):
    (folder / WEIGHTS).write_bytes(b"nonsense")
    edit(folder, weights_sha256=digest_file(folder / WEIGHTS))


def drop(name):
    return lambda folder: edit_arrays(folder, lambda arrays: arrays.pop(name))


def shorten(name):
    return lambda folder: edit_arrays(
        folder, lambda arrays: arrays.update({name: arrays[name][:-1]}))


def params(**changes):
    def apply(folder):
        card = json.loads((folder / CARD).read_text())
        edit(folder, params={**card["params"], **changes})
    return apply


@pytest.mark.parametrize(("spoil", "error", "message"), [
    (lambda f: (f / CARD).unlink(), BadInput, r"model\.json: no such file; expected a folder"),
    (lambda f: (f / WEIGHTS).unlink(), BadInput, r"model\.safetensors: no such file"),
    (lambda f: (f / CARD).write_text("{"), BadInput, r"model\.json: not readable as JSON"),
    (lambda f: (f / CARD).write_bytes(b"\xff\xfe\x00"), BadInput, "not readable as JSON"),
    (lambda f: (f / CARD).write_text("[]"), BadInput, "not a saved method"),
    (lambda f: edit(f, format="something"), BadInput, f"format '{FORMAT}' expected"),
    (lambda f: edit(f, params=[]), BadInput, "not a saved method"),
    (lambda f: edit(f, format_version=2), BadInput, "format_version 2, expected 1"),
    (lambda f: edit(f, method="sa_dave"), BadConfig, "did you mean 'sa_dvae'"),
    (truncate, BadInput, "not the weights that model.json was written for"),
    (swap_weights, BadInput, "not the weights that model.json was written for"),
    (sign_nonsense, BadInput, "not a safetensors file"),
    (drop("f_y"), BadInput, "do not make a sa_dvae: 'f_y'"),
    (drop("vae.decoder_x.bias"), BadInput, "do not make a sa_dvae.*decoder_x.bias"),
    (shorten("vae.encoder_y.linear.weight"), BadInput, "do not make a sa_dvae.*encoder_y"),
    (shorten("z_seen"), BadInput, "do not make a sa_dvae: z_seen has shape"),
    (params(z_v_dim=3), BadInput, "do not make a sa_dvae"),
    (params(z_w_dim=3), BadConfig, "z_w_dim"),
    (params(noise="none"), BadConfig, "noise"),
    (lambda f: edit(f, values={}), BadInput, "do not make a sa_dvae: 'history'"),
])
def test_missing_damaged_and_swapped_files_are_refused_in_one_line(folder, spoil, error, message):
    spoil(folder)
    with pytest.raises(error, match=message) as caught:
        load_method(folder)
    assert "\n" not in str(caught.value)


def test_another_method_is_refused_by_name(saved, monkeypatch):
    class Other(SADVAE):
        name = "other"

    monkeypatch.setitem(METHODS._parts, "other", Other)
    with pytest.raises(BadInput, match="holds 'sa_dvae', expected 'other'"):
        Other.load(saved[0])
    assert type(load_method(saved[0])) is SADVAE
