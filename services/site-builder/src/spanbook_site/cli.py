"""The command ``spanbook-site``."""

import argparse
import atexit
import gc
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spanbook_site import settings, vendor
from spanbook_site.build import Builder, Report
from spanbook_site.errors import SiteError
from spanbook_site.formats import plural
from spanbook_site.mlflow import wheel
from spanbook_site.progress import Progress


def _parser(*, building: bool = False) -> argparse.ArgumentParser:
    """The command line; ``building`` leaves out what takes long to import and builds nothing."""
    parser = argparse.ArgumentParser(
        prog="spanbook-site",
        description="Build the static tracker from run files and nothing else.",
        epilog="Exit status: 0 built (broken run files get a page of their own), 1 could not build, 2 wrong usage.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    outputs = Path(os.environ.get("SPANBOOK_OUTPUTS") or "pipeline-outputs")
    build = commands.add_parser("build", help="build the site, or bring it up to date")
    build.add_argument(
        "--runs",
        type=Path,
        default=outputs / "runs",
        metavar="DIR",
        help="folder of run files (default: %(default)s)",
    )
    build.add_argument(
        "--out",
        type=Path,
        default=outputs / "site",
        metavar="DIR",
        help="folder of the site (default: %(default)s)",
    )
    build.add_argument(
        "--journals",
        type=Path,
        metavar="DIR",
        help="folder of journals of runs in progress (default: journals beside --runs)",
    )
    build.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="settings of the site (default: $SPANBOOK_SETTINGS, else spanbook.yaml where it is)",
    )
    build.add_argument(
        "--vendor",
        type=Path,
        metavar="DIR",
        help="node_modules with the browser libraries "
        "(default: $SPANBOOK_VENDOR, else where 'spanbook-site vendor' puts them)",
    )
    build.add_argument(
        "--watch", action="store_true", help="go on: rebuild what changes, show runs in progress"
    )
    build.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="processes (default: one a core)"
    )
    build.add_argument(
        "--budget-mb", type=int, metavar="N", help="budget_mb, in place of the settings'"
    )
    build.add_argument("--quiet", action="store_true", help="no progress, only what went wrong")
    fetch = commands.add_parser(
        "vendor", help="fetch the browser libraries (charts, model) with npm, by digest"
    )
    fetch.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="where to (default: $SPANBOOK_VENDOR, else the checkout or the user's cache)",
    )
    ui = commands.add_parser(
        "mlflow-ui", help="fetch MLflow's own UI, which then is a part of every site"
    )
    ui.add_argument("--wheel", type=Path, metavar="FILE", help="a wheel downloaded before")
    if not building:
        from spanbook_site.collect import command as collect  # noqa: PLC0415 - brings requests
        from spanbook_site.history import command as history  # noqa: PLC0415

        collect.add_command(commands)
        history.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = sys.argv[1:] if argv is None else argv
    arguments = _parser(building=given[:1] == ["build"]).parse_args(given)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        return _run(arguments)
    except SiteError as error:
        print(f"spanbook-site: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "build":
        return _build(arguments)
    if arguments.command == "vendor":
        folder = vendor.fetch(arguments.to or vendor.default_folder())
        print(f"The browser libraries are in {folder}.")
        return 0
    if arguments.command == "mlflow-ui":
        wheel.fetch(wheel.folder(), wheel=arguments.wheel)
        print(f"The UI of MLflow {wheel.VERSION} is in {wheel.folder()}.")
        return 0
    from spanbook_site.collect import command as collect  # noqa: PLC0415
    from spanbook_site.history import command as history  # noqa: PLC0415

    if arguments.command == "collect":
        return collect.run(arguments)
    return history.run(arguments)


def _build(arguments: argparse.Namespace) -> int:
    if arguments.watch:
        arguments.runs.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    gc.freeze()  # what is imported stays
    gc.set_threshold(100_000)  # most of what a build makes lives to its end
    atexit.register(gc.freeze)  # and a last look at all of it finds nothing to do
    chosen = settings.load(settings.find(arguments.settings))
    if arguments.budget_mb is not None:
        chosen = replace(chosen, budget_mb=max(1, arguments.budget_mb))
    builder = Builder(
        arguments.runs,
        arguments.out,
        journals=arguments.journals or arguments.runs.parent / "journals",
        settings=chosen,
        vendor=arguments.vendor or vendor.default_folder(),
        jobs=arguments.jobs,
        progress=Progress(enabled=False if arguments.quiet else None),
    )
    report = builder.build()
    if not arguments.quiet:
        print(_words(report, arguments.out, time.monotonic() - began), flush=True)
    if arguments.watch:
        from spanbook_site.watch import watch  # noqa: PLC0415

        watch(builder, quiet=arguments.quiet)
    return 0


def _words(report: Report, out: Path, seconds: float) -> str:
    broken = f", {plural(len(report.broken), 'file')} could not be read" if report.broken else ""
    done = f"{plural(report.total, 'run')} ({report.rendered} rendered{broken})"
    return f"{done} in {seconds:.1f} s: {out / 'index.html'}"
