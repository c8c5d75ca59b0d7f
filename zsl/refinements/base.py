"""Refinements: what all unlabelled test clips together say of each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from zskel.zsl.gates.base import GateInput


class Refinement(ABC):
    """Makes better p_u of clips that are looked at together, without their labels.

    It works on top of every method: it sees outputs and features, and nothing of how
    p_u came about.

    Attributes:
        name: Its name in the registry.
        needs: Which of ``zskel.zsl.gates.base.OPTIONAL`` must be in its input.
        feature_views: Those that it looks at where there are caches of all of them.
            ``zskel.zsl.cache_checks.DESCRIPTOR_VIEWS`` give it ``descriptors``.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()
    feature_views: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def refine(self, inputs: GateInput) -> np.ndarray:
        """Better p_u of all clips of the input, ``[N, U]``.

        Raises:
            BadInput: The input lacks something.
        """

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Its name, its options and, once it has refined, what it found; JSON values."""
