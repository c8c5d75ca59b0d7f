"""Whether the rows of a table may be compared, and what is said where they may not."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from zskel.data.common.files import digest_file
from zskel.pipeline.base.config import load_method_and_gate
from zskel.pipeline.report import embedding
from zskel.pipeline.report.labels import RECOMMENDED
from zskel.pipeline.report.load import load_runs, summarize
from zskel.pipeline.report.remarks import remarks, stale
from zskel.pipeline.report.report import write_report
from zskel.pipeline.report.summary import Setting
from zskel.pipeline.report.tables import Column, Table
from zskel.pipeline.steps.results import write_result

OTHER_TEXTS = "The rows do not read the same texts; each row says which."
OTHER_FEATURES = "The rows do not read the same skeleton features; each row says which."


def digests(skeleton: str = "1", text: str = "2", **others: str) -> dict[str, object]:
    return {"skeleton_test": skeleton * 64, "skeleton_calibration": "3" * 64, "text": text * 64,
            "others": {name: digit * 64 for name, digit in others.items()}}


def text(source: str) -> dict[str, str]:
    return {"encoder": "minilm", "encoder_revision": "", "text_source": source}


def only(folder: Path) -> Setting:
    (setting,) = summarize(load_runs([folder]))
    return setting


def test_rows_of_other_texts_say_so(tmp_path: Path, make_result) -> None:
    for method, source, digit in (("ridge", "template", "4"), ("sa_dvae", "label", "2")):
        write_result(tmp_path, *make_result(
            method=method, text=text(source), cache_digests=digests(text=digit)))
    setting = only(tmp_path)
    assert [group.label for group in setting.groups] == [
        "Ridge regression, FD + TC, text = template", "SA-DVAE, FD + TC, text = label"]
    assert OTHER_TEXTS in remarks(setting) and OTHER_FEATURES not in remarks(setting)


def test_rows_of_other_features_say_so_by_digest_where_no_name_tells(
    tmp_path: Path, make_result
) -> None:
    for method, digit in (("ridge", "4"), ("sa_dvae", "1")):
        write_result(tmp_path, *make_result(method=method, cache_digests=digests(digit)))
    setting = only(tmp_path)
    assert all("features digest = " in group.distinction for group in setting.groups)
    assert len({group.distinction for group in setting.groups}) == 2
    assert OTHER_FEATURES in remarks(setting) and OTHER_TEXTS not in remarks(setting)


@pytest.mark.parametrize("changes", [
    {"text": text("verb + noun"), "cache_digests": digests(text="4", text_noun="5")},
    {"config": {"features": "f_x_aligned"}, "cache_digests": digests("4"), "variant": "fd"},
])
def test_what_the_method_or_the_config_asks_for_is_no_fault(
    tmp_path: Path, make_result, changes
) -> None:
    write_result(tmp_path, *make_result(cache_digests=digests()))
    write_result(tmp_path, *make_result(**{"method": "synse", **changes}))
    setting = only(tmp_path)
    assert {group.distinction for group in setting.groups} == {""}
    assert not {OTHER_TEXTS, OTHER_FEATURES} & set(remarks(setting))


def test_rows_whose_caches_changed_since_are_named(tmp_path: Path, make_result) -> None:
    features = tmp_path / "features"
    features.mkdir()
    for name in ("skeleton_test", "skeleton_calibration", "text", "skeleton_test_joint_means"):
        (features / f"{name}.h5").write_bytes(name.encode())
    now = {name: digest_file(features / f"{name}.h5")
           for name in ("skeleton_test", "skeleton_calibration", "text")}
    write_result(tmp_path, *make_result(cache_digests=now))
    assert stale(only(tmp_path)) == []
    write_result(tmp_path, *make_result(method="ridge", cache_digests={**now, "text": "0" * 64}))
    (said,) = stale(only(tmp_path))
    assert "changed since (text): Ridge regression, FD + TC, text digest = 00000000." in said
    for path in features.iterdir():
        path.unlink()
    assert stale(only(tmp_path)) == []


def gate(key: str = "", name: str = "domain_classifier") -> dict[str, object]:
    return {"gate_key": key, "gate": {"name": key or name}}


@pytest.fixture
def recommended(tmp_path: Path, make_result, monkeypatch) -> Path:
    """Text prototypes with three gates, SA-DVAE with its own, under two protocols."""
    monkeypatch.setattr(embedding, "embed", lambda latent: latent[:, :2])
    for protocol in ("strict", "transductive:prototype_votes"):
        for key in ("", "hard", "left_out_classes"):
            write_result(tmp_path, *make_result(
                method="text_prototypes", protocol=protocol, **gate(key)))
        write_result(tmp_path, *make_result(protocol=protocol, **gate()))
    return tmp_path


def test_the_recommended_pair_is_that_of_its_config() -> None:
    method, named = load_method_and_gate("recommended", "utd-mhad")
    assert named is not None and (method.name, named.name) == RECOMMENDED


def test_the_recommended_pair_has_a_row_and_rows_name_their_gates(recommended: Path) -> None:
    made = write_report([recommended], recommended / "report")
    (setting, _) = summarize(load_runs([recommended]))
    assert [setting.short(group) for group in setting.groups] == [
        "Text prototypes, FD + TC, C_d, soft mixture", "Text prototypes, FD + TC, left-out classes",
        "SA-DVAE, FD + TC"]
    with open(made.html.parent / "tables" / "results.csv", encoding="utf-8") as file:
        rows = [(row["protocol"], row["method"], row["gate"]) for row in csv.DictReader(file)]
    assert rows[:3] == [("strict", "text_prototypes", "C_d, soft mixture"),
                        ("strict", "text_prototypes", "left-out classes"),
                        ("strict", "sa_dvae", "C_d, soft mixture")]
    html = made.html.read_text(encoding="utf-8")
    assert "SA-DVAE, FD + TC, gate: C_d, soft mixture; mean" in html
    assert "| Method | Gate | Seeds | ZSL: Accuracy |" in made.markdown.read_text(encoding="utf-8")


def test_the_overview_shows_short_protocols_and_explains_them_once(recommended: Path) -> None:
    html = write_report([recommended], recommended / "report").html.read_text(encoding="utf-8")
    overview = html[html.index('id="overview-h"'):]
    overview = overview[:overview.index("</table>")]
    heads = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)</th>", overview)
    assert heads[:4] == ["Protocol", "Method", "Gate", "Seeds"]  # experiment and split are one
    assert ">transductive: prototype_votes</th>" in overview
    assert overview.count("all unlabelled test clips looked at together") == 1


def test_a_caption_says_what_all_rows_share() -> None:
    columns = [Column("a", "A", context=True), Column("b", "B", context=True),
               Column("c", "C", context=True),
               Column("name", "Name"), Column("gate", "Gate", shared="Gate: {}.")]
    rows = [{"a": each, "b": each, "c": "same", "name": "x", "gate": "mine"} for each in "pq"]
    table = Table("t", "Caption.", columns, rows)
    assert (table.condensed().caption, [c.key for c in table.condensed().columns]) == (
        "Caption. Gate: mine.", ["name"])
    assert [c.key for c in table.condensed(["b", "c"]).columns] == ["b", "name"]
    rows[1]["gate"] = "another"
    assert [c.key for c in table.condensed().columns] == ["name", "gate"]
    assert Table("t", "Caption.", columns).condensed().caption == "Caption."


def test_numbers_that_bound_nothing_are_marked(recommended: Path) -> None:
    markdown = write_report([recommended], recommended / "report").markdown.read_text("utf-8")
    strict, transductive = markdown.split("protocol transductive:prototype_votes", 1)
    said = "So H can be above that of the oracle gate"
    assert said not in strict and transductive.count(said) == 2
    row = next(line for line in transductive.splitlines() if "SA-DVAE" in line and "*" in line)
    assert row.count("\\*") == 1  # the oracle's H of the class-averaged table
