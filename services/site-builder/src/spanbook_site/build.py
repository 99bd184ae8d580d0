"""The build: find what changed, render it in parallel, then the lists, and the manifest last."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from spanbook_runfile import Run

from spanbook_site import budget
from spanbook_site.errors import OutputError
from spanbook_site.history.index import index
from spanbook_site.job import Job, Workshop, run_job, start_worker
from spanbook_site.lists import Lists
from spanbook_site.memo import Memo, key_of
from spanbook_site.mlflow import wheel
from spanbook_site.origins import Ledger
from spanbook_site.output import Output
from spanbook_site.progress import Progress
from spanbook_site.record import Record
from spanbook_site.settings import Settings
from spanbook_site.sources import Source, scan
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls
from spanbook_site.vendor import found as found_vendor

if TYPE_CHECKING:
    from spanbook_runfile import LiveJournal

log = logging.getLogger("spanbook_site")
MODEL_RUNTIME = "vendor/ort"  # static files that only the pages of models load
INLINE = 3  # runs that are not worth a process pool


@dataclass(frozen=True)
class Report:
    """What a build did."""

    rendered: int
    removed: int
    broken: tuple[Record, ...]
    total: int


class Builder:
    """Builds one site, once or again and again."""

    def __init__(
        self,
        runs: Path,
        out: Path,
        *,
        journals: Path | None = None,
        settings: Settings | None = None,
        vendor: Path | None = None,
        jobs: int = 0,
        progress: Progress | None = None,
    ) -> None:
        self.runs = runs
        self.out = out
        self.journals = journals
        self.settings = settings or Settings()
        self.jobs = jobs or os.cpu_count() or 1
        self.progress = progress or Progress(enabled=False)
        self.statics = _statics(vendor)
        with_mlflow = self.settings.mlflow_ui and wheel.installed(wheel.folder())
        self.version = _version(
            self.settings, self.statics, f"{with_mlflow} {bool(self.settings.docs)}"
        )
        self.templates = Templates(
            self.settings, self.version, frozenset(self.statics), mlflow=with_mlflow
        )
        self.workshop = Workshop(out, self.settings, self.templates)
        self._live: dict[str, LiveJournal] = {}
        self._check_out()

    def _check_out(self) -> None:
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"The output folder {self.out} cannot be made: {error.strerror}."
            ) from error
        known = (self.out / Urls.BUILD).exists() or (self.out / ".cache").exists()
        if not known and any(p for p in self.out.iterdir() if not p.name.startswith(".")):
            raise OutputError(
                f"{self.out} holds files that spanbook-site did not make. "
                "Give --out an empty folder, or one that an earlier build made."
            )
        (self.out / ".cache").mkdir(exist_ok=True)  # from now on it is known as ours

    @cached_property
    def memo(self) -> Memo:
        """What the last build did."""
        return Memo(self.out, self.version)

    def build(self) -> Report:
        """Bring the site up to date with its inputs."""
        sources = scan(self.runs, self.journals)
        memo = self.memo
        gone = [key for key in memo.runs if key not in sources]
        for key in gone:
            del memo.runs[key]
        memo.changed.update(gone)
        jobs = [
            Job(source, trimmed=source.trimmed)
            for key, source in sources.items()
            if (known := memo.runs.get(key)) is None
            or known.stamp != source.stamp
            or known.live != source.live
        ]
        jobs.sort(key=lambda job: job.source.key)
        for key in self._live.keys() - {key for key, source in sources.items() if source.live}:
            del self._live[key]
        rendered = self._render(jobs)
        base = self._base()
        rendered += self._render(self._budgeted(sources, base))
        self._tell_of_size(base)
        done = memo.groups and (self.out / Urls.BUILD).exists() and not self._docs_changed()
        if done and not (rendered or gone):
            return self._report(0, 0)
        self._write_lists(gone)
        return self._report(rendered, len(gone))

    def _docs_changed(self) -> bool:
        folder = self.settings.docs
        if not folder:
            return False
        from spanbook_site import docs  # noqa: PLC0415 - brings Markdown and Pygments

        return self.memo.groups.get("docs", ("",))[0] != docs.stamp(Path(folder))

    def _report(self, rendered: int, removed: int) -> Report:
        records = self.memo.runs.values()
        return Report(rendered, removed, tuple(r for r in records if r.broken), len(records))

    def _budgeted(self, sources: dict[str, Source], base: int) -> list[Job]:
        """Runs to render again, because they fell out of the size budget, or back into it."""
        records = self.memo.runs
        most = self.settings.budget_mb * 1_000_000
        jobs = []
        for key, cut in sorted(budget.cuts(records.values(), most, base).items()):
            known, source = records[key], sources[key]
            trimmed, stub = cut.trimmed or source.trimmed, cut.stub or known.fixed
            if (trimmed, stub) != (known.trimmed, known.stub):
                size, lean, slim = known.size, known.lean, known.slim
                jobs.append(Job(source, trimmed, size, lean, stub=stub, slim=slim))
        return jobs

    def _tell_of_size(self, base: int) -> None:
        size = budget.bytes_of(self.memo.runs.values(), base) // 1_000_000
        if size > self.settings.budget_mb and all(r.stub for r in self.memo.runs.values()):
            log.warning(
                "The site has about %d MB with a stub of every run, over its budget of %d MB.",
                size,
                self.settings.budget_mb,
            )

    def _base(self) -> int:
        """Bytes of the site without any run."""
        ui = wheel.files(wheel.folder()) if self.templates.mlflow else ()
        paths = [path for _, path in (*self._statics_needed(), *ui)]
        return sum(path.stat().st_size for path in paths)

    def _statics_needed(self) -> list[tuple[str, Path]]:
        """The static files but for 14 MB that no page would load."""
        runtime = any(record.models for record in self.memo.runs.values())
        found = self.statics.items()
        return [(n, path) for n, path in found if runtime or not n.startswith(MODEL_RUNTIME)]

    def _render(self, jobs: Sequence[Job]) -> int:
        with self.progress.task("runs", len(jobs)) as tick:
            for record in self._records(jobs):
                self.memo.runs[record.key] = record
                self.memo.changed.add(record.key)
                if record.broken:
                    log.warning("%s: %s", record.name, record.broken)
                tick()
        return len(jobs)

    def _records(self, jobs: Sequence[Job]) -> Iterator[Record]:
        live = [job for job in jobs if job.source.live]
        for job in live:
            try:
                yield self.workshop.render(job, self._journal(job.source))
            except FileNotFoundError:
                log.debug("%s is gone: its run was sealed meanwhile.", job.source.name)
        jobs = [job for job in jobs if not job.source.live]
        if len(jobs) <= INLINE or self.jobs == 1:
            yield from map(self.workshop.render, jobs)
            return
        # a twentieth of a second, where one run is added
        from concurrent.futures import ProcessPoolExecutor, as_completed  # noqa: PLC0415
        from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415
        from multiprocessing import get_context  # noqa: PLC0415

        context = get_context("spawn")  # forking a process with threads (pyarrow's) may hang
        with ProcessPoolExecutor(
            self.jobs, mp_context=context, initializer=start_worker, initargs=(self.workshop,)
        ) as pool:
            try:
                for future in as_completed([pool.submit(run_job, job) for job in jobs]):
                    yield future.result()
            except BrokenProcessPool:
                log.warning("A worker process died; rendering what is left one by one.")
        yield from self._rest(jobs)

    def _journal(self, source: Source) -> Callable[[], Run]:
        """A reader of a journal that goes on where it stopped the last time."""
        from spanbook_runfile import LiveJournal  # noqa: PLC0415 - brings protobuf

        if source.key not in self._live:
            self._live[source.key] = LiveJournal(source.path, source.key)
        return self._live[source.key].refresh

    def _rest(self, jobs: Sequence[Job]) -> Iterator[Record]:
        for job in jobs:
            known = self.memo.runs.get(job.source.key)
            if known is None or known.stamp != job.source.stamp or known.trimmed != job.trimmed:
                yield self.workshop.render(job)

    def _write_lists(self, gone: Iterable[str]) -> None:
        memo, output = self.memo, Output(self.out)
        memo.begin()
        self._write_statics(memo, output)
        Lists(memo, output, self.templates, self.progress).write()
        self._write_history(memo, output)
        self._forget(memo, gone)
        pages = memo.files() | {f"runs/{r.key}/": r.version for r in memo.runs.values()}
        memo.save()
        output.write_json(Urls.BUILD, {"version": 1, "site": self.version, "pages": pages})

    def _write_history(self, memo: Memo, output: Output) -> None:
        listed = index(memo.runs.values(), Ledger.load(self.runs))

        def write(part: Output) -> None:
            part.write_json(Urls.HISTORY, listed)

        memo.group("history", key_of(orjson.dumps(listed).decode()), output, write)

    def _forget(self, memo: Memo, gone: Iterable[str]) -> None:
        output = Output(self.out)
        for key in gone:
            output.remove(f"runs/{key}")
            output.path(f"{Urls.compare_data(key)}.js").unlink(missing_ok=True)
        for address in memo.forgotten():
            output.path(address).unlink(missing_ok=True)

    def _write_statics(self, memo: Memo, output: Output) -> None:
        needed = self._statics_needed()

        def write(part: Output) -> None:
            for name, path in needed:
                part.write(Urls.static(name), path.read_bytes())
            part.write(".nojekyll", b"")

        memo.group("static", f"{self.version} {len(needed)}", output, write)


def _statics(vendor: Path | None) -> dict[str, Path]:
    """Static files by their name under ``static/``: the builder's own, and the vendored that are there."""
    own = Path(str(resources.files("spanbook_site"))) / "static"
    found = {
        p.relative_to(own).as_posix(): p
        for p in sorted(own.rglob("*"))
        if p.suffix in (".css", ".js", ".svg")
    }
    if vendor:
        found.update({f"vendor/{name}": path for name, path in found_vendor(vendor).items()})
    return found


def _version(settings: Settings, statics: dict[str, Path], more: str) -> str:
    """A digest of builder and settings: when it changes, everything is built anew."""
    digest = hashlib.sha256(f"{settings!r} {more}".encode())
    package = Path(str(resources.files("spanbook_site")))
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.html"), *statics.values()]):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


__all__ = ["Builder", "Report"]
