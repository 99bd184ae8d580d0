"""Sites built from the sample runs by the real builder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from spanbook_runfile.samples import write_samples
from spanbook_site.build import Builder, Report
from spanbook_site.settings import Settings


@dataclass(frozen=True)
class Site:
    """A built site, its inputs, and which run is which sample."""

    outputs: Path
    out: Path
    files: dict[str, Path]
    report: Report

    def id(self, sample: str) -> str:
        """The run id of a sample."""
        return self.files[sample].stem

    def read(self, address: str) -> str:
        """A file of the site as text."""
        return (self.out / address).read_text(encoding="utf-8")

    def run(self, sample: str) -> str:
        """The page of a sample run."""
        return self.read(f"runs/{self.id(sample)}/index.html")


def build(outputs: Path, out: Path, settings: Settings | None = None, jobs: int = 1) -> Report:
    """Build a site of an outputs folder."""
    return Builder(
        outputs / "runs", out, journals=outputs / "journals", settings=settings, jobs=jobs
    ).build()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The site of every sample run, the broken ones among them; read only."""
    outputs = tmp_path_factory.mktemp("outputs")
    files = write_samples(outputs)
    return Site(outputs, outputs / "site", files, build(outputs, outputs / "site"))


@pytest.fixture
def builder() -> Callable[..., Report]:
    """Builds a site: ``builder(outputs, out, settings)``."""
    return build


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a site but the builder's memory."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and ".cache" not in path.parts
    }
