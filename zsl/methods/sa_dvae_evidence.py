"""What SA-DVAE's latents say beyond C_u: a softmax over all classes, and distances."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.methods.training import rows_in_turn
from zskel.zsl.vae import AlignedVAE, Noise, sample_gaussian


@torch.no_grad()
def draw_seen(
    vae: AlignedVAE,
    f_x: Tensor,
    y: Tensor,
    classes: np.ndarray,
    count: int,
    generator: torch.Generator,
    noise: Noise,
) -> np.ndarray:
    """Draws z_r of training clips, as many of every class.

    Draws rather than means, because the unseen classes' latents are draws of
    z_y: without the noise of one side the softmax would tell the sides apart.

    Args:
        vae: The trained networks.
        f_x: ``[N, D]``.
        y: ``[N]`` class ids.
        classes: ``[S]`` the seen ones.
        count: Draws per class, of its clips in turn, in random order.
        generator: Draws the order and the noise.
        noise: See :func:`zskel.zsl.vae.sample_gaussian`.

    Returns:
        Float32 ``[S * count, R]``, class by class.
    """
    mean, log_variance = vae.encoder_x(f_x[rows_in_turn(y, classes, count, generator)])
    _, mean_r = vae.split(mean)
    _, log_variance_r = vae.split(log_variance)
    return sample_gaussian(mean_r, log_variance_r, generator, noise).numpy()


class JointClassifier:
    """One softmax over seen and unseen classes on latents.

    As CADA-VAE (Schoenfeld et al., CVPR 2019) classifies in GZSL: seen classes
    give draws of z_r, unseen ones draws of z_y, as many each. The layer is
    fitted as C_s is, see :class:`zskel.zsl.classifiers.SeenClassifier`: 300 steps of
    Adam, which do for C_u, do not for ten times as many classes.

    Args:
        z_seen: ``[S * count, R]``, class by class.
        z_unseen: ``[U * count, R]``, class by class.
        count: Draws per class.
        inverse_penalty: As C_s's. Noisy draws need more of a penalty than f_x:
            with C_s's 30, validation-unseen classes of real features were named
            7 points worse.
    """

    def __init__(
        self, z_seen: np.ndarray, z_unseen: np.ndarray, count: int, inverse_penalty: float = 0.3
    ) -> None:
        z = np.concatenate([z_seen, z_unseen])
        self._model = SeenClassifier(inverse_penalty).fit(z, np.arange(len(z)) // count)

    def predict_proba(self, z_r: np.ndarray) -> np.ndarray:
        """Probabilities ``[N, S + U]`` for ``[N, R]``."""
        return self._model.predict_proba(z_r)


@torch.no_grad()
def evidence(
    vae: AlignedVAE, f_x: Tensor, f_y_seen: Tensor, f_y_unseen: Tensor
) -> dict[str, np.ndarray]:
    """Quantities that may tell clips of unseen classes from those of seen ones.

    Args:
        vae: The trained networks.
        f_x: ``[N, D]``.
        f_y_seen: ``[S, Dt]`` text features of the seen classes.
        f_y_unseen: ``[U, Dt]`` of the unseen ones.

    Returns:
        Float64 ``[N]`` each:

        - ``reconstruction_error``: squared distance of f_x from D_x of its mean
          latent;
        - ``distance_seen``, ``distance_unseen``: squared distance between the
          means of z_r and of the nearest class's z_y, each dimension in units
          of the sum of both encoders' variances, which is the variance of the
          difference of a draw each;
        - ``kl_r``, ``kl_v``: divergence of z_r and z_v from their prior; no
          ``kl_v`` when naive;
        - ``norm_r``: squared length of the mean of z_r.
    """
    mean, log_variance = vae.encoder_x(f_x)
    (mean_v, mean_r), (lv_v, lv_r) = vae.split(mean), vae.split(log_variance)
    found = {
        "reconstruction_error": (vae.decode_x(mean) - f_x).square().sum(dim=1),
        "distance_seen": _nearest(mean_r, lv_r, *vae.encoder_y(f_y_seen)),
        "distance_unseen": _nearest(mean_r, lv_r, *vae.encoder_y(f_y_unseen)),
        "kl_r": _kl(mean_r, lv_r),
        "norm_r": mean_r.square().sum(dim=1),
    }
    if vae.z_v_dim:
        found["kl_v"] = _kl(mean_v, lv_v)
    return {name: values.double().numpy() for name, values in found.items()}


def _nearest(mean: Tensor, log_variance: Tensor, means: Tensor, log_variances: Tensor) -> Tensor:
    variance = log_variance.exp()
    # Class by class: all at once would be [N, C, R].
    distances = [
        ((mean - of_class).square() / (variance + lv.exp())).sum(dim=1)
        for of_class, lv in zip(means, log_variances)
    ]
    return torch.stack(distances, dim=1).amin(dim=1)


def _kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)
