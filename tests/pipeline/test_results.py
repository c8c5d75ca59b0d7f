from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from zskel.data.common.errors import BadInput
from zskel.pipeline.steps.result_record import ResultRecord, slugify
from zskel.pipeline.steps.results import (
    ResultArrays,
    find_results,
    read_arrays,
    read_result,
    write_result,
)

TOP_LEVEL = ("method", "variant", "protocol", "split", "seed", "zsl_accuracy",
             "gzsl_seen_accuracy", "gzsl_unseen_accuracy", "gzsl_harmonic_mean")


def edit(path: Path, **changes: object) -> None:
    value = json.loads(path.read_text())
    for field, change in changes.items():
        if change is KeyError:
            del value[field]
        else:
            value[field] = change
    path.write_text(json.dumps(value))


@pytest.fixture
def written(tmp_path, make_result) -> Path:
    return write_result(tmp_path, *make_result(seed=3))


def test_a_written_result_reads_back_equal(tmp_path, make_result):
    record, arrays = make_result(seed=3)
    path = write_result(tmp_path, record, arrays)
    assert path == tmp_path / "results" / "sa_dvae-fd-tc-strict-9-3-seed3.json"
    again = read_result(path)
    assert again == record.model_copy(update={"arrays": path.with_suffix(".npz").name})
    loaded = read_arrays(path, again)
    for field in dataclasses.fields(ResultArrays):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(arrays, field.name))


def test_the_file_holds_the_promised_keys_at_the_top_level(written):
    value = json.loads(written.read_text())
    assert set(TOP_LEVEL) <= set(value)
    assert value["variant"] == "fd+tc" and value["seed"] == 3
    assert {"class", "index", "unseen", "count", "zsl_accuracy", "gzsl_accuracy"} == set(
        value["per_class"][0])


def test_the_same_result_gives_the_same_bytes(tmp_path, make_result):
    paths = [write_result(tmp_path / name, *make_result()) for name in "ab"]
    for suffix in (".json", ".npz"):
        first, second = (path.with_suffix(suffix).read_bytes() for path in paths)
        assert first == second


def test_nothing_but_the_two_files_is_left(written):
    assert sorted(p.suffix for p in written.parent.iterdir()) == [".json", ".npz"]
    assert find_results(written.parent.parent) == [written]


def test_an_interrupted_write_leaves_no_record_of_older_arrays(tmp_path, make_result, monkeypatch):
    record, arrays = make_result()
    path = write_result(tmp_path, record, arrays)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zskel.pipeline.steps.results.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        write_result(tmp_path, record, arrays)
    assert not path.exists() and path.with_suffix(".npz").exists()


def test_a_record_without_its_arrays_stays_readable(written):
    written.with_suffix(".npz").unlink()
    assert read_arrays(written, read_result(written)) is None


@pytest.mark.parametrize(("changes", "named"), [
    ({"zsl_accuracy": KeyError}, "'zsl_accuracy' is missing"),
    ({"zsl_accuracy": 62.3}, "'zsl_accuracy' is 62.3"),
    ({"zsl_accuracy": "high"}, "'zsl_accuracy' is 'high'"),
    ({"seed": -1}, "'seed' is -1"),
    ({"surprise": 1}, "'surprise' is unknown"),
    ({"gzsl_harmonic_mean": 0.9999}, "gzsl_harmonic_mean is 0.9999"),
    ({"config_digest": "abc"}, "'config_digest' is 'abc'"),
    ({"format": "report"}, "'format' is 'report'"),
    ({"format_version": 2}, "'format_version' is 2"),
    ({"unseen_classes": ["wave"]}, "per_class"),
    ({"validation_unseen_classes": ["wave"]}, "validation_unseen_classes holds 'wave'"),
    ({"arrays": "../x.npz"}, "'arrays' is '../x.npz'"),
    ({"backbone": {"name": "stgcn", "weights_sha256": ""}},
     "'backbone.seen_test_accuracy' is missing"),
])
def test_a_wrong_field_is_named_in_one_line(written, changes, named):
    edit(written, **changes)
    with pytest.raises(BadInput) as caught:
        read_result(written)
    message = str(caught.value)
    assert message.startswith(f"{written}: ") and named in message and "\n" not in message


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"metrics": 1}', "\xff\xfe"])
def test_a_foreign_or_broken_file_is_refused(tmp_path, content):
    path = tmp_path / "foreign.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInput, match=re.escape(str(path))):
        read_result(path)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        read_result(tmp_path / "none.json")


@pytest.mark.parametrize(("name", "change", "named"), [
    ("label", lambda a: a[:-1], "label has"),
    ("z_r", lambda a: a[:, 0], "z_r is float32 with 1 dimensions"),
    ("p_seen", lambda a: a.astype(int), "p_seen is int64"),
    ("zsl_prediction", lambda a: np.zeros_like(a), "-1 exactly"),
    ("zsl_prediction", lambda a: np.where(a == -1, -1, 0), "not unseen"),
    ("zsl_prediction", lambda a: np.where(a == -1, -1, 4), "give zsl_accuracy"),
    ("gzsl_prediction", lambda a: a * 0 + 1, "give gzsl_unseen_accuracy"),
    ("gzsl_prediction", lambda a: a + 99, "per_class lacks"),
    ("p_u", lambda a: a[:, 1:], "a column for each unseen class"),
])
def test_arrays_that_contradict_the_record_are_not_written(
    tmp_path, make_result, name, change, named
):
    record, arrays = make_result()
    wrong = dataclasses.replace(arrays, **{name: change(getattr(arrays, name))})
    with pytest.raises(BadInput, match=named):
        write_result(tmp_path, record, wrong)
    assert not list(tmp_path.rglob("*.json")) and not list(tmp_path.rglob("*.npz"))


def test_damaged_and_pickled_arrays_are_refused(written):
    record = read_result(written)
    npz = written.with_suffix(".npz")
    whole = npz.read_bytes()
    npz.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="not a readable .npz"):
        read_arrays(written, record)
    with np.load(io.BytesIO(whole)) as file:
        arrays = dict(file)
    np.savez(npz, **{**arrays, "sample_id": arrays["sample_id"].astype(object)})
    with pytest.raises(BadInput, match="not a readable .npz"):
        read_arrays(written, record)
    del arrays["p_seen"]
    np.savez(npz, **arrays)
    with pytest.raises(BadInput, match="'p_seen' is missing"):
        read_arrays(written, record)


def test_classes_without_clips_have_no_accuracy(make_result):
    record, _ = make_result()
    value = record.model_dump(by_alias=True)
    empty = value["per_class"][1]
    value["counts"]["test_unseen"] -= empty["count"]
    empty.update(count=0, zsl_accuracy=None, gzsl_accuracy=None)
    assert ResultRecord.model_validate(value).per_class[1].count == 0
    empty["gzsl_accuracy"] = 0.0
    with pytest.raises(ValueError, match="without clips"):
        ResultRecord.model_validate(value)


@pytest.mark.parametrize(("text", "slug"), [
    ("naive", "naive"), ("FD+TC", "fd-tc"), ("../55/5", "55-5"), ("é", "none"), ("a.b", "a-b"),
])
def test_slugs_are_safe_file_names(text, slug):
    assert slugify(text) == slug
