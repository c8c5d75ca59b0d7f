"""The depth sensor: where it stands, what it sees of a body, and how badly.

Camera coordinates are Kinect's: x to the sensor's left (a performer who faces
it has the right side at larger x), y up, z away from it, metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zskel.data.skeleton import NTU_RGBD

#: Degrees round the scene, 0 in front of it, camera 1 first.
VIEWS = (-45.0, 0.0, 45.0)
TRACKED, INFERRED = 2, 1

_SPINE = NTU_RGBD.index("spine mid")
# Jitter grows towards the ends of the limbs, as it does for a Kinect.
_UNSTEADY = np.array([
    1.0 + 0.5 * ("wrist" in name) + 0.8 * ("hand" in name) + 1.2 * ("tip" in name)
    + 1.2 * ("thumb" in name) + 0.6 * ("ankle" in name) + 1.0 * ("foot" in name)
    for name in NTU_RGBD.joints
])
_JITTER = 0.006
_STRAY = 0.07


@dataclass(frozen=True)
class Camera:
    """A sensor's place.

    Attributes:
        angle: Degrees round the scene.
        distance: Metres from the scene's middle, along the floor.
        height: Metres above the floor.
        tilt: Degrees that it looks down.
    """

    angle: float
    distance: float
    height: float
    tilt: float

    def view(self, points: np.ndarray) -> np.ndarray:
        """Maps scene coordinates ``[..., 3]`` (y up from the floor) to the camera's."""
        angle, tilt = np.deg2rad(self.angle), np.deg2rad(self.tilt)
        up = np.array([0.0, 1.0, 0.0])
        level = -np.array([np.sin(angle), 0.0, np.cos(angle)])
        place = self.height * up - self.distance * level
        away = np.cos(tilt) * level - np.sin(tilt) * up
        left = np.cross(up, level)
        return (points - place) @ np.stack([left, np.cross(away, left), away], axis=1)


def place_camera(number: int, rng: np.random.Generator) -> Camera:
    """Sets up camera ``number`` (1 to 3) for one setup."""
    return Camera(
        angle=VIEWS[number - 1] + rng.uniform(-4.0, 4.0),
        distance=rng.uniform(2.7, 3.3),
        height=rng.uniform(0.9, 1.4),
        tilt=rng.uniform(-2.0, 6.0),
    )


def sense(
    joints: np.ndarray, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What the sensor reports of one body.

    Joints jitter, more so far away and behind the trunk; now and then one is
    lost for some frames: it strays and its tracking state says "inferred".

    Args:
        joints: Float64 ``[T, 25, 3]``, camera coordinates.
        noise: Scale of all this; 0 reports the truth.
        rng: Of this body in this recording.

    Returns:
        The reported joints, and int64 tracking states ``[T, 25]``.
    """
    frames, count, _ = joints.shape
    # How far a joint lies behind the spine, as seen from here: 0 beside it, 1 hidden.
    hidden = np.clip((joints[:, :, 2] - joints[:, _SPINE, 2][:, None]) / 0.25, 0.0, 1.0)
    scale = _JITTER * noise * _UNSTEADY * (joints[:, :, 2] / 3.0) ** 2 * (1.0 + 1.5 * hidden)
    reported = joints + scale[:, :, None] * _correlated(rng, frames, count)
    tracking = np.full((frames, count), TRACKED)
    chance = _UNSTEADY * (1.0 + 3.0 * hidden.mean(axis=0))
    for joint in rng.choice(count, rng.poisson(4.0 * noise), p=chance / chance.sum()):
        start = rng.integers(frames)
        lost = slice(start, start + rng.integers(3, 15))
        stray = _correlated(rng, frames, 1, memory=0.9)[lost, 0]
        reported[lost, joint] += _STRAY * noise * stray
        tracking[lost, joint] = INFERRED
    return reported, tracking


def _correlated(
    rng: np.random.Generator, frames: int, count: int, memory: float = 0.5
) -> np.ndarray:
    """Unit-variance noise ``[frames, count, 3]``, each frame like the one before."""
    noise = rng.standard_normal((frames, count, 3))
    fresh = np.sqrt(1.0 - memory**2)
    for frame in range(1, frames):
        noise[frame] = memory * noise[frame - 1] + fresh * noise[frame]
    return noise


def project(joints: np.ndarray) -> np.ndarray:
    """Pixels ``[..., 4]``: depth x, y (of 512 x 424) and colour x, y (of 1920 x 1080).

    A pinhole camera each, with a Kinect v2's usual focal lengths; the colour
    camera sits 5 cm beside the depth camera.
    """
    x, y, z = joints[..., 0], joints[..., 1], np.maximum(joints[..., 2], 0.1)
    return np.stack([
        256.0 + 365.0 * x / z, 212.0 - 365.0 * y / z,
        960.0 + 1060.0 * (x + 0.05) / z, 540.0 - 1060.0 * y / z,
    ], axis=-1)
