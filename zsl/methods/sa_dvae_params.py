"""The parameters of SA-DVAE, and its two recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from zskel.zsl.losses import Reduction
from zskel.zsl.methods.latent_method import LatentParams
from zskel.zsl.schedules import LATE_BETA_X, LATE_BETA_Y
from zskel.zsl.vae import Initialization

KlSchedule = Literal["cyclical", "late"]
AlignmentSchedule = Literal["after_first_epoch", "last_fifth"]
Branches = Literal["skeleton", "skeleton+text"]
Permute = Literal["z_v", "both"]
Scale = Literal["one", "lambda_2"]
AdversarialLoss = Literal["log", "mean"]
Turn = Literal["after", "before"]
Engine = Literal["reference", "fast"]


class SADVAEParams(LatentParams):
    """All parameters of SA-DVAE, beyond those of ``LatentParams``.

    The loss weights, n_d and the widths default to the paper's for NTU-60
    (Table 2). Epochs and learning rate do not: the paper's 10 epochs at about
    3e-5 hardly move the weights on a few hundred clips, so the defaults are for
    sets of that size, chosen by the ZSL accuracy of validation-unseen classes
    on held-out training subjects.

    Attributes:
        recipe: "paper" is the text, eq. 1-13; "released" is what the code that
            its authors published executes.
        variant: "fd+tc" is the whole method; "fd" has no D_T; "naive" has
            neither D_T nor z_v (the ablation of Tables 6 and 7).
        z_r_dim: Width of z_r and z_y.
        z_v_dim: Width of z_v.
        beta_x, beta_y: Final weights of the KL terms of eq. 2 and 3; "released"
            ends at 0.02333 and 0.01133.
        lambda_2: Final weight of L_T in eq. 7.
        n_d: VAE steps before each step of D_T.
        epochs, batch_size, learning_rate: Of the VAEs; D_T shares the last two.
        joint_samples: Draws per class, seen and unseen alike, for
            ``predict_joint_proba``.
        kl_schedule: Of beta_x, beta_y and lambda_2: "cyclical" is eq. 13, "late"
            the ramps of :mod:`zskel.zsl.schedules` from 59 % and 80 % of the epoch.
        alignment_schedule: Of lambda_1: 1 "after_first_epoch", or in the
            "last_fifth" of every epoch.
        tie_lambda_2: The weight of L_T is that of the text's KL term in every
            step; ``lambda_2`` then has no effect.
        discriminator_branches: What D_T learns from: [z_v, z_r] alone, or also
            [z_v, z_y], the mean of both.
        permute: What is permuted for D_T's negative examples; "both" draws a
            permutation each for z_r and z_v.
        discriminator_scale: "one": D_T maximizes L_T; "lambda_2": it minimizes
            the mean binary cross-entropy, -L_T / 2, times the present weight of
            L_T, so that it learns nothing while that is zero.
        adversarial_loss: What E_x minimizes: "log" is L_T of eq. 6, "mean" the
            mean of D_T(z_x) after its sigmoid.
        squared_error: "sum" takes the L2 norm of eq. 5 for all reconstructions,
            "mean" divides it by the dimensions.
        initialization: Of all layers, see :func:`zskel.zsl.vae.initialize`. C_u starts
            from zero weights if it is "uniform" and ``classifier_activation``
            "linear", where the problem is convex; a ReLU would never leave zero.
        discriminator_turn: "after": D_T's step follows every ``n_d``-th step of
            the VAEs, counted through all epochs, on the latents of that step.
            "before": it precedes it, on fresh draws, counted in each epoch anew.
        engine: "reference" trains with autograd, "fast" with written-out gradients
            (:mod:`zskel.zsl.methods.sa_dvae_engine`) from the same draws: the weights
            agree to rounding.
        text_basis: The "fast" engine sees the text in an orthonormal basis of its
            span: faster, with weights that agree in distribution only. See
            :class:`zskel.zsl.methods.sa_dvae_text.TextCoordinates`.
    """

    #: The switches, and weights that the paper prints rounded.
    released: ClassVar[Mapping[str, Any]] = {
        "noise": "sample", "output_activation": "relu", "classifier_activation": "relu",
        "kl_schedule": "late", "alignment_schedule": "last_fifth", "tie_lambda_2": True,
        "discriminator_branches": "skeleton+text", "permute": "both",
        "discriminator_scale": "lambda_2", "adversarial_loss": "mean", "squared_error": "mean",
        "initialization": "xavier", "discriminator_turn": "before",
        "beta_x": LATE_BETA_X, "beta_y": LATE_BETA_Y, "lambda_2": LATE_BETA_Y,
    }

    variant: Literal["fd+tc", "fd", "naive"] = "fd+tc"
    z_r_dim: int = Field(160, ge=1)
    z_v_dim: int = Field(8, ge=1)
    beta_x: float = Field(0.023, ge=0)
    beta_y: float = Field(0.011, ge=0)
    lambda_2: float = Field(0.011, ge=0)
    n_d: int = Field(5, ge=1)
    epochs: int = Field(25, ge=1)
    joint_samples: int = Field(200, ge=1)
    kl_schedule: KlSchedule = "cyclical"
    alignment_schedule: AlignmentSchedule = "after_first_epoch"
    tie_lambda_2: bool = False
    discriminator_branches: Branches = "skeleton"
    permute: Permute = "z_v"
    discriminator_scale: Scale = "one"
    adversarial_loss: AdversarialLoss = "log"
    squared_error: Reduction = "sum"
    initialization: Initialization = "uniform"
    discriminator_turn: Turn = "after"
    engine: Engine = "reference"
    text_basis: bool = False

    @model_validator(mode="after")
    def _basis_is_for_linear_outputs(self) -> Self:
        if self.text_basis and self.engine != "fast":
            raise ValueError('text_basis needs engine "fast"')
        if self.text_basis and self.output_activation != "linear":
            raise ValueError('text_basis needs output_activation "linear": a ReLU acts on '
                             "the coordinates themselves")
        return self

    @property
    def changed(self) -> dict[str, Any]:
        """The switches that are not as the recipe has them.

        >>> SADVAEParams(recipe="released", noise="dimension").changed
        {'noise': 'dimension'}
        """
        column = ("paper", "released").index(self.recipe)
        return {name: getattr(self, name) for name, values in SWITCHES.items()
                if getattr(self, name) != values[column]}


#: What each switch is in the paper and in the released code.
SWITCHES: dict[str, tuple[Any, Any]] = {
    name: (SADVAEParams.model_fields[name].default, value)
    for name, value in SADVAEParams.released.items() if not isinstance(value, float)
}
