"""What the viewer can be told: flags first, then ``SPANBOOK_*`` variables, then defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spanbook_viewer.errors import SettingsError

OUTPUTS = "SPANBOOK_OUTPUTS"
HOST = "SPANBOOK_VIEWER_HOST"
PORT = "SPANBOOK_VIEWER_PORT"
ALLOWED_HOSTS = "SPANBOOK_ALLOWED_HOSTS"
MAX_IMPORT_MB = "SPANBOOK_MAX_IMPORT_MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the site and the run files are, and who may ask for them.

    ``port`` 0 takes any free one. ``allowed_hosts`` are names in a request's Host header beside
    those of this machine itself. ``max_import_bytes`` bounds an upload, and what it unzips to.
    """

    site: Path
    runs: Path
    host: str = "127.0.0.1"
    port: int = 8080
    allowed_hosts: frozenset[str] = frozenset()
    max_import_bytes: int = 64 << 20


def number(text: str, name: str, low: int, high: int) -> int:
    """An integer setting within its bounds; ``name`` is for the message.

    Raises:
        SettingsError: it is no such number.
    """
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise SettingsError(f"{name} is {text!r}; it must be a number from {low} to {high}.")
    return value


def settings_from(env: Mapping[str, str], **flags: str | None) -> Settings:
    """The settings of a command line (None where a flag was not given) and an environment.

    Raises:
        SettingsError: a value cannot be used.
    """

    def choose(flag: str, variable: str, default: str) -> tuple[str, str]:
        given = flags.get(flag)
        if given is not None:
            return given, f"--{flag}"
        return env.get(variable) or default, variable

    outputs = Path(env.get(OUTPUTS) or "pipeline-outputs")
    port, port_name = choose("port", PORT, "8080")
    host, _ = choose("host", HOST, "127.0.0.1")
    hosts, _ = choose("allowed-hosts", ALLOWED_HOSTS, "")
    megabytes = env.get(MAX_IMPORT_MB) or "64"
    return Settings(
        site=Path(flags.get("site") or outputs / "site").absolute(),
        runs=Path(flags.get("runs") or outputs / "runs").absolute(),
        host=host,
        port=number(port, port_name, 0, 65535),
        allowed_hosts=frozenset(name.strip().lower() for name in hosts.split(",") if name.strip()),
        max_import_bytes=number(megabytes, MAX_IMPORT_MB, 1, 4096) << 20,
    )
