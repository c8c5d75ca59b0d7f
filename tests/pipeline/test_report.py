from __future__ import annotations

import csv
import itertools
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from zskel.data.common.errors import BadInput
from zskel.pipeline.report import embedding
from zskel.pipeline.report.embedding import choose_rows, embed
from zskel.pipeline.report.load import load_runs, summarize
from zskel.pipeline.report.published import columns
from zskel.pipeline.report.report import write_report
from zskel.pipeline.report.summary import Stat, confusion
from zskel.pipeline.report.tables import Column, Link, Table
from zskel.pipeline.steps.results import read_arrays, read_result, write_result

ROOT = Path(__file__).resolve().parents[2]
UNSEEN_55_5 = (10, 11, 19, 26, 56)


class Page(HTMLParser):
    """Everything the tests ask of a page: its elements with their attributes."""

    VOID = frozenset(("meta", "link", "br", "img", "path", "input", "hr"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory, make_result) -> Path:
    folder = tmp_path_factory.mktemp("work")
    for variant, seeds in (("naive", 2), ("fd", 2), ("fd+tc", 3)):
        for seed in range(seeds):
            write_result(folder, *make_result(seed=seed, variant=variant))
    return folder


@pytest.fixture
def cheap_embedding(monkeypatch):
    """t-SNE takes long, and most tests do not look at it."""
    monkeypatch.setattr(embedding, "embed", lambda latent: latent[:, :2])


@pytest.fixture(scope="module")
def report(work_dir):
    return write_report([work_dir], work_dir / "report")


@pytest.fixture(scope="module")
def html(report) -> str:
    return report.html.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def records(work_dir: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((work_dir / "results").glob("*.json"))]


def rows(report, name: str) -> list[dict[str, str]]:
    with open(report.html.parent / "tables" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_lie_where_they_are_promised(work_dir, report):
    assert report.html == work_dir / "report" / "report.html"
    assert report.markdown == work_dir / "report" / "report.md"
    assert sorted(report.tables) == sorted((work_dir / "report" / "tables").glob("*.csv"))
    assert sorted(report.latex) == sorted((work_dir / "report" / "latex").glob("*.tex"))
    assert all(path.stat().st_size for path in (
        report.html, report.markdown, *report.tables, *report.latex))


def test_groups_come_in_the_order_of_the_paper(report):
    assert [row["variant"] for row in rows(report, "results")] == ["naive", "fd", "fd+tc"]


@pytest.mark.parametrize(("table", "fields"), [
    ("results", ("zsl_accuracy", "gzsl_seen_accuracy", "gzsl_unseen_accuracy",
                 "gzsl_harmonic_mean")),
    ("class_averaged", ("zsl_accuracy_class_averaged", "gzsl_seen_accuracy_class_averaged",
                        "gzsl_unseen_accuracy_class_averaged",
                        "gzsl_harmonic_mean_class_averaged", "gzsl_oracle_harmonic_mean")),
])
def test_means_and_deviations_are_those_of_the_records(work_dir, report, table, fields):
    for row in rows(report, table):
        own = [r for r in records(work_dir) if r["variant"] == row["variant"]]
        assert int(row["seeds"]) == len(own) > 1
        for field in fields:
            values = np.array([r["metrics"][field] for r in own])
            assert float(row[f"{field}_mean"]) == pytest.approx(values.mean(), abs=1e-12)
            assert float(row[f"{field}_std"]) == pytest.approx(values.std(ddof=1), abs=1e-12)


def test_chance_is_one_over_the_unseen_classes(report):
    assert {float(row["chance"]) for row in rows(report, "results")} == {1 / 3}


def test_per_class_accuracies_are_those_of_the_records(work_dir, report):
    found = rows(report, "per_class")
    assert len(found) == 3 * 12
    for row in found:
        entries = [entry for record in records(work_dir) if record["variant"] == row["variant"]
                   for entry in record["per_class"] if entry["class"] == row["class"]]
        gzsl = [entry["gzsl_accuracy"] for entry in entries]
        assert float(row["gzsl_accuracy_mean"]) == pytest.approx(np.mean(gzsl), abs=1e-12)
        assert float(row["gzsl_accuracy_std"]) == pytest.approx(np.std(gzsl, ddof=1), abs=1e-12)
        if row["part"] == "unseen":
            zsl = [entry["zsl_accuracy"] for entry in entries]
            assert float(row["zsl_accuracy_mean"]) == pytest.approx(np.mean(zsl), abs=1e-12)
        else:
            assert row["zsl_accuracy_mean"] == row["zsl_accuracy_std"] == ""


def test_every_run_is_listed_and_leads_to_its_record(work_dir, report):
    found = rows(report, "runs")
    assert len(found) == 7
    for row in found:
        record = read_result(report.html.parent / unquote(row["file"]))
        assert (record.variant, str(record.seed)) == (row["variant"], row["seed"])
        assert float(row["zsl_accuracy"]) == record.zsl_accuracy


def test_confusion_counts_every_unseen_clip_of_every_seed(work_dir, report):
    found = [row for row in rows(report, "confusion_zsl") if row["variant"] == "fd+tc"]
    assert len(found) == 9
    assert sum(int(row["clips"]) for row in found) == 3 * 19
    right = sum(int(row["clips"]) for row in found if row["true_class"] == row["predicted_class"])
    accuracy = [r["zsl_accuracy"] for r in records(work_dir) if r["variant"] == "fd+tc"]
    assert right == pytest.approx(19 * sum(accuracy))


def test_gzsl_confusion_puts_all_seen_classes_into_one(work_dir):
    (setting,) = summarize(load_runs([work_dir]))
    group = setting.headline
    counts = confusion(group, setting, "gzsl")
    expected = np.zeros((4, 4), int)
    code = {1: 0, 4: 1, 8: 2}
    for run in group.runs:
        arrays = read_arrays(run.path, run.record)
        for true, guess in zip(arrays.label.tolist(), arrays.gzsl_prediction.tolist()):
            expected[code.get(true, 3), code.get(guess, 3)] += 1
    np.testing.assert_array_equal(counts, expected)


def test_training_table_holds_every_loss_of_every_epoch(work_dir, report):
    found = rows(report, "training")
    assert len(found) == 7 * 2 * 4 * 4
    record = next(r for r in records(work_dir) if (r["variant"], r["seed"]) == ("fd", 1))
    (row,) = [row for row in found if (row["variant"], row["seed"], row["phase"], row["epoch"],
                                       row["loss"]) == ("fd", "1", "calibration", "3", "kl_x")]
    assert float(row["value"]) == record["history"]["calibration"][2]["kl_x"]


def test_the_page_asks_the_network_for_nothing(html, page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "xlink:href", "action", "poster", "data"):
            value = attributes.get(name)
            if value is not None:
                assert not re.match(r"\s*(https?:|//|file:|/)", value), (tag, value)
                assert not value.startswith("data:") or "download" in attributes or tag == "link"
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|<img|<script src", html)
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'")


def test_every_link_leads_somewhere(report, page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        href = link["href"]
        if href.startswith("#"):
            assert href[1:] in ids
        elif href.startswith("data:"):
            assert unquote(href).startswith("data:text/csv;charset=utf-8,")
        else:
            assert (report.html.parent / unquote(href)).is_file(), href
    named = {i for _, attributes in page.elements
             for i in (attributes.get("aria-labelledby") or "").split()}
    assert named <= set(ids)


def test_the_page_is_well_formed_and_has_a_clear_outline(page):
    assert page.unbalanced == [] and page.open == []
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.all("html")[0]["lang"] == "en" and len(page.all("main")) == 1


def test_figures_have_a_text_and_tables_scopes(page, html):
    drawings = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(drawings) >= 2 + 2 + 4
    assert all(svg["role"] == "img" for svg in drawings)
    assert len(re.findall(r"<title id=", html)) == len(drawings)
    assert all(head.get("scope") for head in page.all("th"))
    scrolling = [div for div in page.all("div") if "scroll" in (div.get("class") or "").split()]
    assert scrolling and all(div["tabindex"] == "0" for div in scrolling)


def test_bars_and_dots_stand_where_the_records_put_them(work_dir, html):
    own = [r for r in records(work_dir) if r["variant"] == "fd+tc"]
    wave = np.array([r["per_class"][1]["zsl_accuracy"] for r in own])
    low = max(wave.mean() - wave.std(ddof=1), 0)
    assert f"--v:{wave.mean():.4f};--lo:{low:.4f}" in html
    drawing = html[html.index("ZSL accuracy of every run"):]
    drawing = drawing[: drawing.index("</svg>")]
    dots = re.search(r'class="run s0" d="([^"]*)"', drawing)[1]
    places = [float(x) for x in re.findall(r"M([\d.]+) ", dots)]
    # Two grid lines, at 0 and at 100 percent, give the scale.
    grid = [float(x) for x in re.findall(r'class="grid" d="M([\d.]+) ', drawing)]
    shares = [(x - grid[0]) / (grid[-1] - grid[0]) for x in places]
    assert shares == pytest.approx([r["zsl_accuracy"] for r in own], abs=5e-4)


def test_tables_can_be_sorted_by_full_precision(work_dir, html, page):
    sortable = [t for t in page.all("table") if "sortable" in (t.get("class") or "").split()]
    assert len(sortable) == 4 + 11 + 5
    mean = Stat(tuple(r["zsl_accuracy"] for r in records(work_dir) if r["variant"] == "fd")).mean
    assert f'data-value="{mean!r}"' in html
    assert "aria-sort" in html


def test_the_page_serves_light_and_dark_and_phones(html):
    assert "prefers-color-scheme: dark" in html and "width=device-width" in html


def test_class_names_are_escaped(report, html):
    assert "knock | &lt;door&gt;" in html and "<door>" not in html
    markdown = report.markdown.read_text(encoding="utf-8")
    assert "knock \\| \\<door\\>" in markdown


def test_markdown_tables_have_as_many_cells_as_headings(report):
    blocks = re.split(r"\n\n+", report.markdown.read_text(encoding="utf-8"))
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) == 6 + 11 + 5
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_markdown_shows_mean_and_deviation_in_percent(work_dir, report):
    values = 100 * np.array([r["zsl_accuracy"] for r in records(work_dir)
                             if r["variant"] == "fd+tc"])
    expected = rf"\| \[{values.mean():.2f}\]\(<[^>]*>\) ± {values.std(ddof=1):.2f} \|"
    assert re.search(expected, report.markdown.read_text())


def test_the_same_records_give_the_same_bytes(work_dir, report):
    before = {path: path.read_bytes() for path in (
        report.html, report.markdown, *report.tables, *report.latex)}
    again = write_report([work_dir, work_dir], work_dir / "report")
    assert again == report
    assert {path: path.read_bytes() for path in before} == before


def test_provenance_names_what_the_numbers_rest_on(report):
    fields = {row["field"]: row["value"] for row in rows(report, "provenance")}
    assert fields["Unseen classes"] == "wave, draw circle, sit to stand"
    assert fields["Backbone accuracy"].startswith("83.00 %")
    assert "temperature = 2, top_k = 3" in fields["Gate"]
    assert fields["Seeds, FD"] == "0, 1" and fields["Seeds, FD + TC"] == "0, 1, 2"
    assert len(fields["Config digest"]) == len("sha256 ") + 64


def test_notices_on_the_skeletons_stand_on_the_page(tmp_path, make_result, cheap_embedding):
    record, arrays = make_result()
    said = "bodies measure 1854 from end to end & more: looks like millimetres"
    backbone = record.backbone.model_copy(update={
        "notices": [{"code": "millimetres", "text": said}]})
    path = write_result(tmp_path, record.model_copy(update={"backbone": backbone}), arrays)
    assert read_result(path).backbone.notices == [{"code": "millimetres", "text": said}]
    made = write_report([tmp_path], tmp_path / "report")
    shown = f"Notice on the skeletons: {said}."
    assert shown.replace("&", "&amp;") in made.html.read_text(encoding="utf-8")
    assert shown in made.markdown.read_text(encoding="utf-8")
    fields = {row["field"]: row["value"] for row in rows(made, "provenance")}
    assert fields["Notices on the skeletons"] == said


def test_provenance_names_the_texts_that_were_cut(tmp_path, make_result, cheap_embedding):
    record, arrays = make_result()
    text = record.text.model_copy(update={"cut_classes": ["wave", "kick"]})
    write_result(tmp_path, record.model_copy(update={"text": text}), arrays)
    made = write_report([tmp_path], tmp_path / "report")
    fields = {row["field"]: row["value"] for row in rows(made, "provenance")}
    assert fields["Texts that the encoder cut"] == "wave, kick"


def test_a_single_seed_has_no_deviation(tmp_path, make_result, cheap_embedding):
    write_result(tmp_path, *make_result())
    made = write_report([tmp_path], tmp_path / "report")
    (row,) = rows(made, "results")
    assert row["seeds"] == "1" and row["zsl_accuracy_std"] == ""
    assert "A single seed has no standard deviation" in made.html.read_text(encoding="utf-8")


def test_a_record_without_arrays_is_reported_without_latent_figures(tmp_path, make_result):
    write_result(tmp_path, *make_result()).with_suffix(".npz").unlink()
    made = write_report([tmp_path], tmp_path / "report")
    text = made.html.read_text(encoding="utf-8")
    assert "Not drawn" in text and "t-SNE of" not in text
    assert rows(made, "confusion_zsl") == []


def test_naive_alignment_alone_has_one_latent_panel(tmp_path, make_result, cheap_embedding):
    write_result(tmp_path, *make_result(variant="naive"))
    text = write_report([tmp_path], tmp_path / "report").html.read_text(encoding="utf-8")
    assert "t-SNE of z_r" in text and "t-SNE of z_v" not in text
    assert "naive alignment has no z_v" in text


@pytest.mark.parametrize("make", [lambda path: None, lambda path: (path / "results").mkdir()])
def test_a_work_directory_without_results_is_refused(tmp_path, make):
    make(tmp_path)
    with pytest.raises(BadInput, match="pipeline fit"):
        write_report([tmp_path], tmp_path / "report")
    with pytest.raises(BadInput, match="no such work directory"):
        write_report([tmp_path / "none"], tmp_path / "none" / "report")


def test_the_same_run_twice_is_refused_rather_than_averaged(tmp_path, make_result):
    for name in "ab":
        write_result(tmp_path / name, *make_result())
    with pytest.raises(BadInput, match="the same method, variant"):
        write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "out")


def test_records_of_other_classes_under_the_same_split_are_refused(tmp_path, make_result):
    write_result(tmp_path, *make_result(seed=0))
    write_result(tmp_path, *make_result(seed=1, unseen=(1, 4, 9)))
    with pytest.raises(BadInput, match="other classes"):
        write_report([tmp_path], tmp_path / "report")


def test_several_work_directories_make_one_report(
    tmp_path, work_dir, make_result, cheap_embedding
):
    names = tuple(f"class {i}" for i in range(60))
    other = tmp_path / "with space"
    for seed in range(2):
        write_result(other, *make_result(
            seed=seed, experiment="ntu60-55-5", dataset="ntu60", split="synse-55-5",
            classes=names, unseen=UNSEEN_55_5, clips=2))
    made = write_report([work_dir, other], tmp_path / "out")
    assert {row["experiment"] for row in rows(made, "results")} == {"demo", "ntu60-55-5"}
    for link in Page(made.html.read_text(encoding="utf-8")).all("a"):
        if not link["href"].startswith(("#", "data:")):
            assert " " not in link["href"]
            assert (tmp_path / "out" / unquote(link["href"])).is_file()

    ours = [row for row in rows(made, "published_table_3") if row["source"] == "ntu60-55-5"]
    mean = np.mean([r["zsl_accuracy"] for r in records(other)])
    assert len(ours) == 1
    assert float(ours[0]["ntu60_55_5_zsl_accuracy_mean"]) == pytest.approx(mean)
    assert ours[0]["ntu60_48_12_zsl_accuracy_mean"] == ""


def test_ours_stay_away_from_published_figures_of_other_splits(report, html):
    assert {row["source"] for row in rows(report, "published_table_3")} == {"published"}
    assert "none stand beside them" in html


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, 0), ({"dataset": "ntu120"}, None), ({"unseen": (10, 11, 19, 26, 55)}, None),
    ({"sample_protocol": "cross-view"}, None), ({"split": "any name"}, 0),
])
def test_the_classes_decide_whether_a_split_matches(tmp_path, make_result, changes, expected):
    names = tuple(f"class {i}" for i in range(60))
    write_result(tmp_path, *make_result(
        **{"dataset": "ntu60", "classes": names, "unseen": UNSEEN_55_5, "clips": 1, **changes}))
    (setting,) = summarize(load_runs([tmp_path]))
    assert columns()["ntu60_55_5"].position(setting) == expected


def test_choice_of_rows_is_fixed_and_keeps_both_kinds():
    unseen = np.zeros(5000, bool)
    unseen[::10] = True
    chosen = choose_rows(unseen, 1000)
    np.testing.assert_array_equal(chosen, choose_rows(unseen, 1000))
    assert len(chosen) == len(set(chosen.tolist())) == 1000
    assert unseen[chosen].sum() == 500
    assert (~unseen)[choose_rows(~unseen, 1000)].sum() == 600
    np.testing.assert_array_equal(choose_rows(unseen[:7], 10), np.arange(7))


def test_the_embedding_keeps_far_clusters_apart():
    random = np.random.default_rng(0)
    label = np.repeat([0, 1], 30)
    latent = random.normal(size=(60, 5)) + 40 * label[:, None]
    points = embed(latent)
    np.testing.assert_array_equal(points, embed(latent))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (label[distance.argmin(axis=1)] == label).all()


def test_rows_that_are_all_the_same_are_drawn_as_one_point():
    np.testing.assert_array_equal(embed(np.full((40, 5), 3.0)), np.zeros((40, 2)))


def test_a_table_writes_absent_numbers_as_empty_cells():
    table = Table("t", "A caption.", [Column("name", "Name"), Column("rate", "Rate", "stat"),
                                      Column("file", "File", "link")],
                  [{"name": "a, b", "rate": Stat((0.25, 0.75)), "file": Link("x", "../x y.json")},
                   {"name": "c", "rate": None, "file": None}])
    assert table.to_csv() == (
        'name,rate_mean,rate_std,file\n"a, b",0.5,0.3535533905932738,../x y.json\nc,,,\n')
    assert table.to_markdown().splitlines()[2:] == [
        "| Name | Rate | File |", "| --- | ---: | --- |",
        "| a, b | 50.00 ± 35.36 | [x](<../x y.json>) |", "| c | – | – |"]


def test_importing_the_report_loads_nothing_heavy():
    code = ("import sys, zskel.pipeline.report; "
            "print([m for m in ('torch', 'torchvision', 'mmaction', 'mmengine', 'matplotlib', "
            "'sklearn', 'jinja2') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=True)
    assert done.stdout.strip() == "[]"
