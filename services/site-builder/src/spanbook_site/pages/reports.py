"""Reports: pages pinned in the settings, each showing the newest good main run's notebook, figure or HTML."""

from collections.abc import Iterable
from typing import Any

from spanbook_site.output import Output
from spanbook_site.settings import Report
from spanbook_site.summary import Summary
from spanbook_site.templating import Templates, folded
from spanbook_site.urls import Urls

SEARCHED = 500  # runs, newest first


def write(output: Output, templates: Templates, newest: Iterable[Summary]) -> None:
    """A page for each report, and the list of them."""
    wanted = templates.settings.reports
    if not wanted:
        return
    found: dict[str, dict[str, Any]] = {}
    for number, run in enumerate(newest):
        if number >= SEARCHED or len(found) == len(wanted):
            break
        if run["state"] != "success":
            continue
        for report in wanted:
            if report.slug not in found and (hit := _find(report, run)):
                found[report.slug] = hit
    for report in wanted:
        address = Urls.report(report.slug)
        hit = found.get(report.slug)
        page = templates.page(
            "report.html",
            address,
            kind="report",
            title=report.title,
            report=report,
            hit=hit,
            view=_view(output, report, hit["file"]) if hit else "",
            reports=wanted,
        )
        output.write(address, page)
    page = templates.page(
        "reports.html", Urls.REPORTS, kind="report", title="Reports", reports=wanted, found=found
    )
    output.write(Urls.REPORTS, page)


def _view(output: Output, report: Report, file: Summary) -> str:
    """What the report frames: a notebook opens with its code folded."""
    view = str(file["view"])
    if not view.endswith(".ipynb.html"):
        return view
    address = Urls.report_view(report.slug)
    output.write(address, folded(output.path(view).read_text(encoding="utf-8")))
    return address


def _find(report: Report, run: Summary) -> dict[str, Any] | None:
    if report.pipeline and run["pipeline"] != report.pipeline:
        return None
    for task in run["tasks"]:
        if task["name"] != report.task:
            continue
        files = [f for f in task["files"] if not f["problem"] and (f["view"] or f["image"])]
        if report.artifact:
            files = [f for f in files if f["path"] == report.artifact]
        files.sort(key=lambda f: (not f["view"], not f["path"].endswith(".ipynb")))
        if files:
            return {"run": run, "task": task, "file": files[0]}
    return None
