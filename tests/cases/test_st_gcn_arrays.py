"""NTU as ST-GCN's joints with their label pickle."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from zskel.data.readers.ntu import NTUReader
from zskel.pipeline.inspect.inspect import inspect

NAMES = [f"S001C001P{subject:03d}R001A{action:03d}.skeleton"
         for subject in range(1, 5) for action in range(1, 5)]


def twin(folder: Path) -> None:
    values = np.random.default_rng(0).normal(size=(16, 3, 50, 25, 2)).astype(np.float32)
    np.save(folder / "train_data_joint.npy", values)
    (folder / "train_label.pkl").write_bytes(pickle.dumps((NAMES, [0, 1, 2, 3] * 4)))


def test_names_tell_who_and_what(case: Callable[..., Path]) -> None:
    folder = case("st-gcn-arrays", twin)
    found = inspect(folder)
    assert (found["reader"], found["dataset"], found["clips"]) == ("ntu", "ntu60", 16)
    assert found["identity"]["subject"] == {"1": 4, "2": 4, "3": 4, "4": 4}
    assert found["sample_protocols"] == [
        {"sample_protocol": "cross-subject", "by": "subject", "train": 12, "test": 4}]
    assert found["bodies_per_clip"] == {"2": 16} and found["skipped"] == []
    reader = NTUReader([folder], "ntu60", 60)
    values = np.load(folder / "train_data_joint.npy")
    for row, entry in enumerate(reader.scan().entries):
        assert entry.sample_id == NAMES[row].removesuffix(".skeleton")
        np.testing.assert_array_equal(reader.read(entry), values[row].transpose(3, 1, 2, 0))
