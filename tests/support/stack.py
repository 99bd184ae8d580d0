"""The whole stack as local processes, on free ports and in a folder of its own."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.processes import Program, free_ports

ROOT = Path(__file__).parents[2]
DEMO = "pipelines/mnist_digits"
_VARIABLES = ("SPANBOOK_VIEWER_PORT", "SPANBOOK_OTLP_GRPC_PORT", "SPANBOOK_OTLP_HTTP_PORT")


def program(name: str) -> str:
    """A command of this venv."""
    return str(Path(sys.executable).with_name(name))


@dataclass
class Stack:
    """Where a stack keeps its outputs, and which ports it has."""

    outputs: Path
    ports: Mapping[str, int] = field(
        default_factory=lambda: dict(zip(_VARIABLES, free_ports(3), strict=True))
    )
    cwd: Path = ROOT
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of its programs: ours, less what would lead them elsewhere."""
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("SPANBOOK_", "OTEL_", "GITHUB_"))
        }
        ports = {name: str(port) for name, port in self.ports.items()}
        return {**clean, "SPANBOOK_OUTPUTS": str(self.outputs), **ports, **self.extra}

    @property
    def url(self) -> str:
        """The tracker's address."""
        return f"http://127.0.0.1:{self.ports['SPANBOOK_VIEWER_PORT']}"

    @property
    def endpoint(self) -> str:
        """The collector's OTLP address (gRPC)."""
        return f"http://127.0.0.1:{self.ports['SPANBOOK_OTLP_GRPC_PORT']}"

    def start(self, *arguments: str) -> Program:
        """Start ``spanbook …`` in the background."""
        return Program([program("spanbook"), *arguments], self.env, self.cwd)

    def run(self, *arguments: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """Run ``spanbook …`` to its end."""
        return subprocess.run(
            [program("spanbook"), *arguments],
            env=self.env,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def run_files(self) -> list[Path]:
        """The sealed run files, oldest first."""
        return sorted(self.outputs.glob("runs/*.json"), key=lambda path: path.stat().st_mtime_ns)

    def page(self, address: str) -> str:
        """A page of the tracker; empty while there is none."""
        try:
            with urllib.request.urlopen(f"{self.url}/{address}", timeout=10) as response:
                return str(response.read().decode())
        except OSError:
            return ""
