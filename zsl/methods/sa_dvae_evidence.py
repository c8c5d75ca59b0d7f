"""What SA-DVAE's latents may tell of unseen classes beyond C_u."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zskel.zsl.vae import AlignedVAE


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
