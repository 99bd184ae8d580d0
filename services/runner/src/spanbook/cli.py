"""The ``spanbook`` command."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from spanbook import run_command
from spanbook.errors import SpanbookError, UsageError, one_of
from spanbook.init_command import add_init_command
from spanbook.mlflow_store.command import add_import_mlflow_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 (the pipeline failed) or 2 (usage)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if run_command.asks_for_pipeline_help(given):
            return run_command.pipeline_help(given)
        options = _parsed(given)
        return int(options.action(options) or 0)
    except UsageError as error:
        print(f"spanbook: {error}", file=sys.stderr)
        return 2
    except SpanbookError as error:
        print(f"spanbook: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("spanbook: stopped.", file=sys.stderr)
        if "ray" in sys.modules:  # interrupted in its start it crashes when Python ends
            sys.stdout.flush()
            os._exit(1)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parsed(given: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options, unknown = parser.parse_known_args(given)
    if unknown:
        known = _options(parser, given[0])
        word = unknown[0].partition("=")[0]
        raise UsageError(f"`spanbook {given[0]}` takes no {word!r}. {one_of(word, known)}")
    return options


def _options(parser: argparse.ArgumentParser, command: str) -> list[str]:
    """The options of one of the commands."""
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    found = commands.choices[command]
    return [word for action in found._actions for word in action.option_strings]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spanbook", description="Run pipelines, and read the files that runs leave."
    )
    parser.add_argument("--version", action="version", version=f"spanbook {version('spanbook')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run_command.add_run_command(commands)
    add_init_command(commands)
    add_import_mlflow_command(commands)
    try:
        from spanbook_runfile.cli import add_commands  # noqa: PLC0415
    except ImportError:
        pass
    else:
        add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
