"""Figures of the plotting libraries become files that a browser shows."""

import io
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest
from spanbook import log
from spanbook.errors import LogError
from spanbook.log import recording
from spanbook.settings import Limits


@pytest.fixture
def inside(recorder: Any) -> Iterator[Any]:
    """An attempt around the test; called, it gives the artifacts."""
    mpl.use("agg")
    with recording(recorder.emitter, Limits()):
        yield lambda: recorder.attempt().artifacts
    plt.close("all")


@pytest.mark.parametrize(
    "make",
    [
        lambda fig, axes: fig,
        lambda fig, axes: axes[0, 0],
        lambda fig, axes: axes,
        lambda fig, axes: (fig, axes),
        lambda fig, axes: fig.subfigures(1, 1),
    ],
    ids=["figure", "axes", "array of axes", "subplots()", "subfigure"],
)
def test_matplotlib(inside: Any, make: Any) -> None:
    """A figure, or what is part of one, is a PNG of its size."""
    fig, axes = plt.subplots(2, 2, figsize=(4, 3), dpi=50)
    log.figure("plot", make(fig, axes))
    (artifact,) = inside()
    assert (artifact.path, artifact.kind, artifact.media_type) == (
        "plot.png",
        "figure",
        "image/png",
    )
    assert PIL.Image.open(io.BytesIO(artifact.data)).size == (200, 150)


def test_vector_formats(inside: Any) -> None:
    """The suffix chooses the format; the same figure gives the same bytes."""
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    log.figure("a.svg", fig)
    log.figure("b.svg", fig)
    log.figure("c.pdf", fig)
    svg, again, pdf = inside()
    assert svg.data.startswith(b"<?xml")
    assert b"<dc:date>" not in svg.data
    assert svg.media_type == again.media_type == "image/svg+xml"
    assert pdf.data.startswith(b"%PDF")


def test_pillow(inside: Any) -> None:
    """Images are saved as the suffix says, PNG without one."""
    image = PIL.Image.fromarray(np.zeros((4, 6, 3), dtype=np.uint8))
    log.figure("a", image)
    log.figure("b.jpg", image)
    png, jpg = inside()
    assert PIL.Image.open(io.BytesIO(png.data)).format == "PNG"
    assert PIL.Image.open(io.BytesIO(jpg.data)).format == "JPEG"


def test_plotly(inside: Any) -> None:
    """A plotly figure is a page of its own that needs no network."""
    import plotly.graph_objects as go

    log.figure("scatter", go.Figure(go.Scatter(x=[1, 2], y=[3, 4])))
    (artifact,) = inside()
    assert (artifact.path, artifact.media_type) == ("scatter.html", "text/html")
    assert b"<script src=" not in artifact.data
    assert len(artifact.data) > 1 << 20


def test_unknown_suffix(inside: Any) -> None:
    """A format that the library does not write is refused with those that it does."""
    with pytest.raises(LogError, match=r"\.png, \.svg"):
        log.figure("plot.docx", plt.figure())
