"""On which device something computes."""

from __future__ import annotations

import os
from typing import Literal

from zskel.data.common.errors import BadInput

Device = Literal["auto", "cpu", "cuda"]
"""What can be asked for; "auto" is a GPU where there is one and it is of use."""


def keep_to(asked: Device) -> None:
    """Lets this process and those that it starts compute on what is asked for alone.

    To be called before anything runs on a GPU.

    Raises:
        BadInput: A GPU is asked for, and there is none.
    """
    if asked == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmengine takes what it finds
    chosen_device(asked)


def chosen_device(asked: Device, faster_on_gpu: bool = True) -> Literal["cpu", "cuda"]:
    """The device that something computes on here.

    Args:
        asked: For it.
        faster_on_gpu: Whether "auto" takes a GPU for it.

    Raises:
        BadInput: A GPU is asked for, and there is none.

    >>> chosen_device("auto", faster_on_gpu=False)
    'cpu'
    """
    import torch

    if asked == "auto":
        return "cuda" if faster_on_gpu and torch.cuda.is_available() else "cpu"
    if asked == "cuda" and not torch.cuda.is_available():
        raise BadInput('device "cuda": PyTorch finds no GPU that it can use here; take "cpu" or '
                       '"auto", or see `pipeline doctor`')
    return asked
