"""The animated body: what it performs, and that its files are genuine NTU files."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from zskel.data.common.errors import BadInput
from zskel.data.skeleton import NTU_RGBD
from zskel.data.synthetic import (
    UNSEEN,
    Body,
    Recording,
    Settings,
    class_names,
    generate,
    write_ntu,
)

FRONT = 2
TWO_BODIES = tuple(name for name in class_names() if name.startswith("two people"))
SMALL = Settings(performers=2, actions=("raise left arm sideways", "two people push each other"))
CLEAN = Settings(performers=1, noise=0.0, empty=0.0)


def joint(recording: Recording, name: str, body: int = 0) -> np.ndarray:
    return recording.bodies[body].joints[:, NTU_RGBD.index(name)]


def record(action: str, camera: int = FRONT, settings: Settings = CLEAN) -> Recording:
    wanted = (r for r in generate(replace(settings, actions=(action,))) if r.camera == camera)
    return next(wanted)


def parse(path, newline: str):
    """Plain reading of the format: per frame a list of (id, body fields, joint fields)."""
    text = path.read_bytes().decode("ascii")
    assert text.endswith(newline)
    assert text.count("\r") == (text.count("\n") if newline == "\r\n" else 0)
    lines = iter(text.split(newline)[:-1])
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            head = next(lines).split(" ")
            assert len(head) == 10
            assert next(lines) == "25"
            rows = [next(lines).split(" ") for _ in range(25)]
            assert {len(row) for row in rows} == {12}
            bodies.append((head[0], head[1:], rows))
        frames.append(bodies)
    assert next(lines, None) is None
    return frames


def test_class_names_are_unique_words_and_unseen_ones_are_new_combinations():
    names = class_names()
    assert len(names) >= 36
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)+", name) for name in names)
    assert len(set(UNSEEN)) == len(UNSEEN) >= 5
    seen_words = {w for i, name in enumerate(names) if i not in UNSEEN for w in name.split()}
    for label in UNSEEN:
        assert set(names[label].split()) <= seen_words, names[label]


def test_default_settings_cover_every_class_performer_and_camera():
    settings = Settings()
    identities = settings.performers * settings.cameras * settings.replications
    assert settings.performers >= 8 and settings.cameras == 3
    assert 1000 <= identities * len(class_names()) <= 1300
    assert len(TWO_BODIES) >= 4


def test_identities_are_those_of_ntu_and_ordered():
    clips = list(generate(SMALL))
    assert len(clips) == 2 * 2 * 3
    for clip in clips:
        fields = re.fullmatch(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", clip.sample_id)
        assert tuple(map(int, fields.groups())) == (
            clip.setup, clip.camera, clip.performer, clip.replication, clip.action
        )
        assert class_names()[clip.label] in SMALL.actions
    assert len({clip.sample_id for clip in clips}) == len(clips)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    once, again = (write_ntu(generate(SMALL), tmp_path / name) for name in ("once", "again"))
    other = write_ntu(generate(replace(SMALL, seed=1)), tmp_path / "other")
    assert [p.name for p in once] == [p.name for p in again] == [p.name for p in other]
    assert [p.read_bytes() for p in once] == [p.read_bytes() for p in again]
    assert not {p.read_bytes() for p in once} & {p.read_bytes() for p in other}


@pytest.mark.parametrize("change", [
    {"performers": 1}, {"cameras": 1}, {"replications": 2},
    {"actions": ("two people push each other", "jump up")},
])
def test_a_recording_does_not_depend_on_what_else_is_generated(change):
    small = {r.sample_id: r for r in generate(SMALL)}
    others = {r.sample_id: r for r in generate(replace(SMALL, **change))}
    common = small.keys() & others.keys()
    assert common and small.keys() != others.keys()
    for name in common:
        for ours, theirs in zip(small[name].bodies, others[name].bodies, strict=True):
            assert ours.body_id == theirs.body_id
            np.testing.assert_array_equal(ours.joints, theirs.joints)
            np.testing.assert_array_equal(ours.present, theirs.present)


def test_replications_and_performers_differ():
    clips = list(generate(replace(SMALL, replications=2, cameras=1, actions=SMALL.actions[:1])))
    shapes = {clip.bodies[0].joints.tobytes() for clip in clips}
    assert len(shapes) == len(clips) == 4


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_say_what_was_recorded(tmp_path, newline):
    clips = list(generate(replace(SMALL, performers=1, empty=1.0)))
    paths = write_ntu(clips, tmp_path / "raw", newline=newline)
    assert sorted(p.name for p in (tmp_path / "raw").iterdir()) == sorted(p.name for p in paths)
    for clip, path in zip(clips, paths, strict=True):
        assert path.name == f"{clip.sample_id}.skeleton"
        frames = parse(path, newline)
        by_id = {str(body.body_id): body for body in clip.bodies}
        assert len(frames) == len(clip.bodies[0].present)
        for t, bodies in enumerate(frames):
            assert {b for b, _, _ in bodies} == {
                name for name, body in by_id.items() if body.present[t]
            }
            for name, head, rows in bodies:
                values = np.array(rows, float)
                x, y, z = values[:, :3].T
                truth = by_id[name].joints[t]
                np.testing.assert_allclose(values[:, :3], truth, rtol=6e-7, atol=0)
                np.testing.assert_array_equal(values[:, 11], by_id[name].tracking[t])
                np.testing.assert_allclose(values[:, 3], 256 + 365 * x / z, rtol=1e-5)
                np.testing.assert_allclose(values[:, 4], 212 - 365 * y / z, rtol=1e-5, atol=1e-3)
                np.testing.assert_allclose(np.linalg.norm(values[:, 7:11], axis=1), 1, atol=1e-6)
                assert [int(v) for v in head[:6]] and all(abs(float(v)) <= 1 for v in head[6:8])


def test_orientations_turn_the_vertical_onto_the_bones(tmp_path):
    path, = write_ntu([record("circle left arm", settings=Settings(performers=1))], tmp_path)
    rows = np.array([bodies[0][2] for bodies in parse(path, "\n") if bodies], float)
    w, x, y, z = np.moveaxis(rows[..., 7:11], -1, 0)
    # The second column of the rotation matrix of a unit quaternion.
    turned = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], -1)
    for child, parent in NTU_RGBD.bones:
        bone = rows[:, child, :3] - rows[:, parent, :3]
        bone /= np.linalg.norm(bone, axis=1, keepdims=True)
        np.testing.assert_allclose(turned[:, child], bone, atol=2e-4)


def test_body_ids_have_17_digits_and_do_not_fit_float64():
    ids = [body.body_id for clip in generate(SMALL) for body in clip.bodies]
    assert all(len(str(i)) == 17 for i in ids)
    assert any(int(float(i)) != i for i in ids)


def test_a_body_that_comes_back_is_listed_last():
    present = np.array([[1, 0, 1, 1], [1, 1, 1, 0]], bool)
    zeros = np.zeros((4, 25, 3)), np.zeros((4, 25), int)
    clip = Recording(1, 1, 1, 1, 1, tuple(Body(i, *zeros, p) for i, p in enumerate(present)))
    assert clip.frames == [(0, 1), (1,), (1, 0), (0,)]


def test_two_people_are_two_bodies_face_to_face_or_back_to_back():
    for name in class_names():
        clip = record(name)
        assert len({body.body_id for body in clip.bodies}) == 1 + (name in TWO_BODIES), name
    near, far = (record(f"two people walk {way} each other") for way in ("towards", "away from"))
    gaps = [
        np.linalg.norm(joint(c, "spine base") - joint(c, "spine base", 1), axis=1)
        for c in (near, far)
    ]
    assert gaps[0][0] - gaps[0][-1] > 0.8
    assert gaps[1][-1] - gaps[1][0] > 0.8


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (1.0, 1, 10)])
def test_frames_without_bodies(share, low, high):
    settings = Settings(performers=2, empty=share, actions=TWO_BODIES[:1] + ("jump up",))
    for clip in generate(settings):
        missing = sum(not listed for listed in clip.frames)
        assert low <= missing <= high
        for body in clip.bodies:
            assert not body.joints[~body.present].any()
            assert body.joints[body.present].any(axis=(1, 2)).all()
            assert body.present.mean() > 0.5


def bone_lengths(body: Body) -> np.ndarray:
    child, parent = np.array(NTU_RGBD.bones).T
    return np.linalg.norm(body.joints[:, child] - body.joints[:, parent], axis=-1)


def test_bones_keep_their_length_and_are_each_performers_own():
    settings = replace(CLEAN, performers=3, actions=("squat down", "circle both arms"))
    lengths: dict[int, list[np.ndarray]] = {}
    for clip in generate(settings):
        lengths.setdefault(clip.performer, []).append(bone_lengths(clip.bodies[0]))
    means = []
    for clips in lengths.values():
        every = np.concatenate(clips)
        np.testing.assert_allclose(every, np.broadcast_to(every[0], every.shape), atol=1e-9)
        means.append(every[0])
    assert np.abs(means[0] - means[1]).max() > 0.01 < np.abs(means[1] - means[2]).max()
    for clip in generate(replace(settings, performers=1, noise=1.0)):
        noisy = np.median(bone_lengths(clip.bodies[0]), axis=0)
        np.testing.assert_allclose(noisy, means[0], atol=0.05)


def test_cameras_see_the_same_moments_from_their_own_places():
    clips = list(generate(replace(CLEAN, actions=("kick sideways with left leg",))))
    assert [clip.camera for clip in clips] == [1, 2, 3]
    joints = np.stack([clip.bodies[0].joints for clip in clips])
    distances = np.linalg.norm(joints[:, :, :, None] - joints[:, :, None], axis=-1)
    np.testing.assert_allclose(distances[1:], distances[:-1], atol=1e-9)
    # From -45 to 45 degrees the line of the shoulders turns by about 90.
    line = (joints[:, 0, 4] - joints[:, 0, 8])[:, [0, 2]]
    heading = np.rad2deg(np.unwrap(np.arctan2(line[:, 1], line[:, 0])))
    assert 75 < abs(heading[2] - heading[0]) < 105
    assert 30 < abs(heading[1] - heading[0]) < 60


def test_noise_jitters_and_marks_lost_joints():
    settings = Settings(performers=1, empty=0.0, actions=("jump up", "squat down"))
    clean = list(generate(replace(settings, noise=0.0)))
    noisy = list(generate(settings))
    error = np.concatenate([
        np.linalg.norm(n.bodies[0].joints - c.bodies[0].joints, axis=-1).ravel()
        for n, c in zip(noisy, clean, strict=True)
    ])
    inferred = np.concatenate([n.bodies[0].tracking.ravel() == 1 for n in noisy])
    assert 0.005 < np.median(error[~inferred]) < 0.04
    assert 0 < inferred.mean() < 0.1
    assert np.median(error[inferred]) > 2 * np.median(error[~inferred])
    assert all((c.bodies[0].tracking == 2).all() for c in clean)


def test_people_stand_two_to_four_metres_away_facing_the_middle_camera():
    for name in class_names():
        clip = record(name)
        for body in clip.bodies:
            assert 2.0 < body.joints[:, 0, 2].min() and body.joints[:, 0, 2].max() < 4.0
        assert Settings().frames[0] <= len(clip.frames) <= Settings().frames[1]
        if len(clip.bodies) == 1:
            assert (joint(clip, "left shoulder") < joint(clip, "right shoulder"))[0, 0], name
            assert (joint(clip, "head") > joint(clip, "spine base"))[0, 1], name


@pytest.mark.parametrize("side", ["left", "right"])
def test_movements_are_what_their_names_say(side):
    other = {"left": "right", "right": "left"}[side]
    outward = -1.0 if side == "left" else 1.0

    def travel(action: str, part: str, axis: int, base: str = "") -> float:
        """The farthest that a joint gets from where it was (seen from ``base``), signed."""
        clip = record(action)
        path = (joint(clip, part) - (joint(clip, base) if base else 0.0))[:, axis]
        path = path - path[0]
        return path[np.abs(path).argmax()]

    x, y, z = range(3)
    for way in ("sideways", "forward"):
        action = f"raise {side} arm {way}"
        assert travel(action, f"{side} hand", y) > 0.25 > abs(travel(action, f"{other} hand", y))
    assert outward * travel(f"raise {side} arm sideways", f"{side} hand", x) > 0.3
    assert travel(f"raise {side} arm forward", f"{side} hand", z) < -0.3
    kicking = f"with {side} leg"
    assert travel(f"kick forward {kicking}", f"{side} ankle", z) < -0.3
    assert travel(f"kick backward {kicking}", f"{side} ankle", z) > 0.3
    assert outward * travel(f"kick sideways {kicking}", f"{side} ankle", x) > 0.3
    assert abs(travel(f"kick forward {kicking}", f"{other} ankle", z)) < 0.2
    assert travel(f"raise {side} knee", f"{side} knee", y) > 0.2
    assert outward * travel(f"bend upper body to the {side}", "head", x) > 0.15
    assert outward * travel(f"turn head to the {side}", "head", x, base="neck") > 0.02
    # Twisted to the left, the right shoulder comes forward.
    assert travel(f"twist upper body to the {side}", f"{other} shoulder", z) < -0.05
    assert travel("squat down", "head", y) < -0.2
    assert travel("jump up", f"{side} ankle", y) > 0.1


@pytest.mark.parametrize(("change", "field"), [
    ({"performers": 0}, "performers"), ({"cameras": 4}, "cameras"), ({"seed": -1}, "seed"),
    ({"replications": 0}, "replications"), ({"frames": (5, 9)}, "frames"),
    ({"frames": (50, 40)}, "frames"), ({"noise": -0.1}, "noise"), ({"empty": 1.5}, "empty"),
    ({"actions": ("fly",)}, "fly"),
])
def test_impossible_settings_are_refused(change, field):
    with pytest.raises(BadInput, match=field):
        Settings(**change)


def test_only_the_line_ends_of_the_format_are_written(tmp_path):
    with pytest.raises(BadInput, match="newline"):
        write_ntu(generate(SMALL), tmp_path / "raw", newline="\r")
    assert not (tmp_path / "raw").exists()
