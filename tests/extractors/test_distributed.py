"""Processes that train together: launched by torchrun, over gloo on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.errors import BadConfig
from data.store import SequenceStore
from extractors import distributed
from extractors.dataset import EpochBatches, EpochSampler

ROOT = Path(__file__).resolve().parents[2]

# What each of the processes runs; it notes which clips it trained on.
WORKER = """
import json, sys
from pathlib import Path
from extractors.distributed import launch, leave, rank
from extractors.mm import register
launch("pytorch")
register()
import numpy as np
from data.store import SequenceStore
import extractors.dataset
from extractors.training import BackboneSpec, train_backbone

job = json.loads(Path(sys.argv[1]).read_text())
used = []
get = extractors.dataset.StoreClips.__getitem__
def noted(self, key):
    used.append([int(part) for part in key])
    return get(self, key)
extractors.dataset.StoreClips.__getitem__ = noted
told = []
trained = train_backbone(
    BackboneSpec(**job["spec"]), SequenceStore(job["store"]), np.array(job["rows"]), (0, 2),
    job["folder"], lambda done, total, losses: told.append(done))
Path(f"{sys.argv[1]}.{rank()}").write_text(json.dumps(
    {"used": used, "told": told, "sha256": trained.weights_sha256, "history": trained.history}))
leave()
"""


@pytest.fixture
def together(
    make_spec: Callable[..., Any], store: SequenceStore, rows: np.ndarray, tmp_path: Path
) -> Callable[..., Any]:
    """Trains with two processes and returns what each has to say."""

    def run(**changes: Any) -> list[dict[str, Any]]:
        spec, job = make_spec(**changes), tmp_path / "job.json"
        job.write_text(json.dumps({
            "spec": asdict(spec), "store": str(store.path), "rows": rows.tolist(),
            "folder": str(tmp_path / "backbone")}))
        (tmp_path / "worker.py").write_text(WORKER)
        ended = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
             str(tmp_path / "worker.py"), str(job)],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True,
            text=True, timeout=300,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        return [json.loads(Path(f"{job}.{rank}").read_text()) for rank in range(2)]

    return run


def test_two_processes_train_one_backbone(
    together: Callable[..., Any], rows: np.ndarray, tmp_path: Path
) -> None:
    # 12 clips in steps of 5: the processes have 3 and 2 of each, and of the last two 1 and 1.
    first, second = together(epochs=2, batch_size=5)
    for epoch in range(2):
        parts = [[clip for e, clip in told["used"] if e == epoch] for told in (first, second)]
        assert [len(part) for part in parts] == [7, 5]
        assert sorted(parts[0] + parts[1]) == list(range(len(rows)))
    assert first["told"] == [1, 2] and second["told"] == []
    assert first["history"] == second["history"] and len(first["history"]) == 2
    folder = tmp_path / "backbone"
    assert {path.name for path in folder.iterdir()} == {"weights.pth", "backbone.json", "logs"}
    assert len(list((folder / "logs").glob("*/*.log"))) == 1
    summary = json.loads((folder / "backbone.json").read_text())
    assert summary["processes"] == 2
    assert first["sha256"] == second["sha256"] == summary["weights_sha256"]
    state = torch.load(folder / "weights.pth", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state.values())
    assert not any(name.startswith("module.") for name in state)


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
