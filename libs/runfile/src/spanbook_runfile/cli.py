"""The commands on run files: export, replay, verify, expand, summary and import.

Each returns 0, 1 (the run file is not as it should be, or the other end refused) or 2 (usage).
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spanbook_runfile import expand, export, importing, replay, summary, verify
from spanbook_runfile.decode import parse_run
from spanbook_runfile.errors import FolderInUseError, NoSuchRunError, RunFileError
from spanbook_runfile.find import OUTPUTS, default_runs, find_run
from spanbook_runfile.model import Run
from spanbook_runfile.paths import RUN_ID

_EXIT_CODES = "Exit codes: 0 done and well, 1 the file is not as it should be or the work failed, 2 wrong usage."
Action = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands alone, without the runner's."""
    parser = argparse.ArgumentParser(
        prog="python -m spanbook_runfile", description="Read the files that runs leave."
    )
    add_commands(parser.add_subparsers(title="commands", required=True, metavar="COMMAND"))
    options = parser.parse_args(arguments)
    return int(options.action(options))


def add_commands(commands: Any) -> None:
    """Add the run-file commands to a parser's ``add_subparsers()``.

    Each sets ``action``: a function of the parsed options that gives the exit code.
    """
    told = "write a run file as three OTLP JSON Lines files: traces, logs, metrics"
    command = _command(commands, "export", told, _export)
    command.add_argument("--to", type=Path, required=True, metavar="DIR", help="where to write")

    told = "send a run file to an OTLP/HTTP endpoint, such as Jaeger's or a collector's"
    command = _command(commands, "replay", told, _replay)
    command.add_argument(
        "--endpoint", required=True, metavar="URL", help="such as http://127.0.0.1:4318"
    )

    told = "check a run file: digest, completeness, structure, artifacts"
    _command(commands, "verify", told, _verify)

    told = "write a run file as folders to browse, a folder a task"
    command = _command(commands, "expand", told, _expand)
    command.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new folder")

    told = "tell of a run in Markdown, as for $GITHUB_STEP_SUMMARY"
    command = _command(commands, "summary", told, _summary)
    command.add_argument("--markdown", action="store_true", help="as Markdown (the only form)")
    command.add_argument("--against", metavar="RUN", help="tell the metrics that differ from its")

    told = "make a sealed run file of a runner's spool, or of a run file and its late data"
    command = _parser(commands, "import", told)
    command.set_defaults(action=_guarded(_import))
    command.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="journals of one run, and its run file"
    )
    command.add_argument("--run-id", metavar="ID", help="where the files do not tell it")
    _add_runs(command)


def _command(commands: Any, name: str, told: str, action: Action) -> argparse.ArgumentParser:
    command = _parser(commands, name, told)
    command.set_defaults(action=_guarded(action))
    command.add_argument("run", metavar="RUN", help="a run file, a run id, or its beginning")
    _add_runs(command)
    return command


def _parser(commands: Any, name: str, told: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=told, description=f"{told[0].upper()}{told[1:]}.", epilog=_EXIT_CODES
    )
    return parser


def _add_runs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        help=f"the folder of run files (default: runs/ in {OUTPUTS}, else in pipeline-outputs/)",
    )


def _guarded(action: Action) -> Action:
    """An action whose known faults are told in a line, not in a traceback."""

    def guarded(options: argparse.Namespace) -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):  # whatever a name holds, it can be told
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            code = action(options)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever reads our output has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (RunFileError, OSError, MemoryError, KeyboardInterrupt) as error:
            print(f"spanbook: {_told(error)}", file=sys.stderr)
            return 2 if isinstance(error, NoSuchRunError | FolderInUseError) else 1
        return code

    return guarded


def _told(error: BaseException) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "the memory of this machine is too small for that run file."
    return "stopped." if isinstance(error, KeyboardInterrupt) else str(error)


def _found(options: argparse.Namespace) -> Path:
    return find_run(options.run, options.runs)


def _read(path: Path) -> Run:
    """A run of any size: who names a file trusts it that far."""
    return parse_run(path.read_bytes(), name=path.name)


def _export(options: argparse.Namespace) -> int:
    for path, count in export.export(_found(options), options.to).items():
        print(f"{path}: {count:,} {path.stem if path.stem != 'traces' else 'spans'}")
    return 0


def _replay(options: argparse.Namespace) -> int:
    headers = replay.headers_from_environment()
    sent = replay.replay(_found(options), options.endpoint, headers)
    for signal, (count, rejected) in sent.items():
        refused = f", of which {rejected:,} were rejected" if rejected else ""
        print(f"{signal}: sent {count:,}{refused}")
    return 1 if any(rejected for _, rejected in sent.values()) else 0


def _verify(options: argparse.Namespace) -> int:
    path = _found(options)
    print(path)
    findings = verify.verify(path)
    for finding in findings:
        print(f"{ {True: 'ok  ', False: 'BAD ', None: '-   '}[finding.ok] } {finding.text}")
    return 1 if any(finding.ok is False for finding in findings) else 0


def _expand(options: argparse.Namespace) -> int:
    for problem in expand.expand(_read(_found(options)), options.to):
        print(f"spanbook: {problem}", file=sys.stderr)
    print(options.to)
    return 0


def _summary(options: argparse.Namespace) -> int:
    run = _read(_found(options))
    against = _read(find_run(options.against, options.runs)) if options.against else None
    sys.stdout.buffer.write(summary.markdown(run, against).encode())
    return 0


def _import(options: argparse.Namespace) -> int:
    if options.run_id and not RUN_ID.fullmatch(options.run_id):
        raise NoSuchRunError(
            f"{options.run_id!r} is no run id: those are 32 lower-case hex digits."
        )
    runs = options.runs or default_runs()
    print(importing.import_files(options.files, runs, options.run_id))
    return 0
