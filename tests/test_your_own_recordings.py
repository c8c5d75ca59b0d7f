"""docs/your-own-recordings.md from an empty folder: its files, and each of its commands."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_docs import ROOT, blocks

from zskel.data.caches import read_skeleton_features
from zskel.data.store import SequenceStore

#: Seconds instead of minutes.
BACKBONE = ["backbone.epochs=1", "backbone.model.backbone.base_channels=4",
            "backbone.model.cls_head.in_channels=64"]
QUICK = {"extract": BACKBONE, "fit": [*BACKBONE, "fit.seeds=1", "fit.method.options.epochs=2"]}


@pytest.fixture(scope="module")
def said(commands: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder after all commands, and what each printed."""
    folder, printed = tmp_path_factory.mktemp("own"), {}
    here = commands.at(folder)
    page = blocks(ROOT / "docs" / "your-own-recordings.md")
    for block in page:
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
    for line in "".join(block.text for block in page if block.language == "sh").splitlines():
        program, *words = shlex.split(line)
        if program == "python":
            subprocess.run([sys.executable, *words], cwd=folder, check=True)
            continue
        for option in QUICK.get(words[0], ()):
            words += ["--cfg-options", option]
        ended = here.run(*words)
        assert ended.code == 0, f"{line}: {ended.err}"
        printed[line] = " ".join((ended.out + ended.err).split())
    return folder, printed


def test_the_page_goes_through_every_command_twice(said: tuple[Path, dict[str, str]]) -> None:
    _, printed = said
    assert [line.split()[1] for line in printed] == [
        "inspect", "extract", "fit", "report", "predict"] * 2


def test_subjects_are_held_out_where_they_are_known(said: tuple[Path, dict[str, str]]) -> None:
    folder, printed = said
    assert "subjects: 6 (p01, p02, p03, p04, p05, p06)" in printed[
        "pipeline inspect recordings.pkl --layout h36m-17"]
    work = folder / "work_dirs" / "gestures"
    features = read_skeleton_features(work / "features" / "skeleton_test.h5")
    assert features.sample_protocol == "cross-subject" and features.unseen_classes == (3,)
    assert set(features.subject[features.rows("train")].tolist()) == {1, 2, 3, 4}
    assert any(name.startswith("p05_kick_take") for name in features.sample_id)
    pointer = json.loads((work / "store" / "skeletons.json").read_text(encoding="utf-8"))
    assert SequenceStore(work / "store" / pointer["path"]).layout.num_joints == 17
    assert (work / "report" / "report.html").is_file()


def test_clips_are_held_out_where_nobody_is_known(said: tuple[Path, dict[str, str]]) -> None:
    folder, printed = said
    extracted = printed["pipeline extract nameless.py --raw nameless.pkl"]
    assert "clips drawn class by class" in extracted
    assert extracted.count("the same people are likely") == 2
    features = read_skeleton_features(
        folder / "work_dirs" / "nameless" / "features" / "skeleton_test.h5")
    assert features.sample_protocol == "random-clips" and (features.subject == -1).all()
    assert (folder / "work_dirs" / "nameless" / "report" / "report.html").is_file()


def test_a_clip_without_a_label_is_predicted(said: tuple[Path, dict[str, str]]) -> None:
    for line, printed in said[1].items():
        assert "face away" not in printed and "never move" not in printed
        if " predict " in line:
            assert "p07_turn_take1" in printed and "turn around" in printed and "kick" in printed
