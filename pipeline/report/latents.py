"""Drawings of where clips lie: the paper's Figures 4 and 6."""

from __future__ import annotations

from typing import Any

import numpy as np

from zskel.pipeline.report import svg
from zskel.pipeline.report.embedding import Embedding, Embeddings
from zskel.pipeline.report.figures import span
from zskel.pipeline.report.rows import CONTEXT, METHOD, SEED, names
from zskel.pipeline.report.summary import Setting
from zskel.pipeline.report.tables import Column, Table
from zskel.pipeline.steps.result_record import slugify

#: A class gets its number drawn if half its clips lie within this share of the width.
GATHERED = 0.15


def latent_drawings(
    setting: Setting, embeddings: Embeddings
) -> tuple[list[tuple[Embedding, str]], list[list[int]]]:
    """Each picture with its drawing: unseen classes in colour, seen ones grey.

    Returns:
        Pictures and drawings; and of each, where its points lie: x, y, x, y, ...
    """
    drawings, places = [], []
    for at, picture in enumerate(embeddings.pictures):
        points = picture.points
        frame = svg.Frame(420, 400, span(points[:, 0]), span(points[:, 1]), 10, 10, 10, 10)
        place = np.array([frame.at((x, y)) for x, y in points])
        places.append(place.round().astype(int).ravel().tolist())
        parts = [svg.marks(place[embeddings.number == 0], svg.DOT, "seen")]
        labels = []
        for number in range(1, len(setting.unseen) + 1):
            own = place[embeddings.number == number]
            if not len(own):
                continue
            colour, outline = svg.mark_of(number - 1)
            parts.append(svg.marks(own, outline, f"mark {colour}"))
            x, y = np.median(own, axis=0)
            # A number in the middle of a scattered class would name a spot, not the class.
            if np.median(np.hypot(*(own - (x, y)).T)) < GATHERED * frame.width:
                labels.append(svg.text(x, y + 5, str(number), "tag middle"))
        title = (f"t-SNE of {picture.space} of {len(points)} test clips, {picture.group.label}, "
                 f"seed {picture.seed}: unseen classes in colour with their numbers, seen ones "
                 "grey.")
        drawings.append((picture, frame.drawing(
            slugify(f"{setting.key}-latent-{at}-{picture.space}"), title, [*parts, *labels],
            "square")))
    return drawings, places


def latents_table(found: list[tuple[Setting, Embeddings]]) -> Table:
    """Coordinates of every picture, in long form; units mean nothing."""
    columns = (*CONTEXT, *METHOD, SEED, Column("space", "Space"), Column("sample_id", "Clip"),
               Column("class", "Class"), Column("x", "x", "number"), Column("y", "y", "number"))
    rows: list[dict[str, Any]] = []
    for setting, embeddings in found:
        classes = ["(seen)", *(entry.name for entry in setting.unseen)]
        for picture in embeddings.pictures:
            rows += [
                {**names(setting, picture.group), "seed": picture.seed, "space": picture.space,
                 "sample_id": clip, "class": classes[number],
                 "x": round(float(x), 2), "y": round(float(y), 2)}
                for clip, number, (x, y) in zip(
                    embeddings.sample_id.tolist(), embeddings.number.tolist(), picture.points)
            ]
    return Table("latents", "t-SNE coordinates.", columns, rows, data=True)
