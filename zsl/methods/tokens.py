"""Texts as sequences of tokens, for methods that read them."""

from __future__ import annotations

from torch import Tensor

from zskel.zsl.methods.checks import TOKENS, WHOLE
from zskel.zsl.methods.compatibility import Text


def sequences_of(text: Text) -> tuple[Tensor, Tensor | None]:
    """A text as tokens: those that there are, else f_y as the only one.

    What is padding in every text is left out, so that short ones cost little.

    Args:
        text: Of K classes.

    Returns:
        ``[K, T, D]``, and ``[K, T]`` which of them are no padding; None: all.

    >>> import torch
    >>> tokens, mask = sequences_of({"f_y": torch.ones(1, 2), "tokens": torch.eye(3)[None, :2]})
    >>> tokens.shape, mask.tolist()
    (torch.Size([1, 2, 3]), [[True, True]])
    """
    if TOKENS not in text:
        return text[WHOLE][:, None], None
    tokens = text[TOKENS]
    mask = tokens.any(dim=-1)
    length = int(mask.any(dim=0).nonzero().max()) + 1
    return tokens[:, :length], mask[:, :length]


def mean_of_tokens(values: Tensor, mask: Tensor | None) -> Tensor:
    """Means ``[B]`` of ``[B, T, D]`` over dimensions and over tokens that are no padding."""
    if mask is None:
        return values.mean(dim=(1, 2))
    return (values.mean(dim=2) * mask).sum(dim=1) / mask.sum(dim=1)
