"""Notebooks as HTML: what Jupyter shows of them, and nothing lost where they are odd."""

import base64
import json
from typing import Any

import pytest
from nbformat import v3
from spanbook_runfile.samples import media
from spanbook_site import ansi
from spanbook_site.notebooks import NotebookError, markdown, notebook_html


def _notebook(lexer: str, source: str, html: str) -> bytes:
    shown = {"output_type": "display_data", "data": {"text/html": html}, "metadata": {}}
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": 1,
            "source": source, "outputs": [shown]}  # fmt: skip
    metadata = {"language_info": {"name": "python", "pygments_lexer": lexer}}
    book = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book).encode()


def test_a_notebooks_code_is_in_the_colours_of_its_language() -> None:
    """Code is highlighted as what it is, with IPython installed and without it."""
    assert '<span class="kn">import</span>' in notebook_html(_notebook("ipython3", "import os", ""))
    assert '<span class="k">SELECT</span>' in notebook_html(_notebook("sql", "SELECT 1", ""))
    assert '<span class="k">ls</span>' not in notebook_html(_notebook("text", "ls", ""))


def test_a_notebooks_image_has_a_text() -> None:
    """An image without one is said to have none; one that has it keeps it."""
    page = notebook_html(_notebook("python", "1", '<img src="a"><img src="b" alt="A curve">'))
    assert page.count("alt=") == 2
    assert 'alt="No description has been provided for this image" src="a"' in page
    assert 'src="b" alt="A curve"' in page


def _book(*cells: dict[str, Any]) -> bytes:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def _code(source: str, *outputs: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": outputs, "metadata": metadata,
            "execution_count": 7}  # fmt: skip


def _shown(**forms: Any) -> dict[str, Any]:
    data = {name.replace("_", "/"): value for name, value in forms.items()}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def test_everything_of_a_notebook_is_there() -> None:
    """Markdown, code with its number, text, tables and figures of an evaluated notebook are on its page."""
    page = notebook_html(media.notebook("Digits", {"seed": 1}))
    for part in (
        "<h1>Digits</h1>",
        "<em>Markdown</em>",
        "[2]",
        "loaded 1797 digits",
        "<th>AUC</th>",
    ):
        assert part in page, part
    assert "data:image/png;base64," + base64.b64encode(media.curve()).decode()[:100] in page
    failed = notebook_html(media.notebook("Digits", {}, failing=True))
    assert '<span class="ansi-red-fg">ZeroDivisionError</span>: division by zero' in failed


def test_mathematics_is_drawn_by_the_browser() -> None:
    """TeX becomes MathML, prices stay prices, and what is no TeX stays as it was written."""
    assert "<msup><mi>e</mi>" in markdown("$e^x$")
    assert 'display="block"' in markdown("$$\\sum_i x_i$$")
    assert "<math" in markdown("\\begin{align}a &= b\\end{align}")
    assert "<math" not in markdown("It costs $5, not $6.")
    assert '<code class="tex">x^y^z</code>' in markdown("$x^y^z$")
    assert '<code class="tex">' in markdown("$" + "x+" * 2000 + "$")


def test_markdown_cells_bring_their_pictures() -> None:
    """An attachment is shown in its place; a link that is a script is none."""
    picture = {"p q.png": {"image/png": "AAAA"}}
    cell = {"cell_type": "markdown", "source": ["![P](attachment:p%20q.png)", " [x](javascript:go())"],
            "attachments": picture, "metadata": {}}  # fmt: skip
    page = notebook_html(_book(cell))
    assert 'src="data:image/png;base64,AAAA"' in page
    assert "href" not in page


def test_an_output_is_shown_in_its_best_form() -> None:
    """HTML before a picture before text, as Jupyter chooses."""
    page = notebook_html(_book(_code("f", _shown(text_html="<b>bold</b>", text_plain="plain"))))
    assert "<b>bold</b>" in page
    assert "plain" not in page
    assert "&lt;b&gt;" in notebook_html(_book(_code("f", _shown(text_plain=["<b>", "x"]))))
    vector = _shown(**{"image_svg+xml": "<svg><script>x</script></svg>"})
    assert "<script>" not in notebook_html(_book(_code("f", vector))), "an SVG is an image"
    assert "&#34;a&#34;: [" in notebook_html(_book(_code("f", _shown(application_json={"a": [1]}))))


def test_a_stream_in_pieces_is_one_text() -> None:
    """What goes to one stream without another between is one block; bars that were drawn over are gone."""
    said = (("stdout", "a"), ("stdout", "b\n"), ("stderr", "10%\r20%\r30%\n"), ("stdout", "c"))
    pieces = [{"output_type": "stream", "name": name, "text": text} for name, text in said]
    page = notebook_html(_book(_code("", *pieces)))
    assert '<pre class="output stdout">ab\n</pre>' in page
    assert '<pre class="output stderr">30%\n</pre>' in page
    assert page.count("stdout") == 2


def test_cells_can_be_hidden() -> None:
    """The tags and marks that Jupyter's tools hide code or output by are followed."""
    out = {"output_type": "stream", "name": "stdout", "text": "seen"}
    assert "secret" not in notebook_html(_book(_code("secret", out, tags=["hide-input"])))
    assert "seen" in notebook_html(_book(_code("secret", out, jupyter={"source_hidden": True})))
    assert "seen" not in notebook_html(_book(_code("x", out, tags=["remove_output"])))
    assert notebook_html(_book(_code("x", out, tags=["remove-cell"]))) == ""


def test_colours_of_a_terminal() -> None:
    """Colours of 8, 16, 256 and 16 million, and styles, on and off again; other codes are dropped."""
    red = '<span class="ansi-bold ansi-red-fg">red</span><span class="ansi-red-fg"> thin</span>'
    assert ansi.html("\x1b[1;31mred\x1b[22m thin\x1b[0m <b>") == f"{red} &lt;b&gt;"
    assert ansi.html("\x1b[92mx") == '<span class="ansi-green-fg">x</span>'
    assert ansi.html("\x1b[38;5;196mx") == '<span style="color:#ff0000">x</span>'
    assert ansi.html("\x1b[48;2;1;2;300mx") == '<span style="background:#0102ff">x</span>'
    assert ansi.html("\x1b[2K\x1b]8;;http://a\x07link\x1b[?25l") == "link"


def test_an_old_notebook_is_brought_up() -> None:
    """A notebook of nbformat 3 is read as Jupyter reads it."""
    cell = v3.new_code_cell("1 + 1")
    old = v3.new_notebook(worksheets=[v3.new_worksheet(cells=[cell])])
    assert '<span class="mi">1</span>' in notebook_html(v3.writes_json(old).encode())


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"nbformat": 4}', b'{"nbformat": 4, "cells": [1]}', b'{"nbformat": 4, "cells": [{}]}',
     b"[" * 100_000, b"\xff", _book({"cell_type": "code", "source": "x", "outputs": [{}]})],
)  # fmt: skip
def test_what_is_no_notebook_is_told(content: bytes) -> None:
    """Bytes that are no notebook raise one error, whatever they are."""
    with pytest.raises(NotebookError):
        notebook_html(content)
