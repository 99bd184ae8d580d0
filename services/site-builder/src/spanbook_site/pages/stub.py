"""A run of long ago: small pages at its addresses that say how it went, and that the rest was trimmed."""

import hashlib
from typing import TYPE_CHECKING

from spanbook_runfile import Run, parse_run, trim
from spanbook_runfile.settle import settled

from spanbook_site import exports, summary
from spanbook_site.output import Output
from spanbook_site.sources import Read
from spanbook_site.summary import Summary
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

if TYPE_CHECKING:
    from spanbook_site.origins import Origin

SHOWN_TASKS = 200  # on the run's page
SHOWN_VALUES = 12  # parameters and metrics of each
PAGE, TASK_PAGE, FILE = 2_500, 1_500, 3_000  # bytes, about, beside what summaries hold


class StubPages:
    """Writes a stub of one run; the same, whether from its whole file, a trimmed one or a stub."""

    has_models = False
    heavy = slim = 0

    def __init__(self, found: Read, output: Output, templates: Templates, most: int) -> None:
        self.output = output
        self.templates = templates
        content = found.unpacked(most)
        self.packed = trim.stub(content)
        self.run = parse_run(trim.unpack(self.packed, most), name=found.path.name)
        self.original = trim.original_of(content) or trim.Original(
            trim.digest_of(content), len(content)
        )
        self.sha256 = hashlib.sha256(self.packed).hexdigest()
        self.kept = Urls.run_part(self.run.id, f"{self.run.id}{trim.SUFFIX}")

    def write(self, origin: "Origin | None") -> Summary:
        """Write the run's page, one for each task, its data and its file; returns its summary."""
        run = settled(origin.applied(self.run) if origin else self.run)
        short = summary.summarize(run, {}, trimmed=True, origin=origin)
        self.output.write_json(Urls.run_part(run.id, "summary.json"), short)
        self.output.write_script(Urls.compare_data(run.id), exports.compare(run, short))
        self.output.write(self.kept, self.packed)
        self._page(Urls.run(run.id), short, shown=short["tasks"][:SHOWN_TASKS])
        if len(short["tasks"]) > SHOWN_TASKS:
            self._page(Urls.run_tasks(run.id), short, shown=short["tasks"])
        for task in short["tasks"]:
            self._page(Urls.task_run(run.id, task["id"]), short, task=task)
        return short

    def _page(
        self,
        address: str,
        short: Summary,
        *,
        shown: list[Summary] | None = None,
        task: Summary | None = None,
    ) -> None:
        named = summary.title(task) if task else short["commit_title"] or short["pipeline"]
        page = self.templates.page(
            "stub.html",
            address,
            kind="task-run" if task else "run",
            title=named,
            s=short,
            task=task,
            shown=shown or [],
            original=self.original,
            kept=self.kept,
            most=SHOWN_VALUES,
        )
        self.output.write(address, page)


def slim(run: Run, output: Output) -> int:
    """About how many bytes a stub takes of a run whose pages are written."""
    known = (Urls.run_part(run.id, "summary.json"), f"{Urls.compare_data(run.id)}.js")
    shared = sum(output.sizes.get(address, 0) for address in known)
    return shared + PAGE + FILE + TASK_PAGE * min(len(run.tasks), summary.MAX_TASKS)


__all__ = ["StubPages", "slim"]
