"""The images of the services, built from this tree."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

# as compose runs them
RIGHTS = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


@cache
def build_image(service: str) -> str:
    """Build ``services/<service>`` once per test session; the name of its image."""
    name = f"spanbook-{service}:test"
    dockerfile = f"services/{service}/Dockerfile"
    command = ["docker", "build", "--quiet", "-f", dockerfile, "-t", name, "."]
    subprocess.run(command, cwd=ROOT, check=True, timeout=900)
    return name
