"""Makes a backbone's config follow the joints of the clips that it is for.

Configs leave out what depends on the joints: the graph, the number of input
channels, which joints orient a body, which are left and right. Here the clips'
layout fills it in. For NTU's 25 joints that is word for word what configs said
before there were other layouts, so that weights trained then keep their names.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zskel.data.common.errors import BadConfig
from zskel.data.preprocess import STEPS
from zskel.data.skeleton import NTU_RGBD, JointLayout, layout_of

Config = Mapping[str, Any]

_PIPELINES = ("prepare", "train_pipeline", "test_pipeline")
# Joints of the graphs that mmaction2 knows by a name that is none of ours.
_GRAPHS = {"coco": 17, "openpose": 18}
# Backbones that take a number of joints, and the one they take by default.
_COUNTING = {"ShiftGCN": 25}


def follow(backbone: Config, layout: JointLayout) -> dict[str, Any]:
    """A backbone's config with everything that names joints filled in.

    What the config says itself stays, as long as it fits the layout. Following the
    same layout twice changes nothing.

    Args:
        backbone: Fields of ``BackboneSpec``.
        layout: Of the clips.

    Raises:
        BadConfig: The config asks for joints that the clips do not have.

    >>> model = dict(backbone=dict(type="STGCN", graph_cfg=dict(mode="spatial")))
    >>> follow(dict(model=model), NTU_RGBD)["model"]["backbone"]["graph_cfg"]
    {'mode': 'spatial', 'layout': 'nturgb+d'}
    """
    followed = {**backbone, **{
        name: [_TRANSFORMS.get(str(step.get("type")), _as_it_is)(step, layout)
               for step in backbone[name]]
        for name in _PIPELINES if name in backbone
    }}
    network = backbone["model"].get("backbone")
    if isinstance(network, Mapping):
        steps = [step for name in _PIPELINES for step in followed.get(name, ())]
        followed["model"] = {**backbone["model"], "backbone": _network(network, steps, layout)}
    return followed


def mirrored(layout: JointLayout) -> tuple[list[int], list[int]]:
    """Left joints and, in the same order, the right ones that they are in a mirror.

    Names tell (a "right ..." for each "left ...", an "r..." for each "l..."); of
    joints with other names, what hangs on shoulders and hips.

    >>> left, right = mirrored(NTU_RGBD)
    >>> NTU_RGBD.joints[left[-1]], NTU_RGBD.joints[right[-1]]
    ('left thumb', 'right thumb')
    """
    names = [name.lower() for name in layout.joints]
    pairs: dict[int, int] = {}
    for joint, name in enumerate(names):
        for other in (name.replace("left", "right"), re.sub("^l", "r", name)):
            if other != name and other in names:
                pairs.setdefault(joint, names.index(other))
    children: dict[int, list[int]] = {}
    for child, parent in sorted(layout.bones):
        children.setdefault(parent, []).append(child)
    below = [layout.shoulders, layout.hips]
    while below:
        left, right = below.pop()
        if not {left, right} & {*pairs, *pairs.values()}:
            pairs[left] = right
        below += zip(children.get(left, ()), children.get(right, ()))
    return sorted(pairs), [pairs[left] for left in sorted(pairs)]


def _network(network: Config, steps: Iterable[Config], layout: JointLayout) -> Config:
    found = dict(network)
    if isinstance(network.get("graph_cfg"), Mapping):
        found["graph_cfg"] = _graph(network["graph_cfg"], layout)
    if _COUNTING.get(str(network.get("type")), layout.num_joints) != layout.num_joints:
        found.setdefault("num_joints", layout.num_joints)
    if found.get("num_joints", layout.num_joints) != layout.num_joints:
        raise _misfit("model.backbone.num_joints", f"{found['num_joints']} joints", layout)
    maps = [_heatmaps(step, layout) for step in steps if step.get("type") == "GeneratePoseTarget"]
    if maps and found.setdefault("in_channels", maps[0]) not in maps:
        raise _misfit("model.backbone.in_channels", f"{found['in_channels']} channels for "
                      f"{maps[0]} heatmaps", layout)
    return found


def _graph(graph: Config, layout: JointLayout) -> Config:
    where, given = "model.backbone.graph_cfg.layout", graph.get("layout")
    if isinstance(given, Mapping) or given in _GRAPHS:
        joints = given.get("num_node") if isinstance(given, Mapping) else _GRAPHS[given]
        if joints != layout.num_joints:
            raise _misfit(where, f"{joints} joints", layout)
        return graph
    if given is not None:
        _check_bones(where, given, layout)
    if given == NTU_RGBD.name or _is_ntu(layout):
        return {**graph, "layout": NTU_RGBD.name}
    return {**graph, "layout": {"num_node": layout.num_joints, "center": layout.center,
                                "inward": [list(bone) for bone in layout.bones]}}


def _data_step(step: Config, layout: JointLayout) -> Config:
    name = step.get("step")
    if "layout" in step:
        _check_bones(f"layout of step {name!r}", step["layout"], layout)
        return step
    takes = name is not None and "layout" in inspect.signature(STEPS.get(name)).parameters
    return {**step, "layout": layout.definition()} if takes and not _is_ntu(layout) else step


def _pre_normalize(step: Config, layout: JointLayout) -> Config:
    # mmaction2's own knows the joint to centre on for NTU's joints only.
    if _is_ntu(layout):
        return step
    return {**step, "type": "DataStep", "step": "pre_normalize_3d", "layout": layout.definition()}


def _features(step: Config, layout: JointLayout) -> Config:
    given = step.get("dataset", NTU_RGBD.name)
    if _is_ntu(layout):
        return {**step, "dataset": given}
    if "dataset" in step:
        # Without bones among the features it says nothing about joints.
        if {"b", "bm"} & {*step.get("feats", ())}:
            _check_bones("dataset of GenSkeFeat", given, layout)
        return step
    return {**step, "type": "GenLayoutFeat", "bones": [list(bone) for bone in layout.bones]}


def _flip(step: Config, layout: JointLayout) -> Config:
    return _sided(step, layout) if step.get("type") == "Flip" or step.get("double") else step


def _pose_target(step: Config, layout: JointLayout) -> Config:
    step = _flip(step, layout)
    if not step.get("with_limb") or "skeletons" in step:
        return step
    left, right = mirrored(layout)
    limb = {child: number for number, (child, _) in enumerate(layout.bones)}
    both = [pair for pair in zip(left, right) if {*pair} <= {*limb}]
    return {**step, "skeletons": [list(bone) for bone in layout.bones],
            "left_limb": [limb[joint] for joint, _ in both],
            "right_limb": [limb[joint] for _, joint in both]}


def _sided(step: Config, layout: JointLayout) -> Config:
    if "left_kp" not in step and "right_kp" not in step:
        left, right = mirrored(layout)
        return {**step, "left_kp": left, "right_kp": right}
    named = max([*(step.get("left_kp") or ()), *(step.get("right_kp") or ())], default=0)
    if named >= layout.num_joints:
        raise _misfit(f"left_kp and right_kp of {step['type']}", f"joint {named}", layout)
    return step


def _as_it_is(step: Config, layout: JointLayout) -> Config:
    return step


_TRANSFORMS: dict[str, Callable[[Config, JointLayout], Config]] = {
    "DataStep": _data_step,
    "PreNormalize3D": _pre_normalize,
    "GenSkeFeat": _features,
    "Flip": _flip,
    "GeneratePoseTarget": _pose_target,
}


def _heatmaps(step: Config, layout: JointLayout) -> int:
    joints = layout.num_joints if step.get("with_kp", True) else 0
    return joints + (len(step["skeletons"]) if step.get("with_limb") else 0)


def _is_ntu(layout: JointLayout) -> bool:
    """Whether joints by other names are NTU's, in the same order."""
    return dataclasses.replace(layout, name=NTU_RGBD.name, joints=NTU_RGBD.joints) == NTU_RGBD


def _check_bones(where: str, given: Any, layout: JointLayout) -> None:
    other = layout_of(given)
    if {*map(frozenset, other.bones)} != {*map(frozenset, layout.bones)}:
        bones = " with other bones" if other.num_joints == layout.num_joints else ""
        raise _misfit(where, f"{other.name!r} has {other.num_joints} joints{bones}", layout)


def _misfit(where: str, says: str, layout: JointLayout) -> BadConfig:
    return BadConfig(f"backbone: {where}: {says}, the clips have {layout.num_joints} joints "
                     f"(layout {layout.name!r}); leave it out, then it follows the clips")
