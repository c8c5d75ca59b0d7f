"""NTU as CTR-GCN's .npz file, which names nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from zskel.data.readers.ntu import NTUReader
from zskel.pipeline.inspect.inspect import inspect


def twin(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(22, 60, 150)).astype(np.float32)
    y = np.eye(60)[np.arange(22) % 4]
    np.savez(folder / "NTU60_CS.npz", x_train=x[:16], y_train=y[:16], x_test=x[16:], y_test=y[16:])


def test_what_is_missing_is_said_and_the_rest_is_read(case: Callable[..., Path]) -> None:
    path = case("feature-files", twin) / "NTU60_CS.npz"
    found = inspect(path)
    assert (found["reader"], found["dataset"], found["clips"]) == ("ntu", "ntu60", 22)
    assert found["sample_protocols"] == [
        {"sample_protocol": "cross-subject", "by": "replication", "train": 16, "test": 6}]
    (notice,) = [each["text"] for each in found["notices"] if each["code"] == "source"]
    assert "holds no sample names, and so neither subjects" in notice
    reader = NTUReader([path], "ntu60", 60)
    entries = reader.scan().entries
    values = np.load(path)["x_test"]
    np.testing.assert_array_equal(
        reader.read(entries[0]), values[0].reshape(60, 2, 25, 3).transpose(1, 0, 2, 3))
