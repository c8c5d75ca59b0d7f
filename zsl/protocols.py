"""Evaluation protocols: what may be chosen on which rows.

In every protocol the method, C_s and C_u are fitted twice: on the calibration phase,
whose validation-unseen classes then teach the gate what unseen clips look like, and
on the test phase, where everything meets the test rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from zskel.data.common.errors import BadConfig, BadInput
from zskel.zsl.refinements import REFINEMENTS

if TYPE_CHECKING:
    from zskel.zsl.methods.base import ZeroShotMethod
    from zskel.zsl.refinements.base import Refinement

SeenFrom = Literal["f_x", "z_r", "logits"]
"""What C_s is: a linear softmax on f_x (eq. 10), one on z_r (Table 8), or the
backbone's own last layer, whose scores the cache holds (the released codes)."""


@dataclass(frozen=True)
class Protocol:
    """One way to evaluate; ``dataclasses.replace`` changes a part of it.

    Attributes:
        name: That evaluations carry.
        seen_from: What C_s is.
        best_epoch: Keeps the epoch with the highest ZSL accuracy on the phase's
            held-out rows of unseen classes instead of the last one. In the test
            phase these are the test rows: a choice on test data.
        refinement: Makes what refines p_u on all unlabelled test clips together;
            None: every clip is judged by itself.
        warning: What it takes from the test data, in words; "" for an honest one.

    Raises:
        BadInput: There is no such C_s.
    """

    name: str
    seen_from: SeenFrom = "f_x"
    best_epoch: bool = False
    refinement: Callable[[], Refinement] | None = None
    warning: str = ""

    def __post_init__(self) -> None:
        if self.seen_from not in get_args(SeenFrom):
            raise BadInput(f"seen_from is {self.seen_from!r}, "
                           f"expected one of {', '.join(get_args(SeenFrom))}")


#: Nothing is chosen on test data.
STRICT = Protocol("strict")

#: What the released codes of this field do, to say what that is worth. Two things the
#: caches cannot tell apart from ``STRICT``: the released backbones score all C classes
#: where the cache holds the seen ones, and the released calibration rows probably are
#: test subjects' clips. Their gate is ``HardGate(mirrored=True)``.
RELEASED = Protocol("released", seen_from="logits", best_epoch=True,
                    warning="epoch and threshold chosen on test data")

#: Nothing is chosen on test labels, and gates are as under ``STRICT``. Then p_u is refined
#: on unlabelled test clips together: for ZSL those of unseen classes, for GZSL those that
#: the gate takes for unseen ones.
TRANSDUCTIVE = Protocol(
    "transductive", refinement=lambda: REFINEMENTS.get("cluster_votes")(),
    warning="all unlabelled test clips looked at together")


def check_honest(method: ZeroShotMethod, protocol: Protocol) -> None:
    """Refuses a method that looks at test labels, unless the protocol says that some are.

    Raises:
        BadConfig: It does; the message says how to run it.
    """
    if method.looks_at_labels and protocol.name != RELEASED.name:
        raise BadConfig(f"{method.name}: this recipe looks at the labels of the clips that it "
                        "names, as the released code does; it needs fit.protocol='released', "
                        f"which is {protocol.name!r} here")


PROTOCOLS = {protocol.name: protocol for protocol in (STRICT, RELEASED, TRANSDUCTIVE)}


def protocol_warning(name: str) -> str:
    """What a protocol takes from the test data, by the name that results carry.

    >>> protocol_warning("strict"), protocol_warning("transductive:skeleton_cache")
    ('', 'all unlabelled test clips looked at together')
    """
    return PROTOCOLS.get(name.partition(":")[0], STRICT).warning
