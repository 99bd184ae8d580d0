"""One run's part of a build: read it, write its pages, say what lists need. Runs in a process pool."""

import hashlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from spanbook_runfile import Run, RunFileError

from spanbook_site import formats, mlflow, summary
from spanbook_site.output import Output
from spanbook_site.pages.run import RunPages
from spanbook_site.pages.stub import StubPages
from spanbook_site.record import Record
from spanbook_site.settings import Settings
from spanbook_site.sources import Source, read
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

DAY = 86_400_000  # ms
log = logging.getLogger("spanbook_site")


@dataclass(frozen=True)
class Job:
    """One run to be rendered."""

    source: Source
    trimmed: bool
    full_size: int = 0  # where trimmed: the size before
    lean: int = 0  # and what of it stays
    stub: bool = False
    slim: int = 0  # what stays of it as a stub


@dataclass(frozen=True)
class Workshop:
    """What every job of a build needs."""

    out: Path
    settings: Settings
    templates: Templates

    def render(self, job: Job, reader: Callable[[], Run] | None = None) -> Record:
        """Write all pages of one run; a file that cannot be read gets a page that says why.

        Raises:
            FileNotFoundError: the journal is gone, because its run was sealed.
        """
        source = job.source
        output = Output(self.out)
        try:
            most = self.settings.max_run_file_mb * 1_000_000
            found = None if reader else read(source, most)
            run = found.run if found else reader() if reader else None
            assert run is not None
            if source.origin:
                run = source.origin.applied(run)
            stub = found is not None and (job.stub or found.stub)
            trimmed = stub or job.trimmed or source.trimmed
            pages: RunPages | StubPages
            if found and stub:
                pages = StubPages(found, output, self.templates, most)
                short = pages.write(source.origin)
            else:
                pages = RunPages(run, output, self.templates, trimmed=trimmed, origin=source.origin)
                short = pages.write(found)
        except (RunFileError, OSError) as error:
            if isinstance(error, FileNotFoundError) and source.live:
                raise
            return self._broken(source, str(error))
        except Exception as error:
            log.exception("%s cannot be shown", source.name)
            return self._broken(
                source,
                f"It cannot be shown: {type(error).__name__}: {error}. Please report this with the file.",
            )
        output.prune(f"runs/{source.key}", set(output.written))
        return Record(
            key=source.key,
            stamp=source.stamp,
            version=_version(output.written),
            live=source.live,
            start=_place(run),
            main=summary.is_main(short, self.settings.main),
            pipeline=run.pipeline,
            tasks=tuple(dict.fromkeys(task["name"] for task in short["tasks"])),
            size=job.full_size or output.total,
            lean=job.lean or output.total - pages.heavy,
            slim=job.slim or pages.slim or output.total,
            trimmed=trimmed,
            stub=stub,
            fixed=found is not None and found.stub,
            file=pages.kept,
            file_size=output.sizes.get(pages.kept, 0),
            sha256=pages.sha256,
            models=pages.has_models,
            mlflow=output.sizes.get(mlflow.rows_of(run.id), 0),
            name=source.name,
        )

    def _broken(self, source: Source, reason: str) -> Record:
        output = Output(self.out)
        address = Urls.run(source.key)
        name = formats.text(source.name, 120)
        reason = formats.text(reason, 1000)
        page = self.templates.page(
            "broken.html",
            address,
            kind="run",
            title=name,
            name=name,
            reason=reason,
            size=source.size,
        )
        output.write(address, page)
        output.prune(f"runs/{source.key}", {address})
        return Record(
            key=source.key,
            stamp=source.stamp,
            version=_version(output.written),
            live=source.live,
            broken=reason,
            name=name,
        )


def _place(run: Run) -> int:
    """Where the run stands among the others, in ms: its start, unless its clock ran ahead of the seal's."""
    start = (run.start or 0) // 1_000_000
    try:
        sealed = (
            datetime.fromisoformat(run.seal.sealed_at).timestamp() * 1000 if run.seal else math.inf
        )
    except (ValueError, OverflowError, TypeError):
        return start
    return start if start <= sealed + DAY else int(sealed)


def _version(written: dict[str, str]) -> str:
    text = "\n".join(f"{address} {version}" for address, version in sorted(written.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_workshop: Workshop | None = None


def start_worker(workshop: Workshop) -> None:
    """Prepare a pool's process."""
    global _workshop  # noqa: PLW0603 - set once a process, by the pool's initializer
    _workshop = workshop


def run_job(job: Job) -> Record:
    """Render in a pool's process."""
    assert _workshop is not None
    return _workshop.render(job)
