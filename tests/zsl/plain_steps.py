"""The trained methods' losses as their definitions read: a text for every clip, all pairs.

What the methods do by class and weigh by counts is held against these.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from zskel.zsl.methods.cada_vae import CADAVAE
from zskel.zsl.methods.jpose import JOINT, PARTS, SPACES, Gated, JPoSE
from zskel.zsl.methods.revise import ReViSE, jacobian_norm, summed_rows_norm
from zskel.zsl.methods.smie import SMIE
from zskel.zsl.methods.smie_engine import jensen_shannon_bound
from zskel.zsl.methods.synse import SynSE
from zskel.zsl.ranking import class_hinge, draw_one


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


class PlainJPoSE(JPoSE):
    def terms(self, f_x, columns, text, groups, generator) -> Tensor:
        params, net = self.params, self._net
        v = embedded({name: net.skeleton[name] for name in PARTS}, net.joint_skeleton,
                     dict.fromkeys(PARTS, f_x))
        t = embedded({name: net.text[name] for name in PARTS}, net.joint_text, text)
        of_space = plain_triplets if params.losses == "triplets" else plain_hinge
        terms = torch.stack([
            of_space(params, space, v[space], t[space], columns, of_groups, generator)
            for space, of_groups in zip(SPACES, groups)
        ])
        weights = torch.tensor([params.verb_weight, params.noun_weight, params.joint_weight])
        return torch.cat([terms, torch.dot(weights, terms)[None]])


def embedded(of_parts, joint, inputs) -> dict[str, Tensor]:
    def through(net, f):
        if isinstance(net, Gated):
            z = net.linear(f)
            return F.normalize(z * net.gate(z).sigmoid())
        for layer in list(net)[:-1]:
            f = layer(f)
        return F.normalize(f)

    unit = {name: through(net, inputs[name]) for name, net in of_parts.items()}
    return {**unit, JOINT: through(joint, torch.cat(list(unit.values()), dim=1))}


def plain_triplet(anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    if not len(anchors):
        return anchors.new_zeros(())
    near = (anchors - positives).square().sum(dim=1)
    far = (anchors - negatives).square().sum(dim=1)
    return (margin + near - far).clamp_min(0).mean()


def plain_triplets(params, space, v, t, columns, groups, generator) -> Tensor:
    own = t[columns]
    group = groups[columns]
    with_rows = group[:, None] == group
    with_classes = group[:, None] == groups
    others = with_rows & ~torch.eye(len(v), dtype=torch.bool)
    own_class = F.one_hot(columns, len(t)).bool()

    def loss(anchors, to, positive, negative):
        near, has_near = draw_one(positive, generator)
        far, has_far = draw_one(negative, generator)
        there = has_near & has_far
        return plain_triplet(anchors[there], to[near[there]], to[far[there]], params.margin)

    return (params.skeleton_text * loss(v, t, own_class, ~with_classes)
            + params.text_skeleton * loss(own, v, with_rows, ~with_rows)
            + params.skeleton_skeleton * loss(v, v, others, ~with_rows)
            + params.text_text * loss(own, t, with_classes, ~with_classes))


def plain_hinge(params, space, v, t, columns, groups, generator) -> Tensor:
    classes = t if params.class_gradient else t.detach()
    loss = class_hinge(v @ classes.T, (v * t[columns]).sum(dim=1), columns,
                       params.margin, count_true=True)
    if space == JOINT:
        return loss
    similar, group = v @ v.T, groups[columns]
    same = group[:, None] == group
    if same.all():
        return loss
    positive = similar.masked_fill(~same, torch.inf).argmin(dim=1)
    negative = similar.masked_fill(same, -torch.inf).argmax(dim=1)
    mined = (params.margin + similar[:, negative] - similar[:, positive]).clamp_min(0).sum()
    return loss + params.released_triplet_weight * mined


class PlainSMIE(SMIE):
    def _engine(self, text, generator):
        return PlainSMIEEngine(self, text, generator)

    def plain_terms(self, text, generator, x, columns, x_masked=None) -> Tensor:
        params, own, net = self.params, text[columns], self._net
        if params.negatives == "roll":
            negative = torch.arange(len(x)).roll(1)
            there = torch.ones(len(x), dtype=torch.bool)
        else:
            negative, there = draw_one(columns[:, None] != columns, generator)

        def score(f: Tensor, f_y: Tensor) -> Tensor:
            return net.rest(net.first(torch.cat([f, f_y], dim=1)))[:, 0]

        def bound(f: Tensor) -> Tensor:
            return jensen_shannon_bound(score(f, own), score(f[negative[there]], own[there]))

        whole = bound(x)
        if x_masked is None:
            return torch.stack([whole, -whole])
        part = bound(x_masked)
        temporal = (params.temporal_margin - (whole - part)).clamp_min(0)
        return torch.stack([whole, part, temporal, params.temporal_weight * temporal - whole])


class PlainSMIEEngine:
    def __init__(self, model, text, generator) -> None:
        self.terms = partial(model.plain_terms, text, generator)
        self.optimizer = torch.optim.Adam(model._net.parameters())

    def step(self, x, columns, x_masked, rate) -> Tensor:
        found = self.terms(x, columns, x_masked)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        found[-1].backward()
        self.optimizer.step()
        return found.detach()

    def write(self) -> None:
        """The network is what is trained."""


class PlainSynSE(SynSE):
    def _written_out(self, f_x, y, generator):
        return self._by_autograd(f_x, y, generator)


class PlainCADAVAE(CADAVAE):
    def _written_out(self, f_x, y, generator):
        return self._by_autograd(f_x, y, generator)
