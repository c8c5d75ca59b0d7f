"""The clips that move in the report: which, what is said of them, and where they are drawn."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.skeleton import NTU_RGBD
from zskel.data.store import SequenceStore
from zskel.pipeline.plan.table_report import is_current, mark
from zskel.pipeline.report import clips, embedding
from zskel.pipeline.report.clips import ABSENT, MOST_FRAMES, encode
from zskel.pipeline.report.report import write_report
from zskel.pipeline.steps.results import (
    ResultArrays,
    find_results,
    read_arrays,
    read_result,
    write_result,
)


def html_of(work: Path) -> str:
    return write_report([work], work / "report").html.read_text(encoding="utf-8")


def document(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" class="clip-data">(.*?)</script>', html)
    assert found
    return json.loads(found[1])


def arrays_of(work: Path) -> list[ResultArrays]:
    found = [read_arrays(path, read_result(path)) for path in find_results(work)]
    return [each for each in found if each is not None]


@pytest.fixture(autouse=True)
def cheap_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "embed", lambda latent: latent[:, :2])


@pytest.fixture
def work(tmp_path: Path, make_result: Callable[..., Any], make_store: Callable[..., Any]) -> Path:
    for seed in range(2):
        write_result(tmp_path, *make_result(seed=seed))
    make_store(tmp_path, make_result()[1])
    return tmp_path


def test_the_first_clips_are_the_surest_right_and_wrong_one_of_each_class(work: Path) -> None:
    found, arrays = document(html_of(work)), arrays_of(work)[0]
    assert arrays.p_u is not None
    expected = []
    for index in found["unseen"]:
        for right in (True, False):
            rows = [row for row in range(len(arrays.label)) if arrays.label[row] == index
                    and (arrays.zsl_prediction[row] == index) == right]
            if rows:
                expected.append(str(arrays.sample_id[max(
                    rows, key=lambda row: (arrays.p_u[row].max(), -row))]))
    assert [found["clips"][at]["id"] for at, run in found["first"] if run == 0] == expected
    assert len(expected) > len(found["unseen"])


def test_every_run_says_of_every_clip_what_its_arrays_say(work: Path) -> None:
    found = document(html_of(work))
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    for run, arrays in zip(found["runs"], arrays_of(work), strict=True):
        for at, clip in enumerate(found["clips"]):
            row = arrays.sample_id.tolist().index(clip["id"])
            assert clip["y"] == arrays.label[row]
            assert run["zsl"][at] == arrays.zsl_prediction[row]
            assert run["gzsl"][at] == arrays.gzsl_prediction[row]
            assert arrays.p_u is not None
            assert run["p"][at] == pytest.approx(100 * arrays.p_u[row].max(), abs=0.051)
            assert run["p_seen"][at] == pytest.approx(100 * arrays.p_seen[row], abs=0.051)
            if clip["y"] in found["unseen"]:
                own = arrays.p_u[row, found["unseen"].index(clip["y"])]
                assert run["p_true"][at] == pytest.approx(100 * own, abs=0.051)


def test_every_number_of_the_matrices_leads_to_its_clips(work: Path) -> None:
    html = html_of(work)
    found = document(html)
    unseen = found["unseen"]

    def place(label: int) -> int:
        return unseen.index(label) if label in unseen else len(unseen)

    counts: Counter[str] = Counter()
    for run in found["runs"]:
        for clip, zsl, gzsl in zip(found["clips"], run["zsl"], run["gzsl"], strict=True):
            counts[f"gzsl {place(clip['y'])} {place(gzsl)}"] += 1
            if zsl >= 0:
                counts[f"zsl {place(clip['y'])} {place(zsl)}"] += 1
    linked = re.findall(r'href="#([\w-]+)" data-cell="([^"]+)" data-count="(\d+)"', html)
    assert {cell: int(count) for _, cell, count in linked} == counts
    assert all(f'id="{anchor}"' in html for anchor, *_ in linked)


def test_coordinates_are_those_of_the_store_as_the_camera_sees_them(work: Path) -> None:
    found = document(html_of(work))
    store = SequenceStore(work / "store" / "skeletons.h5")
    clip = next(each for each in found["clips"] if each["m"] == 2)
    keypoint = store.keypoint(store.sample_id.tolist().index(clip["id"]))
    grid = np.frombuffer(base64.b64decode(clip["xy"]), np.uint8).reshape(2, clip["t"], 25, 2)
    frames = [round(at) for at in np.linspace(0, keypoint.shape[1] - 1, MOST_FRAMES)]
    x, y = np.moveaxis(-keypoint[:, frames], -1, 0)[:2]
    scale = 254 / max(np.ptp(x), np.ptp(y))
    np.testing.assert_allclose(grid[..., 1] - 254.0, (y - y.max()) * scale, atol=0.51)
    np.testing.assert_allclose(grid[..., 0] - 127.0, (x - (x.max() + x.min()) / 2) * scale,
                               atol=0.51)
    assert clip["t"] * clip["ms"] == pytest.approx(keypoint.shape[1] * 1000 / 30, abs=2)
    children = [child for child, _ in NTU_RGBD.bones]
    assert [NTU_RGBD.sides[child] for child in children] == found["side"]


def test_joints_that_were_not_tracked_are_marked() -> None:
    keypoint = np.random.default_rng(0).normal(size=(3, 5, 25, 3)).astype(np.float32)
    keypoint[0, 2, 7], keypoint[1], keypoint[2, 3, 4] = 0, 0, np.nan
    found = encode(keypoint)
    grid = np.frombuffer(base64.b64decode(found["xy"]), np.uint8).reshape(2, 5, 25, 2)
    assert {tuple(at) for at in np.argwhere((grid == ABSENT).all(axis=-1))} == {
        (0, 2, 7), (1, 3, 4)}
    empty = encode(np.zeros((1, 4, 25, 3), np.float32))
    assert (empty["m"], empty["xy"]) == (0, "")


def test_points_of_the_pictures_know_their_clips(work: Path) -> None:
    found = document(html_of(work))
    names = [found["clips"][at]["id"] for at in found["rows"]]
    assert names == arrays_of(work)[0].sample_id.tolist()
    assert all(len(places) == 2 * len(found["rows"]) for places in found["places"])


def test_too_many_clips_are_left_out_and_counted(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = document(html_of(work))
    room = sum(len(clip["xy"]) for clip in everything["clips"][:20])
    monkeypatch.setattr("zskel.pipeline.report.report.MOST_CHARACTERS", room)
    html = html_of(work)
    few = document(html)
    assert few["clips"] == everything["clips"][:20] and few["first"] == everything["first"]
    assert f"of {len(everything['clips']) - 20} more clips" in html
    assert few["rows"].count(-1) == len(few["rows"]) - 20


def test_without_coordinates_the_page_says_so_in_a_line(
    tmp_path: Path, make_result: Callable[..., Any], make_store: Callable[..., Any]
) -> None:
    write_result(tmp_path, *make_result())
    html = html_of(tmp_path)
    assert "Clips are not shown: the sequence store is not at hand." in html
    assert "clip-data" not in html.split("<script>")[0] and "data-cell=" not in html
    store = make_store(tmp_path, make_result()[1])
    store.path.write_bytes(store.path.read_bytes()[:4000])
    assert "the sequence store cannot be read; `pipeline verify` says why" in html_of(tmp_path)


def test_clips_of_another_class_are_not_taken_for_those_of_the_result(
    tmp_path: Path, make_result: Callable[..., Any], make_store: Callable[..., Any]
) -> None:
    record, arrays = make_result()
    write_result(tmp_path, record, arrays)
    arrays.label[:] = np.roll(arrays.label, 6)
    make_store(tmp_path, arrays)
    assert "Clips are not shown: the sequence store has none of them." in html_of(tmp_path)


def test_records_without_probabilities_take_the_first_of_each_kind(
    tmp_path: Path, make_result: Callable[..., Any], make_store: Callable[..., Any]
) -> None:
    record, arrays = make_result()
    write_result(tmp_path, record, ResultArrays(**{**vars(arrays), "p_u": None}))
    make_store(tmp_path, arrays)
    html = html_of(tmp_path)
    found = document(html)
    assert "these records hold no probabilities" in html
    index = found["unseen"][0]
    right = (arrays.label == index) & (arrays.zsl_prediction == index)
    assert found["clips"][found["first"][0][0]]["id"] == arrays.sample_id[right.argmax()]


def test_class_names_cannot_end_the_script(work: Path) -> None:
    html = html_of(work)
    assert "knock | <door>" in document(html)["names"].values()
    assert "<door>" not in html


def test_a_report_is_stale_once_the_clips_come_or_go(work: Path) -> None:
    paths = write_report([work], work / "report")
    mark(work / "report", [work], [paths.html])
    assert is_current(work / "report", [work])
    (work / "store" / "skeletons.h5").unlink()
    assert not is_current(work / "report", [work])


def test_the_demos_size_fits_a_page() -> None:
    """480 clips, as the demo has, of two bodies each."""
    clip = encode(np.ones((2, 90, 25, 3), np.float32))
    assert 480 * len(clip["xy"]) < clips.MOST_CHARACTERS < 5_000_000 - 1_500_000
