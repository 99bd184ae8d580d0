"""Finds the Chromium that the browser tests use, or fetches one.

In this order: SPANBOOK_CHROMIUM, one on the PATH, Playwright's own (downloaded where that works), the
system's package manager where we may use it. Exit 1 with what to do where none is to be had.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def on_this_machine() -> str | None:
    """A Chromium by variable, by PATH, or Playwright's own."""
    if named := os.environ.get("SPANBOOK_CHROMIUM"):
        return named
    for command in COMMANDS:
        if path := shutil.which(command):
            return path
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  slow to import

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def by_playwright() -> None:
    """Let Playwright download its own."""
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


def by_apt() -> None:
    """Debian's and Ubuntu's package, where we are root."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "-qq", "update"], check=False)
        subprocess.run(["apt-get", "-qq", "install", "--yes", "chromium"], check=False)


def main() -> int:
    """Find or fetch, and say which."""
    found = on_this_machine()
    for fetch in (by_playwright, by_apt):
        if found:
            break
        print(f"No Chromium yet; trying {fetch.__name__.replace('_', ' ')} …", flush=True)
        fetch()
        found = on_this_machine()
    if not found:
        print(
            "No Chromium is here and none could be fetched. Install one (apt install chromium, "
            "brew install chromium) or set SPANBOOK_CHROMIUM to its path.",
            file=sys.stderr,
        )
        return 1
    print(f"Browser tests use {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
