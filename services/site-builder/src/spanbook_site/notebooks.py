"""Evaluated notebooks as HTML: rendered once by nbconvert, without scripts or links to elsewhere.

Runs of one pipeline share their cells' sources, so highlighted code and Markdown are remembered;
that halves the time of a site of many runs.
"""

import re
from functools import cache, lru_cache
from typing import Any

from markupsafe import escape

from spanbook_site.templating import bytecode_cache

TOKEN = "spanbook-output-{}-"  # noqa: S105 - a placeholder
PREPROCESSORS = [  # of nbconvert's those that a page needs; it validates the notebook after each
    "nbconvert.preprocessors.CoalesceStreamsPreprocessor",
    "nbconvert.preprocessors.HighlightMagicsPreprocessor",
]
_UNNAMED = re.compile(r"<img (?![^<>]{0,1000}\balt=)")
_NAME = '<img alt="No description has been provided for this image" '
PYTHON = "python"
IPYTHON = ("ipython", "ipython3")  # lexers of IPython's, and a second to import
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class NotebookError(ValueError):
    """The bytes are no notebook that can be shown."""


@lru_cache(maxsize=16)
def notebook_html(content: bytes) -> str:
    """The notebook as a fragment of HTML: untrusted, to be shown in a sandboxed frame only.

    Raises:
        NotebookError: it is no notebook.
    """
    import nbformat  # noqa: PLC0415 - a tenth of a second, where no notebook is

    try:
        notebook = nbformat.reads(content.decode("utf-8"), as_version=4)  # type: ignore[no-untyped-call]
        images = _take_images(notebook)
        body, _ = _exporter().from_notebook_node(notebook)
    except Exception as error:  # nbformat and nbconvert raise of many kinds on hostile input
        raise NotebookError(f"It is no notebook that can be shown: {error}") from error
    return _put_images(_UNNAMED.sub(_NAME, body), images)


def _take_images(notebook: Any) -> dict[str, str]:
    """Replace images by short tokens: the HTML passes through several parsers, and images are large."""
    images: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data") or {}
            for kind in _IMAGES:
                value = data.get(kind)
                if isinstance(value, str) and len(value) > 1000:
                    token = TOKEN.format(len(images))
                    images[token] = value.replace("\n", "")
                    data[kind] = token
    return images


def _put_images(body: str, images: dict[str, str]) -> str:
    pattern = re.compile(r"spanbook-output-\d+-")
    return pattern.sub(lambda m: str(escape(images.get(m[0], m[0]))), body)


@cache
def _exporter() -> Any:
    from nbconvert.exporters import HTMLExporter, TemplateExporter  # noqa: PLC0415 - half a second, where no notebook is
    from nbconvert.filters import Highlight2HTML  # noqa: PLC0415
    from traitlets.config import Config  # noqa: PLC0415

    class Exporter(HTMLExporter):
        """Without parsing its own HTML again, for what a pattern can add: half of its time."""

        language = PYTHON

        def from_notebook_node(self, nb: Any, resources: Any = None, **kw: Any) -> Any:
            info = nb.metadata.get("language_info") or {}
            self.language = info.get("pygments_lexer") or info.get("name") or PYTHON
            return TemplateExporter.from_notebook_node(self, nb, resources, **kw)

        def _validate_preprocessor(self, *_: Any) -> None:
            """It was validated when it was read."""

    plain: Any = Highlight2HTML()  # type: ignore[no-untyped-call]

    @lru_cache(maxsize=4096)
    def highlight(source: str, language: str) -> str:
        return str(plain(source, language))

    def highlight_code(source: str, language: str | None = None, metadata: object = None) -> str:  # noqa: ARG001 - nbconvert's filter has it
        chosen = language or exporter.language
        return highlight(source, PYTHON if chosen in IPYTHON else chosen)

    exporter: Any = Exporter(  # type: ignore[no-untyped-call]
        config=Config(),
        template_name="basic",
        filters={"highlight_code": highlight_code},
        default_preprocessors=PREPROCESSORS,
    )
    exporter.environment.bytecode_cache = bytecode_cache()
    return exporter
