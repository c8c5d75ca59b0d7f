"""The page of a search: what it shows follows from trials.json, and stands alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from zskel.pipeline.search.figures import draw, importances
from zskel.pipeline.search.page import render_page, trials_table, write_page

BETA = {"type": "grid", "values": [0.01, 0.05, 0.2]}
RATE = {"type": "exponent", "low": -4.0, "high": -2.0}
WIDTH = {"type": "int", "low": 8.0, "high": 16.0, "step": 4}


def trial(slot: int, params: dict[str, Any], value: float, **changes: Any) -> dict[str, Any]:
    metrics = {name: value / k for k, name in enumerate(
        ("gzsl_harmonic_mean", "gzsl_seen_accuracy", "gzsl_unseen_accuracy", "zsl_accuracy",
         "gzsl_oracle_harmonic_mean", "gzsl_ausuc"), 1)}
    return {"slot": slot, "state": "complete", "value": value, "best": False, "params": params,
            "metrics": metrics, "by_seed": [metrics], "error": None, "seconds": 1.5,
            "worker": {"host": "here", "pid": 7}, **changes}


def step(name: str, space: dict[str, Any], trials: list[Any], sampler: str) -> dict[str, Any]:
    best = max(trials, key=lambda each: each["value"] or 0)
    best["best"] = True
    return {"name": name, "sampler": sampler, "pruner": "none", "seeds": 1, "space": space,
            "fixed": {"epochs": 3}, "ties": {"lambda_2": "beta_y"}, "best_slot": best["slot"],
            "trials": trials}


@pytest.fixture
def content() -> dict[str, Any]:
    """A grid of two parameters, then 24 random trials whose value is the rate's alone."""
    random = np.random.default_rng(0)
    grid = [trial(3 * i + j, {"beta_x": x, "beta_y": y}, 0.2 + 0.1 * i - 0.05 * j)
            for i, x in enumerate(BETA["values"]) for j, y in enumerate(BETA["values"])]
    rest = [trial(k, {"learning_rate": float(10 ** u), "z_r_dim": int(w)}, float(-u / 10))
            for k, (u, w) in enumerate(zip(random.uniform(-4, -2, 24),
                                           random.choice([8, 12, 16], 24)))]
    rest[3].update(state="pruned", value=None, metrics={}, error="loss became non-finite <b>")
    return {
        "format": "zsl-search", "format_version": 1, "experiment": "demo", "space": "own",
        "name": "own", "title": "a & b", "method": "sa_dvae", "objective": "gzsl_harmonic_mean",
        "phase": "calibration", "seed": 0, "split": "default", "gate": "domain_classifier",
        "seen_classifier": "f_x", "config_digest": "c" * 64,
        "cache_digests": {"calibration cache": "a" * 64, "text cache": "b" * 64},
        "steps": [step("betas", {"beta_x": BETA, "beta_y": BETA}, grid, "grid"),
                  step("rest", {"learning_rate": RATE, "z_r_dim": WIDTH}, rest, "random")],
        "best": {"value": 0.4, "options": {"beta_x": 0.2, "variant": "fd+tc"}},
    }


def test_the_page_stands_alone_and_says_what_was_found(
    content: dict[str, Any], tmp_path: Path
) -> None:
    path = write_page(content, tmp_path)
    html = path.read_text()
    assert "a &amp; b: sa_dvae on demo" in html and "<b>" not in html.split("<main")[0]
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)
    assert "default-src 'none'" in html and "calibration phase" in html
    best = content["steps"][1]["trials"][content["steps"][1]["best_slot"]]
    assert f"<strong>{100 * best['value']:.1f}</strong>" in html
    assert "1 could not be fitted" in html and "c" * 64 in html
    for step_ in content["steps"]:
        assert f'id="{step_["name"]}"' in html
    identities = re.findall(r'\bid="([^"]+)"', html)
    assert len(identities) == len(set(identities))
    for target in re.findall(r'href="#([^"]+)"', html):
        assert target in identities
    assert write_page(content, tmp_path / "again").read_text() == html


def test_the_map_has_a_number_for_every_point(content: dict[str, Any]) -> None:
    drawn, = (each for each in draw(content["steps"][0], "gzsl_harmonic_mean")
              if each.name == "map-betas-gzsl-harmonic-mean")
    texts = re.findall(r">([^<>]+)</text>", drawn.svg)
    assert {f"{100 * (0.2 + 0.1 * i - 0.05 * j):.1f}" for i in range(3) for j in range(3)} <= {
        *texts}
    assert re.findall(r"<text[^>]*(?:bold|700)[^>]*>([^<>]+)</text>", drawn.svg) == ["40.0"]
    assert {"beta_x", "beta_y"} <= {*texts}


def test_figures_are_svg_files_of_their_own(content: dict[str, Any], tmp_path: Path) -> None:
    write_page(content, tmp_path)
    names = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert names == {
        "map-betas-gzsl-harmonic-mean", "map-betas-zsl-accuracy", "history-betas", "history-rest",
        "importance-betas", "importance-rest", "slice-betas", "slice-rest"}
    for path in (tmp_path / "figures").glob("*.svg"):
        root = ElementTree.fromstring(path.read_text())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_importance_finds_the_parameter_that_matters(content: dict[str, Any]) -> None:
    shares = importances(content["steps"][1])
    assert shares["learning_rate"] > 0.8 and sum(shares.values()) == pytest.approx(1)
    assert importances(content["steps"][1]) == shares


@pytest.mark.parametrize("keep", [0, 1, 7])
def test_few_trials_are_shown_without_shares(content: dict[str, Any], keep: int) -> None:
    rest = content["steps"][1]
    best = [each for each in rest["trials"] if each["best"]]
    rest["trials"] = [{**each, "slot": k} for k, each in enumerate(
        best + [each for each in rest["trials"] if not each["best"]][:keep])]
    rest["best_slot"] = 0
    assert importances(rest) == {}
    html, figures = render_page(content)
    names = {figure.name for figure in figures}
    assert "history-rest" in names and "importance-rest" not in names
    assert ("slice-rest" in names) == (keep > 0) and html.count("data:image/svg") == len(names)


def test_equal_values_have_no_importance(content: dict[str, Any]) -> None:
    for each in content["steps"][1]["trials"]:
        each["value"] = 0.5
    assert importances(content["steps"][1]) == {}


def test_trials_are_listed_best_first_and_failed_ones_last(content: dict[str, Any]) -> None:
    table = trials_table(content["steps"][1], "gzsl_harmonic_mean")
    values = [row["value"] for row in table.rows]
    assert values[:-1] == sorted(values[:-1], reverse=True) and values[-1] is None
    assert table.rows[-1]["state"] == "failed" and table.rows[0]["ours"]
