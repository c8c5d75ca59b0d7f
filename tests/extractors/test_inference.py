"""The fast way to run a recognizer against mmaction2's own, and when it is not taken."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from zskel.data.common.errors import BadInput

SHAPE = (1, 2, 12, 25, 3)
STGCN = {"type": "STGCN", "base_channels": 8, "num_stages": 4, "inflate_stages": [3],
         "down_stages": [3], "graph_cfg": {"layout": "nturgb+d", "mode": "stgcn_spatial"}}
PLUS = {"gcn_with_res": True, "tcn_type": "mstcn", "gcn_adaptive": "init"}
AAGCN = {**STGCN, "type": "AAGCN", "graph_cfg": {"layout": "nturgb+d", "mode": "spatial"}}
SHIFT = {"type": "ShiftGCN", "channels": [8, 8, 16], "strides": [1, 1, 2]}
BACKBONES = {
    "stgcn": STGCN,
    "stgcn without input norm": {**STGCN, "data_bn_type": None},
    "stgcn by body": {**STGCN, "data_bn_type": "MVC"},
    "stgcn offset": {**STGCN, "gcn_adaptive": "offset"},
    "stgcn graph first": {**STGCN, "gcn_conv_pos": "post", "gcn_adaptive": None},
    "stgcn++": {**STGCN, **PLUS},
    "aagcn": {**AAGCN, "data_bn_type": "VC"},
    "aagcn by body": AAGCN,
    "aagcn plain": {**AAGCN, "gcn_adaptive": False, "gcn_attention": False},
    "shift-gcn": SHIFT,
}


@pytest.fixture(scope="module")
def build() -> Callable[[dict[str, Any]], nn.Module]:
    """Builds a recognizer in eval mode, none of whose numbers is a neutral one."""
    from zskel.extractors.mm import register

    register()
    from mmaction.registry import MODELS

    def make(backbone: dict[str, Any]) -> nn.Module:
        torch.manual_seed(3)
        model = MODELS.build({
            "type": "RecognizerGCN", "backbone": backbone,
            "cls_head": {"type": "GCNHead", "in_channels": 16, "num_classes": 5, "dropout": 0.5},
        })
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            for norm in model.modules():
                if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                    norm.running_mean.normal_(0, 0.3)
                    norm.running_var.uniform_(0.5, 2)
        return model.eval()

    return make


@pytest.fixture(scope="module", params=BACKBONES)
def model(request: pytest.FixtureRequest, build: Callable[..., nn.Module]) -> nn.Module:
    return build(BACKBONES[request.param])


def clips(bodies: list[int], frames: int = 12, seed: int = 0) -> torch.Tensor:
    """``[N, 1, 2, T, 25, 3]``: 1 is the first body only, -1 the second only."""
    inputs = torch.randn(len(bodies), 1, 2, frames, 25, 3,
                         generator=torch.Generator().manual_seed(seed))
    for clip, count in zip(inputs[:, 0], bodies):
        if count != 2:
            clip[{1: slice(1, 2), -1: slice(0, 1), 0: slice(0, 2)}[count]] = 0
    return inputs


def own(model: nn.Module, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """f_x and logits by mmaction2's backbone and head alone."""
    with torch.no_grad():
        maps = model.backbone(inputs[:, 0])
        return maps.mean(dim=(1, 3, 4)), model.cls_head(maps)


def quick(model: nn.Module, chunk: int | None = None) -> Any:
    from zskel.extractors.inference import BodyWise, recognizer

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = recognizer(model, SHAPE, chunk=chunk)
    assert isinstance(found, BodyWise)
    return found


@pytest.mark.parametrize("bodies", [[1, 1, 1], [2, 2], [2, 1, -1, 0, 1, 2]],
                         ids=["one", "two", "mixed"])
def test_the_fast_way_gives_the_numbers_of_the_own_forward(
    model: nn.Module, bodies: list[int]
) -> None:
    from zskel.extractors.inference import exact

    run = quick(model)
    for frames in (12, 7, 12, 1):
        inputs = clips(bodies, frames, seed=frames)
        with exact(inputs.device):
            ours = run(inputs)
        for mine, theirs in zip(ours, own(model, inputs), strict=True):
            assert mine.shape == theirs.shape and mine.dtype == torch.float32
            assert float(theirs.std(dim=1).min()) > 1e-3
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_the_model_itself_is_left_as_it_was(model: nn.Module) -> None:
    names = [(name, type(module)) for name, module in model.named_modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    quick(model)(clips([2, 1]))
    assert [(name, type(module)) for name, module in model.named_modules()] == names
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_absent_bodies_never_go_through_the_network(build: Callable[..., nn.Module]) -> None:
    run = quick(build(STGCN), chunk=100)
    pushed: list[int] = []
    run._backbone.register_forward_pre_hook(lambda module, inputs: pushed.append(len(inputs[0])))
    run(clips([1, 2, 1, 0, -1], frames=9))
    assert pushed == [1, 5]  # the zero body once, then 1 + 2 + 1 + 0 + 1
    run(clips([1, 1], frames=9))
    assert pushed == [1, 5, 2]
    run(clips([1], frames=10))
    assert pushed == [1, 5, 2, 1, 1]  # another length, another constant


@pytest.mark.parametrize(("backbone", "constants"), [(STGCN, 1), (SHIFT, 2)])
def test_the_constant_of_an_absent_body(
    build: Callable[..., nn.Module], backbone: dict[str, Any], constants: int
) -> None:
    model = build(backbone)
    zero = clips([0], frames=9)
    with torch.no_grad():
        theirs = model.backbone(zero[:, 0]).mean(dim=(3, 4))[0]  # [M, D]
        ours = quick(model)._of_absent(zero[:, 0])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    # With an input norm by body, an absent second body is not an absent first one.
    assert len(np.unique(ours.numpy().round(4), axis=0)) == constants
    assert float(ours.abs().max()) > 0.01


def test_how_bodies_are_grouped_does_not_matter(build: Callable[..., nn.Module]) -> None:
    model, inputs = build(STGCN), clips([2, 1, 2, -1, 2])
    whole = own(model, inputs)
    for chunk in (1, 3, 100):
        for mine, theirs in zip(quick(model, chunk)(inputs), whole):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_several_clips_of_a_recording(build: Callable[..., nn.Module]) -> None:
    model, inputs = build(STGCN), clips([2, 1, 1, 2, 1, 2])
    f_x, _ = quick(model)(inputs.view(2, 3, 2, 12, 25, 3))
    torch.testing.assert_close(f_x, own(model, inputs)[0], atol=1e-5, rtol=1e-5)


def test_folded_units_equal_their_own_forward(model: nn.Module) -> None:
    from zskel.extractors.folding import fold

    backbone = copy.deepcopy(model.backbone)
    backbone.data_bn = nn.Identity()
    folded = fold(copy.deepcopy(backbone))
    inputs = clips([2, 1])[:, 0]
    with torch.no_grad():
        ours, theirs = folded(inputs), backbone(inputs)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5

    def norms(network: nn.Module) -> int:
        return sum(isinstance(module, nn.modules.batchnorm._BatchNorm)
                   for module in network.modules())

    assert norms(folded) <= norms(backbone) / 3
    names = {type(module).__name__ for module in folded.modules()}
    assert not names & {"unit_gcn", "ShiftBlock"}


def test_shift_gcn_without_its_cpu_kernel(build: Callable[..., nn.Module]) -> None:
    """As on another device or in another precision; autocast to float32 does nothing else."""
    from zskel.extractors.backbones.shift_gcn_folded import FoldedShiftGCN

    backbone = build({**SHIFT, "strides": [1, 2, 1]}).backbone
    backbone.data_bn = nn.Identity()
    folded, inputs = FoldedShiftGCN(backbone), clips([2, 1], frames=9)[:, 0]
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        theirs, kernel = backbone(inputs), folded(inputs)
        patch.setattr(torch, "is_autocast_enabled", lambda device: True)
        patch.setattr(FoldedShiftGCN, "_on_cpu", None)
        plain = folded(inputs)
    for ours in (kernel, plain):
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-5


@pytest.mark.parametrize("offset", [0.0, 1.0, -1.0, 5.5, -6.25, 8.0, -9.0, 40.0, -400.0])
def test_shift_gcn_far_from_the_clip(build: Callable[..., nn.Module], offset: float) -> None:
    """Whole offsets, and ones that leave a part of a clip of nine frames, or nothing."""
    model = build({**SHIFT, "strides": [1, 2, 1]})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("ypos"):
                parameter[::2] = offset
    inputs = clips([2, 1, 1, 2], frames=9)
    for mine, theirs in zip(quick(model)(inputs), own(model, inputs), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("columns", "groups"), [(0, 1), (7, 1), (15_000, 2), (150_000, 1)])
def test_products_a_few_rows_at_a_time(columns: int, groups: int) -> None:
    """All at once, in groups of which the last is smaller, and too large for any group."""
    from zskel.extractors.backbones import shift_gcn_kernel

    random = np.random.default_rng(columns)
    weight = random.normal(size=(10, 8)).astype(np.float32)
    x = random.normal(size=(8, columns)).astype(np.float32)
    seen: list[int] = []
    out = np.full((10, columns), np.nan, np.float32)
    shift_gcn_kernel._product(weight, x, out)
    np.testing.assert_allclose(out, weight.astype(float) @ x, rtol=1e-4, atol=1e-5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "dot", lambda some, x, out: seen.append(len(some)))
        shift_gcn_kernel._product.py_func(weight, x, out)
    assert len(seen) == groups and sum(seen) == 10


def test_the_convolution_along_time_takes_fewer_products(
    build: Callable[..., nn.Module]
) -> None:
    """In all stages of ST-GCN, and nowhere else."""
    assert all(stage.minimal is not None for stage in quick(build(STGCN))._backbone.gcn)
    for name in ("aagcn", "stgcn++"):
        others = quick(build(BACKBONES[name]))._backbone.gcn
        assert all(stage.minimal is None for stage in others)


def test_shift_gcn_keeps_what_is_not_finite(build: Callable[..., nn.Module]) -> None:
    run, inputs = quick(build(SHIFT)), clips([2, 1, 1])
    inputs[1, 0, 0, 3, 4, 1] = float("nan")
    f_x = run(inputs)[0]
    assert torch.isfinite(f_x).all(dim=1).tolist() == [True, False, True]


def coupled(backbone_type: type[nn.Module]) -> type[nn.Module]:
    class Coupled(backbone_type):  # type: ignore[misc, valid-type]
        """Says that it treats each body alone, and lets them meet all the same."""

        body_wise = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x - 0.1 * x.mean(dim=1, keepdim=True))

    return Coupled


def test_bodies_that_meet_are_found_out(build: Callable[..., nn.Module]) -> None:
    from zskel.extractors.inference import Direct, recognizer

    model = build(STGCN)
    model.backbone.__class__ = coupled(type(model.backbone))
    with pytest.warns(RuntimeWarning, match="Coupled: .* which is slower: features would differ"):
        run = recognizer(model, SHAPE)
    assert isinstance(run, Direct)
    inputs = clips([1, 2, -1])
    for mine, theirs in zip(run(inputs), own(model, inputs), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


def test_a_backbone_that_cannot_be_taken_apart(build: Callable[..., nn.Module]) -> None:
    from zskel.extractors.inference import Direct, recognizer

    model = build({**STGCN, "data_bn_type": None})
    model.backbone.data_bn = nn.LayerNorm(12)
    with pytest.warns(RuntimeWarning, match="cannot be taken apart .*LayerNorm"):
        assert isinstance(recognizer(model, SHAPE), Direct)


def test_who_declares_nothing_or_asks_for_it_is_run_directly(
    build: Callable[..., nn.Module]
) -> None:
    from zskel.extractors.inference import Direct, recognizer

    model = build(STGCN)
    assert isinstance(recognizer(model, SHAPE, fast=False), Direct)
    assert isinstance(recognizer(model, (1, 17, 8, 56, 56, 3)), Direct)
    model.backbone.__class__ = type("Unknown", (type(model.backbone),), {})
    assert isinstance(recognizer(model, SHAPE), Direct)


def test_training_mode_is_refused(build: Callable[..., nn.Module]) -> None:
    from zskel.extractors.inference import recognizer

    with pytest.raises(BadInput, match="training mode"):
        recognizer(build(STGCN).train(), SHAPE)


def test_lower_precision_only_where_asked(build: Callable[..., nn.Module]) -> None:
    from zskel.extractors.inference import exact

    model, inputs = build(STGCN), clips([2, 1])
    run, theirs = quick(model), own(model, inputs)[0]
    with exact(inputs.device):
        full = run(inputs)[0]
    assert full.dtype == torch.float32 and not full.requires_grad
    with exact(inputs.device, torch.bfloat16):
        half = quick(model)(inputs)[0]
    assert float((full - theirs).abs().max()) < 1e-5
    assert 1e-5 < float((half - theirs).abs().max()) < 0.1


def test_clips_of_several_lengths_keep_their_rows(
    make_spec: Callable[..., Any], store: Any, build: Callable[..., nn.Module]
) -> None:
    """The whole clip as it is: ``extract_features`` batches equal lengths."""
    from zskel.extractors.features import extract_features

    pack = [{"type": "PoseDecode"}, {"type": "FormatGCNInput", "num_person": 2},
            {"type": "PackActionInputs"}]
    spec, model = make_spec(test_pipeline=pack), build(STGCN)
    rows = np.random.default_rng(2).permutation(len(store))
    lengths = {store.keypoint(int(row)).shape[1] for row in rows}
    assert len(lengths) > 3
    fast = extract_features(model, spec, store, rows, batch_size=4)
    slow = [extract_features(model, spec, store, rows[i : i + 1], fast=False)
            for i in range(len(rows))]
    for number in (0, 1):
        assert fast[number] == pytest.approx(
            np.concatenate([result[number] for result in slow]), abs=1e-5)
