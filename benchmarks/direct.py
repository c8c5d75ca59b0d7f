"""Training loops as one would first write them, in the style of the methods' released codes.

A ``DataLoader`` over single clips, the text of its class for every clip of a batch, a
module and a call for every layer, autograd, ``torch.optim.Adam`` in its default form and
a Python float of the loss in every step. Options are those of the method that is
compared; the switches that its config does not use are left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import fit
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from zskel.zsl.ranking import draw_one

Texts = Mapping[str, Tensor]


class Clips(Dataset):
    """Features and class of one clip each."""

    def __init__(self, f_x: Tensor, y: Tensor) -> None:
        self.f_x, self.y = f_x, y

    def __len__(self) -> int:
        return len(self.f_x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.f_x[index], self.y[index]


class Loop:
    """Networks, an optimizer and one step.

    Args:
        width: Of f_x.
        texts: Part -> ``[S, Dt]`` unit rows; "f_y" where there are no parts.
        params: Of the method.
    """

    def __init__(self, width: int, texts: Texts, params: Any) -> None:
        self.texts, self.params = texts, params
        self.net = nn.ModuleDict(self.build(width, {k: t.shape[1] for k, t in texts.items()}))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=params.learning_rate)

    def build(self, width: int, text_widths: Mapping[str, int]) -> dict[str, nn.Module]:
        raise NotImplementedError

    def loss(self, f_x: Tensor, y: Tensor, part: float) -> Tensor:
        """Of one batch; ``part`` of the training is done."""
        raise NotImplementedError

    def step(self, f_x: Tensor, y: Tensor, part: float) -> float:
        loss = self.loss(f_x, y, part)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


class ReViSE(Loop):
    def build(self, width: int, text_widths: Mapping[str, int]) -> dict[str, nn.Module]:
        p, text = self.params, text_widths["f_y"]
        code, hidden = p.code_dim, p.text_hidden_dim
        return {
            "encoder_x": nn.Sequential(nn.Linear(width, code), nn.ReLU()),
            "decoder_x": nn.Linear(code, width),
            "encoder_y": nn.Sequential(nn.Linear(text, hidden), nn.ReLU(),
                                       nn.Linear(hidden, code), nn.ReLU()),
            "decoder_y": nn.Sequential(nn.Linear(code, hidden), nn.ReLU(),
                                       nn.Linear(hidden, text)),
            "head_x": nn.Sequential(nn.Linear(code, p.embedding_dim), nn.Tanh()),
            "head_y": nn.Sequential(nn.Linear(code, p.embedding_dim), nn.Tanh()),
        }

    def loss(self, f_x: Tensor, y: Tensor, part: float) -> Tensor:
        p, net, f_y = self.params, self.net, self.texts["f_y"][y]
        code_x, code_y = net["encoder_x"](f_x), net["encoder_y"](f_y)
        v, t = net["head_x"](code_x), net["head_y"](code_y)
        classes = net["head_y"](net["encoder_y"](self.texts["f_y"]))
        hinge = (p.margin + v @ classes.T - (v * t).sum(dim=1, keepdim=True)).clamp(min=0)
        hinge = hinge.scatter(1, y[:, None], 0.0).sum() / len(v)
        layer = net["encoder_x"][0]
        active = (code_x > 0).float()
        contraction = (active @ (layer.weight ** 2).sum(dim=1)).mean()
        return (hinge + p.reconstruction_weight * F.mse_loss(net["decoder_x"](code_x), f_x)
                + p.reconstruction_weight * F.mse_loss(net["decoder_y"](code_y), f_y)
                + p.contraction_weight * contraction
                + p.mmd_weight * discrepancy(code_x, code_y))


def discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """Kernels of all pairs of rows; 1 / kappa is their median squared distance."""
    both = torch.cat([a, b])
    squares = (both ** 2).sum(dim=1)
    distance = (squares[:, None] + squares[None] - 2 * both @ both.T).clamp(min=0)
    n = len(both)
    rows, columns = torch.triu_indices(n, n, offset=1)
    kernel = torch.exp(-distance / distance.detach()[rows, columns].median())
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


class Gate(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear, self.gate = nn.Linear(inputs, outputs), nn.Linear(outputs, outputs)

    def forward(self, f: Tensor) -> Tensor:
        z = self.linear(f)
        return F.normalize(z * torch.sigmoid(self.gate(z)))


class JPoSE(Loop):
    def __init__(self, width: int, texts: Texts, params: Any) -> None:
        super().__init__(width, texts, params)
        same = {name: (text @ text.T > 1 - 1e-5) for name, text in texts.items()}
        self.same = {**same, "joint": torch.stack(list(same.values())).all(dim=0)}

    def build(self, width: int, text_widths: Mapping[str, int]) -> dict[str, nn.Module]:
        size = self.params.embedding_dim
        return {
            **{f"skeleton_{name}": Gate(width, size) for name in text_widths},
            **{f"text_{name}": Gate(inputs, size) for name, inputs in text_widths.items()},
            "skeleton_joint": Gate(size * len(text_widths), size),
            "text_joint": Gate(size * len(text_widths), size),
        }

    def embed(self, kind: str, inputs: Texts) -> dict[str, Tensor]:
        parts = {name: self.net[f"{kind}_{name}"](f) for name, f in inputs.items()}
        joint = self.net[f"{kind}_joint"](torch.cat(list(parts.values()), dim=1))
        return {**parts, "joint": joint}

    def loss(self, f_x: Tensor, y: Tensor, part: float) -> Tensor:
        p = self.params
        f_x = F.normalize(f_x)
        v = self.embed("skeleton", dict.fromkeys(self.texts, f_x))
        t = self.embed("text", {name: text[y] for name, text in self.texts.items()})
        classes = self.embed("text", self.texts)
        return sum((weight * self.of_space(v[name], t[name], classes[name], y, self.same[name])
                    for name, weight in (("verb", p.verb_weight), ("noun", p.noun_weight),
                                         ("joint", p.joint_weight))), start=torch.zeros(()))

    def of_space(self, v: Tensor, t: Tensor, classes: Tensor, y: Tensor, same: Tensor) -> Tensor:
        p = self.params
        rows, columns = same[y][:, y], same[y]
        others = rows & ~torch.eye(len(y), dtype=torch.bool)
        own = F.one_hot(y, len(classes)).bool()
        return (p.skeleton_text * triplets(v, classes, own, ~columns, p.margin)
                + p.text_skeleton * triplets(t, v, rows, ~rows, p.margin)
                + p.skeleton_skeleton * triplets(v, v, others, ~rows, p.margin)
                + p.text_text * triplets(t, classes, columns, ~columns, p.margin))


def triplets(anchors: Tensor, to: Tensor, near: Tensor, far: Tensor, margin: float) -> Tensor:
    generator = torch.default_generator
    positive, has_positive = draw_one(near, generator)
    negative, has_negative = draw_one(far, generator)
    there = has_positive & has_negative
    a, p, n = anchors[there], to[positive[there]], to[negative[there]]
    return (margin + ((a - p) ** 2).sum(dim=1) - ((a - n) ** 2).sum(dim=1)).clamp(min=0).mean()


class SMIE(Loop):
    def build(self, width: int, text_widths: Mapping[str, int]) -> dict[str, nn.Module]:
        first, second = self.params.hidden_dims
        return {"score": nn.Sequential(
            nn.Linear(width + text_widths["f_y"], first), nn.ReLU(),
            nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 1))}

    def loss(self, f_x: Tensor, y: Tensor, part: float) -> Tensor:
        f_y = self.texts["f_y"][y]
        negative, _ = draw_one(y[:, None] != y, torch.default_generator)
        f_x = F.layer_norm(f_x, f_x.shape[1:])
        score = self.net["score"]
        matching = score(torch.cat([f_x, f_y], dim=1))
        other = score(torch.cat([f_x[negative], f_y], dim=1))
        return F.softplus(-matching).mean() + F.softplus(other).mean()


class VAEs(Loop):
    """SynSE and CADA-VAE without hidden layers, as they were run on skeletons."""

    def build(self, width: int, text_widths: Mapping[str, int]) -> dict[str, nn.Module]:
        latent = self.params.latent_dim
        widths = {"x": (width, latent),
                  **{name: (w, latent // len(text_widths)) for name, w in text_widths.items()}}
        layers: dict[str, nn.Module] = {}
        for name, (features, z) in widths.items():
            layers[f"mean_{name}"] = nn.Linear(features, z)
            layers[f"log_variance_{name}"] = nn.Linear(features, z)
            decoder: nn.Module = nn.Linear(z, features)
            if self.params.output_activation == "relu":
                decoder = nn.Sequential(decoder, nn.ReLU())
            layers[f"decoder_{name}"] = decoder
        return layers

    def encode(self, name: str, f: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.net[f"mean_{name}"](f), self.net[f"log_variance_{name}"](f)
        shape = (len(f), 1) if self.params.noise == "sample" else mean.shape
        z = mean + torch.randn(shape) * torch.exp(0.5 * log_variance)
        divergence = -0.5 * (1 + log_variance - mean ** 2 - log_variance.exp()).sum() / len(f)
        return mean, z, divergence

    def error(self, name: str, z: Tensor, f: Tensor) -> Tensor:
        found = F.mse_loss(self.net[f"decoder_{name}"](z), f)
        return found if self.params.reconstruction == "mean" else found * f.shape[1]

    def loss(self, f_x: Tensor, y: Tensor, part: float) -> Tensor:
        k_x, k_y, alignment = self.weights(part)
        f_y = {name: text[y] for name, text in self.texts.items()}
        _, z_x, divergence = self.encode("x", f_x)
        loss = self.error("x", z_x, f_x) + k_x * divergence
        latents = []
        for (name, f), own in zip(f_y.items(), z_x.chunk(len(f_y), dim=1), strict=True):
            _, z, divergence = self.encode(name, f)
            loss = loss + self.error(name, z, f) + k_y * divergence
            loss = loss + alignment * self.error(name, own, f)
            latents.append(z)
        return loss + alignment * self.error("x", torch.cat(latents, dim=1), f_x)

    def weights(self, part: float) -> tuple[float, float, float]:
        p = self.params
        done = part * p.cycles % 1
        beta, late = getattr(p, "beta_x", getattr(p, "beta", 0.0)), done > p.alignment_start
        k_x = max(0.0, (done - p.kl_start) / (1 - p.kl_start)) * beta
        return k_x, k_x * late, float(late)


class SADVAE(Loop):
    """The loop of ``fit.py``, on the text of every clip."""

    def __init__(self, width: int, texts: Texts, params: Any) -> None:
        self.texts, self.released = texts["f_y"], fit.Direct()

    def step(self, f_x: Tensor, y: Tensor, part: float) -> float:
        return self.released.step(f_x, self.texts[y], 0.023, 0.011, 1.0)


LOOPS: dict[str, type[Loop]] = {
    "cada_vae": VAEs, "jpose": JPoSE, "revise": ReViSE, "sa_dvae": SADVAE, "smie": SMIE,
    "synse": VAEs,
}


class Direct:
    """A loop on the training clips of a fit.

    Args:
        name: Of the method.
        params: Its parameters.
        f_x: ``[N, D]``.
        y: ``[N]``, rows of the texts.
        texts: Part -> ``[S, Dt]``.
    """

    def __init__(
        self, name: str, params: Any, f_x: np.ndarray, y: np.ndarray, texts: Mapping[str, Any]
    ) -> None:
        torch.manual_seed(0)
        f_x = torch.from_numpy(f_x).float()
        unit = {part: F.normalize(torch.from_numpy(text).float()) for part, text in texts.items()}
        self._loop = LOOPS[name](f_x.shape[1], unit, params)
        self._loader = DataLoader(
            Clips(f_x, torch.from_numpy(y)), batch_size=params.batch_size, shuffle=True)

    def seconds(self, steps: int) -> list[float]:
        """CPU time of each step, the loading of its batch included."""
        batches, marks = iter(self._loader), [time.process_time()]
        for k in range(steps):
            self._loop.step(*next(batches), k / steps)
            marks.append(time.process_time())
        return [b - a for a, b in pairwise(marks)][1:]
