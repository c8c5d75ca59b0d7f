"""Mutated caches and stores: refused, or read as if nothing had happened.

``FUZZ_MUTATIONS`` sets how many of each kind are mutated (150 when unset).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.other_formats import write_utd_mhad
from zskel.data.caches import (
    SkeletonFeatures,
    TextFeatures,
    write_skeleton_features,
    write_text_features,
)
from zskel.data.readers.utd_mhad import UTDMHADReader
from zskel.data.store_building import build_store
from zskel.data.synthetic import Settings, generate

COUNT = int(os.environ.get("FUZZ_MUTATIONS", "150"))
HERE = Path(__file__).resolve().parent
NAMES = ("wave", "clap", "größe", "sit down")


def skeleton() -> SkeletonFeatures:
    rng, label = np.random.default_rng(0), np.arange(40) % 3
    unknown = np.full(40, -1, np.int16)
    return SkeletonFeatures(
        f_x=rng.normal(size=(40, 16)).astype(np.float32),
        logits=rng.normal(size=(40, 3)).astype(np.float32), label=label,
        sample_id=np.asarray([f"clip-{i}-ü" for i in range(40)]),
        subset=np.asarray(["train"] * 20 + ["test"] * 20), subject=unknown, camera=unknown,
        setup=unknown, replication=unknown, dataset="mine", sample_protocol="cross-subject",
        phase="test", class_names=NAMES, seen_classes=(0, 1, 2), unseen_classes=(3,),
        backbone="stgcn", weights_sha256="0" * 64, config={"lr": 0.1}, software={"numpy": "2"},
        created="2026-01-01T00:00:00+00:00",
    )


def make(kind: str, path: Path) -> Path:
    if kind == "skeleton":
        write_skeleton_features(path, skeleton())
    elif kind == "text":
        write_text_features(path, TextFeatures(
            f_y=np.random.default_rng(1).normal(size=(4, 24)).astype(np.float32),
            text=np.asarray([[f"a person: {name}", name] for name in NAMES]), class_names=NAMES,
            encoder="minilm", encoder_revision="1", text_source="label"))
    else:
        raw = path.parent / "raw"
        write_utd_mhad(list(generate(Settings(performers=2, cameras=1, frames=(16, 18),
                                              actions=("jump up", "wave both hands")))), raw)
        build_store(UTDMHADReader([raw]), path, [f"class {index}" for index in range(40)])
    return path


@pytest.mark.parametrize("kind", ["skeleton", "text", "store"])
def test_a_mutated_file_is_refused_or_read_as_it_was(tmp_path: Path, kind: str) -> None:
    """In a process of its own: HDF5 could crash it, and that would be a failure, too."""
    source = make(kind, tmp_path / f"{kind}.h5")
    ended = subprocess.run(
        [sys.executable, HERE / "cache_mutations.py", source, kind, str(COUNT), "7"],
        capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])})
    assert ended.returncode == 0, (ended.returncode, ended.stdout[-300:], ended.stderr[-2000:])
    tally = json.loads(ended.stdout.splitlines()[-1])
    assert sum(tally.values()) == COUNT
    assert tally.keys() == {"refused", "equal"}, tally
