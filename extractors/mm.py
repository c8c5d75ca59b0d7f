"""The one door to mmaction2: imports it quietly and registers what we add.

mmaction2 takes seconds to import and warns about optional operators that
skeleton models never use, so nothing outside ``extractors`` may import it.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.metadata import version

import numpy as np

from zskel.data.common.machine import machine


@cache
def register() -> None:
    """Makes mmaction2's and our models and transforms known to the registries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmaction.utils import register_all_modules

        register_all_modules(init_default_scope=True)
        import zskel.extractors.backbones.shift_gcn
        import zskel.extractors.heads.text_supervised
        import zskel.extractors.masking
        import zskel.extractors.transforms  # noqa: F401
    if not hasattr(np, "Inf"):
        # NumPy 2 dropped the name; mmaction2 1.1.0's PoseCompact still asks for it.
        np.Inf = np.inf  # type: ignore[attr-defined]


def versions() -> dict[str, str]:
    """Versions of what weights and f_x depend on."""
    return {name: version(name) for name in ("torch", "mmaction2", "mmengine", "numpy")}


def software() -> dict[str, str]:
    """Everything that weights and f_x depend on besides the config: versions and machine."""
    return {**versions(), **machine()}
