"""What SynSE and MSF share: a training in cycles, each of which warms the weights up anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from zskel.zsl.methods.text_vae import TERMS, TextVAEMethod, TextVAEParams
from zskel.zsl.methods.warm_ups import ALIGNMENT_START, KL_START, cycle_at, warm_up


class CyclicParams(TextVAEParams):
    """Weights of the loss and where in a cycle they begin.

    Attributes:
        beta_x: Weight of the skeleton's KL at the end of a cycle.
        beta_y: Of the KL of the texts, likewise.
        alpha: Weight of the cross-modal reconstructions.
        kl_start: Part of a cycle after which ``beta_x`` rises from 0.
        alignment_start: Part of a cycle after which ``beta_y`` rises from 0 and
            ``alpha`` is in force.
        free_cycles: Cycles at the start without KL of the texts.
    """

    released: ClassVar[Mapping[str, Any]] = {
        "noise": "sample", "output_activation": "relu", "classifier_activation": "relu",
        "reconstruction": "mean",
    }

    beta_x: float = Field(7 / 300, ge=0)
    beta_y: float = Field(0.01, ge=0)
    alpha: float = Field(1.0, ge=0)
    kl_start: float = Field(KL_START, ge=0, lt=1)
    alignment_start: float = Field(ALIGNMENT_START, ge=0, lt=1)
    free_cycles: int = Field(2, ge=0)
    epochs: int = Field(60, ge=1)


class CyclicMethod(TextVAEMethod):
    """A ``TextVAEMethod`` without distribution alignment, trained in cycles."""

    terms = TERMS[:-1]
    params: CyclicParams

    def _weights(self, step: int, steps: int) -> tuple[float, ...]:
        params = self.params
        cycle, part = cycle_at(step, steps, params.cycles)
        beta_y = params.beta_y if cycle >= params.free_cycles else 0.0
        return (
            1.0, 1.0,
            params.beta_x * warm_up(part, params.kl_start, 1.0),
            beta_y * warm_up(part, params.alignment_start, 1.0),
            params.alpha * float(part > params.alignment_start),
        )
