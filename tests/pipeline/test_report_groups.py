"""What may be averaged, compared and drawn together, and what is said of it."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import h5py
import numpy as np
import pytest

from zskel.data.common.files import digest_file
from zskel.pipeline.report import embedding
from zskel.pipeline.report.caches import skeleton_features
from zskel.pipeline.report.curves import families
from zskel.pipeline.report.embedding import embed_setting
from zskel.pipeline.report.gates import operating_point, oracle_point, weighted
from zskel.pipeline.report.latex import escape, to_latex
from zskel.pipeline.report.load import load_runs, summarize
from zskel.pipeline.report.paired import BETTER, WORSE, differences
from zskel.pipeline.report.report import write_report
from zskel.pipeline.report.summary import Stat
from zskel.pipeline.report.tables import Average, Column, Printed, Table
from zskel.pipeline.steps.results import write_result

CURVE = [(0.9, 0.0), (0.8, 0.3), (0.5, 0.5), (0.0, 0.6)]
ROC = [(0.0, 0.0), (0.1, 0.7), (1.0, 1.0)]


def with_gate(key: str = "", **changes):
    return {"gate_key": key, "gate": {"name": key or "domain_classifier"}, "gzsl_ausuc": 0.41,
            "domain_auc": 0.8, "seen_unseen_curve": CURVE, "domain_roc": ROC, **changes}


def betas(beta_x: float, beta_y: float, digest: str):
    return {"config_digest": digest * 64, "config": {
        "method": {"name": "sa_dvae", "options": {"beta_x": beta_x, "beta_y": beta_y}},
        "gate": {"name": "domain_classifier"}}}


@pytest.fixture
def cheap_embedding(monkeypatch):
    monkeypatch.setattr(embedding, "embed", lambda latent: latent[:, :2])


@pytest.fixture
def several(tmp_path, make_result, cheap_embedding) -> Path:
    """Naive, FD and FD + TC and a baseline, three seeds each, FD + TC with two gates."""
    for seed in range(3):
        for variant in ("naive", "fd", "fd+tc"):
            write_result(tmp_path, *make_result(seed=seed, variant=variant, **with_gate()))
        write_result(tmp_path, *make_result(seed=seed, **with_gate("hard", domain_auc=0.6)))
        write_result(tmp_path, *make_result(seed=seed, variant="fd", **with_gate(
            method="smie")))
    return tmp_path


def rows(made, name: str) -> list[dict[str, str]]:
    with open(made.html.parent / "tables" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_baselines_come_first_and_the_full_method_last(several):
    (setting,) = summarize(load_runs([several]))
    assert [(g.method, g.variant) for g in setting.groups] == [
        ("smie", "fd"), ("sa_dvae", "naive"), ("sa_dvae", "fd"), ("sa_dvae", "fd+tc")]
    assert setting.headline.label == "SA-DVAE, FD + TC"
    assert [g.gate_key for g in setting.gated] == ["", "", "", "", "hard"]
    assert [g.variant for g in setting.compared] == ["naive", "fd", "fd+tc"]


def test_the_strict_protocol_comes_before_one_that_used_test_data(tmp_path, make_result):
    for protocol in ("released", "strict"):
        write_result(tmp_path, *make_result(protocol=protocol))
    assert [s.protocol for s in summarize(load_runs([tmp_path]))] == ["strict", "released"]


def test_other_gates_stand_in_their_own_table_only(several):
    made = write_report([several], several / "report")
    assert len(rows(made, "results")) == len(rows(made, "class_averaged")) == 4
    gates = rows(made, "gates")
    assert [(row["label"], row["gate"]) for row in gates[-2:]] == [
        ("SA-DVAE, FD + TC", "C_d, soft mixture"), ("SA-DVAE, FD + TC", "C_d, hard threshold")]
    assert float(gates[-1]["domain_auc_mean"]) == pytest.approx(0.6)
    assert float(gates[-2]["gzsl_ausuc_mean"]) == pytest.approx(0.41)
    assert len(rows(made, "runs")) == 15


def test_a_fit_without_its_own_gate_is_shown_with_the_one_it_has(tmp_path, make_result):
    write_result(tmp_path, *make_result(**with_gate("hard")))
    (setting,) = summarize(load_runs([tmp_path]))
    assert [g.gate_key for g in setting.groups] == ["hard"]


def test_configurations_are_never_averaged_but_told_apart(tmp_path, make_result):
    for seed in range(2):
        write_result(tmp_path / "a", *make_result(seed=seed, **betas(0.023, 0.011, "a")))
        write_result(tmp_path / "b", *make_result(seed=seed, **betas(0.1, 0.011, "b")))
    (setting,) = summarize(load_runs([tmp_path / "a", tmp_path / "b"]))
    assert [g.distinction for g in setting.groups] == ["beta_x = 0.1", "beta_x = 0.023"]
    assert [g.seeds for g in setting.groups] == [(0, 1), (0, 1)]
    assert setting.headline.distinction == "beta_x = 0.023"
    assert len(setting.compared) == 1


def test_gates_of_one_fit_are_told_from_those_of_another(tmp_path, make_result):
    for place, value, digit in (("a", 0.023, "1"), ("b", 0.1, "2")):
        for key in ("", "hard"):
            if (place, key) != ("b", "hard"):
                changes = betas(value, 0.011, digit)
                changes["config"]["gate"] = {"name": key or "domain_classifier"}
                changes["config_digest"] = (digit + (key or "0")[0].replace("h", "f")) * 32
                write_result(tmp_path / place, *make_result(**with_gate(key, **changes)))
    (setting,) = summarize(load_runs([tmp_path / "a", tmp_path / "b"]))
    assert [(g.distinction, g.gate_key) for g in setting.gated] == [
        ("beta_x = 0.1", ""), ("beta_x = 0.023", ""), ("beta_x = 0.023", "hard")]
    assert [[g.gate_key for g in family] for family in families(setting)] == [[""], ["", "hard"]]


def test_own_gates_of_other_options_are_told_apart(tmp_path, make_result):
    for place, top in (("a", 3), ("b", 5)):
        write_result(tmp_path / place, *make_result(**with_gate(
            config={"gate": {"name": "mine", "options": {"top": top}}},
            config_digest=str(top) * 64)))
    (setting,) = summarize(load_runs([tmp_path / "a", tmp_path / "b"]))
    assert {g.distinction for g in setting.groups} == {
        "gate.options.top = 3", "gate.options.top = 5"}


def test_unnamed_differences_are_told_apart_by_digest(tmp_path, make_result):
    write_result(tmp_path, *make_result(seed=0))
    write_result(tmp_path, *make_result(seed=1, config_digest="0" * 64))
    (setting,) = summarize(load_runs([tmp_path]))
    assert sorted(len(g.runs) for g in setting.groups) == [1, 1]
    assert "config digest = 00000000" in {g.distinction for g in setting.groups}


def test_other_caches_make_another_group(tmp_path, make_result):
    for place, digest in (("a", "1"), ("b", "2")):
        write_result(tmp_path / place, *make_result(cache_digests=dict.fromkeys(
            ("skeleton_test", "skeleton_calibration", "text"), digest * 64)))
    (setting,) = summarize(load_runs([tmp_path / "a", tmp_path / "b"]))
    assert len(setting.groups) == 2
    assert all("features digest" in g.distinction and "text digest" in g.distinction
               for g in setting.groups)


def test_single_result_files_can_be_reported(tmp_path, make_result, cheap_embedding):
    paths = [write_result(tmp_path / "a", *make_result(seed=seed)) for seed in range(3)]
    made = write_report(paths[:2], tmp_path / "out")
    assert [row["seed"] for row in rows(made, "runs")] == ["0", "1"]


def test_paired_differences_are_students(several):
    from scipy import stats

    (setting,) = summarize(load_runs([several]))
    found = differences(setting)
    assert {(d.group.label, d.metric) for d in found} == {
        (label, metric) for label in ("SMIE, FD", "SA-DVAE, naive alignment", "SA-DVAE, FD")
        for metric in ("zsl_accuracy", "gzsl_harmonic_mean")}
    head = setting.headline.stat("zsl_accuracy").values
    for difference in found:
        if difference.metric != "zsl_accuracy":
            continue
        own = difference.group.stat("zsl_accuracy").values
        interval = stats.ttest_rel(own, head).confidence_interval(0.95)
        assert difference.comparison.interval.low == pytest.approx(interval.low)
        assert difference.comparison.interval.high == pytest.approx(interval.high)
        assert difference.mark == (BETTER if interval.low > 0 else WORSE if interval.high < 0
                                   else "")


def test_marks_stand_behind_what_they_speak_of(tmp_path, make_result, cheap_embedding):
    for seed in range(4):
        low, arrays = make_result(seed=seed, variant="naive")
        write_result(tmp_path, low, arrays)
        write_result(tmp_path, *make_result(seed=seed))
    made = write_report([tmp_path], tmp_path / "report")
    (setting,) = summarize(load_runs([tmp_path]))
    expected = {d.metric: d.mark for d in differences(setting)}
    assert WORSE in expected.values()
    for metric in ("zsl_accuracy", "gzsl_harmonic_mean"):
        mean = setting.groups[0].stat(metric).mean
        cell = re.search(rf'data-value="{mean!r}">(.*?)</td>', made.html.read_text())[1]
        assert (f'<span class="sign">{WORSE}</span>' in cell) == (expected[metric] == WORSE)
    table = {row["metric"]: row for row in rows(made, "paired")}
    ours, theirs = (g.stat("zsl_accuracy").values for g in setting.groups)
    assert float(table["ZSL"]["difference"]) == pytest.approx(np.mean(np.subtract(ours, theirs)))


def test_groups_with_other_seeds_are_not_compared(tmp_path, make_result, cheap_embedding):
    for seed in range(3):
        write_result(tmp_path, *make_result(seed=seed))
        write_result(tmp_path, *make_result(seed=seed + 1, variant="fd"))
    (setting,) = summarize(load_runs([tmp_path]))
    assert differences(setting) == []
    text = write_report([tmp_path], tmp_path / "report").html.read_text(encoding="utf-8")
    assert BETTER not in text and WORSE not in text


def test_oracle_and_operating_points_are_those_of_the_record(several):
    record = summarize(load_runs([several]))[0].headline.first
    assert oracle_point(record) == (0.9, 0.6)
    assert operating_point(record) == (record.gzsl_seen_accuracy, record.gzsl_unseen_accuracy)
    made = write_report([several], several / "report")
    points = [row for row in rows(made, "seen_unseen_curves")
              if (row["label"], row["gate_key"], row["seed"]) == ("SA-DVAE, FD", "", "1")]
    assert [(float(r["seen"]), float(r["unseen"])) for r in points
            if r["point"] == "curve"] == CURVE
    assert [r["point"] for r in points] == ["curve"] * 4 + ["operating", "oracle"]
    roc = [row for row in rows(made, "gate_roc")
           if (row["label"], row["seed"]) == ("SMIE, FD", "2")]
    assert [(float(r["fpr"]), float(r["tpr"])) for r in roc] == ROC


def test_curves_are_drawn_where_the_numbers_are(several):
    html = write_report([several], several / "report").html.read_text(encoding="utf-8")
    drawing = html[html.index("Seen-unseen curve, SMIE"):]
    drawing = drawing[:drawing.index("</svg>")]
    line = re.search(r'class="line c0" d="M([^"]*)"', drawing)[1]
    points = np.array([[float(v) for v in point.split()] for point in line.split("L")])
    corners = re.findall(r'class="grid" d="M([\d.]+) ([\d.]+)L([\d.]+) ', drawing)
    left, right = float(corners[0][0]), float(corners[0][2])
    low, high = float(corners[0][1]), float(corners[-1][1])
    expected = [[left + x * (right - left), low + y * (high - low)] for x, y in CURVE]
    np.testing.assert_allclose(points, expected, atol=0.06)
    assert html.count("Seen-unseen curve,") == 4
    assert html.count("ROC of the decision for seen,") == 4


def test_sensitivity_is_shown_only_where_several_weights_were_run(
    tmp_path, make_result, cheap_embedding
):
    write_result(tmp_path / "a", *make_result(**betas(0.023, 0.011, "a")))
    made = write_report([tmp_path / "a"], tmp_path / "a" / "report")
    assert "Sensitivity to" not in made.html.read_text()
    write_result(tmp_path / "b", *make_result(**betas(0.1, 0.05, "b")))
    made = write_report([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert [(row["beta_x"], row["beta_y"]) for row in rows(made, "sensitivity")] == [
        ("0.023", "0.011"), ("0.1", "0.05")]
    html = made.html.read_text(encoding="utf-8")
    assert "ZSL accuracy by weight: β_x 0.023, β_y 0.011" in html
    assert weighted(summarize(load_runs([tmp_path / "a"]))[0]) == []


@pytest.fixture
def with_features(tmp_path, make_result):
    """Results of naive and FD + TC beside the features they were made from."""
    _, arrays = make_result()
    path = tmp_path / "features" / "skeleton_test.h5"
    path.parent.mkdir()
    order = np.random.default_rng(0).permutation(len(arrays.label))
    f_x = np.random.default_rng(1).normal(size=(len(order), 4)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["sample_id"] = [str(v) for v in arrays.sample_id[order]]
        file["f_x"] = f_x[order]
        file.attrs["preprocessing"] = "{}"
    digests = {"skeleton_test": digest_file(path), "skeleton_calibration": "0" * 64,
               "text": "0" * 64}
    for variant in ("naive", "fd+tc"):
        write_result(tmp_path, *make_result(variant=variant, cache_digests=digests))
    return tmp_path, f_x, arrays.sample_id


def test_every_picture_shows_the_same_clips(with_features, monkeypatch):
    folder, f_x, sample_id = with_features
    (setting,) = summarize(load_runs([folder]))
    monkeypatch.setattr(embedding, "MAX_ROWS", 40)
    seen = []
    monkeypatch.setattr(embedding, "embed", lambda values: seen.append(values) or values[:, :2])
    found = embed_setting(setting)
    assert [(p.group.variant, p.space) for p in found.pictures] == [
        ("fd+tc", "z_r"), ("fd+tc", "z_v"), ("fd+tc", "f_x"), ("naive", "z_r")]
    assert found.missing == () and len(found.sample_id) == 40 and found.total == len(sample_id)
    rows_of = [np.flatnonzero(sample_id == name)[0] for name in found.sample_id]
    np.testing.assert_array_equal(seen[2], f_x[rows_of])
    np.testing.assert_array_equal(seen[3], setting.groups[0].runs[0].arrays.z_r[rows_of])


def test_features_are_used_only_if_they_are_those_that_were_read(with_features):
    folder, f_x, sample_id = with_features
    (run, *_) = load_runs([folder])
    np.testing.assert_array_equal(skeleton_features(run, sample_id), f_x)
    assert skeleton_features(run, np.array(["of another data set"])) is None
    with h5py.File(folder / "features" / "skeleton_test.h5", "a") as file:
        file.attrs["changed"] = 1
    assert skeleton_features(run, sample_id) is None


def test_every_figure_brings_its_numbers(several):
    made = write_report([several], several / "report")
    html = made.html.read_text(encoding="utf-8")
    links = dict(re.findall(r'<a href="(data:text/csv[^"]*)" download="([^"]*)"', html))
    files = {name: list(csv.DictReader(unquote(href).partition(",")[2].splitlines()))
             for href, name in links.items()}
    stem = "demo-utd-mhad-cross-subject-9-3-strict"
    assert set(files) == {f"{stem}-{name}.csv" for name in (
        "runs", "per_class_unseen", "per_class_seen", "confusion_zsl", "confusion_gzsl",
        "seen_unseen_curves", "gate_roc", "latents", "training")}
    assert html.count("<figure>") == html.count('<p class="sources">') == 8
    assert sum(int(row["clips"]) for row in files[f"{stem}-confusion_zsl.csv"]) == 3 * 19
    whole = [row for row in rows(made, "training") if row["label"] == "SA-DVAE, FD + TC"]
    # Curves of the lowest seed are drawn; the points of every seed are.
    curves = files[f"{stem}-seen_unseen_curves.csv"]
    assert sum(row["point"] == "curve" for row in curves) == 5 * len(CURVE)
    assert sum(row["point"] == "operating" for row in curves) == 5 * 3
    assert [row["value"] for row in files[f"{stem}-training.csv"]] == [
        row["value"] for row in whole]


def test_every_number_leads_to_its_records(several, tmp_path):
    shutil.rmtree(several / "report", ignore_errors=True)
    made = write_report([several], several / "report")
    html = made.html.read_text(encoding="utf-8")
    section = html[html.index('table-results"'):]
    figures = html[html.index('<dl class="figures"'):html.index("</dl>")]
    assert set(re.findall(r'href="#([^"]*)"', figures)) == {
        summarize(load_runs([several]))[0].headline.anchor}
    body = section[section.index("<tbody>"):section.index("</tbody>")]
    numbers = re.findall(r'<td class="num"[^>]*>(.*?)</td>', body)
    linked = [cell for cell in numbers if cell.startswith("<a ")]
    assert len(linked) == 4 * 4 and len(numbers) == 4 * 6  # seeds and chance are no measurement
    (anchor,) = set(re.findall(r'href="#([^"]*)"', body.rpartition("<tr>")[2]))
    at = html.index(f'<tr id="{anchor}">')
    row = html[at:html.index("</tr>", at)]
    (file,) = set(re.findall(r'href="([^"#]*\.json)"', row))
    record = json.loads((made.html.parent / unquote(file)).read_text())
    assert (record["variant"], record["gate_key"]) == ("fd+tc", "")
    # One stop for the keyboard a row, not one a number.
    assert body.count('tabindex="-1"') == 4 * 3


def test_latex_escapes_everything_special():
    assert escape(r"a_b & 50 % #1 {x} ~ ^ \ $ <z> |") == (
        r"a\_b \& 50 \% \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$ "
        r"\textless{}z\textgreater{} \textbar{}")
    assert escape("± – β_x “q” ▲") == r"$\pm$ -- $\beta$\_x ``q'' $\uparrow$"


def test_latex_tables_are_those_of_booktabs():
    table = Table("of_two", "Caption & more.", [
        Column("name", "Name"), Column("a", "A", "stat", "Both"), Column("b", "B", "stat", "Both"),
    ], [
        {"name": "x_1", "a": Stat((0.25, 0.75)), "b": None, "href": "../r.json",
         "marks": {"a": BETTER}},
        {"name": "y", "a": Printed(0.5, 1), "b": Average((Stat((0.5,)),), 3)},
    ])
    assert to_latex(table).splitlines() == [
        r"\begin{table}[t]", r"\centering", r"\caption{Caption \& more.}", r"\label{tab:of-two}",
        r"\begin{tabular}{lrr}", r"\toprule", r" & \multicolumn{2}{c}{Both} \\",
        r"\cmidrule(lr){2-3}", r"Name & A & B \\", r"\midrule",
        r"x\_1 & 50.00\textsuperscript{$\uparrow$} $\pm$ 35.36 & -- \\  % ../r.json",
        r"y & 50.0 & 1 of 3 splits \\", r"\bottomrule", r"\end{tabular}", r"\end{table}"]


def test_latex_files_have_as_many_cells_a_row_as_columns(several):
    made = write_report([several], several / "report")
    assert {path.stem for path in made.latex} > {"results", "gates", "paired", "published_table_7"}
    for path in made.latex:
        text = path.read_text(encoding="ascii")
        columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1])
        body = text[text.index(r"\midrule"):text.index(r"\bottomrule")].splitlines()[1:]
        for line in body:
            row = line.partition(r" \\")[0]
            assert len(re.findall(r"(?<!\\)&", row)) == columns - 1, (path.name, line)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_files_compile(several, tmp_path):
    made = write_report([several], several / "report")
    inputs = "\n".join(rf"\input{{{path}}}\clearpage" for path in made.latex)
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        f"{inputs}\n\\end{{document}}\n")
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
