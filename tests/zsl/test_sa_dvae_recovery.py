"""What SA-DVAE is for: on features whose parts are known, z_r keeps the meaning, not the style."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from zskel.zsl.methods.sa_dvae import SADVAE

CLASSES, STYLES, N = 10, 5, 480
SEMANTIC, STYLE, WIDTH = 4, 3, 24


def problem(seed):
    """f_x, class, style and f_y: a rotation of [class text, style, nothing] and noise.

    The style varies more than the class does, and z_r is only as wide as the
    semantic part: whatever else goes in displaces it.
    """
    rng = np.random.default_rng(seed)

    def directions(count, width):
        rows = rng.normal(size=(count, width))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    f_y, styles = directions(CLASSES, SEMANTIC), directions(STYLES, STYLE)
    y, style = rng.permutation(N) % CLASSES, rng.integers(STYLES, size=N)
    parts = np.concatenate([2 * f_y[y], 3 * styles[style]], axis=1)
    parts += 0.3 * rng.normal(size=parts.shape)
    rotation, _ = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))
    f_x = parts @ rotation[: SEMANTIC + STYLE] + 0.3 * rng.normal(size=(N, WIDTH))
    return f_x.astype(np.float32), y, style, f_y.astype(np.float32)


def probe(z, label):
    """Accuracy of a linear probe, fitted on one half and tested on the other."""
    half = N // 2
    z = (z - z[:half].mean(axis=0)) / z[:half].std(axis=0)
    return LogisticRegression(max_iter=500).fit(z[:half], label[:half]).score(
        z[half:], label[half:])


def probes(variant, seed):
    f_x, y, style, f_y = problem(seed)
    model = SADVAE(variant=variant, z_r_dim=SEMANTIC, z_v_dim=STYLE + 1, epochs=30,
                   batch_size=48, learning_rate=1e-2, seed=seed)
    z_r = model.fit(f_x, y, f_y, seen_classes=range(CLASSES)).transform(f_x).z_r
    return probe(z_r, y), probe(z_r, style)


@pytest.mark.slow
def test_fd_tc_recovers_the_semantic_part_better_than_naive_alignment():
    full, naive = (np.array([probes(variant, seed) for seed in range(5)])
                   for variant in ("fd+tc", "naive"))
    # Without the cross-alignment, or with z_v shut off, the gains are below 0.1.
    class_gain, style_loss = (full - naive).mean(axis=0) * (1, -1)
    assert class_gain > 0.15 and style_loss > 0.3
    assert (full[:, 0] > naive[:, 0]).all() and (full[:, 1] < naive[:, 1]).all()
    assert full[:, 0].min() > 0.7 and full[:, 1].mean() < 0.5
