"""Local mode: collector, site-builder and viewer as processes beside the run."""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spanbook.errors import PortInUseError, ServiceError, UsageError

START_SECONDS = 60.0
SEAL_SECONDS = 60.0
PAGE_SECONDS = 30.0
_PORTS = {  # what listens there: field, variable, flag, default
    "the viewer": ("viewer", "SPANBOOK_VIEWER_PORT", "--port", 8080),
    "the collector (OTLP/gRPC)": ("grpc", "SPANBOOK_OTLP_GRPC_PORT", "--otlp-grpc-port", 4317),
    "the collector (OTLP/HTTP)": ("http", "SPANBOOK_OTLP_HTTP_PORT", "--otlp-http-port", 4318),
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the services listen, on 127.0.0.1."""

    viewer: int
    grpc: int
    http: int

    @classmethod
    def choose(cls, flags: Mapping[str, int | None], env: Mapping[str, str]) -> "Ports":
        """Ports from flags, else the environment, else the usual ones; 0 takes any that is free.

        Raises:
            UsageError: one is no port number.
        """
        found = {}
        for field, variable, flag, default in _PORTS.values():
            value: Any = flags.get(field)
            origin = flag if value is not None else variable
            value = value if value is not None else env.get(variable) or default
            if not str(value).isdecimal() or not 0 <= int(value) <= 65535:
                raise UsageError(f"{origin} is {value!r}, which is no port number (0 to 65535).")
            found[field] = int(value) or _free_port()
        return cls(**found)


class Services:
    """The running services, ours or those of the call that this one joined."""

    def __init__(self, ports: Ports, outputs: Path, *, joined: bool) -> None:
        self.ports = ports
        self.outputs = outputs
        self.joined = joined

    @property
    def url(self) -> str:
        """The tracker's address."""
        return f"http://127.0.0.1:{self.ports.viewer}"

    def log(self, name: str) -> Path:
        """Where a service's output goes."""
        return self.outputs / ".local" / f"{name}.log"

    def lead_here(self) -> None:
        """Make the runner of this process, and its workers, export to the collector here."""
        for name in tuple(os.environ):
            if name.startswith("OTEL_EXPORTER_OTLP_"):
                del os.environ[name]
        os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{self.ports.grpc}"
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            os.environ.setdefault(
                "SPANBOOK_MLFLOW_URI", f"http://127.0.0.1:{self.ports.http}/mlflow"
            )

    def wait_for_page(self, run_id: str) -> Path:
        """Wait until the run is sealed and the site shows it so; returns its page.

        Raises:
            ServiceError: that takes too long.
        """
        file = self.outputs / "runs" / f"{run_id}.json"
        page = self.outputs / "site" / "runs" / run_id / "index.html"
        if not _wait(file.exists, SEAL_SECONDS):
            raise ServiceError(
                f"The collector has not sealed the run within {SEAL_SECONDS:g} s. Its log is "
                f"{self.log('collector')}; the run's journal is in {self.outputs / 'journals'}."
            )
        sealed = file.stat().st_mtime_ns

        def shown() -> bool:
            return page.exists() and page.stat().st_mtime_ns >= sealed

        if not _wait(shown, PAGE_SECONDS):
            raise ServiceError(
                f"The run is sealed ({file}), but the site does not show it after {PAGE_SECONDS:g} s. "
                f"The site-builder's log is {self.log('site-builder')}."
            )
        return page


@contextlib.contextmanager
def services(
    outputs: Path,
    ports: Ports,
    say: Callable[[str], None],
    keep: Callable[[Services], None],
    interruptible: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Iterator[Services]:
    """Have the services run on ``outputs``; a call while others run joins theirs.

    Who started them ends them, after ``keep`` has returned and the last call that joined them is
    over, or Ctrl-C is pressed within ``interruptible``. They also end when this process dies.

    Raises:
        PortInUseError: another program has one of the ports.
        ServiceError: a service ended at once.
        UsageError: one is not installed.
    """
    outputs.mkdir(parents=True, exist_ok=True)
    state = outputs.resolve() / ".local"
    state.mkdir(exist_ok=True)
    with (state / "users.lock").open("ab") as users, (state / "owner.lock").open("ab") as owner:
        fcntl.flock(users, fcntl.LOCK_SH)  # while it is held, no owner ends the services
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            theirs = _read_state(state)
            say(f"Joining the services that run already: http://127.0.0.1:{theirs.viewer}")
            yield Services(theirs, outputs, joined=True)
            return
        (state / "services.json").unlink(missing_ok=True)
        _check_free(ports)
        keeper = _start(outputs.resolve(), state, ports)
        try:
            (state / "services.json").write_text(json.dumps(asdict(ports)))
            running = Services(ports, outputs, joined=False)
            yield running
            keep(running)
            with contextlib.suppress(KeyboardInterrupt), interruptible():
                _wait_for_users(users, say)
        finally:
            (state / "services.json").unlink(missing_ok=True)
            _end(keeper)


def _end(keeper: "subprocess.Popen[bytes]") -> None:
    """End the services; returns when they are gone."""
    assert keeper.stdin
    keeper.stdin.close()
    keeper.wait()


def _wait_for_users(users: Any, say: Callable[[str], None]) -> None:
    """Wait until nobody else uses the services."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another run still uses these services; they end when it does (Ctrl-C ends them now).")
        fcntl.flock(users, fcntl.LOCK_EX)


def _read_state(state: Path) -> Ports:
    """The ports of the services that another call started."""
    file = state / "services.json"
    found: list[Ports] = []

    def look() -> bool:
        with contextlib.suppress(OSError, ValueError, TypeError):
            found.append(Ports(**json.loads(file.read_text())))
        return bool(found)

    if not _wait(look, START_SECONDS):
        raise ServiceError(
            f"Another `spanbook run --local` holds {state / 'owner.lock'}, but does not say where its "
            "services are. End it, or use another --outputs."
        )
    return found[0]


def _start(outputs: Path, state: Path, ports: Ports) -> "subprocess.Popen[bytes]":
    runs, site, journals = outputs / "runs", outputs / "site", outputs / "journals"
    for folder in (runs, site, journals):
        folder.mkdir(exist_ok=True)
    commands = {
        "collector": [
            *_command("spanbook-collector"),
            *("--outputs", str(outputs), "--host", "127.0.0.1"),
            *("--grpc-port", str(ports.grpc), "--http-port", str(ports.http)),
        ],
        "site-builder": [
            *_command("spanbook-site"),
            *(
                "build",
                "--watch",
                "--runs",
                str(runs),
                "--out",
                str(site),
                "--journals",
                str(journals),
            ),
        ],
        "viewer": [
            *_command("spanbook-viewer"),
            *(
                "--site",
                str(site),
                "--runs",
                str(runs),
                "--host",
                "127.0.0.1",
                "--port",
                str(ports.viewer),
            ),
        ],
    }
    keeper = subprocess.Popen(
        [
            *(sys.executable, "-m", "spanbook.keeper", str(state)),
            *(f"{name}={json.dumps(command)}" for name, command in commands.items()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C in a terminal must not end them before the records are in
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert keeper.stdout
    try:
        ready = keeper.stdout.readline()
    except BaseException:  # Ctrl-C
        _end(keeper)
        raise
    if not ready:
        raise ServiceError("The services of local mode did not start.")
    return keeper


def _command(name: str) -> list[str]:
    """A service's command: beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise UsageError(
            f"--local needs {name}, which is not installed beside this Python ({sys.executable}). "
            f"Install it: pip install {name}."
        )
    return [found]


def _check_free(ports: Ports) -> None:
    for what, (field, variable, flag, _) in _PORTS.items():
        port = getattr(ports, field)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError as error:
                raise PortInUseError(
                    f"Port {port}, where {what} should listen, is taken ({error.strerror}). Stop the "
                    f"program that has it, or choose another with {flag} or {variable} (0: any)."
                ) from error


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
