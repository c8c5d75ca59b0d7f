"""NTU as the dictionaries of txt2npy.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from zskel.data.readers.ntu import NTUReader
from zskel.pipeline.inspect.inspect import inspect


def twin(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for action in (1, 2):
        name = f"S001C001P001R001A{action:03d}"
        content = {"file_name": name, "nbodys": [1] * 30, "njoints": 25,
                   "skel_body0": rng.normal(size=(30, 25, 3)),
                   "rgb_body0": np.zeros((30, 25, 2)), "depth_body0": np.zeros((30, 25, 2))}
        np.save(folder / f"{name}.skeleton.npy", np.array(content), allow_pickle=True)


def test_dictionaries_are_read(case: Callable[..., Path]) -> None:
    folder = case("txt2npy", twin)
    found = inspect(folder)
    assert (found["reader"], found["clips"], found["skipped"]) == ("ntu", 2, [])
    assert found["bodies_per_clip"] == {"1": 2} and found["frames"]["total"] == 60
    assert inspect(sorted(folder.iterdir())[0])["clips"] == 1
    reader = NTUReader([folder], "ntu60", 60)
    for entry in reader.scan().entries:
        content = np.load(entry.path, allow_pickle=True).item()  # ours, or of the cases
        np.testing.assert_array_equal(
            reader.read(entry), content["skel_body0"][None].astype(np.float32))
