"""The documents hold: their links lead somewhere, on GitHub and on the site, and their commands are ones."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from spanbook_site import settings
from spanbook_site.build import Builder
from support.stack import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
SHELL = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
TOOLS = ("spanbook", "spanbook-site", "spanbook-collector", "spanbook-viewer")

GIVEN = """
import matplotlib.pyplot as plt, pandas as pd
fig, frame, onnx_bytes = plt.figure(), pd.DataFrame({"score": [1]}), bytes(2)
"""


class Page(HTMLParser):
    """Where a page leads, and the ids in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note links and ids."""
        found = dict(attrs)
        self.links += [value for key in ("href", "src") if (value := found.get(key))]
        self.ids.add(found.get("id") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository's own site, without runs."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "runs").mkdir()
    chosen = settings.load(ROOT / "spanbook.yaml")
    Builder(folder / "runs", folder / "site", settings=chosen, jobs=1).build()
    return folder / "site"


def test_every_document_is_a_page_whose_links_lead_somewhere(site: Path) -> None:
    """Each link of each rendered document leads to a file of the site, and to a place that it has."""
    pages = {path: Page(path.read_text()) for path in site.glob("docs/**/*.html")}
    assert len(pages) == len(list(ROOT.glob("docs/**/*.md")))
    broken = []
    for path, page in pages.items():
        for link in page.links:
            address, fragment = urldefrag(link)
            if urlsplit(link).scheme or "mlflow/" in link:
                continue
            target = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            if not target.is_file() or (
                fragment
                and target.suffix == ".html"
                and fragment not in Page(target.read_text()).ids
            ):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def commands() -> Iterator[tuple[str, str]]:
    """Each command of ours in a ``sh`` block of a document: where, and the line."""
    for document in DOCUMENTS:
        for block in SHELL.findall(document.read_text()):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] in (*TOOLS, "make"):
                    yield document.relative_to(ROOT).as_posix(), line.partition("#")[0].strip()


LINES = sorted(set(commands()))


@pytest.mark.parametrize(("document", "line"), LINES, ids=lambda value: str(value)[:50])
def test_every_command_is_one(document: str, line: str) -> None:
    """A command in a document is known, with each of its flags; a make target is in a Makefile."""
    words = shlex.split(line.partition("&&")[0])
    if words[0] == "make":
        makefiles = [ROOT / "Makefile", ROOT / "services/runner/src/spanbook/template/Makefile"]
        targets = re.findall(r"(?m)^([a-z-]+):", "\n".join(path.read_text() for path in makefiles))
        assert {w for w in words[1:] if re.fullmatch("[a-z-]+", w)} <= set(targets), document
        return
    tool = Path(sys.executable).with_name(words[0])
    subcommand = words[1:2] if words[1:] and re.fullmatch("[a-z-]+", words[1]) else []
    done = subprocess.run(
        [str(tool), *subcommand, "--help"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    flags = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", done.stdout)), document


@pytest.mark.parametrize(
    "line",
    [line for _, line in LINES if line.startswith("spanbook run pipelines/") and "-run" in line],
)
def test_dry_runs_run(line: str) -> None:
    """The commands that only show something show it."""
    words = shlex.split(line)
    done = subprocess.run(
        [str(Path(sys.executable).with_name(words[0])), *words[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "flowchart" in done.stdout or "graph" in done.stdout


def test_what_the_docs_import_is_there() -> None:
    """Each ``from spanbook… import`` in a document's Python names what the package has."""
    found = 0
    for document in DOCUMENTS:
        for block in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL):
            for line in re.findall(r"(?m)^from spanbook\w* import .*$", block):
                exec(line, {})  # a line of our own documents
                found += 1
    assert found


def test_the_how_tos_log_calls_do_what_they_say(tmp_path: Path) -> None:
    """Each call of the block under "Log" takes what a reader would hand to it; outside a run it prints."""
    page = (ROOT / "docs/how-to.md").read_text()
    _, _, after = page.partition("\n## Log\n")
    block = re.search(r"```python\n(.*?)```", after, re.DOTALL)
    assert block is not None
    (tmp_path / "report.html").write_text("<p>good</p>")
    told = subprocess.run(
        [sys.executable, "-c", GIVEN + block[1]],
        env={**os.environ, "MPLBACKEND": "Agg"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert len(told.stdout.splitlines()) == block[1].count("\nlog.")
