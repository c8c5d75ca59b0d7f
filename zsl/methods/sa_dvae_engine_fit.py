"""Fits one SADVAE or many with the stacked engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.base import EpochHook, Progress, check_training_data, unit_rows
from zskel.zsl.methods.sa_dvae_engine import Engine, Member
from zskel.zsl.methods.sa_dvae_engine_text import TextCoordinates
from zskel.zsl.methods.sa_dvae_params import SADVAEParams
from zskel.zsl.methods.sa_dvae_training import Trainer, weights_at
from zskel.zsl.threads import single_threaded

if TYPE_CHECKING:
    from zskel.zsl.methods.sa_dvae import SADVAE

_PROGRESS_EVERY = 20
#: What the methods of one stack may differ in.
MAY_DIFFER = frozenset({
    "recipe", "seed", "learning_rate", "beta_x", "beta_y", "lambda_2", "kl_schedule",
    "alignment_schedule", "tie_lambda_2", "initialization", "classifier_samples",
    "classifier_epochs", "classifier_learning_rate", "classifier_activation", "joint_samples",
})


@single_threaded()
def fit_many(
    methods: Sequence[SADVAE],
    f_x: Any,
    y: Any,
    f_y: Any,
    *,
    seen_classes: Any,
    on_progress: Progress | None = None,
    on_epoch: EpochHook | None = None,
) -> None:
    """Fits several methods side by side.

    Each becomes what its own ``fit`` with ``engine="fast"`` would make of it, to
    the bit. With ``text_basis`` it takes less time than one after the other; at a
    full text width of 1024 it does not, because the weights of one model with
    their Adam (10 MB) fill the caches already. See ``benchmarks/fit.py``.

    Args:
        methods: Unfitted, equal in all parameters but ``MAY_DIFFER``. Their
            ``engine`` does not matter.
        f_x, y, f_y, seen_classes: As in ``ZeroShotMethod.fit``; each either for
            all methods, or a list with one for every method. All f_x must have
            the same shape, and so must all f_y.
        on_progress: Told the steps done, which are those of each method.
        on_epoch: Told the epoch just done; all methods can predict then.

    Raises:
        BadInput: As ``fit``, or the methods or their data cannot be stacked.
    """
    methods = list(methods)
    if not methods:
        raise BadInput("fit_many was given no method")
    _check_equal(methods)
    problems = _problems(methods, f_x, y, f_y, seen_classes)
    trainers = [_start(method, problem) for method, problem in zip(methods, problems)]
    first = trainers[0]
    try:
        engine = Engine(
            [Member(trainer.vae, trainer.discriminator, trainer.generator,
                    method.params.learning_rate, problem.f_x, problem.y, problem.text)
             for method, trainer, problem in zip(methods, trainers, problems)],
            n_d=first.n_d, reduction=first.reduction, noise=first.noise, game=first.game,
        )
        _train(engine, methods, problems, on_progress, on_epoch)
    except BaseException:
        for method in methods:
            method._forget()
        raise


class _Problem:
    """What one method learns from, checked."""

    def __init__(
        self, f_x: Any, y: Any, f_y: Any, seen_classes: Sequence[int], text_basis: bool
    ) -> None:
        f_x, y, f_y, self.seen = check_training_data(f_x, y, f_y, seen_classes)
        self.f_x, self.y = torch.from_numpy(f_x), torch.from_numpy(y)
        self.f_y = torch.from_numpy(unit_rows(f_y))
        self.text = TextCoordinates(
            self.f_y, torch.from_numpy(self.seen) if text_basis else None)

    @property
    def shapes(self) -> tuple[int, ...]:
        return (*self.f_x.shape, *self.f_y.shape, self.text.width)


def _check_equal(methods: Sequence[SADVAE]) -> None:
    ours = [method.params.model_dump(exclude=set(MAY_DIFFER) | {"engine"}) for method in methods]
    for other in ours[1:]:
        for name, value in ours[0].items():
            if other[name] != value:
                raise BadInput(f"fit_many: {name} is {value!r} and {other[name]!r}, "
                               "expected the same for all methods")


def _problems(
    methods: Sequence[SADVAE], f_x: Any, y: Any, f_y: Any, seen_classes: Any
) -> list[_Problem]:
    count = len(methods)
    given = [(f_x, "f_x", 2), (y, "y", 1), (f_y, "f_y", 2), (seen_classes, "seen_classes", 1)]
    columns = [_of_each(value, name, ndim, count) for value, name, ndim in given]
    made: dict[tuple[int, ...], _Problem] = {}
    problems = []
    for row in zip(*columns):
        key = tuple(id(value) for value in row)
        if key not in made:
            made[key] = _Problem(row[0], row[1], row[2], row[3], methods[0].params.text_basis)
        problems.append(made[key])
    for problem in problems:
        if problem.shapes != problems[0].shapes:
            raise BadInput(
                "fit_many: rows and columns of f_x, of f_y, and the rank of the seen classes' f_y "
                f"are {list(problems[0].shapes)} and {list(problem.shapes)}, "
                "expected the same for all methods")
    return problems


def _of_each(value: Any, name: str, ndim: int, count: int) -> Sequence[Any]:
    """One value for every method, from one for all or a list of them."""
    if len(value) and np.ndim(value[0]) == ndim:
        if len(value) != count:
            raise BadInput(f"fit_many: {len(value)} {name} for {count} methods")
        return value
    return [value] * count


def _start(method: SADVAE, problem: _Problem) -> Trainer:
    method._forget()
    method.seen_classes, method._f_y = problem.seen, problem.f_y
    generator = torch.Generator().manual_seed(method.params.seed)
    method._vae = method._new_vae(problem.f_x.shape[1], generator)
    return method._new_trainer(method._vae, generator)


def _train(
    engine: Engine,
    methods: Sequence[SADVAE],
    problems: Sequence[_Problem],
    on_progress: Progress | None,
    on_epoch: EpochHook | None,
) -> None:
    params = methods[0].params
    total = methods[0].steps(engine.samples)

    def report() -> None:
        done = engine.vae_steps
        if on_progress is not None and (done % _PROGRESS_EVERY == 0 or done == total):
            on_progress(done, total)

    def keep() -> None:
        engine.write()
        for method, problem in zip(methods, problems):
            method._keep_seen(problem.f_x, problem.y)

    starts = range(0, engine.samples, params.batch_size)
    sizes = torch.tensor([min(params.batch_size, engine.samples - k) for k in starts])
    names = (*engine.names, "loss", "lambda_1")
    for method in methods:
        method.history = {name: [] for name in names}
    for epoch in range(params.epochs):
        weights = torch.stack([
            _weights(method.params, epoch, starts, engine.samples) for method in methods
        ], dim=1)
        terms = torch.cat([engine.epoch(weights, params.batch_size, report),
                           weights[..., 2:3]], dim=2)
        for method, of_model in zip(methods, terms.unbind(1)):
            # One by one: how torch sums over several depends on how many they are.
            means = (sizes[:, None] * of_model).sum(dim=0) / engine.samples
            for name, value in zip(names, means.tolist()):
                if not np.isfinite(value):
                    raise BadInput(
                        f"{method.name}: {name} became non-finite in epoch {epoch + 1} (seed "
                        f"{method.params.seed}); lower learning_rate or check the scale of f_x")
                method.history[name].append(value)
            method.discriminator_steps = engine.discriminator_steps
        if on_epoch is not None:
            keep()
            on_epoch(epoch)
            for method in methods:
                method._forget_classifiers()
    keep()


def _weights(params: SADVAEParams, epoch: int, starts: range, samples: int) -> Tensor:
    """The terms' weights in an epoch's steps, ``[steps, 4]``, float64."""
    steps = [weights_at(params, epoch, k, samples) for k in starts]
    return torch.tensor([(w.beta_x, w.beta_y, w.lambda_1, w.lambda_2) for w in steps],
                        dtype=torch.float64)
