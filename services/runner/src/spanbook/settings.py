"""Every setting of the runner: its variable, its default and its meaning, once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from spanbook.errors import UsageError

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one attempt may take and record; travels to the workers with each attempt.

    ``usage_interval`` and ``begin_limit`` are in seconds, the rest in bytes.
    """

    max_file_bytes: int = 64 * _MIB  # SPANBOOK_MAX_FILE_BYTES: one logged file
    max_output_bytes: int = 1 * _MIB  # SPANBOOK_MAX_OUTPUT_BYTES: printed by one attempt
    usage_interval: float = 0.5  # SPANBOOK_USAGE_INTERVAL
    begin_limit: float = (
        300.0  # SPANBOOK_BEGIN_LIMIT: from a worker's start to the user's first line
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a run; flags of the command come before ``SPANBOOK_*`` variables."""

    outputs: Path = Path("pipeline-outputs")  # SPANBOOK_OUTPUTS
    ray_address: str = ""  # SPANBOOK_RAY_ADDRESS: empty starts Ray on this machine
    cpus: int = 0  # SPANBOOK_CPUS: CPUs that Ray may use here, 0 for all
    site_url: str = "http://127.0.0.1:8080"  # SPANBOOK_SITE_URL: where the site is read
    export_wait: float = 60.0  # SPANBOOK_EXPORT_WAIT: seconds to wait at the end for the collector
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """The settings that the environment holds.

        Raises:
            UsageError: a variable is not of its type.
        """
        env = os.environ if env is None else env
        found = _read(cls, env)
        if "site_url" not in found and (port := env.get("SPANBOOK_VIEWER_PORT")):
            found["site_url"] = f"http://127.0.0.1:{port}"
        return cls(**found, limits=Limits(**_read(Limits, env)))


def _read(owner: type, env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in fields(owner):
        name = f"SPANBOOK_{item.name.upper()}"
        text = env.get(name, "")
        if item.name == "limits" or text == "":
            continue
        kind: type[Any] = type(item.default)
        try:
            value = Path(text) if isinstance(item.default, Path) else kind(text)
        except ValueError as error:
            raise UsageError(
                f"{name} is {text!r}, which is no {kind.__name__}. Unset it for {item.default}."
            ) from error
        if isinstance(value, int | float) and value < 0:
            raise UsageError(f"{name} is {text}: it cannot be below 0.")
        found[item.name] = value
    return found
