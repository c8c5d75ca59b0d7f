"""Where the scripts of the SynSE lineage look for their files."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from zskel.data.caches import CALIBRATION, TEST
from zskel.data.common.errors import BadConfig
from zskel.data.common.registry import nearest

#: The arrays of a directory of each phase: features, labels and, where the
#: lineage has them, the backbone's logits for all classes.
SECTIONS = MappingProxyType({
    TEST: (("train", "train_label", None), ("ztest", "z_label", None),
           ("gtest", "g_label", "gtest_out")),
    CALIBRATION: (("train", "train_label", None), ("ztest", "z_label", "ztest_out"),
                  ("val", "val_label", "val_out")),
})

#: What stands in a column of a class that our backbone has no output for. Every
#: softmax makes exactly 0 of it, also of a ninth of it (their largest
#: temperature), and no argmax picks it. Unlike -inf it is a number: files with
#: it pass checks for finite values, and 0 times it is 0.
FILL = -1e30


@dataclass(frozen=True)
class Layout:
    """One repository's paths, below the folder that its users download.

    Attributes:
        features: Of the directory of each phase.
        splits: Of the folder of label splits.
        text: Of the text features; ``mode`` is "lb" for class labels, or a part of speech.
        visual: The names of backbones that its scripts know, by width of f_x.
        encoder: The name of a text encoder that its scripts know, or None for any.
    """

    name: str
    features: MappingProxyType[str, str]
    splits: str
    text: str
    visual: MappingProxyType[int, str]
    encoder: str | None


def _layout(
    name: str, test: str, calibration: str, splits: str, text: str, visual: dict[int, str],
    encoder: str | None = None,
) -> Layout:
    return Layout(name, MappingProxyType({TEST: test, CALIBRATION: calibration}), splits, text,
                  MappingProxyType(visual), encoder)


LAYOUTS = MappingProxyType({layout.name: layout for layout in (
    # SA-DVAE: the folder ``resources``. Its loader tells the phases apart by "_val" in the path.
    _layout("sa-dvae", "sk_feats/{visual}_{dataset}_{unseen}_r",
            "sk_feats/{visual}_{dataset}_val_{unseen}_r", "label_splits/{dataset}",
            "text_feats/{dataset}/{encoder}/{mode}_{classes}.npy", {256: "stgcn", 512: "posec3d"}),
    # synse-zsl: the folder ``synse_resources``; "ntu_results/shift_val" is its mark of the phase.
    _layout("synse-zsl", "ntu_results/{visual}_{unseen}_r", "ntu_results/{visual}_val_{unseen}_r",
            "resources/label_splits", "resources/ntu{classes}_{encoder}_{mode}.npy",
            {256: "shift"}, "bert"),
    # MSF: "sk_feats/shift_val" is its mark of the phase.
    _layout("msf", "sk_feats/{visual}_{unseen}_r", "sk_feats/{visual}_val_{unseen}_r",
            "label_splits", "text_feats/{encoder}/{mode}_{classes}.npy", {256: "shift"}),
)})


def layout_of(name: str) -> Layout:
    """A layout by name.

    Raises:
        BadConfig: There is none; the message names the nearest.
    """
    if name not in LAYOUTS:
        raise BadConfig(f"no layout {name!r}; {nearest(name, LAYOUTS)}")
    return LAYOUTS[name]


def split_files(classes: int, unseen: int) -> dict[str, str]:
    """Names of the label splits: random, seen, unseen, validation.

    >>> split_files(60, 5)
    {'unseen': 'ru5', 'seen': 'rs55', 'validation_unseen': 'rv5_0', 'validation_seen': 'rs50_0'}
    """
    return {"unseen": f"ru{unseen}", "seen": f"rs{classes - unseen}",
            "validation_unseen": f"rv{unseen}_0",
            "validation_seen": f"rs{classes - 2 * unseen}_0"}


#: Our data sets under the names of the lineage.
DATASETS = MappingProxyType({"pku-mmd": "pku51"})
