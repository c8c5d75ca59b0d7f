"""A folder of the SynSE lineage for tests: what lies where, how it is read or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exchange_caches import NAMES

from zskel.data.common.errors import BadInput
from zskel.data.exchange.caches import Imported
from zskel.data.exchange.synse_find import Given
from zskel.data.exchange.synse_import import import_synse

TEST_DIR = "sk_feats/stgcn_nine_moves_2_r"
VAL_DIR = "sk_feats/stgcn_nine_moves_val_2_r"


def read(folder: Path, **given: object) -> Imported:
    return import_synse(folder, "nine-moves", NAMES, Given(**given))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def save(path: Path, array: np.ndarray) -> None:
    np.save(path, array)


def refused(folder: Path, **given: object) -> str:
    with pytest.raises(BadInput) as caught:
        read(folder, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)
