"""The collector's side of sealing: one sealer process, asked for one run at a time."""

import asyncio
import contextlib
import json
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spanbook_runfile.names import SealReason

log = logging.getLogger(__name__)


class SealFailed(Exception):  # noqa: N818 - an outcome that is tried again
    """A run was not sealed; its journal is as it was."""


class AlreadySealed(SealFailed):
    """There is a run file of that run."""


@dataclass
class Sealer:
    """Seals one run at a time in a process of its own, so that ingest goes on beside it."""

    runs: Path
    lock: int  # inherited, so that the folder stays locked while an orphan may still write
    done: int = 0
    failures: int = 0
    seconds: float = 0.0
    bytes: int = 0
    last_error: str = ""
    _process: asyncio.subprocess.Process | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def seal(self, journal: Path, run_id: str, reason: SealReason) -> Path:
        """Seal a run; its file's path.

        Raises:
            AlreadySealed: there is a file; it was not touched.
            SealFailed: it did not work; nothing was left behind.
        """
        request = {"journal": str(journal), "runs": str(self.runs), "run": run_id, "reason": reason}
        async with self._turn:
            try:
                told = await self._ask(request)
            except BaseException:
                await self.close()  # its answer, if it comes, would be taken for the next one's
                raise
        if "path" in told:
            self.done += 1
            self.seconds += told["seconds"]
            self.bytes += told["bytes"]
            log.info(
                "Sealed run %s (%s): %s bytes in %.2f s.",
                run_id,
                reason,
                f"{told['bytes']:,}",
                told["seconds"],
            )
            return Path(told["path"])
        if told.get("exists"):
            raise AlreadySealed(told["error"])
        self.failures += 1
        self.last_error = f"{run_id}: {told['error']}"
        raise SealFailed(told["error"])

    async def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "spanbook_collector.sealer",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=(self.lock,),
            )
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            code = await process.wait()
            return {"error": f"the sealer's process ended with code {code} (out of memory?)"}
        told: dict[str, Any] = json.loads(line)
        return told

    async def close(self) -> None:
        """End the process; a seal under way is given up, which leaves its journal as it was."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
