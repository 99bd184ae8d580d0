"""A real Chromium; a test fails whose page breaks its policy, errs, or asks elsewhere.

Use the fixtures by importing them: ``from support.browser import chromium, page  # noqa: F401``.
"""

import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
HERE = {"127.0.0.1", "localhost", "::1"}
_WATCH_POLICY = """
addEventListener("securitypolicyviolation", (event) => {
  const { effectiveDirective, blockedURI, documentURI } = event;
  console.error(`POLICY ${effectiveDirective} forbids ${blockedURI} in ${documentURI}`);
});
"""


def chromium_path() -> str | None:
    """The Chromium named by SPANBOOK_CHROMIUM, or on the PATH; None for Playwright's own."""
    named = os.environ.get("SPANBOOK_CHROMIUM")
    return named or next(filter(None, map(shutil.which, COMMANDS)), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser, started for each module: while it is there, an event loop runs in this thread."""
    args = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else list(QUIET)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=args)
        yield browser
        browser.close()


class Faults:
    """What went wrong in a page: errors, forbidden things, and requests that left the machine."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.expected: tuple[str, ...] = ()

    def expect(self, *parts: str) -> None:
        """Faults that hold one of these texts are what the test is about."""
        self.expected += parts

    def watch(self, page: Page) -> None:
        """Listen to a page."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(f"error: {error}"))
        page.on("request", self._request)

    def _note(self, text: str) -> None:
        self.found.append(text)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(f"{message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("file", "data", "blob", "about") and url.hostname not in HERE:
            self._note(f"request left the machine: {request.url}")

    def unexpected(self) -> list[str]:
        """The faults that no test asked for."""
        return [f for f in self.found if not any(part in f for part in self.expected)]


@pytest.fixture
def faults() -> Faults:
    """The faults of this test's pages; a test that provokes some says so by ``faults.expect``."""
    return Faults()


@pytest.fixture
def page(chromium: Browser, faults: Faults) -> Iterator[Page]:
    """A page in a context of its own; the test fails if the page does what it should not."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(10_000)
    context.add_init_script(_WATCH_POLICY)
    context.on("page", faults.watch)
    yield context.new_page()
    context.close()
    assert not faults.unexpected(), faults.unexpected()


@pytest.fixture
def plain_page(chromium: Browser, faults: Faults) -> Iterator[Page]:
    """A page without JavaScript."""
    context = chromium.new_context(
        java_script_enabled=False, viewport={"width": 1280, "height": 900}
    )
    context.set_default_timeout(10_000)
    context.on("page", faults.watch)
    yield context.new_page()
    context.close()
    assert not faults.unexpected(), faults.unexpected()
