"""``pipeline queue`` and the model store: every backbone once, whoever needs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zskel.data.caches import SkeletonFeatures, read_skeleton_features, read_text_features
from zskel.data.common.errors import BadInput
from zskel.pipeline.base.config import load_experiment
from zskel.pipeline.base.workdir import WorkDir, read_pointer
from zskel.pipeline.inspect.inspect import inspect
from zskel.pipeline.queue.queue import PAPER, queue
from zskel.pipeline.steps.model_store import ModelStore, model_store_of

PHASES = ("test", "calibration")


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory, tiny_config: Path) -> dict[str, Path]:
    """Three experiments that need six backbones, of which three are different."""
    folder = tmp_path_factory.mktemp("configs")
    changes = {
        "one": "",
        "two": "class_text = dict(source=dict(name='description'))\nfit = dict(seeds=1)",
        "three": "split = dict(validation_seed=5)",
        "broken": "class_text = dict(encoder=dict(options=dict(model='no-such-model')))",
        "unbuildable": "backbone = dict(model=dict(backbone=dict(no_such_option=3)))",
    }
    for name, change in changes.items():
        (folder / f"{name}.py").write_text(f"_base_ = [{str(tiny_config)!r}]\n{change}\n")
    return {name: folder / f"{name}.py" for name in changes}


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, configs: dict[str, Path], tiny_raw: Path,
    commands: Any,
) -> tuple[Path, dict[str, Any], str]:
    """Folder, JSON and messages of a queue of the first three. Not to be changed."""
    root = tmp_path_factory.mktemp("queue") / "work_dirs"
    ended = commands.run("queue", *(configs[name] for name in ("one", "two", "three")),
                         "--raw", f"synthetic={tiny_raw}", "--work-dirs", root,
                         "--json", root / "queue.json")
    assert ended.code == 0, ended.err
    return root, json.loads((root / "queue.json").read_text()), ended.err


@pytest.fixture
def copied(done: tuple[Path, dict[str, Any], str], tmp_path: Path) -> Path:
    """The queue's folder, to be changed."""
    return shutil.copytree(done[0], tmp_path / "moved" / "work_dirs")


def cache(root: Path, name: str, phase: str) -> SkeletonFeatures:
    return read_skeleton_features(root / name / "features" / f"skeleton_{phase}.h5")


def stamps(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*")
            if path.is_file() and path.suffix not in (".lock",)}


def test_the_papers_tables_need_26_backbones(tmp_path: Path) -> None:
    found = queue([load_experiment(name) for name in PAPER], only_list=True, work_dirs=tmp_path)
    rows = found["backbones"]
    assert len(PAPER) == len(set(PAPER)) == 13 and len(rows) == 26
    assert [row["number"] for row in rows] == list(range(1, 27))
    assert {row["same_as"] for row in rows} == {None} == {row["digest"] for row in rows}
    assert {row["state"] for row in rows} == {"no store yet"}
    classes = {(row["experiment"], row["phase"]): row["classes"] for row in rows}
    # Seen classes, and those that the validation-unseen ones leave of them.
    assert classes["ntu60-55-5", "test"] == 55 and classes["ntu60-55-5", "calibration"] == 50
    assert classes["ntu120-96-24", "test"] == 96 and classes["ntu120-96-24", "calibration"] == 72
    assert classes["pku-mmd-random-2", "test"] == 46
    assert not list(tmp_path.iterdir())


def test_a_list_without_recordings_tells_what_will_be_shared(
    configs: dict[str, Path], commands: Any, tmp_path: Path
) -> None:
    ended = commands.run("queue", "--list", *(configs[n] for n in ("one", "two", "three")),
                         "--work-dirs", tmp_path / "none", "--json", tmp_path / "list.json")
    assert ended.code == 0, ended.err
    rows = json.loads((tmp_path / "list.json").read_text())["backbones"]
    assert [(row["experiment"], row["phase"]) for row in rows] == [
        (name, phase) for name in ("one", "two", "three") for phase in PHASES]
    assert [row["same_as"] for row in rows] == [None, None, 1, 2, 1, None]
    assert "calibration" in ended.out and "no store yet" in ended.out
    assert ended.err == "3 backbones for 3 experiments: 3 no store yet\n"
    assert not (tmp_path / "none").exists()


def test_each_backbone_is_trained_once(done: tuple[Path, dict[str, Any], str]) -> None:
    root, content, messages = done
    rows = content["backbones"]
    assert [row["same_as"] for row in rows] == [None, None, 1, 2, 1, None]
    assert {row["state"] for row in rows} == {"trained"}
    assert [row["digest"] for row in rows].count(rows[0]["digest"]) == 3
    assert messages.count("  ready after ") == 3
    folders = {path.name for path in (root / "bank" / "backbones").iterdir() if path.is_dir()}
    assert folders == {row["digest"][:16] for row in rows}
    assert len(list(root.glob("bank/stores/*/skeletons.h5"))) == 1
    assert not list(root.glob("*/store/skeletons.h5")), "a store of one's own beside the shared"
    assert [entry["error"] for entry in content["experiments"]] == [None] * 3
    assert all(0 <= entry["seen_test_accuracy"] <= 1 for entry in content["experiments"])


def test_features_are_those_of_an_experiment_alone(
    done: tuple[Path, dict[str, Any], str], tiny_work: Path
) -> None:
    root = done[0]
    for phase in PHASES:
        alone = read_skeleton_features(tiny_work / "features" / f"skeleton_{phase}.h5")
        for name in ("one", "two"):
            found = cache(root, name, phase)
            assert found.weights_sha256 == alone.weights_sha256
            assert np.array_equal(found.f_x, alone.f_x)
            assert np.array_equal(found.logits, alone.logits)
            assert found.config["experiment"] == name
    other = cache(root, "three", "calibration")
    assert other.unseen_classes != cache(root, "one", "calibration").unseen_classes
    assert other.weights_sha256 != cache(root, "one", "calibration").weights_sha256
    text = [read_text_features(root / name / "features" / "text.h5") for name in ("one", "two")]
    assert (text[0].text_source, text[1].text_source) == ("label", "description")


def test_a_work_directory_names_what_it_uses(copied: Path) -> None:
    # Pointers are relative: the whole tree was moved.
    work = WorkDir(copied / "two")
    for phase in PHASES:
        pointer = read_pointer(work.backbone_pointer(phase))
        assert pointer is not None
        folder = copied / "bank" / "backbones" / pointer["digest"][:16]
        assert work.backbone(phase) == folder and (folder / "weights.pth").is_file()
        assert pointer["weights_sha256"] == cache(copied, "two", phase).weights_sha256
    assert work.store.parent.parent == copied / "bank" / "stores"
    found = inspect(copied / "two", clip="S031C001P001R001A001")
    assert found["clip"]["label"] == 0
    passed = {check["check"]: check["passed"] for check in found["checks"]}
    assert all(passed.values()), passed
    for phase in PHASES:
        assert f"{phase}-phase features were made with these weights" in passed
        assert f"{phase}-phase features were made from this store" in passed


def test_again_keeps_everything(
    configs: dict[str, Path], commands: Any, copied: Path
) -> None:
    arguments = [configs[name] for name in ("one", "two", "three")]
    before = stamps(copied)
    # Without the recordings: the shared store does.
    ended = commands.run("queue", *arguments, "--work-dirs", copied)
    assert ended.code == 0, ended.err
    assert stamps(copied) == before and "wrote" not in ended.err
    ended = commands.run("queue", "--list", *arguments, "--work-dirs", copied)
    assert ended.err == "3 backbones for 3 experiments: 3 features there\n"


def test_lost_features_come_back_without_training(
    configs: dict[str, Path], commands: Any, copied: Path
) -> None:
    weights = {path: path.stat().st_mtime_ns for path in copied.rglob("weights.pth")}
    before = cache(copied, "three", "calibration")
    shutil.rmtree(copied / "three")
    for shared in copied.glob("bank/backbones/*/features-*.h5"):
        shared.unlink()
    ended = commands.run("queue", configs["three"], "--work-dirs", copied)
    assert ended.code == 0, ended.err
    assert "ready after" not in ended.err and "features shared" not in ended.err
    assert weights == {path: path.stat().st_mtime_ns for path in copied.rglob("weights.pth")}
    assert np.array_equal(cache(copied, "three", "calibration").f_x, before.f_x)


def test_one_failure_does_not_stop_the_others(
    configs: dict[str, Path], commands: Any, copied: Path
) -> None:
    shutil.rmtree(copied / "two")
    ended = commands.run("queue", *(configs[n] for n in ("broken", "unbuildable", "two")),
                         "--work-dirs", copied, "--json", copied / "queue.json")
    assert ended.code == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("error: 2 of 3 experiments failed")
    assert "broken: " in last and "no-such-model" in last
    assert "unbuildable: backbone: " in last and "no_such_option" in last
    assert "Traceback" not in ended.err
    content = json.loads((copied / "queue.json").read_text())
    assert [entry["error"] is None for entry in content["experiments"]] == [False, False, True]
    states = {(row["experiment"], row["phase"]): row["state"] for row in content["backbones"]}
    assert states["unbuildable", "test"] == "failed" and states["two", "test"] == "trained"
    assert (copied / "two" / "features" / "text.h5").is_file()


@pytest.mark.slow
def test_a_queue_survives_kills(
    configs: dict[str, Path], done: tuple[Path, dict[str, Any], str], tiny_raw: Path,
    commands: Any, tmp_path: Path,
) -> None:
    root, deaths = tmp_path / "work_dirs", 0
    arguments = ("queue", configs["one"], "--raw", f"synthetic={tiny_raw}", "--work-dirs", root)
    while (ended := commands.run(*arguments, die_before_rename=8)).code == -signal.SIGKILL:
        deaths += 1
        assert deaths < 20, "no progress between kills"
    assert ended.code == 0, ended.err
    assert deaths >= 2
    for phase in PHASES:
        ours, theirs = cache(root, "one", phase), cache(done[0], "one", phase)
        assert ours.weights_sha256 == theirs.weights_sha256
        assert np.array_equal(ours.f_x, theirs.f_x) and ours.config == theirs.config


def test_two_commands_do_not_train_the_same_at_once(
    configs: dict[str, Path], done: tuple[Path, dict[str, Any], str], commands: Any,
    copied: Path, wait_for: Callable[..., None],
) -> None:
    shutil.rmtree(copied / "one")
    model_store, digest = ModelStore(copied / "bank"), done[1]["backbones"][0]["digest"]
    for shared in model_store.backbone(digest).glob("features-*.h5"):
        shared.unlink()
    with model_store.locked(model_store.backbone(digest), "the backbone of another test"):
        commands.start("queue", configs["one"], "--work-dirs", copied)
        messages = commands._folder / "err"
        wait_for(lambda: "waiting for" in messages.read_text())
    ended = commands.wait()
    assert ended.code == 0, ended.err
    waiting = next(line for line in ended.err.splitlines() if line.startswith("waiting for"))
    assert "the backbone of another test" in waiting and f"process {os.getpid()}" in waiting
    assert not list(copied.rglob("*.holder.json"))


def test_an_entry_is_one_commands_at_a_time(tmp_path: Path) -> None:
    model_store, order = ModelStore(tmp_path), list[str]()

    def other() -> None:
        with model_store.locked(tmp_path / "entry", "the other"):
            order.append("other")

    with model_store.locked(tmp_path / "entry", "the first"):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.5)  # long enough for one that does not wait
        order.append("first")
        holder = json.loads((tmp_path / "entry.holder.json").read_text())
        assert holder["work"] == "the first" and holder["process"] == os.getpid()
        with model_store.locked(tmp_path / "another", "something else"):
            pass
    thread.join(timeout=60)
    assert order == ["first", "other"]


def test_a_lock_dies_with_its_command(tmp_path: Path) -> None:
    model_store = ModelStore(tmp_path)
    child = os.fork()
    if child == 0:
        with model_store.locked(tmp_path / "entry", "what is killed"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / "entry.holder.json").is_file()
    with model_store.locked(tmp_path / "entry", "the next"):
        assert json.loads((tmp_path / "entry.holder.json").read_text())["work"] == "the next"
    assert not (tmp_path / "entry.holder.json").exists()


def test_a_work_directory_from_before_the_bank_is_taken_over(
    tiny_work: Path, tiny_config: Path, commands: Any, tmp_path: Path
) -> None:
    root = tmp_path / "work_dirs"
    for part in ("store", "backbones", "features"):
        shutil.copytree(tiny_work / part, root / "tiny" / part)
    for file in (root / "tiny" / "features").glob("skeleton_*.h5"):
        file.unlink()
    ended = commands.run("queue", tiny_config, "--work-dirs", root)
    assert ended.code == 0, ended.err
    # Training would give the same weights; it leaves its log.
    assert not list(root.glob("bank/backbones/*/logs"))
    assert not list(root.glob("bank/stores/*/skeletons.h5")), "its own store is enough"
    for phase in PHASES:
        ours = WorkDir(root / "tiny").backbone(phase) / "weights.pth"
        assert ours.is_relative_to(root / "bank")
        assert ours.read_bytes() == (tiny_work / "backbones" / phase / "weights.pth").read_bytes()
        assert np.array_equal(
            cache(root, "tiny", phase).f_x,
            read_skeleton_features(tiny_work / "features" / f"skeleton_{phase}.h5").f_x)


def test_extract_shares_a_bank_that_is_named(
    configs: dict[str, Path], done: tuple[Path, dict[str, Any], str], commands: Any,
    copied: Path, tmp_path: Path,
) -> None:
    before = stamps(copied)
    work = tmp_path / "elsewhere"
    arguments = ("extract", configs["one"], "--work-dir", work)
    ended = commands.run(*arguments, "--model-store", copied / "bank")
    assert ended.code == 0, ended.err
    assert ended.err.count("features shared") == 2
    assert stamps(copied) == before
    assert not list(work.rglob("weights.pth")) and not list(work.rglob("skeletons.h5"))
    for phase in PHASES:
        found = read_skeleton_features(work / "features" / f"skeleton_{phase}.h5")
        assert np.array_equal(found.f_x, cache(copied, "one", phase).f_x)
        (work / "features" / f"skeleton_{phase}.h5").unlink()
    # A work directory remembers its model store.
    assert commands.run(*arguments).code == 0
    assert stamps(copied) == before and not list(work.rglob("weights.pth"))


def test_by_default_the_bank_lies_beside_the_work_directories(
    configs: dict[str, Path], commands: Any, copied: Path
) -> None:
    here = commands._folder / "work_dirs"
    shutil.copytree(copied / "bank", here / "bank")
    try:
        ended = commands.run("extract", configs["one"])
        assert ended.code == 0, ended.err
        assert ended.err.count("features shared") == 2
        assert WorkDir(here / "one").store.is_relative_to(here / "bank")
        assert not list((here / "one").rglob("weights.pth"))
    finally:
        shutil.rmtree(here)


def test_which_bank_a_work_directory_has(done: tuple[Path, dict[str, Any], str]) -> None:
    new, made = WorkDir(Path("work_dirs/x")), WorkDir(done[0] / "one")
    assert model_store_of(new) == ModelStore(Path("work_dirs/bank"))
    assert model_store_of(new, own_work_dir=True) is None
    assert model_store_of(new, "elsewhere", own_work_dir=True) == ModelStore(Path("elsewhere"))
    ours = ModelStore(done[0] / "bank")
    assert model_store_of(made, own_work_dir=True) == ours == model_store_of(made)


def test_two_stores_of_one_data_set_need_a_word(
    configs: dict[str, Path], copied: Path, tmp_path: Path
) -> None:
    model_store = ModelStore(copied / "bank")
    dataset = load_experiment(str(configs["one"])).dataset
    here = model_store.find_store(dataset)
    assert here is not None
    other = model_store.store(dataset, [tmp_path])
    shutil.copytree(here.parent, other.parent)
    (other.with_name("source.json")).unlink()
    assert model_store.find_store(dataset) == here, "a store of unknown source is nobody's"
    model_store.note_source(dataset, [tmp_path])
    with pytest.raises(BadInput, match=f"2 stores of synthetic .*{tmp_path}.*--raw"):
        model_store.find_store(dataset)
    chosen = model_store.find_store(dataset, WorkDir(copied / "one"))
    assert chosen is not None and chosen.samefile(here)
    cleaned = dataset.model_copy(update={"cleaning": []})
    assert model_store.find_store(cleaned) is None, "read otherwise, it is another store"


@pytest.mark.parametrize(("arguments", "message"), [
    (("--raw", "ntu60"), "expected DATASET=PATH"),
    (("--raw", "syntetic=x"), "did you mean 'synthetic'"),
    (("one",), "in the queue twice"),
    ((), "give the raw recordings with --raw"),
    (("--raw", "synthetic=/no/such/folder"), "/no/such/folder"),
])
def test_a_mistake_is_one_last_line(
    configs: dict[str, Path], commands: Any, tmp_path: Path, arguments: tuple[str, ...],
    message: str,
) -> None:
    given = [configs["one"] if a == "one" else a for a in arguments]
    ended = commands.run("queue", configs["one"], *given, "--work-dirs", tmp_path)
    assert ended.code in (1, 2)
    assert message in ended.err.splitlines()[-1] and "Traceback" not in ended.err
