"""A real Chromium for the MLflow pages, and this folder's helper modules on the path."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support.browser import chromium, faults, page

sys.path.insert(0, str(Path(__file__).parent))
from differential import RUNS, Twins
from mlflow_twins import Served, real_server, static_server, write_static


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Served]]:
    """The same runs twice: the address of the static page, and the real server."""
    folder = tmp_path_factory.mktemp("twins")
    site = folder / "www" / "some" / "path"
    write_static(site, RUNS)
    (folder / "server").mkdir()
    shutil.copy(site / "mlflow" / "data" / "experiments.json", folder / "server")
    with static_server(folder / "www") as static, real_server(folder / "server", RUNS) as server:
        yield f"{static.url}some/path/mlflow/index.html", server


@pytest.fixture(scope="module")
def twins(served: tuple[str, Served], chromium: Browser) -> Iterator[Twins]:
    """Both, to be asked the same."""
    address, server = served
    page = chromium.new_page()
    page.goto(f"{address}#/experiments")
    page.wait_for_function("globalThis.spanbookMlflow !== undefined")
    yield Twins(page, server)
    page.close()


__all__ = ["chromium", "faults", "page"]
