"""The trained methods' losses as their definitions read: a text for every clip, all pairs.

What the methods do by class and weigh by counts is held against these.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zskel.zsl.methods.revise import ReViSE, jacobian_norm, summed_rows_norm
from zskel.zsl.ranking import class_hinge


class PlainReViSE(ReViSE):
    def terms(self, f_x: Tensor, columns: Tensor, text: Tensor) -> Tensor:
        params, net = self.params, self._net
        code_x, codes_y = net.encode_x(f_x), net.encode_y(text)
        f_y, code_y = text[columns], codes_y[columns]
        v, t = net.embed_x(code_x), net.embed_y(codes_y)
        classes = t if params.class_gradient else t.detach()
        contraction = (jacobian_norm(net.encoder_x, code_x) if params.contraction == "jacobian"
                       else summed_rows_norm(net.encoder_x, code_x))
        terms = torch.stack([
            class_hinge(v @ classes.T, (v * t[columns]).sum(dim=1), columns,
                        params.margin, params.hinge_counts_true),
            F.mse_loss(net.decode_x(code_x), f_x),
            F.mse_loss(net.decode_y(code_y), f_y),
            contraction,
            plain_mmd(code_x, code_y, params.mmd_kappa),
        ])
        weights = torch.tensor([1.0, params.reconstruction_weight, params.reconstruction_weight,
                                params.contraction_weight, params.mmd_weight])
        return torch.cat([terms, torch.dot(weights, terms)[None]])


def plain_mmd(a: Tensor, b: Tensor, kappa: float | str) -> Tensor:
    both = torch.cat([a, b])
    norms = both.square().sum(dim=1)
    squared = (norms[:, None] + norms - 2 * both @ both.T).clamp_min(0)
    if kappa == "median":
        pairs = squared.detach()[torch.ones_like(squared, dtype=torch.bool).triu(1)]
        kappa = 1 / (float(pairs.median()) or 1.0)
    kernel = torch.exp(-kappa * squared)
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
