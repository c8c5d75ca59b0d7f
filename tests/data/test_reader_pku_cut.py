"""PKU-MMD clips that are cut already: the same as those that the reader cuts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.other_formats import write_pku_mmd
from zskel.data.common.errors import BadInput, ClipError
from zskel.data.readers.pku_cut import cut_name, read_cut
from zskel.data.readers.pku_mmd import PKUMMDReader
from zskel.data.synthetic import Settings, generate

HEADER = "6 1 0 0 1 1 0 -0.4 -0.1 2\n25\n"


def numbers(joints: np.ndarray) -> str:
    return " ".join(f"{value:.7g}" for value in joints.ravel())


def as_ntu(clip: np.ndarray, header_of_second: bool) -> str:
    """``[2, T, 25, 3]`` as the converter writes it, or with a second body's own header."""
    text = f"{clip.shape[1]}\n"
    for first, second in clip.transpose(1, 0, 2, 3):
        text += f"{1 + bool(second.any())}\n{HEADER}" + "".join(f"{numbers(j)}\n" for j in first)
        if second.any():
            text += HEADER if header_of_second else ""
            text += "".join(f"{numbers(joint)}\n" for joint in second)
    return text


def as_lines(clip: np.ndarray) -> str:
    return "".join(f"{numbers(frame)}\n" for frame in clip.transpose(1, 0, 2, 3))


def both(clip: np.ndarray) -> np.ndarray:
    return clip if len(clip) == 2 else np.concatenate([clip, np.zeros_like(clip)])


FORMS = {
    "converter": (".skeleton", lambda clip: as_ntu(clip, False)),
    "headers": (".skeleton", lambda clip: as_ntu(clip, True)),
    "lines": (".txt", as_lines),
}


@pytest.mark.parametrize("form", FORMS)
def test_cut_clips_are_those_of_the_sequences(tmp_path: Path, form: str) -> None:
    actions = ("jump up", "two people wave at each other")
    write_pku_mmd(generate(Settings(performers=2, cameras=2, frames=(16, 18), actions=actions)),
                  tmp_path / "whole", train_subjects=(1,))
    whole = PKUMMDReader([tmp_path / "whole"])
    suffix, write = FORMS[form]
    (tmp_path / "cut").mkdir()
    mark = "\ufeff"  # of Windows' editors
    for entry in (entries := whole.scan().entries):
        name = f"F{entry.setup:03d}V{entry.camera:03d}C{entry.label + 1:03d}L{entry.sample_id[-3:]}"
        (tmp_path / "cut" / f"{name}{suffix}").write_text(
            mark + write(both(whole.read(entry))), encoding="utf-8")
    split = tmp_path / "whole" / "Split" / "cross-subject.txt"
    cut = PKUMMDReader([tmp_path / "cut"], split_file=str(split))
    scan = cut.scan()
    assert scan.skipped == [] and len(scan.entries) == len(entries) == 8
    for entry, other in zip(scan.entries, entries):
        assert (entry.sample_id, entry.label, entry.camera, entry.setup, entry.replication) == \
            (other.sample_id, other.label, other.camera, other.setup, other.replication)
        np.testing.assert_array_equal(cut.read(entry), whole.read(other))


def test_names(tmp_path: Path) -> None:
    assert cut_name("F001V001C001.txt") == (1, 1, 1, 0)
    assert cut_name("F001V001C001L001.npy") is None and cut_name("0001-L.txt") is None
    with pytest.raises(BadInput, match="no cross-subject split file.*which videos train; --raw"):
        PKUMMDReader([tmp_path]).scan()
    clip = as_lines(np.ones((2, 1, 25, 3)))
    for name in ("F001V001C001.txt", "F001V001C052.txt", "F001V004C001.txt", "F002V001C001.txt"):
        (tmp_path / name).write_text(clip)
    with pytest.raises(BadInput, match="no cross-subject split file.*cut already need nothing"):
        PKUMMDReader([tmp_path]).scan()
    (tmp_path / "cross-subject.txt").write_text("Training\n0001-L\nValidation\n0001-M\n")
    scan = PKUMMDReader([tmp_path]).scan()
    assert [entry.sample_id for entry in scan.entries] == ["P1-F001V001C001"]
    assert [skip.reason for skip in scan.skipped] == [
        "class 52, view 1: expected 1..51 and 1..3", "class 1, view 4: expected 1..51 and 1..3",
        "its video 0002-L is in no line of cross-subject.txt"]


GOOD = as_ntu(np.ones((2, 2, 25, 3)), False)


@pytest.mark.parametrize(("text", "message"), [
    (GOOD[:-7], "line 107: expected x, y, z of a joint, found 0 fields"),
    (GOOD + "1 1 1\n", "line 108: expected the end of the file"),
    (GOOD.replace("1 1 1", "1 nan 1", 1), "line 5: expected three finite numbers, found '1 nan"),
    (GOOD.replace("1 1 1", "1 1_0 1", 1), "line 5: expected three finite numbers"),
    (GOOD.replace("25", "20", 1), "line 4: expected 25 joints"),
    (GOOD.replace("2\n2\n", "2\n3\n", 1), "line 2: expected the number of bodies, at most 2"),
    ("999999" + GOOD[1:], "line 1: expected the number of frames, at most"),
    ("1\n0\n", "no body in any of its 1 frames"), ("", "expected 150 finite numbers|has no frames"),
    (as_lines(np.ones((2, 1, 25, 3)))[:-5], "line 1: expected 150 finite numbers"),
])
def test_damaged(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "F001V001C001L001.skeleton"
    path.write_text(text)
    with pytest.raises(ClipError, match=f"{path}: ({message})"):
        read_cut(str(path))
