"""``pipeline try``: answers with weights alone, without an experiment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from zskel.data.classes import class_names
from zskel.data.common.errors import BadInput
from zskel.pipeline.try_.recognizers import known_classes
from zskel.zsl.untrained import unseen_probabilities


@pytest.fixture
def clip(tiny_raw: Path, tmp_path: Path) -> Path:
    """A recording that is not named as NTU's are."""
    return Path(shutil.copy(min(tiny_raw.glob("*.skeleton")), tmp_path / "me waving.skeleton"))


def test_published_weights_answer_from_an_empty_folder(
    clip: Path, commands: Any, tmp_path: Path
) -> None:
    import torch
    from published_shift_gcn import published

    torch.save(published(60), tmp_path / "ntu60_joint.pt")
    (tmp_path / "empty").mkdir()
    ended = commands.at(tmp_path / "empty").run(
        "try", clip, "--weights", tmp_path / "ntu60_joint.pt", "--label", "wave hello", "--label",
        "kick a ball", "--label", "sit down", "--top", 2, "--gif", "out.gif", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["backbone"] == "shift-gcn" and len(found["seen_classes"]) == 60
    (answer,) = found["clips"]
    assert answer["sample_id"] == "me waving" and len(answer["top"]) == 2
    assert answer["prediction"] == answer["top"][0]["label"] in found["labels"]
    assert answer["top"][0]["probability"] >= answer["top"][1]["probability"]
    assert (tmp_path / "empty" / "out.gif").read_bytes()[:4] == b"GIF8"
    assert not [path for path in (tmp_path / "empty").iterdir() if path.is_dir()]


def test_a_work_directory_answers_as_predict_does(
    clip: Path, tiny_work: Path, commands: Any
) -> None:
    labels = ("--label", "wave both hands", "--label", "squat", "--json")
    tried = commands.run("try", clip, "--weights", tiny_work, *labels)
    predicted = commands.run("predict", tiny_work, clip, *labels)
    assert tried.code == predicted.code == 0, tried.err + predicted.err
    assert tried.out == predicted.out


@pytest.mark.parametrize(("arguments", "message"), [
    ((), "no weights given; weights of a recognizer.*https://github.com/kchengiva/Shift-GCN"),
    (("--weights", "none.pt"), "none.pt: no such file; weights of a recognizer"),
    (("--weights", "none.pt", "--label", " "), "label ' ' is empty"),
    (("--weights", "none.pt", "--label", "Wave"), "label 'wave' is given twice"),
])
def test_what_is_missing_is_one_line(
    clip: Path, commands: Any, arguments: tuple[str, ...], message: str
) -> None:
    import re

    ended = commands.run("try", clip, "--label", "wave", "--label", "sit", *arguments)
    assert ended.code == 2 and re.search(message, ended.err) and len(ended.err.splitlines()) == 1


def test_weights_that_nothing_is_known_of_are_one_line(
    clip: Path, commands: Any, tiny_work: Path, tmp_path: Path
) -> None:
    weights = shutil.copy(tiny_work / "backbones" / "test" / "weights.pth", tmp_path / "w.pth")
    common = ("try", clip, "--label", "wave", "--label", "sit", "--weights", weights)
    ended = commands.run(*common)
    assert ended.code == 2 and "say which with --classes" in ended.err
    ended = commands.run(*common, "--classes", "ntu60")
    assert ended.code == 2 and "--classes ntu60: 60 classes, the head of" in ended.err
    ended = commands.run(*common, "--backbone", "stgcn_tinny")
    assert ended.code == 2 and "did you mean 'stgcn_tiny'" in ended.err


def test_own_weights_know_their_classes(clip: Path, commands: Any, tiny_work: Path) -> None:
    trained = tiny_work / "backbones" / "test"
    kept = json.loads((trained / "backbone.json").read_text())["classes"]
    names = [class_names("synthetic")[index] for index in kept]
    common = ("try", clip, "--label", "wave", "--label", "sit", "--json", "--classes", "synthetic")
    ended = commands.run(*common, "--weights", trained / "weights.pth", "--backbone",
                         tiny_work / "none")
    assert ended.code == 2 and "is not shipped" in ended.err
    assert list(known_classes(trained / "weights.pth", len(kept), "synthetic")) == names
    for refused in (("--classes", "synthetic"), ("--backbone", "stgcn")):
        ended = commands.run("try", clip, "--label", "a", "--label", "b", "--weights", tiny_work,
                             *refused)
        assert ended.code == 2 and "a work directory has its own backbone" in ended.err


def test_probabilities_are_those_of_the_formula() -> None:
    random = np.random.default_rng(0)
    logits, seen, new = (random.normal(size=size) for size in ((5, 7), (7, 4), (3, 4)))
    found = unseen_probabilities(logits, seen, new, top=2)
    for row, own in zip(logits, found, strict=True):
        p = softmax(0.5 * row)
        best = np.argsort(-p)[:2]
        mixture = (p[best] / p[best].sum()) @ (seen[best] - seen.mean(axis=0))
        cosine = [mixture @ (t - seen.mean(axis=0)) / np.linalg.norm(mixture)
                  / np.linalg.norm(t - seen.mean(axis=0)) for t in new]
        assert own == pytest.approx(softmax(5 * np.array(cosine)))
    with pytest.raises(BadInput, match=r"logits \[5, 7\], seen_text \[7, 4\], label_text \[3, 3\]"):
        unseen_probabilities(logits, seen, new[:, :3])
