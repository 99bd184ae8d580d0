"""The graph of a run as SVG: laid out by Graphviz, drawn by us, so that it has links and states."""

import logging
from collections.abc import Callable
from functools import lru_cache

from markupsafe import Markup
from spanbook_runfile import Run, Task

from spanbook_site import formats
from spanbook_site.draw.folding import Graph, Node, fold
from spanbook_site.draw.layers import MARGIN, Layout, in_layers

HEIGHT = 40  # of a box, px
PER_CHAR = 7.1  # of the label font, px; wide enough for every system font
MAX_CHARS = 30
POINTS = 72.0  # Graphviz points an inch
log = logging.getLogger("spanbook_site")


def dag(run: Run, link: Callable[[Node], str], critical: frozenset[str]) -> Markup | None:
    """The graph as an ``<svg>``; None where there is nothing to draw, or far too much."""
    graph = fold(run)
    if graph is None or not graph.nodes:
        return None
    index = {node.key: number for number, node in enumerate(graph.nodes)}
    widths = tuple(_width(node) for node in graph.nodes)
    edges = tuple((index[a], index[b]) for a, b in graph.edges)
    layout = _layout(widths, edges)
    parts = [
        Markup(
            '<svg class="dag" role="group" aria-label="Task graph" width="{0}" height="{1}" viewBox="0 0 {0} {1}">'
        ).format(round(layout.width), round(layout.height)),
        Markup(
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse"><path d="M0 .8 7 4 0 7.2z"/></marker></defs>'
        ),
    ]
    for (a, b), path in zip(graph.edges, layout.paths, strict=True):
        hot = _touches(graph, index[a], critical) and _touches(graph, index[b], critical)
        parts.append(
            Markup('<path class="edge{}" d="{}" marker-end="url(#arrow)"/>').format(
                " critical" if hot else "", path
            )
        )
    for number, node in enumerate(graph.nodes):
        hot = _touches(graph, number, critical)
        parts.append(_box(node, layout.centres[number], widths[number], link(node), hot=hot))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def _touches(graph: Graph, number: int, critical: frozenset[str]) -> bool:
    """Whether a box is on the critical path; a box of many runs always has one that is, so it counts not."""
    node = graph.nodes[number]
    return not node.folded and node.key in critical


def _width(node: Node) -> int:
    """A box's width; a task's time does not count, so that runs of one pipeline share a layout."""
    label = f"{_label(node)} · 00 min 00 s" if _label(node) else "00 min 00 s"
    chars = max(formats.display_width(_name(node)), formats.display_width(label) * 0.88)
    return round(chars * PER_CHAR + 34)


def _name(node: Node) -> str:
    return formats.shorten(formats.visible(node.tasks[0].name), MAX_CHARS)


def _label(node: Node) -> str:
    """What tells a task from its like; the end of a long one says more than its start."""
    label = "" if node.folded else formats.visible(node.tasks[0].label)
    return label if len(label) <= MAX_CHARS else "…" + label[-MAX_CHARS + 1 :]


def _detail(node: Node) -> str:
    if not node.folded:
        return " · ".join(part for part in (_label(node), task_detail(node.tasks[0])) if part)
    total = len(node.tasks)
    bad = sum(t.state in ("failure", "error", "timeout", "cancellation") for t in node.tasks)
    done = sum(t.result is not None for t in node.tasks)
    text = f"{total} runs" if done == total else f"{done} of {total} runs done"
    return f"{text}, {bad} failed" if bad else text


def task_detail(task: Task) -> str:
    """How long a task ran, and its state where it is not plainly good."""
    ran = formats.duration(task.ran)
    state = task.state
    tries = f", {len(task.attempts)} tries" if len(task.attempts) > 1 else ""
    if state == "success":
        return ran + tries
    if state == "skip":
        return "skipped"
    return f"{formats.state_word(state)} {ran}".strip() + tries


def _box(node: Node, centre: tuple[float, float], width: int, href: str, *, hot: bool) -> Markup:
    x, y = round(centre[0] - width / 2, 1), round(centre[1] - HEIGHT / 2, 1)
    state = node.state
    title = f"{formats.text(node.name, 120)}: {formats.state_word(state)}, {_detail(node)}"
    stack = ""
    if node.folded:
        stack = Markup('<rect class="shade" x="4" y="4" width="{}" height="{}" rx="6"/>').format(
            width, HEIGHT
        )
    return Markup(
        '<a href="{href}" class="node s-{state}{hot}" id="dag-{key}" data-task="{key}" transform="translate({x} {y})">'
        "<title>{title}</title>{stack}"
        '<rect class="box" width="{width}" height="{height}" rx="6"/>'
        '<rect class="mark" x="0" y="6" width="4" height="{mark}" rx="2"/>'
        '<text x="15" y="17">{name}</text><text class="detail" x="15" y="32">{detail}</text></a>'
    ).format(
        href=href,
        state=state,
        hot=" critical" if hot else "",
        key=node.key,
        x=x,
        y=y,
        title=title,
        stack=stack,
        width=width,
        height=HEIGHT,
        mark=HEIGHT - 12,
        name=_name(node),
        detail=_detail(node),
    )


@lru_cache(maxsize=256)
def _layout(widths: tuple[int, ...], edges: tuple[tuple[int, int], ...]) -> Layout:
    """Positions from left to right; the runs of one pipeline share a layout."""
    try:
        import pygraphviz  # noqa: PLC0415 - its wheel needs GLib and X11 libraries, which a bare machine lacks
    except ImportError as error:
        log.warning("Graphviz cannot be used (%s); graphs are laid out in plain layers.", error)
        return in_layers(widths, edges, HEIGHT)
    graph = pygraphviz.AGraph(directed=True, strict=False)
    graph.graph_attr.update(rankdir="LR", nodesep="0.22", ranksep="0.5", pad="0", margin="0")
    graph.node_attr.update(shape="box", fixedsize="true", label="", height=str(HEIGHT / POINTS))
    for number, width in enumerate(widths):
        graph.add_node(number, width=f"{width / POINTS:.4f}")
    for number, (a, b) in enumerate(edges):
        graph.add_edge(a, b, key=str(number))
    graph.layout(prog="dot")
    left, bottom, right, top = (float(n) for n in (graph.graph_attr["bb"] or "0,0,0,0").split(","))

    def place(x: str, y: str) -> tuple[float, float]:
        return round(float(x) - left + MARGIN, 1), round(top - float(y) + MARGIN, 1)

    centres = []
    for number in range(len(widths)):
        x, y = graph.get_node(number).attr["pos"].rstrip("!").split(",")
        centres.append(place(x, y))
    paths = [
        _path(graph.get_edge(a, b, key=str(n)).attr["pos"], place) for n, (a, b) in enumerate(edges)
    ]
    return Layout(
        right - left + 2 * MARGIN + 4, top - bottom + 2 * MARGIN + 4, tuple(centres), tuple(paths)
    )


def _path(spline: str, place: Callable[[str, str], tuple[float, float]]) -> str:
    """Graphviz's ``e,x,y x,y x,y …`` (end point first, then Bezier points) as an SVG path."""
    end, points = None, []
    for item in (spline or "").replace("\\\n", "").split():
        if item.startswith("e,"):
            end = place(*item[2:].split(","))
        elif not item.startswith("s,"):
            points.append(place(*item.split(",")))
    if not points:
        return ""
    (x, y), *rest = points
    curve = " ".join(f"{px:g},{py:g}" for px, py in rest)
    tail = f" L{end[0]:g},{end[1]:g}" if end else ""
    return f"M{x:g},{y:g} C{curve}{tail}"


def as_text(run: Run, limit: int = 200) -> list[tuple[Task, str]]:
    """The graph in words: each task with what it comes after."""
    titles = {t.id: formats.text(t.title, 80) for t in run.tasks}
    out = []
    for task in run.tasks[:limit]:
        above = [titles[u] for u in task.upstream[:6]]
        more = len(task.upstream) - len(above)
        words = f"after {', '.join(above)}" if above else "first"
        out.append((task, f"{words} and {more} more" if more > 0 else words))
    return out


__all__ = ["as_text", "dag", "task_detail"]
