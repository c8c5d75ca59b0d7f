"""t-SNE of the test rows' latents, the same picture from the same records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.report.summary import Run, Setting

#: Test rows in one picture; of more, that many are drawn.
MAX_ROWS = 1000
ITERATIONS = 750
#: At most this share of them belongs to unseen classes.
UNSEEN_SHARE = 0.6
MIN_ROWS = 8
PERPLEXITY = 30.0


@dataclass(frozen=True)
class Embedding:
    """Where the test rows of one run lie.

    Attributes:
        seed: Of the run.
        rows, total: Test rows in the picture and in all.
        number: Int ``[rows]``: 1 for the first unseen class and so on, 0 for seen ones.
        points: Latent name -> float ``[rows, 2]``.
    """

    seed: int
    rows: int
    total: int
    number: np.ndarray
    points: dict[str, np.ndarray]


def embed_run(runs: Sequence[Run], setting: Setting) -> Embedding | None:
    """Embeds z_r and z_v of the first run that has its arrays.

    Args:
        runs: By ascending seed.
        setting: Names the unseen classes.

    Returns:
        None if no run has arrays, or the one found has too few rows.
    """
    run = next((run for run in runs if run.arrays is not None), None)
    if run is None:
        return None
    arrays = run.arrays
    number = np.zeros(len(arrays.label), dtype=np.int64)
    for at, entry in enumerate(setting.unseen, 1):
        number[arrays.label == entry.index] = at
    chosen = choose_rows(number > 0, MAX_ROWS)
    if len(chosen) < MIN_ROWS:
        return None
    points = {
        name: embed(latent[chosen])
        for name, latent in (("z_r", arrays.z_r), ("z_v", arrays.z_v)) if latent.shape[1]
    }
    return Embedding(run.record.seed, len(chosen), len(number), number[chosen], points)


def choose_rows(unseen: np.ndarray, limit: int, seed: int = 0) -> np.ndarray:
    """Which rows to draw: all if they fit, else a share of unseen and of seen ones.

    Args:
        unseen: Bool ``[N]``.
        limit: How many at most.
        seed: Of the draw.

    Returns:
        Row indices, ascending.
    """
    if len(unseen) <= limit:
        return np.arange(len(unseen))
    random = np.random.default_rng(seed)
    ours, others = np.flatnonzero(unseen), np.flatnonzero(~unseen)
    take = min(len(ours), max(round(limit * UNSEEN_SHARE), limit - len(others)))
    return np.sort(np.concatenate([
        random.choice(ours, take, replace=False),
        random.choice(others, min(len(others), limit - take), replace=False),
    ]))


def embed(latent: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE of ``[N, D]`` to ``[N, 2]`` by scikit-learn, on one thread.

    Sums over several threads are added in any order, and t-SNE enlarges the
    difference; one thread gives the same picture each time.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows, dims = latent.shape
    model = TSNE(
        perplexity=min(PERPLEXITY, (rows - 1) / 3), init="pca" if dims > 1 else "random",
        learning_rate="auto", max_iter=ITERATIONS, random_state=seed,
    )
    with threadpool_limits(1):
        return model.fit_transform(latent.astype(np.float64))
