"""Runs that mean harm, and files that are no run file."""

import orjson

from spanbook_runfile import names
from spanbook_runfile.names import ArtifactKind, Result, TaskType
from spanbook_runfile.samples import media
from spanbook_runfile.samples.builder import START, SampleRun, SampleTask
from spanbook_runfile.samples.golden import DAY, ok

SCRIPT = "<script>alert('spanbook')</script>"
BREAKOUT = "\"'></script></style><img src=x onerror=alert(1)>{{7*7}}${7*7}|`%0d%0a"
LONG = "long " * 2000
RTL = "\u202etxt.exe\u202c"
CONTROL = "bell\x07 null\x00 escape\x1b[31m newline\n tab\t"
PATHS = [
    "../../../../etc/passwd",
    "/etc/shadow",
    "C:\\Windows\\System32\\evil.dll",
    "..\\..\\climb.txt",
    "con.txt",
    "a/./b/../../../c.txt",
    "index.html",
    "",
    ".",
    "~/.ssh/authorized_keys",
    "javascript:alert(1).html",
    "x" * 10_000 + ".txt",
    "dir/" * 200 + "deep.txt",
    f"{RTL}.png",
    f"control{CONTROL}.txt",
    f"{SCRIPT}.html",
    "%2e%2e%2fencoded.txt",
    "same.txt",
    "SAME.txt",
]


def hostile(name: str = "hostile", start: int = START + 10 * DAY) -> SampleRun:
    """Script, climbing paths, lies and odd times in every place that a run has for them."""
    keys = [
        *(names.REPOSITORY_URL, names.REPOSITORY_NAME, names.OWNER_NAME, names.REF_NAME),
        *(names.REF_REVISION, names.CHANGE_TITLE, names.COMMIT_TITLE, names.ACTOR),
        *(names.TRIGGER, names.CHANGE_ID, names.HOST_NAME, names.CI_PREFIX + SCRIPT),
    ]
    resource: dict[str, object] = dict.fromkeys(keys, SCRIPT + BREAKOUT)
    resource[names.PIPELINE_RUN_URL] = "javascript:alert(document.domain)"
    resource[names.REPOSITORY_URL] = "data:text/html," + SCRIPT
    run = SampleRun(name, pipeline=f"{SCRIPT}{BREAKOUT}", start=start, resource=resource)
    first = _scripted_task(run)
    second = _path_task(run)
    first.after.append(second)  # first → second → first
    second.after.append(first)
    first.end(Result.FAILURE, error_type=SCRIPT, message=BREAKOUT)
    second.end("no-such-result")
    for title in (LONG, RTL, CONTROL, "", "../../up", SCRIPT):
        odd = run.task(title, after=[first], attrs={names.TASK_GROUP: "../" + SCRIPT})
        odd.end(Result.SKIP, at=1.0, cause=odd)
    return run.finish("no-such-result", error_type=SCRIPT, message=SCRIPT)


def _scripted_task(run: SampleRun) -> SampleTask:
    task = run.task(SCRIPT, kind="no-such-type", attrs={names.TASK_SOURCE: "../../" + SCRIPT})
    attempt = task.attempt(0.0)
    texts = [SCRIPT, BREAKOUT, RTL, CONTROL, LONG, "__proto__", "constructor", "=cmd|' /C calc'!A1"]
    for number, text in enumerate(texts):
        at = 0.1 + number / 100
        attempt.parameters(at, **{text: text, "same": text})
        attempt.tag(at, text, text)
        attempt.value(at, text, {text: [text, {"nested": text}]})
        attempt.metric(at, text, number, number)
        attempt.line(at, text, "stderr" if number % 2 else "stdout")
        attempt.line(at, text, text)
        attempt.logging(at, text, "ERROR", text)
        attempt.exception(at, text, text, text)
    for step, value in enumerate((float("nan"), float("inf"), float("-inf"), 1e308, -0.0, 5e-324)):
        attempt.metric(0.5, "odd", value, step)
    attempt.metric(0.5, "huge step", 1, 2**63 - 1)
    attempt.parameters(0.6, huge=2**200, nothing=None, deep=_deep(60), data=b"\x00\xff")
    attempt.usage(0.7, cpu=float("inf"))
    return attempt.end(0.8, "no-such-result", error_type=SCRIPT, message=SCRIPT)


def _deep(levels: int) -> object:
    value: object = SCRIPT
    for _ in range(levels):
        value = [value]
    return value


def _path_task(run: SampleRun) -> SampleTask:
    task = run.task(BREAKOUT, kind=TaskType.NOTEBOOK)
    attempt = task.attempt(0.9)
    for path in PATHS:
        attempt.artifact(1.0, path, SCRIPT.encode(), "text/plain")
    page = f"<!doctype html><h1>page</h1>{SCRIPT}<script>parent.location='https://example.com'</script>"
    attempt.artifact(1.1, "page.html", page.encode(), "text/html")
    attempt.artifact(1.1, "figure.svg", media.svg(SCRIPT), "image/svg+xml", ArtifactKind.FIGURE)
    attempt.artifact(1.1, "not-a.png", page.encode(), "image/png", ArtifactKind.FIGURE)
    attempt.artifact(1.1, "odd-type", b"x", f"text/html;{BREAKOUT}", "no-such-kind")
    attempt.artifact(1.1, "liar.bin", b"tiny", "application/octet-stream", size=2 << 30)
    attempt.artifact(
        1.1, "bad.csv", b'a,b\n"unclosed,1\n\xff\xfe,2\n', "text/csv", ArtifactKind.TABLE
    )
    attempt.artifact(1.1, "bad.json", b'{"cut": ', "application/json")
    attempt.artifact(1.1, "bad.onnx", b"\x08\xff\xff\xff", "application/onnx", ArtifactKind.MODEL)
    notebook = media.notebook(SCRIPT, {"title": BREAKOUT})
    evil = notebook.replace(b"<table>", SCRIPT.encode() + b"<table onclick=alert(1)>")
    kind = ArtifactKind.NOTEBOOK
    attempt.artifact(1.2, "evil.ipynb", evil, "application/x-ipynb+json", kind)
    attempt.artifact(1.2, "cut.ipynb", notebook[:300], "application/x-ipynb+json", kind)
    attempt.artifact(1.2, "list.ipynb", b"[1, 2]", "application/x-ipynb+json", kind)
    return attempt.end(1.3)


def ancient(name: str = "ancient") -> SampleRun:
    """A run one nanosecond after the epoch began."""
    run = SampleRun(name, pipeline="clocks", start=1)
    return run.task("then").attempt(0.0).end(1.0).end().run.finish()


def distant(name: str = "distant") -> SampleRun:
    """A run at the end of 64-bit nanoseconds (2262), with an attempt that ends before it starts."""
    run = SampleRun(name, pipeline="clocks", start=2**63 - 5 * 10**9)
    return run.task("later").attempt(4.0, 2.0).end(1.0).end().run.finish()


def tampered() -> bytes:
    """A run file that was edited after its seal: one span twice, wrong types, ids and links."""
    whole = orjson.loads(ok("tampered", start=START + 11 * DAY).sealed())
    group = whole["resourceSpans"][0]["scopeSpans"][0]["spans"]
    group.append({**group[1], "name": "the same id again"})
    group.append({"spanId": "not-hex", "name": 7, "links": 3, "attributes": {"no": "list"}})
    group.append({"spanId": "f" * 16, "startTimeUnixNano": "-5", "endTimeUnixNano": "9" * 40})
    group += [None, 1, "text", [], {}]
    records = whole["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    records.append({"eventName": "spanbook.metric", "spanId": {}, "attributes": [{"key": []}]})
    records += [None, {"body": {"intValue": "many"}}, {"body": {"arrayValue": 3}}]
    whole["resourceMetrics"].append({"scopeMetrics": [{"metrics": [{"name": {}}]}]})
    return orjson.dumps(whole)


def broken() -> dict[str, bytes]:
    """Files that bear a run file's name and are none: file name → bytes."""
    whole = ok("cut", on_github=False).sealed()
    return {
        "0" * 31 + "1.json": b"",
        "0" * 31 + "2.json": whole[: len(whole) // 2],
        "0" * 31 + "3.json": b'{"hello": "world"}',
        "0" * 31 + "4.json": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "0" * 31 + "5.json": b"[" * 100_000,
        "notes.txt": b"not ours",
    }
