"""``pipeline plan`` and ``run``: what a table needs, and only that."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from zskel.data.common.errors import BadConfig, BadInput
from zskel.pipeline.plan.definition import load_table, table_names
from zskel.pipeline.plan.plan import plan, raw_of, summary
from zskel.pipeline.plan.rates import Rates
from zskel.pipeline.report.published import published_tables
from zskel.pipeline.steps.fits import Fit

PAPER = ("3", "4", "6", "7", "8", "b", "c", "d", "e", "g", "h")
load = cache(load_table)  # not to be changed
STEM = "sa_dvae-{}-strict-default-seed{}"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, tiny_config: Path) -> Path:
    """Two work directories that share backbones, three fits, two seeds."""
    path = tmp_path_factory.mktemp("tables") / "small.py"
    path.write_text(f"""
_tiny = [{str(tiny_config)!r}]
table = dict(title="a small table", runs=[
    dict(experiments=_tiny, variants=["naive", "fd+tc"]),
    dict(experiments=_tiny, suffix="z_r", seen_classifier="z_r", seeds=1),
])
""")
    return path


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, table: Path, tiny_raw: Path, commands: Any
) -> Path:
    """The work directories of the table, made by one command. Not to be changed."""
    root = tmp_path_factory.mktemp("run") / "work_dirs"
    ended = commands.run("run", table, "--raw", tiny_raw, "--work-dirs", root,
                         "--json", root.parent / "run.json")
    assert ended.code == 0, ended.err
    assert ended.err.splitlines()[-1] == (
        f"small: 3 of 3 fits are done; report: {root}/reports/small/report.html")
    return root


@pytest.fixture
def copied(done: Path, tmp_path: Path) -> Path:
    return shutil.copytree(done, tmp_path / "moved" / "work_dirs")


def stamps(root: Path) -> dict[str, int]:
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns
            for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"}


# --- definitions ---------------------------------------------------------------------------


def test_every_table_of_the_paper_and_the_demo_is_defined() -> None:
    assert set(table_names()) == {
        "demo", "utd-texts", *(f"table-{key}" for key in PAPER)}
    assert {each.key.removeprefix("table_") for each in published_tables("sa_dvae")} == set(PAPER)


@pytest.mark.parametrize("key", PAPER)
def test_a_table_runs_every_cell_that_was_published(key: str) -> None:
    loaded = load(f"table-{key}")
    calls = [call for entry in loaded.entries for call in entry.fits]
    configs = {id(call): call.experiment.fit for call in calls}
    for config in configs.values():
        Fit(config).method(0)
    published = next(each for each in published_tables("sa_dvae") if each.key == f"table_{key}")
    for column in published.columns:
        splits = {entry.experiment.split.name for entry in loaded.entries
                  if entry.experiment.dataset.name == column.dataset}
        assert set(column.splits) <= splits
    rows = [row.ours for row in published.rows if row.ours is not None]
    methods = {row["method"] for row in rows if "method" in row}
    ran = {(call.methods[0] if call.methods else call.experiment.fit.method.name)
           for call in calls}
    for method in methods:
        assert any(name == method or name.startswith(f"{method}_") for name in ran), method
    assert all(call.seeds == 5 for call in calls)


def test_table_6_is_the_ablation_and_five_baselines_on_nine_splits() -> None:
    loaded = load("table-6")
    assert len(loaded.entries) == 9 and loaded.datasets == ("ntu60", "ntu120", "pku-mmd")
    for entry in loaded.entries:
        own = [call.experiment.fit.method for call in entry.fits if not call.methods]
        assert [method.options["variant"] for method in own] == ["naive", "fd", "fd+tc"]
        # Sizes and steps are those of the paper's Table 5, whatever the variant.
        z_r = {"ntu60": 224, "ntu120": 176, "pku-mmd": 128}[entry.experiment.dataset.name]
        assert {method.options["z_r_dim"] for method in own} == {z_r}
        assert len([call for call in entry.fits if call.methods]) == 5
        assert set(entry.experiment.class_text_parts) == {"verb", "noun"}
        assert set(entry.experiment.feature_views) == {"f_x_masked"}


def test_table_b_varies_both_weights_apart_from_the_papers() -> None:
    found = [call.experiment for entry in load("table-b").entries for call in entry.fits]
    params = [Fit(each.fit).method(0).params for each in found]
    pairs = {(each.beta_x, each.beta_y) for each in params}
    assert pairs == {(0.023, 0.011), (0.01, 0.01), (0.05, 0.01), (0.01, 0.05), (0.05, 0.05),
                     (0.1, 0.1), (0.2, 0.2)}
    assert {each.lambda_2 for each in params} == {0.011}
    assert len({each.name for each in found}) == len(found) == 21


def test_canonical_and_described_runs_have_their_own_features() -> None:
    by_name = {entry.experiment.name: entry.experiment for entry in load("table-d").entries}
    own, canonical = by_name["ntu60-random-2"], by_name["ntu60-random-2-canonical"]
    assert canonical.backbone.prepare[0]["step"] == "canonicalize"
    assert canonical.backbone.prepare[1:] == own.backbone.prepare
    described = {entry.experiment.name: entry for entry in load("table-g").entries}
    entry = described["ntu120-random-1-described"]
    assert entry.experiment.class_text.source.name == "description"
    assert entry.experiment.backbone == described["ntu120-random-1"].experiment.backbone
    assert [call.methods for call in entry.fits] == [("sa_dvae_tablef_ntu120",), ("smie",)]


@pytest.mark.parametrize(("content", "message"), [
    ("runs=[dict(experiments=['demo'], method=['smie'])]",
     "unknown key 'runs.0.method'; did you mean 'methods'?"),
    ("runs=[]", "runs: list should have at least 1 item"),
    ("runs=[dict(experiments=['dmeo'])]", "runs.0: no experiment 'dmeo'; did you mean 'demo'"),
    ("runs=[dict(experiments=['demo'], texts=['clip'])]", "runs.0: no text config 'clip'"),
    ("runs=[dict(experiments=['demo']), dict(experiments=['demo'], texts=['clip_label'])]",
     "runs.1: demo is in the table before with another class_text; give one of the two a suffix"),
])
def test_a_mistake_in_a_definition_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"table = dict(title='mine', {content})\n")
    with pytest.raises(BadConfig) as caught:
        load_table(str(path))
    assert message in str(caught.value) and "mine.py" in str(caught.value)


def test_options_of_a_method_are_refused_where_a_table_names_several() -> None:
    options = ("fit.method.options.epochs=2",)
    (entry,) = load_table("demo", options).entries  # the experiment's own method alone
    assert {call.experiment.fit.method.options["epochs"] for call in entry.fits} == {2}
    with pytest.raises(BadConfig) as caught:
        load_table("table-3", options)
    assert str(caught.value) == (
        "--cfg-options 'fit.method.options.epochs=2': is about the experiments' own methods, and "
        "table table-3 names others (revise); give their options in a method config, whose path "
        "a table may name")


def test_two_fits_may_not_write_one_result(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("table = dict(title='', runs=[dict(experiments=['demo']), "
                    "dict(experiments=['demo'], options=['fit.method.options.beta_x=0.5'])])")
    with pytest.raises(BadConfig, match="two fits would write .*-seed0.json; give .* a suffix"):
        plan(load_table(str(path)), work_dirs=tmp_path / "work_dirs")


def test_recordings_of_one_data_set_need_no_name() -> None:
    demo, paper = load("demo"), load("table-c")
    assert raw_of(demo, ["a=b", "c"]) == {"synthetic": ["a=b", "c"]}
    assert raw_of(demo, ["synthetic=d"]) == {"synthetic": ["d"]}
    assert raw_of(paper, ["ntu60=x.zip"]) == {"ntu60": ["x.zip"]}
    with pytest.raises(BadInput, match="say whose they are, as in --raw ntu60=PATH"):
        raw_of(load("table-3"), ["x.zip"])
    with pytest.raises(BadInput, match="recordings of 'ntu60' are not needed"):
        plan(demo, {"ntu60": ["x"]})


# --- plans ---------------------------------------------------------------------------------


def test_a_plan_of_nothing_yet(tmp_path: Path) -> None:
    found = plan(load("table-c"), {"ntu60": ["nturgbd.zip"]}, tmp_path / "work_dirs")
    assert len(found["backbones"]) == 12
    assert {row["state"] for row in found["backbones"]} == {"no store yet"}
    assert {row["seconds"] for row in found["backbones"] + found["fits"]} == {None}
    assert {row["state"] for row in found["fits"]} == {"after features"}
    assert len(found["fits"]) == 6 * 5 and not found["problems"]
    assert found["seconds"] == 0 and found["unmeasured"] == 12 + 30
    assert "no time is known for 42 trainings and fits" in summary(found)
    assert not list(tmp_path.iterdir()), "a plan writes nothing"


def test_a_plan_of_all_that_is_there(done: Path, table: Path, commands: Any) -> None:
    before = stamps(done)
    ended = commands.run("plan", table, "--work-dirs", done, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert {row["state"] for row in found["backbones"]} == {"features there"}
    assert [row["same_as"] for row in found["backbones"]] == [None, None, 1, 2]
    assert {row["state"] for row in found["texts"] + found["fits"]} == {"there"}
    assert [(row["variant"], row["seen_classifier"], row["seed"]) for row in found["fits"]] == [
        ("naive", "f_x", 0), ("naive", "f_x", 1), ("fd+tc", "f_x", 0), ("fd+tc", "f_x", 1),
        ("fd+tc", "z_r", 0)]
    assert found["report"]["state"] == "there"
    assert found["seconds"] == 0 and found["unmeasured"] == 0
    ended = commands.run("plan", table, "--work-dirs", done)
    assert ended.err == "small: 2 of 2 backbones and 5 of 5 results are there\n"
    assert stamps(done) == before


def test_estimates_come_from_what_was_measured_here(done: Path, tmp_path: Path) -> None:
    rates = Rates(done / "bank", done)
    logs = [json.loads(line)["time"] for file in done.glob("bank/backbones/*/logs/*/vis_data/"
                                                           "scalars.json")
            for line in file.read_text().splitlines() if "time" in line]
    training = rates.training("stgcn-test", 32)
    assert training is not None and min(logs) <= training * 32 <= max(logs)
    records = [json.loads(path.read_text()) for path in done.glob("*/results/*.json")]
    per_epoch = [r["duration_seconds"] / r["counts"]["train"] / 2 for r in records]
    batch_size = records[0]["config"]["method"]["options"]["batch_size"]
    fit = rates.fit("sa_dvae", batch_size)
    assert fit is not None and min(per_epoch) <= fit <= max(per_epoch)
    assert rates.fit("smie", 64) is rates.fit("sa_dvae", batch_size + 1) is None
    assert Rates(tmp_path, tmp_path).training("stgcn-test", 32) is None


def test_a_plan_of_more_seeds_takes_as_long_as_those_before(
    done: Path, table: Path, commands: Any
) -> None:
    found = plan(load_table(str(table), seeds=3), work_dirs=done)
    times = [row["seconds"] for row in found["fits"] if row["state"] != "there"]
    assert len(times) == 1 + 1 + 2 and len(set(times)) == 1 and times[0] > 0
    assert found["unmeasured"] == 0 and found["seconds"] == round(sum(times))


# --- runs ----------------------------------------------------------------------------------


def test_a_run_makes_everything(done: Path) -> None:
    content = json.loads((done.parent / "run.json").read_text())
    assert [row["error"] for row in content["fits"]] == [None] * 3
    assert content["report"] == str(done / "reports" / "small" / "report.html")
    names = {path.relative_to(done).as_posix() for path in done.glob("*/results/*.json")}
    assert names == {*(f"tiny/results/{STEM.format(variant, seed)}.json"
                       for variant in ("naive", "fd-tc") for seed in (0, 1)),
                     f"tiny-z_r/results/{STEM.format('fd-tc', 0)}.json"}
    z_r = json.loads((done / f"tiny-z_r/results/{STEM.format('fd-tc', 0)}.json").read_text())
    assert z_r["seen_classifier"] == "z_r"
    assert len(list(done.glob("bank/backbones/*/weights.pth"))) == 2
    assert not list(done.glob("*/models/*")), "a table keeps no models unless it says so"


def test_again_changes_nothing(copied: Path, table: Path, tiny_raw: Path, commands: Any) -> None:
    before = stamps(copied)
    ended = commands.run("run", table, "--raw", tiny_raw, "--work-dirs", copied)
    assert ended.code == 0, ended.err
    assert stamps(copied) == before


@pytest.mark.parametrize(("lost", "changed"), [
    ("tiny/features/skeleton_test.h5", ()),  # the model store has the same features
    ("tiny/features/text.h5", ()),
    ("tiny/backbones/calibration.json", ()),
    ("tiny-z_r/backbones/test.json", ()),
    ("tiny/store/skeletons.json", ()),
    ("reports/small/report.html", ("reports/small/",)),
    ("reports/small/tables/results.csv", ("reports/small/",)),
    (f"tiny/results/{STEM.format('naive', 1)}.json",
     (f"tiny/results/{STEM.format('naive', 1)}", "reports/small/")),
    (f"tiny/results/{STEM.format('fd-tc', 0)}.npz",
     (f"tiny/results/{STEM.format('fd-tc', 0)}", "reports/small/")),
    ("bank/stores/*/skeletons.h5", ("bank/stores/",)),
    ("bank/stores/*/source.json", ()),
    # Training gives the same weights again, so the features stand.
    ("bank/backbones/*/weights.pth", ("bank/backbones/",)),
    ("bank/backbones/*/backbone.json", ("bank/backbones/",)),
])
def test_a_lost_file_is_made_again_with_what_depends_on_it(
    copied: Path, table: Path, tiny_raw: Path, commands: Any, lost: str, changed: tuple[str, ...]
) -> None:
    path = sorted(copied.glob(lost))[0]
    before, content = stamps(copied), path.read_bytes()
    path.unlink()
    ended = commands.run("run", table, "--raw", tiny_raw, "--work-dirs", copied)
    assert ended.code == 0, ended.err
    name = path.relative_to(copied).as_posix()
    assert path.is_file()
    after = stamps(copied)
    differing = {each for each in before | after if before.get(each) != after.get(each)}
    strangers = {each for each in differing - {name} if not each.startswith(changed or ("//",))}
    assert not strangers
    if name.startswith("bank/backbones/"):  # the other backbone was not touched
        folder = name.rpartition("/")[0]
        assert all(each.startswith(folder) for each in differing)
    if path.suffix in (".pth", ".csv") or not changed:
        assert path.read_bytes() == content


def test_features_that_come_out_otherwise_are_fitted_again(
    copied: Path, table: Path, tiny_raw: Path, commands: Any
) -> None:
    # With the model store's copy gone too, the cache is written anew, at another time.
    for shared in copied.glob("bank/backbones/*/features-*.h5"):
        shared.unlink()
    (copied / "tiny" / "features" / "skeleton_calibration.h5").unlink()
    before = stamps(copied)
    ended = commands.run("run", table, "--raw", tiny_raw, "--work-dirs", copied)
    assert ended.code == 0, ended.err
    after = stamps(copied)
    kept = {each for each in before if before[each] == after.get(each)}
    assert not [each for each in kept if each.startswith("tiny/results/")]
    assert f"tiny-z_r/results/{STEM.format('fd-tc', 0)}.json" in kept
    assert not [each for each in before if "weights.pth" in each and each not in kept]


def test_a_plan_tells_what_was_lost(copied: Path, table: Path) -> None:
    loaded = load_table(str(table))
    sorted(copied.glob("bank/backbones/*/weights.pth"))[0].unlink()
    (copied / f"tiny/results/{STEM.format('naive', 1)}.json").unlink()
    found = plan(loaded, work_dirs=copied)
    states = [row["state"] for row in found["backbones"]]
    assert sorted(states) == ["features there"] * 2 + ["weights lost"] * 2
    assert sum(row["state"] == "there" for row in found["fits"]) == 0
    assert found["report"]["state"] == "to make"
    shutil.rmtree(copied / "bank" / "backbones")  # features that came from elsewhere do
    found = plan(loaded, work_dirs=copied)
    assert {row["state"] for row in found["backbones"]} == {"features there"}
    lost = [row for row in found["fits"] if row["state"] == "to fit"]
    assert [(row["variant"], row["seed"]) for row in lost] == [("naive", 1)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_failure_does_not_stop_the_others(
    copied: Path, tiny_config: Path, tiny_raw: Path, commands: Any, tmp_path: Path, jobs: int
) -> None:
    path = tmp_path / "mixed.py"
    tiny = str(tiny_config)
    path.write_text(f"""
table = dict(title="mixed", runs=[
    dict(experiments=[{tiny!r}], suffix="broken",
         options=["class_text.encoder.options.model=no-such-model"]),
    dict(experiments=[{tiny!r}], methods=["jpose", "own", "conse"], seeds=1),
])
""")
    ended = commands.run("run", path, "--raw", tiny_raw, "--work-dirs", copied,
                         "--json", tmp_path / "run.json", "--jobs", jobs)
    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("error: 3 of 7 items failed")
    assert "tiny-broken: " in last and "no-such-model" in last
    assert "tiny: jpose: jpose takes the text features" in last
    assert "Traceback" not in ended.err
    content = json.loads((tmp_path / "run.json").read_text())
    assert [row["error"] is None for row in content["fits"]] == [False, False, True, True]
    assert (copied / "tiny/results/conse-default-strict-default-seed0.json").is_file()
    assert Path(content["report"]).is_file()


def test_the_demo_from_nothing_twice_is_the_same_report(
    tiny_raw: Path, commands: Any, tmp_path: Path
) -> None:
    roots = [tmp_path / "first", tmp_path / "second"]
    for root in roots:
        ended = commands.run(
            "run", "demo", "--raw", tiny_raw, "--work-dirs", root, "--seeds", 1,
            "--cfg-options", "backbone.epochs=1", "--cfg-options", "fit.method.options.epochs=2")
        assert ended.code == 0, ended.err
    first, second = ({path.relative_to(root).as_posix(): path.read_text()
                      for path in (root / "reports" / "demo" / "tables").glob("*.csv")}
                     for root in roots)
    assert first.keys() == second.keys() and first
    timed = {"runs", "provenance"}  # they say when and how long
    assert {name for name in first if first[name] != second[name]} <= {
        f"reports/demo/tables/{name}.csv" for name in timed}
    variants = [json.loads(path.read_text())["variant"]
                for path in sorted((roots[0] / "demo" / "results").glob("*.json"))]
    assert sorted(variants) == ["fd", "fd+tc", "naive"]
    assert list((roots[0] / "demo" / "models").iterdir()), "the demo keeps what predict needs"


def test_the_documented_table_is_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    path = tmp_path / "my_table.py"
    path.write_text(text.partition("```python\n")[2].partition("```")[0])
    found = plan(load_table(str(path)), work_dirs=tmp_path / "work_dirs")
    kinds = {(row["experiment"], row["method"], row["gate"]) for row in found["fits"]}
    assert kinds == {("demo", "sa_dvae", "domain_classifier"), ("demo", "sa_dvae", "joint_softmax"),
                     ("demo", "ridge", "domain_classifier"), ("demo", "ridge", "joint_softmax"),
                     ("demo-z_r", "sa_dvae", "domain_classifier")}
    assert [row["same_as"] for row in found["backbones"]] == [None, None, 1, 2]
