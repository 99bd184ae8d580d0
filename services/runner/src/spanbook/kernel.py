"""The notebook's own process: an IPython kernel that takes values from its worker, and records."""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import cloudpickle

from spanbook import log as log_module
from spanbook.emitter import Batch, Emitter
from spanbook.errors import LogError, UpstreamError
from spanbook.figures import show_as_logged
from spanbook.log import Recording
from spanbook.masking import Masker
from spanbook.quota import Quota
from spanbook.settings import Limits

_PR_SET_PDEATHSIG: Final = 1
FLUSH_SECONDS: Final = 60.0  # ipykernel would give up after 10, and lose what is printed
PRINTS_AT_ONCE: Final = (100, 20)  # so many in a burst, then so many a second
SECRETS_SECONDS: Final = 10.0  # for the worker to take note of secrets
_INLINE: Final = "module://matplotlib_inline.backend_inline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a kernel is told when it starts, as the first message on its link."""

    run_id: str
    span_id: str
    limits: Limits
    secrets: frozenset[str]
    upstream: Mapping[str, bytes]  # pickled
    connection_file: str
    notebook: str


class Link:
    """The kernel's connection to its worker: batches and the result go there."""

    def __init__(self, connection: Connection, masker: Masker) -> None:
        self._connection = connection
        self._masker = masker
        self._told = masker.secrets
        self._lock = threading.RLock()

    def tell_secrets(self) -> None:
        """Have the worker know the secrets that the notebook has loaded, before what it prints next."""
        self._masker.refresh()
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        if self._masker.secrets != self._told:
            self._told = self._masker.secrets
            self._connection.send(self._told)
            if self._connection.poll(SECRETS_SECONDS):  # that it knows them
                self._connection.recv()

    def send_batch(self, batch: Batch) -> None:
        """Pass on encoded records, and before them the secrets that the notebook has loaded."""
        with self._lock:
            self._tell()
            self._connection.send(batch)

    def send_result(self, value: object) -> None:
        """Pass on what the notebook hands over.

        Raises:
            LogError: the value cannot be pickled.
        """
        try:
            data = cloudpickle.dumps(value, protocol=5)
        except Exception as error:
            raise LogError(
                f"log.result was given {type(value).__name__}, which cannot be pickled and so not "
                f"be handed to another task: {error}"
            ) from error
        with self._lock:
            self._connection.send(data)


_upstream: Mapping[str, bytes] | None = None


def upstream(name: str, otherwise: Callable[[], Any] | None = None) -> Any:
    """The value that the pipeline hands to this notebook under ``name``.

    Where the notebook runs by hand, ``otherwise()`` makes one.

    Raises:
        UpstreamError: there is no such value, and no ``otherwise``.
    """
    if _upstream is not None and name in _upstream:
        return cloudpickle.loads(_upstream[name])
    if otherwise is not None:
        return otherwise()
    if _upstream is None:
        raise UpstreamError(
            f"upstream({name!r}) has no value: this notebook runs by hand, outside a pipeline. Say "
            f"what to use instead: upstream({name!r}, otherwise=lambda: …)."
        )
    given = ", ".join(map(repr, _upstream)) or "none"
    raise UpstreamError(
        f"The pipeline hands no value {name!r} to this notebook; it hands {given}. Pass it where "
        f"the pipeline calls the notebook: my_notebook({name}=…)."
    )


def run(connection: Connection) -> None:
    """Be a kernel until the worker shuts it down; never returns."""
    setup: Setup = connection.recv()
    masker = Masker(setup.secrets)
    link = Link(connection, masker)
    emitter = Emitter(
        setup.run_id, setup.span_id, link.send_batch, masker=masker, origin="k", at_once=True
    )
    global _upstream  # noqa: PLW0603 (of this process, which runs one notebook)
    _upstream = setup.upstream
    log_module.install(Recording(emitter, setup.limits, link.send_result))
    _run_ipython(setup, emitter, link)


def _run_ipython(setup: Setup, emitter: Emitter, link: Link) -> None:
    from ipykernel.kernelapp import IPKernelApp  # noqa: PLC0415 (seconds, and only here)
    from traitlets.config import Config  # noqa: PLC0415

    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.IPKernelApp.log_level = "CRITICAL"
    app = IPKernelApp.instance(config=config, connection_file=setup.connection_file)
    os.environ["MPLBACKEND"] = _INLINE  # figures are shown, whatever the machine's default
    app.initialize([])  # type: ignore[no-untyped-call]
    shell: Any = app.shell
    for stream in (sys.stdout, sys.stderr):  # what a cell printed is sent before the cell ends
        stream.flush_timeout = FLUSH_SECONDS  # type: ignore[union-attr]
        _print_at_once(stream, link)
    if "matplotlib.pyplot" in sys.modules:  # imported before there was a shell to show figures in
        shell.enable_matplotlib("inline")
        show_as_logged(shell)
    else:
        shell.events.register("pre_run_cell", _FigureHook(shell))

    def cell_done(_: object) -> None:
        link.tell_secrets()
        emitter.flush()

    shell.events.register("post_run_cell", cell_done)
    app.start()  # type: ignore[no-untyped-call]
    # As at any interpreter's end, but threads that the notebook left behind must not hold it up.
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        emitter.flush()
    os._exit(0)


def _print_at_once(stream: Any, link: Link) -> None:
    """Have what is printed leave the kernel at once, not after a fifth of a second: it may crash."""
    quota, write = Quota(*PRINTS_AT_ONCE), stream.write

    def write_and_flush(text: str) -> Any:
        link.tell_secrets()
        written = write(text)
        if text.endswith("\n") and quota.taken():
            stream.flush()
        return written

    stream.write = write_and_flush


class _FigureHook:
    """Sets figures up before the first cell after the one that imports matplotlib."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, _cell: object) -> None:
        if "matplotlib.pyplot" not in sys.modules:
            return
        import matplotlib as mpl  # noqa: PLC0415 (only where the notebook has)

        self._shell.events.unregister("pre_run_cell", self)
        if mpl.get_backend(auto_select=False) == _INLINE:  # the user has chosen no other
            self._shell.enable_matplotlib("inline")
            show_as_logged(self._shell)


def die_with_parent() -> None:
    """Have the kernel killed when the process that started it dies, by the system on Linux."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        return
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(0.5)
    os.killpg(0, signal.SIGKILL)
