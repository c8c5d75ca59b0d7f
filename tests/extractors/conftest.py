"""A handful of made-up clips in a sequence store, and the smallest ST-GCN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.readers.base import Entry, Reader, Scan
from zskel.data.skeleton import NTU_RGBD
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store

CLASSES = ("stand", "raise", "shake")
SEEN = (0, 2)


class MadeUp(Reader):
    """Clips of three kinds of movement: none, a slow rise, a quick shake."""

    dataset, layout = "made-up", NTU_RGBD

    def scan(self) -> Scan:
        return Scan([Entry(f"clip{i:02d}", i % 3, str(self.sources[0]), subject=i % 4)
                     for i in range(18)])

    def read(self, entry: Entry) -> np.ndarray:
        random = np.random.default_rng(int(entry.sample_id[4:]))
        frames = int(random.integers(10, 20))
        time = np.arange(frames)[None, :, None]
        clip = random.normal(size=(1, 1, 25, 3)) + 0.05 * random.normal(size=(1, frames, 25, 3))
        clip[..., 1] += (0, 0.1 * time, np.sin(1.5 * time))[entry.label]
        return clip.astype(np.float32)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> SequenceStore:
    """18 clips of 3 classes, of different lengths."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "raw").touch()
    build_store(MadeUp([folder / "raw"]), folder / "store.h5", CLASSES)
    return SequenceStore(folder / "store.h5")


@pytest.fixture(scope="session")
def rows(store: SequenceStore) -> np.ndarray:
    """Rows of the two seen classes, not in the store's order."""
    found = np.flatnonzero(np.isin(store.label, SEEN))
    return np.random.default_rng(0).permutation(found)


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., Any]:
    """Builds a ``BackboneSpec``; keyword arguments change it."""
    from zskel.extractors.mm import register

    register()
    from zskel.extractors.training import BackboneSpec

    pack = [{"type": "PoseDecode"}, {"type": "FormatGCNInput", "num_person": 1},
            {"type": "PackActionInputs"}]

    def make(learning_rate: float = 0.1, **changes: Any) -> BackboneSpec:
        fields: dict[str, Any] = {
            "name": "tiny",
            "model": {
                "type": "RecognizerGCN",
                "backbone": {
                    "type": "STGCN", "base_channels": 4, "num_stages": 2, "inflate_stages": [2],
                    "down_stages": [2], "num_person": 1,
                    "graph_cfg": {"layout": "nturgb+d", "mode": "stgcn_spatial"},
                },
                "cls_head": {"type": "GCNHead", "in_channels": 8, "dropout": 0.2},
            },
            "prepare": [{"type": "PreNormalize3D"}],
            "train_pipeline": [
                {"type": "RandomTemporalCrop"}, {"type": "RandomRotation3D"},
                {"type": "RandomScale3D"}, {"type": "UniformSampleFrames", "clip_len": 8}, *pack,
            ],
            "test_pipeline": [
                {"type": "UniformSampleFrames", "clip_len": 8, "num_clips": 1, "test_mode": True},
                *pack,
            ],
            "epochs": 4,
            "batch_size": 4,
            "optim_wrapper": {"optimizer": {"type": "SGD", "lr": learning_rate, "momentum": 0.9}},
            "param_scheduler": [{"type": "CosineAnnealingLR", "T_max": 4, "by_epoch": True,
                                 "convert_to_iter_based": True}],
        }
        return BackboneSpec(**{**fields, **changes})

    return make


@pytest.fixture(scope="session")
def trained(
    make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """An undisturbed training of the default spec; its folder is not to be changed."""
    from zskel.extractors.training import train_backbone

    folder: Path = tmp_path_factory.mktemp("trained")
    return train_backbone(make_spec(), store, rows, SEEN, folder)
