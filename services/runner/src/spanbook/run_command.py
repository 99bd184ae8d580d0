"""``spanbook run``: from the command's words to its exit code."""

import argparse
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from spanbook.dag import Graph
from spanbook.errors import ServiceError, UsageError
from spanbook.interrupts import Interrupts, interrupts
from spanbook.settings import Settings

_RAY_TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def add_run_command(commands: Any) -> None:
    """Add ``run`` to the command's subparsers."""
    run = commands.add_parser(
        "run",
        help="run a pipeline and record it",
        description="Run a pipeline and record it. Exit code: 0 it succeeded, 1 it failed, 2 usage.",
        epilog="`spanbook run PIPELINE --help` also shows the pipeline's parameters.",
        allow_abbrev=False,
    )
    _add_options(run)
    run.set_defaults(action=run_command)


def _add_options(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "pipeline", metavar="PIPELINE", help="a folder with pipeline.py, a .py file, or module:name"
    )
    what = run.add_argument_group("what to run")
    what.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the pipeline",
    )
    what.add_argument("--params", type=Path, metavar="FILE", help="a YAML file of parameters")
    what.add_argument(
        "--dry-run", action="store_true", help="show the DAG, as text and Mermaid, and run nothing"
    )
    what.add_argument(
        "--from",
        dest="earlier",
        metavar="RUN_ID",
        help="run again what failed or was skipped in that run (id or run file); "
        "the other tasks' values come from it where they were kept",
    )
    what.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TASK",
        help="run this task (repeat for more), and what it needs",
    )
    where = run.add_argument_group("where")
    where.add_argument(
        "--outputs",
        type=Path,
        metavar="DIR",
        help="folder of outputs (SPANBOOK_OUTPUTS; pipeline-outputs)",
    )
    where.add_argument(
        "--cpus",
        type=int,
        metavar="N",
        help="CPUs that tasks may use on this machine (SPANBOOK_CPUS; all)",
    )
    where.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="run on this Ray cluster (SPANBOOK_RAY_ADDRESS; starts Ray here)",
    )
    local = run.add_argument_group("without Docker")
    local.add_argument(
        "--local",
        action="store_true",
        help="also run collector, site-builder and viewer, as processes",
    )
    local.add_argument(
        "--keep-serving",
        action="store_true",
        help="keep the tracker up after the run, until Ctrl-C",
    )
    local.add_argument(
        "--port", type=int, metavar="PORT", help="of the viewer (SPANBOOK_VIEWER_PORT; 8080)"
    )
    local.add_argument(
        "--otlp-grpc-port",
        type=int,
        metavar="PORT",
        help="of the collector (SPANBOOK_OTLP_GRPC_PORT; 4317)",
    )
    local.add_argument(
        "--otlp-http-port",
        type=int,
        metavar="PORT",
        help="of the collector (SPANBOOK_OTLP_HTTP_PORT; 4318)",
    )


def asks_for_pipeline_help(given: Sequence[str]) -> bool:
    """Whether the words are ``run … PIPELINE … --help``."""
    return (
        given[:1] == ["run"] and any(g in ("-h", "--help") for g in given) and _target(given) != ""
    )


def _target(given: Sequence[str]) -> str:
    """The pipeline in ``run … PIPELINE …``, empty where there is none."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_options(parser)
    for action in parser._actions:
        if action.dest == "pipeline":
            action.nargs = "?"
    known, _ = parser.parse_known_args([g for g in given[1:] if g not in ("-h", "--help")])
    return known.pipeline or ""


def pipeline_help(given: Sequence[str]) -> int:
    """Show the command's options and the pipeline's parameters."""
    from spanbook.finding import find_pipeline  # noqa: PLC0415
    from spanbook.params import describe  # noqa: PLC0415

    run = argparse.ArgumentParser(
        prog="spanbook run", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_options(run)
    found = find_pipeline(_target(given))
    lines = describe(found.pipeline)
    doc = (found.pipeline.__doc__ or "").strip().split("\n\n")[0]
    run.description = f"Run the pipeline {found.pipeline.name}.\n\n{doc}".rstrip()
    run.epilog = "parameters of the pipeline (--param NAME=VALUE):\n" + (
        "\n".join(f"  {line}" for line in lines) or "  none"
    )
    run.print_help()
    return 0


def run_command(options: argparse.Namespace) -> int:
    """Run a pipeline; returns the exit code."""
    with interrupts() as stop:
        return _run(options, stop)


def _run(options: argparse.Namespace, stop: Interrupts) -> int:
    settings = Settings.from_env()
    given = {
        key: v
        for key in ("outputs", "cpus", "ray_address")
        if (v := getattr(options, key)) is not None
    }
    settings = replace(settings, **given)
    if settings.cpus < 0:
        raise UsageError(f"--cpus {settings.cpus}: it cannot be below 0, which is all.")
    if options.keep_serving and not options.local:
        raise UsageError("--keep-serving goes with --local: without it there is nothing to serve.")
    _prepare_ray(settings.ray_address)
    _prepare_fonts()

    from spanbook.finding import find_pipeline  # noqa: PLC0415
    from spanbook.params import resolve  # noqa: PLC0415

    found = find_pipeline(options.pipeline)
    parameters = resolve(found.pipeline, flags=options.param, file=options.params, env=os.environ)
    graph = found.pipeline.build(parameters)
    part = _part(options, settings, graph)
    if options.dry_run:
        from spanbook import plan  # noqa: PLC0415

        _say(f"{plan.as_text(graph, part)}\n\n{plan.as_mermaid(graph)}")
        return 0
    with _services(options, settings, stop) as running:
        if running is not None:
            running.lead_here()
            settings = replace(settings, site_url=running.url)

        from spanbook.ids import new_run_id  # noqa: PLC0415
        from spanbook.run import execute  # noqa: PLC0415 (imports Ray)
        from spanbook.terminal import summary, undelivered  # noqa: PLC0415

        run_id = new_run_id()
        with _view() as view:
            finished = execute(found, graph, parameters, settings, view, run_id, part, stop)
        url = f"{settings.site_url.rstrip('/')}/runs/{run_id}/index.html"
        summary(finished, sys.stdout)
        shown = True  # as --local promises
        if finished.spool is not None:
            undelivered(finished, sys.stderr)
            if running is not None:
                _say(f"The collector's log is {running.log('collector')}.", sys.stderr)
                shown = False
        elif running is None:
            _say(url)
        else:
            try:
                page = running.wait_for_page(run_id)
                _say(f"{page}\n{url}" if options.keep_serving or running.joined else page)
            except ServiceError as error:
                _say(f"spanbook: {error}", sys.stderr)
                shown = False
        sys.stdout.flush()
    return 0 if finished.ok and shown else 1


def _part(options: argparse.Namespace, settings: Settings, graph: Graph) -> Any:
    if not options.earlier and not options.only:
        return None
    from spanbook.rerun import load_run, plan_part  # noqa: PLC0415

    runs = settings.outputs / "runs"
    earlier = load_run(options.earlier, runs) if options.earlier else None
    return plan_part(graph, earlier, options.only, runs, _say)


def _services(
    options: argparse.Namespace, settings: Settings, stop: Interrupts
) -> AbstractContextManager[Any]:
    if not options.local:
        return nullcontext()
    from spanbook import local  # noqa: PLC0415

    flags = {"viewer": options.port, "grpc": options.otlp_grpc_port, "http": options.otlp_http_port}

    def keep(running: local.Services) -> None:
        with suppress(KeyboardInterrupt), stop.raising():
            if options.keep_serving and not stop.reason:
                _say(f"The tracker is at {running.url} until Ctrl-C.")
                while True:
                    signal.pause()

    ports = local.Ports.choose(flags, os.environ)
    return local.services(settings.outputs, ports, _say, keep, stop.raising)


def _say(text: object, out: TextIO | None = None) -> None:
    out = out or sys.stdout
    out.write(f"{text}\n")
    out.flush()


def _view() -> Any:
    """A live view on a terminal, plain lines elsewhere."""
    if sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb"):
        from spanbook.live import LiveView  # noqa: PLC0415

        return LiveView()
    from spanbook.terminal import PlainView  # noqa: PLC0415

    return PlainView()


def _prepare_fonts() -> None:
    """Give matplotlib the list of fonts that the image was built with, in a folder it can write to."""
    built, wanted = os.environ.get("SPANBOOK_FONT_CACHE"), os.environ.get("MPLCONFIGDIR")
    if built and wanted and Path(built).is_dir() and not Path(wanted).exists():
        shutil.copytree(built, wanted)


def _prepare_ray(address: str) -> None:
    """Set what Ray reads when it is imported: no usage reports, and a token of this run's own."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "ray" in sys.modules:
        return
    if not address and not any(os.environ.get(name) for name in _RAY_TOKEN_VARIABLES):
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
