"""t-SNE of test clips in z_r, z_v and f_x: the same picture from the same records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zskel.pipeline.report.caches import skeleton_features
from zskel.pipeline.report.summary import Group, Run, Setting
from zskel.pipeline.steps.results import ResultArrays

#: Test rows in one picture; of more, that many are drawn.
MAX_ROWS = 1000
ITERATIONS = 750
#: At most this share of them belongs to unseen classes.
UNSEEN_SHARE = 0.6
MIN_ROWS = 8
PERPLEXITY = 30.0


@dataclass(frozen=True)
class Embedding:
    """Where test clips lie in one space of one run.

    Attributes:
        group, seed: Whose latents.
        space: "z_r", "z_v" or "f_x".
        points: Float ``[rows, 2]``.
    """

    group: Group
    seed: int
    space: str
    points: np.ndarray


@dataclass(frozen=True)
class Embeddings:
    """Pictures of the same clips, made with the same settings.

    Attributes:
        sample_id, number: ``[rows]`` the clips, and 1 for the first unseen class
            and so on, 0 for seen ones.
        total: How many test clips there are.
        pictures: z_r, z_v and f_x of the headline, then z_r of its other variants.
        missing: Why something is not there, one line each.
    """

    sample_id: np.ndarray
    number: np.ndarray
    total: int
    pictures: tuple[Embedding, ...]
    missing: tuple[str, ...]


def embed_setting(setting: Setting) -> Embeddings:
    """Embeds the spaces of the headline method and z_r of its other variants.

    All pictures show the same clips: those drawn for the headline's lowest seed
    that has its arrays.
    """
    head = setting.headline
    run, arrays = _with_arrays(head)
    if arrays is None:
        return Embeddings(np.array([], str), np.array([], int), 0, (), (
            f"Not drawn for {head.label}: no arrays beside its records.",))
    number = np.zeros(len(arrays.label), dtype=np.int64)
    for at, entry in enumerate(setting.unseen, 1):
        number[arrays.label == entry.index] = at
    chosen = choose_rows(number > 0, MAX_ROWS)
    if len(chosen) < MIN_ROWS:
        return Embeddings(arrays.sample_id[chosen], number[chosen], len(number), (), (
            f"Not drawn for {head.label}: too few test clips.",))
    sample_id = arrays.sample_id[chosen]
    pictures, missing = [], []

    def add(group: Group, of: Run, space: str, values: np.ndarray | None, why: str) -> None:
        if values is None or not values.shape[1]:
            missing.append(why)
        else:
            pictures.append(Embedding(group, of.record.seed, space, embed(values)))

    add(head, run, "z_r", arrays.z_r[chosen], f"{head.label} has no z_r.")
    add(head, run, "z_v", arrays.z_v[chosen], f"{head.label} has no z_v.")
    add(head, run, "f_x", skeleton_features(run, sample_id),
        "f_x is not drawn: the features these results were made from are not in the work "
        "directory.")
    for group in setting.compared:
        if group == head:
            continue
        other, own = _with_arrays(group)
        add(group, other, "z_r", None if own is None else _rows(own, sample_id),
            f"Not drawn for {group.label}: its arrays are not there, or hold other clips.")
    return Embeddings(sample_id, number[chosen], len(number), tuple(pictures), tuple(missing))


def _with_arrays(group: Group) -> tuple[Run, ResultArrays | None]:
    """The first run that has arrays; the first of all where none has."""
    for run in group.runs:
        arrays = run.arrays
        if arrays is not None:
            return run, arrays
    return group.runs[0], None


def _rows(arrays: ResultArrays, sample_id: np.ndarray) -> np.ndarray | None:
    place = {name: at for at, name in enumerate(arrays.sample_id.tolist())}
    rows: list[Any] = [place.get(name) for name in sample_id.tolist()]
    return None if None in rows else arrays.z_r[rows]


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
    difference; one thread gives the same picture each time. Rows that are all the same
    become one point, which t-SNE cannot do.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows, dims = latent.shape
    if not np.ptp(latent, axis=0).any():
        return np.zeros((rows, 2))
    model = TSNE(
        perplexity=min(PERPLEXITY, (rows - 1) / 3), init="pca" if dims > 1 else "random",
        learning_rate="auto", max_iter=ITERATIONS, random_state=seed,
    )
    with threadpool_limits(1):
        return model.fit_transform(latent.astype(np.float64))
