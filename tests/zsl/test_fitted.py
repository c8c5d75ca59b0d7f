"""Fitted models kept in one file, and asked about labels that were no classes."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from small_methods import texts_of
from transferable import make

from zskel.data.caches import CALIBRATION, TEST, SkeletonFeatures, TextFeatures
from zskel.data.common.errors import BadInput
from zskel.zsl.cache_checks import Caches
from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.evaluation import evaluate_gates
from zskel.zsl.fitted import load_fitted, read_card, save_fitted
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import Gate
from zskel.zsl.methods import METHODS
from zskel.zsl.novel_labels import Labels, choose_among_labels, gate_for, predict_labels
from zskel.zsl.protocols import STRICT

SMALL = {
    "sa_dvae": dict(z_r_dim=8, z_v_dim=2, epochs=2, batch_size=32, classifier_epochs=20,
                    classifier_samples=20, joint_samples=10),
}
GATES_KEPT = ("calibrated_stacking", "domain_classifier", "error_ratio", "familiarity", "hard",
              "joint_softmax", "left_out_classes")


def quick(name, **options):
    """A method with as little training as its options allow."""
    fields = type(METHODS.build(name, seed=0).params).model_fields
    least = {key: value for key, value in dict(
        epochs=1, batch_size=32, classifier_epochs=5, classifier_samples=10, joint_samples=10,
    ).items() if key in fields}
    return METHODS.build(name, **{**least, **SMALL.get(name, {}), "seed": 0, **options})


def caches(seed=0):
    """A problem as two phases: five unseen classes, and five validation-unseen ones."""
    problem = make(seed, clips=4)
    names = tuple(f"class {k}" for k in range(25))
    held_out = problem.seen[:5]

    def features(phase, seen, unseen, f_x, y, subset):
        n = len(y)
        some = np.full(n, -1, np.int16)
        return SkeletonFeatures(
            f_x=f_x, logits=np.zeros((n, len(seen)), np.float32), label=y.astype(np.int64),
            sample_id=np.array([f"{phase}{k}" for k in range(n)]), subset=np.array(subset),
            subject=np.arange(n, dtype=np.int16) % 4, camera=some, setup=some, replication=some,
            dataset="made-up", sample_protocol="cross-subject", phase=phase, class_names=names,
            seen_classes=tuple(seen), unseen_classes=tuple(unseen), backbone="none",
            weights_sha256="0" * 64, preprocessing={}, config={}, software={},
            created="2026-01-01T00:00:00+00:00")

    both = np.concatenate([problem.f_x, problem.test_f_x])
    test = features(TEST, problem.seen, problem.unseen, both,
                    np.concatenate([problem.y, problem.test_y]),
                    ["train"] * len(problem.y) + ["test"] * len(problem.test_y))
    seen = tuple(sorted(set(problem.seen) - set(held_out)))
    known = np.isin(problem.y, seen)
    train = known & (np.arange(len(known)) % 3 > 0)
    # Every class needs a training clip.
    train |= known & ~np.isin(problem.y, problem.y[train])
    calibration = features(CALIBRATION, seen, held_out, problem.f_x, problem.y,
                           np.where(train, "train", "calibration"))
    text = TextFeatures(f_y=problem.f_y, text=np.array(names), class_names=names, encoder="none",
                        encoder_revision="", text_source="label")
    return problem, test, calibration, text


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A file with every gate, the evaluations, and what it was fitted on."""
    problem, test, calibration, text = caches()
    found = []
    evaluations = evaluate_gates(
        Caches(test, calibration, text), method=lambda seed: quick("sa_dvae", seed=seed),
        gates={name: lambda seed, name=name: GATES.build(name, seed=seed) for name in GATES_KEPT},
        seed=3, on_fitted=found.append)
    path = tmp_path_factory.mktemp("fitted") / "a.safetensors"
    save_fitted(found[0], path, {name: {"name": name, "options": {}} for name in GATES_KEPT},
                {"split": "made up"})
    return path, evaluations, (test, calibration, text), problem


@pytest.mark.parametrize("gate", GATES_KEPT)
def test_what_is_read_back_predicts_as_the_evaluation_did(kept, gate):
    path, evaluations, (test, calibration, text), _ = kept
    fitted = load_fitted(path, test, calibration, text)
    rows = evaluations[gate].predictions
    new = test.rows(TEST)
    answers = predict_labels(fitted.phases[TEST], fitted.gates[gate], test.f_x[new])
    classes = np.concatenate([answers.seen_classes, answers.unseen_classes])
    np.testing.assert_array_equal(classes[answers.joint_proba.argmax(axis=1)], rows.gzsl_prediction)
    # Sums of products in another order of memory: the last bit may differ.
    np.testing.assert_allclose(answers.p_seen, rows.p_seen, rtol=1e-12)
    zsl = answers.unseen_classes[answers.unseen_proba.argmax(axis=1)]
    asked = rows.zsl_prediction >= 0
    np.testing.assert_array_equal(zsl[asked], rows.zsl_prediction[asked])
    assert fitted.gates[gate].description() == evaluations[gate].gate
    assert fitted.seed == 3 and read_card(path)["origin"] == {"split": "made up"}


def test_all_registered_gates_are_tried_here():
    assert set(GATES_KEPT) <= set(GATES.names())
    for name in GATES.names():
        gate = GATES.get(name)
        assert gate.state is not Gate.state and gate.restore is not Gate.restore, name


def test_a_gate_without_state_says_so():
    class Bare(Gate):
        name = "bare"

        def fit(self, inputs, is_seen, columns=None):
            return self

        def predict_proba(self, inputs):
            return np.full(len(inputs), 0.5)

        def description(self):
            return {}

    with pytest.raises(BadInput, match="bare cannot be kept"):
        Bare().state()


def _card(path, change):
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        card = json.loads(file.metadata()["card"])
    change(card)
    save_file(load_file(path), path, {"card": json.dumps(card)})


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda p: p.unlink(), "no such file"),
    (lambda p: p.write_bytes(p.read_bytes()[:-3]), "damaged"),
    (lambda p: p.write_bytes(b""), "damaged"),
    (lambda p: save_file({"a": np.ones(2)}, p), "expected"),
    (lambda p: _card(p, lambda c: c.update(format_version=9)), "format_version 9"),
    (lambda p: _card(p, lambda c: c["gates"]["hard"].update(values={})), "do not make"),
    (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\x7f"), "not those that were written"),
])
def test_a_spoilt_file_is_refused(kept, tmp_path, spoil, message):
    path = tmp_path / "copy.safetensors"
    path.write_bytes(kept[0].read_bytes())
    spoil(path)
    with pytest.raises(BadInput, match=message):
        load_fitted(path, *kept[2])


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_takes_further_classes(name):
    problem = make(1, clips=4)
    method = quick(name)
    others = {"f_x_masked": problem.f_x_masked} if method.extra_features else {}
    whole = texts_of(method, problem.f_y, problem.parts)
    # The last unseen class is not there at first: ids are rows, so it is the last row.
    last = problem.unseen[-1]
    order = [c for c in range(25) if c != last] + [last]
    new_id = {c: k for k, c in enumerate(order)}
    pick = (lambda rows: {k: v[rows] for k, v in whole.items()}) if method.text_parts else \
        (lambda rows: whole[rows])
    seen = sorted(new_id[c] for c in problem.seen)
    unseen = sorted(new_id[c] for c in problem.unseen)
    y = np.array([new_id[c] for c in problem.y])
    method.fit(problem.f_x, y, pick(order), seen_classes=seen, **others)
    expected = method.fit_unseen_classifier(unseen).predict_proba(problem.test_f_x)

    fewer = quick(name).fit(problem.f_x, y, pick(order[:-1]), seen_classes=seen, **others)
    fewer.fit_unseen_classifier(unseen[:-1])
    before = fewer.predict_proba(problem.test_f_x)
    assert fewer.add_classes(pick(order[-1:])).tolist() == [24]
    np.testing.assert_array_equal(fewer.predict_proba(problem.test_f_x), before)
    found = fewer.fit_unseen_classifier(unseen).predict_proba(problem.test_f_x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(BadInput, match="columns"):
        narrow = {k: v[:1, :-1] for k, v in whole.items()} if method.text_parts else whole[:1, :-1]
        fewer.add_classes(narrow)
    with pytest.raises(BadInput, match="further classes"):
        fewer.add_classes({"adverb": problem.f_y[:1]})


@pytest.mark.parametrize("classes", [2, 5])
def test_a_restored_c_s_gives_the_same_scores(classes):
    rng = np.random.default_rng(0)
    y = np.arange(60) % classes + 3
    f_x = (rng.normal(size=(60, 7)) + y[:, None]).astype(np.float32)
    one, two = SeenClassifier(inverse_penalty=2.0).fit(f_x, y), SeenClassifier()
    two.restore(one.state())
    np.testing.assert_allclose(one.logits(f_x), two.logits(f_x), rtol=1e-12, atol=1e-12)
    assert two.classes.tolist() == one.classes.tolist() and two.inverse_penalty == 2.0


@pytest.mark.parametrize("known", [2, 5])
@pytest.mark.parametrize("new", [0, 3])
def test_labels_beyond_the_classes_have_columns_of_their_own(kept, known, new):
    path, _, (test, calibration, text), problem = kept
    fitted = load_fitted(path, test, calibration, text)
    f_y = np.random.default_rng(0).normal(size=(new, text.f_y.shape[1])).astype(np.float32)
    labels = Labels(problem.unseen[:known], f_y if new else None)
    assert len(labels) == known + new
    for name in GATES_KEPT:
        fitted = load_fitted(path, test, calibration, text)
        gate, how = gate_for(fitted, name, GATES.build(name, seed=3), labels)
        assert (how == "as fitted") == (known + new == 5), how
        models = choose_among_labels(fitted.phases[TEST], labels)
        answers = predict_labels(models, gate, test.f_x[:4])
        assert answers.unseen_classes.tolist() == [*problem.unseen[:known], *range(25, 25 + new)]
        assert answers.joint_proba.shape == (4, 20 + known + new)
        np.testing.assert_allclose(answers.unseen_proba.sum(axis=1), 1)
        assert ((answers.p_seen >= 0) & (answers.p_seen <= 1)).all()


def test_labels_bring_tokens_where_the_model_was_fitted_on_some(tmp_path):
    problem, test, calibration, text = caches()
    rng = np.random.default_rng(0)
    mask = np.arange(4) < rng.integers(1, 5, size=(25, 1))
    text = dataclasses.replace(
        text, token_features=rng.normal(size=(25, 4, 6)) * mask[..., None], token_mask=mask)
    found, path = [], tmp_path / "a.safetensors"
    evaluate_gates(
        Caches(test, calibration, text),
        method=lambda seed: quick("flora", width=8, heads=2, noises=1, seed=seed),
        gates={"familiarity": lambda seed: GATES.build("familiarity", seed=seed)},
        on_fitted=found.append)
    save_fitted(found[0], path, {"familiarity": {"name": "familiarity", "options": {}}}, {})
    # Twice the unseen classes, once as they are known and once as labels that somebody types.
    rows = list(problem.unseen)
    labels = Labels(rows, {"f_y": text.f_y[rows], "tokens": text.token_features[rows]})
    fitted = load_fitted(path, test, calibration, text)
    gate, _ = gate_for(fitted, "familiarity", GATES.build("familiarity", seed=0), labels)
    answers = predict_labels(
        choose_among_labels(fitted.phases[TEST], labels), gate, test.f_x[:9])
    known, typed = np.split(answers.unseen_proba, 2, axis=1)
    np.testing.assert_allclose(known, typed, rtol=1e-5)
    assert answers.joint_proba.shape == (9, 20 + 2 * len(rows))


def test_a_seen_class_is_no_label(kept):
    path, _, (test, calibration, text), problem = kept
    fitted = load_fitted(path, test, calibration, text)
    with pytest.raises(BadInput, match="seen"):
        choose_among_labels(fitted.phases[TEST], Labels([problem.seen[0], problem.unseen[0]]))


def test_logits_are_needed_where_c_s_is_the_last_layer(kept):
    _, _, (test, calibration, text), _ = kept
    rng = np.random.default_rng(0)
    test, calibration = (dataclasses.replace(
        f, logits=rng.normal(size=f.logits.shape).astype(np.float32)) for f in (test, calibration))
    found = []
    evaluate_gates(Caches(test, calibration, text), method=lambda seed: quick("ridge"),
                   gates={"": lambda seed: GATES.build("domain_classifier", seed=seed)},
                   protocol=dataclasses.replace(STRICT, seen_from="logits"),
                   on_fitted=found.append)
    models = found[0].phases[TEST]
    answers = predict_labels(models, found[0].gates[""], test.f_x[:3], test.logits[:3])
    inputs = models.inputs(np.arange(3))
    np.testing.assert_array_equal(answers.seen_proba, inputs.seen_proba)
    with pytest.raises(BadInput, match="logits are missing"):
        predict_labels(models, found[0].gates[""], test.f_x[:3])
