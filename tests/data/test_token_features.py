"""Token features in text caches: round trips, and every way in which they can be wrong."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from exchange_caches import random_caches

from zskel.data.caches import TextFeatures, read_text_features, write_text_features
from zskel.data.common.checksums import write_checksum
from zskel.data.common.errors import BadCache
from zskel.data.exchange.npz import export_npz, import_npz

NAMES = ("wave", "clap", "sit down")


def tokens() -> TextFeatures:
    """3, 5 and 1 tokens of 4 dimensions."""
    rng = np.random.default_rng(0)
    mask = np.arange(5) < np.array([3, 5, 1])[:, None]
    return TextFeatures(
        f_y=rng.normal(size=(3, 2)).astype(np.float32), text=np.array(NAMES), class_names=NAMES,
        encoder="drawn", encoder_revision="1", text_source="label",
        token_features=(rng.normal(size=(3, 5, 4)) * mask[..., None]).astype(np.float16),
        token_mask=mask)


def assert_same(one: TextFeatures, two: TextFeatures) -> None:
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=field.name)
            assert a.dtype.kind == b.dtype.kind
        else:
            assert a == b, field.name


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "text.h5"
    write_text_features(path, tokens())
    assert_same(read_text_features(path), tokens())
    with h5py.File(path) as file:
        assert file["token_features"].dtype == np.float16 and file["token_mask"].dtype == bool
    # Without them the file is as it was before there were any.
    write_text_features(path, replace(tokens(), token_features=None, token_mask=None))
    with h5py.File(path) as file:
        assert set(file) == {"f_y", "text"}
    assert read_text_features(path).token_features is None


def test_they_go_through_an_export_and_an_import(tmp_path: Path) -> None:
    test, calibration, texts = random_caches()
    classes = len(test.class_names)
    values = np.random.default_rng(1).normal(size=(classes, 3, 4)).astype(np.float16)
    text = replace(texts[""], token_features=values, token_mask=np.ones((classes, 3), bool))
    export_npz(tmp_path, test, calibration, {"": text, "verb": texts["verb"]})
    found = import_npz(tmp_path)
    assert found.text is not None
    assert_same(found.text, text)
    assert found.text_parts["verb"].token_features is None


def test_another_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "text.h5"
    write_text_features(path, tokens())
    content = bytearray(path.read_bytes())
    wanted = tokens().token_features
    assert wanted is not None
    content[content.index(wanted.tobytes()) + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadCache, match="checksum|damaged"):
        read_text_features(path)


@pytest.mark.parametrize(("name", "value", "message"), [
    ("token_features", None, "has one of /token_features and /token_mask"),
    ("token_features", np.ones((3, 5), np.float16), "has 2 dimensions, expected 3"),
    ("token_features", np.ones((2, 5, 4), np.float16), r"expected \[3, L, D\]"),
    ("token_features", np.ones((3, 5, 4), np.int16), "expected float"),
    ("token_features", np.full((3, 5, 4), np.nan, np.float16), "non-finite"),
    ("token_features", np.ones((3, 5, 4), np.float16), "'wave', token 3: is not zero"),
    ("token_mask", np.ones((3, 5), bool), "'wave', token 3: is all zeros"),
    ("token_mask", np.ones((3, 5), np.int8), "expected bool"),
    ("token_mask", np.ones((3, 4), bool), r"expected bool \(3, 5\)"),
    ("token_mask", np.zeros((3, 5), bool), "class 'wave' has no tokens"),
])
def test_what_breaks_the_contract_is_refused(
    tmp_path: Path, name: str, value: np.ndarray | None, message: str
) -> None:
    path = tmp_path / "text.h5"
    write_text_features(path, tokens())
    with h5py.File(path, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value
    write_checksum(path)
    with pytest.raises(BadCache, match=message):
        read_text_features(path)
