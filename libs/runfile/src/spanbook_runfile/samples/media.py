"""Small files as pipelines log them, made of nothing but the standard library."""

import base64
import json
import math
import struct
import zlib
from collections.abc import Callable, Sequence

Pixel = tuple[int, int, int]


def png(width: int, height: int, pixel: Callable[[int, int], Pixel]) -> bytes:
    """A PNG picture of RGB pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(
        b"\0" + bytes(part for x in range(width) for part in pixel(x, y)) for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def curve(phase: float = 0.0) -> bytes:
    """A figure of one curve on white."""

    def pixel(x: int, y: int) -> Pixel:
        height = 60 + 40 * math.sin(x / 18 + phase)
        return (31, 119, 180) if abs(y - height) < 2 else (255, 255, 255)

    return png(200, 120, pixel)


def svg(text: str) -> bytes:
    """An SVG figure with a text in it, which is not escaped."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100" width="200" height="100">'
        f'<rect width="200" height="100" fill="#eef"/><text x="10" y="50">{text}</text></svg>'
    ).encode()


def notebook(
    title: str, parameters: dict[str, object], *, failing: bool = False, unfinished: bool = False
) -> bytes:
    """An evaluated notebook: a title, injected parameters, text, a table and a figure.

    A failing one ends with a cell's traceback, an unfinished one with cells that never ran.
    """
    injected = "".join(f"{key} = {value!r}\n" for key, value in parameters.items())
    cells = [
        _markdown(f"# {title}\n\nWith *Markdown*, and math: $e^{{i\\pi}} = -1$."),
        _code(1, "# Parameters\n" + injected, [], tags=["injected-parameters"]),
        _code(2, "print('loaded 1797 digits')", [_stream("loaded 1797 digits\n")]),
        _code(3, "scores", [_table()]),
    ]
    if failing:
        cells.append(_code(4, "1 / 0", [_zero_division()]))
    elif unfinished:
        cells.append(_code(None, "while True: ...", []))
    else:
        cells.append(_code(4, "plot(scores)", [_figure()]))
    whole = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "version": "3.13.9"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return json.dumps(whole, indent=1).encode()


def _markdown(source: str) -> dict[str, object]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(
    number: int | None, source: str, outputs: list[dict[str, object]], tags: Sequence[str] = ()
) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": number,
        "metadata": {"tags": list(tags)},
        "outputs": outputs,
        "source": source,
    }


def _stream(text: str) -> dict[str, object]:
    return {"name": "stdout", "output_type": "stream", "text": text}


def _table() -> dict[str, object]:
    rows = "".join(f"<tr><td>{n}</td><td>{0.9 + n / 100:.2f}</td></tr>" for n in range(5))
    html = f"<table><tr><th>digit</th><th>AUC</th></tr>{rows}</table>"
    data = {"text/html": html, "text/plain": "digit  AUC\n0  0.90"}
    return {"data": data, "execution_count": 3, "metadata": {}, "output_type": "execute_result"}


def _figure() -> dict[str, object]:
    data = {"image/png": base64.b64encode(curve()).decode(), "text/plain": "<Figure 200x120>"}
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def _zero_division() -> dict[str, object]:
    return {
        "output_type": "error",
        "ename": "ZeroDivisionError",
        "evalue": "division by zero",
        "traceback": ["\x1b[31mZeroDivisionError\x1b[39m: division by zero", "Cell In[4], line 1"],
    }


def onnx(features: int = 64) -> bytes:
    """A whole, small ONNX model: ``Y = Identity(X)`` on float tensors of (batch, features).

    Written field by field after onnx.proto, so that no ONNX package is needed here.
    """

    def varint(number: int) -> bytes:
        out = bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        return bytes([*out, number])

    def number(field: int, value: int) -> bytes:
        return varint(field << 3) + varint(value)

    def part(field: int, *content: bytes) -> bytes:
        data = b"".join(content)
        return varint(field << 3 | 2) + varint(len(data)) + data

    def value_info(name: bytes) -> bytes:
        shape = part(2, part(1, part(2, b"batch")), part(1, number(1, features)))
        return part(1, name) + part(2, part(1, number(1, 1), shape))

    node = part(1, b"X") + part(2, b"Y") + part(3, b"copy") + part(4, b"Identity")
    graph = part(1, node) + part(2, b"digits") + part(11, value_info(b"X"))
    graph += part(12, value_info(b"Y"))
    return number(1, 8) + part(2, b"spanbook") + part(7, graph) + part(8, number(2, 15))
