"""Random triplets of clips and class texts, and their losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zskel.zsl.ranking import draw_one

#: Kinds of triplets, the anchor first.
KINDS = ("skeleton_text", "text_skeleton", "skeleton_skeleton", "text_text")

#: With up to so many pairs each pair is given a lot. To draw one for every pair of larger
#: batches would take longer than all the rest of a step: there each clip is given one,
#: which is the place of its partner among the possible ones. All are alike either way.
LOTS = 1 << 14


@dataclass(frozen=True)
class Triplets:
    """One triplet of each kind for every clip of a batch, in each of G spaces.

    The anchor is the clip, or its text. A clip belongs together with all clips and
    texts of its class's group; but near a skeleton is the text of its own class, and
    another clip than itself.

    Attributes:
        columns: ``[B]``, the class of each clip.
        near, far: ``[G, 4, B]``: a class for texts, a row of the batch for skeletons.
        there: ``[G, 4, B]`` booleans: whether both exist.
    """

    columns: Tensor
    near: Tensor
    far: Tensor
    there: Tensor

    @classmethod
    def draw(cls, columns: Tensor, groups: Tensor, generator: torch.Generator,
             lots: int = LOTS) -> Triplets:
        """Draws them.

        Args:
            columns: ``[B]``, the class of each clip.
            groups: ``[G, S]``: in each space, classes that belong together have the
                same number, below S.
            generator: Of the draws; how many it takes depends on the shapes alone.
            lots: At most so many a space.
        """
        if len(columns) * max(len(columns), groups.shape[1]) > lots:
            return cls(columns, *_by_places(columns, groups, generator))
        drawn = [_by_lots(columns, of_space, generator) for of_space in groups]
        return cls(columns, *(torch.stack(parts) for parts in zip(*drawn, strict=True)))

    def losses(self, v: Sequence[Tensor], t: Sequence[Tensor], margin: float) -> Tensor:
        """Mean of max(0, margin + |a - p|^2 - |a - n|^2) of each space and kind, ``[G, 4]``.

        No triplets give 0.

        Args:
            v: Unit rows ``[B, E]`` of the clips, in each space.
            t: ``[S, E]`` of the classes, unit rows or zeros.
            margin: As it says.
        """
        rows, classes, near, far = len(v[0]), len(t[0]), self.near, self.far
        # What is compared with a text is in one table a space: B clips, then S classes.
        table = torch.cat([z @ of_t.T for of_v, of_t in zip(v, t, strict=True)
                           for z in (of_v, of_t)]).view(len(t), -1)
        clip, text = torch.arange(rows) * classes, (rows + self.columns) * classes

        def at(of: Tensor) -> Tensor:
            places = torch.stack([clip + of[:, 0], of[:, 1] * classes + self.columns,
                                  text + of[:, 3]], dim=1)
            return table.gather(1, places.flatten(1)).view(places.shape)

        gain = at(far) - at(near)
        among = torch.stack([
            _Nearer.apply(z, *of) for z, *of in zip(v, near[:, 2], far[:, 2], strict=True)])
        length = torch.stack(list(t)).detach().square().sum(dim=2)

        def longer(kind: int) -> Tensor:
            return length.gather(1, near[:, kind]) - length.gather(1, far[:, kind])

        terms = margin + torch.stack([
            2 * gain[:, 0] + longer(0), 2 * gain[:, 1], 2 * among, 2 * gain[:, 2] + longer(3),
        ], dim=1)
        return (terms.clamp_min(0) * self.there).sum(dim=2) / self.there.sum(dim=2).clamp_min(1)


class _Nearer(torch.autograd.Function):
    """v_i v_far(i) - v_i v_near(i) for each row."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, near: Tensor, far: Tensor) -> Tensor:
        difference = v.index_select(0, far).sub_(v.index_select(0, near))
        ctx.save_for_backward(v, near, far, difference)
        return (v * difference).sum(dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        v, near, far, difference = ctx.saved_tensors
        grad = grads[0][:, None]
        pull = v * grad
        total = difference.mul_(grad)
        return total.index_add_(0, far, pull).index_add_(0, near, pull.neg_()), None, None


def _by_lots(
    columns: Tensor, groups: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Near, far and there ``[4, B]`` of one space: a lot for every pair, the highest counts."""
    group = groups[columns]
    with_rows, with_classes = group[:, None] == group, group[:, None] == groups
    others = with_rows & ~torch.eye(len(columns), dtype=torch.bool)
    own_class = F.one_hot(columns, len(groups)).bool()
    drawn = [
        (*draw_one(near, generator), *draw_one(~together, generator))
        for near, together in ((own_class, with_classes), (with_rows, with_rows),
                               (others, with_rows), (with_classes, with_classes))
    ]
    near, has_near, far, has_far = (torch.stack(parts) for parts in zip(*drawn, strict=True))
    return near, far, has_near & has_far


def _by_places(
    columns: Tensor, groups: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of all spaces: a lot for each clip, a place among what is possible."""
    spaces, classes = groups.shape
    rows, group = len(columns), groups[:, columns]
    order, place, size, start = (part[:, None] for part in _sorted(group, classes))
    class_order, _, class_size, class_start = (part[:, None] for part in _sorted(groups, classes))
    of = group[:, None]
    size, start = size.gather(2, of), start.gather(2, of)
    class_size, class_start = class_size.gather(2, of), class_start.gather(2, of)
    lots = torch.rand(spaces, 7, rows, generator=generator, dtype=torch.float64)
    # Two partners in the group, two out of it; then one in it and two out of it.
    counts = torch.cat([size, size - 1, rows - size, rows - size,
                        class_size, classes - class_size, classes - class_size], dim=1)
    drawn = (lots * counts).long()
    same, other, apart = drawn[:, :1] + start, drawn[:, 1:2] + start, drawn[:, 2:4]
    other = other + (other >= place)
    apart = apart + size * (apart >= start)
    found = torch.cat([same, other, apart], dim=1).clamp_max_(rows - 1)
    found = order.expand(-1, 4, -1).gather(2, found)
    same_class, apart_class = drawn[:, 4:5] + class_start, drawn[:, 5:]
    apart_class = apart_class + class_size * (apart_class >= class_start)
    of_classes = torch.cat([same_class, apart_class], dim=1).clamp_max_(classes - 1)
    of_classes = class_order.expand(-1, 3, -1).gather(2, of_classes)
    near = torch.cat([columns.expand(spaces, 1, -1), found[:, :2], of_classes[:, :1]], dim=1)
    far = torch.cat([of_classes[:, 1:2], found[:, 2:], of_classes[:, 2:]], dim=1)
    there = counts > 0
    return near, far, torch.stack(
        [there[:, 5], there[:, 2], there[:, 1] & there[:, 3], there[:, 6]], dim=1)


def _sorted(groups: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of groups ``[G, N]`` the rows by group, the place of each row among them, and
    each group's size and first place ``[G, count]``."""
    order = groups.argsort(dim=1, stable=True)
    places = torch.arange(groups.shape[1]).expand_as(order)
    place = torch.empty_like(order).scatter_(1, order, places)
    size = groups.new_zeros(len(groups), count).scatter_add_(1, groups, torch.ones_like(groups))
    return order, place, size, size.cumsum(1) - size
