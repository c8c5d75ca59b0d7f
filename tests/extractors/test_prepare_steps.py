"""The normalizations of the data package as transforms that configs name."""

from __future__ import annotations

import numpy as np
import pytest

from zskel.data import preprocess
from zskel.data.canonicalize import canonicalize
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.common.registry import Registry
from zskel.data.skeleton import UTD_MHAD
from zskel.extractors.dataset import build_transforms
from zskel.extractors.mm import register
from zskel.pipeline.base.config import load_experiment


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    register()


def sample(bodies: int = 2) -> dict:
    made = np.random.default_rng(0).normal(size=(bodies, 9, 25, 3)).astype(np.float32)
    made[0, 3] = 0
    return {"keypoint": made, "total_frames": 9, "label": 4}


def test_a_step_does_what_its_function_does() -> None:
    for step, options in (("canonicalize", dict(mode="clip")), ("pre_normalize_3d", {}),
                          ("shift_gcn_normalize", dict(frames=20))):
        prepared = build_transforms([dict(type="DataStep", step=step, **options)])(sample())
        expected = preprocess.STEPS.build(step, sample()["keypoint"], **options)
        np.testing.assert_array_equal(prepared["keypoint"], expected)
        assert prepared["total_frames"] == expected.shape[1]
        assert prepared["label"] == 4


def test_pre_normalize_3d_stands_in_for_mmaction2s() -> None:
    for bodies in (1, 2):
        theirs = build_transforms([dict(type="PreNormalize3D")])(sample(bodies))
        ours = build_transforms([dict(type="DataStep", step="pre_normalize_3d")])(sample(bodies))
        np.testing.assert_allclose(ours["keypoint"], theirs["keypoint"], atol=1e-5)
        assert ours["total_frames"] == theirs["total_frames"]


def test_a_layout_may_be_given_as_in_a_config() -> None:
    made = sample()["keypoint"][:, :, :20]
    own = dict(joints=list(UTD_MHAD.joints), bones=[list(bone) for bone in UTD_MHAD.bones],
               center=2, spine=[3, 2], shoulders=[4, 8], hips=[12, 16])
    for layout in ("utd-mhad", own):
        step = build_transforms([dict(type="DataStep", step="canonicalize", layout=layout)])
        np.testing.assert_array_equal(
            step({"keypoint": made})["keypoint"], canonicalize(made, layout=UTD_MHAD)
        )


def test_one_can_add_steps_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Registry("preprocessing step", {"halve": lambda keypoint: keypoint / 2})
    monkeypatch.setattr("zskel.extractors.transforms.STEPS", own)
    prepared = build_transforms([dict(type="DataStep", step="halve")])(sample())
    np.testing.assert_array_equal(prepared["keypoint"], sample()["keypoint"] / 2)


@pytest.mark.parametrize(("wrong", "message"), [
    (dict(step="canonicalise"), "did you mean 'canonicalize'"),
    (dict(step="canonicalize", modes="clip"), "unexpected keyword argument 'modes'"),
    (dict(step="canonicalize", mode="clips"), "mode is 'clips'"),
    (dict(step="canonicalize", layout="ntu"), "layout 'ntu'"),
    (dict(step="shift_gcn_normalize", frames=0), "frames is 0"),
    ({}, "required positional argument: 'step'"),
])
def test_wrong_steps_are_refused_before_any_clip(wrong: dict, message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        build_transforms([dict(type="DataStep", **wrong)])


def test_a_clip_of_another_layout_is_refused() -> None:
    step = build_transforms([dict(type="DataStep", step="canonicalize")])
    with pytest.raises(BadInput, match="layout 'nturgb\\+d' has floats"):
        step({"keypoint": np.ones((1, 4, 20, 3), np.float32)})


def test_a_transform_says_what_it_is() -> None:
    step = build_transforms([dict(type="DataStep", step="canonicalize", mode="clip",
                                  layout="nturgb+d")])
    assert "DataStep(step='canonicalize', mode='clip', layout='nturgb+d')" in repr(step)


def test_the_experiment_with_canonicalization() -> None:
    plain, turned = map(load_experiment, ("utd-mhad-22-5", "utd-mhad-22-5-canonical"))
    assert turned.digest() != plain.digest()
    changed = turned.model_copy(update=dict(
        name=plain.name,
        backbone=turned.backbone.model_copy(update=dict(prepare=plain.backbone.prepare)),
    ))
    assert changed == plain  # nothing else differs
    prepared = build_transforms(turned.backbone.prepare)(sample(1))
    expected = preprocess.pre_normalize_3d(canonicalize(sample(1)["keypoint"]))
    np.testing.assert_allclose(prepared["keypoint"], expected, atol=1e-6)
