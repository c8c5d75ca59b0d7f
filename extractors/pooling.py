"""Takes pooled views (``zskel.data.pooled``) from a graph network's feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zskel.data.common.errors import BadInput
from zskel.data.pooled import SEGMENTS, Pool, thirds


class Pools:
    """What is taken from each map, side by side in one row, so that rows can be averaged.

    Args:
        names: Views beside the mean over everything, which always comes first.
    """

    def __init__(self, names: Sequence[Pool] = ()) -> None:
        self.names = tuple(names)

    def rows(self, maps: Tensor, joints: int) -> Tensor:
        """Maps ``[B, M, D, T', V]`` to rows ``[B, K]``, means over the bodies.

        Raises:
            BadInput: The maps have another number of joints than the clips.
        """
        mean = maps.mean(dim=(1, 3, 4)).float()
        if not self.names:
            return mean
        if maps.shape[4] != joints:
            raise BadInput(f"feature views: the backbone's map has {maps.shape[4]} joints, the "
                           f"clips have {joints}; pooled views need a row for each of them")
        of_bodies = maps[:, 0] if maps.shape[1] == 1 else maps.mean(dim=1)
        found = [mean]
        for name in self.names:
            if name == "joint_means":
                taken = of_bodies.mean(dim=2)
            elif name == "frame_means":
                taken = of_bodies.mean(dim=3)
            else:
                taken = torch.stack([of_bodies[:, :, begin:end].mean(dim=2)
                                     for begin, end in thirds(maps.shape[3])], dim=2)
            found.append(taken.movedim(1, -1).float().flatten(1))
        return torch.cat(found, dim=1)

    def split(self, rows: Tensor, width: int, joints: int) -> tuple[Tensor, ...]:
        """The means over everything ``[N, D]``, then the views ``[N, ..., D]``.

        Args:
            rows: ``[N, K]``, as :meth:`rows` gives them.
            width: D.
            joints: V.
        """
        if not self.names:
            return (rows,)
        shapes: dict[str, list[int]] = {
            "joint_means": [joints, width], "thirds_joints": [len(SEGMENTS), joints, width]}
        sizes: dict[str, int] = {
            name: joints * width * (3 if name == "thirds_joints" else 1)
            for name in self.names if name != "frame_means"}
        sizes["frame_means"] = rows.shape[1] - width - sum(sizes.values())
        first, *views = rows.split([width, *(sizes[name] for name in self.names)], dim=1)
        return (first.contiguous(), *(
            view.unflatten(1, shapes.get(name, [-1, width])).contiguous()
            for name, view in zip(self.names, views)))
