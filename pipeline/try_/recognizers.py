"""Which shipped backbone weights belong to, and which classes their head tells apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zskel.data.classes import class_names, datasets
from zskel.data.common.errors import BadInput
from zskel.data.common.files import read_text
from zskel.data.common.registry import nearest
from zskel.data.skeleton import JointLayout
from zskel.pipeline.base.config import BackboneConfig, load_section

if TYPE_CHECKING:
    from torch import nn

    from zskel.extractors.spec import BackboneSpec

#: Whose clips weights of so many classes were trained on, where nothing else is said.
_BY_CLASSES = {60: "ntu60", 120: "ntu120"}

WHERE = ("weights of a recognizer of NTU RGB+D are needed, as a file on this machine: Shift-GCN's "
         "authors publish theirs at https://github.com/kchengiva/Shift-GCN, mmaction2 its own in "
         "its model zoo, https://mmaction2.readthedocs.io; download a file and name it with "
         "--weights FILE, or name a work directory in which `pipeline fit` has fitted a method")


class Weights(NamedTuple):
    """Weights of a recognizer.

    Attributes:
        path: State dict or checkpoint, ours or as authors publish it.
        backbone: A name of ``configs/_base_/backbones``; None: the first that they fit.
        classes: Name of a data set, or a text file with the class of each output of the
            head, a line each in its order; None: by their number.
    """

    path: Path
    backbone: str | None = None
    classes: str | None = None


class Recognizer(NamedTuple):
    """A network with its weights.

    Attributes:
        spec: Its config, made for the joints of the clips.
        model: In eval mode.
        classes: Names of its head's classes, in their order.
    """

    spec: BackboneSpec
    model: nn.Module
    classes: Sequence[str]


def open_recognizer(weights: Weights, layout: JointLayout) -> Recognizer:
    """Loads weights into a shipped backbone, made for the joints of the clips.

    Raises:
        BadInput: The file is not there, fits no backbone, or its classes are not known.
    """
    from zskel.extractors.mm import register

    register()
    from zskel.extractors.features import load_model
    from zskel.extractors.layout import follow
    from zskel.extractors.spec import BackboneSpec
    from zskel.extractors.weights import head_classes, read_state

    path, configs = weights.path, _configs(weights.backbone)
    count = head_classes(read_state(path), path)
    names = known_classes(path, count, weights.classes)
    refusals: list[str] = []
    for name, config in configs:
        try:
            spec = BackboneSpec(**follow(config.model_dump(), layout))
            return Recognizer(spec, load_model(spec, path, count), names)
        except BadInput as error:
            refusals.append(f"{name}: {error}")
    if weights.backbone is not None:
        raise BadInput(f"{refusals[0]}; without --backbone the one that the weights fit is taken")
    raise BadInput(f"{path}: fits no shipped backbone ("
                   f"{', '.join(each.partition(':')[0] for each in refusals)}); --backbone NAME "
                   "says why one refuses it")


def _configs(only: str | None) -> list[tuple[str, BackboneConfig]]:
    folder = resources.files("zskel.configs") / "_base_" / "backbones"
    names = sorted(item.name[:-3] for item in folder.iterdir() if item.name.endswith(".py"))
    if only is not None and only not in names:
        raise BadInput(f"--backbone {only}: is not shipped; {nearest(only, names)}")
    # Shift-GCN first: its published weights are the ones most likely to be at hand.
    found = [only] if only else sorted(names, key=lambda name: not name.startswith("shift_gcn"))
    return [(name, load_section(Path(str(folder / f"{name}.py")), "backbone", BackboneConfig))
            for name in found]


def known_classes(weights: Path, count: int, given: str | None) -> Sequence[str]:
    """Names of the ``count`` classes of a head; see :class:`Weights` for the arguments.

    Of a data set those are taken that ``pipeline extract`` trained on.

    Raises:
        BadInput: It is not known which they are, or they are not as many.
    """
    found: Any = given or _BY_CLASSES.get(count)
    if found is None:
        raise BadInput(f"{weights}: its head has {count} classes; say which with --classes: a data "
                       f"set ({', '.join(datasets())}) or a text file with the class of each "
                       "output, a line each in the order of the head")
    names = class_names(found) if found in datasets() else tuple(
        line.strip() for line in read_text(found).splitlines() if line.strip()) \
        if Path(found).is_file() else None
    if names is None:
        raise BadInput(f"--classes {found}: no such data set or file; {nearest(found, datasets())}")
    own = _trained_on(weights)
    if len(own) == count and max(own) < len(names):
        return [names[index] for index in own]
    if len(names) != count:
        raise BadInput(f"--classes {found}: {len(names)} classes, the head of {weights} has "
                       f"{count}")
    return names


def _trained_on(weights: Path) -> Sequence[int]:
    """The class of each output as ``pipeline extract`` keeps it beside weights; else none."""
    beside = weights.with_name("backbone.json")
    if weights.name != "weights.pth" or not beside.is_file():
        return ()
    found: Sequence[int] = json.loads(read_text(beside)).get("classes", ())
    return found
