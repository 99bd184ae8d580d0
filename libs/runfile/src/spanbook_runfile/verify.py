"""Whether a run file is what it says: unchanged since its seal, complete, and well-formed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from spanbook_runfile import names, trim
from spanbook_runfile.decode import load, no_collection, run_of
from spanbook_runfile.digest import SEALED, declared, digest_of
from spanbook_runfile.export import SECTIONS, objects
from spanbook_runfile.journal import Signal
from spanbook_runfile.model import Run
from spanbook_runfile.names import SealReason
from spanbook_runfile.paths import RUN_ID, SPAN_ID
from spanbook_runfile.values import list_of

Object = dict[str, Any]
_MOST = 20  # faults of one kind that are told
MOST_UNPACKED = 4 << 30  # bytes of a trimmed file


class Finding(NamedTuple):
    """One thing that was looked at; ``ok`` is None where it is only to be known."""

    ok: bool | None
    text: str


def verify(path: Path) -> list[Finding]:
    """Look a run file through: digest, completeness, structure, artifacts; of a trimmed one what is left.

    Raises:
        NotARunFileError: the file is none.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    if path.name.endswith(trim.SUFFIX):
        content = trim.unpack(content, MOST_UNPACKED, name=path.name)
    with no_collection():
        whole = load(content, name=path.name)
        run = run_of(whole)
    findings = [*_seal(content, whole, path), *_structure(whole)]
    if original := trim.original_of(content):
        made = f"a run file of {original.size:,} bytes with the digest {original.digest}"
        findings.append(
            Finding(None, f"It was trimmed for a site's size; it was made from {made}.")
        )
    else:
        findings += [*_completeness(whole, run), *_artifacts(run)]
    findings += [Finding(False, problem) for problem in run.problems]
    return findings


def _seal(content: bytes, whole: Object, path: Path) -> Iterator[Finding]:
    note = whole.get("spanbook")
    if not isinstance(note, dict):
        yield Finding(False, "It has no 'spanbook' member: the collector did not seal it.")
        return
    digest = digest_of(content.rpartition(SEALED)[0])
    if declared(content) == note.get("digest") == digest:  # and nothing stands behind the seal
        yield Finding(True, f"The digest is right: {digest}.")
    else:
        yield Finding(
            False,
            f"The content has the digest {digest}, the seal says {str(note.get('digest'))[:100]}: "
            "the file was changed after it was sealed.",
        )
    run_id = note.get("runId")
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        yield Finding(False, f"The run id {str(run_id)[:40]!r} is not 32 lower-case hex digits.")
    elif re.fullmatch(RUN_ID, path.stem) and path.stem != run_id:
        yield Finding(False, f"The file is named {path.name}, but the run is {run_id}.")
    if note.get("format") != names.FORMAT_VERSION:
        yield Finding(False, f"The format {str(note.get('format'))[:20]} is not known here.")
    if note.get("reason") not in list(SealReason):
        yield Finding(False, f"The reason {str(note.get('reason'))[:40]!r} is none known.")


def _completeness(whole: Object, run: Run) -> Iterator[Finding]:
    if run.seal is None:
        return
    held = tuple(_count(whole, signal) for signal in Signal)
    received = run.seal.received
    if held != (received.spans, received.log_records, received.metric_points):
        yield Finding(
            False,
            f"It holds {held[0]} spans, {held[1]} log records and {held[2]} metric points; the "
            f"seal says {received.spans}, {received.log_records} and {received.metric_points}.",
        )
    declared = run.seal.declared
    if declared is None:
        why = "it is no run of spanbook's" if run.foreign else "the runner did not come to its end"
        yield Finding(None, f"Nothing says how much there should be: {why}.")
    elif declared.within(received):
        yield Finding(True, "It is complete: all that the runner declared is there.")
    else:
        yield Finding(
            False,
            f"It is not complete: declared were {declared.spans} spans, {declared.log_records} log "
            f"records and {declared.metric_points} metric points; received {received.spans}, "
            f"{received.log_records} and {received.metric_points}. Look for the run in late/ and "
            "spool/, and see 'spanbook import'.",
        )


def _count(whole: Object, signal: Signal) -> int:
    items = _items(whole, signal)
    if signal is not Signal.METRICS:
        return sum(1 for _ in items)
    return sum(
        len(list_of(data.get("dataPoints")))
        for metric in items
        for data in metric.values()
        if isinstance(data, dict)
    )


def _items(whole: Object, signal: Signal) -> Iterator[Object]:
    section = SECTIONS[signal]
    for block in objects(whole.get(section.top)):
        for group in objects(block.get(section.group)):
            yield from objects(group.get(section.items))


def _structure(whole: Object) -> Iterator[Finding]:
    faults = list(_faults(whole))
    yield from (Finding(False, fault) for fault in faults[:_MOST])
    if len(faults) > _MOST:
        yield Finding(False, f"… and {len(faults) - _MOST} more faults of structure.")
    if not faults:
        yield Finding(True, "The structure is right: ids, times and attributes are well-formed.")


def _faults(whole: Object) -> Iterator[str]:
    for section in SECTIONS.values():
        if not isinstance(whole.get(section.top), list):
            yield f"There is no list {section.top!r}."
    note = whole.get("spanbook")
    run_id = note.get("runId") if isinstance(note, dict) else None
    yield from _span_faults(whole, run_id)
    yield from _record_faults(whole, run_id)


def _span_faults(whole: Object, run_id: object) -> Iterator[str]:
    seen: set[str] = set()
    for span in _items(whole, Signal.TRACES):
        span_id = span.get("spanId")
        if not isinstance(span_id, str) or not SPAN_ID.fullmatch(span_id):
            yield f"A span has the id {str(span_id)[:40]!r}, not 16 lower-case hex digits."
            continue
        if span_id in seen:
            yield f"Two spans have the id {span_id}."
        seen.add(span_id)
        if run_id and span.get("traceId") != run_id:
            yield f"Span {span_id} is of trace {str(span.get('traceId'))[:40]!r}, not of this run."
        for key in ("startTimeUnixNano", "endTimeUnixNano"):
            if not _is_time(span.get(key)):
                yield f"Span {span_id} has {key} {str(span.get(key))[:40]!r}, no decimal text."


def _record_faults(whole: Object, run_id: object) -> Iterator[str]:
    ids: set[str] = set()
    for record in _items(whole, Signal.LOGS):
        if run_id and record.get("traceId", run_id) != run_id:
            yield f"A log record is of trace {str(record.get('traceId'))[:40]!r}, not of this run."
        if not _is_time(record.get("timeUnixNano", "0")):
            yield f"A log record has the time {str(record.get('timeUnixNano'))[:40]!r}."
        for pair in objects(record.get("attributes")):
            if pair.get("key") == names.RECORD_ID:
                value = pair.get("value")
                record_id = str(value.get("stringValue") if isinstance(value, dict) else value)
                if record_id in ids:
                    yield f"Two log records have the id {record_id[:60]!r}."
                ids.add(record_id)


def _is_time(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20


def _artifacts(run: Run) -> Iterator[Finding]:
    attempts = [attempt for task in run.tasks for attempt in task.attempts]
    artifacts = [*run.artifacts, *(artifact for a in attempts for artifact in a.artifacts)]
    bad = [artifact for artifact in artifacts if not artifact.intact]
    for artifact in bad[:_MOST]:
        yield Finding(
            False,
            f"Of the artifact {artifact.path[:100]!r} not every byte is there as it was declared.",
        )
    if artifacts and not bad:
        yield Finding(True, f"{len(artifacts)} artifacts are whole: sizes and digests are right.")
