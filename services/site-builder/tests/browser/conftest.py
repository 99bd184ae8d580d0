"""One site of sample runs, built by the real builder, and ways to look at it in a real Chromium."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from spanbook_runfile.samples import many_small, write_samples
from support.browser import chromium, faults, page, plain_page
from support.viewers import static_server

__all__ = ["chromium", "faults", "page", "plain_page"]
BUILDER = str(Path(sys.executable).with_name("spanbook-site"))


def environment() -> dict[str, str]:
    """Ours, without what would lead the builder elsewhere."""
    return {k: v for k, v in os.environ.items() if not k.startswith("SPANBOOK_")}


def build(outputs: Path) -> Path:
    """Build the site of an outputs folder; gives the site's folder."""
    site = outputs / "site"
    command = [BUILDER, "build", "--runs", str(outputs / "runs"), "--out", str(site), "--quiet"]
    subprocess.run(command, env=environment(), timeout=300, check=True, capture_output=True)
    return site


@dataclass(frozen=True)
class Samples:
    """The built site, and which run is which sample."""

    site: Path
    ids: dict[str, str]

    def run(self, sample: str) -> str:
        """The address of a sample run's page."""
        return f"runs/{self.ids[sample]}/index.html"

    def task(self, sample: str, name: str, number: int = 0) -> str:
        """The address of the page of a sample run's task of that name."""
        summary = json.loads((self.site / "runs" / self.ids[sample] / "summary.json").read_text())
        tasks = [task["id"] for task in summary["tasks"] if task["name"] == name]
        return f"runs/{self.ids[sample]}/tasks/{tasks[number]}/index.html"


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Every sample run, and a history of 130 small ones."""
    outputs = tmp_path_factory.mktemp("samples")
    written = write_samples(outputs, broken=False)
    many_small(outputs / "runs", 130)
    site = build(outputs)
    return Samples(site, {name: path.stem for name, path in written.items()})


@pytest.fixture(scope="session")
def served(samples: Samples) -> Iterator[str]:
    """The site on a plain static server, under a sub-path as on Pages."""
    with static_server(samples.site.parent) as url:
        yield f"{url}site/"


@pytest.fixture(params=["file", "http"])
def base(request: pytest.FixtureRequest, samples: Samples, served: str) -> str:
    """The site opened from the disk, and from a server."""
    return f"{samples.site.as_uri()}/" if request.param == "file" else served
