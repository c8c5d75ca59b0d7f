"""What a trial of the paper's search costs at the size of NTU-60, and so all 105 of them.

Random features of NTU-60's 55/5 split in the calibration phase: 31,216 clips of 50
classes to fit on, 3,367 calibration rows (2,000 of seen classes, 1,367 of 5
validation-unseen ones), 256-d f_x, 512-d text of 60 classes. Four settings of Table A are
measured, one a batch size, everything else in the middle of its space: widths 192 and
20, and n_d = 5, which has as many steps of D_T as the space has on average. A trial is
what ``pipeline search`` does for it: the fit over 10 epochs, C_u, and the gate fitted on
every fold. C_s is fitted once a worker.

Times are CPU seconds of this process on one thread: what else the machine does makes no
difference to them. On a core of its own they are seconds.

    OMP_NUM_THREADS=1 python benchmarks/search.py --rounds 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from zskel.data.caches import SkeletonFeatures, TextFeatures
from zskel.zsl.gates.domain_classifier import DomainClassifier
from zskel.zsl.methods.sa_dvae import SADVAE
from zskel.zsl.validation import Validation

CLASSES, UNSEEN, WIDTH, TEXT = 60, 5, 256, 512
TRAIN, SEEN_ROWS, UNSEEN_ROWS = 31_216, 2_000, 1_367
BATCHES = (32, 64, 128, 256)
#: Trials of Table A's two steps; the first has batches of 64.
FIRST, SECOND, FIRST_BATCH = 5, 100, 64
MIDDLE: dict[str, Any] = {
    "variant": "fd+tc", "z_r_dim": 192, "z_v_dim": 20, "n_d": 5, "learning_rate": 3e-5,
    "beta_x": 0.023, "beta_y": 0.011, "lambda_2": 0.011, "epochs": 10, "engine": "fast",
    "text_basis": True,
}


def caches() -> tuple[SkeletonFeatures, TextFeatures]:
    """The calibration phase: f_x is a random image of the class's text, with noise."""
    random = np.random.default_rng(0)
    f_y = random.normal(size=(CLASSES, TEXT)).astype(np.float32)
    held = list(range(CLASSES - 2 * UNSEEN, CLASSES - UNSEEN))
    seen = list(range(CLASSES - 2 * UNSEEN))
    label = np.concatenate([
        np.arange(TRAIN) % len(seen), random.choice(seen, SEEN_ROWS),
        random.choice(held, UNSEEN_ROWS)])
    image = random.normal(size=(TEXT, WIDTH)) / np.sqrt(TEXT)
    f_x = np.maximum(f_y[label] @ image + 1.5 * random.normal(size=(len(label), WIDTH)), 0)
    names, n = tuple(f"action {c}" for c in range(CLASSES)), len(label)
    unknown = np.full(n, -1, np.int16)
    skeleton = SkeletonFeatures(
        f_x=f_x.astype(np.float32), logits=np.zeros((n, len(seen)), np.float32), label=label,
        sample_id=np.array([f"clip {i}" for i in range(n)]),
        subset=np.repeat(["train", "calibration"], [TRAIN, n - TRAIN]),
        subject=unknown, camera=unknown, setup=unknown, replication=unknown, dataset="drawn",
        sample_protocol="cross-subject", phase="calibration", class_names=names,
        seen_classes=tuple(seen), unseen_classes=tuple(held), backbone="drawn",
        weights_sha256="0",
    )
    return skeleton, TextFeatures(
        f_y=f_y, text=np.array(names), class_names=names, encoder="drawn",
        encoder_revision="1", text_source="label")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="the fastest counts")
    rounds = parser.parse_args().rounds
    validation = Validation(*caches(), gate=lambda seed: DomainClassifier(seed=seed))
    first = SADVAE(**{**MIDDLE, "epochs": 1, "batch_size": 256})
    validation.fit(first)
    whole, _ = timed(validation.score, first)
    again, _ = timed(validation.score, first)
    table = Table("batch size", "fit, s", "C_u and gates, s", "trial, s", "H, %")
    trial: dict[int, float] = {}
    for batch in BATCHES:
        fits, scores, h = [], [], 0.0
        for _ in range(rounds):
            method = SADVAE(**MIDDLE, batch_size=batch)
            fits.append(timed(validation.fit, method)[0])
            seconds, score = timed(validation.score, method)
            scores.append(seconds)
            h = score["gzsl_harmonic_mean"]
        trial[batch] = min(fits) + min(scores)
        table.add_row(str(batch), f"{min(fits):.1f}", f"{min(scores):.1f}",
                      f"{trial[batch]:.1f}", f"{100 * h:.1f}")
    console = Console()
    console.print(table)
    mean = sum(trial.values()) / len(trial)
    total = FIRST * trial[FIRST_BATCH] + SECOND * mean
    console.print(f"C_s once a worker: {max(whole - again, 0.0):.1f} s")
    console.print(f"{FIRST} trials of {trial[FIRST_BATCH]:.1f} s and {SECOND} of {mean:.1f} s "
                  f"on average: {total / 60:.1f} min of one core")


def timed(run: Callable[[Any], Any], argument: Any) -> tuple[float, Any]:
    """CPU seconds and what it returns."""
    started = time.process_time()
    result = run(argument)
    return time.process_time() - started, result


if __name__ == "__main__":
    main()
