"""Inline SVG that takes its colours and fonts from the page's style sheet.

Text stays text, lines and marks carry classes instead of colours, and so one
drawing serves light and dark, and is read out by its title.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Frame:
    """A plotting area: data ranges inside a drawing of ``width`` by ``height`` units."""

    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    left: float = 44
    right: float = 12
    top: float = 12
    bottom: float = 30

    def x(self, value: float) -> float:
        """Horizontal position of a value."""
        low, high = self.x_range
        share = (value - low) / (high - low or 1.0)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Vertical position of a value; larger values lie higher."""
        low, high = self.y_range
        share = (value - low) / (high - low or 1.0)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a pair of values lies."""
        return self.x(point[0]), self.y(point[1])

    def drawing(self, name: str, title: str, parts: Iterable[str], kind: str = "") -> str:
        """The SVG element; ``name`` has to be unique in the page."""
        return (
            f'<svg class="plot {kind}" viewBox="0 0 {number(self.width)} {number(self.height)}" '
            f'role="img" aria-labelledby="{escape(name)}-title">'
            f'<title id="{escape(name)}-title">{escape(title)}</title>{"".join(parts)}</svg>'
        )

    def axes(
        self, x_ticks: Sequence[float] = (), y_ticks: Sequence[float] = (),
        x_label: str = "", x_text: str = "{:g}",
    ) -> list[str]:
        """Grid lines, tick labels and the name of the horizontal axis."""
        parts, floor = [], self.height - self.bottom
        for tick in y_ticks:
            y = self.y(tick)
            parts.append(polyline([(self.left, y), (self.width - self.right, y)], "grid"))
            parts.append(text(self.left - 6, y + 4, f"{tick:g}", "tick end"))
        for tick in x_ticks:
            if not y_ticks:
                parts.append(polyline([(self.x(tick), self.top), (self.x(tick), floor)], "grid"))
            parts.append(text(self.x(tick), floor + 15, x_text.format(tick), "tick middle"))
        if x_label:
            parts.append(text(self.width - self.right, floor + 28, x_label, "tick end"))
        return parts


def number(value: float) -> str:
    """A coordinate with at most one decimal.

    >>> number(3.04), number(12.26), number(-0.01)
    ('3', '12.3', '0')
    """
    rounded = f"{value:.1f}".removesuffix(".0")
    return "0" if rounded == "-0" else rounded


def polyline(points: Iterable[tuple[float, float]], kind: str) -> str:
    """A line through points, of a class."""
    return f'<path class="{kind}" d="M{"L".join(f"{number(x)} {number(y)}" for x, y in points)}"/>'


def text(x: float, y: float, content: str, kind: str) -> str:
    """Text of a class; "middle" and "end" set its anchor."""
    return f'<text class="{kind}" x="{number(x)}" y="{number(y)}">{escape(content)}</text>'


#: Filled outlines around a point, as relative path commands: circle, square, triangle, diamond.
MARKS = (
    "m-3.4,0a3.4,3.4 0 1,0 6.8,0a3.4,3.4 0 1,0 -6.8,0z",
    "m-3,-3h6v6h-6z",
    "m-3.8,2.8h7.6l-3.8,-6.8z",
    "m-4.2,0l4.2,-4.2l4.2,4.2l-4.2,4.2z",
)
#: Lines without length, which round ends make dots, and crosses.
DOT, CROSS = "h0", "m-4,0h8m-4,-4v8"
#: Ticks of a share.
QUARTERS = (0, 0.25, 0.5, 0.75, 1)
#: Colours that the style sheet defines for classes and runs.
COLOURS = 7


def mark_of(index: int) -> tuple[str, str]:
    """Colour class and outline of the index-th class: 28 pairs before one returns.

    Neighbours differ in both, so that neither colour nor shape is needed alone.

    >>> len({mark_of(i) for i in range(28)})
    28
    """
    return f"c{index % COLOURS}", MARKS[index % len(MARKS)]


def marks(points: Iterable[tuple[float, float]], outline: str, kind: str) -> str:
    """One path with an outline, relative to it, at every point."""
    places = "".join(f"M{number(x)} {number(y)}{outline}" for x, y in points)
    return f'<path class="{kind}" d="{places}"/>'


def swatch(index: int) -> str:
    """The mark of the index-th class or gate, for a legend."""
    colour, outline = mark_of(index)
    return (f'<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true">'
            f'{marks([(6, 6)], outline, f"mark {colour}")}</svg>')


def ticks(low: float, high: float, count: int = 4, integer: bool = False) -> list[float]:
    """Round numbers between two values."""
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(nbins=count, integer=integer).tick_values(low, high)
    return [float(value) for value in values if low <= value <= high]
