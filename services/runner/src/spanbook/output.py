"""What one attempt prints, as lines of its record: in order, bounded, without secrets."""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from spanbook_runfile import names
from spanbook_runfile.names import Event

if TYPE_CHECKING:
    from spanbook.emitter import Emitter

Stream = Literal["stdout", "stderr"]

MAX_OUTPUT_BYTES: Final = 1 << 20
TAIL_BYTES: Final = 64 << 10  # kept of what is cut, so that the last lines are there
LINE_BYTES: Final = 40  # that a line counts beside its text: half a million records are no 1 MiB
MAX_LINE: Final = 16 << 10  # characters; longer lines are split

_SEVERITIES: Final = (
    (logging.CRITICAL, SeverityNumber.SEVERITY_NUMBER_FATAL),
    (logging.ERROR, SeverityNumber.SEVERITY_NUMBER_ERROR),
    (logging.WARNING, SeverityNumber.SEVERITY_NUMBER_WARN),
    (logging.INFO, SeverityNumber.SEVERITY_NUMBER_INFO),
)


class Lines:
    """Text as it is written, cut into lines of one stream.

    A carriage return starts the line again (progress bars); a line over :data:`MAX_LINE` is split,
    holding back what could be the beginning of a secret.
    """

    def __init__(self, emitter: "Emitter", stream: Stream) -> None:
        self._emitter = emitter
        self._stream = stream
        self._rest = ""

    def write(self, text: str) -> None:
        """Take text, and record the lines that it completes."""
        text = self._rest + text
        if "\n" not in text:
            self._rest = self._fold(text)
            if len(self._rest) > MAX_LINE:
                self._split()
            return
        *lines, rest = text.split("\n")
        self._rest = ""
        for line in lines:
            self._line(line)
        self.write(rest)

    def completed_by(self, text: str) -> bool:
        """Whether :meth:`write` would record a line now."""
        return "\n" in text or len(self._rest) + len(text) > MAX_LINE

    def close(self) -> None:
        """Record the last line, where it has no newline."""
        rest, self._rest = self._rest, ""
        if rest:
            self._line(rest)

    def cut(self) -> None:
        """Record the last line as far as it came, less what could be the beginning of a secret."""
        rest = self._emitter.masked(self._rest)
        self._rest = rest[: max(0, len(rest) - self._emitter.masker.longest)]
        self.close()

    @staticmethod
    def _fold(text: str) -> str:
        """What a terminal would still show of a line: the text behind the last carriage return."""
        if "\r" not in text:
            return text
        ends_open = text.endswith("\r")
        shown = text.rstrip("\r").rpartition("\r")[2]
        return shown + "\r" if ends_open else shown

    def _line(self, line: str) -> None:
        line = self._fold(line).rstrip("\r")
        if len(line) <= MAX_LINE:
            self._emitter.line(self._stream, line)
            return
        line = self._emitter.masked(line)
        for start in range(0, len(line), MAX_LINE):
            self._emitter.line(self._stream, line[start : start + MAX_LINE])

    def _split(self) -> None:
        rest = self._emitter.masked(self._rest)
        held = min(self._emitter.masker.longest, MAX_LINE // 2)
        while len(rest) > MAX_LINE + held:
            self._emitter.line(self._stream, rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        self._rest = rest


def _size(text: str) -> int:
    return len(text) + LINE_BYTES * text.count("\n")


class Output:
    """What one attempt prints: the first ``limit`` bytes line by line, of the rest the end."""

    def __init__(self, emitter: "Emitter", limit: int = MAX_OUTPUT_BYTES) -> None:
        self._emitter = emitter
        self._left = limit
        self._limit = limit
        self._lines = {s: Lines(emitter, s) for s in ("stdout", "stderr")}
        self._tail: deque[tuple[Stream, str]] = deque()
        self._tail_size = 0
        self._dropped = 0
        self.changes = 0  # counts what was written
        self.on_line: Callable[[], None] | None = None  # called, once, before a line is recorded

    def write(self, stream: Stream, text: str) -> None:
        """Take text of a stream, in any pieces."""
        self.changes += 1
        if self._left > 0:
            end = self._fitting(text)
            head, text = text[:end], text[end:]
            if self.on_line is not None and self._lines[stream].completed_by(head):
                call, self.on_line = self.on_line, None
                call()
            self._lines[stream].write(head)
        if text:
            self._keep_tail(stream, text)

    def copy_rest(self, emitter: "Emitter") -> None:
        """Record by ``emitter`` what :meth:`close` would, and keep it: open lines, and the kept end."""
        other = Output(emitter, self._limit)
        other._tail, other._tail_size = self._tail.copy(), self._tail_size
        other._dropped = self._dropped
        for stream, lines in self._lines.items():
            other._lines[stream]._rest = emitter.masker.finished(lines._rest)
        other.close()

    @property
    def is_open(self) -> bool:
        """Whether :meth:`close` would record anything now."""
        return bool(self._tail) or any(lines._rest for lines in self._lines.values())

    def log(self, record: logging.LogRecord, text: str) -> None:
        """Take a record of Python's ``logging``."""
        if self._left <= 0:
            self._keep_tail("stderr", text + "\n")
            return
        self._left -= min(self._left, len(text))
        self._emitter.line(
            "log",
            text if len(text) <= MAX_LINE else self._emitter.masked(text)[:MAX_LINE] + " …",
            at=int(record.created * 1e9),
            severity=next((n for level, n in _SEVERITIES if record.levelno >= level), 5),
            severity_text=record.levelname,
            logger=record.name,
        )

    def close(self) -> None:
        """Record open lines, and how much was cut."""
        self._end_cut()
        for lines in self._lines.values():
            lines.close()

    def _fitting(self, text: str) -> int:
        """How many characters of a text are under the limit, which they count for from now on."""
        if _size(text) <= self._left:
            self._left -= _size(text)
            return len(text)
        end = 0
        while self._left > 0:
            start, end = end, min(text.find("\n", end) + 1 or len(text), end + self._left)
            self._left -= _size(text[start:end])
        return end

    def _keep_tail(self, stream: Stream, text: str) -> None:
        while _size(text) > TAIL_BYTES:
            shorter = text[-min(TAIL_BYTES, len(text) // 2) :]
            self._drop(len(text) - len(shorter))
            text = shorter
        self._tail.append((stream, text))
        self._tail_size += _size(text)
        while self._tail_size > TAIL_BYTES:
            _, old = self._tail.popleft()
            self._tail_size -= _size(old)
            self._drop(len(old))

    def _drop(self, size: int) -> None:
        if not self._dropped:
            self._cut_event(
                f"The output is over {self._limit:,} characters; of the rest only the end is kept."
            )
        self._dropped += size

    def _cut_event(self, body: str, dropped: int = 0) -> None:
        self._emitter.event(
            Event.OUTPUT_TRUNCATED,
            body,
            {names.DROPPED_BYTES: dropped},
            severity=SeverityNumber.SEVERITY_NUMBER_WARN,
        )

    def _end_cut(self) -> None:
        """Record the kept end, from the first whole line on where something before it was cut."""
        pieces = list(self._tail)
        if self._dropped:
            pieces = self._whole_lines(pieces)
            self._cut_event(f"{self._dropped:,} characters of output were cut here.", self._dropped)
        for stream, text in pieces:
            self._lines[stream].write(text)

    def _whole_lines(self, pieces: list[tuple[Stream, str]]) -> list[tuple[Stream, str]]:
        """The pieces without each stream's first line, which may begin within a secret."""
        for stream, lines in self._lines.items():
            lines.cut()
            for index, (owner, text) in enumerate(pieces):
                if owner != stream:
                    continue
                _, newline, rest = text.partition("\n")
                self._dropped += len(text) - len(rest)
                pieces[index] = (owner, rest)
                if newline:
                    break
        return pieces
