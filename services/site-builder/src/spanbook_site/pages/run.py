"""A run's pages: its own, one for each task, and the files beside them. Written once a run."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spanbook_runfile import Artifact, LogLine, Run, Task, mermaid, names, trim
from spanbook_runfile.names import ArtifactKind
from spanbook_runfile.settle import settled

from spanbook_site import exports, formats, mlflow, summary
from spanbook_site.draw.critical import critical_path
from spanbook_site.draw.dag import as_text, dag
from spanbook_site.draw.folding import Node
from spanbook_site.draw.gantt import gantt
from spanbook_site.files import FileWriter, SiteFile
from spanbook_site.output import Output
from spanbook_site.pages import stub
from spanbook_site.pages.task_run import write_task_page
from spanbook_site.sources import Read
from spanbook_site.summary import Summary
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

if TYPE_CHECKING:
    from spanbook_site.origins import Origin

SHOWN_TASKS = 200  # on the run's page; more get a page of their own
PANELS = 40  # tasks whose log tails are on the run's page
TAIL = 25  # lines of each
SHOWN_METRICS = 24  # columns of the metrics table

EXTRAS = [
    ("summary.json", "summary (JSON)"),
    ("dag.mmd", "dag.mmd"),
    ("gantt.mmd", "gantt.mmd"),
    ("run-time-metadata.json", "run-time-metadata.json"),
    ("trace.perfetto.json", "Perfetto trace"),
]


@dataclass(frozen=True)
class TaskRow:
    """A task as tables show it; times in ns."""

    task: Task
    page: str
    wait: int | None
    startup: int | None
    time: int | None
    error: str
    cause: str
    critical: bool


class RunPages:
    """Writes everything that belongs to one run."""

    def __init__(
        self,
        run: Run,
        output: Output,
        templates: Templates,
        *,
        trimmed: bool,
        origin: "Origin | None" = None,
    ) -> None:
        self.run = run = settled(run)
        self.output = output
        self.templates = templates
        self.trimmed = trimmed
        self.origin = origin
        self.critical = critical_path(run)
        self.tasks = run.tasks[: summary.MAX_TASKS]
        self._has_page = {t.id for t in self.tasks}
        self.files: dict[str, list[SiteFile]] = {}
        self.heavy = 0  # bytes written that go when the run is trimmed
        self.slim = 0  # bytes that a stub of the run takes, about
        self.original: trim.Original | None = None  # what a trimmed one was made from
        self.kept = self.sha256 = ""  # the run file that the site offers: its address and digest

    def page_of(self, task: Task) -> str:
        """The address of a task's page; empty where it has none."""
        return Urls.task_run(self.run.id, task.id) if task.id in self._has_page else ""

    @property
    def has_models(self) -> bool:
        """Whether a page of the run runs a model."""
        return any(f.model_page for files in self.files.values() for f in files)

    def write(self, found: Read | None) -> Summary:
        """Write all pages and files of the run, and keep its file, if it has one yet; returns its summary."""
        self._write_files()
        self.heavy = self.output.total
        entries = {key: [f.as_json() for f in files] for key, files in self.files.items()}
        short = summary.summarize(self.run, entries, trimmed=self.trimmed, origin=self.origin)
        rows = {t.id: self.row(t) for t in self.tasks}
        downstream: dict[str, list[Task]] = {}
        for task in self.tasks:
            for above in task.upstream:
                downstream.setdefault(above, []).append(task)
        for task in self.tasks:
            write_task_page(self, task, rows[task.id], short, downstream.get(task.id, []))
        if len(self.tasks) > SHOWN_TASKS:
            self._write_task_list(list(rows.values()), short)
        self._write_extras(short)
        if self.templates.mlflow:
            held = {
                key: {f.artifact.path: f.address for f in files if f.address}
                for key, files in self.files.items()
            }
            mlflow.write_run(self.output, self.run, held, trimmed=self.trimmed)
        if found:
            self._keep(found)
        self._write_page(short, rows)
        self.slim = stub.slim(self.run, self.output)
        return short

    def _keep(self, found: Read) -> None:
        """Offer the run file, or the trimmed one: what a later site can be built from."""
        whole = Urls.run_part(self.run.id, f"{self.run.id}.json")
        trimmed = Urls.run_part(self.run.id, f"{self.run.id}{trim.SUFFIX}")
        if not self.trimmed or found.path.name.endswith(trim.SUFFIX):
            self.original = found.original
            self.kept = trimmed if self.trimmed else whole
            self.sha256 = found.sha256
            self.output.link(self.kept, found.path, self.sha256[:16])
            if not self.trimmed:
                self.heavy += len(found.content) - self._packed_size(found)
        else:
            packed = trim.trim(found.content)
            self.original = trim.Original(trim.digest_of(found.content), len(found.content))
            self.kept = trimmed
            self.sha256 = hashlib.sha256(packed).hexdigest()
            self.output.write(self.kept, packed)

    def _packed_size(self, found: Read) -> int:
        """About how large the trimmed file would be: text packs to less than an eighth."""
        attempts = [a for task in self.run.tasks for a in task.attempts]
        artifacts = [*self.run.artifacts, *(f for a in attempts for f in a.artifacts)]
        text = len(found.content) - sum(len(c) for f in artifacts for c in f.chunks)
        return max(text, 0) // 8

    def row(self, task: Task) -> TaskRow:
        """A task as tables show it."""
        final = task.final
        cause = self.run.by_id.get(task.cause or "")
        return TaskRow(
            task=task,
            page=self.page_of(task),
            wait=_between(final.queued, final.start) if final else None,
            startup=_between(final.start, final.running) if final else None,
            time=task.ran,
            error=summary.error_line(task) if task.state != "skip" else "",
            cause=cause.title if cause else "",
            critical=task.id in self.critical,
        )

    def _write_files(self) -> None:
        top = Urls.run_part(self.run.id, "x").rpartition("/")[0]
        self.files[""] = self._written(top, self.run.artifacts)
        for task in self.tasks:
            artifacts = tuple(a for attempt in task.attempts[-1:] for a in attempt.artifacts)
            earlier = tuple(a for attempt in task.attempts[:-1] for a in attempt.artifacts)
            if artifacts or earlier or any(_of_children(task)):
                known = {a.path for a in artifacts}
                kept = artifacts + tuple(a for a in earlier if a.path not in known)
                kept += tuple(_of_children(task))
                self.files[task.id] = self._written(f"{top}/tasks/{task.id}", kept)

    def _written(self, folder: str, artifacts: Any) -> list[SiteFile]:
        return FileWriter(self.output, self.templates, folder, trimmed=self.trimmed).write_all(
            artifacts
        )

    def _write_task_list(self, rows: list[TaskRow], short: Summary) -> None:
        address = Urls.run_tasks(self.run.id)
        self.output.write(
            address,
            self.templates.page(
                "run_tasks.html",
                address,
                kind="run",
                title=f"Tasks of {short['pipeline']}",
                run=self.run,
                shown_tasks=rows,
                beyond=len(self.run.tasks) > len(rows),
            ),
        )

    def _write_extras(self, short: Summary) -> None:
        def part(name: str) -> str:
            return Urls.run_part(self.run.id, name)

        self.output.write_json(part("summary.json"), short)
        self.output.write(part("dag.mmd"), mermaid.dag(self.run))
        self.output.write(part("gantt.mmd"), mermaid.gantt(self.run))
        self.output.write_json(part("run-time-metadata.json"), exports.run_time_metadata(self.run))
        self.output.write_json(part("trace.perfetto.json"), exports.perfetto(self.run))
        self.output.write_script(Urls.compare_data(self.run.id), exports.compare(self.run, short))

    def _write_page(self, short: Summary, rows: Mapping[str, TaskRow]) -> None:
        run = self.run
        page = Urls.run(run.id)
        urls = Urls(page)
        critical = frozenset(self.critical)

        def link(node: Node) -> str:
            target = self.page_of(node.tasks[0])
            return f"#t-{node.key}" if node.folded or not target else urls.to(target)

        task_files = [(f, t) for t in self.tasks for f in self.files.get(t.id, ())]
        culprit = summary.culprit(run)
        self.output.write(
            page,
            self.templates.page(
                "run.html",
                page,
                kind="run",
                title=f"{short['commit_title'] or short['pipeline']} \N{EN DASH} {formats.when(run.start)}",
                live=run.seal is None,
                run=run,
                s=short,
                run_file=self.kept,
                run_size=self.output.sizes.get(self.kept, 0),
                trimmed=self.trimmed,
                sha256=self.sha256,
                original=self.original,
                origin=self.origin,
                culprit=culprit,
                culprit_line=summary.error_line(culprit) if culprit else "",
                trace=_trace(culprit),
                seal_notes=[*(self.origin.notes if self.origin else ()), *seal_notes(run)],
                page_of=self.page_of,
                dag=dag(run, link, critical),
                dag_text=as_text(run),
                gantt=gantt(run, critical),
                shown_tasks=_shown(list(rows.values())),
                metrics=self._metrics(),
                figures=[(f, None) for f in self.files[""] if f.image]
                + [x for x in task_files if x[0].image],
                panels=self._panels(),
                models=[(f, t) for f, t in task_files if f.artifact.kind is ArtifactKind.MODEL],
                run_files=self.files[""],
                task_files=task_files,
                extras=EXTRAS,
                context=dict(sorted(run.resource.items())[:300]),
            ),
        )

    def _metrics(self) -> dict[str, Any]:
        """Last values of every task side by side; the columns that most tasks have come first."""
        owners: list[tuple[str, Task | None, Any]] = [
            (t.title, t, t.final) for t in self.tasks if t.final
        ]
        owners.insert(0, ("the run", None, self.run))
        owners = [o for o in owners if _numbers(o[2])]
        seen: dict[str, int] = {}
        for _, _, recorded in owners:
            for key in _numbers(recorded):
                seen[key] = seen.get(key, 0) + 1
        columns = sorted(seen, key=lambda key: -seen[key])
        shown = columns[:SHOWN_METRICS]
        places = {
            key: formats.places(_numbers(recorded).get(key) for *_, recorded in owners)
            for key in shown
        }
        rows = [
            {"title": title, "task": task, "values": [_numbers(recorded).get(key) for key in shown]}
            for title, task, recorded in owners[:SHOWN_TASKS]
        ]
        more = len(columns) - len(shown)
        note = f"{more} more metrics are on the tasks' pages." if more else ""
        return {"columns": shown, "places": places, "rows": rows, "note": note}

    def _panels(self) -> list[dict[str, Any]]:
        worth = [t for t in self.tasks if any(a.logs or a.exceptions for a in t.attempts)]
        worth.sort(key=lambda t: (t.state in ("success", "skip"), t.index))
        panels = []
        for task in worth[:PANELS]:
            lines: list[LogLine] = [line for a in task.attempts for line in a.logs]
            errors = [e for a in task.attempts[-1:] for e in a.exceptions]
            bad = task.state not in ("success", "skip")
            panels.append(
                {
                    "task": task,
                    "lines": lines[-TAIL:],
                    "total": len(lines),
                    "errors": errors[-3:],
                    "open": bad,
                }
            )
        return panels


def _of_children(task: Task) -> Iterator[Artifact]:
    """The files of the runs within the attempt that counted, below a folder each."""
    for child in task.final.children if task.final else ():
        for artifact in child.artifacts:
            yield replace(artifact, path=f"{child.folder}/{artifact.path}")


def _between(start: int | None, end: int | None) -> int | None:
    return end - start if start and end and end >= start else None


def _numbers(recorded: Any) -> dict[str, float]:
    """The last value of each metric, and the logged values that are numbers."""
    plain = {
        k: v
        for k, v in recorded.values.items()
        if isinstance(v, int | float) and not isinstance(v, bool)
    }
    return plain | {key: metric.last for key, metric in recorded.metrics.items()}


def _shown(rows: list[TaskRow]) -> list[TaskRow]:
    """The rows for the run's page: all, or where there are many the troubled ones first."""
    if len(rows) <= SHOWN_TASKS:
        return rows
    troubled = [r for r in rows if r.task.state not in ("success", "skip", "waiting")]
    rest = [r for r in rows if r.task.state in ("success", "skip", "waiting")]
    return (troubled + rest)[:SHOWN_TASKS]


def _trace(task: Task | None) -> str:
    if task is None or task.final is None or not task.final.exceptions:
        return ""
    return formats.shorten(task.final.exceptions[-1].stacktrace, 8000)


def seal_notes(run: Run) -> list[str]:
    """What the seal says that a reader should know, in words."""
    seal = run.seal
    if seal is None:
        return []
    notes = []
    if seal.declared and not seal.complete:
        lost = [
            f"{b - a} of {b} {what}"
            for a, b, what in (
                (seal.received.spans, seal.declared.spans, "spans"),
                (seal.received.log_records, seal.declared.log_records, "log records"),
                (seal.received.metric_points, seal.declared.metric_points, "metric points"),
            )
            if b > a
        ]
        if lost:
            notes.append(
                f"It is not complete: {', '.join(lost)} did not come before it was sealed ({seal.reason})."
            )
    if run.state == "interrupted":
        notes.append(
            "The runner never said that the run ended; it was sealed because nothing more came."
        )
    return notes


def limits_of(task: Task) -> dict[str, Any]:
    """What the task was allowed, as its facts list has it."""
    timeout = task.attributes.get(names.TASK_TIMEOUT)
    retries = task.attributes.get(names.TASK_RETRIES)
    cpus = task.attributes.get(names.TASK_CPUS)
    limited = isinstance(timeout, int | float) and 0 < timeout < 1e9
    return {
        "timeout": formats.seconds(timeout) if isinstance(timeout, int | float) and limited else "",
        "tries": retries + 1 if isinstance(retries, int) and 0 < retries < 1000 else 0,
        "cpus": cpus if isinstance(cpus, int | float) else None,
    }
