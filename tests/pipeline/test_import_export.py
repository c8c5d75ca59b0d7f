"""``pipeline export`` and ``import``: formats of others, and fits on what came from them."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from zskel.data.caches import CALIBRATION, TEST, TRAIN, read_skeleton_features, read_text_features
from zskel.pipeline.base.config import load_experiment

DOCS = Path(__file__).resolve().parents[2] / "docs" / "exchange.md"
QUICK = ("--seeds", 1, "--cfg-options", "fit.method.options={'epochs': 1, 'z_r_dim': 8, "
         "'z_v_dim': 4, 'classifier_epochs': 5}")
CACHES = ("skeleton_test", "skeleton_calibration", "text")


def done(ended: Any) -> str:
    assert ended.code == 0, ended.err
    return ended.err


def refused(ended: Any) -> str:
    assert ended.code == 2 and len(ended.err.splitlines()) == 1
    assert ended.err.startswith("error: ") and ended.out == ""
    return ended.err


@pytest.fixture(scope="module")
def resources(
    tiny_work: Path, commands: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny experiment as a folder of the SynSE lineage."""
    folder = tmp_path_factory.mktemp("exported") / "resources"
    err = done(commands.run("export", tiny_work, "--to", "synse", folder))
    assert "note: f_x is 8-d; the released scripts of sa-dvae know only 256 and 512" in err
    return folder


@pytest.fixture(scope="module")
def plain(tiny_work: Path, commands: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny experiment as plain .npz files."""
    folder = tmp_path_factory.mktemp("exported") / "plain"
    done(commands.run("export", tiny_work, "--to", "npz", folder))
    return folder


def test_what_was_exported_is_imported_to_the_bit_and_fitted(
    tiny_work: Path, plain: Path, commands: Any, tmp_path: Path
) -> None:
    work = tmp_path / "again"
    err = done(commands.run("import", "npz", plain, "--work-dir", work))
    assert f"now: pipeline fit {work}" in err
    for name in CACHES:
        ours = (tiny_work / "features" / f"{name}.h5").read_bytes()
        assert (work / "features" / f"{name}.h5").read_bytes() == ours
    assert ", gate domain_classifier, seed 0: ZSL" in done(commands.run("fit", work, *QUICK))
    (path,) = (work / "results").glob("*.json")
    record = json.loads(path.read_text())
    assert (record["experiment"], record["split"]) == ("again", "default")
    done(commands.run("report", "--work-dir", work))


def test_a_synse_folder_is_imported_with_notes_and_fitted(
    tiny_work: Path, resources: Path, commands: Any, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    assert "give --dataset NAME" in refused(
        commands.run("import", "synse", resources, "--work-dir", work))
    err = done(commands.run("import", "synse", resources, "--work-dir", work, "--dataset",
                            "synthetic", "--method", "cada_vae"))
    notes = json.loads((work / "import.json").read_text())["notes"]
    assert all(f"note: {note}" in err for note in notes) and len(notes) > 5
    for phase in (TEST, CALIBRATION):
        ours = read_skeleton_features(tiny_work / "features" / f"skeleton_{phase}.h5")
        theirs = read_skeleton_features(work / "features" / f"skeleton_{phase}.h5")
        assert theirs.class_names == ours.class_names
        train = theirs.rows(TRAIN)
        assert theirs.f_x[train].tobytes() == ours.f_x[ours.rows(TRAIN)].tobytes()
        assert sorted(theirs.label.tolist()) == sorted(ours.label.tolist())
    experiment = load_experiment(str(work / "experiment.py"))
    assert experiment.fit.method.name == "cada_vae" and experiment.imported is not None
    assert experiment.fit.seen_classifier is None
    done(commands.run("fit", work / "experiment.py", "--work-dir", work, "--method", "sa_dvae",
                      "--seeds", 1, "--cfg-options", "fit.seeds=1"))


def test_of_two_exports_in_a_folder_one_is_chosen(
    tiny_work: Path, resources: Path, commands: Any, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(resources, tmp_path / "two"))
    done(commands.run("export", tiny_work, "--to", "synse", folder, "--dataset", "second"))
    work = tmp_path / "work"
    unseen = read_skeleton_features(tiny_work / "features/skeleton_test.h5").unseen_classes
    name = f"stgcn_second_{len(unseen)}_r"
    err = done(commands.run("import", "synse", folder, "--work-dir", work, "--dataset",
                            "synthetic", "--test-folder", folder / "sk_feats" / name))
    assert f"{name}: logits name" in err
    assert load_experiment(str(work / "experiment.py")).split.unseen == list(unseen)


@pytest.mark.parametrize(("command", "options"), [
    ("export", ("WORK_DIR", "--to", "--layout", "--dataset", "--ve", "--le", "--tm", "--force")),
    ("import", ("FORMAT", "SOURCE", "--work-dir", "--dataset", "--unseen", "--random-split",
                "--text", "--class-text", "--without-logits", "--method", "--force")),
])
def test_options_people_script_against(
    commands: Any, command: str, options: tuple[str, ...]
) -> None:
    ended = commands.run(command, "--help")
    assert ended.code == 0 and all(option in ended.out for option in options)


def test_there_is_nothing_to_extract(plain: Path, commands: Any, tmp_path: Path) -> None:
    work = tmp_path / "work"
    done(commands.run("import", "npz", plain, "--work-dir", work))
    message = refused(commands.run("extract", work / "experiment.py", "--work-dir", work))
    assert "imported from plain (npz) and there is nothing to extract" in message


def test_importing_again_changes_nothing_and_extracted_features_are_kept(
    tiny_work: Path, plain: Path, commands: Any, tmp_path: Path,
    copy_of: Callable[..., Path],
) -> None:
    work = tmp_path / "work"
    before = None
    for _ in range(2):
        done(commands.run("import", "npz", plain, "--work-dir", work))
        now = {path.name: path.read_bytes() for path in work.rglob("*") if path.is_file()}
        assert before in (None, now)
        before = now
    extracted = copy_of(tiny_work, ("features",))
    assert "features that were not imported are there" in refused(
        commands.run("import", "npz", plain, "--work-dir", extracted))
    done(commands.run("import", "npz", plain, "--work-dir", extracted, "--force"))


@pytest.mark.parametrize("rename", range(1, 7))
def test_an_import_that_was_killed_can_be_repeated(
    plain: Path, commands: Any, tmp_path: Path, rename: int
) -> None:
    work = tmp_path / "work"
    ended = commands.run("import", "npz", plain, "--work-dir", work,
                         die_before_rename=rename)
    assert ended.code == (-9 if rename < 6 else 0)
    assert (work / "experiment.py").exists() == (rename == 6)
    done(commands.run("import", "npz", plain, "--work-dir", work))
    assert {path.name for path in (work / "features").glob("*.h5")} == {
        f"{name}.h5" for name in CACHES}


def test_importing_loads_no_extractor(plain: Path, python: Callable[..., Any],
                                      tmp_path: Path) -> None:
    ended = python("-c", f"""
import sys
from pathlib import Path
from zskel.pipeline.import_.import_ import import_features
from zskel.pipeline.export.export import export
import_features("npz", Path({str(plain)!r}), Path({str(tmp_path / "work")!r}))
export(Path({str(tmp_path / "work")!r}), "npz", Path({str(tmp_path / "npz")!r}))
found = {{name.split(".")[0] for name in sys.modules}}
print(sorted(found & {{"extractors", "mmaction", "sentence_transformers", "torch", "pandas"}}))
""")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    """The mapping file of the docs beside arrays as it describes them."""
    if sys.version_info < (3, 11):
        pytest.skip("TOML is read from Python 3.11 on")
    (text,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "mapping.toml").write_text(text, encoding="utf-8")
    rng = np.random.default_rng(0)
    label = np.tile(np.repeat(np.arange(7), 3), 4)
    np.savez(tmp_path / "mine.npz", features=rng.normal(size=(84, 6)) + label[:, None],
             action=label, person=np.repeat([1, 2, 3, 4], 21),
             actions=np.array(["sit", "stand", "wave", "clap", "jog", "squat", "throw"]),
             embeddings=rng.normal(size=(7, 5)).astype(np.float32))
    return tmp_path / "mapping.toml"


def test_the_documented_mapping_is_imported_and_fitted(
    documented: Path, commands: Any, tmp_path: Path
) -> None:
    work = tmp_path / "mine"
    err = done(commands.run("import", "npz", documented, "--work-dir", work))
    assert "float64, stored as float32" in err and "one backbone for both phases" in err
    found = read_skeleton_features(work / "features" / "skeleton_test.h5")
    assert [found.class_names[c] for c in found.unseen_classes] == ["wave", "clap"]
    assert set(found.subject[found.rows(TEST)].tolist()) == {4}
    done(commands.run("fit", work / "experiment.py", "--work-dir", work, *QUICK))
    assert list((work / "results").glob("*-strict-own-seed0.json"))
    # There are no logits, which the released protocol would otherwise take for C_s.
    done(commands.run("fit", work / "experiment.py", "--work-dir", work, *QUICK,
                      "--cfg-options", "fit.protocol=released"))
    (path,) = (work / "results").glob("*-released-own-seed0.json")
    assert json.loads(path.read_text())["config"]["seen_classifier"] == "f_x"


def test_the_documented_random_split_and_embedding(
    documented: Path, commands: Any, tmp_path: Path
) -> None:
    work, own = tmp_path / "random-0", tmp_path / "my_text.py"
    own.write_text("_base_ = ['_base_/text/minilm_label.py']")
    err = done(commands.run("import", "npz", documented, "--work-dir", work, "--random-split", 0,
                            "--unseen", 2, "--class-text", own, "--method", "recommended"))
    assert f"note: text features of the class names as {own} says" in err.splitlines()
    text = read_text_features(work / "features" / "text.h5")
    assert text.f_y.shape == (7, 384) and text.text.tolist()[0] == "sit"
    experiment = load_experiment(str(work / "experiment.py"))
    assert (experiment.fit.method.name, experiment.fit.gate.name) == (
        "text_prototypes", "left_out_classes")
    expected = np.random.default_rng(0).choice(7, size=2, replace=False)
    assert experiment.split.unseen == sorted(expected.tolist())
    assert experiment.split.name == "random-2-seed0"


def test_the_documented_files_without_subjects(commands: Any, tmp_path: Path) -> None:
    (text,) = re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    rng = np.random.default_rng(0)
    label = np.tile(np.arange(7), 6)
    x = rng.normal(size=(42, 4)).astype(np.float32)
    for name in ("train", "test"):
        np.save(tmp_path / f"{name}_feat.npy", x)
        np.save(tmp_path / f"{name}_label.npy", label)
    with h5py.File(tmp_path / "val.h5", "w") as file:
        file["joint/x"], file["joint/y"] = x, label
    np.save(tmp_path / "f_y.npy", rng.normal(size=(7, 5)).astype(np.float32))
    content = json.loads(text) | {"text": {"f_y": "f_y.npy"}}
    (tmp_path / "mapping.json").write_text(json.dumps(content), encoding="utf-8")
    err = done(commands.run("import", "npz", tmp_path / "mapping.json", "--work-dir", tmp_path))
    assert "calibration: the 42 clips that `subset` marks" in err


@pytest.mark.parametrize(("arguments", "message"), [
    (("import", "synsee", "."), "did you mean 'synse'"),
    (("import", "synse", "nowhere", "--dataset", "ntu60"), "nowhere: no such folder"),
    (("import", "synse", ".", "--dataset", "ntu6"), "unknown data set"),
    (("import", "npz", "nowhere.toml"), "nowhere.toml"),
    (("import", "npz", "{mapping}", "--random-split", "1"), "--unseen N go together"),
    (("import", "npz", "{mapping}", "--method", "cada"), "did you mean 'cada_vae"),
    (("import", "npz", "{mapping}", "--class-text", "minilm"), "did you mean 'minilm_label"),
    (("import", "npz", "{mapping}", "--dataset", "ntu60"), "whose texts --class-text takes"),
    (("import", "npz", "{mapping}", "--class-text", "motion", "--dataset", "utd_mhad"),
     "did you mean 'utd-mhad'"),
    (("import", "npz", "{folder}"), "skeleton_test.npz: no such file"),
])
def test_a_mistake_is_one_line(
    documented: Path, commands: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    filled = [item.format(mapping=documented, folder=tmp_path) for item in arguments]
    ended = commands.run(*filled, "--work-dir", tmp_path / "work")
    assert message in refused(ended)
    assert not (tmp_path / "work" / "experiment.py").exists()


def test_text_features_must_come_from_somewhere(
    documented: Path, commands: Any, tmp_path: Path
) -> None:
    documented.write_text(documented.read_text().split("[text]")[0])
    message = refused(commands.run("import", "npz", documented, "--work-dir", tmp_path / "work"))
    assert "--class-text NAME" in message


@pytest.mark.parametrize(("arguments", "message"), [
    (("--to", "sinse", "out"), "did you mean 'synse'"),
    (("--to", "synse", "out", "--layout", "sadvae"), "did you mean 'sa-dvae'"),
    (("--to", "synse", "out", "--dataset", "a_val"), "give another name"),
])
def test_a_wrong_export_is_one_line(
    tiny_work: Path, commands: Any, arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(commands.run("export", tiny_work, *arguments))


def test_an_export_of_nothing_is_one_line(commands: Any, tmp_path: Path) -> None:
    message = refused(commands.run("export", tmp_path, "--to", "npz", tmp_path / "out"))
    assert "skeleton_test.h5: no such file" in message and not (tmp_path / "out").exists()
