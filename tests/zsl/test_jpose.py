"""JPoSE's triplets and hinge against plain numpy, and which classes share a word."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.jpose import JOINT, SPACES, JPoSE, same_text
from zskel.zsl.ranking import class_hinge, draw_one, mined_triplet_of_all_pairs
from zskel.zsl.triplets import Triplets

# Classes 0 and 3 share a verb, 1 and 4 a noun; 6 has both words of 0.
SEEN, UNSEEN = (0, 1, 3, 4, 6), (2, 5)
TINY = dict(embedding_dim=5, text_hidden_dim=8, epochs=1, batch_size=16)


def problem(seed=0):
    rng = np.random.default_rng(seed)
    verb, noun = rng.normal(size=(7, 4)), rng.normal(size=(7, 3))
    verb[3], noun[4] = verb[0], noun[1]
    verb[6], noun[6] = 2 * verb[0], noun[0]
    y = np.asarray(SEEN)[np.arange(30) % 5]
    return np.abs(rng.normal(size=(30, 6))).astype(np.float32), y, {"verb": verb, "noun": noun}


def fitted(**params):
    f_x, y, f_y = problem()
    return JPoSE(**{**TINY, **params}).fit(f_x, y, f_y, seen_classes=SEEN)


def unit(rng, *shape):
    z = rng.normal(size=shape)
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def test_released_triplet_pairs_every_anchor_with_everybodys_mined_rows():
    rng = np.random.default_rng(1)
    z, groups = unit(rng, 7, 4), np.array([0, 1, 0, 2, 1, 0, 2])
    similar = z @ z.T
    positive = [min((similar[b, j], j) for j in range(7) if groups[j] == groups[b])[1]
                for b in range(7)]
    negative = [max((similar[b, j], j) for j in range(7) if groups[j] != groups[b])[1]
                for b in range(7)]
    expected = sum(max(0.0, 0.3 + similar[a, negative[b]] - similar[a, positive[b]])
                   for a in range(7) for b in range(7))
    value = mined_triplet_of_all_pairs(*map(torch.from_numpy, (z, groups)), margin=0.3)
    assert float(value) == pytest.approx(expected, rel=1e-12)


def test_released_triplet_without_negatives_is_zero():
    z = torch.eye(3)
    assert float(mined_triplet_of_all_pairs(z, torch.zeros(3), 0.3)) == 0


def test_draws_are_of_allowed_columns_and_reach_all_of_them():
    allowed = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_one(allowed, generator) for _ in range(300)]
    assert all(there.tolist() == [True, True, False] for _, there in drawn)
    columns = torch.stack([column for column, _ in drawn])
    assert set(columns[:, 1].tolist()) == {1}
    counts = torch.bincount(columns[:, 0], minlength=4)
    assert counts[1] == 0 and counts[[0, 2, 3]].min() > 70


def test_classes_share_a_verb_a_noun_or_both():
    _, _, f_y = problem()
    verb, noun = (torch.from_numpy(f / np.linalg.norm(f, axis=1, keepdims=True))
                  for f in (f_y["verb"], f_y["noun"]))
    assert same_text(verb).tolist() == [0, 1, 2, 0, 4, 5, 0]
    assert same_text(noun).tolist() == [0, 1, 2, 3, 1, 5, 0]
    assert same_text(verb, noun).tolist() == [0, 1, 2, 3, 4, 5, 0]


def test_the_same_text_from_another_batch_is_the_same():
    rows = unit(np.random.default_rng(0), 2, 384).astype(np.float32)
    again = rows[:1] + np.float32(1e-7)
    assert same_text(torch.from_numpy(np.concatenate([rows, again]))).tolist() == [0, 1, 0]


def spaces(model, rows):
    f_x, y, _ = problem()
    with torch.no_grad():
        v = model._net.skeletons(torch.from_numpy(model._input(f_x[rows])))
        t = model._net.texts(model._text_of(model.seen_classes))
    return v, t, torch.from_numpy(np.searchsorted(SEEN, y[rows]))


@pytest.mark.parametrize("networks", ["gated", "tanh_relu"])
def test_embeddings_equal_numpy(networks):
    model = fitted(networks=networks)
    weights = {k: p.detach().numpy().astype(float) for k, p in model._net.named_parameters()}

    def layer(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normal(z):
        return z / np.linalg.norm(z, axis=1, keepdims=True)

    def one_layer(name, x):
        if networks == "tanh_relu":
            return np.tanh(layer(f"{name}.0", x))
        z = layer(f"{name}.linear", x)
        return z / (1 + np.exp(-layer(f"{name}.gate", z)))

    def text_network(name, x):
        if networks == "gated":
            return one_layer(name, x)
        return np.maximum(layer(f"{name}.2", np.tanh(layer(f"{name}.0", x))), 0)

    f_x, _, f_y = problem()
    v, t, _ = spaces(model, np.arange(30))
    for space in ("verb", "noun"):
        np.testing.assert_allclose(
            v[space], normal(one_layer(f"skeleton.{space}", normal(f_x))), atol=1e-5)
        expected = text_network(f"text.{space}", normal(f_y[space])[list(SEEN)])
        length = np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(t[space], expected / np.maximum(length, 1e-12), atol=1e-5)
    for part, joint in ((v, "joint_skeleton"), (t, "joint_text")):
        both = np.hstack([part["verb"], part["noun"]]).astype(float)
        np.testing.assert_allclose(part[JOINT], normal(one_layer(joint, both)), atol=1e-5)


# Verbs, nouns and both, of the five seen classes of ``problem``.
GROUPS = torch.tensor([[0, 1, 0, 3, 0], [0, 1, 2, 1, 0], [0, 1, 2, 3, 0]])


def plain_losses(v, t, columns, groups, near, far):
    """Of one space, by the definition; ``near`` and ``far`` are rows or classes, or None."""
    own = t[columns]
    found = []
    for anchors, to, p, n in zip((v, own, v, own), (t, v, v, t), near, far):
        values = [max(0.0, 1 + ((a - to[i]) ** 2).sum() - ((a - to[j]) ** 2).sum())
                  for a, i, j in zip(anchors, p, n) if i is not None and j is not None]
        found.append(np.mean(values) if values else 0.0)
    return found


def test_four_triplet_losses_of_every_space_equal_numpy():
    v, t, columns = spaces(fitted(), np.arange(9))
    generator = torch.Generator().manual_seed(5)
    state = generator.get_state()
    drawn = Triplets.draw(columns, GROUPS, generator)
    losses = drawn.losses([v[s] for s in SPACES], [t[s] for s in SPACES], 1.0)
    generator.set_state(state)

    c = columns.numpy()
    for space, groups, found in zip(SPACES, GROUPS.numpy(), losses):
        relevant, by_class = groups[c][:, None] == groups[c], groups[c][:, None] == groups
        near, far = [], []
        for allowed, apart in (
            (np.arange(5) == c[:, None], ~by_class), (relevant, ~relevant),
            (relevant & ~np.eye(9, dtype=bool), ~relevant), (by_class, ~by_class),
        ):
            for chosen, of in ((near, allowed), (far, apart)):
                rows, there = draw_one(torch.from_numpy(of), generator)
                chosen.append([int(row) if is_there else None
                               for row, is_there in zip(rows, there)])
        expected = plain_losses(v[space].numpy().astype(float), t[space].numpy().astype(float),
                                c, groups, near, far)
        assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_triplets_of_large_batches_are_drawn_alike_from_all_that_are_possible():
    columns = torch.tensor([4, 0, 3, 1, 0, 3, 4, 2])  # one clip of class 1, one of 2
    counts = {}
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        drawn = Triplets.draw(columns, GROUPS, generator, lots=0)
        parts = torch.stack([drawn.near, drawn.far]).masked_fill(~drawn.there, -1)
        for place in np.ndindex(parts.shape):
            counts.setdefault(place, []).append(int(parts[place]))
    for (side, g, kind, row), found in counts.items():
        own, group = columns[row], GROUPS[g]
        of_clip, of_class = group[columns] == group[own], group == group[own]
        alone = torch.arange(8) == row
        allowed = ((torch.arange(5) == own, of_clip, of_clip & ~alone, of_class),
                   (~of_class, ~of_clip, ~of_clip, ~of_class))
        sides = [set(a[kind].nonzero()[:, 0].tolist()) for a in allowed]
        possible = sides[side] if all(sides) else {-1}
        assert set(found) == possible, (side, g, kind, row)
        least = min(found.count(value) for value in possible)
        assert least > 0.5 * len(found) / len(possible)


def test_losses_of_large_batches_equal_numpy():
    v, t, columns = spaces(fitted(), np.arange(30))
    drawn = Triplets.draw(columns, GROUPS, torch.Generator().manual_seed(1), lots=0)
    losses = drawn.losses([v[s] for s in SPACES], [t[s] for s in SPACES], 1.0)
    for g, space in enumerate(SPACES):
        near, far = ([[int(row) if there else None for row, there in zip(*of_kind)]
                      for of_kind in zip(part[g], drawn.there[g])]
                     for part in (drawn.near, drawn.far))
        expected = plain_losses(v[space].numpy().astype(float), t[space].numpy().astype(float),
                                columns.numpy(), GROUPS[g].numpy(), near, far)
        assert losses[g].tolist() == pytest.approx(expected, rel=1e-5)


def test_released_losses_of_a_space():
    model = fitted(recipe="released", embedding_dim=5)
    v, t, columns = spaces(model, np.arange(9))
    groups = torch.tensor([0, 1, 0, 3, 0])
    for space in SPACES:
        scores = v[space] @ t[space].T
        hinge = class_hinge(scores, scores[torch.arange(9), columns], columns, 0.3, True)
        mined = mined_triplet_of_all_pairs(v[space], groups[columns], 0.3)
        expected = hinge if space == JOINT else hinge + 0.01 * mined
        value = model._hinge(space, v[space], t[space], groups, columns)
        assert float(value) == pytest.approx(float(expected), rel=1e-6)


def test_released_text_codes_have_no_negative_coordinate():
    model = fitted(recipe="released", embedding_dim=5)
    _, t, _ = spaces(model, np.arange(3))
    assert min(float(t["verb"].min()), float(t["noun"].min())) >= 0


def test_the_loss_is_the_weighted_sum_of_the_spaces():
    history = fitted(verb_weight=0.5, noun_weight=2.0, joint_weight=3.0).history
    expected = [0.5, 2.0, 3.0] @ np.array([history[space][0] for space in SPACES])
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_the_scale_of_f_x_does_not_matter_and_a_row_of_zeros_is_borne():
    f_x, y, f_y = problem()
    scale = 2.0 ** np.arange(30)[:, None] / 2.0**15
    one = fitted().fit_unseen_classifier(UNSEEN)
    two = JPoSE(**TINY).fit((f_x * scale).astype(np.float32), y, f_y, seen_classes=SEEN)
    two.fit_unseen_classifier(UNSEEN)
    np.testing.assert_allclose(one.predict_proba(f_x), two.predict_proba(f_x), rtol=1e-4)
    assert np.isfinite(one.predict_proba(0 * f_x[:2])).all()


def test_a_single_verb_leaves_the_other_spaces_to_learn():
    f_x, y, f_y = problem()
    f_y["verb"][:] = f_y["verb"][0]
    for recipe in ("paper", "released"):
        model = JPoSE(**{**TINY, "recipe": recipe}).fit(f_x, y, f_y, seen_classes=SEEN)
        assert np.isfinite(model.history["loss"]).all()
    assert JPoSE(**TINY).fit(f_x, y, f_y, seen_classes=SEEN).history["verb"] == [0.0]


def test_both_parts_are_needed():
    f_x, y, f_y = problem()
    for wrong, message in ((f_y["verb"], "verb, noun"), ({"verb": f_y["verb"]}, "no part 'noun'"),
                           ({**f_y, "noun": f_y["noun"][:5]}, "f_y")):
        with pytest.raises(BadInput, match=message):
            JPoSE(**TINY).fit(f_x, y, wrong, seen_classes=SEEN)
