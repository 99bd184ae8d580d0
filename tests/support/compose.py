"""A project of the root's compose file, apart from any other."""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.stack import ROOT, Stack

OWNER = os.getuid() or 12345  # root's CI shows that it is not root who owns the outputs


@dataclass
class Compose:
    """One project of the root's compose file, moved out of the way of any other by a .env file."""

    project: str
    env_file: Path
    stack: Stack
    profile: str = ""

    @property
    def command(self) -> list[str]:
        """``docker compose`` for this project."""
        profile = ["--profile", self.profile] if self.profile else []
        return [
            *("docker", "compose", "--env-file", str(self.env_file), "-p", self.project, *profile)
        ]

    @property
    def env(self) -> dict[str, str]:
        """The environment without variables that come before the .env file's."""
        return {k: v for k, v in os.environ.items() if not k.startswith(("SPANBOOK_", "GITHUB_"))}

    def call(self, *arguments: str, seconds: float = 300, given: str = "") -> str:
        """Run ``docker compose …`` with ``given`` as its input; what it printed."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=ROOT,
            env=self.env,
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of each service's container."""
        ids = self.call("ps", "--all", "--quiet").split()
        if not ids:
            return {}
        listed = subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True)
        label = "com.docker.compose.service"
        return {c["Config"]["Labels"][label]: c for c in json.loads(listed.stdout)}

    def runner_exit_code(self) -> int | None:
        """The runner's exit code, once it has one."""
        state = self.containers().get("runner", {}).get("State", {})
        return int(state["ExitCode"]) if state.get("Status") == "exited" else None


@contextmanager
def project(folder: Path, profile: str = "") -> Iterator[Compose]:
    """A project of its own, with free ports; nothing of it is left behind."""
    stack = Stack(folder / "outputs")
    stack.outputs.mkdir()
    folder.parent.chmod(0o755)  # pytest's folders are closed to the containers' user
    folder.chmod(0o755)
    settings = {
        **stack.ports,
        "SPANBOOK_UID": OWNER,
        "SPANBOOK_GID": OWNER,
        "SPANBOOK_OUTPUTS_DIR": stack.outputs,
    }
    env_file = folder / ".env"
    env_file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    made = Compose(f"spanbook-test-{secrets.token_hex(4)}", env_file, stack, profile)
    try:
        yield made
    finally:
        made.call("down", "--volumes", "--remove-orphans")
