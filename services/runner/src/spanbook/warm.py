"""Starts a kernel host early, so that the first notebook finds its imports done."""

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from typing import Final

from spanbook.scratch import Scratch
from spanbook.tracking import USUAL

HOST_VARIABLE: Final = "SPANBOOK_KERNEL_HOST"  # the socket of this machine's host, if there is one

_IMPORT: Final = re.compile(r"""^[\s">]*(?:import|from)\s+([A-Za-z_][\w.]*)""", re.MULTILINE)
# The host has the first already; a process which has imported one of the rest must not be forked.
_NOT_FORKED: Final = frozenset(
    {"spanbook", "grpc", "jax", "polars", "pyspark", "ray", "tensorflow"}
)
_SITE_PACKAGES: Final = tuple(sysconfig.get_path(kind) + os.sep for kind in ("purelib", "platlib"))
_ALONG: Final = {  # what a module loads when first used
    "matplotlib": ("matplotlib.pyplot", "matplotlib.backends.backend_agg"),
    "pandas": ("pandas.io.formats.html",),
}


@contextlib.contextmanager
def kernel_host(notebooks: Iterable[str]) -> Iterator[None]:
    """Have a kernel host on this machine meanwhile, warm for these notebooks (their text).

    Processes started meanwhile find it by their environment. Without notebooks there is none.
    """
    texts = list(notebooks)
    if not texts:
        yield
        return
    # Elsewhere than on Linux, system libraries are known to fail in a fork of what has loaded them.
    host = KernelHost(imports_of(texts) if sys.platform == "linux" else ())
    os.environ[HOST_VARIABLE] = host.address
    try:
        yield
    finally:
        del os.environ[HOST_VARIABLE]
        host.close()


def imports_of(texts: Iterable[str]) -> list[str]:
    """The installed modules that notebooks import, to be imported by the kernel host.

    A module of the user's own is left to the notebook: it may do things when imported.
    """
    found = dict.fromkeys(name for text in texts for name in _IMPORT.findall(text))
    wanted: dict[str, None] = {}
    for name in found:
        top = name.partition(".")[0]
        if top in _NOT_FORKED or not _is_installed(top):
            continue
        wanted[name] = None
        wanted.update(dict.fromkeys(_ALONG.get(top, ())))
    return list(wanted)


def _is_installed(top: str) -> bool:
    if top in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    return spec is not None and (spec.origin or "").startswith(_SITE_PACKAGES)


class KernelHost:
    """A host process started by this one; it ends when this process does."""

    def __init__(self, preload: Iterable[str] = ()) -> None:
        self._scratch = Scratch()
        self.address = str(self._scratch.path / "host")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(64)
            owner, self._owner = os.pipe()  # our end closes when we die, however we die
            command = [
                sys.executable,
                "-m",
                "spanbook.kernelhost",
                str(listener.fileno()),
                str(owner),
            ]
            self._process = subprocess.Popen(
                [*command, *preload],
                pass_fds=(listener.fileno(), owner),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={
                    **USUAL,  # for an MLflow that is imported here
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
            )
            os.close(owner)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the host still serves."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the host, and any kernel that it still has."""
        with contextlib.suppress(OSError):
            os.close(self._owner)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._scratch.close()
