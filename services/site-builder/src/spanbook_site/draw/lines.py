"""Small line charts as SVG, for pages without script: sparklines and resource charts."""

import math
from collections.abc import Sequence

from markupsafe import Markup

MAX_POINTS = 300


def spark(
    values: Sequence[float | None], *, label: str, width: int = 120, height: int = 28
) -> Markup:
    """A line through the finite values, the last one dotted; empty where there are fewer than two."""
    points = _points(list(enumerate(values)), width, height, pad=3)
    if len(points) < 2:
        return Markup("")
    x, y = points[-1]
    return Markup(
        '<svg class="spark" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<polyline points="{points}"/><circle cx="{x:g}" cy="{y:g}" r="2.5"/></svg>'
    ).format(w=width, h=height, label=label, points=_text(points), x=x, y=y)


def area(
    pairs: Sequence[tuple[float, float | None]], *, label: str, top: float | None = None
) -> Markup:
    """A filled line that stretches to any width; the axis starts at 0."""
    points = _points([(x, y) for x, y in pairs], 1000, 100, pad=0, low=0.0, high=top)
    if len(points) < 2:
        return Markup("")
    outline = _text([(points[0][0], 100), *points, (points[-1][0], 100)])
    return Markup(
        '<svg class="area" viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polygon points="{}"/><polyline points="{}"/></svg>'
    ).format(label, outline, _text(points))


def _points(
    pairs: Sequence[tuple[float, float | None]],
    width: float,
    height: float,
    *,
    pad: float,
    low: float | None = None,
    high: float | None = None,
) -> list[tuple[float, float]]:
    kept = [(x, y) for x, y in pairs if y is not None and math.isfinite(y) and abs(y) < 1e300]
    if len(kept) > MAX_POINTS:
        stride = math.ceil(len(kept) / MAX_POINTS)
        kept = [*kept[:-1:stride], kept[-1]]
    if not kept:
        return []
    x0, x1 = kept[0][0], kept[-1][0]
    y0 = min(y for _, y in kept) if low is None else low
    y1 = max([y for _, y in kept] + ([] if high is None else [high]))
    return [
        (
            round(pad + (x - x0) / ((x1 - x0) or 1) * (width - 2 * pad), 1),
            round(
                height - pad - ((y - y0) / (y1 - y0) if y1 > y0 else 0.5) * (height - 2 * pad), 1
            ),
        )
        for x, y in kept
    ]


def _text(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)
