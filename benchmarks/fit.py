"""How fast SA-DVAE is fitted, beside the plain way to write its training loop.

Random features of NTU-60's 55/5 split: 36,750 clips, 256-d f_x, 1024-d text of 60
classes, 55 of them seen, batches of 32. ``direct`` is the training step as one
would first write it, with the released code's arithmetic: a ``DataLoader`` over a
``Dataset`` of clips, a module and a call for every layer, autograd, one
``torch.optim.Adam`` in its default form for the VAEs and one for D_T, a Python float
of the loss in every step. The other rows train the paper's recipe: ``reference`` is
the project's own autograd trainer, ``fast`` its engine with written-out gradients,
which agrees with it to rounding, and ``fast, basis`` the same with the text in an
orthonormal basis of its span.

All ways take their turns in every round; the fastest round counts for each.
``direct`` is measured on one thread and on all of them and has the better of both;
the others use one thread. The last line is ``ratio N.N``: how many times the steps
a second of ``direct`` the way ``fast, basis`` makes.

``--fit`` also runs the complete fit of one split and seed, with every step of both
phases: SA-DVAE, C_u and C_s twice, and the gate on 3,367 calibration rows between
them.

    OMP_NUM_THREADS=2 python benchmarks/fit.py --steps 100 --rounds 8 --fit
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from zskel.zsl.classifiers import SeenClassifier
from zskel.zsl.gates.base import GateInput, decide
from zskel.zsl.gates.domain_classifier import DomainClassifier
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.methods.sa_dvae_engine import Engine
from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.methods.sa_dvae_text import TextCoordinates
from zskel.zsl.methods.sa_dvae_training import Trainer, Weights
from zskel.zsl.threads import single_threaded
from zskel.zsl.vae import AlignedVAE, Discriminator

CLASSES, UNSEEN, BATCH, WIDTH, TEXT = 60, 5, 32, 256, 1024
Z_R, Z_V, N_D, RATE = 160, 8, 5, 3.389e-5
#: Clips of the two phases' training sets, and of the gate's two sides.
TRAIN, CALIBRATION_TRAIN, GATE_SEEN, GATE_UNSEEN = 36_750, 31_216, 2_000, 1_367
#: A way that takes so many times as long as ``direct`` on one thread has one round only:
#: on a busy machine threads wait for each other.
HOPELESS = 3


class Clips(Dataset):
    """Features and text of one clip each."""

    def __init__(self, f_x: Tensor, y: Tensor, f_y: Tensor) -> None:
        self.f_x, self.y, self.f_y = f_x, y, f_y

    def __len__(self) -> int:
        return len(self.f_x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.f_x[index], self.f_y[self.y[index]]


class Encoder(nn.Module):
    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Linear(features, latent), nn.Linear(features, latent)

    def forward(self, f: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(f), self.log_variance(f)


class Direct:
    """The direct implementation: networks, optimizers and one step."""

    def __init__(self) -> None:
        self.encoder_x, self.encoder_y = Encoder(WIDTH, Z_R + Z_V), Encoder(TEXT, Z_R)
        self.decoder_x = nn.Sequential(nn.Linear(Z_R + Z_V, WIDTH), nn.ReLU())
        self.decoder_y = nn.Sequential(nn.Linear(Z_R, TEXT), nn.ReLU())
        hidden = (Z_R + Z_V) // 4
        self.d_t = nn.Sequential(
            nn.Linear(Z_R + Z_V, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())
        nets = (self.encoder_x, self.encoder_y, self.decoder_x, self.decoder_y)
        self.optimizer = torch.optim.Adam([p for net in nets for p in net.parameters()], lr=RATE)
        self.d_t_optimizer = torch.optim.Adam(self.d_t.parameters(), lr=RATE)
        self.count = 0

    def step(self, f_x: Tensor, f_y: Tensor, k_x: float, k_y: float, alignment: float) -> float:
        self.count += 1
        if self.count % N_D == 0:
            self.d_t_step(f_x, f_y, k_y)
        mean_x, log_variance_x = self.encoder_x(f_x)
        mean_y, log_variance_y = self.encoder_y(f_y)
        z_x, z_y = draw(mean_x, log_variance_x), draw(mean_y, log_variance_y)
        z_r, z_v = z_x[:, :Z_R], z_x[:, Z_R:]
        loss = F.mse_loss(self.decoder_x(torch.cat([z_r, z_v], dim=1)), f_x)
        loss = loss + F.mse_loss(self.decoder_y(z_y), f_y)
        loss = loss + k_x * divergence(mean_x[:, :Z_R], log_variance_x[:, :Z_R])
        loss = loss + k_x * divergence(mean_x[:, Z_R:], log_variance_x[:, Z_R:])
        loss = loss + k_y * divergence(mean_y, log_variance_y)
        loss = loss + alignment * (
            F.mse_loss(self.decoder_x(torch.cat([z_y, z_v], dim=1)), f_x)
            + F.mse_loss(self.decoder_y(z_r), f_y))
        loss = loss + k_y * self.d_t(torch.cat([z_r, z_v], dim=1)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def d_t_step(self, f_x: Tensor, f_y: Tensor, weight: float) -> None:
        z_x, z_y = draw(*self.encoder_x(f_x)), draw(*self.encoder_y(f_y))
        z_v = z_x[:, Z_R:]
        losses = []
        for semantic in (z_x[:, :Z_R], z_y):
            joint = self.d_t(torch.cat([semantic, z_v], dim=1))
            broken = self.d_t(torch.cat([semantic[torch.randperm(len(f_x))],
                                         z_v[torch.randperm(len(f_x))]], dim=1))
            losses.append((F.binary_cross_entropy(joint, torch.ones_like(joint))
                           + F.binary_cross_entropy(broken, torch.zeros_like(broken))) / 2)
        self.d_t_optimizer.zero_grad()
        (weight * (losses[0] + losses[1]) / 2).backward()
        self.d_t_optimizer.step()


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    return mean + torch.randn(len(mean), 1) * torch.exp(0.5 * log_variance)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum() / len(mean)


def features(rows: int, classes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """f_x ``[rows, 256]`` around one centre a class, none negative, and class ids."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, WIDTH))
    y = classes[np.arange(rows) % len(classes)]
    f_x = 0.5 * centres[y] + np.random.default_rng(seed).normal(size=(rows, WIDTH))
    return np.maximum(f_x, 0).astype(np.float32), y


def text() -> np.ndarray:
    """Unit text features ``[60, 1024]`` that resemble each other, as embeddings do."""
    rng = np.random.default_rng(1)
    f_y = rng.normal(size=(1, TEXT)) + rng.normal(size=(CLASSES, TEXT))
    return (f_y / np.linalg.norm(f_y, axis=1, keepdims=True)).astype(np.float32)


def ways(steps: int) -> dict[str, tuple[int | None, Callable[[], None]]]:
    """On how many threads each way trains (None: all), and a round of it."""
    seen = np.arange(CLASSES - UNSEEN)
    f_x, y = (torch.from_numpy(array) for array in features(steps * BATCH, seen, seed=2))
    f_y = torch.from_numpy(text())
    weights = Weights(beta_x=0.023, beta_y=0.011, lambda_1=1.0, lambda_2=0.011)
    params = SADVAEParams(n_d=N_D, learning_rate=RATE, batch_size=BATCH)

    torch.manual_seed(0)
    net = Direct()
    loader = DataLoader(Clips(f_x, y, f_y), batch_size=BATCH, shuffle=True)

    def direct() -> None:
        for f_x_batch, f_y_batch in loader:
            net.step(f_x_batch, f_y_batch, weights.beta_x, weights.beta_y, weights.lambda_1)

    def nets() -> tuple[AlignedVAE, Discriminator, torch.Generator]:
        generator = torch.Generator().manual_seed(0)
        vae = AlignedVAE(WIDTH, TEXT, Z_R, Z_V, generator)
        return vae, Discriminator(Z_R + Z_V, generator), generator

    trainer = Trainer(*nets(), params)

    def reference() -> None:
        for rows in torch.randperm(len(f_x), generator=trainer.generator).split(BATCH):
            trainer.step(f_x[rows], f_y[y[rows]], weights)

    def engine(basis: bool) -> Callable[[], None]:
        coordinates = TextCoordinates(f_y, torch.from_numpy(seen) if basis else None)
        fast = Engine(*nets(), params, f_x=f_x, y=y, text=coordinates)
        each = weights.vector(torch.float64)[2:].expand(steps, 4)
        return lambda: fast.epoch(each)

    return {
        "direct, 1 thread": (1, direct),
        "direct, all threads": (None, direct),
        "reference": (1, reference),
        "fast": (1, engine(basis=False)),
        "fast, basis": (1, engine(basis=True)),
    }


def measure(steps: int, rounds: int) -> dict[str, float]:
    """Milliseconds of each way for a step, the fastest of all rounds."""
    threads, taken = torch.get_num_threads(), ways(steps)
    fastest: dict[str, float] = {}
    for _ in range(rounds):
        for name, (used, run) in taken.items():
            if fastest.get(name, 0) > HOPELESS * fastest.get("direct, 1 thread", np.inf):
                continue
            torch.set_num_threads(used or threads)
            start = time.perf_counter()
            run()
            spent = 1e3 * (time.perf_counter() - start) / steps
            fastest[name] = min(fastest.get(name, spent), spent)
    torch.set_num_threads(threads)
    return fastest


@single_threaded()
def complete_fit(epochs: int) -> dict[str, float]:
    """Seconds of everything that one split and seed take, in the order it happens."""
    seconds: dict[str, float] = {}
    last = time.perf_counter()

    def done(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[name], last = now - last, now

    classes, f_y = np.arange(CLASSES), text()
    unseen, other_unseen = classes[-UNSEEN:], classes[-2 * UNSEEN:-UNSEEN]
    gate = DomainClassifier()
    for phase, rows, seen, new in (
        ("calibration", CALIBRATION_TRAIN, classes[:-2 * UNSEEN], other_unseen),
        ("test", TRAIN, classes[:-UNSEEN], unseen),
    ):
        f_x, y = features(rows, seen, seed=3)
        done(f"{phase}: making features")
        method = SADVAE(epochs=epochs, batch_size=BATCH, learning_rate=RATE, z_r_dim=Z_R,
                        z_v_dim=Z_V, n_d=N_D, engine="fast", text_basis=True)
        method.fit(f_x, y, f_y, seen_classes=seen)
        done(f"{phase}: SA-DVAE")
        method.fit_unseen_classifier(new)
        done(f"{phase}: C_u")
        seen_classifier = SeenClassifier().fit(f_x, y)
        done(f"{phase}: C_s")
        f_x = np.concatenate([features(GATE_SEEN, seen, seed=4)[0],
                              features(GATE_UNSEEN, new, seed=5)[0]])
        inputs = GateInput(seen_classifier.logits(f_x), method.predict_proba(f_x))
        if phase == "calibration":
            gate.fit(inputs, np.arange(len(f_x)) < GATE_SEEN)
            done("gate")
    p_s = seen_classifier.predict_proba(f_x)
    decide(gate.predict_proba(inputs), p_s, inputs.unseen_proba, seen, unseen)
    done("prediction")
    return {name: spent for name, spent in seconds.items() if "making" not in name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=8, help="of which the fastest counts")
    parser.add_argument("--fit", action="store_true", help="run the complete fit as well")
    parser.add_argument("--epochs", type=int, default=10, help="of the complete fit")
    options = parser.parse_args()
    if min(options.steps, options.rounds, options.epochs) < 1:
        parser.error("--steps, --rounds and --epochs: expected 1 or more")

    console = Console()
    times = measure(options.steps, options.rounds)
    baseline = min(times["direct, 1 thread"], times["direct, all threads"])
    table = Table(title=f"{options.steps} steps of {BATCH}, fastest of {options.rounds}; "
                        f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    for column in ("way", "ms a step", "times direct"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, spent in times.items():
        table.add_row(name, f"{spent:.3f}", f"{baseline / spent:.2f}")
    console.print(table)
    if options.fit:
        parts = complete_fit(options.epochs)
        table = Table(title=f"complete fit of one split and seed, {options.epochs} epochs")
        table.add_column("part")
        table.add_column("seconds", justify="right")
        for name, spent in parts.items():
            table.add_row(name, f"{spent:.1f}")
        table.add_row("all", f"{sum(parts.values()):.1f}")
        console.print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"peak memory {peak:.2f} GiB")
    print(f"ratio {baseline / times['fast, basis']:.1f}")


if __name__ == "__main__":
    main()
