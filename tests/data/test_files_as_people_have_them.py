"""Files with a byte-order mark are read as without; a file of zeros is called that."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.other_formats import write_nw_ucla, write_pku_mmd
from zskel.data.caches import read_skeleton_features, read_text_features
from zskel.data.classes import register_dataset
from zskel.data.common.errors import BadInput
from zskel.data.common.files import only_zeros
from zskel.data.exchange.arrays import load_array, load_npy, load_npz
from zskel.data.exchange.mapping import read_mapping
from zskel.data.readers import READERS
from zskel.data.readers.raw_file import read_file
from zskel.data.readers.safe_pickle import load
from zskel.data.store import SequenceStore
from zskel.data.synthetic import Settings, generate, write_ntu

RECORDINGS = list(generate(Settings(
    performers=2, cameras=2, frames=(16, 18), actions=("jump up", "squat down"))))


def marked(folder: Path) -> None:
    """Puts a byte-order mark before all texts of a folder, as Windows' editors do."""
    for path in folder.rglob("*.*"):
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())


@pytest.mark.parametrize(("write", "reader", "options"), [
    (write_ntu, "ntu", {"dataset": "synthetic", "num_classes": 40}),
    (write_pku_mmd, "pku_mmd", {}),
    (write_nw_ucla, "nw_ucla", {}),
])
def test_recordings_with_a_byte_order_mark(
    tmp_path: Path, write: Callable[..., object], reader: str, options: dict[str, object]
) -> None:
    found = []
    for name, change in (("plain", lambda folder: None), ("marked", marked)):
        write(RECORDINGS, tmp_path / name)
        change(tmp_path / name)
        source = READERS.build(reader, [tmp_path / name], **options)
        scan = source.scan()
        assert not scan.skipped
        found.append({entry.sample_id: (entry.label, source.read(entry))
                      for entry in scan.entries})
    plain, with_mark = found
    assert list(plain) == list(with_mark) and len(plain) == len(RECORDINGS)
    for name, (label, keypoint) in plain.items():
        assert with_mark[name][0] == label
        np.testing.assert_array_equal(with_mark[name][1], keypoint)


def test_class_names_and_mappings_with_a_byte_order_mark(tmp_path: Path) -> None:
    names, mapping = tmp_path / "names.txt", tmp_path / "mapping.json"
    names.write_bytes("sit\r\nst\u00e4nd\r\n".encode())
    source = {"file": "a.npz", "f_x": "x", "label": "y"}
    mapping.write_text(json.dumps({"dataset": "mine", "source": [source]}), encoding="utf-8")
    plain = read_mapping(mapping)
    marked(tmp_path)
    assert register_dataset("marked names", str(names)) == ("sit", "st\u00e4nd")
    assert read_mapping(mapping) == plain


@pytest.mark.parametrize("read", [
    load, load_npy, load_npz, lambda path: load_array(path, None), read_skeleton_features,
    read_text_features, SequenceStore, lambda path: read_file(path, 10_000)])
def test_a_file_of_zeros(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(5000))
    with pytest.raises(BadInput, match=r"holds only zero bytes \(an interrupted download or copy"):
        read(path)


@pytest.mark.parametrize("name", [
    "all.zip", "all.tar", "NTU60_CS.npz", "train_data_joint.npy",
    "S001C001P001R001A001.skeleton", "S001C001P001R001A001.skeleton.gz"])
def test_a_source_of_zeros(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(5000))
    source = READERS.build("ntu", [tmp_path / name], dataset="ntu60", num_classes=60)
    with pytest.raises(BadInput, match=r"holds only zero bytes \(an interrupted download or copy"):
        source.read(source.scan().entries[0])


def test_what_is_a_file_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content, zeros in ((b"", False), (bytes(1), True), (bytes(3 << 20), True),
                           (bytes(3 << 20) + b"x", False), (b"x" + bytes(9), False)):
        path.write_bytes(content)
        assert only_zeros(path) == only_zeros(content) == zeros
