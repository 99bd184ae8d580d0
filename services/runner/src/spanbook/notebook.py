"""Notebook tasks: a Jupytext file, run by papermill in a kernel of its own, and always kept."""

import contextlib
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, Final

import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.translators import PythonTranslator, papermill_translators
from spanbook_runfile.names import ArtifactKind

from spanbook import usage
from spanbook.attempt import AttemptSpec, Control, NotebookSource
from spanbook.document import fitting, pickled, read_notebook, split_arguments, unpickled
from spanbook.emitter import Batch, Emitter, joined
from spanbook.errors import KernelError, TaskError
from spanbook.kernel import Setup
from spanbook.kernels import Kernel, folder_of
from spanbook.log import NOTEBOOK_PATH
from spanbook.output import Output
from spanbook.ticker import ticker

ENGINE: Final = "spanbook"
SNAPSHOT_SECONDS: Final = 1.0
MAX_CELL_OUTPUT: Final = 1 << 20  # characters of printed text that a cell keeps
_CUT: Final = "\n… the rest of this cell's output is cut\n"
_CARRIAGE_RETURN: Final = re.compile(r"[^\n]*\r(?=[^\r\n])")
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

_LOGGER: Final = logging.getLogger("papermill")
_LOGGER.setLevel(logging.ERROR)  # it tells of every step


class NotebookError(TaskError):
    """A cell failed; ``error_type`` and ``stacktrace`` are of the exception raised in it."""

    def __init__(self, message: str, error_type: str = "", stacktrace: str = "") -> None:
        super().__init__(message, error_type, stacktrace)
        self.error_type = error_type
        self.stacktrace = stacktrace

    def __str__(self) -> str:
        return str(self.args[0])


def run_notebook(spec: AttemptSpec, emitter: Emitter, control: Control) -> Any:
    """Execute a notebook; returns what it hands over by ``log.result``, else None.

    However it ends, the notebook as far as it got is recorded as ``notebook.ipynb``; while it runs
    the driver has a recent copy.

    Raises:
        NotebookError: a cell raised.
        KernelError: the kernel did not start, or died.
    """
    assert spec.notebook is not None
    session = _Session(spec, spec.notebook, emitter, control)
    try:
        return session.execute()
    finally:
        session.record()


class _Upstream(str):
    """Stands for a value that the notebook takes by ``upstream(name)``: the call's text."""

    __slots__ = ()


class _Translator(PythonTranslator):  # type: ignore[misc]
    """Writes the parameters cell: plain values as they are, others as ``upstream("name")``."""

    @classmethod
    def translate(cls, val: object) -> str:
        if isinstance(val, _Upstream):
            return str(val)
        return str(super().translate(val))

    @classmethod
    def codify(cls, parameters: Mapping[str, object], comment: str = "Parameters") -> str:
        code = str(super().codify(parameters, comment))
        if any(isinstance(value, _Upstream) for value in parameters.values()):
            head, _, rest = code.partition("\n")
            code = f"{head}\nfrom spanbook import upstream\n\n{rest}"
        return code


class _Engine(NBClientEngine):  # type: ignore[misc]
    """papermill's engine, on a kernel of ours."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, session: "_Session", **_: Any
    ) -> None:
        del kernel_name
        session.run_cells(nb_man)


papermill_engines.register(ENGINE, _Engine)
papermill_translators.register("python", _Translator)
papermill_translators.register("python3", _Translator)


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's client; tells the session of each output."""

    session: "_Session"

    def output(self, outs: list[Any], msg: Any, display_id: Any, cell_index: int) -> Any:
        """Keep a cell's output within bounds, and pass on what is printed."""
        if msg["msg_type"] == "stream":
            self.session.printed(outs, msg["content"])
            return None
        self.session.changed = True
        return super().output(outs, msg, display_id, cell_index)


class _Session:
    """One notebook on its way through a kernel."""

    def __init__(
        self, spec: AttemptSpec, source: NotebookSource, emitter: Emitter, control: Control
    ) -> None:
        self.spec = spec
        self.source = source
        self.emitter = emitter
        self.control = control
        self.changed = False
        self.notebook = read_notebook(source)
        self._output = Output(emitter, spec.limits.max_output_bytes)
        self._result: bytes | None = None
        self._pickled: Mapping[str, bytes] = {}
        self._snapshots = threading.Lock()
        self._next_snapshot = time.monotonic() + SNAPSHOT_SECONDS

    def execute(self) -> Any:
        """Run all cells.

        Raises:
            NotebookError, KernelError: as for :func:`run_notebook`.
        """
        literals, upstream = split_arguments(self.spec.arguments)
        self._pickled = {name: pickled(name, value) for name, value in upstream.items()}
        parameters = {**literals, **{name: _Upstream(f'upstream("{name}")') for name in upstream}}
        self.control.on_stop(lambda: self.stash(last=True))
        ticker.add(self._tick)
        try:
            papermill.execute_notebook(
                self.notebook,
                None,
                parameters=parameters,
                engine_name=ENGINE,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                session=self,
            )
        except PapermillExecutionError as error:
            raise _cell_error(error) from None
        finally:
            ticker.remove(self._tick)
            self._output.close()
        return None if self._result is None else unpickled(self._result)

    def run_cells(self, manager: Any) -> None:
        """Start a kernel and execute the parameterized notebook; papermill's engine calls this.

        Raises:
            KernelError: the kernel did not start, or died.
        """
        self.notebook = manager.nb
        self.notebook.metadata.papermill.input_path = self.source.path  # not the notebook itself
        kernel = Kernel(folder_of(self.source.folder), os.environ)
        reader = threading.Thread(target=self._read, args=(kernel.link,), name="spanbook-kernel")
        client = _Client(manager, km=kernel.manager, kernel_name="python3", log=_LOGGER)
        client.session = self
        client.on_notebook_start = lambda **_: self.control.running()
        client.on_cell_executed = self._cell_done
        try:
            kernel.link.send(self._setup(kernel))
            reader.start()
            with usage.including(kernel.process.pid):
                client.execute()
        except (DeadKernelError, EOFError, OSError) as error:
            raise _kernel_error(kernel.process.poll()) from error
        finally:
            if client.kc is not None:
                client.kc.stop_channels()
            kernel.close()
            if reader.ident is not None:
                reader.join(10)

    def _setup(self, kernel: Kernel) -> Setup:
        return Setup(
            run_id=self.spec.run_id,
            span_id=self.spec.span_id,
            limits=self.spec.limits,
            secrets=self.emitter.masker.secrets,
            upstream=self._pickled,
            connection_file=kernel.connection_file,
            notebook=self.source.path,
        )

    def _read(self, link: Connection) -> None:
        """Take what the kernel sends, until it ends."""
        while True:
            try:
                message = link.recv()
            except (EOFError, OSError):
                return
            if isinstance(message, Batch):
                self.emitter.forward(message)
            elif isinstance(message, bytes):
                self._result = message
            elif isinstance(message, frozenset):
                self.emitter.masker.add(message)
                with contextlib.suppress(OSError):  # the kernel waits to hear that they are known
                    link.send(True)

    def printed(self, outputs: list[Any], content: Mapping[str, str]) -> None:
        """Add printed text to a cell's outputs, one a stream, and to the attempt's lines."""
        name, text = content["name"], content["text"]
        self._output.write("stderr" if name == "stderr" else "stdout", text)
        last = outputs[-1] if outputs else None
        if last is None or last.output_type != "stream" or last.name != name:
            last = NotebookNode(  # type: ignore[no-untyped-call]
                output_type="stream", name=name, text=""
            )
            outputs.append(last)
        if len(last.text) < MAX_CELL_OUTPUT:
            self.changed = True
            start = last.text.rfind("\n") + 1
            shown = _CARRIAGE_RETURN.sub("", last.text[start:] + text)
            last.text = last.text[:start] + shown
            if len(last.text) >= MAX_CELL_OUTPUT:
                last.text = last.text[:MAX_CELL_OUTPUT] + _CUT

    def _cell_done(self, **_: Any) -> None:
        self.changed = True

    def _tick(self) -> None:
        if self.changed and time.monotonic() >= self._next_snapshot:
            self.stash()

    def stash(self, *, last: bool = False) -> None:
        """Give the driver a copy of the notebook as it is, for the case that this process dies.

        The ``last`` one has the line, too, that is printed and not ended yet.
        """
        with self._snapshots:
            self.changed = False
            batches: list[Batch] = []
            scratch = Emitter(
                self.spec.run_id,
                self.spec.span_id,
                batches.append,
                masker=self.emitter.masker,
                origin=f"s{time.monotonic_ns()}.",
            )
            began = time.monotonic()
            if last:
                self._output.copy_rest(scratch)
            self._record(scratch)
            batches.append(scratch.close())
            self.control.stash(joined(batches))
            # One with many figures takes long to copy: at most a tenth of the time goes there.
            took = time.monotonic() - began
            self._next_snapshot = time.monotonic() + max(SNAPSHOT_SECONDS, 10 * took)

    def record(self) -> None:
        """Record the notebook as it is."""
        with self._snapshots:
            self._record(self.emitter)

    def _record(self, emitter: Emitter) -> None:
        emitter.masker.refresh()
        text = fitting(self.notebook, self.spec.limits.max_file_bytes)
        data = emitter.masker.data(text.encode("utf-8", "replace"))
        emitter.artifact(
            NOTEBOOK_PATH,
            data,
            media_type="application/x-ipynb+json",
            kind=ArtifactKind.NOTEBOOK,
            meta={"source": self.source.path} if self.source.path else None,
        )


def _cell_error(error: PapermillExecutionError) -> NotebookError:
    trace = _ANSI.sub("", "\n".join(error.traceback)) or f"{error.ename}: {error.evalue}"
    where = f"in cell [{error.exec_count}] of the notebook"
    message = _ANSI.sub("", f"{error.evalue} ({where})" if error.evalue else where)
    return NotebookError(message, error.ename, trace)


def _kernel_error(code: int | None) -> KernelError:
    if code is None:
        return KernelError("The notebook's kernel does not answer any more.")
    if code >= 0:
        return KernelError(f"The notebook's kernel ended in mid-run with exit code {code}.")
    name = next((s.name for s in signal.Signals if s == -code), f"signal {-code}")
    hint = " The system does so when memory runs out." if code == -signal.SIGKILL else ""
    return KernelError(f"The notebook's kernel was killed by {name}.{hint}")
