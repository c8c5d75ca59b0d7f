"""Caches as Parquet tables; needs pandas and pyarrow (extra ``tables``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zskel.data.caches import IDENTITY, SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadInput
from zskel.data.common.files import atomic_path
from zskel.data.exchange.arrays import require_new
from zskel.data.exchange.caches import skeleton_attributes, text_attributes


def export_table(
    folder: Path, test: SkeletonFeatures, calibration: SkeletonFeatures,
    texts: Mapping[str, TextFeatures], force: bool = False,
) -> list[Path]:
    """Writes ``skeleton_<phase>.parquet`` and ``text[_<part>].parquet``.

    A row is a clip, or a class. Features are columns ``f_x_000...``, logits
    ``logit_<class index>``; the cache's attributes are the frame's ``attrs``.

    Raises:
        BadInput: A file is there, or pandas or pyarrow is not installed.
    """
    try:
        import pandas
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise BadInput(f"format 'table' needs pandas and pyarrow ({error}); "
                       "pip install 'zero-shot-skeleton[tables]'") from None
    tables: dict[Path, tuple[dict[str, np.ndarray], dict[str, Any]]] = {}
    for features in (test, calibration):
        names = np.asarray(features.class_names)
        columns = {
            "sample_id": features.sample_id, "subset": features.subset, "label": features.label,
            "class_name": names[features.label],
            "unseen": np.isin(features.label, features.unseen_classes),
            **{name: getattr(features, name) for name in IDENTITY},
            **_spread("f_x", features.f_x),
            **{f"logit_{c:03d}": features.logits[:, column]
               for column, c in enumerate(features.seen_classes)},
        }
        tables[folder / f"skeleton_{features.phase}.parquet"] = (
            columns, skeleton_attributes(features))
    for part, text in texts.items():
        strings = np.asarray(text.text).reshape(len(text.class_names), -1)
        tables[folder / f"{'_'.join(filter(None, ('text', part)))}.parquet"] = (
            {"class_name": np.asarray(text.class_names),
             **{f"text_{k}" if strings.shape[1] > 1 else "text": strings[:, k]
                for k in range(strings.shape[1])},
             **_spread("f_y", text.f_y)},
            text_attributes(text))
    require_new(tables, force)
    for path, (columns, attributes) in tables.items():
        frame = pandas.DataFrame(columns)
        frame.attrs = attributes
        with atomic_path(path) as temporary:
            frame.to_parquet(temporary, engine="pyarrow", index=False)
    return list(tables)


def _spread(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    digits = len(str(array.shape[1] - 1))
    return {f"{name}_{k:0{digits}d}": array[:, k] for k in range(array.shape[1])}
