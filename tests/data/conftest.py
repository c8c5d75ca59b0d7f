"""Lets the tests here import what they share, and makes the folder that some of them read."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from exchange_caches import random_caches

from zskel.data.exchange.layouts import layout_of
from zskel.data.exchange.synse_export import export_synse


@pytest.fixture(scope="session")
def synse_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    test, calibration, texts = random_caches(width=256)
    export_synse(folder, test, calibration, {"": texts[""]}, layout_of("sa-dvae"))
    return folder


@pytest.fixture
def exported(synse_template: Path, tmp_path: Path) -> Path:
    """What users of SA-DVAE call ``resources``."""
    return Path(shutil.copytree(synse_template, tmp_path / "resources"))
