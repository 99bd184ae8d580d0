"""The ``spanbook`` command."""

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spanbook.errors import SpanbookError, UsageError

_RAY_TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 (the pipeline failed) or 2 (usage)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    if _asks_for_pipeline_help(given):
        return _pipeline_help(given)
    options = parser.parse_args(given)
    try:
        return int(options.action(options) or 0)
    except UsageError as error:
        print(f"spanbook: {error}", file=sys.stderr)
        return 2
    except SpanbookError as error:
        print(f"spanbook: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("spanbook: stopped.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spanbook", description="Run pipelines, and read the files that runs leave."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="run a pipeline and record it",
        description="Run a pipeline and record it. Exit code: 0 it succeeded, 1 it failed, 2 usage.",
        epilog="`spanbook run PIPELINE --help` also shows the pipeline's parameters.",
    )
    _add_run_options(run)
    run.set_defaults(action=_run)
    try:
        from spanbook_runfile.cli import add_commands  # noqa: PLC0415
    except ImportError:
        pass
    else:
        add_commands(commands)
    return parser


def _add_run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("pipeline", metavar="PIPELINE", help="a folder with pipeline.py, a .py file, or module:name")
    run.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the pipeline")
    run.add_argument("--params", type=Path, metavar="FILE", help="a YAML file of parameters")
    run.add_argument("--outputs", type=Path, metavar="DIR", help="where outputs go (SPANBOOK_OUTPUTS; pipeline-outputs)")
    run.add_argument("--cpus", type=int, metavar="N", help="CPUs that tasks may use here (SPANBOOK_CPUS; all)")
    run.add_argument("--ray-address", metavar="ADDRESS", help="a Ray cluster (SPANBOOK_RAY_ADDRESS; start Ray here)")


def _asks_for_pipeline_help(given: Sequence[str]) -> bool:
    return given[:1] == ["run"] and any(g in ("-h", "--help") for g in given) and _target(given) != ""


def _target(given: Sequence[str]) -> str:
    """The pipeline in ``run … PIPELINE … --help``, empty where there is none."""
    parser = argparse.ArgumentParser(add_help=False)
    _add_run_options(parser)
    parser.exit_on_error = False
    for action in parser._actions:  # noqa: SLF001
        if action.dest == "pipeline":
            action.nargs = "?"
    known, _ = parser.parse_known_args([g for g in given[1:] if g not in ("-h", "--help")])
    return known.pipeline or ""


def _pipeline_help(given: Sequence[str]) -> int:
    from spanbook.load import find_pipeline  # noqa: PLC0415
    from spanbook.params import describe  # noqa: PLC0415

    run = argparse.ArgumentParser(
        prog="spanbook run", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_run_options(run)
    try:
        found = find_pipeline(_target(given))
        lines = describe(found.pipeline)
    except UsageError as error:
        print(f"spanbook: {error}", file=sys.stderr)
        return 2
    doc = (found.pipeline.__doc__ or "").strip().split("\n\n")[0]
    run.description = f"Run the pipeline {found.pipeline.name}.\n\n{doc}".rstrip()
    run.epilog = "parameters of the pipeline (--param NAME=VALUE):\n" + (
        "\n".join(f"  {line}" for line in lines) or "  none"
    )
    run.print_help()
    return 0


def _run(options: argparse.Namespace) -> int:
    from spanbook.load import find_pipeline  # noqa: PLC0415
    from spanbook.params import resolve  # noqa: PLC0415
    from spanbook.settings import Settings  # noqa: PLC0415

    settings = Settings.from_env()
    given = {
        key: value
        for key in ("outputs", "cpus", "ray_address")
        if (value := getattr(options, key)) is not None
    }
    settings = replace(settings, **given)
    _prepare_ray(settings.ray_address)
    found = find_pipeline(options.pipeline)
    parameters = resolve(found.pipeline, flags=options.param, file=options.params, env=os.environ)
    graph = found.pipeline.build(parameters)

    from spanbook.run import execute, new_run_id  # noqa: PLC0415
    from spanbook.terminal import PlainView, summary  # noqa: PLC0415

    run_id = new_run_id()
    url = f"{settings.viewer_url.rstrip('/')}/runs/{run_id}/index.html"
    finished = execute(found, graph, parameters, settings, PlainView(), run_id)
    summary(finished, url, sys.stdout)
    if finished.spool is not None:
        print(
            f"The collector did not take all of this run{f' ({finished.refused})' if finished.refused else ''}. "
            f"Its records are in\n  {finished.spool}\nMake a run file of them with\n"
            f"  spanbook import {finished.spool}",
            file=sys.stderr,
        )
    return 0 if finished.ok else 1


def _prepare_ray(address: str) -> None:
    """Set what Ray reads when it is imported: no usage reports, and a token of this run's own."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address and not any(os.environ.get(name) for name in _RAY_TOKEN_VARIABLES):
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


if __name__ == "__main__":
    sys.exit(main())
