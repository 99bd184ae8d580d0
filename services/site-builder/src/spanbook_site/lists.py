"""All that spans runs: run lists, tasks, trends, reports and data, from summaries, shard by shard.

Runs are ordered by start, and shards count from the oldest: a new run touches the last shard only,
whatever came before. Pages show the newest; the rest comes in shards.
"""

from collections.abc import Sequence
from functools import lru_cache

import orjson

from spanbook_site import mlflow
from spanbook_site.memo import Memo, key_of
from spanbook_site.output import Output
from spanbook_site.pages import home, others, reports, tasks, trends
from spanbook_site.progress import Progress
from spanbook_site.record import Record
from spanbook_site.summary import Summary
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

SHARD = 200  # runs
TELLING = 30  # newest runs that say which columns a list has
WINDOW = 200  # newest runs that list pages, trends and charts show without script


class Lists:
    """Writes the list pages of one build."""

    def __init__(
        self, memo: Memo, output: Output, templates: Templates, progress: Progress
    ) -> None:
        self.memo = memo
        self.output = output
        self.templates = templates
        self.progress = progress
        self.summary = lru_cache(maxsize=1024)(self._read_summary)

    def _read_summary(self, key: str) -> Summary:
        summary: Summary = orjson.loads(
            self.output.path(Urls.run_part(key, "summary.json")).read_bytes()
        )
        return summary

    def write(self) -> None:
        """Write every list page whose runs changed."""
        every = sorted(self.memo.runs.values(), key=lambda r: (r.start, r.key))
        good = [r for r in every if not r.broken]
        broken = [r for r in every if r.broken]
        main, changes = [r for r in good if r.main], [r for r in good if not r.main]
        columns = home.columns(self._newest(main or changes, TELLING), self.templates.settings)
        for group, records in (("runs", main), ("changes", changes)):
            self._run_shards(group, records)
        self._home(main, changes, broken, columns)
        sealed = [r for r in good if not r.live]  # a run in progress changes each second
        self._tasks(sealed)
        self._trends([r for r in sealed if r.main])
        self._tables(sealed)
        if self.templates.mlflow:
            entries = [
                mlflow.Entry(r.key, r.start, r.version, r.live, r.mlflow) for r in good if r.mlflow
            ]
            mlflow.write_site(self.memo.group, self.output, entries)
        self._others(good, main)
        if self.templates.settings.docs:
            from spanbook_site import docs  # noqa: PLC0415 - brings Markdown and Pygments

            docs.write_site(self.memo.group, self.output, self.templates)
        else:
            self.output.remove("docs")

    def _newest(self, records: Sequence[Record], count: int) -> list[Summary]:
        return [self.summary(r.key) for r in records[: -count - 1 : -1]]

    def _run_shards(self, group: str, records: Sequence[Record]) -> None:
        """Each has its own runs' columns, so that a new metric leaves the shards before it alone."""
        total = -(-len(records) // SHARD)
        for number in range(1, total + 1):
            part = records[(number - 1) * SHARD : number * SHARD]
            last = number >= total - 1  # its page links to the next, if there is one
            key = key_of(_versions(part), str(last and total))

            def write(output: Output, number: int = number, part: Sequence[Record] = part) -> None:
                rows = [self.summary(r.key) for r in reversed(part)]
                columns = home.columns(rows[:TELLING], self.templates.settings)
                home.write_shard(output, self.templates, group, number, total, rows, columns)

            self.memo.group(f"{group}/{number}", key, self.output, write)

    def _home(
        self,
        main: Sequence[Record],
        changes: Sequence[Record],
        broken: Sequence[Record],
        columns: Sequence[home.Column],
    ) -> None:
        newest, newest_changes = main[-WINDOW:], changes[-WINDOW:]
        trimmed = sum(record.trimmed for record in (*main, *changes))
        counts = (str(len(main)), str(len(changes)), str(trimmed))
        key = key_of(
            map(str, columns),
            _versions(newest),
            _versions(newest_changes),
            _versions(broken),
            counts,
        )

        def write(output: Output) -> None:
            home.write_home(
                output,
                self.templates,
                main=home.Group(
                    "runs", self._newest(newest, WINDOW), len(main), -(-len(main) // SHARD)
                ),
                changes=home.Group(
                    "changes",
                    self._newest(newest_changes, WINDOW),
                    len(changes),
                    -(-len(changes) // SHARD),
                ),
                broken=broken,
                columns=columns,
                trimmed=trimmed,
            )

        self.memo.group("home", key, self.output, write)

    def _tasks(self, good: Sequence[Record]) -> None:
        holders: dict[str, list[Record]] = {}
        for record in good:
            for name in record.tasks:
                holders.setdefault(name, []).append(record)
        with self.progress.task("tasks", len(holders)) as tick:
            for name, records in sorted(holders.items()):
                self._task(name, records)
                tick()
        newest = {name: records[-1] for name, records in holders.items()}
        key = key_of(
            sorted(f"{n} {len(holders[n])} {r.key} {r.version}" for n, r in newest.items())
        )

        def write(output: Output) -> None:
            entries = [(n, len(holders[n]), self.summary(r.key)) for n, r in sorted(newest.items())]
            tasks.write_index(output, self.templates, entries)

        self.memo.group("tasks", key, self.output, write)

    def _task(self, name: str, records: Sequence[Record]) -> None:
        window = records[-WINDOW:]
        key = key_of(name, _versions(window), str(len(records)))
        rows = None

        def window_rows() -> list[tasks.Row]:
            return tasks.rows_of(name, self._newest(window, WINDOW))

        group = f"task/{name}"
        known = self.memo.groups.get(f"{group}/page")
        if known and known[0] == key:
            self._keep(group)
            return
        rows = window_rows()
        columns = tasks.columns(rows)
        total = -(-len(records) // SHARD)
        for number in range(1, total + 1):
            part = records[(number - 1) * SHARD : number * SHARD]

            def write(output: Output, number: int = number, part: Sequence[Record] = part) -> None:
                found = tasks.rows_of(name, [self.summary(r.key) for r in reversed(part)])
                tasks.write_shard(output, self.templates, name, number, found)

            self.memo.group(f"{group}/{number}", key_of(_versions(part)), self.output, write)

        def write_page(output: Output) -> None:
            tasks.write_page(
                output, self.templates, name, rows or [], columns, runs=len(records), shards=total
            )

        self.memo.group(f"{group}/page", key, self.output, write_page)

    def _keep(self, group: str) -> None:
        for name, known in self.memo.groups.items():
            if name.rpartition("/")[0] == group:
                self.memo.fresh[name] = known

    def _trends(self, main: Sequence[Record]) -> None:
        window = main[-WINDOW:]
        key = key_of(_versions(window))

        def write(output: Output) -> None:
            trends.write(output, self.templates, self._newest(window, WINDOW))

        self.memo.group("trends", key, self.output, write)

    def _tables(self, sealed: Sequence[Record]) -> None:
        key = key_of(_versions(sealed))
        known = self.memo.groups.get("tables")

        def write(output: Output) -> None:
            from spanbook_site import tables  # noqa: PLC0415 - brings pyarrow

            tables.write(
                output,
                order=[r.key for r in sealed],
                changed=self.memo.changed,
                before=known,
                key=key,
                summary=self.summary,
                main=self.templates.settings.main,
            )

        self.memo.group("tables", key, self.output, write)

    def _others(self, good: Sequence[Record], main: Sequence[Record]) -> None:
        wanted = self.templates.settings.reports
        tasks_wanted = {report.task for report in wanted}
        able = [
            r for r in main if tasks_wanted.intersection(r.tasks) and not r.live and not r.trimmed
        ]

        def write_reports(output: Output) -> None:
            reports.write(output, self.templates, (self.summary(r.key) for r in reversed(able)))

        self.memo.group(
            "reports",
            key_of(_versions(able[-WINDOW:]), str(bool(wanted))),
            self.output,
            write_reports,
        )
        newest = good[-WINDOW:]
        shards = [
            Urls.runs_data(g, n)
            for g in ("runs", "changes")
            for n in range(-(-sum(r.main == (g == "runs") for r in good) // SHARD), 0, -1)
        ]

        def write_feeds(output: Output) -> None:
            others.write_feeds(
                output, self.templates, self._newest(newest, 50), self._newest(main, 1)
            )

        def write_fixed(output: Output) -> None:
            others.write_fixed(output, self.templates, shards)

        self.memo.group(
            "feeds", key_of(_versions(newest), _versions(main[-1:])), self.output, write_feeds
        )
        self.memo.group("fixed", key_of(shards), self.output, write_fixed)


def _versions(records: Sequence[Record]) -> list[str]:
    return [f"{r.key} {r.version}" for r in records]
