"""Where SA-DVAE's released code and its paper differ, and which switch that is.

The rows of the table are numbered as in the review of the released code that
this project started from; two more differences, which it describes but does not
number, have no row. ``DIFFERENCES`` is what "each of them switched alone" is
iterated over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from zskel.zsl.methods.sa_dvae_params import SWITCHES

Kind = Literal["switch", "protocol", "cache", "config", "none"]


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        row: Its number, 1-25, or None.
        topic: What differs.
        kind: Where it can be changed: a "switch" of ``SADVAEParams``; the
            "protocol" or gate; the "cache", which a fit cannot change; a
            "config" value; or "none", if it has no effect.
        paper, released: What each does; for a switch its two values.
        switch: The field of ``SADVAEParams``.
        note: Why it is no switch, or what to know when it is changed.
    """

    row: int | None
    topic: str
    kind: Kind
    paper: Any
    released: Any
    switch: str | None = None
    note: str = ""

    def options(self) -> dict[str, Any]:
        """Parameters that turn the "paper" recipe into this difference alone.

        >>> DIFFERENCES[1].options()
        {'noise': 'sample'}
        """
        return {self.switch: self.released} if self.switch is not None else {}


def _switch(row: int | None, topic: str, switch: str, note: str = "") -> Difference:
    paper, released = SWITCHES[switch]
    return Difference(row, topic, "switch", paper, released, switch, note)


DIFFERENCES = (
    Difference(1, "model selection", "protocol", "last epoch", "best epoch by test-unseen accuracy",
               note="also fixes the epoch of the GZSL result"),
    _switch(2, "noise of the latents", "noise", "in C_u's training data too"),
    _switch(3, "activation after the decoders", "output_activation"),
    _switch(4, "activation on C_u's logits", "classifier_activation",
            "C_u then starts from drawn weights, since a ReLU never leaves zero"),
    _switch(5, "warm-up of the KL terms and L_T", "kl_schedule"),
    _switch(6, "schedule of lambda_1", "alignment_schedule"),
    Difference(7, "ramp of eq. 13", "none", "executed", "in a branch no script runs",
               note="the same expression; that it does not run is row 5"),
    _switch(8, "beta_y and lambda_2", "tie_lambda_2",
            "no effect where both have the same value, as in all published settings"),
    _switch(9, "what D_T learns from", "discriminator_branches"),
    _switch(10, "permutation for z~_x", "permute", "the same distribution, other draws"),
    _switch(11, "D_T's objective", "discriminator_scale"),
    _switch(12, "E_x's adversarial objective", "adversarial_loss"),
    Difference(13, "C_s", "protocol", "softmax on f_x over seen classes",
               "the backbone's own logits"),
    Difference(14, "GZSL decision", "protocol", "soft mixture, eq. 11", "hard gate"),
    Difference(15, "threshold", "protocol", "none", "searched, and applied mirrored"),
    Difference(16, "calibration by data set", "protocol", "LBFGS on validation",
               "fixed threshold 0.50 and temperature 2 on NTU-120"),
    Difference(17, "order of C_d's inputs", "none", "p'_s, p_u", "p_u, p'_s",
               note="logistic regression does not depend on it"),
    Difference(18, "order of z_x", "none", "z_v, z_r", "z_r, z_v",
               note="renames columns of the latents; draws and sums are the same"),
    _switch(19, "squared error", "squared_error"),
    Difference(20, "hyper-parameters with LLM text", "config", "search space of Table A",
               "batch size 24, widths 96 and 304",
               note="the configs sa_dvae_released_tablef_* have the released values"),
    Difference(21, "text encoder", "cache", "Sentence-BERT", "stsb-bert-large",
               note="the text cache names its encoder"),
    Difference(22, "runs", "protocol", "mean of 3 random splits", "one seed",
               note="fit.seeds"),
    Difference(23, "training time", "none", "4.6 h and 8.7 h", "21,000 small steps",
               note="says nothing about accuracy"),
    Difference(24, "label of class 18", "cache", "GitHub label list", "class_lists CSV",
               note="a string in the text cache"),
    Difference(25, "calibration clips", "cache", "of training subjects", "of test subjects",
               note="the calibration cache decides, and refuses test rows"),
    _switch(None, "initial weights", "initialization", "the paper says nothing"),
    _switch(None, "when D_T takes its step", "discriminator_turn"),
)
