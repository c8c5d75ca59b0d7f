"""How long the normalizations take, beside plain loops over bodies, frames and joints.

Clips come from the generator of ``zskel.data.synthetic``, with stretches in which a body
is absent; each has two bodies. Times are of one core if OMP_NUM_THREADS=1, the
fastest of some rounds for both sides. The plain loops follow the definitions one joint
at a time; every result is compared with theirs to 1e-5, and that of
``pre_normalize_3d`` with mmaction2's own class as well. The last line is
``ratio N.N``: the smallest speed-up over a plain loop.

    OMP_NUM_THREADS=1 python benchmarks/normalize.py --clips 12 --repeat 3
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from zskel.data.canonicalize import canonicalize
from zskel.data.preprocess import pre_normalize_3d, shift_gcn_normalize
from zskel.data.synthetic import Settings, generate

TOLERANCE = 1e-5
SIGMA = 10.0

Step = Callable[[np.ndarray], np.ndarray]


def clips(count: int, seed: int = 0) -> list[np.ndarray]:
    """Float32 clips ``[2, 80..100, 25, 3]``; every third lacks some frames of a body."""
    random = np.random.default_rng(seed)
    settings = Settings(seed=seed, performers=-(-count // 20), cameras=1, frames=(80, 100))
    recordings = list(generate(settings))
    made = []
    for index in np.linspace(0, len(recordings) - 1, count).round().astype(int):
        joints = [body.joints.astype(np.float32) for body in recordings[index].bodies]
        if len(joints) == 1:  # the same person once more, a step aside
            joints.append(np.where(joints[0] != 0, joints[0] + np.float32(0.7), 0))
        clip = np.stack(joints[:2])
        if len(made) % 3 == 2:
            start = random.integers(0, 40)
            clip[len(made) % 2, start : start + random.integers(1, 30)] = 0
            clip[:, : len(made) % 5] = 0
        made.append(clip)
    return made


# -- plain loops ---------------------------------------------------------------


def plain_turn(vector: Sequence[float], axis: Sequence[float]) -> list[list[float]]:
    """Rotation matrix of the smallest turn from a vector to an axis, no case excepted."""
    length = math.sqrt(sum(v * v for v in vector))
    if length < 1e-6:
        return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    a, b = [v / length for v in vector], list(axis)
    half = [p + q for p, q in zip(a, b)]  # two mirrors make the turn: a to half, half to b
    size = sum(h * h for h in half)
    return [
        [(i == j) - 2 * half[i] * half[j] / size + 2 * b[i] * a[j] for j in range(3)]
        for i in range(3)
    ]


def plain_apply(matrix: Sequence[Sequence[float]], point: Sequence[float]) -> list[float]:
    return [sum(row[k] * point[k] for k in range(3)) for row in matrix]


def difference(p: Sequence[float], q: Sequence[float]) -> list[float]:
    return [float(x) - float(y) for x, y in zip(p, q)]


def plain_uprighted(clip: np.ndarray, first: np.ndarray, center: Callable) -> np.ndarray:
    """Every joint minus its frame's centre, then the two turns of the first frame."""
    spine = plain_turn(difference(first[1], first[0]), (0, 0, 1))
    shoulders = plain_turn(plain_apply(spine, difference(first[8], first[4])), (1, 0, 0))
    result = np.zeros_like(clip)
    for m in range(clip.shape[0]):
        for t in range(clip.shape[1]):
            for v in range(clip.shape[2]):
                if clip[m, t, v].any():
                    point = difference(clip[m, t, v], center(t))
                    result[m, t, v] = plain_apply(shoulders, plain_apply(spine, point))
    return result


def plain_pre_normalize_3d(clip: np.ndarray) -> np.ndarray:
    frames = [[t for t in range(clip.shape[1]) if body[t].any()] for body in clip]
    order = [1, 0] if len(clip) == 2 and len(frames[1]) > len(frames[0]) else range(len(clip))
    kept = np.array([[clip[m, t] for t in frames[order[0]]] for m in order])
    return plain_uprighted(kept, kept[0, 0], lambda t: kept[0, 0, 1])


def plain_shift_gcn(clip: np.ndarray) -> np.ndarray:
    start = next(t for t in range(clip.shape[1]) if clip[:, t].any())
    there = next(t for t in range(start, clip.shape[1]) if clip[0, t].any())
    length = clip.shape[1] - start
    filled = np.array([[body[start + t % length] for t in range(300)] for body in clip])
    return plain_uprighted(filled, clip[0, there], lambda t: filled[0, t, 1])


def plain_canonicalize(clip: np.ndarray, mode: str) -> np.ndarray:
    """Angles instead of complex numbers; facing -z, y up, NTU's joints."""
    total = clip.shape[1]
    direction: list[tuple[float, float] | None] = []
    for t in range(total):
        body = clip[0, t]
        if not body.any():
            direction.append(None)
            continue
        across = [0.0, 0.0, 0.0]
        for left, right in ((4, 8), (12, 16)):
            across = [a + d / 2 for a, d in zip(across, difference(body[right], body[left]))]
        forward = np.cross((0.0, 1.0, 0.0), across)
        length = math.hypot(forward[0], forward[2])
        direction.append((forward[0] / length, forward[2] / length))
    there = [t for t in range(total) if direction[t] is not None]
    nearest = [min(there, key=lambda u, t=t: abs(u - t)) for t in range(total)]
    angle = []
    for t in range(total):
        x = z = 0.0
        if mode == "clip":
            weights = dict.fromkeys(there, 1.0)
        else:
            reach = int(4 * SIGMA + 0.5)
            weights = {u: math.exp(-0.5 * ((u - t) / SIGMA) ** 2)
                       for u in range(t - reach, t + reach + 1)}
        for u, weight in weights.items():
            dx, dz = direction[nearest[min(max(u, 0), total - 1)]]  # type: ignore[misc]
            x, z = x + weight * dx, z + weight * dz
        angle.append(math.atan2(0.0, -1.0) - math.atan2(x, z))
    result = np.zeros_like(clip)
    path_x = path_z = 0.0
    for t in range(total):
        root = clip[0, nearest[t], 0]
        if t:
            step = difference(root, clip[0, nearest[t - 1], 0])
            sine, cosine = math.sin(angle[t - 1]), math.cos(angle[t - 1])
            path_x += cosine * step[0] + sine * step[2]
            path_z += cosine * step[2] - sine * step[0]
        sine, cosine = math.sin(angle[t]), math.cos(angle[t])
        for m in range(clip.shape[0]):
            for v in range(clip.shape[2]):
                if clip[m, t, v].any():
                    x, _, z = difference(clip[m, t, v], root)
                    result[m, t, v] = (cosine * x + sine * z + path_x, clip[m, t, v, 1],
                                       cosine * z - sine * x + path_z)
    return result


#: Name -> (ours, the plain loop).
NORMALIZATIONS: dict[str, tuple[Step, Step]] = {
    "pre_normalize_3d": (pre_normalize_3d, plain_pre_normalize_3d),
    "shift_gcn_normalize": (shift_gcn_normalize, plain_shift_gcn),
    "canonicalize, frame": (
        lambda clip: canonicalize(clip, "frame", sigma=SIGMA),
        lambda clip: plain_canonicalize(clip, "frame"),
    ),
    "canonicalize, clip": (
        lambda clip: canonicalize(clip, "clip"), lambda clip: plain_canonicalize(clip, "clip"),
    ),
}


def mmaction2_step() -> Step:
    """mmaction2's PreNormalize3D as a function of the clip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmaction.datasets.transforms import PreNormalize3D
    transform = PreNormalize3D()
    return lambda clip: transform.transform({"keypoint": clip})["keypoint"]


def compare(name: str, ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference.

    Raises:
        SystemExit: Larger than ``TOLERANCE``, or another shape.
    """
    if ours.shape != theirs.shape:
        raise SystemExit(f"{name}: shape {ours.shape}, expected {theirs.shape}")
    worst = float(np.abs(ours - theirs).max())
    if not worst <= TOLERANCE:
        raise SystemExit(f"{name}: differs by {worst:.1e}, expected {TOLERANCE:.0e} at most")
    return worst


def fastest(step: Step, made: Sequence[np.ndarray], repeat: int) -> float:
    """Mean over clips of each one's fastest run, in seconds."""
    best = np.full(len(made), np.inf)
    for _ in range(repeat):
        for index, clip in enumerate(made):
            start = time.perf_counter()
            step(clip)
            best[index] = min(best[index], time.perf_counter() - start)
    return float(best.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=12, help="how many clips")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the fastest counts, by clip")
    options = parser.parse_args()
    if options.clips < 1 or options.repeat < 1:
        parser.error("--clips and --repeat: expected 1 or more")
    made = clips(options.clips)
    frames = sorted(clip.shape[1] for clip in made)
    table = Table("", "ours", "plain", "times", "difference",
                  title=f"ms a clip: {len(made)} clips, 2 bodies, {frames[0]}-{frames[-1]} frames")
    ratios = []
    for name, (ours, plain) in NORMALIZATIONS.items():
        worst = max(compare(name, ours(clip), plain(clip)) for clip in made)
        fast, slow = (fastest(step, made, options.repeat) for step in (ours, plain))
        ratios.append(slow / fast)
        table.add_row(name, f"{1e3 * fast:.3f}", f"{1e3 * slow:.1f}", f"{ratios[-1]:.0f}",
                      f"{worst:.0e}")
    theirs = mmaction2_step()
    worst = max(compare("mmaction2", pre_normalize_3d(clip), theirs(clip)) for clip in made)
    fast, slow = (fastest(step, made, options.repeat) for step in (pre_normalize_3d, theirs))
    table.add_row("PreNormalize3D (mmaction2)", f"{1e3 * fast:.3f}", f"{1e3 * slow:.1f}",
                  f"{slow / fast:.0f}", f"{worst:.0e}")
    Console().print(table)
    print(f"ratio {min(ratios):.1f}")


if __name__ == "__main__":
    main()
