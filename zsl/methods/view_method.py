"""Methods that read pooled views of the feature map (``zskel.data.pooled``) instead of f_x."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor
from typing_extensions import Self

from zskel.data.common.errors import BadInput
from zskel.zsl.methods.base import EpochHook, Progress, RecipeParams, State
from zskel.zsl.methods.checks import TextFeatures
from zskel.zsl.methods.compatibility import CompatibilityMethod, TrainingParams


class ViewParams(RecipeParams, TrainingParams):
    """Parameters of a method whose released recipe looks at labels."""


class ViewMethod(CompatibilityMethod):
    """A method with ``feature_views``; where ``fit`` is told no shapes, f_x is each of them."""

    params: ViewParams
    _learned = (*CompatibilityMethod._learned, "_shapes")
    _shapes: dict[str, tuple[int, ...]]

    def fit(
        self,
        f_x: np.ndarray,
        y: np.ndarray,
        f_y: TextFeatures,
        *,
        seen_classes: Sequence[int],
        view_shapes: Mapping[str, Sequence[int]] | None = None,
        on_progress: Progress | None = None,
        on_epoch: EpochHook | None = None,
    ) -> Self:
        """Trains the network. See :meth:`ZeroShotMethod.fit`.

        Args:
            view_shapes: Of each of ``feature_views``, without N and ending in D; the
                columns of f_x are the values of one view after the other. None: f_x is
                the only row of each view.
        """
        shapes = {name: tuple(map(int, shape)) for name, shape in (view_shapes or {}).items()}
        columns = np.shape(f_x)[-1] if np.ndim(f_x) else 0
        if shapes and (set(shapes) != set(self.feature_views)
                       or sum(map(math.prod, shapes.values())) != columns
                       or len({shape[-1] for shape in shapes.values()}) != 1):
            raise BadInput(f"{self.name}: views {shapes} for {columns} columns; expected the "
                           f"shapes of {' and '.join(self.feature_views)}, of one width D")
        self._shapes = {name: shapes[name] for name in self.feature_views if shapes}
        return super().fit(f_x, y, f_y, seen_classes=seen_classes, on_progress=on_progress,
                           on_epoch=on_epoch)

    def _views(self, f_x: Tensor) -> dict[str, Tensor]:
        """The views ``[N, rows, D]`` of ``[N, K]``."""
        if not self._shapes:
            return dict.fromkeys(self.feature_views, f_x[:, None])
        parts = f_x.split([math.prod(shape) for shape in self._shapes.values()], dim=1)
        return {name: part.reshape(len(part), -1, self._shapes[name][-1])
                for name, part in zip(self._shapes, parts)}

    @property
    def looks_at_labels(self) -> bool:
        """Whether it is the released recipe."""
        return self.params.recipe == "released"

    def _one_width(self, text_dims: Mapping[str, int]) -> int:
        """Dt of all parts of the text.

        Raises:
            BadInput: They differ.
        """
        if len(set(text_dims.values())) > 1:
            raise BadInput(f"{self.name}: its texts have different widths "
                           f"({', '.join(f'{k} {v}' for k, v in text_dims.items())}); embed all "
                           "with one encoder")
        return next(iter(text_dims.values()))

    @property
    def _width(self) -> int:
        """D."""
        return next(iter(self._shapes.values()))[-1] if self._shapes else self._f_x_dim

    def state(self) -> State:
        """See :meth:`ZeroShotMethod.state`."""
        state = super().state()
        shapes = {name: list(shape) for name, shape in self._shapes.items()}
        return State(state.arrays, {**state.values, "view_shapes": shapes})

    def restore(self, state: State) -> None:
        """See :meth:`ZeroShotMethod.restore`."""
        shapes = state.values["view_shapes"]
        self._shapes = {name: tuple(shapes[name]) for name in self.feature_views if shapes}
        super().restore(state)
