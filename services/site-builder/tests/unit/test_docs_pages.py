"""A project's own documents as pages of its site."""

import logging
import re
from pathlib import Path

import pytest
from spanbook_site import settings
from spanbook_site.build import Builder
from spanbook_site.docs import address_of

INDEX = """# The handbook

What it is.

## First steps

[Start](start.md) and [go on](guides/more.md#a-second-heading).

## Else

[The licence](../LICENSE), [the code](../src/), [elsewhere](https://example.org/x.md).
"""
START = """# Start <script>alert(1)</script>

![A picture](images/a.png) and back [home](index.md), or to [this](#start).

```python
def f(x: int) -> str:
    return "x"
```
"""
MORE = "# More\n\n## A second heading\n\n[up](../start.md)\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of documents beside its settings."""
    folder = tmp_path / "docs"
    (folder / "guides").mkdir(parents=True)
    (folder / "images").mkdir()
    (folder / "index.md").write_text(INDEX)
    (folder / "start.md").write_text(START)
    (folder / "guides/more.md").write_text(MORE)
    (folder / "lonely.md").write_text("# Linked by none\n")
    (folder / "images/a.png").write_bytes(b"\x89PNG")
    (folder / ".secret.md").write_text("# Hidden\n")
    (tmp_path / "runs").mkdir()
    (tmp_path / "spanbook.yaml").write_text("docs: docs\nrepository: https://example.org/o/r\n")
    return tmp_path


def build(project: Path) -> Path:
    """Build its site."""
    out = project / "site"
    Builder(
        project / "runs", out, settings=settings.load(project / "spanbook.yaml"), jobs=1
    ).build()
    return out


def links(page: Path) -> list[str]:
    """Where the text of a page leads."""
    article = page.read_text().partition('<article class="prose">')[2]
    return re.findall(r'(?:href|src)="([^"]+)"', article)


def test_links_lead_from_page_to_page(project: Path) -> None:
    """Links between documents, to pictures and into the repository are those of the site."""
    out = build(project)
    home, start, more = (
        out / "docs" / name for name in ("index.html", "start.html", "guides/more.html")
    )
    assert links(home)[:4] == [
        "start.html",
        "guides/more.html#a-second-heading",
        "https://example.org/o/r/blob/HEAD/LICENSE",
        "https://example.org/o/r/blob/HEAD/src",
    ]
    assert "https://example.org/x.md" in links(home)
    assert links(start)[:3] == ["images/a.png", "index.html", "#start"]
    assert links(more)[0] == "../start.html"
    assert 'id="a-second-heading"' in more.read_text()
    assert (out / "docs/images/a.png").read_bytes() == b"\x89PNG"


def test_the_first_page_orders_the_navigation(project: Path) -> None:
    """Navigation follows the first page's headings and links; what it leaves out comes last."""
    text = (build(project) / "docs/guides/more.html").read_text()
    nav = text.partition('class="docs-nav"')[2].partition("</nav>")[0]
    assert re.findall(r"<h2>(.*?)</h2>", nav) == ["First steps", "More"]
    assert re.findall(r'href="([^"]+)"', nav) == [
        "../index.html",
        "../start.html",
        "more.html",
        "../lonely.html",
    ]
    assert 'href="more.html" aria-current="page"' in nav


def test_code_is_coloured_without_script(project: Path) -> None:
    """Code has its colours in the page; HTML in a document is text."""
    text = (build(project) / "docs/start.html").read_text()
    assert '<span class="k-k">def</span>' in text
    assert "<script>alert" not in text
    assert "docs.css" in text


def test_every_page_leads_to_the_documents(project: Path) -> None:
    """The site's navigation has Docs where there are some, and not where there are none."""
    out = build(project)
    assert 'href="docs/index.html"' in (out / "index.html").read_text()
    (project / "spanbook.yaml").write_text("title: x\n")
    assert 'href="docs/index.html"' not in (build(project) / "index.html").read_text()
    assert not (out / "docs/start.html").exists()


def test_a_changed_document_is_built_anew(project: Path) -> None:
    """A change of a document alone changes its page; nothing hidden is published."""
    out = build(project)
    (project / "docs/start.md").write_text("# Begin\n")
    build(project)
    assert "Begin" in (out / "docs/start.html").read_text()
    assert "Hidden" not in "".join(p.read_text() for p in out.rglob("*.html"))


def test_a_link_that_leads_nowhere_is_told(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broken link is a warning that names page and link; a missing folder is one too."""
    (project / "docs/lonely.md").write_text("[gone](nowhere.md)")
    with caplog.at_level(logging.WARNING, "spanbook_site"):
        build(project)
    assert "lonely.md links to nowhere.md" in caplog.text
    (project / "spanbook.yaml").write_text("docs: papers\n")
    with caplog.at_level(logging.WARNING, "spanbook_site"):
        build(project)
    assert "docs names papers" in caplog.text


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("index.md", "docs/index.html"),
        ("README.md", "docs/index.html"),
        ("a/README.md", "docs/a/index.html"),
        ("a/b.md", "docs/a/b.html"),
    ],
)
def test_a_document_has_an_address(name: str, address: str) -> None:
    """A page is called as its document; a folder's first document is its index."""
    assert address_of(name) == address


def test_a_folder_with_a_first_page_is_reached_from_there(project: Path) -> None:
    """Pages of a folder that has an index are not listed one by one in the navigation."""
    (project / "docs/notes").mkdir()
    (project / "docs/notes/README.md").write_text("# Notes\n\n[one](one.md)")
    (project / "docs/notes/one.md").write_text("# Note one")
    text = (build(project) / "docs/start.html").read_text()
    assert 'href="notes/index.html"' in text
    assert "notes/one.html" not in text
