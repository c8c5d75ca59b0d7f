"""``--deterministic``: the same bits from a GPU each time.

On the CPU that is so without it, see docs/determinism.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from zskel.data.common.errors import PipelineError
from zskel.pipeline.base.progress import say

#: What cuBLAS needs to repeat itself; it reads this when it starts.
_CUBLAS, _WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"


def use_deterministic_algorithms(say: Callable[[str], None] = say) -> None:
    """Makes this process compute with algorithms that repeat themselves on a GPU.

    Says so, or that there is no GPU and nothing to change. To be called before anything
    runs on the GPU.

    Args:
        say: Told so; who is one of many processes may leave that to another.

    Raises:
        PipelineError: Something has run on it already, without what cuBLAS needs.
    """
    import torch

    if not torch.cuda.is_available():
        say("--deterministic: changes nothing here; there is no GPU, and on the CPU runs with the "
            "same number of threads repeat themselves to the bit as it is")
        return
    if _CUBLAS not in os.environ and torch.cuda.is_initialized():
        raise PipelineError(f"--deterministic: the GPU is in use already and {_CUBLAS} is not "
                            f"set; set it to {_WORKSPACE} before the start")
    os.environ.setdefault(_CUBLAS, _WORKSPACE)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    say("--deterministic: algorithms that repeat themselves, which can be slower")


def tell_if_not_deterministic(path: Path, software: Callable[[], Mapping[str, str]]) -> None:
    """Says so where something is kept that a GPU has made without this, though it is asked for.

    Args:
        path: What is kept.
        software: Reads what it says of its making.
    """
    torch = sys.modules.get("torch")  # who has asked for it has loaded it
    if (torch is not None and torch.are_deterministic_algorithms_enabled()
            and software().get("deterministic") == "no"):
        say(f"{path}: made on a GPU without --deterministic and kept; remove it to have it made "
            "again")
