"""Sample protocols, and every published NTU count from the public sample names."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zskel.data.caches import IDENTITY, TEST, TRAIN
from zskel.data.common.errors import BadConfig, BadInput
from zskel.data.phases import test_phase as make_test_phase
from zskel.data.protocols import (
    CLIP,
    PROTOCOLS,
    SampleProtocol,
    random_subsets,
    sample_protocol,
)
from zskel.data.readers.ntu import NTUReader, missing_skeletons
from zskel.data.splits import class_split

RESOURCES = Path(__file__).parent / "resources"
EXPECTED = json.loads((RESOURCES / "published_splits.json").read_text(encoding="utf-8"))[
    "expected_ntu_counts_from_public_name_lists"
]
SPLITS = {"synse": "", "sadvae_random": "random", "smie_random": "smie"}


def our_name(key: str) -> str:
    """"synse:ntu60_55_5" -> "55-5", "smie_random:ntu60_split1" -> "smie-1"."""
    source, _, name = key.partition(":")
    counts = name.partition("_")[2].replace("split", "").replace("_", "-")
    return "-".join(filter(None, (SPLITS[source], counts)))


FIGURES = [(dataset, key) for dataset in EXPECTED for key in EXPECTED[dataset] if ":" in key]


def remaining(dataset: str) -> list[str]:
    with gzip.open(RESOURCES / f"{dataset}_sample_names.txt.gz", "rt", encoding="ascii") as lines:
        return lines.read().split()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Label and identity of every NTU clip, as the reader finds them in one archive.

    The archive lists all 114,480 recordings of NTU RGB+D 120; its files are
    empty, for scanning looks at names only.
    """
    archive = tmp_path_factory.mktemp("ntu") / "nturgbd_skeletons.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in sorted({*remaining("ntu120"), *missing_skeletons("ntu120")}):
            file.writestr(zipfile.ZipInfo(f"nturgb+d_skeletons/{name}.skeleton"), b"")
    found = {}
    for dataset, classes in (("ntu60", 60), ("ntu120", 120)):
        scan = NTUReader([archive], dataset, classes).scan()
        entries = scan.entries
        found[dataset] = {
            "sample_id": [entry.sample_id for entry in entries],
            "label": np.asarray([entry.label for entry in entries]),
            "skipped": scan.skipped,
            **{name: np.asarray([getattr(e, name) for e in entries], np.int16)
               for name in IDENTITY},
        }
    return found


@pytest.mark.parametrize(("dataset", "recorded", "missing"), [
    ("ntu60", 56_880, 302), ("ntu120", 114_480, 535),
])
def test_all_recordings_without_the_missing_ones_are_the_public_names(
    clips, dataset, recorded, missing
):
    names = remaining(dataset)
    assert len(names) == len(set(names)) == EXPECTED[dataset]["total"]
    assert len(missing_skeletons(dataset)) == missing
    assert not missing_skeletons(dataset) & set(names)
    assert len(names) + missing == recorded
    assert clips[dataset]["sample_id"] == sorted(names)
    left_out = [skip for skip in clips[dataset]["skipped"] if "missing" in skip.reason]
    assert {skip.name for skip in left_out} == missing_skeletons(dataset)


def test_the_smaller_data_set_is_part_of_the_larger():
    assert set(remaining("ntu60")) < set(remaining("ntu120"))
    assert missing_skeletons("ntu60") < missing_skeletons("ntu120")


@pytest.mark.parametrize("dataset", ["ntu60", "ntu120"])
def test_published_cross_subject_counts(clips, dataset):
    subset = sample_protocol(dataset, "cross-subject").subsets(clips[dataset]["subject"])
    assert (subset == TRAIN).sum() == EXPECTED[dataset]["xsub_train"]
    assert (subset == TEST).sum() == EXPECTED[dataset]["xsub_test"]


@pytest.mark.parametrize(("dataset", "name", "train", "test"), [
    ("ntu60", "cross-view", 37_646, 18_932),
    ("ntu120", "cross-setup", 54_468, 59_477),
])
def test_counts_of_the_other_protocols(clips, dataset, name, train, test):
    protocol = sample_protocol(dataset, name)
    subset = protocol.subsets(clips[dataset][protocol.field])
    assert ((subset == TRAIN).sum(), (subset == TEST).sum()) == (train, test)


def test_there_is_a_figure_for_every_shipped_ntu_split():
    assert len(FIGURES) == 16
    assert {(dataset, our_name(key)) for dataset, key in FIGURES} == {
        ("ntu60", name) for name in ("55-5", "48-12", "random-1", "random-2", "random-3",
                                     "smie-1", "smie-2", "smie-3")
    } | {
        ("ntu120", name) for name in ("110-10", "96-24", "random-1", "random-2", "random-3",
                                      "smie-1", "smie-2", "smie-3")
    }


@pytest.mark.parametrize(("dataset", "key"), FIGURES, ids=[key for _, key in FIGURES])
def test_published_split_counts(clips, dataset, key):
    label = clips[dataset]["label"]
    split = class_split(dataset, our_name(key))
    subset = sample_protocol(dataset, "cross-subject").subsets(clips[dataset]["subject"])
    phase = make_test_phase(label, subset, split)
    tested = label[phase.held_out]
    assert EXPECTED[dataset][key] == {
        "train(seen,xsub_train)": len(phase.train),
        "ztest(unseen,xsub_test)": int(np.isin(tested, phase.unseen_classes).sum()),
        "val(seen,xsub_test)": int(np.isin(tested, phase.seen_classes).sum()),
        "gtest(all,xsub_test)": len(phase.held_out),
    }


# -- the protocols themselves --------------------------------------------------


def test_every_data_set_has_its_protocols():
    names = {dataset: sorted(known) for dataset, known in PROTOCOLS.items()}
    assert names == {
        "ntu60": ["cross-subject", "cross-view"],
        "ntu120": ["cross-setup", "cross-subject"],
        "pku-mmd": ["cross-subject", "cross-view"],
        "utd-mhad": ["cross-subject"],
        "nw-ucla": ["cross-view"],
        "synthetic": ["cross-subject"],
    }
    for known in PROTOCOLS.values():
        for name, protocol in known.items():
            assert protocol.name == name
            assert {protocol.field, protocol.group} <= set(IDENTITY)


@pytest.mark.parametrize(("dataset", "name", "values", "train"), [
    ("ntu60", "cross-subject", range(1, 41),
     [1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38]),
    ("ntu60", "cross-view", (1, 2, 3), [2, 3]),
    ("ntu120", "cross-setup", range(1, 33), list(range(2, 33, 2))),
    ("utd-mhad", "cross-subject", range(1, 9), [1, 3, 5, 7]),
    ("nw-ucla", "cross-view", (1, 2, 3), [1, 2]),
    ("pku-mmd", "cross-subject", (1, 2), [1]),
    ("pku-mmd", "cross-view", (1, 2), [1]),
])
def test_who_trains(dataset, name, values, train):
    values = np.asarray(values, np.int16)
    subset = sample_protocol(dataset, name).subsets(values)
    assert values[subset == TRAIN].tolist() == train
    assert set(subset) == {TRAIN, TEST}


def test_ntu120_has_53_training_subjects():
    protocol = sample_protocol("ntu120", "cross-subject")
    assert len(protocol.train) == 53 and max(protocol.train) <= 106
    assert sample_protocol("ntu60", "cross-subject").train < protocol.train


def test_calibration_holds_out_subjects_but_for_pku_whose_files_name_none():
    groups = {dataset: {p.group for p in known.values()} for dataset, known in PROTOCOLS.items()}
    assert groups.pop("pku-mmd") == {"setup"}
    assert all(group == {"subject"} for group in groups.values())


def test_training_values_of_ones_own_keep_the_rest_of_the_protocol():
    mine = sample_protocol("pku-mmd", "cross-view", train=[2])
    assert mine == SampleProtocol("cross-view", "replication", frozenset([2]), "setup")


def test_an_empty_subset_is_refused():
    protocol = sample_protocol("utd-mhad", "cross-subject")
    with pytest.raises(BadInput, match="finds no test clips.*subjects are \\[1, 3\\]"):
        protocol.subsets(np.asarray([1, 3, 3]))
    with pytest.raises(BadInput, match="finds no train clips"):
        protocol.subsets(np.asarray([2, 4]))


def test_a_clip_of_unknown_value_is_refused_rather_than_tested_on():
    protocol = sample_protocol("pku-mmd", "cross-subject")
    with pytest.raises(BadInput, match="needs the replication of every clip, 2 of 4 have none"):
        protocol.subsets(np.asarray([1, -1, 2, -1], np.int16))


def test_an_unknown_protocol_is_refused_with_a_suggestion():
    with pytest.raises(BadConfig, match="did you mean 'cross-subject'"):
        sample_protocol("ntu60", "crosssubject")
    with pytest.raises(BadConfig, match="needs dataset.train, the subjects that train"):
        sample_protocol("nowhere", "cross-subject")
    with pytest.raises(BadConfig, match="there are listed"):
        sample_protocol("nowhere", "by-month")


def test_random_clips_need_nothing_but_labels():
    protocol = sample_protocol("nowhere", "random-clips")
    assert (protocol.field, protocol.group) == (CLIP, CLIP)
    label = np.repeat(np.arange(5), 8)
    subset = random_subsets(label, 0.25, seed=1)
    assert [sum(subset[label == index] == "test") for index in range(5)] == [2] * 5
    assert set(subset) == {"train", "test"}
    assert subset.tolist() == random_subsets(label, 0.25, seed=1).tolist()
    assert subset.tolist() != random_subsets(label, 0.25, seed=2).tolist()
    with pytest.raises(BadConfig, match="'random-clips' draws the clips that train"):
        sample_protocol("nowhere", "random-clips", train=[1])


@pytest.mark.parametrize("name", ["cross-subject", "listed"])
def test_whoever_knows_nothing_is_told_the_way_out(name):
    protocol = sample_protocol("nowhere", name, train=[1])
    with pytest.raises(BadInput, match="3 of 3 have none.*sample_protocol='random-clips'"):
        protocol.subsets(np.full(3, -1))
    with pytest.raises(BadConfig, match="needs dataset.train.*or 'random-clips'"):
        sample_protocol("nowhere", "cross-subject")


def test_people_with_names():
    protocol = sample_protocol("nowhere", "cross-subject", train=["ann", "cal"])
    names = np.asarray(["ann", "ben", "cal"], object)
    assert protocol.subsets(names).tolist() == ["train", "test", "train"]
    with pytest.raises(BadInput, match=r"subjects are \['ann'\], training ones are \['ann', 'cal"):
        protocol.subsets(names[:1])
    with pytest.raises(BadInput, match="1 of 3 have none"):
        protocol.subsets(np.asarray(["ann", -1, "cal"], object))


def test_a_data_set_of_ones_own_says_what_trains():
    own = sample_protocol("nowhere", "cross-view", train=[2, 3], group="camera")
    assert (own.field, own.train, own.group) == ("camera", frozenset((2, 3)), "camera")
    listed = sample_protocol("nowhere", "listed")
    assert listed.subsets(np.array([1, 2])).tolist() == ["train", "test"]
