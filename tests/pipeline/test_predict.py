"""``pipeline predict``: recordings to typed labels, and the same answers as the evaluation."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from tests.data.other_formats import write_nw_ucla, write_utd_mhad
from zskel.data.caches import (
    CALIBRATION,
    TRAIN,
    SkeletonFeatures,
    read_skeleton_features,
    read_text_features,
)
from zskel.data.common.checksums import write_checksum
from zskel.data.common.errors import BadInput
from zskel.data.synthetic import Settings, generate, write_ntu
from zskel.pipeline.base.workdir import WorkDir
from zskel.pipeline.predict.novel_labels import resolve_labels
from zskel.pipeline.predict.predict import ModelChoice, predict
from zskel.pipeline.steps.fitted_models import find_fitted_model
from zskel.zsl.gates import GATES

STEM = "sa_dvae-fd-tc-strict-default-seed{}"
UTD = Path(__file__).resolve().parents[2] / "../shared/data/utd-mhad"
PARTS = ("features", "results", "models", "backbones")
OTHER_GATES = sorted(set(GATES.names()) - {"domain_classifier"})


@pytest.fixture(scope="module")
def cache(tiny_work: Path) -> SkeletonFeatures:
    return read_skeleton_features(tiny_work / "features" / "skeleton_test.h5")


@pytest.fixture(scope="module")
def unseen(cache: SkeletonFeatures) -> list[str]:
    return [cache.class_names[index] for index in cache.unseen_classes]


def arrays_of(work: Path, seed: int = 0) -> dict[str, np.ndarray]:
    with np.load(work / "results" / f"{STEM.format(seed)}.npz") as arrays:
        return dict(arrays)


def files_of(raw: Path, sample_ids: Any) -> list[Path]:
    found = [raw / f"{sample_id}.skeleton" for sample_id in sample_ids]
    assert found and all(path.is_file() for path in found)
    return found


@pytest.mark.parametrize(("gzsl", "seed"), [(False, 0), (True, 0), (True, 1)])
def test_test_clips_get_the_answers_of_the_evaluation(
    tiny_work: Path, tiny_raw: Path, cache: SkeletonFeatures, unseen: list[str],
    gzsl: bool, seed: int,
) -> None:
    arrays = arrays_of(tiny_work, seed)
    rows = np.flatnonzero(np.isin(arrays["label"], cache.unseen_classes))
    # Typed in another order and another case they are the same classes.
    typed = [name.upper() for name in reversed(unseen)]
    document = predict(tiny_work, files_of(tiny_raw, arrays["sample_id"][rows]), labels=typed,
                       gzsl=gzsl, model=ModelChoice(seed=seed))
    wanted = arrays["gzsl_prediction" if gzsl else "zsl_prediction"]
    by_id = {clip["sample_id"]: clip for clip in document["clips"]}
    assert len(by_id) == len(rows) == len(unseen)
    for row in rows:
        clip = by_id[arrays["sample_id"][row]]
        assert clip["prediction"] == cache.class_names[wanted[row]]
        assert clip["p_seen"] == pytest.approx(arrays["p_seen"][row], abs=1e-5)
        assert clip["class_of_file"] == cache.class_names[arrays["label"][row]]
        assert clip["top"][0]["label"] == clip["prediction"]
    assert document["notices"] == [] and document["gate"]["fitted"] == "as fitted"


def test_f_x_is_that_of_the_cache(
    tiny_work: Path, tiny_raw: Path, cache: SkeletonFeatures, tmp_path: Path
) -> None:
    from zskel.pipeline.base.config import DatasetConfig
    from zskel.pipeline.base.workdir import WorkDir
    from zskel.pipeline.predict.clips import read_clips
    from zskel.pipeline.predict.features import features_of, weights_file

    dataset = DatasetConfig(name="synthetic", reader="ntu",
                            reader_options={"dataset": "synthetic", "num_classes": 40})
    ids = cache.sample_id[[0, 57, 140]]
    clips = read_clips(files_of(tiny_raw, ids), dataset, None, cache.class_names,
                       cache.preprocessing["cleaning"], tmp_path)
    weights = weights_file(WorkDir(tiny_work), cache, None)
    f_x, logits, _ = features_of(clips.store, cache, weights, {})
    order = [cache.sample_id.tolist().index(name) for name in clips.store.sample_id]
    np.testing.assert_allclose(f_x, cache.f_x[order], atol=1e-5)
    np.testing.assert_allclose(logits, cache.logits[order], atol=1e-4)


def test_labels_of_ones_own_are_embedded_by_the_caches_encoder(
    tiny_work: Path, tiny_raw: Path, cache: SkeletonFeatures, unseen: list[str]
) -> None:
    from zskel.extractors.text import ENCODERS
    from zskel.zsl.fitted import load_fitted

    clip = files_of(tiny_raw, cache.sample_id[:1])
    # As many as there are unseen classes, so that C_d is the fitted one.
    typed = ["drink water", *unseen[1:]]
    document = predict(tiny_work, clip, labels=typed, top=99)
    assert document["gate"]["fitted"] == "as fitted"
    assert sorted(document["labels"]) == sorted(typed)
    text = read_text_features(tiny_work / "features" / "text.h5")
    method = load_fitted(
        tiny_work / "models" / f"{STEM.format(0)}.safetensors", cache,
        read_skeleton_features(tiny_work / "features" / "skeleton_calibration.h5"), text).method
    encoder = ENCODERS.build("sentence_bert", model="all-MiniLM-L6-v2")
    new = method.add_classes(encoder.encode(["drink water"]))
    assert new.tolist() == [len(cache.class_names)]
    method.fit_unseen_classifier([*cache.unseen_classes[1:], *new])
    p_u = method.predict_proba(cache.f_x[:1])[0]
    names = [*unseen[1:], "drink water"]
    found = {each["label"]: each["probability"] for each in document["clips"][0]["top"]}
    assert found == pytest.approx(dict(zip(names, p_u)), abs=1e-4)
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("more", [False, True])
def test_for_another_number_of_labels_the_gate_is_fitted_anew(
    tiny_work: Path, tiny_raw: Path, cache: SkeletonFeatures, unseen: list[str], more: bool
) -> None:
    labels = [*unseen, "drink water", "wave goodbye"] if more else unseen[:2]
    document = predict(tiny_work, files_of(tiny_raw, cache.sample_id[:1]), labels=labels, gzsl=True)
    count = len(cache.unseen_classes)
    assert len(document["notices"]) == 1 and f"{len(labels)} labels" in document["notices"][0]
    expected = (f"{count} validation-unseen classes and 2 of the labels beside them" if more
                else f"2 of {count} validation-unseen classes")
    assert document["gate"]["fitted"] == f"fitted anew with {expected}"
    clip = document["clips"][0]
    assert 0 < clip["p_seen"] < 1
    answers = set(document["labels"]) | set(document["seen_classes"])
    assert clip["prediction"] in answers
    assert len(answers) == len(cache.seen_classes) + len(labels)


def test_the_gate_fitted_anew_is_c_d_on_fewer_classes(
    tiny_work: Path, cache: SkeletonFeatures
) -> None:
    from zskel.zsl.fitted import load_fitted
    from zskel.zsl.gates.domain_classifier import DomainClassifier
    from zskel.zsl.novel_labels import Labels, gate_for

    calibration = read_skeleton_features(tiny_work / "features" / "skeleton_calibration.h5")
    fitted = load_fitted(
        tiny_work / "models" / f"{STEM.format(0)}.safetensors", cache, calibration,
        read_text_features(tiny_work / "features" / "text.h5"))
    gate, _ = gate_for(fitted, "", DomainClassifier(temperatures=[2.0]),
                       Labels(cache.unseen_classes[:2]))
    models = fitted.phases[CALIBRATION]
    drawn = models.unseen_classes
    assert len(drawn) == 2 and set(drawn) <= set(calibration.unseen_classes)
    rows = calibration.rows(CALIBRATION)
    label = calibration.label[rows]
    rows = rows[np.isin(label, calibration.seen_classes) | np.isin(label, drawn)]
    # The same by hand: p'_s (+) p_u, sorted, into a logistic regression.
    train = calibration.rows(TRAIN)
    f_x = calibration.f_x[train].astype(np.float64)
    mean = f_x.mean(axis=0)
    scale = np.sqrt(np.mean(np.sum((f_x - mean) ** 2, axis=1)))
    c_s = LogisticRegression(C=30.0, max_iter=1000).fit(
        (f_x - mean) / scale, calibration.label[train])
    p_s = softmax(c_s.decision_function((calibration.f_x[rows] - mean) / scale) / 2, axis=1)
    p_u = models.method.predict_proba(calibration.f_x[rows])
    x = np.hstack([np.sort(p_s)[:, ::-1][:, :2], np.sort(p_u)[:, ::-1]])
    is_seen = np.isin(calibration.label[rows], calibration.seen_classes)
    c_d = LogisticRegression(class_weight="balanced", max_iter=10_000).fit(x, is_seen)
    ours = gate.predict_proba(models.inputs(rows))
    np.testing.assert_allclose(ours, c_d.predict_proba(x)[:, 1], atol=1e-4)


def test_typed_labels_are_told_from_class_names(cache: SkeletonFeatures) -> None:
    seen = cache.class_names[cache.seen_classes[0]]
    other = cache.class_names[cache.unseen_classes[0]]
    gzsl = resolve_labels([f"  {seen.title()} ", other, "Drink   water"], cache, gzsl=True)
    assert gzsl.seen == [cache.seen_classes[0]] and gzsl.classes == [cache.unseen_classes[0]]
    assert gzsl.new == ["Drink water"] and gzsl.notices == []
    zsl = resolve_labels([seen.upper(), "drink water"], cache, gzsl=False)
    assert zsl.new == ["drink water", seen] and zsl.seen == []
    assert len(zsl.notices) == 1 and "--gzsl" in zsl.notices[0]
    assert resolve_labels([], cache, gzsl=False).classes == list(cache.unseen_classes)


@pytest.mark.parametrize(("labels", "gzsl", "message"), [
    (["a", " A "], False, "twice"),
    (["a", " "], False, "empty"),
    (["a"], False, "only one answer"),
    (["SEEN"], True, "all labels are seen classes"),
])
def test_labels_that_make_no_question_are_refused(
    cache: SkeletonFeatures, labels: list[str], gzsl: bool, message: str
) -> None:
    seen = cache.class_names[cache.seen_classes[0]]
    with pytest.raises(BadInput, match=message):
        resolve_labels([seen if label == "SEEN" else label for label in labels], cache, gzsl)


def test_a_source_without_a_text_says_how_to_give_one(tiny_work: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from zskel.pipeline.predict.novel_labels import ResolvedLabels, with_texts

    text = read_text_features(tiny_work / "features" / "text.h5")
    described = replace(text, config={**text.config, "source": {"name": "description"}})
    typed = ResolvedLabels([], ["drink a potion"], [])
    with pytest.raises(BadInput, match="'drink a potion' has no description.*--text-source"):
        with_texts(typed, described)
    own = tmp_path / "texts.json"
    own.write_text(json.dumps({"drink a potion": "lifting a small bottle to the mouth"}))
    by_file = with_texts(typed, described, [str(own)]).f_y
    by_label = with_texts(typed, described, ["label"]).f_y
    assert by_file.shape == by_label.shape == (1, text.f_y.shape[1])
    assert not np.allclose(by_file, by_label)
    with pytest.raises(BadInput, match="its revision here"):
        with_texts(typed, replace(text, encoder_revision="sha256:other"))
    with pytest.raises(BadInput, match="imported"):
        with_texts(typed, replace(text, config={"file": "semantic_features.mat"}))
    parts = {"verb": text, "noun": text}
    by_part = with_texts(typed, parts, [f"verb={own}"]).f_y
    np.testing.assert_array_equal(by_part["verb"], by_file)
    np.testing.assert_allclose(by_part["noun"], by_label, atol=1e-6)  # the cache says "label"
    for wrong in ("label", "adverb=label", "verb="):
        with pytest.raises(BadInput, match="verb and noun of each label"):
            with_texts(typed, parts, [wrong])


def test_new_labels_have_tokens_where_the_classes_have(tiny_work: Path, tmp_path: Path) -> None:
    from zskel.extractors.text import ENCODERS, embed_classes
    from zskel.pipeline.predict.novel_labels import ResolvedLabels, with_texts

    old = read_text_features(tiny_work / "features" / "text.h5")
    options = old.config["encoder"]
    encoder = ENCODERS.build(options["name"], **options["options"])
    names = list(old.class_names)
    text = embed_classes(encoder, names, [[name] for name in names], "label",
                         {**old.config, "tokens": 7}, keep_tokens=7)
    typed = ResolvedLabels([], [names[2], "drink a potion of a very long name"], [])
    rows = with_texts(typed, text, reads_tokens=True).f_y
    assert rows["f_y"].shape == (2, 384) and rows["tokens"].shape == (2, 7, 384)
    np.testing.assert_array_equal(rows["tokens"][0], text.token_features[2])
    wanted = encoder.token_features(typed.new[1:])[0]
    np.testing.assert_allclose(rows["tokens"][1], wanted[:7], atol=2e-3)
    assert any("1 of 1 classes have more" in notice for notice in typed.notices)
    assert isinstance(with_texts(typed, text).f_y, np.ndarray)  # for other methods
    assert isinstance(with_texts(typed, old, reads_tokens=True).f_y, np.ndarray)


def test_labels_with_the_same_row_are_refused_and_cut_ones_noted(
    tiny_work: Path, tmp_path: Path, cache: SkeletonFeatures, unseen: list[str]
) -> None:
    from zskel.pipeline.predict.novel_labels import ResolvedLabels, with_texts

    text = read_text_features(tiny_work / "features" / "text.h5")
    long = "a long text of no end " * 60
    own = tmp_path / "texts.json"
    own.write_text(json.dumps({"one": long + "one", "two": long + "two", "three": unseen[0]}))
    with pytest.raises(BadInput, match="labels: the classes 'one' and 'two' have the same row .* "
                                       "only behind the 256 tokens"):
        with_texts(ResolvedLabels([], ["one", "two"], []), text, [str(own)])
    with pytest.raises(BadInput, match=f"{unseen[0]}' and 'three' have the same row"):
        with_texts(ResolvedLabels([cache.unseen_classes[0]], ["three"], []), text, [str(own)])
    typed = ResolvedLabels([], ["one", "three"], [])
    with_texts(typed, text, [str(own)])
    (notice,) = typed.notices
    assert "reads 256 tokens" in notice
    assert "1 of 2 classes are longer and were cut: 'one'" in notice
    with pytest.raises(BadInput, match="is empty"):
        resolve_labels(["wave", "\u200b"], cache, True)


def test_a_file_of_any_name_a_folder_and_a_damaged_one(
    tiny_work: Path, tiny_raw: Path, cache: SkeletonFeatures, tmp_path: Path
) -> None:
    good = files_of(tiny_raw, cache.sample_id[:2])
    mine, folder = tmp_path / "my wave.skeleton", tmp_path / "folder"
    folder.mkdir()
    shutil.copy(good[0], mine)
    shutil.copy(good[0], folder)
    shutil.copy(good[1], folder)
    (folder / good[1].name).write_text("40\nnonsense")
    document = predict(tiny_work, [mine, folder], gif=tmp_path / "gifs")
    clips = {clip["sample_id"]: clip for clip in document["clips"]}
    assert set(clips) == {"my wave", good[0].stem}
    assert clips["my wave"]["class_of_file"] is None
    assert clips["my wave"]["prediction"] == clips[good[0].stem]["prediction"]
    assert [skip["name"] for skip in document["skipped"]] == [good[1].stem]
    assert {path.name for path in (tmp_path / "gifs").iterdir()} == {
        "my wave.gif", f"{good[0].stem}.gif"}
    with pytest.raises(BadInput, match="name a folder"):
        predict(tiny_work, [mine, folder], gif=tmp_path / "one.gif")


def test_the_command_prints_a_table_or_json(
    tiny_work: Path, tiny_raw: Path, cache: SkeletonFeatures, commands: Any, tmp_path: Path
) -> None:
    clip = files_of(tiny_raw, cache.sample_id[:1])[0]
    arguments = ("predict", tiny_work, clip, "--label", "drink water", "--label", "wave goodbye")
    ended = commands.run(*arguments, "--json", "--out", tmp_path / "answers.json", "--top", "1")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert document == json.loads((tmp_path / "answers.json").read_text())
    assert document["labels"] == ["drink water", "wave goodbye"]
    assert document["clips"][0]["prediction"] in document["labels"]
    assert len(document["clips"][0]["top"]) == 1 and len(document["clips"][0]["nearest_seen"]) == 3
    ended = commands.run(*arguments, "--gif", tmp_path / "clip.gif")
    assert ended.code == 0, ended.err
    assert clip.stem in ended.out and document["clips"][0]["prediction"] in ended.out
    assert (tmp_path / "clip.gif").read_bytes()[:3] == b"GIF"


@pytest.mark.parametrize(("arguments", "message"), [
    (("{work}", "nowhere.skeleton"), "no such file"),
    (("dmeo", "{clip}"), "did you mean 'demo'"),
    (("{work}", "{clip}", "--seed", "7"), "there are seeds 0, 1"),
    (("{work}", "{clip}", "--method", "sa_dave"), "did you mean 'sa_dvae'"),
    (("{work}", "{clip}", "--gate", "hard"), "has no gate 'hard'"),
    (("{work}", "{clip}", "--weights", "{clip}"), "not the weights"),
    (("{work}", "{work}/features"), "features"),
])
def test_a_mistake_is_one_line(
    tiny_work: Path, tiny_raw: Path, cache: SkeletonFeatures, commands: Any,
    arguments: tuple[str, ...], message: str,
) -> None:
    clip = files_of(tiny_raw, cache.sample_id[:1])[0]
    ended = commands.run("predict", *(a.format(work=tiny_work, clip=clip) for a in arguments))
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1 and message in ended.err, ended.err


def test_a_pickle_points_to_the_reader_that_takes_it(tmp_path: Path) -> None:
    from zskel.pipeline.base.config import DatasetConfig
    from zskel.pipeline.predict.clips import read_clips

    keypoint = np.random.default_rng(0).normal(size=(1, 9, 25, 3)).astype(np.float32)
    clips = [{"frame_dir": "p07_wave", "label": 0, "keypoint": keypoint, "total_frames": 9}]
    path, half = tmp_path / "mine.pkl", tmp_path / "half.pkl"
    path.write_bytes(pickle.dumps({"annotations": clips, "split": {}}))
    half.write_bytes(path.read_bytes()[:200])
    ours = DatasetConfig(name="synthetic", reader="ntu", reader_options=dict(
        dataset="synthetic", num_classes=40))
    for file, message in ((path, "mine.pkl: is nothing for the experiment's reader 'ntu', but "
                                 "'pose_pickle' reads it: add --reader pose_pickle"),
                          (half, "half.pkl: is not a whole pickle")):
        with pytest.raises(BadInput, match=message):
            read_clips([file], ours, None, ["a"], [], tmp_path)
    found = read_clips([path], ours, "pose_pickle", ["a"], [], tmp_path)
    assert found.store.sample_id.tolist() == ["p07_wave"]


@pytest.mark.parametrize(("ours", "file", "other"), [
    ("ntu", "clip_skeleton.mat", "utd_mhad"), ("ntu", "a1_s1_t1_skeleton.mat", "utd_mhad"),
    ("ntu", "my wave.json", "nw_ucla"), ("utd_mhad", "my wave.skeleton", "ntu"),
])
def test_one_file_points_to_the_reader_that_takes_it(
    tmp_path: Path, ours: str, file: str, other: str
) -> None:
    from zskel.pipeline.base.config import DatasetConfig
    from zskel.pipeline.predict.clips import read_clips

    recordings = list(generate(Settings(performers=1, cameras=1, frames=(16, 18),
                                        actions=("jump up",))))
    write = {"utd_mhad": write_utd_mhad, "nw_ucla": write_nw_ucla, "ntu": write_ntu}[other]
    write(recordings[:1], tmp_path / "made")
    (made,) = (path for path in (tmp_path / "made").rglob("*.*") if path.is_file())
    path, damaged = tmp_path / file, tmp_path / f"damaged {file}"
    path.write_bytes(made.read_bytes())
    damaged.write_bytes(made.read_bytes()[:40])
    options = {"dataset": "synthetic", "num_classes": 40} if ours == "ntu" else {}
    dataset = DatasetConfig(name="synthetic", reader=ours, reader_options=options)
    with pytest.raises(BadInput, match=f"{path.name}: is nothing for the experiment's reader "
                                       f"'{ours}', but '{other}' reads it: add --reader {other}"):
        read_clips([path], dataset, None, ["a"], [], tmp_path)
    found = read_clips([path], dataset, other, ["a"], [], tmp_path)
    assert len(found.store) == 1
    with pytest.raises(BadInput, match="none of 1 files could be read"):
        read_clips([damaged], dataset, None, ["a"], [], tmp_path)


def test_fit_keeps_models_adds_gates_and_makes_lost_ones_again(
    tiny_work: Path, tiny_config: Path, commands: Any, copy_of: Callable[..., Path]
) -> None:
    from zskel.zsl.fitted import read_card

    work = copy_of(tiny_work, PARTS)
    model = work / "models" / f"{STEM.format(0)}.safetensors"
    before, result = model.read_bytes(), work / "results" / f"{STEM.format(0)}.npz"
    stamp = result.stat().st_mtime_ns
    assert commands.run("fit", tiny_config, "--work-dir", work).code == 0
    assert model.read_bytes() == before
    model.unlink()
    assert commands.run("fit", tiny_config, "--work-dir", work).code == 0
    assert model.read_bytes() == before and result.stat().st_mtime_ns == stamp
    assert commands.run("fit", tiny_config, "--work-dir", work, "--seeds", 1,
                        "--gate", "all").code == 0
    gates = read_card(model)["gates"]
    assert {"", *OTHER_GATES} <= set(gates)
    model.write_bytes(model.read_bytes()[:-9])
    with pytest.raises(BadInput, match="damaged"):
        predict(work, [work])
    model.unlink()
    changed = commands.run("fit", tiny_config, "--work-dir", work, "--seeds", 1, "--no-models",
                           "--cfg-options", "fit.method.options.epochs=1")
    assert changed.code == 0 and not model.exists()


@pytest.mark.parametrize("gate", OTHER_GATES)
def test_every_gate_answers_as_in_its_evaluation(
    tiny_work: Path, tiny_config: Path, tiny_raw: Path, cache: SkeletonFeatures, commands: Any,
    tmp_path_factory: pytest.TempPathFactory, gate: str,
) -> None:
    work = tmp_path_factory.getbasetemp() / "every-gate"
    if not work.exists():
        for part in PARTS:
            shutil.copytree(tiny_work / part, work / part)
        ended = commands.run("fit", tiny_config, "--work-dir", work, "--seeds", 1, "--gate", "all")
        assert ended.code == 0, ended.err
    with np.load(work / "results" / f"sa_dvae-fd-tc-strict-default-gate-{gate}-seed0.npz") as file:
        arrays = dict(file)
    rows = np.flatnonzero(np.isin(arrays["label"], cache.unseen_classes))
    document = predict(work, files_of(tiny_raw, arrays["sample_id"][rows]), gzsl=True,
                       model=ModelChoice(gate=gate))
    found = {clip["sample_id"]: clip for clip in document["clips"]}
    for row in rows:
        clip = found[arrays["sample_id"][row]]
        assert clip["prediction"] == cache.class_names[arrays["gzsl_prediction"][row]]
        assert clip["p_seen"] == pytest.approx(arrays["p_seen"][row], abs=1e-4)


def test_of_several_methods_the_experiments_own_is_asked_or_the_one_named(
    tiny_work: Path, tiny_config: Path, tiny_raw: Path, cache: SkeletonFeatures, commands: Any,
    copy_of: Callable[..., Path],
) -> None:
    work = copy_of(tiny_work, PARTS)
    clip = files_of(tiny_raw, cache.sample_id[:1])
    fit = ("fit", tiny_config, "--work-dir", work, "--seeds", 1)
    assert commands.run(*fit, "--method", "ridge").code == 0
    assert predict(work, clip)["method"] == "sa_dvae"
    with np.load(next((work / "results").glob("ridge-*-seed0.npz"))) as arrays:
        row = int(np.flatnonzero(arrays["label"] == cache.unseen_classes[0])[0])
        other = files_of(tiny_raw, [arrays["sample_id"][row]])
        wanted = arrays["gzsl_prediction"][row]
    document = predict(work, other, model=ModelChoice("ridge"), gzsl=True)
    assert document["method"] == "ridge"
    assert document["clips"][0]["prediction"] == cache.class_names[wanted]
    assert commands.run(*fit, "--method", "recommended").code == 0
    recommended = predict(work, other, model=ModelChoice("recommended"), gzsl=True)
    assert (recommended["method"], recommended["gate"]["name"]) == (
        "text_prototypes", "left_out_classes")
    assert predict(work, other, model=ModelChoice("text_prototypes", "left_out_classes"),
                   gzsl=True)["clips"] == recommended["clips"]
    assert commands.run(*fit, "--method", "recommended", "--cfg-options",
                        "fit.protocol=transductive").code == 0
    assert predict(work, other, model=ModelChoice("recommended"))["protocol"] == "strict"
    for protocol in ("transductive", "released"):  # the latter has not been fitted
        _, card = find_fitted_model(WorkDir(work), "text_prototypes", 0, protocol)
        assert card["origin"]["identity"]["protocol"] == (
            protocol if protocol == "transductive" else "strict")
    name = "text_prototypes-default-transductive-default-seed0"
    assert predict(work, other, model=ModelChoice(name))["protocol"] == "transductive"
    assert commands.run(*fit, "--cfg-options", "fit.method.options.variant=fd").code == 0
    with pytest.raises(BadInput, match="choose with --method NAME, one of sa_dvae-fd-strict"):
        predict(work, clip)
    assert predict(work, clip, model=ModelChoice("sa_dvae fd"))["variant"] == "fd"
    assert predict(work, clip, model=ModelChoice(STEM.format(0)))["variant"] == "fd+tc"


def test_changed_caches_and_imported_features_are_refused(
    tiny_work: Path, tiny_raw: Path, cache: SkeletonFeatures, copy_of: Callable[..., Path]
) -> None:
    import h5py
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    work = copy_of(tiny_work, PARTS)
    clip = files_of(tiny_raw, cache.sample_id[:1])
    model = work / "models" / f"{STEM.format(0)}.safetensors"
    with safe_open(model, "numpy") as file:
        card = json.loads(file.metadata()["card"])
    imported = {**card, "origin": {**card["origin"], "dataset": {"name": "synthetic"}}}
    save_file(load_file(model), model, {"card": json.dumps(imported)})
    with pytest.raises(BadInput, match="imported"):
        predict(work, clip)
    save_file(load_file(model), model, {"card": json.dumps(card)})
    assert predict(work, clip)["clips"]
    with h5py.File(work / "features" / "text.h5", "r+") as file:
        file["f_y"][0, 0] += 1
    write_checksum(work / "features" / "text.h5")
    with pytest.raises(BadInput, match="was fitted on other caches"):
        predict(work, clip)


def test_a_recording_of_another_data_set_and_a_name_of_ones_own(
    tiny_raw: Path, cache: SkeletonFeatures, tmp_path: Path
) -> None:
    from zskel.data.readers.utd_mhad import UTDMHADReader
    from zskel.pipeline.base.config import DatasetConfig
    from zskel.pipeline.predict.clips import read_clips

    ours = DatasetConfig(name="utd-mhad", reader="utd_mhad")
    clip = files_of(tiny_raw, cache.sample_id[:1])[0]
    cleaning = [{"type": "keep_most_active", "bodies": 1}]
    found = read_clips([clip], ours, "ntu", ["a"], cleaning, tmp_path)
    assert not found.labelled and found.store.sample_id.tolist() == [clip.stem]
    few = DatasetConfig(name="own", reader="pose_pickle", reader_options=dict(
        dataset="own", class_names=["a"], layout=dict(
            joints=list("abcdef"), bones=[[child, "a"] for child in "bcdef"],
            center="a", spine=["a", "b"], shoulders=["c", "d"], hips=["e", "f"])))
    with pytest.raises(BadInput, match="gives 25 joints .*takes 6"):
        read_clips([clip], few, "ntu", ["a"], cleaning, tmp_path / "other")
    real = UTD / "a27_s4_t2_skeleton.mat"
    if not real.is_file():
        pytest.skip("no UTD-MHAD recordings in ../shared/data")
    (tmp_path / "my squat.mat").symlink_to(real.resolve())
    for path, name, label in ((real, "a27_s4_t2", 26), (tmp_path / "my squat.mat", "my squat", -1)):
        found = read_clips([path], ours, None, ["a"] * 27, cleaning, tmp_path / name)
        assert found.store.sample_id.tolist() == [name] and found.store.label.tolist() == [label]
        assert found.files == {name: str(path)}
        reader = UTDMHADReader([UTD])
        entry = next(e for e in reader.scan().entries if e.sample_id == "a27_s4_t2")
        np.testing.assert_array_equal(found.store.keypoint(0), reader.read(entry))
