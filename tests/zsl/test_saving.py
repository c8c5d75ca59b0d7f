"""Fitted methods as files: the same to the bit when read back, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.methods.saving import load_method
from zskel.zsl.model_file import METHOD, read_card, read_model_file, write_model_file

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
    path = tmp_path_factory.mktemp("models") / "a.safetensors"
    return model.fit_unseen_classifier(UNSEEN).save(path), f_x


@pytest.fixture
def copy(saved, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copy(saved[0], tmp_path / "copy.safetensors"))


def edit(path, **changes):
    """Changes the card, and leaves out what is None."""
    with safe_open(path, "numpy") as file:
        card = {**json.loads(file.metadata()["card"]), **changes}
    card = {key: value for key, value in card.items() if value is not None}
    save_file(load_file(path), path, {"card": json.dumps(card)})


def edit_arrays(path, change):
    """Changes the arrays and signs them again."""
    content, arrays = read_model_file(path, METHOD)
    change(arrays)
    write_model_file(path, METHOD, {key: content[key] for key in METHOD.keys}, arrays)


@pytest.mark.parametrize("params", [
    {}, {"variant": "naive"}, {"variant": "fd"}, {"recipe": "released"},
    {"classifier_activation": "relu", "noise": "sample"},
])
def test_a_loaded_method_is_equal_to_the_bit(tmp_path, params):
    model, f_x = fitted(seed=3, **params)
    model.fit_unseen_classifier(UNSEEN).save(tmp_path / "model.safetensors")
    loaded = SADVAE.load(tmp_path / "model.safetensors")
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
    loaded = SADVAE.load(model.save(tmp_path / "model.safetensors"))
    with pytest.raises(BadInput, match="fit_unseen_classifier before"):
        loaded.predict_proba(f_x)
    assert np.array_equal(loaded.fit_unseen_classifier(UNSEEN).predict_proba(f_x),
                          model.fit_unseen_classifier(UNSEEN).predict_proba(f_x))


def test_saving_again_replaces_the_one_file(copy):
    other, f_x = fitted(seed=1)
    assert other.save(copy) == copy
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert np.array_equal(SADVAE.load(copy).transform(f_x).z_r, other.transform(f_x).z_r)


def test_a_folder_is_no_file_to_save_to(tmp_path):
    with pytest.raises(BadInput, match="is a folder; name a file, such as .*model.safetensors"):
        fitted()[0].save(tmp_path)


def test_what_is_saved_is_not_shared_with_the_method(tmp_path):
    model, f_x = fitted()
    other = SADVAE(**{**SMALL, "seed": 0})
    other.restore(model.state())
    before = other.transform(f_x).z_r
    model.fit(f_x + 1, np.asarray(SEEN)[np.arange(50) % 4], np.eye(6, 4) + 1, seen_classes=SEEN)
    assert np.array_equal(other.transform(f_x).z_r, before)


def test_an_unfitted_method_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(BadInput, match="call fit first"):
        SADVAE().save(tmp_path / "models" / "model.safetensors")
    assert not (tmp_path / "models").exists()


def truncate(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def drop(name):
    return lambda path: edit_arrays(path, lambda arrays: arrays.pop(name))


def shorten(name):
    return lambda path: edit_arrays(
        path, lambda arrays: arrays.update({name: arrays[name][:-1]}))


def params(**changes):
    return lambda path: edit(path, params={**read_card(path, METHOD)["params"], **changes})


@pytest.mark.parametrize(("spoil", "error", "message"), [
    (lambda p: p.unlink(), BadInput, "no such file; a method's `save` writes one"),
    (lambda p: p.write_bytes(b""), BadInput, "damaged"),
    (lambda p: p.write_bytes(b"nonsense"), BadInput, "damaged"),
    (truncate, BadInput, "damaged"),
    (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\x7f"), BadInput,
     "damaged .its arrays are not those that were written"),
    (lambda p: save_file({"a": np.ones(2)}, p), BadInput, "'zero-shot-skeleton/method' expected"),
    (lambda p: edit(p, format="something"), BadInput, "'zero-shot-skeleton/method' expected"),
    (lambda p: edit(p, params=[]), BadInput, "its card has no params"),
    (lambda p: edit(p, values=None), BadInput, "its card has no values"),
    (lambda p: edit(p, format_version=3), BadInput, "format_version 3, expected 2"),
    (lambda p: edit(p, method="sa_dave"), BadConfig, "did you mean 'sa_dvae'"),
    (drop("f_y"), BadInput, "do not make a sa_dvae: 'f_y'"),
    (drop("vae.decoder_x.bias"), BadInput, "do not make a sa_dvae.*decoder_x.bias"),
    (shorten("vae.encoder_y.linear.weight"), BadInput, "do not make a sa_dvae.*encoder_y"),
    (shorten("z_seen"), BadInput, "do not make a sa_dvae: z_seen has shape"),
    (params(z_v_dim=3), BadInput, "do not make a sa_dvae"),
    (params(z_w_dim=3), BadConfig, "z_w_dim"),
    (params(noise="none"), BadConfig, "noise"),
    (lambda p: edit(p, values={}), BadInput, "do not make a sa_dvae: 'history'"),
])
def test_missing_damaged_and_swapped_files_are_refused_in_one_line(copy, spoil, error, message):
    spoil(copy)
    with pytest.raises(error, match=message) as caught:
        load_method(copy)
    assert "\n" not in str(caught.value)


def test_another_method_is_refused_by_name(saved, monkeypatch):
    class Other(SADVAE):
        name = "other"

    monkeypatch.setitem(METHODS._parts, "other", Other)
    with pytest.raises(BadInput, match="holds 'sa_dvae', expected 'other'"):
        Other.load(saved[0])
    assert type(load_method(saved[0])) is SADVAE
