"""Processes that train and extract together, over gloo on the CPU, as torchrun starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zskel.data.common.errors import BadConfig
from zskel.data.readers.base import Entry, Reader, Scan
from zskel.data.skeleton import NTU_RGBD
from zskel.data.store import SequenceStore
from zskel.data.store_building import build_store
from zskel.extractors import distributed
from zskel.extractors.dataset import EpochBatches, EpochSampler

ROOT = Path(__file__).resolve().parents[2]

# What each of the processes runs; it notes which clips it used. At last the second dies.
# They are copies of one that has imported everything; a torchrun is in tests/pipeline.
WORKER = """
import json, os, signal, socket, sys
from pathlib import Path
from zskel.extractors.distributed import launch, rank
from zskel.extractors.mm import register
register()
import numpy as np
from zskel.data.store import SequenceStore
import zskel.extractors.dataset, zskel.extractors.shards
from zskel.extractors.features import load_model
from zskel.extractors.training import BackboneSpec, train_backbone

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    os.environ.update(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=str(free.getsockname()[1]))
children = []
for number in range(2):
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number))
    children.append(os.fork())
    if children[-1] == 0:
        break
else:
    print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    sys.exit()
launch("pytorch")
job = json.loads(Path(sys.argv[1]).read_text())
used = []
get = zskel.extractors.dataset.StoreClips.__getitem__
def noted(self, key):
    used.append([int(part) for part in key] if isinstance(key, tuple) else int(key))
    return get(self, key)
zskel.extractors.dataset.StoreClips.__getitem__ = noted
told, report = [], {}
spec, folder = BackboneSpec(**job["spec"]), Path(job["folder"])
trained = train_backbone(
    spec, SequenceStore(job["store"]), np.array(job["rows"]), (0, 2),
    folder, lambda done, total, losses: told.append(done))
# A key without an epoch is the clip that the model is tried on beforehand.
report["training"] = {"used": [key for key in used if isinstance(key, list)],
                      "told": list(told), "sha256": trained.weights_sha256,
                      "history": trained.history}

def extract(name, store, pipeline, prepare=spec.prepare):
    used.clear(), told.clear()
    own = BackboneSpec(**{**job["spec"], "test_pipeline": pipeline, "prepare": prepare})
    store = SequenceStore(store)
    found = zskel.extractors.shards.extract_in_processes(
        load_model(own, trained.weights, 2), own, store, np.arange(len(store)),
        folder.parent / name, 2, lambda done, total: told.append([done, total]))
    report[name] = {"used": list(used), "told": list(told), "none": found is None}
    Path(f"{sys.argv[1]}.{rank()}").write_text(json.dumps(report))
    if found is not None:
        np.savez(folder.parent / f"{name}.npz", f_x=found.f_x, logits=found.logits)

extract("sampled", job["store"], spec.test_pipeline)
extract("whole", job["store"], job["pack"])
extract("surprising", job["holey"], job["pack"], job["gapless"])
write = zskel.extractors.shards.write_shard
def die(path, shard):
    write(path, shard)
    if rank() == 1 and len(list(path.parent.glob("*.npz"))) >= 3:
        os.kill(os.getpid(), signal.SIGKILL)
zskel.extractors.shards.write_shard = die
extract("cut-short", job["store"], job["pack"])
"""

PACK = [{"type": "PoseDecode"}, {"type": "FormatGCNInput", "num_person": 1},
        {"type": "PackActionInputs"}]
# So that clips with as many frames are not of one length any more.
GAPLESS = [{"type": "PreNormalize3D"}]


class Holey(Reader):
    """Clips of 14 frames, up to 3 of which are empty."""

    dataset, layout = "holey", NTU_RGBD

    def scan(self) -> Scan:
        return Scan([Entry(f"clip{i:02d}", i % 3, str(self.sources[0])) for i in range(17)])

    def read(self, entry: Entry) -> np.ndarray:
        number = int(entry.sample_id[4:])
        clip = np.random.default_rng(number).normal(size=(1, 14, 25, 3)).astype(np.float32)
        clip[:, 2:2 + (number * 7 + number // 5) % 4] = 0
        return clip


@dataclass(frozen=True)
class Together:
    """What two processes did and left in a folder."""

    spec: Any
    holey: SequenceStore
    folder: Path
    reports: list[dict[str, Any]]

    def arrays(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        with np.load(self.folder / f"{name}.npz") as content:
            return content["f_x"], content["logits"]


@pytest.fixture(scope="module")
def together(
    make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> Together:
    """Two processes, the second of which dies in the last of four extractions."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "raw").touch()
    build_store(Holey([folder / "raw"]), folder / "holey.h5", ("a", "b", "c"))
    # 12 clips in steps of 5: the processes have 3 and 2 of each, and of the last two 1 and 1.
    spec, job = make_spec(epochs=2, batch_size=5), folder / "job.json"
    job.write_text(json.dumps({
        "spec": asdict(spec), "store": str(store.path), "holey": str(folder / "holey.h5"),
        "rows": rows.tolist(), "folder": str(folder / "backbone"), "pack": PACK,
        "gapless": GAPLESS}))
    (folder / "worker.py").write_text(WORKER)
    ended = subprocess.run(
        [sys.executable, str(folder / "worker.py"), str(job)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=folder, capture_output=True,
        text=True, timeout=300, check=False,
    )
    # The first ends too: it sees that it is alone.
    assert ended.stdout.splitlines()[-1] == "[1, -9]", ended.stderr[-3000:]
    reports = [json.loads(Path(f"{job}.{rank}").read_text()) for rank in range(2)]
    return Together(spec, SequenceStore(folder / "holey.h5"), folder, reports)


def test_two_processes_train_one_backbone(together: Together, rows: np.ndarray) -> None:
    first, second = (report["training"] for report in together.reports)
    for epoch in range(2):
        parts = [[clip for e, clip in told["used"] if e == epoch] for told in (first, second)]
        assert [len(part) for part in parts] == [7, 5]
        assert sorted(parts[0] + parts[1]) == list(range(len(rows)))
    assert first["told"] == [1, 2] and second["told"] == []
    assert first["history"] == second["history"] and len(first["history"]) == 2
    folder = together.folder / "backbone"
    assert {path.name for path in folder.iterdir()} == {"weights.pth", "backbone.json", "logs"}
    assert len(list((folder / "logs").glob("*/*.log"))) == 1
    summary = json.loads((folder / "backbone.json").read_text())
    assert summary["processes"] == 2
    assert {"torch", "mmaction2", "cpu", "threads"} <= set(summary["software"])
    assert first["sha256"] == second["sha256"] == summary["weights_sha256"]
    state = torch.load(folder / "weights.pth", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state.values())
    assert not any(name.startswith("module.") for name in state)


def extracted_alone(
    together: Together, store: SequenceStore, **changes: Any
) -> tuple[np.ndarray, np.ndarray]:
    from zskel.extractors.features import extract_features, load_model

    spec = replace(together.spec, **changes)
    model = load_model(spec, together.folder / "backbone" / "weights.pth", 2)
    return extract_features(model, spec, store, np.arange(len(store)), 2)


@pytest.mark.parametrize(("name", "changes"), [
    ("sampled", {}), ("whole", {"test_pipeline": PACK}),
    ("surprising", {"test_pipeline": PACK, "prepare": GAPLESS}),
])
def test_features_by_two_processes_are_those_of_one(
    together: Together, store: SequenceStore, name: str, changes: dict[str, Any]
) -> None:
    own = together.holey if name == "surprising" else store
    for ours, theirs in zip(together.arrays(name), extracted_alone(together, own, **changes)):
        assert ours.dtype == theirs.dtype == np.float32 and np.array_equal(ours, theirs)
    first, second = (report[name] for report in together.reports)
    assert (first["none"], second["none"]) == (False, True)
    assert set(first["used"]) | set(second["used"]) == set(range(len(own)))
    done = [done for done, total in first["told"]]
    assert done == sorted(done) and first["told"][-1] == [len(own)] * 2 and not second["told"]
    # Both look at one clip of each size and the first of all; the others are transformed by one.
    sizes = len(set(zip(own.num_bodies.tolist(), own.num_frames.tolist())))
    transformed = len(first["used"]) + len(second["used"])
    if name != "surprising":
        assert transformed == len(own) + 2 * (sizes + 1)
    else:  # lengths are not what they seemed: each clip is looked at once more
        assert sizes == 1 and transformed > 2 * len(own) + 2 * (sizes + 2)


def test_what_two_had_finished_when_one_died_is_used_by_the_next(
    together: Together, store: SequenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zskel.extractors import dataset
    from zskel.extractors.features import load_model
    from zskel.extractors.shards import extract_in_processes

    folder = together.folder / "cut-short"
    left = list(folder.glob("*.npz"))
    assert len(left) >= 3 and not (together.folder / "cut-short.npz").exists()
    left[0].write_bytes(left[0].read_bytes()[:100])  # damaged: it is made again
    finished = {position for path in left[1:] for position in np.load(path)["positions"].tolist()}
    used = []
    get = dataset.StoreClips.__getitem__
    monkeypatch.setattr(dataset.StoreClips, "__getitem__",
                        lambda self, key: (used.append(key), get(self, key))[1])
    spec = replace(together.spec, test_pipeline=PACK)
    model = load_model(spec, together.folder / "backbone" / "weights.pth", 2)
    found = extract_in_processes(model, spec, store, np.arange(len(store)), folder, 2)
    assert found is not None and found.cut == 0
    looked_at = {store.num_frames.tolist().index(size) for size in store.num_frames}
    assert set(used) >= set(range(len(store))) - finished
    assert not (set(used) - looked_at) & finished
    f_x, logits = extracted_alone(together, store, test_pipeline=PACK)
    assert np.array_equal(found.f_x, f_x) and np.array_equal(found.logits, logits)


@pytest.mark.parametrize("length", [2, 5, 12, 13, 16, 17])
@pytest.mark.parametrize(("batch_size", "processes"), [(2, 2), (4, 2), (8, 3), (5, 1), (16, 4)])
def test_batches_are_shared_without_loss_or_repetition(
    length: int, batch_size: int, processes: int
) -> None:
    sampler = EpochSampler(length, seed=3)
    sampler.set_epoch(1)
    if length < processes:
        with pytest.raises(BadConfig, match=f"{processes} processes cannot share {length} clips"):
            EpochBatches(sampler, batch_size, 0, processes)
        return
    parts = [EpochBatches(sampler, batch_size, rank, processes) for rank in range(processes)]
    batches = [list(part) for part in parts]
    assert {len(of_rank) for of_rank in batches} == {len(parts[0])}
    assert all(batch for of_rank in batches for batch in of_rank)
    used = [key for of_rank in batches for batch in of_rank for key in batch]
    assert sorted(used) == [(1, index) for index in range(length)]
    for step in zip(*batches):
        sizes = [len(batch) for batch in step]
        assert max(sizes) - min(sizes) <= 1 and sum(sizes) < batch_size + processes


@pytest.mark.parametrize("length", [1, 7, 8])
def test_one_process_gets_the_batches_of_pytorchs_sampler(length: int) -> None:
    sampler = EpochSampler(length, seed=0)
    assert list(EpochBatches(sampler, 4)) == list(
        torch.utils.data.BatchSampler(sampler, 4, drop_last=False))


def test_alone_there_is_nothing_to_wait_for() -> None:
    distributed.launch("none")
    assert not distributed.joined() and distributed.is_main()
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    distributed.barrier()
    distributed.leave()


@pytest.mark.parametrize(("launcher", "message"), [
    ("torch", "--launcher 'torch': "), ("pytorch", "RANK is not set .* torchrun"),
    ("slurm", "SLURM_PROCID is not set .* srun"),
])
def test_a_launcher_that_did_not_start_this_process_is_one_line(
    monkeypatch: pytest.MonkeyPatch, launcher: str, message: str
) -> None:
    for names in distributed.LAUNCHERS.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    with pytest.raises(BadConfig, match=message) as caught:
        distributed.launch(launcher)
    assert "\n" not in str(caught.value)


def test_slurm_without_gpus_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in distributed.LAUNCHERS["slurm"]:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadConfig, match="works with GPUs only"):
        distributed.launch("slurm")
