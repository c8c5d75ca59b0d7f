"""What decides a backbone's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from zskel.data.common.errors import BadConfig
from zskel.data.common.files import digest_json
from zskel.data.common.outside import is_outside, load_trusted, outside_code
from zskel.data.pooled import Pool
from zskel.data.store import SequenceStore

# Of no influence on the weights, so of none on their name either.
_ASIDE = ("num_workers", "vis_backends", "extract_autocast", "text", "pools")


def with_own_types(config: Any) -> Any:
    """An mmengine config in which code of one's own stands for its name.

    Raises:
        BadConfig: A ``type`` names code that is not there, or that no user has named.
    """
    if isinstance(config, Mapping):
        found = {key: with_own_types(value) for key, value in config.items()}
        if isinstance(found.get("type"), str) and is_outside(found["type"]):
            found["type"] = load_trusted(found["type"], "type")
        return found
    if isinstance(config, (list, tuple)):
        return type(config)(with_own_types(each) for each in config)
    return config


@dataclass(frozen=True)
class BackboneSpec:
    """Everything that decides a backbone's weights, except the clips.

    Attributes:
        name: "stgcn", ...: goes into the caches.
        model: mmaction2 recognizer config; its head's ``num_classes`` is set to
            the number of seen classes.
        prepare, train_pipeline, test_pipeline: mmaction2 transforms:
            deterministic ones applied once, then those of each phase.
        epochs, batch_size: Of the training; a batch is shared by all processes.
        optim_wrapper, param_scheduler: mmengine configs. ``clip_grad`` in the first
            clips gradients; ``type="AmpOptimWrapper"`` computes in mixed precision
            on a GPU, and in float32 where there is none.
        seed: Of the initial weights, shuffling and augmentation.
        num_workers: Processes that load clips beside the one that trains or extracts;
            they change no number.
        vis_backends: mmengine's, beside the log file that is always written:
            ``[dict(type="TensorboardVisBackend")]``.
        extract_autocast: "bfloat16" or "float16": extract features in that
            precision where an operation allows it, which changes f_x, not the weights.
        pools: Views of the feature map that are extracted along with f_x.
        text_supervision: Options of training by the seen classes' texts as well, with
            a head of ``zskel.extractors.heads.text_supervised``; its "features" changes
            f_x, not the weights.
        text: f_y of all classes for that, ``[C, Dt]``; needed to train.
    """

    name: str
    model: Mapping[str, Any]
    prepare: list[dict[str, Any]]
    train_pipeline: list[dict[str, Any]]
    test_pipeline: list[dict[str, Any]]
    epochs: int
    batch_size: int
    optim_wrapper: Mapping[str, Any]
    param_scheduler: list[dict[str, Any]]
    seed: int = 0
    num_workers: int = 0
    vis_backends: list[dict[str, Any]] = field(default_factory=list)
    extract_autocast: str = "float32"
    pools: tuple[Pool, ...] = ()
    text_supervision: Mapping[str, Any] | None = None
    text: np.ndarray | None = None

    def model_config(self, num_classes: int, text: Any = None) -> dict[str, Any]:
        """The recognizer's config for a number of classes.

        Args:
            num_classes: S.
            text: Their f_y, ``[S, Dt]``, where texts supervise.

        Raises:
            BadConfig: It has no head, or one that texts cannot supervise.
        """
        model = with_own_types(copy.deepcopy(dict(self.model)))
        if not isinstance(model.get("cls_head"), Mapping):
            raise BadConfig("backbone: model has no cls_head; a recognizer with a head that has "
                            "num_classes is needed, f_x is what its last linear layer reads")
        model["cls_head"] = {**model["cls_head"], "num_classes": num_classes}
        if self.text_supervision is not None:
            if model["cls_head"].get("type") != "GCNHead":
                raise BadConfig("backbone.text_supervision: takes a model whose cls_head is a "
                                f"GCNHead, found {model['cls_head'].get('type')!r}")
            model["cls_head"] |= {"type": "TextSupervisedHead", "text": text,
                                  "supervision": dict(self.text_supervision)}
        return model

    def for_view(self, view: Mapping[str, Any]) -> BackboneSpec:
        """How the features of a view are extracted, which are pooled from the same or others.

        Args:
            view: With "transforms", which go before ``test_pipeline``, or "features", as of
                ``text_supervision``; or neither.
        """
        supervision = self.text_supervision
        if "features" in view:
            supervision = {**(supervision or {}), "features": view["features"]}
        return replace(self, text_supervision=supervision,
                       test_pipeline=[*view.get("transforms", []), *self.test_pipeline])

    def text_of(self, classes: tuple[int, ...]) -> np.ndarray | None:
        """f_y of these classes, where texts supervise."""
        if self.text_supervision is None:
            return None
        assert self.text is not None, "text_supervision without text"
        return self.text[list(classes)]

    def digest(self, store: SequenceStore, rows: np.ndarray, classes: tuple[int, ...]) -> str:
        """Names the weights that training on these rows of this store gives."""
        spec = {name: value for name, value in asdict(self).items() if name not in _ASIDE}
        text = self.text_of(classes)
        if text is None:
            del spec["text_supervision"]  # so that names from before there was any stay
        else:
            spec["text_supervision"].pop("features", None)
            spec["text"] = text.tolist()
        code = outside_code(spec)
        return digest_json({
            "spec": spec, **({"code": code} if code else {}), "store": store.digest,
            "samples": store.sample_id[rows].tolist(), "classes": list(classes),
        })
