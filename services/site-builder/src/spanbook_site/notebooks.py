"""Evaluated notebooks as HTML, by nbformat's rules: what a sandboxed frame then shows.

nbconvert would do it, but it takes half a second to import, a third of all that a run costs; here are
Markdown, colours and outputs, by the libraries of the docs pages. Runs of one pipeline share their
cells' sources, so highlighted code and Markdown are remembered.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache, partial
from typing import Any, TypeAlias
from urllib.parse import quote

import orjson
from markupsafe import escape

from spanbook_site import ansi

Json: TypeAlias = Mapping[str, Any]
MAX_TEX = 2000  # characters of one formula
_UNNAMED = re.compile(r"<img (?![^<>]{0,1000}\balt=)")
_NAME = '<img alt="No description has been provided for this image" '
PYTHON = "python"
IPYTHON = ("ipython", "ipython3")  # lexers of IPython's, and a second to import
_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_LANGUAGES = {  # cells that a magic hands to another language
    "bash": "bash", "sh": "bash", "html": "html", "HTML": "html", "javascript": "javascript", "js": "javascript",
    "latex": "latex", "markdown": "markdown", "perl": "perl", "ruby": "ruby", "sql": "sql", "R": "r",
    "cython": "cython",
}  # fmt: skip
_MAGIC = re.compile(r"\s*%%(\w+)")
_NO_SOURCE = frozenset(("remove_input", "remove-input", "hide_input", "hide-input"))
_NO_OUTPUT = frozenset(("remove_output", "remove-output", "hide_output", "hide-output"))
_NO_CELL = frozenset(("remove_cell", "remove-cell", "hide_cell", "hide-cell"))


class NotebookError(ValueError):
    """The bytes are no notebook that can be shown."""


@lru_cache(maxsize=16)
def notebook_html(content: bytes) -> str:
    """The notebook as a fragment of HTML: untrusted, to be shown in a sandboxed frame only.

    Raises:
        NotebookError: it is no notebook.
    """
    try:
        notebook = _read(content)
        info = notebook.get("metadata", {}).get("language_info") or {}
        language = info.get("pygments_lexer") or info.get("name") or PYTHON
        language = PYTHON if language in IPYTHON else str(language)
        return "\n".join(_cell(cell, language) for cell in notebook["cells"])
    except Exception as error:  # a stranger's bytes, and their HTML and colours by other hands
        raise NotebookError(f"It is no notebook that can be shown: {error}") from error


def _read(content: bytes) -> Json:
    """A notebook of nbformat 4; those before it are brought up to it."""
    try:
        notebook = orjson.loads(content)
    except orjson.JSONDecodeError:  # NaN, which Python writes
        notebook = json.loads(content.decode("utf-8"))
    if notebook["nbformat"] != 4:
        import nbformat  # noqa: PLC0415 - a tenth of a second, for notebooks of ten years ago

        notebook = nbformat.reads(content.decode("utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    found: Json = notebook
    return found


def _text(value: object) -> str:
    """A notebook's multi-line text: a string, or a list of them."""
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _cell(cell: Json, language: str) -> str:
    kind, source = cell["cell_type"], _text(cell["source"])
    metadata = cell.get("metadata") or {}
    tags = frozenset(map(str, metadata.get("tags") or ()))
    if tags & _NO_CELL:
        return ""
    if kind == "markdown":
        return f'<div class="cell text">{_attached(markdown(source), cell.get("attachments") or {})}</div>'
    if kind != "code":
        return f'<div class="cell raw"><pre>{escape(source)}</pre></div>' if source.strip() else ""
    hidden = metadata.get("jupyter") or {}
    parts = []
    if source.strip() and not tags & _NO_SOURCE and not hidden.get("source_hidden"):
        number = cell.get("execution_count")
        prompt = f"[{int(number)}]" if isinstance(number, int) else "[ ]"
        magic = _MAGIC.match(source)
        spoken = _LANGUAGES.get(magic[1], language) if magic else language
        code = highlighted(source, spoken)
        parts.append(
            f'<div class="input"><div class="prompt">{prompt}</div><pre class="code">{code}</pre></div>'
        )
    if not tags & _NO_OUTPUT and not hidden.get("outputs_hidden"):
        parts += _outputs(cell.get("outputs") or [])
    return f'<div class="cell">{"".join(parts)}</div>' if parts else ""


def _outputs(outputs: list[Json]) -> Iterator[str]:
    """Outputs one by one; what a stream wrote in pieces is one text."""
    stream, texts = "", list[str]()
    for output in [*outputs, {"output_type": ""}]:
        kind = output["output_type"]
        name = str(output.get("name")) if kind == "stream" else ""
        if texts and name != stream:
            css = "stderr" if stream == "stderr" else "stdout"
            yield f'<pre class="output {css}">{ansi.html("".join(texts))}</pre>'
            texts = []
        stream = name
        if kind == "stream":
            texts.append(_text(output["text"]))
        elif kind == "error":
            lines = [str(line) for line in output.get("traceback") or ()]
            text = "\n".join(lines) or f"{output.get('ename')}: {output.get('evalue')}"
            yield f'<pre class="output error">{ansi.html(text)}</pre>'
        elif kind:
            form, shown = _shown(output.get("data") or {})
            own = " own" if form == "text/html" else ""  # brings its colours, meant for white
            yield f'<div class="output{own}">{shown}</div>'


def _shown(data: Json) -> tuple[str, str]:
    """The best of an output's forms: its media type and its HTML."""
    form = next((form for form in _FORMS if form in data), "")
    return form, _FORMS[form](data[form]) if form else ""


def _plain(value: object) -> str:
    return f"<pre>{ansi.html(_text(value))}</pre>"


def _html(value: object) -> str:
    return _UNNAMED.sub(_NAME, _text(value))


def _prose(value: object) -> str:
    return markdown(_text(value))


def _latex(value: object) -> str:
    text = _text(value)
    return markdown(text if "$" in text or "\\begin" in text else f"$${text}$$")


def _script(value: object) -> str:
    inert = _text(value).replace("</", "<\\/")  # it ends where we say
    return f"<script>{inert}</script>"


def _json(value: object) -> str:
    content = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    return f"<pre>{escape(content.decode())}</pre>"


def _vector(value: object) -> str:
    return _image("image/svg+xml", base64.b64encode(_text(value).encode()).decode())


def _image(form: str, content: object) -> str:
    return f'{_NAME}src="data:{form};base64,{escape("".join(_text(content).split()))}">'


def _attached(html: str, attachments: Json) -> str:
    """Images that a Markdown cell brings along, in the place of ``attachment:NAME``."""
    for name, forms in attachments.items():
        for form in _IMAGES:
            if form in forms:
                source = f"data:{form};base64," + "".join(_text(forms[form]).split())
                html = html.replace(f'"attachment:{quote(name)}"', f'"{escape(source)}"')
    return html


_FORMS: dict[str, Callable[[Any], str]] = {  # of one output, the best first
    "text/html": _html,
    "text/markdown": _prose,
    "image/svg+xml": _vector,
    **{form: partial(_image, form) for form in _IMAGES},
    "text/latex": _latex,
    "application/javascript": _script,
    "application/json": _json,
    "text/plain": _plain,
}


@lru_cache(maxsize=4096)
def markdown(source: str) -> str:
    """Markdown as HTML, with tables and mathematics; HTML in it passes through."""
    return _UNNAMED.sub(_NAME, str(_markdown().render(source)))


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - not where no notebook is
    from mdit_py_plugins.amsmath import amsmath_plugin  # noqa: PLC0415
    from mdit_py_plugins.dollarmath import dollarmath_plugin  # noqa: PLC0415

    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    reader.validateLink = _plain_link  # type: ignore[method-assign]
    reader.use(dollarmath_plugin, renderer=_mathematics, allow_digits=False, double_inline=True)
    return reader.use(
        amsmath_plugin, renderer=lambda source: _mathematics(source, {"display_mode": True})
    )


def _plain_link(url: str) -> bool:
    """Not a script's; images may be data."""
    from markdown_it.common.normalize_url import validateLink  # noqa: PLC0415

    inert = ("attachment:", "data:image/svg+xml;")
    return validateLink(url) or url.lower().startswith(inert)


def _mathematics(source: str, options: Mapping[str, Any]) -> str:
    """TeX as MathML, which browsers draw; what is not understood stays TeX."""
    from latex2mathml.converter import convert  # noqa: PLC0415 - where there is any

    display = "block" if options.get("display_mode") else "inline"
    if len(source) > MAX_TEX:
        return f'<code class="tex">{escape(source)}</code>'
    try:
        return str(convert(source, display=display))
    except Exception:  # noqa: BLE001 - a small parser on anything
        return f'<code class="tex">{escape(source)}</code>'


@lru_cache(maxsize=4096)
def highlighted(source: str, language: str) -> str:
    """Code in the colours of its language, as spans; a language that nobody knows is text."""
    from pygments import highlight  # noqa: PLC0415
    from pygments.formatters.html import HtmlFormatter  # noqa: PLC0415
    from pygments.lexers import get_lexer_by_name  # noqa: PLC0415
    from pygments.util import ClassNotFound  # noqa: PLC0415

    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return str(escape(source))
    return str(highlight(source, lexer, HtmlFormatter(nowrap=True)))


__all__ = ["NotebookError", "highlighted", "markdown", "notebook_html"]
