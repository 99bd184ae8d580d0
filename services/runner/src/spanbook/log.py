"""``log``: what a task says about itself, the same in functions, notebooks, threads and modules."""

import contextlib
import math
import numbers
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spanbook_runfile.names import KEY, ArtifactKind, Event

from spanbook import artifacts
from spanbook.artifacts import Content, check_size, checked_key, checked_path
from spanbook.errors import LogError
from spanbook.settings import Limits
from spanbook.withholding import published, withhold

if TYPE_CHECKING:
    from spanbook.emitter import Emitter

NOTEBOOK_PATH = "notebook.ipynb"  # where an attempt's evaluated notebook is recorded


@dataclass(slots=True)
class Recording:
    """Where ``log`` records to while an attempt runs in this process."""

    emitter: "Emitter"
    limits: Limits
    hand_over: Callable[[Any], None] | None = None  # in a notebook
    keys: set[object] = field(default_factory=set)  # metric keys that were found good


_recording: Recording | None = None


@contextlib.contextmanager
def recording(
    emitter: "Emitter", limits: Limits, hand_over: Callable[[Any], None] | None = None
) -> Iterator[None]:
    """Make ``log`` record to ``emitter`` meanwhile, on all threads of this process."""
    global _recording  # noqa: PLW0603 (a process runs one attempt at a time, threads included)
    before, _recording = _recording, Recording(emitter, limits, hand_over)
    try:
        yield
    finally:
        _recording = before


def install(target: Recording) -> None:
    """Make ``log`` record to ``target`` from now on: for a process that runs one notebook."""
    global _recording  # noqa: PLW0603
    _recording = target


def _forget() -> None:
    """A forked child has a copy of the emitter that nobody reads; there ``log`` prints."""
    global _recording  # noqa: PLW0603
    _recording = None


os.register_at_fork(after_in_child=_forget)


class Log:
    """Records metrics, values, parameters, tags, figures, tables and files of the running task.

    Outside a run each call prints one line instead, so that functions and notebooks just run.
    """

    def metric(self, key: str, value: float | None, step: int | None = None) -> None:
        """Record one point of a metric: any number, numpy's and pandas' too; None counts as NaN.

        Raises:
            LogError: the value is no number, or the step no whole number.
        """
        if type(value) is not float:
            value = _number(key, value)
        if step is not None and type(step) is not int:
            step = _step(key, step)
        target = _recording
        if target is None:
            _say("metric", key, f"{value:g}" + ("" if step is None else f" (step {step})"))
            return
        if key not in target.keys:
            target.keys.add(checked_key(key, "metric"))
        target.emitter.metric(key, value, step)

    def metrics(self, values: Mapping[str, float | None], step: int | None = None) -> None:
        """Record one point of several metrics."""
        for key, value in values.items():
            self.metric(key, value, step)

    def value(self, key: str, value: object) -> None:
        """Record any value that JSON can hold; a number becomes a metric.

        Dates become text; numpy arrays and pandas series become lists.
        """
        if _is_number(value):
            self.metric(key, value)  # type: ignore[arg-type]
        else:
            self._event(Event.VALUE, "value", key, value)

    def values(self, values: Mapping[str, object]) -> None:
        """Record several values."""
        for key, value in values.items():
            self.value(key, value)

    def param(self, key: str, value: object) -> None:
        """Record a parameter; a task function's arguments are recorded without asking."""
        self._event(Event.PARAMETER, "parameter", key, value)

    def params(self, values: Mapping[str, object]) -> None:
        """Record several parameters."""
        for key, value in values.items():
            self.param(key, value)

    def tag(self, key: str, value: object) -> None:
        """Record a tag: a short text to find the run by."""
        self._event(Event.TAG, "tag", key, str(value))

    def figure(self, path: str, figure: object) -> None:
        """Record a figure: matplotlib and Pillow as PNG or what the suffix says, plotly as HTML.

        Raises:
            LogError: it is no figure.
        """
        from spanbook.figures import figure_content  # noqa: PLC0415 (a task without any pays nothing)

        name, content = figure_content(checked_path(path), figure)
        self._artifact(name, content, ArtifactKind.FIGURE)

    def table(self, path: str, table: object) -> None:
        """Record a table as CSV, or as Parquet where the path ends in ``.parquet``.

        Raises:
            LogError: it is no data frame, list of dicts or dict of columns.
        """
        name, content, meta = artifacts.table_content(checked_path(path), table)
        self._artifact(name, content, ArtifactKind.TABLE, meta)

    def file(
        self,
        path: str,
        content: bytes | Path,
        media_type: str | None = None,
        *,
        model: bool = False,
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """Record a file: bytes, or the :class:`~pathlib.Path` of one.

        Args:
            path: the name under which it is shown, relative, with forward slashes.
            content: the bytes, or where they lie.
            media_type: by default what the suffix of ``path`` stands for.
            model: whether it is a trained model.
            meta: more about it, such as a model's input.

        Raises:
            LogError: the name or content will not do.
            ValueTooLargeError: it is over ``SPANBOOK_MAX_FILE_BYTES``.
        """
        name = checked_path(path)
        kind = ArtifactKind.MODEL if model else ArtifactKind.FILE
        self._artifact(name, artifacts.file_content(name, content, media_type), kind, meta)

    def model(
        self,
        path: str,
        content: bytes | Path,
        *,
        input: Mapping[str, object] | None = None,  # noqa: A002 (the word that users know)
        media_type: str | None = None,
        meta: Mapping[str, object] | None = None,
    ) -> None:
        """Record a trained model, with what it takes as ``input``: its shape, its labels."""
        about = {**(meta or {}), **({"input": dict(input)} if input else {})}
        self.file(path, content, media_type, model=True, meta=about)

    def dir(self, path: str, folder: str | Path) -> None:
        """Record every file below a folder, under ``path``.

        Raises:
            LogError: there is no such folder.
        """
        base = checked_path(path)
        for relative, file in artifacts.folder_files(Path(folder)):
            self.file(f"{base}/{relative}", file)

    def text(self, path: str, text: str) -> None:
        """Record text as a file; ``.txt`` where the path has no suffix."""
        if not isinstance(text, str):
            raise LogError(f"log.text({path!r}, …) takes text, not {type(text).__name__}.")
        name = _suffixed(checked_path(path), ".txt")
        media_type = artifacts.media_type_of(name)
        if media_type == "application/octet-stream":
            media_type = "text/plain"
        self._artifact(
            name, Content(media_type, text.encode("utf-8", "replace")), ArtifactKind.FILE
        )

    def json(self, path: str, value: object) -> None:
        """Record a value as a JSON file; NaN and infinities become null there."""
        name = _suffixed(checked_path(path), ".json")
        self._artifact(name, artifacts.json_content(value), ArtifactKind.FILE)

    def result(self, value: object) -> None:
        """In a notebook: hand ``value`` over to the tasks downstream, as a function returns it.

        Raises:
            LogError: called in a task function.
        """
        target = _recording
        if target is None:
            _say("result", "", _short(value))
        elif target.hand_over is None:
            raise LogError(
                "log.result is for notebooks; a task function hands its value over by return."
            )
        else:
            target.hand_over(value)

    @staticmethod
    def _event(event: Event, what: str, key: str, value: object) -> None:
        checked_key(key, what)
        if _recording is None:
            _say(what, key, _short(value))
        else:
            _recording.emitter.event(event, value, {KEY: key})

    @staticmethod
    def _artifact(
        name: str, content: Content, kind: ArtifactKind, meta: Mapping[str, object] | None = None
    ) -> None:
        target = _recording
        size = content.size
        if target is None:
            _say(kind.value, name, f"{content.media_type}, {size:,} bytes")
            return
        if name == NOTEBOOK_PATH and target.hand_over is not None:
            raise LogError(f"{name!r} is the evaluated notebook itself; choose another name.")
        check_size(name, size, target.limits.max_file_bytes)
        file = content.file
        masker = target.emitter.masker
        data, variable = published(masker, content.data, file, is_text=content.is_text)
        if variable:
            withhold(target.emitter, name, size, variable)
            return
        target.emitter.artifact(
            name, data, file=file, media_type=content.media_type, kind=kind, meta=meta
        )


def _number(key: object, value: object) -> float:
    """A metric's value as a plain int or float."""
    if value is None:
        return math.nan
    if isinstance(value, numbers.Integral):  # bool, numpy integers
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    plain = getattr(value, "item", None)
    if callable(plain) and getattr(value, "shape", None) in ((), None):  # 0-d arrays, tensors
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            return _number(key, plain())
    if type(value).__name__ in ("NAType", "NaTType"):
        return math.nan
    if type(value).__name__ == "Decimal":
        return float(value)  # type: ignore[arg-type]
    raise LogError(
        f"The metric {key!r} was given {_short(value)} ({type(value).__name__}), which is no "
        f"number. Use log.value({key!r}, …) for text, lists and dicts."
    )


def _step(key: object, step: object) -> int:
    plain = _number(key, step) if _is_number(step) else None
    if plain is None or not float(plain).is_integer():
        raise LogError(
            f"The step of the metric {key!r} was {_short(step)} ({type(step).__name__}); it is a "
            "whole number, such as the epoch."
        )
    return int(plain)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return False
    if isinstance(value, numbers.Real):
        return True
    return type(value).__name__ == "Decimal" or (
        getattr(value, "shape", None) == ()
        and getattr(getattr(value, "dtype", None), "kind", "") in "iuf"
    )


def _suffixed(name: str, suffix: str) -> str:
    return name if os.path.splitext(name)[1] else name + suffix  # noqa: PTH122


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else text[:199] + "…"


def _say(what: str, name: str, text: str) -> None:
    """What is recorded in a run is printed outside one."""
    sys.stdout.write(f"{what} {name}: {text}\n" if name else f"{what}: {text}\n")


log = Log()
