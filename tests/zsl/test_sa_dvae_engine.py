"""The engine with written-out gradients: the numbers of the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.methods.sa_dvae_engine import Engine
from zskel.zsl.methods.sa_dvae_params import SWITCHES, SADVAEParams
from zskel.zsl.methods.sa_dvae_text import TextCoordinates
from zskel.zsl.vae import AlignedVAE, Discriminator

N, D, DT, C, SEEN = 330, 20, 30, 12, 9
SMALL = {"z_r_dim": 10, "z_v_dim": 3, "n_d": 3, "learning_rate": 3e-3}


def data(seed=0, n=N):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % SEEN
    f_x = np.maximum(rng.normal(size=(C, D))[y] + rng.normal(size=(n, D)), 0)
    f_y = rng.normal(size=(C, DT)) + 1
    return f_x.astype(np.float32), y, f_y.astype(np.float32)


def fit(method, given=None):
    f_x, y, f_y = given or data()
    return method.fit(f_x, y, f_y, seen_classes=range(SEEN))


def arrays(method):
    return method.state().arrays


def assert_same_bits(one, other):
    assert arrays(one).keys() == arrays(other).keys()
    for name, array in arrays(one).items():
        assert np.array_equal(array, arrays(other)[name]), name
    assert one.history == other.history
    assert one.discriminator_steps == other.discriminator_steps


def assert_close(reference, fast):
    for name, expected in arrays(reference).items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(arrays(fast)[name], expected, rtol=0, atol=1e-5 * scale,
                                   err_msg=name)
    assert list(fast.history) == list(reference.history)
    for name, expected in reference.history.items():
        np.testing.assert_allclose(fast.history[name], expected, rtol=1e-5, atol=1e-6,
                                   err_msg=name)
    assert fast.discriminator_steps == reference.discriminator_steps


@pytest.mark.parametrize("variant", ["naive", "fd", "fd+tc"])
@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_parameters_after_200_steps_equal_the_reference(variant, recipe):
    # 11 batches an epoch, the last one short.
    given = {**SMALL, "variant": variant, "recipe": recipe, "epochs": 19}
    reference = fit(SADVAE(**given))
    assert reference.steps(N) == 209
    assert_close(reference, fit(SADVAE(**given, engine="fast")))


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_equals_the_reference(switch):
    given = {**SMALL, switch: SWITCHES[switch][1], "epochs": 4, "lambda_2": 0.3}
    assert_close(fit(SADVAE(**given)), fit(SADVAE(**given, engine="fast")))


def test_fresh_text_branch_draws_in_the_order_of_the_reference():
    for noise in SWITCHES["noise"]:
        given = {**SMALL, "discriminator_turn": "before", "noise": noise, "permute": "both",
                 "discriminator_branches": "skeleton+text", "epochs": 3}
        assert_close(fit(SADVAE(**given)), fit(SADVAE(**given, engine="fast")))


def test_bits_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        fits = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fits.append(fit(SADVAE(**SMALL, epochs=2, engine="fast")))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert_same_bits(*fits)


def test_progress_and_hook_see_a_method_able_to_predict():
    f_x, y, f_y = data()
    given = {**SMALL, "epochs": 3, "classifier_epochs": 10, "engine": "fast"}
    method, told, seen = SADVAE(**given), [], []

    def hook(epoch):
        assert len(method.history["loss"]) == epoch + 1
        seen.append((epoch, method.fit_unseen_classifier([9, 10, 11]).predict_proba(f_x)))

    method.fit(f_x, y, f_y, seen_classes=range(SEEN), on_epoch=hook,
               on_progress=lambda done, total: told.append((done, total)))
    assert told == [(20, 33), (33, 33)]
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    assert not hasattr(method, "unseen_classes")
    method.fit_unseen_classifier([9, 10, 11])
    assert np.array_equal(method.predict_proba(f_x), seen[-1][1])
    unwatched = fit(SADVAE(**given))
    assert_same_bits(method, unwatched.fit_unseen_classifier([9, 10, 11]))


def test_global_random_state_is_left_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    fit(SADVAE(**SMALL, epochs=1, engine="fast", text_basis=True))
    assert torch.equal(before, torch.random.get_rng_state())


def coordinates(seen=SEEN):
    f_y = torch.from_numpy(data()[2])
    f_y = f_y / f_y.norm(dim=1, keepdim=True)
    return f_y, TextCoordinates(f_y, torch.arange(seen))


def test_basis_keeps_distances_of_seen_classes():
    f_y, text = coordinates()
    assert text.width == SEEN
    unscaled = text.inputs[:SEEN] / text.gain
    np.testing.assert_allclose(torch.cdist(unscaled, unscaled), torch.cdist(f_y[:SEEN], f_y[:SEEN]),
                               atol=1e-5)
    np.testing.assert_allclose(text.targets * text.gain**2, text.inputs, rtol=1e-5, atol=1e-6)
    # Classes that repeat each other add nothing to the span.
    assert TextCoordinates(f_y[[0, 1, 0, 1, 2]], torch.arange(5)).width == 3


def test_basis_gives_the_layers_the_same_outputs_and_writes_them_back():
    f_y, text = coordinates()
    generator = torch.Generator().manual_seed(0)
    vae = AlignedVAE(D, DT, 10, 3, generator)
    with torch.no_grad():
        encoder, decoder = vae.encoder_y.linear, vae.decoder_y
        initial = encoder.weight.clone()
        expected = encoder(f_y)
        weight = text.read_encoder(initial)
        np.testing.assert_allclose(text.inputs[:SEEN] @ weight + encoder.bias, expected[:SEEN],
                                   atol=1e-5)
        moved = weight + torch.randn(weight.shape, generator=generator)
        text.write_encoder(encoder, moved, initial)
        np.testing.assert_allclose(encoder(f_y[:SEEN]), text.inputs[:SEEN] @ moved + encoder.bias,
                                   atol=1e-4)
        # A direction that no seen class has is read as it was at first.
        f_other = f_y[SEEN:] - (f_y[SEEN:] @ text._basis.float()) @ text._basis.T.float()
        np.testing.assert_allclose(f_other @ encoder.weight.T, f_other @ initial.T, atol=1e-5)

        z = torch.randn(4, 10, generator=generator)
        full = decoder(z)
        weight, bias = text.read_decoder(decoder)
        in_span = full @ text._basis.float() @ text._basis.T.float()
        text.write_decoder(decoder, weight, bias)
        np.testing.assert_allclose(decoder(z), in_span, atol=1e-5)


def test_first_loss_in_the_basis_is_that_of_the_full_width_within_the_span():
    f_x, y, f_y = data()
    f_y = f_y / np.linalg.norm(f_y, axis=1, keepdims=True)

    def first(basis):
        generator = torch.Generator().manual_seed(0)
        vae = AlignedVAE(D, DT, 10, 3, generator)
        text = TextCoordinates(torch.from_numpy(f_y), torch.arange(SEEN) if basis else None)
        if not basis:
            # The initial D_y with its outputs projected onto the span.
            _, of_span = coordinates()
            with torch.no_grad():
                of_span.write_decoder(vae.decoder_y, *of_span.read_decoder(vae.decoder_y))
        engine = Engine(vae, Discriminator(13, generator), generator, SADVAEParams(),
                        f_x=torch.from_numpy(f_x), y=torch.from_numpy(y), text=text)
        weights = torch.tensor([0.1, 0.2, 0.7, 0.3], dtype=torch.float64).expand(11, 4)
        return engine.epoch(weights)[0]

    np.testing.assert_allclose(first(True), first(False), rtol=1e-4)


def test_basis_learns_the_task():
    # Text and skeletons of unseen classes lie within the span of the seen ones.
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(C, 4))
    f_y = (hidden @ rng.normal(size=(4, DT))).astype(np.float32)
    y = np.arange(600) % C
    f_x = np.maximum(hidden[y] @ rng.normal(size=(4, D)) + 0.3 * rng.normal(size=(600, D)), 0)
    f_x, seen = f_x.astype(np.float32), y < SEEN
    accuracy = {}
    for basis in (False, True):
        hits = []
        for seed in range(2):
            method = SADVAE(**SMALL, epochs=20, seed=seed, engine="fast", text_basis=basis)
            method.fit(f_x[seen], y[seen], f_y, seen_classes=range(SEEN))
            method.fit_unseen_classifier([9, 10, 11])
            predicted = method.unseen_classes[method.predict_proba(f_x[~seen]).argmax(axis=1)]
            hits.append(np.mean(predicted == y[~seen]))
        accuracy[basis] = np.mean(hits)
    assert accuracy[False] > 0.6 and accuracy[True] > 0.6


def test_refusals():
    with pytest.raises(BadConfig, match="text_basis"):
        SADVAE(text_basis=True)
    with pytest.raises(BadConfig, match="text_basis"):
        SADVAE(text_basis=True, engine="fast", output_activation="relu")


def test_non_finite_losses_name_the_term_and_the_epoch():
    method = SADVAE(**{**SMALL, "learning_rate": 1e6}, epochs=3, engine="fast")
    with pytest.raises(BadInput, match=r"became non-finite in epoch \d; lower learning_rate"):
        fit(method)
    assert not hasattr(method, "history")
