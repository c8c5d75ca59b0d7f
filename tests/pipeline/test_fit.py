"""``pipeline fit`` and ``report``: caches to results, and caches that are refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from zskel.data.common.checksums import write_checksum
from zskel.data.synthetic import UNSEEN
from zskel.pipeline.fit.job import one_sided
from zskel.zsl.metrics import Predictions

STEM = "sa_dvae-fd-tc-strict-default-seed{}"


def record(work: Path, seed: int) -> dict[str, Any]:
    return json.loads((work / "results" / f"{STEM.format(seed)}.json").read_text())


def stamps(work: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in sorted((work / "results").iterdir())}


def results_of(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items()
            if key not in ("created", "duration_seconds")}


def test_one_record_a_seed_under_the_promised_names(tiny_work: Path) -> None:
    assert set(stamps(tiny_work)) == {
        f"{STEM.format(seed)}.{ending}" for seed in (0, 1) for ending in ("json", "npz")}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_record_says_what_it_is_and_what_came_out(tiny_work: Path, seed: int) -> None:
    content = record(tiny_work, seed)
    assert (content["method"], content["variant"], content["protocol"], content["split"],
            content["seed"]) == ("sa_dvae", "fd+tc", "strict", "default", seed)
    rates = [content[name] for name in ("zsl_accuracy", "gzsl_seen_accuracy",
                                        "gzsl_unseen_accuracy", "gzsl_harmonic_mean")]
    assert all(isinstance(rate, float) and 0 <= rate <= 1 for rate in rates)
    _, seen, unseen, harmonic = rates
    expected = 2 * seen * unseen / (seen + unseen) if seen + unseen else 0
    assert harmonic == pytest.approx(expected)
    for name in ("skeleton_test", "skeleton_calibration", "text"):
        cache = (tiny_work / "features" / f"{name}.h5").read_bytes()
        assert content["cache_digests"][name] == hashlib.sha256(cache).hexdigest()
    assert content["counts"]["test_unseen"] == len(UNSEEN)
    assert content["config"]["method"]["options"]["z_r_dim"] == 8
    assert {"torch", "numpy"} <= set(content["software"])


@pytest.mark.parametrize("seed", [0, 1])
def test_rates_follow_from_the_predictions_and_the_cache(tiny_work: Path, seed: int) -> None:
    content = record(tiny_work, seed)
    with np.load(tiny_work / "results" / f"{STEM.format(seed)}.npz") as arrays, \
            h5py.File(tiny_work / "features" / "skeleton_test.h5") as cache:
        rows = cache["subset"].asstr()[()] == "test"
        label = cache["label"][()][rows]
        assert arrays["label"].tolist() == label.tolist()
        assert arrays["sample_id"].tolist() == cache["sample_id"].asstr()[()][rows].tolist()
        unseen = np.isin(label, UNSEEN)
        zsl, gzsl, p_u = (arrays[name] for name in ("zsl_prediction", "gzsl_prediction", "p_u"))
    np.testing.assert_allclose(p_u.sum(axis=1), 1, atol=1e-5)
    assert (np.sort(UNSEEN)[p_u.argmax(axis=1)] == zsl)[unseen].all()
    assert set(zsl[unseen]) <= set(UNSEEN) and set(zsl[~unseen]) == {-1}
    assert content["zsl_accuracy"] == pytest.approx((zsl == label)[unseen].mean())
    assert content["gzsl_seen_accuracy"] == pytest.approx((gzsl == label)[~unseen].mean())
    assert content["gzsl_unseen_accuracy"] == pytest.approx((gzsl == label)[unseen].mean())
    averaged = np.mean([(gzsl == label)[label == c].mean() for c in UNSEEN])
    assert content["metrics"]["gzsl_unseen_accuracy_class_averaged"] == pytest.approx(averaged)
    for entry in content["per_class"]:
        mine = label == entry["index"]
        assert entry["count"] == mine.sum()
        assert entry["gzsl_accuracy"] == pytest.approx((gzsl == label)[mine].mean())


def test_fitting_again_keeps_every_record(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features", "results"))
    before = stamps(work)
    ended = commands.run("fit", tiny_config, "--work-dir", work)
    assert ended.code == 0 and ended.err.count("kept ") == 2
    assert stamps(work) == before


def test_more_seeds_add_records_and_keep_the_others(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features", "results"))
    before = stamps(work)
    assert commands.run("fit", tiny_config, "--work-dir", work, "--seeds", 3).code == 0
    after = stamps(work)
    assert set(after) - set(before) == {f"{STEM.format(2)}.json", f"{STEM.format(2)}.npz"}
    assert {name: after[name] for name in before} == before


def test_a_changed_option_fits_again(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features", "results"))
    before = stamps(work)
    ended = commands.run("fit", tiny_config, "--work-dir", work, "--seeds", 1,
                         "--cfg-options", "fit.method.options.epochs=3")
    assert ended.code == 0, ended.err
    assert (f"replaced {STEM.format(0)}.json: fit.method.options.epochs was 2, is 3"
            in ended.err.splitlines())
    after = stamps(work)
    assert {name for name in after if after[name] != before[name]} == {
        f"{STEM.format(0)}.json", f"{STEM.format(0)}.npz"}
    assert record(work, 0)["config_digest"] != record(tiny_work, 0)["config_digest"]
    assert len(record(work, 0)["history"]["test"]) == 3


def test_other_texts_than_the_config_asks_for_are_refused(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features",))
    fit = ("fit", tiny_config, "--work-dir", work, "--seeds", 1, "--method", "ridge")
    ended = commands.run(*fit, "--cfg-options", "class_text.source.name=motion")
    assert ended.code != 0 and not (work / "results").exists()
    assert ended.err.splitlines()[-1].endswith(
        'class_text.source.name was "label", is "motion"; run `pipeline extract`, or give '
        "the options here that were given there")
    with h5py.File(work / "features" / "text.h5", "r+") as file:
        del file.attrs["config"]  # as older versions and others write it
    write_checksum(work / "features" / "text.h5")
    assert commands.run(*fit, "--cfg-options", "class_text.source.name=motion").code == 0


def test_a_lost_or_broken_record_is_fitted_again_to_the_same_numbers(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features", "results"))
    (work / "results" / f"{STEM.format(0)}.json").write_text("{")
    (work / "results" / f"{STEM.format(1)}.npz").unlink()
    assert commands.run("fit", tiny_config, "--work-dir", work).code == 0
    for seed in (0, 1):
        assert results_of(record(work, seed)) == results_of(record(tiny_work, seed))
        with np.load(work / "results" / f"{STEM.format(seed)}.npz") as ours, \
                np.load(tiny_work / "results" / f"{STEM.format(seed)}.npz") as theirs:
            assert all(np.array_equal(ours[name], theirs[name]) for name in theirs.files)


def unseen_class_in_train(file: h5py.File) -> None:
    row = int(np.flatnonzero(file["subset"].asstr()[()] == "train")[0])
    file["label"][row] = UNSEEN[0]


def shorter_label(file: h5py.File) -> None:
    label = file["label"][:-1]
    del file["label"]
    file["label"] = label


def nan_feature(file: h5py.File) -> None:
    file["f_x"][3, 1] = np.nan


def later_version(file: h5py.File) -> None:
    file.attrs["format_version"] = 2


def no_seen_classes(file: h5py.File) -> None:
    del file.attrs["seen_classes"]


def classes_swapped(file: h5py.File) -> None:
    seen, unseen = file.attrs["seen_classes"], file.attrs["unseen_classes"]
    file.attrs["seen_classes"], file.attrs["unseen_classes"] = unseen, seen


def classes_renamed(file: h5py.File) -> None:
    file.attrs["class_names"] = ["something else", *file.attrs["class_names"][1:]]


@pytest.mark.parametrize(("name", "damage", "message"), [
    ("skeleton_test", unseen_class_in_train, "'raise right arm sideways'"),
    ("skeleton_calibration", unseen_class_in_train, "'train' holds class"),
    ("skeleton_test", shorter_label, "/label"),
    ("skeleton_test", nan_feature, "row 3"),
    ("skeleton_calibration", later_version, "format_version is 2"),
    ("skeleton_test", no_seen_classes, "seen_classes"),
    ("skeleton_test", classes_swapped, "skeleton_test"),
    ("text", classes_renamed, "something else"),
])
def test_a_wrong_cache_is_refused_with_one_line(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path],
    name: str, damage: Callable[[h5py.File], None], message: str,
) -> None:
    work = copy_of(tiny_work, ("features",))
    with h5py.File(work / "features" / f"{name}.h5", "r+") as file:
        damage(file)
    write_checksum(work / "features" / f"{name}.h5")
    ended = commands.run("fit", tiny_config, "--work-dir", work)
    assert ended.code == 2
    error = ended.err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert ended.err.count("error: ") == 1 and "Traceback" not in ended.err
    assert not (work / "results").exists()


@pytest.mark.parametrize("name", ["skeleton_test", "skeleton_calibration", "text"])
@pytest.mark.parametrize("content", [None, b"", "half"])
def test_a_missing_or_half_cache_is_refused_with_one_line(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path],
    name: str, content: bytes | str | None,
) -> None:
    work = copy_of(tiny_work, ("features",))
    path = work / "features" / f"{name}.h5"
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    ended = commands.run("fit", tiny_config, "--work-dir", work)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1 and f"{name}.h5" in ended.err


def test_swapped_phases_are_refused(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    work = copy_of(tiny_work, ("features",))
    test, calibration = (work / "features" / f"skeleton_{p}.h5" for p in ("test", "calibration"))
    test.rename(work / "x")
    calibration.rename(test)
    (work / "x").rename(calibration)
    ended = commands.run("fit", tiny_config, "--work-dir", work)
    assert ended.code == 2 and "swapped" in ended.err.splitlines()[-1]


def test_the_report_holds_the_promised_files(tiny_work: Path) -> None:
    report = tiny_work / "report"
    page = (report / "report.html").read_text()
    assert "<html" in page
    # Self-contained: whatever the page loads, as against links to, is inside it.
    sources = re.findall(r'<(?:link|script|img|iframe)[^>]*?(?:src|href)="([^"]*)"', page)
    assert all(source.startswith("data:") for source in sources) and "@import" not in page
    assert "sa_dvae" in (report / "report.md").read_text()
    tables = sorted((report / "tables").glob("*.csv"))
    assert tables and all(table.read_text().strip() for table in tables)


def test_a_report_of_nothing_is_one_line(commands: Any, tmp_path: Path) -> None:
    ended = commands.run("report", "--work-dir", tmp_path)
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1 and str(tmp_path) in ended.err


@pytest.mark.parametrize(("named", "gate", "notes"), [
    ([0] * 10 + [2] * 10, {}, []),
    ([2] * 9 + [0] + [2] * 10, {}, []),
    ([2] * 20, {"seen_rows": 48, "unseen_rows": 30}, [
        "gate g takes 10 of 10 test clips of seen classes for unseen ones; it was fitted on 48 "
        "and 30 calibration clips of seen and unseen classes; docs/gates.md"]),
    ([1] * 20, {}, ["gate g takes 10 of 10 test clips of unseen classes for seen ones; docs/"]),
    ([3] * 10 + [1] * 10, {}, ["of seen classes for", "of unseen classes for"]),
])
def test_a_gate_that_takes_all_clips_for_one_side_is_told(
    named: list[int], gate: dict[str, Any], notes: list[str]
) -> None:
    label, classes = np.repeat([0, 2], 10), np.arange(4)
    found = Predictions(
        label=label, sample_id=label.astype(str), seen_classes=classes[:2],
        unseen_classes=classes[2:], zsl_prediction=label, gzsl_prediction=np.array(named),
        oracle_prediction=label, margin=np.zeros(20), p_seen=np.zeros(20))
    lines = list(one_sided(found, {"name": "g", **gate}))
    assert len(lines) == len(notes)
    assert all(note in line for note, line in zip(notes, lines))
