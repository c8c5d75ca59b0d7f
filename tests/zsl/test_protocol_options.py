"""Many gates on one fit, the released protocol, choices of C_s, text parts, extra features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.zsl.test_zsl_protocols import SEEN, UNSEEN, VALIDATION, caches, gate, method
from zskel.data.common.errors import BadCache, BadInput
from zskel.zsl.cache_checks import Caches
from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.evaluation import evaluate, evaluate_gates
from zskel.zsl.gates import GATES
from zskel.zsl.gates.base import Gate
from zskel.zsl.gates.hard import HardGate
from zskel.zsl.methods.base import Latents, State, ZeroShotMethod
from zskel.zsl.metrics import METRICS
from zskel.zsl.protocols import PROTOCOLS, RELEASED, STRICT, TRANSDUCTIVE, Protocol


class Scripted(ZeroShotMethod):
    """Predicts unseen classes with an accuracy that follows a script, epoch by epoch.

    Rows are told apart by their first feature, which the test sets to the label.
    """

    name = "scripted"
    script = (0.25, 0.75, 0.75, 0.5)

    def __init__(self, seed=0):
        self.params, self.calls = {"seed": seed}, {}

    def steps(self, samples):
        return len(self.script)

    def fit(self, f_x, y, f_y, *, seen_classes, on_progress=None, on_epoch=None, **others):
        self.calls = {"f_y": f_y, "rows": f_x, **others}
        self.seen_classes, self.history = np.asarray(seen_classes), {"loss": list(self.script)}
        for self.epoch in range(len(self.script)):  # noqa: B020  (the script is read here only)
            on_epoch and on_epoch(self.epoch)
            on_progress and on_progress(self.epoch + 1, len(self.script))
        return self

    def fit_unseen_classifier(self, unseen_classes):
        self.unseen_classes = np.asarray(unseen_classes)
        return self

    def predict_proba(self, f_x):
        truth = np.searchsorted(self.unseen_classes, f_x[:, 0]) % len(self.unseen_classes)
        rank = np.arange(len(f_x)) / len(f_x)
        column = np.where(rank < self.script[self.epoch], truth, (truth + 1) % 4)
        return np.eye(len(self.unseen_classes))[column] * 0.9 + 0.025

    def transform(self, f_x):
        return Latents(f_x[:, :2].copy(), f_x[:, 2:4].copy())

    def state(self):
        return State({}, {"epoch": self.epoch})

    def restore(self, state):
        self.epoch = state.values["epoch"]


class Parts(Scripted):
    name = "parts"
    text_parts = ("verb", "noun")
    extra_features = ("f_x_masked",)


class Spy(Gate):
    """Remembers its inputs; needs what the test says."""

    name = "spy"

    def __init__(self, *needs):
        self.needs = frozenset(needs)

    def fit(self, inputs, is_seen, columns=None):
        self.inputs, self.is_seen, self.columns = inputs, is_seen, columns
        return self

    def predict_proba(self, inputs):
        self.tested = inputs
        return np.full(len(inputs), 0.5)

    def description(self):
        return {}


def labelled_caches():
    """The caches with each row's label as its first feature."""
    test, calibration, text = caches()
    marked = []
    for features in (test, calibration):
        f_x = features.f_x.copy()
        f_x[:, 0] = features.label
        marked.append(replace(features, f_x=f_x))
    return *marked, text


def scripted(seed):
    return Scripted(seed)


def mirrored(seed):
    return HardGate(mirrored=True, seed=seed)


def test_many_gates_give_what_each_gives_alone():
    gates = {"c_d": gate, "other": lambda seed: HardGate([1.0, 2.0], seed=seed)}
    together = evaluate_gates(Caches(*caches()), method=method, gates=gates, seed=1)
    for name, make in gates.items():
        alone = evaluate(Caches(*caches()), method=method, gate=make, seed=1)
        one, other = alone.predictions, together[name].predictions
        assert np.array_equal(one.gzsl_prediction, other.gzsl_prediction)
        assert np.array_equal(one.p_seen, other.p_seen)
        assert alone.gate == together[name].gate and alone.metrics == together[name].metrics
    assert together["c_d"].metrics["zsl_accuracy"] == together["other"].metrics["zsl_accuracy"]


def test_every_registered_gate_works_with_sa_dvae():
    gates = {name: lambda seed, name=name: GATES.build(name, seed=seed) for name in GATES.names()}
    for name, e in evaluate_gates(Caches(*caches()), method=method, gates=gates).items():
        h = e.metrics["gzsl_harmonic_mean"]
        assert h <= e.predictions.curve.best_harmonic_mean + 1e-9, name
        assert e.metrics["gzsl_oracle_harmonic_mean"] >= h - 1e-9, name
        assert e.metrics.keys() == METRICS.keys()
        assert all(0 <= value <= 1 for value in e.metrics.values()), name
        assert e.gate["name"] == name and e.selection == {}


def test_areas_follow_from_the_rows():
    e = evaluate(Caches(*caches()), method=method, gate=gate)
    unseen = np.isin(e.predictions.label, UNSEEN)
    higher = e.predictions.p_seen[~unseen][:, None] - e.predictions.p_seen[unseen]
    assert e.metrics["domain_auc"] == pytest.approx(np.mean((higher > 0) + (higher == 0) / 2))
    # Either end of the curve is one side's answer to everything.
    curve = e.predictions.curve
    assert curve.unseen[-1] == e.metrics["zsl_accuracy"] and curve.seen[-1] == curve.unseen[0] == 0
    assert e.metrics["gzsl_ausuc"] <= curve.seen[0] * curve.unseen[-1] + 1e-12


def test_released_keeps_the_first_best_epoch_and_says_so():
    e = evaluate(Caches(*labelled_caches()), method=scripted, gate=mirrored, protocol=RELEASED)
    assert e.protocol == "released" and e.gate["mirrored"] is True
    assert e.metrics["zsl_accuracy"] == 0.75  # strict's last epoch has 0.5.
    last = evaluate(Caches(*labelled_caches()), method=scripted, gate=gate)
    assert last.metrics["zsl_accuracy"] == 0.5
    assert e.selection["test"] == {"epoch": 1, "zsl_accuracy": 0.75, "rows": 32}
    assert e.selection["calibration"] == {"epoch": 1, "zsl_accuracy": 0.75, "rows": 16}


def test_released_without_the_choice_of_epoch_has_the_last_one():
    e = evaluate(Caches(*labelled_caches()), method=scripted, gate=gate,
                 protocol=replace(RELEASED, best_epoch=False))
    assert e.protocol == "released" and e.metrics["zsl_accuracy"] == 0.5 and e.selection == {}


def test_released_restores_a_real_method_to_its_best_epoch():
    test, calibration, text = caches()
    accuracy = []

    class Watched(type(method(0))):
        def fit(self, *arguments, on_epoch=None, **options):
            def note(epoch):
                on_epoch(epoch)
                rows = test.rows("test")
                rows = rows[np.isin(test.label[rows], UNSEEN)]
                if self.seen_classes.tolist() == list(SEEN):
                    found = self.unseen_classes[self.predict_proba(test.f_x[rows]).argmax(axis=1)]
                    accuracy.append(float(np.mean(found == test.label[rows])))
            return super().fit(*arguments, on_epoch=note, **options)

    e = evaluate(Caches(test, calibration, text), gate=gate, protocol=RELEASED,
                 method=lambda seed: Watched(**method(seed).params.model_dump()))
    assert e.metrics["zsl_accuracy"] == max(accuracy)
    assert e.selection["test"]["epoch"] == int(np.argmax(accuracy))
    assert len(e.history["test"]["loss"]) == len(accuracy) == 15


def test_released_takes_the_backbones_logits_for_c_s():
    test, calibration, text = labelled_caches()
    logits = np.random.default_rng(0).normal(size=test.logits.shape).astype(np.float32)
    spy = Spy()
    e = evaluate(Caches(replace(test, logits=logits), calibration, text), method=scripted,
                 gate=lambda seed: spy, protocol=RELEASED)
    np.testing.assert_array_equal(spy.tested.seen_logits, logits[test.rows("test")])
    # With p_d = 0.5 everywhere the seen answers are the logits' own.
    chosen = e.predictions.gzsl_prediction
    seen = np.isin(chosen, SEEN)
    assert np.array_equal(chosen[seen], np.asarray(SEEN)[logits[test.rows("test")].argmax(1)][seen])


def test_c_s_on_z_r():
    test, calibration, text = caches()
    spy = Spy()
    evaluate(Caches(test, calibration, text), method=method, gate=lambda seed: spy,
             protocol=replace(STRICT, seen_from="z_r"))
    train, rows = test.rows("train"), test.rows("test")
    fitted = method(0).fit(test.f_x[train], test.label[train], text.f_y, seen_classes=SEEN)
    plain = SeenClassifier().fit(fitted.transform(test.f_x[train]).z_r, test.label[train])
    np.testing.assert_allclose(
        spy.tested.seen_logits, plain.logits(fitted.transform(test.f_x[rows]).z_r))
    with pytest.raises(BadInput, match="seen_from is 'f_y', expected one of f_x, z_r, logits"):
        Protocol("mine", seen_from="f_y")


def test_gates_get_what_they_need_and_nothing_else():
    test, calibration, text = labelled_caches()
    bare, needy = Spy(), Spy("f_x", "f_y", "reference")
    evaluate(Caches(test, calibration, text), method=scripted, gate=lambda seed: bare)
    inputs = bare.inputs
    assert inputs.f_x is None and inputs.f_y is None and inputs.reference is None
    assert inputs.joint_proba is None and inputs.evidence == {}
    evaluate(Caches(test, calibration, text), method=scripted, gate=lambda seed: needy)
    inputs, rows = needy.inputs, calibration.rows("calibration")
    np.testing.assert_array_equal(inputs.f_x, calibration.f_x[rows])
    classes = np.array([*calibration.seen_classes, *VALIDATION])
    np.testing.assert_array_equal(inputs.f_y, text.f_y[classes])
    np.testing.assert_array_equal(classes[needy.columns], calibration.label[rows])
    train = calibration.rows("train")
    np.testing.assert_array_equal(inputs.reference.f_x, calibration.f_x[train])
    np.testing.assert_array_equal(classes[inputs.reference.columns], calibration.label[train])
    np.testing.assert_array_equal(inputs.reference.groups, calibration.subject[train])
    assert len(needy.tested.reference.f_x) == len(test.rows("train"))


def test_a_method_without_a_joint_classifier_says_so_in_one_line():
    for name in ("joint_softmax", "calibrated_stacking"):
        with pytest.raises(BadInput, match="scripted has no classifier over seen and unseen"):
            evaluate(Caches(*labelled_caches()), method=scripted,
                     gate=lambda seed: GATES.build(name))


def masked(test, calibration):
    return [replace(features, f_x=features.f_x + 1) for features in (test, calibration)]


def test_parts_of_text_and_extra_features_reach_the_method():
    test, calibration, text = labelled_caches()
    parts = {"noun": text, "verb": replace(text, f_y=text.f_y[:, :5]), "other": text}
    made, spy = [], Spy("f_y")

    def make(seed):
        made.append(Parts(seed))
        return made[-1]

    extra = {"f_x_masked": masked(test, calibration), "unused": ()}
    evaluate(Caches(test, calibration, parts, extra), method=make, gate=lambda seed: spy)
    for fitted in made:
        assert sorted(fitted.calls["f_y"]) == ["noun", "verb"]
        assert fitted.calls["f_y"]["verb"].shape == (20, 5)
        np.testing.assert_array_equal(fitted.calls["f_x_masked"], fitted.calls["rows"] + 1)
    assert {len(fitted.calls["rows"]) for fitted in made} == {256, 144}
    # Gates get the parts side by side, each in unit rows.
    np.testing.assert_allclose((spy.inputs.f_y**2).sum(axis=1), 2, rtol=1e-5)


def test_parts_and_extra_features_that_do_not_fit_are_refused():
    test, calibration, text = labelled_caches()
    both = {"verb": text, "noun": text}
    extra = {"f_x_masked": masked(test, calibration)}

    def run(text, make=Parts, extra=extra):
        evaluate(Caches(test, calibration, text, extra), method=make, gate=gate)

    with pytest.raises(BadInput, match="each of verb, noun; those of verb are missing"):
        run(text)
    with pytest.raises(BadInput, match="those of noun are missing"):
        run({"verb": text})
    with pytest.raises(BadInput, match=r"takes one set of text features, not parts \(verb, noun\)"):
        run(both, Scripted)
    with pytest.raises(BadCache, match="noun text features: class 0 is"):
        run({**both, "noun": replace(text, class_names=("x", *text.class_names[1:]))})
    with pytest.raises(BadInput, match="takes f_x_masked: there must be one cache .* there are 2"):
        run(both, extra={"f_x_masked": masked(test, calibration) * 2})
    other = masked(test, calibration)
    order = np.arange(len(test.label))[::-1]
    other[0] = replace(other[0], **{
        name: getattr(other[0], name)[order] for name in
        ("f_x", "logits", "label", "sample_id", "subset", "subject", "camera", "setup",
         "replication")})
    with pytest.raises(BadCache, match="f_x_masked of the test phase: its sample_id are not"):
        run(both, extra={"f_x_masked": other})


def test_protocols_by_name():
    assert PROTOCOLS == {
        "strict": STRICT, "released": RELEASED, "transductive": TRANSDUCTIVE}
