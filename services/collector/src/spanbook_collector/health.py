"""What the collector tells about itself: ``/healthz``, and ``/metrics`` for Prometheus."""

import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version

import orjson
from aiohttp import web

from spanbook_collector.budget import Budget
from spanbook_collector.ingest import Ingest


class Health:
    """Reads the figures where they are kept; it has none of its own but the start time."""

    def __init__(self, ingest: Ingest, budget: Budget) -> None:
        self._ingest = ingest
        self._budget = budget
        self._started = time.monotonic()

    def routes(self) -> Iterable[web.RouteDef]:
        """The two routes."""
        return [web.get("/healthz", self._healthz), web.get("/metrics", self._metrics)]

    async def _healthz(self, _: web.Request) -> web.Response:
        told = self.report()
        return web.Response(
            body=orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n",
            status=200 if told["status"] == "ok" else 503,
            content_type="application/json",
        )

    def report(self) -> dict[str, object]:
        """The figures as ``/healthz`` shows them."""
        ingest, runs = self._ingest, self._ingest.runs
        now = time.monotonic()
        free = self._free()
        return {
            "status": self._status(free),
            "version": version("spanbook-collector"),
            "uptime_seconds": round(now - self._started, 1),
            "runs_in_progress": [
                {
                    "run": run.id,
                    "bytes": run.journal.length,
                    "idle_seconds": round(now - run.last, 1),
                    "run_span": run.tally.run_span,
                    "sealing": run.sealing,
                }
                for run in runs.in_progress.values()
            ],
            "seals": {
                "done": runs.sealer.done,
                "failures": runs.sealer.failures,
                "last_error": runs.sealer.last_error,
            },
            "late": [
                {"run": run_id, "bytes": journal.length, "journal": journal.path.name}
                for run_id, journal in runs.late.items()
            ],
            "disk": {"free_bytes": free, "floor_bytes": runs.settings.min_free_bytes},
            "requests": {signal.name.lower(): n for signal, n in ingest.requests.items()},
            "rejected_items": ingest.rejected,
            "refused_requests": ingest.refused,
            "write_failures": runs.committer.failures,
        }

    def _free(self) -> int | None:
        try:
            return self._ingest.runs.disk.free(self._ingest.runs.settings.journals)
        except OSError:
            return None

    def _status(self, free: int | None) -> str:
        if self._ingest.stopping:
            return "stopping"
        if free is None:
            return "unwritable"
        return "low disk" if free < self._ingest.runs.settings.min_free_bytes else "ok"

    async def _metrics(self, _: web.Request) -> web.Response:
        text = "".join(self.exposition())
        return web.Response(
            body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    def exposition(self) -> Iterator[str]:
        """The figures in Prometheus' text format."""
        ingest, runs = self._ingest, self._ingest.runs
        for signal in ingest.requests:
            label = f'{{signal="{signal.name.lower()}"}}'
            yield from _line(
                "requests_total", "counter", "requests acknowledged", ingest.requests[signal], label
            )
        for signal in ingest.items:
            label = f'{{signal="{signal.name.lower()}"}}'
            yield from _line(
                "items_total",
                "counter",
                "spans, log records and points acknowledged",
                ingest.items[signal],
                label,
            )
        figures = (
            (
                "received_bytes_total",
                "counter",
                "bytes acknowledged, decompressed",
                ingest.received_bytes,
            ),
            (
                "rejected_items_total",
                "counter",
                "items rejected in accepted requests",
                ingest.rejected,
            ),
            ("refused_requests_total", "counter", "requests refused", ingest.refused),
            ("commit_rounds_total", "counter", "group commits", runs.committer.rounds),
            (
                "write_failures_total",
                "counter",
                "journal writes or syncs that failed",
                runs.committer.failures,
            ),
            (
                "duplicate_pieces_total",
                "counter",
                "repeats of what a sealed run has",
                runs.duplicates,
            ),
            ("inflight_bytes", "gauge", "request bytes in memory", self._budget.used),
            ("runs_in_progress", "gauge", "runs with a journal", len(runs.in_progress)),
            (
                "journal_bytes",
                "gauge",
                "bytes of journals",
                sum(r.journal.length for r in runs.in_progress.values()),
            ),
            ("late_runs", "gauge", "sealed runs that late data came for", len(runs.late)),
            (
                "late_bytes",
                "gauge",
                "bytes of late data",
                sum(j.length for j in runs.late.values()),
            ),
            ("seals_total", "counter", "runs sealed", runs.sealer.done),
            (
                "seal_failures_total",
                "counter",
                "seals that failed and are tried again",
                runs.sealer.failures,
            ),
            ("seal_seconds_total", "counter", "time spent sealing", runs.sealer.seconds),
            ("sealed_bytes_total", "counter", "bytes of run files written", runs.sealer.bytes),
            ("disk_free_bytes", "gauge", "bytes left for journals", self._free() or 0),
        )
        for name, kind, what, value in figures:
            yield from _line(name, kind, what, value)


def _line(name: str, kind: str, what: str, value: float, label: str = "") -> Iterator[str]:
    full = f"spanbook_collector_{name}"
    if not label or "traces" in label:
        yield f"# HELP {full} {what}\n# TYPE {full} {kind}\n"
    yield f"{full}{label} {value}\n"
