"""Every setting of the collector: a flag, else its ``SPANBOOK_*`` variable, else the default."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one collector works; times are seconds, sizes bytes."""

    runs: Path
    journals: Path
    late: Path
    host: str = "127.0.0.1"
    grpc_port: int = 4317
    http_port: int = 4318
    ready_file: Path | None = None
    grace: float = 30.0
    idle: float = 900.0
    mlflow_idle: float = 86_400.0
    mlflow_linger: float = 5.0
    drain: float = 10.0
    fsync: str = "always"
    max_message_bytes: int = 20 * MIB
    max_file_bytes: int = 64 * MIB
    max_inflight_bytes: int = 256 * MIB
    max_connections: int = 2000
    max_runs: int = 1000
    max_run_bytes: int = 4096 * MIB
    min_free_bytes: int = 256 * MIB
    read_timeout: float = 30.0
    log_level: str = "info"

    @classmethod
    def under(cls, outputs: Path, **others: Any) -> "Settings":
        """Settings with the usual folders of an outputs folder."""
        folders = {name: outputs / name for name in ("runs", "journals", "late")}
        return cls(**{**folders, **others})


def _size(text: str) -> int:
    """Bytes, with an optional K, M, G or T (powers of 1024)."""
    number, unit = text.strip().upper().removesuffix("IB").removesuffix("B"), 0
    if number[-1:] in {"K", "M", "G", "T"}:
        number, unit = number[:-1], " KMGT".index(number[-1])
    value = int(float(number) * 1024**unit)
    if value < 0:
        raise ValueError(text)
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < 10 * 365 * 86400:
        raise ValueError(text)
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


_KINDS: dict[Callable[[str], Any], str] = {
    _size: "a size such as 500000, 20M or 4G",
    _seconds: "a number of seconds, not negative",
    _port: "a port from 0 to 65535",
    _count: "a whole number from 1 on",
}

# flag, variable, how to read it, what it means; defaults are the fields of Settings.
_OPTIONS: tuple[tuple[str, str, Callable[[str], Any], str], ...] = (
    ("--host", "SPANBOOK_COLLECTOR_HOST", str, "address to listen on; containers need 0.0.0.0"),
    ("--grpc-port", "SPANBOOK_OTLP_GRPC_PORT", _port, "OTLP/gRPC port; 0 takes a free one"),
    (
        "--http-port",
        "SPANBOOK_OTLP_HTTP_PORT",
        _port,
        "port for OTLP/HTTP, /healthz and /metrics; 0 takes a free one",
    ),
    (
        "--grace",
        "SPANBOOK_GRACE",
        _seconds,
        "seconds to wait, after the last data, for the rest of a run whose run span came",
    ),
    (
        "--idle",
        "SPANBOOK_IDLE",
        _seconds,
        "seconds without data after which a run without a run span is sealed as it is",
    ),
    (
        "--mlflow-idle",
        "SPANBOOK_MLFLOW_IDLE",
        _seconds,
        "the same for a run that MLflow made outside a pipeline, and that its script has not ended",
    ),
    (
        "--mlflow-linger",
        "SPANBOOK_MLFLOW_LINGER",
        _seconds,
        "seconds without data after which an ended one is sealed: what a script logs behind the end",
    ),
    ("--drain", "SPANBOOK_DRAIN", _seconds, "seconds that a stop waits for requests and seals"),
    (
        "--max-message-bytes",
        "SPANBOOK_MAX_MESSAGE_BYTES",
        _size,
        "largest request, counted after decompression",
    ),
    ("--max-file-bytes", "SPANBOOK_MAX_FILE_BYTES", _size, "largest file that MLflow logs"),
    (
        "--max-inflight-bytes",
        "SPANBOOK_MAX_INFLIGHT_BYTES",
        _size,
        "request bytes held in memory at once; more are asked to come again",
    ),
    (
        "--max-connections",
        "SPANBOOK_MAX_CONNECTIONS",
        _count,
        "connections at once, of each port; more are closed",
    ),
    ("--max-runs", "SPANBOOK_MAX_RUNS", _count, "runs in progress at once"),
    ("--max-run-bytes", "SPANBOOK_MAX_RUN_BYTES", _size, "bytes of one run's journal"),
    (
        "--min-free-bytes",
        "SPANBOOK_MIN_FREE_BYTES",
        _size,
        "disk floor: with less free than this, data is refused until there is more",
    ),
    (
        "--read-timeout",
        "SPANBOOK_READ_TIMEOUT",
        _seconds,
        "seconds that a client has to send one request",
    ),
)


def parser() -> argparse.ArgumentParser:
    """The command line, complete with variables and defaults."""
    out = argparse.ArgumentParser(
        prog="spanbook-collector",
        description="Receives OpenTelemetry data (OTLP), keeps each run in a journal, and seals it "
        "into one run file. What it acknowledges is on disk.",
        epilog="Exit codes: 0 stopped on request, 1 a fault, 2 wrong usage. Each option can be "
        "given as the variable named beside it; the option wins.",
    )
    out.add_argument("--version", action="version", version=version("spanbook-collector"))
    folders = out.add_argument_group("folders")
    folders.add_argument(
        "--outputs",
        metavar="DIR",
        help="folder of runs/, journals/ and late/ (SPANBOOK_OUTPUTS; default: pipeline-outputs)",
    )
    for name, what in (
        ("runs", "sealed run files"),
        ("journals", "runs in progress"),
        ("late", "data that came after the seal"),
    ):
        folders.add_argument(
            f"--{name}",
            metavar="DIR",
            help=f"folder for {what} (SPANBOOK_{name.upper()}; default: {name}/ in --outputs)",
        )
    for flag, variable, read, what in _OPTIONS:
        default = Settings.__dataclass_fields__[_field(flag)].default
        out.add_argument(
            flag,
            metavar=_metavar(read),
            help=f"{what} ({variable}; default: {_shown(read, default)})",
        )
    out.add_argument(
        "--fsync",
        choices=("always", "never"),
        help="always: what is acknowledged survives a power cut; never: only a crash of the "
        "collector, for tests and disks in memory (SPANBOOK_FSYNC; default: always)",
    )
    out.add_argument(
        "--ready-file",
        metavar="PATH",
        help="write the chosen addresses there as JSON once listening (SPANBOOK_READY_FILE)",
    )
    out.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="what is logged, to stderr (SPANBOOK_LOG_LEVEL; default: info)",
    )
    return out


def _field(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _metavar(read: Callable[[str], Any]) -> str:
    names: dict[Callable[[str], Any], str] = {
        _size: "SIZE",
        _seconds: "SECONDS",
        _port: "PORT",
        _count: "N",
    }
    return names.get(read, "TEXT")


def _shown(read: Callable[[str], Any], value: object) -> str:
    if read is _size and isinstance(value, int):
        return f"{value // MIB}M"
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; on wrong usage tell what is wrong and exit with 2."""
    cli = parser()
    given = vars(cli.parse_args(arguments))
    values: dict[str, Any] = {}
    for flag, variable, read, _ in _OPTIONS:
        text, source = given[_field(flag)], flag
        if text is None and environ.get(variable):
            text, source = environ[variable], variable
        if text is None:
            continue
        try:
            values[_field(flag)] = read(text)
        except (ValueError, OverflowError):
            cli.error(f"{source} is {text!r}; it takes {_KINDS.get(read, 'a text')}.")
    for name, allowed in (
        ("fsync", ("always", "never")),
        ("log_level", ("debug", "info", "warning", "error")),
    ):
        variable = "SPANBOOK_" + name.upper()
        chosen = given[name] or environ.get(variable)
        if chosen and chosen not in allowed:
            cli.error(f"{variable} is {chosen!r}; it takes one of {', '.join(allowed)}.")
        if chosen:
            values[name] = chosen
    if ready := given["ready_file"] or environ.get("SPANBOOK_READY_FILE"):
        values["ready_file"] = Path(ready)
    for name in ("runs", "journals", "late"):
        if folder := given[name] or environ.get("SPANBOOK_" + name.upper()):
            values[name] = Path(folder)
    outputs = given["outputs"] or environ.get("SPANBOOK_OUTPUTS") or "pipeline-outputs"
    return Settings.under(Path(outputs), **values)
