"""The project's own documents: a folder of Markdown, as pages under ``docs/`` of the site.

``index.md`` (or ``README.md``) is the first page; the navigation is its links, under its headings. Links
from document to document lead from page to page; those to other files of the repository lead there.
"""

import logging
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from spanbook_site.memo import key_of
from spanbook_site.output import Output, version_of
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

log = logging.getLogger("spanbook_site")
MEDIA = (".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp")
_FIRST = ("index.md", "README.md")
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="k-")


@dataclass(frozen=True, slots=True)
class Section:
    """Pages under one heading of the navigation: titles and addresses."""

    title: str
    pages: Sequence[tuple[str, str]]


def stamp(folder: Path) -> str:
    """A digest of all documents: what the pages are made of."""
    return key_of(
        f"{name} {version_of(path.read_bytes())}" for name, path in _files(folder).items()
    )


def _files(folder: Path) -> dict[str, Path]:
    """Documents and pictures by their path in the folder; links are not followed out of it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        inside = path.resolve().is_relative_to(folder.resolve())
        if inside and not hidden and path.is_file() and path.suffix.lower() in (".md", *MEDIA):
            found[name.as_posix()] = path
    return found


def address_of(name: str) -> str:
    """The page of a document."""
    folder, _, file = name.rpartition("/")
    stem = "index" if file in _FIRST else file.removesuffix(".md")
    return "/".join(part for part in ("docs", folder, f"{stem}.html") if part)


def write(output: Output, templates: Templates, folder: Path) -> None:
    """Write every page, and the pictures."""
    files = _files(folder)
    texts = {n: p.read_text("utf-8", "replace") for n, p in files.items() if n.endswith(".md")}
    if "index.md" in texts:
        texts.pop("README.md", None)
    pages = {name: _Page(name, text, frozenset(files), templates) for name, text in texts.items()}
    sections = list(_sections(pages))
    for name, page in pages.items():
        address = address_of(name)
        html = templates.page(
            "docs.html",
            address,
            kind="docs",
            title=page.title,
            body=Markup(page.html()),  # noqa: S704 - js-default passes no HTML through
            sections=sections,
            here=address,
            styles=["site.css", "docs.css"],
        )
        output.write(address, html)
        for broken in page.broken:
            log.warning("docs: %s links to %s, which is not there.", name, broken)
    for name, path in files.items():
        if name not in texts and not name.endswith(".md"):
            output.write(f"docs/{name}", path.read_bytes())
    output.prune("docs", set(output.written))


def _sections(pages: "dict[str, _Page]") -> Iterator[Section]:
    """The first page's links under its headings, then what it does not link to."""
    first = next((name for name in _FIRST if name in pages), None)
    linked: set[str] = set()
    if first is not None:
        linked.add(first)
        yield Section("", [(pages[first].title, Urls.DOCS)])
        for title, names in pages[first].contents():
            found = [n for n in dict.fromkeys(names) if n in pages and n not in linked]
            linked.update(found)
            if found:
                yield Section(title, [(pages[n].title, address_of(n)) for n in found])
    rest = [name for name in pages if name not in linked and _top(name, pages)]
    if rest:
        title = "More" if first is not None else ""
        yield Section(title, [(pages[n].title, address_of(n)) for n in rest])


def _top(name: str, pages: "dict[str, _Page]") -> bool:
    """Whether a page is no part of a folder that has a first page of its own."""
    folder, _, file = name.rpartition("/")
    indexed = any(f"{folder}/{first}" in pages for first in _FIRST)
    return not folder or file in _FIRST or not indexed


class _Page:
    """One document being rendered."""

    def __init__(self, name: str, text: str, files: frozenset[str], templates: Templates) -> None:
        self.name = name
        self.files = files
        self.repository = templates.settings.repository.rstrip("/")
        self.broken: list[str] = []
        self._markdown = MarkdownIt("js-default", {"highlight": _highlighted})
        self._markdown.add_render_rule("table_open", _scrolling)
        self._markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
        self._tokens = self._markdown.parse(text)
        self._anchors: dict[str, int] = {}

    @property
    def title(self) -> str:
        """The first heading, else the file's name."""
        return next(
            (text for tag, text, _ in self._headings() if tag == "h1"), Path(self.name).stem
        )

    def _headings(self) -> Iterator[tuple[str, str, Token]]:
        for token, inline in zip(self._tokens, self._tokens[1:], strict=False):
            if token.type == "heading_open":
                yield token.tag, _plain(inline), token

    def contents(self) -> Iterator[tuple[str, list[str]]]:
        """Its second-level headings, each with the documents that are linked below it."""
        title, names = "", list[str]()
        for token, after in zip(self._tokens, [*self._tokens[1:], Token("", "", 0)], strict=True):
            if token.type == "heading_open" and token.tag == "h2":
                yield title, names
                title, names = _plain(after), []
            for child in token.children or ():
                if child.type == "link_open":
                    names.append(self._target(str(child.attrs.get("href", "")))[0])
        yield title, names

    def html(self) -> str:
        """The page's body: headings with anchors, links that work on the site."""
        for _, text, token in self._headings():
            token.attrs["id"] = self._anchor(text)
        for token in self._tokens:
            for child in token.children or ():
                self._relink(child, "href" if child.type == "link_open" else "src")
        return str(self._markdown.renderer.render(self._tokens, self._markdown.options, {}))

    def _anchor(self, text: str) -> str:
        """As GitHub makes it of a heading."""
        slug = re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")
        number = self._anchors[slug] = self._anchors.get(slug, -1) + 1
        return f"{slug}-{number}" if number else slug

    def _target(self, link: str) -> tuple[str, str]:
        """The file of the folder that a link names, and the fragment; a path that climbs stays so."""
        split = urlsplit(link)
        if split.scheme or split.netloc or not split.path:
            return "", ""
        there = posixpath.join(posixpath.dirname(self.name), unquote(split.path))
        return posixpath.normpath(there), split.fragment

    def _relink(self, token: Token, key: str) -> None:
        link = str(token.attrs.get(key, ""))
        name, fragment = self._target(link)
        if token.type not in ("link_open", "image") or not name:
            return
        urls = Urls(address_of(self.name))
        if name in self.files:
            address = address_of(name) if name.endswith(".md") else f"docs/{name}"
            token.attrs[key] = urls.to(address, fragment)
        elif name.startswith("../") and self.repository:
            outside = quote(name.removeprefix("../"))
            token.attrs[key] = f"{self.repository}/blob/HEAD/{outside}"
        elif name.startswith("../") or any(file.startswith(f"{name}/") for file in self.files):
            del token.attrs[
                key
            ]  # a folder, or a file of the repository, whose address is not known
        else:
            self.broken.append(link)


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or () if child.content)


def _scrolling(*_: object) -> str:
    """A wide table scrolls by itself, also by keyboard."""
    return '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>\n'


def _highlighted(code: str, language: str, _: str) -> str:
    """Code in colours, at build time: no script is needed."""
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text", stripnl=False)
    return f'<pre class="code" tabindex="0"><code>{highlight(code, lexer, _FORMATTER)}</code></pre>'


Group = Callable[[str, str, Output, Callable[[Output], Any]], None]


def write_site(group: Group, output: Output, templates: Templates) -> None:
    """Write the documents' pages, unless they are as they were."""
    folder = Path(templates.settings.docs)

    def write_pages(part: Output) -> None:
        write(part, templates, folder)

    group("docs", stamp(folder), output, write_pages)
