"""Attempts that have begun, and the real MLflow client."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from mlflow_rest import Attempt

CLIENT = os.environ.get("SPANBOOK_MLFLOW_CLIENT", sys.executable)


@pytest.fixture
def attempt(collector: Callable[..., Any]) -> Attempt:
    """An attempt that has begun."""
    return Attempt(collector("--grace=60")).begin()


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., str]:
    """Runs a script with the real MLflow client, unmodified, in a process of its own."""
    if sys.executable == CLIENT and find_spec("mlflow") is None:
        pytest.skip("needs mlflow-skinny (requirements/dev.in), or SPANBOOK_MLFLOW_CLIENT")

    def run(code: str, uri: str, **env: str) -> str:
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(code))
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "OTEL_"))}
        own = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
        done = subprocess.run(
            [CLIENT, str(script)],
            env={**clean, **own, **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
