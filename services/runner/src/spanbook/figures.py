"""Figures of the plotting libraries as files: matplotlib, Pillow, plotly."""

import base64
import io
import os
import sys
from typing import Any, Final
from weakref import WeakKeyDictionary

from spanbook.artifacts import Content, media_type_of
from spanbook.errors import LogError

_MATPLOTLIB: Final = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
_PILLOW: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tiff")


def figure_content(name: str, figure: object) -> tuple[str, Content]:
    """A figure as (name with a suffix, content).

    matplotlib figures and axes, and what holds one (seaborn), become PNG, or what the name's
    suffix says; Pillow images likewise; plotly figures become HTML that needs no network.

    Raises:
        LogError: it is no figure, or the suffix is none of its library's.
    """
    if callable(getattr(figure, "write_html", None)):  # plotly
        return _plotly(name, figure)
    if callable(getattr(figure, "save", None)) and hasattr(figure, "getbands"):  # Pillow
        return _pillow(name, figure)
    found = _matplotlib_figure(figure)
    if found is None:
        raise LogError(
            f"log.figure({name!r}, …) takes a matplotlib figure or axes, a Pillow image or a "
            f"plotly figure, not {type(figure).__name__}. For bytes there is log.file."
        )
    return _matplotlib(name, found)


def _matplotlib_figure(figure: object) -> Any:
    """The matplotlib figure that this is, or that holds it (axes, seaborn grids, plotnine)."""
    modules = sys.modules
    if (base := modules.get("matplotlib.figure")) is None:
        return None
    if isinstance(figure, base.FigureBase):
        return figure.figure if not isinstance(figure, base.Figure) else figure
    held = getattr(figure, "figure", None) or getattr(figure, "fig", None)
    if isinstance(held, base.Figure):
        return held
    if isinstance(figure, tuple | list) or hasattr(figure, "flat"):  # plt.subplots()'s results
        items: list[Any] = list(getattr(figure, "flat", figure))  # type: ignore[call-overload]
        return next((f for item in items if (f := _matplotlib_figure(item)) is not None), None)
    return None


def _matplotlib(name: str, figure: Any) -> tuple[str, Content]:
    name, suffix = _with_suffix(name, _MATPLOTLIB, "matplotlib")
    buffer = io.BytesIO()
    # No date in the file: the same figure gives the same bytes.
    metadata = {"Date": None} if suffix == "svg" else None
    figure.savefig(buffer, format=suffix, metadata=metadata)
    data = buffer.getvalue()
    if suffix == "png":
        _remember(figure, data)
    return name, Content(media_type_of(name), data)


_drawn: Final[WeakKeyDictionary[Any, bytes]] = WeakKeyDictionary()


def _remember(figure: Any, data: bytes) -> None:
    """Keep what was drawn until the figure changes: matplotlib calls back when a part of it does."""
    before = figure.stale_callback

    def forget(changed: Any, stale: bool) -> None:
        _drawn.pop(changed, None)
        changed.stale_callback = before
        if before is not None:
            before(changed, stale)

    figure.stale = False
    figure.stale_callback = forget
    _drawn[figure] = data


def show_as_logged(shell: Any) -> None:
    """Have a notebook show a figure as it was logged, where it has not changed since.

    Drawing is what notebooks spend most of their time on; this halves it.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (a task without figures pays nothing)

    formatter = shell.display_formatter.formatters["image/png"]
    if Figure not in formatter:
        return  # the user has figures shown otherwise
    draw = formatter.lookup_by_type(Figure)

    def show(figure: Any) -> Any:
        data = _drawn.get(figure)
        return draw(figure) if data is None else base64.b64encode(data).decode()

    formatter.for_type(Figure, show)


def _pillow(name: str, image: Any) -> tuple[str, Content]:
    name, suffix = _with_suffix(name, _PILLOW, "Pillow")
    buffer = io.BytesIO()
    try:
        image.save(buffer, format={"jpg": "JPEG"}.get(suffix, suffix.upper()))
    except OSError as error:
        raise LogError(
            f"The image {name!r} of mode {image.mode} cannot be saved: {error}."
        ) from error
    return name, Content(media_type_of(name), buffer.getvalue())


def _plotly(name: str, figure: Any) -> tuple[str, Content]:
    name, _ = _with_suffix(name, (".html",), "plotly")
    page = figure.to_html(include_plotlyjs=True, full_html=True)
    return name, Content("text/html", page.encode())


def _with_suffix(name: str, known: tuple[str, ...], library: str) -> tuple[str, str]:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if not suffix:
        return name + known[0], known[0][1:]
    if suffix not in known:
        raise LogError(f"A {library} figure can be logged as {', '.join(known)}, not as {name!r}.")
    return name, suffix[1:]
