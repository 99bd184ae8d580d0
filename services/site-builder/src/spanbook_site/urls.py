"""Every address of the site, in one place.

Addresses are paths from the site's root; a page links to them relatively and by file name, so that
the site works from any sub-path and from ``file://``.
"""

import hashlib
import re
from urllib.parse import quote

from spanbook_runfile.paths import safe_path

from spanbook_site import formats

_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")


def slug(name: str) -> str:
    """A folder name for any text: itself where that is safe, else with a digest to keep it unique."""
    name = formats.name(name)  # as summaries have it, which the lists are made from
    if _PLAIN.fullmatch(name) and str(safe_path(name)) == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{stem or 'task'}-{digest}"


class Urls:
    """The site's addresses, and the links to them from one page (``Urls(page).to(address)``)."""

    HOME = "index.html"
    TASKS = "tasks/index.html"
    COMPARE = "compare.html"
    TRENDS = "trends/index.html"
    REPORTS = "reports/index.html"
    ABOUT = "about.html"
    DOCS = "docs/index.html"
    MLFLOW = "mlflow/index.html"
    NOT_FOUND = "404.html"
    BUILD = "data/build.json"
    FEED = "data/feed.xml"
    BADGE = "data/badge.json"
    HISTORY = "data/history.json"

    def __init__(self, page: str) -> None:
        self.page = page
        self._folders = page.split("/")[:-1]

    @property
    def root(self) -> str:
        """The way from this page to the site's root: empty, or ending in a slash."""
        return "../" * self.page.count("/")

    def to(self, address: str, fragment: str = "") -> str:
        """A relative link from this page to an address, percent-encoded."""
        parts = address.split("/")
        same = 0
        for mine, theirs in zip(self._folders, parts[:-1], strict=False):
            if mine != theirs:
                break
            same += 1
        link = "../" * (len(self._folders) - same) + quote("/".join(parts[same:]), safe="/.-_~")
        return f"{link}#{quote(fragment)}" if fragment else link

    @staticmethod
    def history(group: str, shard: int) -> str:
        """The page of one shard of a run list."""
        return f"runs/{group}/{shard:04d}.html"

    @staticmethod
    def runs_data(group: str, shard: int) -> str:
        """The name of one shard of a run list as data."""
        return f"data/{group}/{shard:04d}"

    @staticmethod
    def run(run_id: str) -> str:
        """A run's page."""
        return f"runs/{run_id}/index.html"

    @staticmethod
    def run_part(run_id: str, name: str) -> str:
        """A file beside a run's page."""
        return f"runs/{run_id}/{name}"

    @staticmethod
    def run_tasks(run_id: str) -> str:
        """The list of all tasks of a run that has too many for its page."""
        return f"runs/{run_id}/tasks/index.html"

    @staticmethod
    def task_run(run_id: str, task_id: str) -> str:
        """The page of one task of one run."""
        return f"runs/{run_id}/tasks/{task_id}/index.html"

    @staticmethod
    def task_run_part(run_id: str, task_id: str, name: str) -> str:
        """A file beside a task run's page."""
        return f"runs/{run_id}/tasks/{task_id}/{name}"

    @staticmethod
    def task(name: str) -> str:
        """A task over all runs."""
        return f"tasks/{slug(name)}/index.html"

    @staticmethod
    def task_data(name: str, shard: int) -> str:
        """The name of one shard of a task's runs as data."""
        return f"data/tasks/{slug(name)}/{shard:04d}"

    @staticmethod
    def task_history(name: str) -> str:
        """The name of a task's run times over past runs, as a chart's data."""
        return f"data/tasks/{slug(name)}/history"

    @staticmethod
    def compare_data(run_id: str) -> str:
        """The name of a run's data for the comparison."""
        return f"data/compare/{run_id}"

    @staticmethod
    def trend(name: str) -> str:
        """The trends of one task's metrics."""
        return f"trends/{slug(name)}.html"

    @staticmethod
    def report(report_slug: str) -> str:
        """A pinned report."""
        return f"reports/{report_slug}.html"

    @staticmethod
    def report_view(report_slug: str) -> str:
        """The notebook of a report, its code folded."""
        return f"reports/{report_slug}.view.html"

    @staticmethod
    def static(name: str) -> str:
        """A file that comes with the builder."""
        return f"static/{name}"
