"""What `pipeline inspect` draws: contact sheets, animations, steps and classes."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from inspected import TWO_PEOPLE
from PIL import Image

from zskel.data.bodies import DEFAULT_CLEANING, clean
from zskel.data.canonicalize import canonicalize
from zskel.data.common.errors import BadInput
from zskel.data.preprocess import pre_normalize_3d
from zskel.data.skeleton import NTU_RGBD, UTD_MHAD, Clip
from zskel.pipeline.cli.options import answer
from zskel.pipeline.inspect.draw import _durations, draw
from zskel.pipeline.inspect.inspect import inspect, show
from zskel.pipeline.inspect.reader_choice import open_raw
from zskel.pipeline.inspect.sources import Options, StoreSource
from zskel.pipeline.inspect.views import steps_of


def test_contact_sheet_of_a_work_directory(work, tmp_path, capsys):
    found = inspect(work, out=tmp_path / "clip.png", clip=TWO_PEOPLE)
    answer(found, True, show)
    assert json.loads(capsys.readouterr().out) == found
    with Image.open(tmp_path / "clip.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()
    for colour in ([0, 114, 178], [213, 94, 0]):
        assert pixels.count(colour) > 200
    assert [path.name for path in tmp_path.iterdir()] == ["clip.png"]


def test_animation_moves_at_the_recorded_speed(tmp_path):
    keypoint = np.zeros((1, 6, 25, 3), np.float32)
    keypoint[:, :4] = np.random.default_rng(0).normal(size=(25, 3))
    keypoint[0, :4, :, 0] += np.arange(4)[:, None]
    draw(Clip("c", 0, keypoint), NTU_RGBD, tmp_path / "clip.gif", "made up")
    with Image.open(tmp_path / "clip.gif") as picture:
        frames, total = [], 0
        for number in range(picture.n_frames):
            picture.seek(number)
            total += picture.info["duration"]
            frames.append(np.asarray(picture.convert("RGB")))
    assert len(frames) == 6 and total == 200
    assert all((a != b).any() for a, b in itertools.pairwise(frames))
    assert len({tuple(frame[0, 0]) for frame in frames}) == 1  # the background does not flicker
    assert frames[0][0, 0].min() > 245


@pytest.mark.parametrize(("picture", "name"), [
    ("steps", "steps.png"), ("steps", "steps.gif"), ("classes", "classes.png"),
    ("classes", "classes.gif")])
def test_steps_and_classes_are_drawn(raw, work, tmp_path, picture, name):
    for source in (raw, work):
        out = tmp_path / name
        told = inspect(source, out=out, clip=TWO_PEOPLE, picture=picture)
        assert told["drawn"] == str(out)
        with Image.open(out) as drawn:
            assert getattr(drawn, "n_frames", 1) == (30 if out.suffix == ".gif" else 1)
            colours = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
        for colour in ((0, 114, 178), (213, 94, 0)):  # blue is left, orange right
            assert (np.abs(colours.astype(int) - colour).max(axis=1) < 12).sum() > 50


def test_steps_are_those_of_the_functions(raw, work):
    source = open_raw(raw, Options())
    recorded = source.clip(TWO_PEOPLE).keypoint
    cleaned = clean(recorded, DEFAULT_CLEANING)
    expected = {"raw": recorded, "cleaned": cleaned, "normalized": pre_normalize_3d(cleaned),
                "canonicalized": canonicalize(cleaned)}
    found = {name: keypoint for name, keypoint, _ in steps_of(recorded, source)}
    assert list(found) == list(expected)
    for name, keypoint in expected.items():
        np.testing.assert_array_equal(found[name], keypoint)
    stored = StoreSource(work / "store" / "skeletons.h5")
    steps = steps_of(stored.clip(TWO_PEOPLE).keypoint, stored)
    assert [name for name, *_ in steps] == list(expected)[1:]


def test_the_normalized_step_stands_upright(raw):
    """Spine along the axis that the drawing takes for up, left shoulder on the right."""
    source = open_raw(raw, Options())
    name, keypoint, view = steps_of(source.clip(TWO_PEOPLE).keypoint, source)[2]
    first = keypoint[0, 0]
    assert name == "normalized" and view.mirrored
    spine = first[NTU_RGBD.spine[1]] - first[NTU_RGBD.spine[0]]
    assert spine[view.up] == pytest.approx(np.linalg.norm(spine), rel=0.03)
    left, right = NTU_RGBD.shoulders
    assert first[left, view.axis] < first[right, view.axis]


def test_an_unknown_picture_is_refused(raw, tmp_path):
    with pytest.raises(BadInput, match=r"--picture classs: did you mean 'classes'"):
        inspect(raw, out=tmp_path / "a.png", picture="classs")


def test_gif_durations_add_up():
    for pictures, step in ((1, 1), (30, 1), (77, 3)):
        durations = _durations(pictures, step * 1000 / 30)
        assert len(durations) == pictures and min(durations) >= 30
        assert abs(sum(durations) - pictures * step * 1000 / 30) <= 5


def test_sides_follow_the_bones():
    for layout in (NTU_RGBD, UTD_MHAD):
        for joint, side in zip(layout.joints, layout.sides, strict=True):
            assert side == (joint.split()[0] if joint.split()[0] in ("left", "right") else "")


def test_drawing_refuses_what_it_cannot_draw(tmp_path):
    with pytest.raises(BadInput, match="no body in any frame"):
        draw(Clip("c", 0, np.zeros((1, 4, 25, 3))), NTU_RGBD, tmp_path / "a.png", "x")
    with pytest.raises(BadInput, match=r"needs \[M, T, 25, 3\]"):
        draw(Clip("c", 0, np.ones((1, 4, 20, 3))), NTU_RGBD, tmp_path / "a.png", "x")
    assert not list(tmp_path.iterdir())
