"""Weights from files of every make; none may run code."""

from __future__ import annotations

import os
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from sklearn.linear_model import LogisticRegression

from zskel.data.common.errors import BadInput
from zskel.extractors.probe import seen_logits
from zskel.extractors.weights import head_classes, read_state

STATE = {"backbone.a": torch.arange(3.0), "cls_head.fc.weight": torch.ones(7, 2)}


def save(path: Path, content: object, old: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before-zip"])
@pytest.mark.parametrize("content", [
    STATE, {"state_dict": STATE, "meta": {"epoch": 3, "cfg": "model = 1"}},
    {f"module.{name}": value for name, value in STATE.items()},
], ids=["state-dict", "checkpoint", "data-parallel"])
def test_a_state_dict_is_found_wherever_it_is(tmp_path: Path, content: object, old: bool) -> None:
    state = read_state(save(tmp_path / "w.pth", content, old))
    assert state.keys() == STATE.keys() and torch.equal(state["backbone.a"], torch.arange(3.0))
    assert head_classes(state, "w.pth") == 7


def test_an_mmengine_checkpoint_with_its_log_history_loads(tmp_path: Path) -> None:
    history = HistoryBuffer()
    for value in (1.0, 0.5):
        history.update(value)
    content = {"state_dict": STATE, "message_hub": {"log_scalars": {"train/loss": history}}}
    assert read_state(save(tmp_path / "epoch_1.pth", content)).keys() == STATE.keys()


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.target,)

    def __init__(self, target: Path) -> None:
        self.target = str(target)


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_wants_to_run_code_is_refused_and_does_not(tmp_path: Path, old: bool) -> None:
    path = save(tmp_path / "w.pth", {"state_dict": _Evil(tmp_path / "was here")}, old)
    with pytest.raises(BadInput, match="w.pth: no weights that load without running code"):
        read_state(path)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(_Evil(tmp_path / "was here")))
    with pytest.raises(BadInput, match="without running code"):
        read_state(tmp_path / "plain.pkl")
    assert not (tmp_path / "was here").exists()


class _Calls:
    """Any function at all, as a pickle can name it."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before-zip"])
@pytest.mark.parametrize("place", [
    lambda evil: {"state_dict": STATE, "meta": {"hook": evil}}, lambda evil: {**STATE, "x": evil},
    lambda evil: {"state_dict": STATE, "message_hub": {"log_scalars": {"loss": evil}}},
], ids=["meta", "beside", "history"])
def test_code_is_refused_wherever_it_hides(
    tmp_path: Path, place: Callable[[object], object], old: bool
) -> None:
    mark = tmp_path / "was here"
    for evil in (_Evil(mark), _Calls(eval, f"open({str(mark)!r}, 'w')"),
                 _Calls(exec, f"open({str(mark)!r}, 'w')"),
                 _Calls(getattr, _Calls(__import__, "os"), "mkdir"),
                 _Calls(os.system, f"touch '{mark}'")):
        with pytest.raises(BadInput, match="w.pth: no weights that load without running code"):
            read_state(save(tmp_path / "w.pth", place(evil), old))
        assert not mark.exists()


def test_weights_that_promise_too_much_are_refused_before_memory_is_made(tmp_path: Path) -> None:
    """A tensor without end, a storage that is not there, and a bomb."""
    path = tmp_path / "w.pth"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for old in (False, True):
        save(path, {"fc.weight": torch.ones(1, 1).expand(1 << 40, 64)}, old)
        with pytest.raises(BadInput, match=r"w.pth: 'fc.weight' has the shape \[1099511627776, 64"):
            read_state(path)
    whole = save(path, {"fc.weight": torch.arange(3.0)}, old=True).read_bytes()
    assert whole.count(b"K\x03N") == 1  # how many numbers the storage has
    for count in (1 << 29, 1 << 40, 1 << 62):
        path.write_bytes(whole.replace(b"K\x03N", b"\x8a\x08" + struct.pack("<q", count) + b"N"))
        with pytest.raises(BadInput, match="w.pth: no weights"):
            read_state(path)
    save(tmp_path / "small.pth", {"fc.weight": torch.zeros(4)})
    with zipfile.ZipFile(tmp_path / "small.pth") as small, zipfile.ZipFile(path, "w") as bomb:
        for info in small.infolist():
            with bomb.open(info.filename, "w") as member:
                member.write(small.read(info))
        filler = zipfile.ZipInfo("small/data/9")
        filler.compress_type = zipfile.ZIP_DEFLATED
        with bomb.open(filler, "w", force_zip64=True) as member:
            for _ in range(160):
                member.write(bytes(1 << 20))
    with pytest.raises(BadInput, match="w.pth: is declared to unpack to 160.0 MB"):
        read_state(path)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < 300 << 20


@pytest.mark.parametrize(("content", "message"), [
    ([1, 2], "expected a state dict, found list"), ({}, "expected a state dict"),
    ({"a": 3}, "'a' is not a tensor"),
])
def test_other_content_is_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_state(save(tmp_path / "w.pth", content))
    assert "\n" not in str(caught.value)


def test_absent_damaged_and_headless_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_state(tmp_path / "none.pth")
    whole = save(tmp_path / "w.pth", STATE).read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="half.pth"):
        read_state(tmp_path / "half.pth")
    with pytest.raises(BadInput, match="has no head"):
        head_classes({"backbone.a": torch.ones(1)}, "w.pth")


def test_logits_of_given_weights_get_the_seen_columns() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 2, 3], 20)
    f_x = rng.standard_normal((60, 5)).astype(np.float32) + label[:, None]
    train = np.arange(0, 60, 2)
    every = rng.standard_normal((60, 4)).astype(np.float32)
    found, source = seen_logits(f_x, every, label, train, (0, 2, 3), 4)
    assert source == "seen columns of the head" and np.array_equal(found, every[:, [0, 2, 3]])
    found, source = seen_logits(f_x, every[:, :3], label, train, (0, 2, 3), 4)
    assert source == "head" and np.array_equal(found, every[:, :3])

    found, source = seen_logits(f_x, rng.standard_normal((60, 60)), label, train, (0, 2, 3), 4)
    mean, std = f_x[train].mean(axis=0), f_x[train].std(axis=0)
    alone = LogisticRegression(max_iter=2000).fit((f_x[train] - mean) / std, label[train])
    assert source == "linear probe" and found.shape == (60, 3) and found.dtype == np.float32
    assert np.allclose(found, alone.decision_function((f_x - mean) / std), atol=1e-3)


def test_a_probe_of_two_classes_has_two_columns() -> None:
    f_x = np.array([[0.0], [0.2], [2.0], [2.2]], np.float32)
    label = np.array([1, 1, 3, 3])
    found, _ = seen_logits(f_x, np.zeros((4, 9)), label, np.arange(4), (1, 3), 5)
    assert found.shape == (4, 2) and found.argmax(axis=1).tolist() == [0, 0, 1, 1]
