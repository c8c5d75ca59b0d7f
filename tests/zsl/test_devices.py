"""Methods on another device: the same numbers, and nothing left behind on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pretended_device import NAME, pretended

from zskel.data.common import devices
from zskel.data.common.devices import chosen_device, keep_to
from zskel.data.common.errors import BadInput
from zskel.zsl.devices import computing_on
from zskel.zsl.methods import METHODS
from zskel.zsl.methods.base import State

RELEASED: dict[str, Any] = {"recipe": "released"}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in METHODS.names()),
    *((name, RELEASED) for name in ("cada_vae", "jpose", "revise", "sa_dvae", "smie", "synse")),
    ("sa_dvae", {"engine": "fast"}),
    ("sa_dvae", {"engine": "fast", "text_basis": True}),
    ("sa_dvae", {"engine": "fast", **RELEASED}),
]


def fitted(name: str, options: dict[str, Any]) -> tuple[list[np.ndarray], State]:
    """What a method says after two epochs, and its state."""
    random = np.random.default_rng(0)
    y, f_y = np.resize(np.arange(6), 40), random.normal(size=(8, 12)).astype(np.float32)
    f_x = (random.random((40, 10)) + np.eye(10)[y]).astype(np.float32)
    if "epochs" in METHODS.get(name).params_model.model_fields:
        options = {**options, "epochs": 2}
    method = METHODS.build(name, **options)
    text = {part: np.roll(f_y, k, axis=1) for k, part in enumerate(method.text_parts)} or f_y
    more = {each: f_x[:, ::-1].copy() for each in method.extra_features}
    method.fit(f_x, y, text, seen_classes=range(6), **more).fit_unseen_classifier([6, 7])
    said = [method.predict_proba(f_x), *vars(method.transform(f_x)).values(),
            *method.evidence(f_x).values()]
    if type(method).predict_joint_proba is not METHODS.get("conse").predict_joint_proba:
        said.append(method.predict_joint_proba(f_x))
    return said, method.state()


@pytest.mark.parametrize(("name", "options"), SETTINGS)
def test_a_method_is_the_same_on_any_device(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said, state = fitted(name, options)
    with pretended(monkeypatch) as device, computing_on(device):
        there, state_there = fitted(name, options)
    # Attention has another kernel there, so not to the bit; other draws would show.
    for mine, others in zip(said, there, strict=True):
        np.testing.assert_allclose(mine, others, rtol=1e-4, atol=1e-5)
    for array, values in state.arrays.items():
        np.testing.assert_allclose(values, state_there.arrays[array], rtol=1e-3, atol=1e-4)
    restored = METHODS.build(name, **options)
    restored.restore(state_there)  # on the CPU again


def test_the_pretended_device_refuses_what_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended(monkeypatch) as device:
        there = torch.ones(2, device=device)
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(2)
        with pytest.raises(RuntimeError, match="generator is the CPU's"):
            there.normal_(generator=torch.Generator())
        with computing_on(device):
            assert torch.zeros(1).device.type == NAME
            drawn = torch.rand(3, generator=torch.Generator().manual_seed(0))
    assert drawn.tolist() == torch.rand(3, generator=torch.Generator().manual_seed(0)).tolist()


def test_what_transformers_has_replaced_is_made_there_all_the_same(
    python: Callable[..., Any]
) -> None:
    # As while it loads an encoder, if that is the process's first use of torch.device.
    ended = python("-c", """
import torch
from zskel.zsl.devices import computing_on
original = torch.linspace
torch.linspace = lambda *arguments: original(*arguments)
with torch.device("meta"):
    torch.zeros(1)
torch.linspace = original
for place in (torch.device, computing_on):
    with place("meta"):
        print(torch.linspace(0, 1, 3).device)
""")
    assert ended.stdout.split() == ["cpu", "meta"], ended.stderr


def test_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto") == chosen_device("cpu") == "cpu"
    with pytest.raises(BadInput, match='device "cuda": PyTorch finds no GPU'):
        chosen_device("cuda")


def test_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen_device("auto") == chosen_device("cuda", faster_on_gpu=False) == "cuda"
    assert chosen_device("auto", faster_on_gpu=False) == chosen_device("cpu") == "cpu"
    monkeypatch.setattr(devices.os, "environ", {})
    keep_to("auto")
    assert not devices.os.environ
    keep_to("cpu")
    assert devices.os.environ == {"CUDA_VISIBLE_DEVICES": ""}
