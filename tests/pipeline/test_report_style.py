"""Colours of the page: contrast of everything that has to be told from what is behind it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STYLE = (Path(__file__).resolve().parents[2] / "pipeline" / "report" / "templates" / "style.css")
#: WCAG 2.2: text (1.4.3) and graphical objects (1.4.11).
TEXT, GRAPHIC = 4.5, 3.0


def colours(dark: bool) -> dict[str, str]:
    css = STYLE.read_text(encoding="utf-8")
    light, night = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): ([^;]+);", light))
    return {**found, **(dict(re.findall(r"--([\w-]+): ([^;]+);", night)) if dark else {})}


def channels(colour: str) -> tuple[float, float, float]:
    if colour.startswith("#"):
        return tuple(int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5))
    return tuple(float(part) / 255 for part in colour.split(","))


def luminance(rgb: tuple[float, float, float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_that_of_wcag():
    assert contrast(channels("#ffffff"), channels("#000000")) == pytest.approx(21)
    # The lightest grey that passes for text on white.
    assert contrast(channels("#767676"), channels("#ffffff")) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "muted", "accent", "chance"])
@pytest.mark.parametrize("behind", ["paper", "soft"])
def test_text_can_be_read(dark, name, behind):
    own = colours(dark)
    assert contrast(channels(own[name]), channels(own[behind])) >= TEXT


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["chance", "s0", "s1", "s2", "s3", *(f"c{i}" for i in range(7))])
def test_marks_lines_and_bars_can_be_seen(dark, name):
    own = colours(dark)
    assert contrast(channels(own[name]), channels(own["paper"])) >= GRAPHIC


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_numbers_can_be_read_on_the_darkest_cell_of_a_matrix(dark):
    own = colours(dark)
    share = float(own["heat-max"])
    cell = tuple(share * top + (1 - share) * below for top, below in zip(
        channels(own["heat"]), channels(own["paper"])))
    assert contrast(channels(own["ink"]), cell) >= TEXT
