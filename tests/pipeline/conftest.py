"""Small made-up results whose records follow from their arrays.

Lets tests import ``undisturbed``.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.common.files import digest_json
from zskel.data.readers.base import Entry, Reader, Scan
from zskel.data.skeleton import NTU_RGBD
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.steps.result_record import ResultRecord
from zskel.pipeline.steps.results import ResultArrays

sys.path.insert(0, str(Path(__file__).parent))

CLASSES = ("swipe left", "wave", "clap", "throw", "draw circle", "bowling", "boxing", "jog",
           "sit to stand", "lunge", "squat", "knock | <door>")
UNSEEN = (1, 4, 8)
CONFIG = {"epochs": 4, "learning_rate": 3.39e-5}
SKILL = {"naive": 0.35, "fd": 0.5, "fd+tc": 0.6}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


def build(
    *, seed: int = 0, variant: str = "fd+tc", experiment: str = "demo", dataset: str = "utd-mhad",
    split: str = "9-3", protocol: str = "strict", unseen: tuple[int, ...] = UNSEEN,
    classes: tuple[str, ...] = CLASSES, clips: int = 6, epochs: int = 4, **changes: Any,
) -> tuple[ResultRecord, ResultArrays]:
    """A result of ``clips`` test clips a class; the second unseen class has one clip more."""
    random = np.random.default_rng([seed, list(SKILL).index(variant)])
    label = np.repeat(np.arange(len(classes)), clips)
    label = np.append(label, unseen[1])
    is_unseen = np.isin(label, unseen)
    skill = SKILL[variant]

    def guess(candidates: np.ndarray, rows: np.ndarray, right: float) -> np.ndarray:
        wrong = random.choice(candidates, rows.sum())
        return np.where(random.random(rows.sum()) < right, label[rows], wrong)

    zsl = np.full(len(label), -1)
    zsl[is_unseen] = guess(np.array(unseen), is_unseen, skill)
    gzsl = np.zeros_like(label)
    gzsl[is_unseen] = guess(np.arange(len(classes)), is_unseen, skill * 0.8)
    gzsl[~is_unseen] = guess(np.arange(len(classes)), ~is_unseen, 0.8)
    p_u = np.random.default_rng([seed, 5]).uniform(0.0, 0.3, (len(label), len(unseen)))
    # The prediction has the highest one.
    p_u[np.arange(len(label)), np.searchsorted(sorted(unseen), zsl) % len(unseen)] += 0.3
    centres = np.random.default_rng(7).normal(size=(len(classes), 8)) * 3
    arrays = ResultArrays(
        label=label, sample_id=np.array([f"a{c + 1}_s{i % 4}_t{i}" for i, c in enumerate(label)]),
        zsl_prediction=zsl, gzsl_prediction=gzsl, p_seen=random.random(len(label)),
        z_r=(centres[label] + random.normal(size=(len(label), 8))).astype(np.float32),
        z_v=random.normal(size=(len(label), 0 if variant == "naive" else 3)).astype(np.float32),
        p_u=p_u.astype(np.float32),
    )
    per_class = []
    for index, name in enumerate(classes):
        rows = label == index
        per_class.append({
            "class": name, "index": index, "unseen": index in unseen, "count": int(rows.sum()),
            "zsl_accuracy": float((zsl[rows] == index).mean()) if index in unseen else None,
            "gzsl_accuracy": float((gzsl[rows] == index).mean()),
        })
    rates = {
        "zsl_accuracy": float((zsl == label)[is_unseen].mean()),
        "gzsl_seen_accuracy": float((gzsl == label)[~is_unseen].mean()),
        "gzsl_unseen_accuracy": float((gzsl == label)[is_unseen].mean()),
        "zsl_accuracy_class_averaged": float(np.mean(
            [c["zsl_accuracy"] for c in per_class if c["unseen"]])),
        "gzsl_seen_accuracy_class_averaged": float(np.mean(
            [c["gzsl_accuracy"] for c in per_class if not c["unseen"]])),
        "gzsl_unseen_accuracy_class_averaged": float(np.mean(
            [c["gzsl_accuracy"] for c in per_class if c["unseen"]])),
        "gzsl_oracle_harmonic_mean": harmonic(0.9, float((zsl == label)[is_unseen].mean())),
    }
    for suffix in ("", "_class_averaged"):
        rates[f"gzsl_harmonic_mean{suffix}"] = harmonic(
            rates[f"gzsl_seen_accuracy{suffix}"], rates[f"gzsl_unseen_accuracy{suffix}"])
    names = np.array(classes)
    seen_names = [str(n) for n in np.delete(names, unseen)]

    def history(offset: float) -> list[dict[str, float]]:
        return [{"epoch": e + 1, **{
            loss: float(scale * np.exp(-0.5 * e) + offset + 0.02 * random.random())
            for loss, scale in (("reconstruction", 1.4), ("kl_x", 6.0), ("cross_alignment", 0.8),
                                ("total_correlation", -0.3))}} for e in range(epochs)]

    fields: dict[str, Any] = {
        "experiment": experiment, "dataset": dataset, "sample_protocol": "cross-subject",
        "method": "sa_dvae", "variant": variant, "protocol": protocol, "split": split,
        "seed": seed, **rates, "per_class": per_class,
        "counts": {"train": 200, "test_seen": int((~is_unseen).sum()),
                   "test_unseen": int(is_unseen.sum()), "calibration_seen": 60,
                   "calibration_unseen": 30},
        "seen_classes": seen_names, "unseen_classes": [classes[i] for i in unseen],
        "validation_unseen_classes": seen_names[2:2 + len(unseen)],
        "backbone": {"name": "stgcn", "weights_sha256": sha("weights"), "seen_test_accuracy": 0.83},
        "text": {"encoder": "all-MiniLM-L6-v2", "encoder_revision": "", "text_source": "label"},
        "gate": {"name": "C_d", "temperature": 2.0, "top_k": 3, "coefficients": [0.1, -0.4]},
        "history": {"test": history(0.1), "calibration": history(0.25)},
        "config": CONFIG, "config_digest": digest_json(CONFIG),
        "cache_digests": {name: sha(name)
                          for name in ("skeleton_test", "skeleton_calibration", "text")},
        "software": {"torch": "2.14.0", "numpy": "2.3.1"},
        "created": f"2026-11-23T10:0{seed % 10}:00+00:00", "duration_seconds": 12.5 + seed,
    }
    return ResultRecord.model_validate({**fields, **changes}), arrays


@pytest.fixture(scope="session")
def make_result() -> Callable[..., tuple[ResultRecord, ResultArrays]]:
    """Builds a record with its arrays; see ``build``."""
    return build


class _MadeUp(Reader):
    """Reads a clip of as many frames as its label says, and 40 more."""

    dataset, layout = "made up", NTU_RGBD

    def __init__(self, arrays: ResultArrays) -> None:
        super().__init__([])
        self.arrays = arrays

    def scan(self) -> Scan:
        return Scan([Entry(*each, "") for each in sorted(zip(
            self.arrays.sample_id.tolist(), self.arrays.label.tolist()))])

    def read(self, entry: Entry) -> np.ndarray:
        random = np.random.default_rng(list(entry.sample_id.encode()))
        joints = random.normal(size=(1 + entry.label % 2, 1, 25, 3))
        path = random.normal(scale=0.1, size=(1, entry.label + 40, 25, 3)).cumsum(axis=1)
        return (joints + path).astype(np.float32)


@pytest.fixture(scope="session")
def make_store() -> Callable[[Path, ResultArrays], SequenceStore]:
    """Writes a sequence store with the clips of a result into a work directory."""
    def make(work_dir: Path, arrays: ResultArrays) -> SequenceStore:
        path = WorkDir(work_dir).own_store
        build_store(_MadeUp(arrays), path, CLASSES)
        return SequenceStore(path)

    return make


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, which finds faults of accessibility."""
    if shutil.which("npm") is None:
        pytest.skip("no npm here")
    folder = tmp_path_factory.mktemp("axe")
    try:
        subprocess.run(["npm", "pack", "axe-core@4", "--silent"], cwd=folder, timeout=60,
                       check=True, capture_output=True)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("axe-core cannot be had from npm's index")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()
