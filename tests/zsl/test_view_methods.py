"""PURLS and Neuron: layers, losses and scores against plain numpy, and what views are worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, softmax
from small_methods import small

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods.neuron import SPATIAL, TEMPORAL, Neuron
from zskel.zsl.methods.purls import PURLS, SLOTS, pair_loss
from zskel.zsl.protocols import RELEASED, STRICT, check_honest

C, ROWS, D, DT = 8, 4, 12, 24
VIEWS = {"purls": {"thirds_joints": (2, 2, D)}, "neuron": {
    "joint_means": (2, D), "frame_means": (2, D)}}


class Parts:
    """Clips of ``ROWS`` rows of which two tell the class, and the others draw it away."""

    def __init__(self, seed: int, classes: int = C, clips: int = 10) -> None:
        rng = np.random.default_rng(seed)
        codes = rng.normal(size=(classes, 5))
        self.f_y = (codes @ rng.normal(size=(5, DT))).astype(np.float32)
        of_rows = codes @ rng.normal(size=(5, D - 1)) / np.sqrt(5)
        self.unseen = tuple(range(3, classes, 5))
        self.seen = tuple(sorted(set(range(classes)) - set(self.unseen)))

        def record(y: np.ndarray) -> np.ndarray:
            views = 4 * rng.normal(size=(len(y), ROWS, D))
            for row in (0, 2):
                views[:, row, :-1] = of_rows[y] + 0.2 * rng.normal(size=(len(y), D - 1))
            views[:, :, -1] = [3, -3, 3, -3]  # a row tells by its last column what it is
            return views.astype(np.float32)

        self.y, self.test_y = np.repeat(self.seen, clips), np.repeat(self.unseen, clips)
        self.views, self.test_views = record(self.y), record(self.test_y)

    def accuracy(self, name: str, with_views: bool, **options: object) -> float:
        model = small(name, **options)
        texts = dict.fromkeys(model.text_parts, self.f_y)
        flat = (lambda v: v.reshape(len(v), -1)) if with_views else (lambda v: v.mean(axis=1))
        model.fit(flat(self.views), self.y, texts, seen_classes=self.seen,
                  view_shapes=VIEWS[name] if with_views else None)
        model.fit_unseen_classifier(self.unseen)
        found = model.unseen_classes[model.predict_proba(flat(self.test_views)).argmax(axis=1)]
        return float(np.mean(found == self.test_y))


PROBLEM = Parts(0, clips=3)
SEEN, UNSEEN = PROBLEM.seen, PROBLEM.unseen
FLAT = PROBLEM.test_views.reshape(len(PROBLEM.test_y), -1)


def fitted(cls: type, **options: object):
    model = small(cls.name, **options)
    rng = np.random.default_rng(3)
    texts = {part: rng.normal(size=(C, DT)).astype(np.float32) for part in cls.text_parts}
    model.fit(PROBLEM.views.reshape(len(PROBLEM.y), -1), PROBLEM.y, texts, seen_classes=SEEN,
              view_shapes=VIEWS[cls.name])
    return model.fit_unseen_classifier(UNSEEN)


def unit(array: np.ndarray) -> np.ndarray:
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def weights(model) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model._net.state_dict().items()}


def purls_output(model, views: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The eighth output ``[N, Dt]`` of clips ``[N, P, D]`` that queries ``[8, Dt]`` look at."""
    w, params = weights(model), model.params
    tokens = unit(views)
    keys = tokens @ w["key.weight"].T
    scores = (queries @ w["query.weight"].T) @ keys.transpose(0, 2, 1)
    scores = scores / (params.heads * np.sqrt(params.attention_dim))
    x = (softmax(scores, axis=-1) @ tokens).reshape(len(views), -1)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = (x - w[f"{name}.running_mean"]) / np.sqrt(w[f"{name}.running_var"] + 1e-5)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    hidden = norm(x, "first_norm") @ w["first.weight"].T + w["first.bias"]
    hidden = norm(hidden * expit(hidden), "second_norm")
    return np.tanh(hidden @ w["second.weight"].T + w["second.bias"]).reshape(
        len(views), 8, -1)[:, -1]


def stacked(model, classes) -> np.ndarray:
    return np.stack([model._text[part].numpy()[list(classes)] for part in SLOTS], axis=1)


def test_every_candidate_looks_with_texts_of_its_own():
    model = fitted(PURLS)
    text = stacked(model, UNSEEN)
    views = PROBLEM.test_views
    scores = np.stack([purls_output(model, views, own) @ own[-1] for own in text], axis=1)
    expected = softmax(weights(model)["factor"][-1] * scores, axis=1)
    np.testing.assert_allclose(model.predict_proba(FLAT), expected, rtol=1e-4)


def test_the_released_form_looks_with_the_texts_of_the_true_class():
    model = fitted(PURLS, recipe="released")
    text = stacked(model, UNSEEN)
    outputs = np.concatenate([
        purls_output(model, view[None], stacked(model, [label])[0])
        for view, label in zip(PROBLEM.test_views, PROBLEM.test_y)])
    expected = softmax(weights(model)["factor"][-1] * outputs @ text[:, -1].T, axis=1)
    np.testing.assert_allclose(
        model.proba_knowing(FLAT, PROBLEM.test_y), expected, rtol=1e-4)


def test_the_loss_of_pairs_equals_numpy():
    rng = np.random.default_rng(0)
    outputs, texts, factor = (rng.normal(size=shape) for shape in ((5, 8, 4), (5, 8, 4), (8,)))
    expected = 0.0
    for slot in range(8):
        scores = factor[slot] * outputs[:, slot] @ texts[:, slot].T
        for axis in (0, 1):
            expected -= np.diag(log_softmax(scores, axis=axis)).mean()
    found = pair_loss(*map(torch.from_numpy, (outputs, texts, factor)))
    assert float(found) == pytest.approx(expected, rel=1e-10)


def layers(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    for k in (0, 2):
        x = np.maximum(x @ w[f"{name}.{k}.weight"].T + w[f"{name}.{k}.bias"], 0)
    return x


def project(w: dict[str, np.ndarray], name: str, q: np.ndarray) -> np.ndarray:
    return unit(np.maximum(q.mean(axis=1) @ w[f"{name}.weight"].T + w[f"{name}.bias"], 0) + 1e-30)


def neuron_rounds(model, joints: np.ndarray, frames: np.ndarray):
    w, count = weights(model), model.params.prototypes
    spatial, temporal = [], []
    q = np.repeat(w["by_joints"][None], len(joints), axis=0)
    for r in range(3):
        scores = joints @ q.transpose(0, 2, 1)
        shares = softmax(scores, axis=1)
        order = np.argsort(scores, axis=2)
        np.put_along_axis(shares, order[:, :, :count * (r + 1) // 4], 0, axis=2)
        q = layers(w, f"gather.{r}", shares.transpose(0, 2, 1) @ joints)
        spatial.append(project(w, "of_joints", q))
    q = np.repeat(w["by_frames"][None], len(frames), axis=0)
    for r in range(3):
        part = frames[:, :max(1, frames.shape[1] * (r + 1) // 3)]
        taken = softmax(part @ q.transpose(0, 2, 1), axis=1).transpose(0, 2, 1) @ part
        q = expit(layers(w, f"keep.{r}", taken)) * q + \
            expit(layers(w, f"admit.{r}", taken)) * layers(w, f"renew.{r}", taken)
        temporal.append(project(w, "of_frames", q))
    return spatial, temporal


def test_three_rounds_of_joints_and_frames_equal_numpy():
    model = fitted(Neuron)
    rng = np.random.default_rng(5)
    joints, frames = (rng.normal(size=(3, rows, D)).astype(np.float32) for rows in (5, 7))
    with torch.no_grad():
        found = model._net(torch.from_numpy(joints), torch.from_numpy(frames))
    for ours, theirs in zip(found, neuron_rounds(model, joints, frames)):
        for mine, expected in zip(ours, theirs):
            np.testing.assert_allclose(mine.numpy(), expected, rtol=1e-3, atol=1e-5)


def branches_of(model) -> list[np.ndarray]:
    views = PROBLEM.test_views
    rounds = neuron_rounds(model, views[:, :2], views[:, 2:])
    text = [model._text[part].numpy()[list(UNSEEN)] for part in (SPATIAL[-1], TEMPORAL[-1])]
    return [softmax(model.params.scale * each[-1] @ own.T, axis=1)
            for each, own in zip(rounds, text)]


def test_the_mean_of_both_branches_names_a_clip():
    model = fitted(Neuron)
    expected = np.mean(branches_of(model), axis=0)
    np.testing.assert_allclose(model.predict_proba(FLAT), expected, rtol=1e-3, atol=1e-6)


def test_the_released_form_takes_the_branch_that_is_right():
    model = fitted(Neuron, recipe="released")
    named = [np.asarray(UNSEEN)[each.argmax(axis=1)] for each in branches_of(model)]
    either = np.any([each == PROBLEM.test_y for each in named], axis=0)
    proba = model.proba_knowing(FLAT, PROBLEM.test_y)
    np.testing.assert_array_equal(
        np.asarray(UNSEEN)[proba.argmax(axis=1)] == PROBLEM.test_y, either)


@pytest.mark.parametrize("cls", [PURLS, Neuron])
def test_a_form_that_looks_at_labels_is_for_the_released_protocol_alone(cls):
    with pytest.raises(BadConfig, match=f"{cls.name}: .* looks at the labels .*'strict' here"):
        check_honest(cls(recipe="released"), STRICT)
    check_honest(cls(recipe="released"), RELEASED)
    check_honest(cls(), STRICT)


@pytest.mark.parametrize("cls", [PURLS, Neuron])
def test_saved_with_the_shapes_of_its_views(cls, tmp_path: Path):
    model = fitted(cls)
    again = cls.load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(model.predict_proba(FLAT), again.predict_proba(FLAT))


@pytest.mark.parametrize("shapes", [
    {"thirds_joints": (3, 2, D)}, {"joint_means": (4, D)},
    {"thirds_joints": (4, D), "more": (1, D)}])
def test_shapes_that_do_not_fit_are_refused(shapes):
    flat = PROBLEM.views.reshape(len(PROBLEM.y), -1)
    with pytest.raises(BadInput, match="purls: views .* for 48 columns; expected the shapes of"):
        PURLS().fit(flat, PROBLEM.y, dict.fromkeys(SLOTS, PROBLEM.f_y), seen_classes=SEEN,
                    view_shapes=shapes)


def test_texts_of_different_widths_are_refused():
    texts = {**dict.fromkeys(SLOTS, PROBLEM.f_y), "legs": PROBLEM.f_y[:, :4]}
    with pytest.raises(BadInput, match="purls: its texts have different widths .*legs 4"):
        PURLS().fit(FLAT, PROBLEM.test_y, texts, seen_classes=UNSEEN)


OPTIONS = {"purls": dict(epochs=25, hidden_dim=64, attention_dim=16, batch_size=64,
                         learning_rate=3e-3),
           "neuron": dict(epochs=20, prototypes=16, batch_size=64, milestones=(15,))}


@pytest.mark.parametrize("name", ["purls", "neuron"])
def test_views_are_worth_it_where_one_part_alone_carries_the_meaning(name: str):
    problems = [Parts(seed, classes=30) for seed in range(3)]
    found = [[problem.accuracy(name, with_views, **OPTIONS[name]) for with_views in (True, False)]
             for problem in problems]
    views, mean = np.mean(found, axis=0)
    assert views > mean + 0.05 and views > 1.5 / len(problems[0].unseen), found
