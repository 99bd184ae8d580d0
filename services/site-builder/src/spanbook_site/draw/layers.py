"""A plain layered layout, for machines where Graphviz's libraries are not to be had."""

from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 6.0  # px around a drawing
GAP_X, GAP_Y = 40, 16  # px between layers, and between boxes of one


@dataclass(frozen=True)
class Layout:
    """Where things are: box centres and edge paths, in px from the top left."""

    width: float
    height: float
    centres: tuple[tuple[float, float], ...]
    paths: tuple[str, ...]


def in_layers(widths: Sequence[int], edges: Sequence[tuple[int, int]], height: int) -> Layout:
    """Each box right of all that lead to it, in each layer by the mean height of these."""
    above: list[list[int]] = [[] for _ in widths]
    for a, b in edges:
        above[b].append(a)
    layers = _layers(len(widths), edges)
    centres: list[tuple[float, float]] = [(0.0, 0.0)] * len(widths)
    tallest = max((len(layer) for layer in layers), default=0) * (height + GAP_Y)
    x = MARGIN
    for layer in layers:
        layer.sort(
            key=lambda n: (
                sum(centres[a][1] for a in above[n]) / len(above[n]) if above[n] else 0.0,
                n,
            )
        )
        broad = max(widths[n] for n in layer)
        y = MARGIN + (tallest - len(layer) * (height + GAP_Y)) / 2 + height / 2
        for number in layer:
            centres[number] = (round(x + broad / 2, 1), round(y, 1))
            y += height + GAP_Y
        x += broad + GAP_X
    paths = tuple(_curve(centres[a], widths[a], centres[b], widths[b]) for a, b in edges)
    return Layout(x - GAP_X + MARGIN, tallest + MARGIN, tuple(centres), paths)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Boxes by their longest way from a start; edges of a cycle count as far as they lead forward."""
    depth = [0] * count
    for _ in range(min(count, 100)):
        moved = False
        for a, b in edges:
            if depth[b] <= depth[a] and depth[a] + 1 < count:
                depth[b] = depth[a] + 1
                moved = True
        if not moved:
            break
    found: dict[int, list[int]] = {}
    for number, layer in enumerate(depth):
        found.setdefault(layer, []).append(number)
    return [found[layer] for layer in sorted(found)]


def _curve(
    start: tuple[float, float], start_width: int, end: tuple[float, float], end_width: int
) -> str:
    x1, y1 = start[0] + start_width / 2, start[1]
    x2, y2 = end[0] - end_width / 2, end[1]
    middle = (x1 + x2) / 2
    return f"M{x1:g},{y1:g} C{middle:g},{y1:g} {middle:g},{y2:g} {x2:g},{y2:g}"
