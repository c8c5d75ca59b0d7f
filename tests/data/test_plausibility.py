"""Notices on coordinates: on data in order none, on each known slip its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zskel.data.plausibility import MOST_CLIPS, Notice, Plausibility, store_notices
from zskel.data.readers import READERS
from zskel.data.skeleton import KINECT_V1, NTU_RGBD, UTD_MHAD, JointLayout, layout_of, present
from zskel.data.store_building import build_store
from zskel.data.synthetic import Settings, generate, write_ntu

UTD = Path(__file__).resolve().parents[2].parent / "shared/data/utd-mhad"
ACTIONS = ("raise left arm sideways", "wave both hands", "two people push each other", "squat down",
           "jump up")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw")
    write_ntu(list(generate(Settings(performers=2, cameras=3, actions=ACTIONS))), path)
    return path


@pytest.fixture(scope="module")
def clips(folder: Path) -> list[np.ndarray]:
    reader = READERS.build("ntu", [folder], dataset="synthetic", num_classes=40)
    return [reader.read(entry) for entry in reader.scan().entries]


def look(clips: list[np.ndarray], layout: JointLayout = NTU_RGBD) -> list[Notice]:
    found = Plausibility(layout)
    for clip in clips:
        found.add(clip)
    return found.notices()


def codes(clips: list[np.ndarray], layout: JointLayout = NTU_RGBD) -> list[str]:
    return [notice.code for notice in look(clips, layout)]


def relative(clip: np.ndarray) -> np.ndarray:
    return (clip - clip[:, :, :1]) * present(clip)[..., None, None]


def image(clip: np.ndarray) -> np.ndarray:
    """What a pose estimator writes: pixel x, pixel y downwards, a score."""
    score = np.random.default_rng(0).uniform(0.01, 1, clip.shape[:3])
    pixels = np.stack([960 + 400 * clip[..., 0], 540 - 400 * clip[..., 1], score], axis=-1)
    return pixels * present(clip)[..., None, None]


@pytest.mark.parametrize("change", [
    lambda clip: clip, relative, lambda clip: 0.6 * clip, lambda clip: 1.15 * clip,
    lambda clip: clip + np.array([0, 0.9, 0]) * present(clip)[..., None, None]])
def test_nothing_is_said_of_people_in_metres(
    clips: list[np.ndarray], change: Callable[[np.ndarray], np.ndarray]
) -> None:
    assert look([change(clip) for clip in clips]) == []


@pytest.mark.skipif(not UTD.is_dir(), reason="the real recordings are not at hand")
def test_nothing_is_said_of_real_recordings() -> None:
    reader = READERS.build("utd_mhad", [UTD])
    assert look([reader.read(entry) for entry in reader.scan().entries[::9]]) == []


@pytest.mark.parametrize("layout", [KINECT_V1, UTD_MHAD])
def test_layouts_may_have_any_order(clips: list[np.ndarray], layout: JointLayout) -> None:
    names = {"hip center": "spine base", "spine": "spine mid", "shoulder center": "spine shoulder"}
    order = [NTU_RGBD.index(names.get(joint, joint)) for joint in layout.joints]
    assert look([clip[:, :, order] for clip in clips], layout) == []
    assert codes([-clip[:, :, order] for clip in clips], layout) == ["upside-down"]


def test_a_body_without_shoulders_is_directed_by_its_spine() -> None:
    pair = ["left", "right"]
    layout = layout_of(dict(
        joints=["hip", "chest", "left", "right"], center="hip", spine=["hip", "chest"],
        bones=[["chest", "hip"], ["left", "chest"], ["right", "chest"]], shoulders=pair, hips=pair))
    body = np.array([[0, 0, 3.0], [0, 0.5, 3], [-0.3, 0.7, 3], [0.3, 0.7, 3]])
    clip = body + np.linspace(0, 0.2, 9)[:, None, None]
    assert codes([clip[None]] * 9, layout) == []
    assert codes([clip[None] * [1, -1, 1]] * 9, layout) == ["upside-down"]
    assert codes([clip[None] * [-1, 1, 1]] * 9, layout) == ["facing-away"]


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(grown=st.floats(0.5, 1.3))
def test_scaled_people_are_recognised(clips: list[np.ndarray], grown: float) -> None:
    for factor, code in ((1, []), (100, ["centimetres"]), (1000, ["millimetres"]),
                         (0.01, ["not-metres"]), (1e6, ["not-metres"])):
        assert codes([clip * (factor * grown) for clip in clips[::5]]) == code


def test_the_numbers_are_those_of_the_clips() -> None:
    body = np.random.default_rng(1).uniform(0, 900, (25, 3))
    body[0], body[1] = 0.5, 1000.5  # the corners of its box, and the ends of a bone
    child, parent = np.asarray(NTU_RGBD.bones).T
    bone = np.median(np.linalg.norm(body[child] - body[parent], axis=1))
    clip = body + np.linspace(0, 1, 7)[:, None, None]
    first = look([clip[None]])[0]
    assert first.code == "millimetres" and "divide by 1000" in first.text
    assert f"measure {1000 * np.sqrt(3):.0f} from end to end and bones {bone:.0f} " in first.text
    assert "(medians of 1 clips)" in first.text


@pytest.mark.parametrize(("axes", "code", "words"), [
    ([-1, -1, 1], "upside-down", "negate x and y"),
    ([1, -1, 1], "upside-down", "negate y"),
    ([-1, 1, 1], "facing-away", "x is mirrored"),
    ([-1, 1, -1], "facing-away", "z points to the camera"),
])
def test_turned_axes(
    clips: list[np.ndarray], axes: list[int], code: str, words: str
) -> None:
    found = look([clip * axes for clip in clips])
    assert [notice.code for notice in found] == [code]
    assert words in found[0].text and f"of {len(clips)} clips" in found[0].text


def test_who_stands_along_another_axis_or_lies(clips: list[np.ndarray]) -> None:
    assert codes([clip[..., [0, 2, 1]] for clip in clips]) == ["not-upright"]
    assert codes([clip[..., [1, 0, 2]] for clip in clips]) == ["not-upright"]


def test_some_clips_may_turn_away_or_lie(clips: list[np.ndarray]) -> None:
    some = len(clips) // 3
    assert codes([clip * [-1, 1, 1] for clip in clips[:some]] + clips[some:]) == []
    assert codes([clip[..., [1, 0, 2]] for clip in clips[:some]] + clips[some:]) == []
    assert codes([clip * [-1, 1, 1] for clip in clips[:5]]) == []  # too few to tell


@pytest.mark.parametrize(("change", "code"), [
    (image, "pixels"),
    (lambda clip: image(clip) * [1 / 1920, 1 / 1080, 1], "score"),
    (lambda clip: image(clip) * [1, 1, 0], "flat"),
    (lambda clip: clip * [1, 1, 0], "flat"),
])
def test_poses_of_two_dimensions(
    clips: list[np.ndarray], change: Callable[[np.ndarray], np.ndarray], code: str
) -> None:
    found = look([change(clip) for clip in clips])
    assert [notice.code for notice in found] == [code]
    assert ("far from metres" in found[0].text) == bool(change(clips[0]).max() > 10)


def test_joints_that_were_not_recorded_are_named(clips: list[np.ndarray]) -> None:
    chosen = np.isin(np.arange(25), [3, 21, 22])[:, None]
    found = look([np.where(chosen, 0, clip) for clip in clips])
    assert [notice.code for notice in found] == ["constant-joints"]
    assert "always zero: head, left hand tip, left thumb (" in found[0].text
    still = look([np.where(chosen & present(clip)[..., None, None], 1.0, clip) for clip in clips])
    assert "never move: head, left hand tip, left thumb (" in still[0].text
    once = [np.where(chosen, 0, clip) for clip in clips[1:]]
    assert look([clips[0], *once]) == []


def test_single_poses_repeated(clips: list[np.ndarray]) -> None:
    poses = [clip[:1, present(clip)[0]][:, :1] for clip in clips]
    assert codes([np.repeat(pose, 5, axis=1) for pose in poses]) == ["motionless"]
    assert codes(poses) == []  # one frame cannot tell


def test_empty_and_not_finite_clips_say_nothing() -> None:
    assert look([]) == look([np.zeros((1, 4, 25, 3))]) == []
    assert look([np.full((1, 4, 25, 3), np.nan)]) == []


def test_a_store_keeps_its_notices_in_its_report(folder: Path, tmp_path: Path) -> None:
    reader = READERS.build("ntu", [folder], dataset="synthetic", num_classes=40)
    assert build_store(reader, tmp_path / "fine.h5", ["x"] * 40).notices == []

    class InMillimetres(type(reader)):  # type: ignore[misc]
        def read(self, entry):  # type: ignore[no-untyped-def]
            return 1000 * super().read(entry)

    wrong = InMillimetres([folder], dataset="synthetic", num_classes=40)
    report = build_store(wrong, tmp_path / "wrong.h5", ["x"] * 40)
    assert [notice["code"] for notice in report.notices] == ["millimetres"]
    again = build_store(wrong, tmp_path / "wrong.h5", ["x"] * 40)
    assert dataclasses.asdict(again) == dataclasses.asdict(report)


def test_only_so_many_clips_of_a_store_are_read(clips: list[np.ndarray]) -> None:
    class Store:
        layout, asked = NTU_RGBD, []  # type: ignore[var-annotated]

        def __len__(self) -> int:
            return 100_000

        def keypoint(self, index: int) -> np.ndarray:
            self.asked.append(index)
            return clips[index % len(clips)]

    store = Store()
    assert store_notices(store) == []  # type: ignore[arg-type]
    assert len(store.asked) == MOST_CLIPS
    assert (store.asked[0], store.asked[-1]) == (0, 99_999)
