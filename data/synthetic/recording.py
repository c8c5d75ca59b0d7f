"""Recordings: an action, performed by someone, seen by a camera."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from zskel.data.common.errors import BadInput
from zskel.data.synthetic.actions import ACTIONS, Action, class_names
from zskel.data.synthetic.body import joints
from zskel.data.synthetic.motions import Take
from zskel.data.synthetic.performers import Performer, draw_performer, stand
from zskel.data.synthetic.sensor import VIEWS, place_camera, sense

# Of a Kinect's body ids; they exceed what float64 holds exactly.
_FIRST_BODY_ID = 2**56
# No NTU recording has these setups together with an action below 61, so no list
# of samples to leave out matches a synthetic one. They alternate by performer.
_SETUPS = (31, 32)
_MIN_FRAMES = 16


@dataclass(frozen=True)
class Settings:
    """What to record. Each recording depends on ``seed`` and its identity only.

    Whatever is generated beside it, a recording stays the same; ``frames``,
    ``noise`` and ``empty`` change it.

    Attributes:
        seed: Of everything.
        performers: How many people, numbered from 1.
        cameras: 1 to 3; camera 1 at -45 degrees, 2 in front, 3 at 45.
        replications: How often each performs each action.
        actions: Class names to record; all when None. Labels stay those of
            ``class_names()``.
        frames: Shortest and longest clip, at 30 frames per second.
        noise: Scale of the sensor's errors; 0 for none.
        empty: Share of the recordings with some frames without a body.

    Raises:
        BadInput: A value is out of range or an action is unknown.
    """

    seed: int = 0
    performers: int = 10
    cameras: int = len(VIEWS)
    replications: int = 1
    actions: tuple[str, ...] | None = None
    frames: tuple[int, int] = (30, 70)
    noise: float = 1.0
    empty: float = 0.15

    def __post_init__(self) -> None:
        unknown = sorted(set(self.actions or ()) - set(class_names()))
        checks = {
            "seed: expected 0 or more": self.seed >= 0,
            "performers: expected 1 to 999": 1 <= self.performers <= 999,
            f"cameras: expected 1 to {len(VIEWS)}": 1 <= self.cameras <= len(VIEWS),
            "replications: expected 1 to 999": 1 <= self.replications <= 999,
            f"actions: no class named {unknown}; see class_names()": not unknown,
            f"frames: expected (shortest, longest), {_MIN_FRAMES} or more":
                _MIN_FRAMES <= self.frames[0] <= self.frames[1],
            "noise: expected 0 or more": self.noise >= 0,
            "empty: expected a share from 0 to 1": 0 <= self.empty <= 1,
        }
        for message, fine in checks.items():
            if not fine:
                raise BadInput(f"synthetic settings: {message}")


@dataclass(frozen=True)
class Body:
    """One tracked body.

    Attributes:
        body_id: 17 digits, unique within the recording.
        joints: Float64 ``[T, 25, 3]``, camera coordinates in metres, joints as
            ``zskel.data.skeleton.NTU_RGBD``; zeros where absent.
        tracking: Int64 ``[T, 25]``: 2 tracked, 1 inferred, 0 where absent.
        present: Bool ``[T]``.
    """

    body_id: int
    joints: np.ndarray
    tracking: np.ndarray
    present: np.ndarray


@dataclass(frozen=True)
class Recording:
    """One clip with its NTU identity; all numbers start from 1."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int
    bodies: tuple[Body, ...]

    @property
    def sample_id(self) -> str:
        """NTU's name of the clip.

        >>> Recording(1, 2, 3, 1, 42, ()).sample_id
        'S001C002P003R001A042'
        """
        return (
            f"S{self.setup:03d}C{self.camera:03d}P{self.performer:03d}"
            f"R{self.replication:03d}A{self.action:03d}"
        )

    @property
    def label(self) -> int:
        """Index into ``class_names()``."""
        return self.action - 1

    @property
    def frames(self) -> list[tuple[int, ...]]:
        """Per frame, the indices of the bodies in it, as the sensor lists them.

        A body that was lost and found again comes last: its place in the frame
        does not tell who it is.
        """
        since = [_present_since(body.present) for body in self.bodies]
        return [
            tuple(b for _, b in sorted(
                (since[b][t], b) for b, body in enumerate(self.bodies) if body.present[t]
            ))
            for t in range(len(self.bodies[0].present))
        ]


def _present_since(present: np.ndarray) -> np.ndarray:
    """``[T]``: the first frame of the run of presence that each frame belongs to."""
    starts = present & ~np.concatenate([[False], present[:-1]])
    return np.maximum.accumulate(np.where(starts, np.arange(len(present)), 0))


def generate(settings: Settings | None = None) -> Iterator[Recording]:
    """Makes recordings, one after the other, ordered by identity.

    Yields:
        ``performers * actions * replications * cameras`` recordings.
    """
    settings = settings or Settings()
    chosen = set(class_names() if settings.actions is None else settings.actions)
    labels = [label for label, name in enumerate(class_names()) if name in chosen]
    for performer, label, replication in product(
        range(1, settings.performers + 1), labels, range(1, settings.replications + 1)
    ):
        yield from _perform(settings, performer, label, replication)


def _perform(
    settings: Settings, performer: int, label: int, replication: int
) -> Iterator[Recording]:
    """One performance as every camera sees it, in the same instants."""
    key = (performer, label, replication)
    setup = _SETUPS[(performer - 1) % len(_SETUPS)]
    scene = _scene(settings, performer, label, replication)
    for camera in range(1, settings.cameras + 1):
        place = place_camera(camera, _rng(settings.seed, "camera", setup, camera))
        rng = _rng(settings.seed, "sensor", camera, *key)
        presence = _presence(len(scene), len(scene[0]), settings.empty, rng)
        ids = _FIRST_BODY_ID + rng.choice(2**17, len(scene), replace=False)
        bodies = []
        for body_id, world, present in zip(ids.tolist(), scene, presence, strict=True):
            seen, tracking = sense(place.view(world), settings.noise, rng)
            bodies.append(Body(
                body_id,
                np.where(present[:, None, None], seen, 0.0),
                np.where(present[:, None], tracking, 0),
                present,
            ))
        yield Recording(setup, camera, performer, replication, label + 1, tuple(bodies))


def _scene(settings: Settings, performer: int, label: int, replication: int) -> list[np.ndarray]:
    """Where everyone's joints are: ``[T, 25, 3]`` each, scene coordinates."""
    action = ACTIONS[label]
    rng = _rng(settings.seed, "motion", performer, label, replication)
    people = [draw_performer(_rng(settings.seed, "performer", performer))]
    # The other one is nobody's performer number, so that no one is both in the
    # training and in the test subjects, however many there are.
    people += [
        draw_performer(_rng(settings.seed, "partner", performer, number))
        for number in range(1, action.people)
    ]
    shortest, longest = settings.frames
    length = rng.uniform(shortest, longest) / people[0].tempo
    frames = int(np.clip(round(length), shortest, longest))
    return [
        _stage(_act(action, person, frames, rng), action, index, rng)
        for index, person in enumerate(people)
    ]


def _act(
    action: Action, performer: Performer, frames: int, rng: np.random.Generator
) -> np.ndarray:
    pose = stand(performer, frames, rng)
    begin, end = rng.uniform(0.02, 0.25), rng.uniform(0.78, 0.98)
    time = (np.linspace(0.0, 1.0, frames) - begin) / (end - begin)
    size = performer.amplitude * rng.uniform(0.8, 1.15)
    action.move(Take(pose, time, performer, rng, size))
    pose.add("turn", rng.normal(0.0, 8.0))
    return joints(pose, performer.bones)


def _stage(
    body: np.ndarray, action: Action, index: int, rng: np.random.Generator
) -> np.ndarray:
    """Puts a body in its place: alone in the middle, or one of two face to face."""
    middle = rng.normal(0.0, 0.1, 2)
    if action.people == 1:
        return body + np.array([middle[0], 0.0, middle[1]])
    side = 1.0 if index == 0 else -1.0
    # Facing +x or -x is a quarter turn to the left or to the right.
    quarter = side if action.facing_away else -side
    x, y, z = np.moveaxis(body, -1, 0)
    turned = np.stack([quarter * z, y, -quarter * x], axis=-1)
    apart = 0.5 * action.distance * rng.uniform(0.92, 1.1)
    return turned + np.array([side * apart, 0.0, 0.5 * middle[1]])


def _presence(
    bodies: int, frames: int, empty: float, rng: np.random.Generator
) -> np.ndarray:
    """Bool ``[bodies, frames]``; every body keeps most of its frames."""
    present = np.ones((bodies, frames), bool)
    if rng.random() < empty:
        # Either everyone enters late or everyone is lost for a moment.
        start = rng.choice([0, int(rng.integers(1, frames - 5))])
        present[:, start : start + rng.integers(1, 6)] = False
    if bodies > 1 and rng.random() < 2.0 * empty:
        start = rng.integers(1, frames - 8)
        present[rng.integers(bodies), start : start + rng.integers(1, 9)] = False
    return present


def _rng(seed: int, purpose: str, *identity: int) -> np.random.Generator:
    digest = hashlib.sha256(purpose.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little"), *identity])
