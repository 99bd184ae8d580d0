"""The commands on run files, as one calls them."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from markdown_it import MarkdownIt
from opentelemetry.exporter.otlp.json.file import trace_exporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from oracle import READERS, read_all
from spanbook_runfile import parse_run, samples, summary
from spanbook_runfile.cli import main
from spanbook_runfile.journal import MAGIC, Signal, frame
from spanbook_runfile.samples import golden


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every sample, written once."""
    folder = tmp_path_factory.mktemp("samples")
    samples.write_samples(folder)
    return folder


@pytest.fixture
def outputs(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An outputs folder with every sample."""
    shutil.copytree(written, tmp_path / "outputs")
    monkeypatch.setenv("SPANBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


OK = golden.ok().id


# -- which run -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["path", "id", "beginning"])
def test_run_by(outputs: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run is named by its path, its id or the beginning of that."""
    name = {"path": str(outputs / "runs" / f"{OK}.json"), "id": OK, "beginning": OK[:6]}[form]
    assert main(["verify", name]) == 0
    assert OK in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("0" * 20, "5 run files"),
        ("nothing", "no run file"),
        ("*", "no run file"),
        ("a/b", "no file"),
    ],
)
def test_no_such_run(
    outputs: Path, name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that fits no run, or several, is a mistake of usage, told in a line."""
    assert main(["verify", name]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_as_a_program(outputs: Path) -> None:
    """The commands are there as a program of their own, with help."""
    command = [sys.executable, "-m", "spanbook_runfile"]
    out = subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout
    assert all(c in out for c in ("export", "replay", "verify", "expand", "summary", "import"))
    environment = {**os.environ, "SPANBOOK_OUTPUTS": str(outputs)}
    assert subprocess.run([*command, "verify", OK], env=environment, check=False).returncode == 0


@pytest.mark.parametrize("command", ["export", "expand", "summary", "verify"])
def test_no_run_file(
    outputs: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken file is told of in a line, with exit code 1."""
    where = ["--to", str(tmp_path / "x")] if command in {"export", "expand"} else []
    assert main([command, "0" * 31 + "2", *where]) == 1
    assert "is not JSON" in capsys.readouterr().err


# -- export --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ok", "hostile", "foreign", "empty", "wide"])
def test_export(tmp_path: Path, name: str) -> None:
    """The three files hold, line by line, what the other codec reads in the run file."""
    path = tmp_path / "run.json"
    path.write_bytes(samples.sealed(name))
    assert main(["export", str(path), "--to", str(tmp_path / "out")]) == 0
    whole = read_all(path.read_bytes())
    for signal, reader in READERS.items():
        lines = (tmp_path / "out" / f"{signal.name.lower()}.jsonl").read_bytes().splitlines()
        read = [item for line in lines for item in _items(reader.from_dict(orjson.loads(line)))]
        assert repr(read) == repr(list(_items(whole[signal])))  # a NaN is not equal to itself
        assert all(len(line) < 4 << 20 for line in lines)


def _items(data: Any) -> Iterator[Any]:
    for owners in (getattr(data, f"resource_{n}", ()) for n in ("spans", "logs", "metrics")):
        for owner in owners:
            groups = [getattr(owner, f"scope_{n}", ()) for n in ("spans", "logs", "metrics")]
            for group in (g for found in groups for g in found):
                for name in ("spans", "log_records", "metrics"):
                    for item in getattr(group, name, ()):
                        yield owner.resource, group.scope, item


def test_export_as_the_sdk_does(tmp_path: Path) -> None:
    """The lines are of the form that OpenTelemetry's own file exporter writes."""
    theirs = tmp_path / "theirs.jsonl"
    exporter = trace_exporter.FileSpanExporter(str(theirs))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("x").start_span("one").end()
    provider.shutdown()
    path = tmp_path / "run.json"
    path.write_bytes(samples.sealed("ok"))
    main(["export", str(path), "--to", str(tmp_path)])
    (their_line,), ours = theirs.read_text().splitlines(), (tmp_path / "traces.jsonl").read_text()
    assert json.loads(ours.splitlines()[0]).keys() == json.loads(their_line).keys()


# -- replay --------------------------------------------------------------------------------


@contextmanager
def receiver(*refusals: tuple[int, str]) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """An HTTP server that keeps what it is sent; it first refuses as often as it is told to."""
    kept: list[tuple[str, Any]] = []
    left = list(refusals)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if left:
                status, wait = left.pop(0)
                self.send_response(status)
                self.send_header("Retry-After", wait)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(b"refused")
                return
            assert self.headers["Content-Type"] == "application/json"
            kept.append((self.path, orjson.loads(gzip.decompress(content))))
            self.send_response(200)
            self.end_headers()
            rejects = b'{"partialSuccess":{"rejectedLogRecords":"2"}}'
            self.wfile.write(rejects if "reject" in self.headers.get("X-Test", "") else b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_replay(outputs: Path) -> None:
    """All of a run arrives at the three paths, also where the receiver is busy at first."""
    with receiver((503, "0"), (429, "0.1")) as (url, kept):
        assert main(["replay", OK, "--endpoint", url + "/"]) == 0
    whole = read_all((outputs / "runs" / f"{OK}.json").read_bytes())
    for signal, reader in READERS.items():
        bodies = [body for path, body in kept if path == f"/v1/{signal.name.lower()}"]
        assert [item for body in bodies for item in _items(reader.from_dict(body))] == list(
            _items(whole[signal])
        )


@pytest.mark.parametrize("status", [400, 302])
def test_replay_refused(outputs: Path, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that is final is not tried again, and is told; a redirect is not followed."""
    with receiver((status, "0")) as (url, kept):
        assert main(["replay", OK, "--endpoint", url]) == 1
    assert f"answered {status}: refused" in capsys.readouterr().err
    assert not kept


def test_replay_partly(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the receiver rejected is told, and headers come from the OTel variable."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Test=reject%20some, a=b")
    with receiver() as (url, _):
        assert main(["replay", OK, "--endpoint", url]) == 1
    assert "of which 2 were rejected" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:4317", "ftp://x"])
def test_replay_elsewhere(outputs: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Only http and https addresses are sent to."""
    assert main(["replay", OK, "--endpoint", url]) == 1
    assert "is no OTLP/HTTP address" in capsys.readouterr().err


# -- verify --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name for name in samples.SEALED if name not in {"hostile", "interrupted"}]
)
def test_verify(outputs: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run file as the collector wrote it has nothing wrong."""
    code = main(["verify", samples.SEALED[name]().id])
    out = capsys.readouterr().out
    assert "BAD" not in out
    assert code == 0


def test_verify_one_byte(outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One changed character is found."""
    content = samples.sealed("ok").replace(b"trained on 400", b"trained on 900")
    path = tmp_path / f"{OK}.json"
    path.write_bytes(content)
    assert main(["verify", str(path)]) == 1
    assert "changed after it was sealed" in capsys.readouterr().out


def test_verify_incomplete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run of which less came than was declared is not complete."""
    run = golden.ok()
    dropped = run.sent.pop(20)
    path = tmp_path / "run.json"
    path.write_bytes(run.sealed())
    assert dropped
    assert main(["verify", str(path)]) == 1
    assert "It is not complete: declared were 21 spans" in capsys.readouterr().out


def test_verify_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file under another run's name is found out."""
    path = tmp_path / ("f" * 32 + ".json")
    path.write_bytes(samples.sealed("ok"))
    assert main(["verify", str(path)]) == 1
    assert f"but the run is {OK}" in capsys.readouterr().out


# -- expand --------------------------------------------------------------------------------


def test_expand(outputs: Path, tmp_path: Path) -> None:
    """Each task has its folder, with metadata, artifacts as logged, and notebooks as HTML."""
    folder = tmp_path / "tree"
    assert main(["expand", OK, "--to", str(folder)]) == 0
    run = parse_run(samples.sealed("ok"))
    tasks = [p for p in folder.iterdir() if p.is_dir()]
    assert len(tasks) == len(run.tasks)
    eda = next(p for p in tasks if p.name.startswith("notebook-task--eda--"))
    assert eda.name == f"notebook-task--eda--{run.tasks[2].id}--OK"
    assert json.loads((eda / "run-time-metadata.json").read_text())["parameters"] == {
        "nr_images": 1797
    }
    notebook = next(a for a in run.tasks[2].attempts[0].artifacts)
    assert (eda / "artifacts" / notebook.path).read_bytes() == notebook.data
    page = (eda / "artifacts/notebooks/eda.html").read_text()
    assert "loaded 1797 digits" in page
    assert "<table" in page
    assert (folder / "dag.mmd").read_text().startswith("flowchart LR")
    assert (folder / "gantt.mmd").read_text().startswith("gantt")


def test_expand_names(outputs: Path, tmp_path: Path) -> None:
    """Failed and skipped tasks are known by their folders; an earlier try keeps its output."""
    assert main(["expand", golden.failed().id, "--to", str(tmp_path / "failed")]) == 0
    ends = [p.name.rpartition("--")[2] for p in (tmp_path / "failed").iterdir() if p.is_dir()]
    assert sorted(ends) == ["FAILED"] * 2 + ["OK"] + ["SKIPPED"] * 5
    assert main(["expand", golden.retried().id, "--to", str(tmp_path / "retried")]) == 0
    (task,) = [p for p in (tmp_path / "retried").iterdir() if p.is_dir()]
    assert (task / "earlier-attempts/1/output.txt").read_text() == "try 1\n"


def test_expand_hostile(outputs: Path, tmp_path: Path) -> None:
    """Nothing is written outside the folder, nothing twice to one name, and no script into HTML."""
    folder = tmp_path / "a" / "b" / "tree"
    before = set(tmp_path.rglob("*"))
    assert main(["expand", samples.SEALED["hostile"]().id, "--to", str(folder)]) == 0
    assert all(
        folder in path.parents or path in {folder, *folder.parents}
        for path in set(tmp_path.rglob("*")) - before
    )
    run = parse_run(samples.sealed("hostile"))
    artifacts = [x for t in run.tasks for a in t.attempts for x in a.artifacts]
    files = [p for p in folder.rglob("artifacts/**/*") if p.is_file()]
    pages = [p for p in files if p.name == "evil.html"]
    assert len(files) == len(artifacts) + len(pages)
    assert "<script>alert" not in pages[0].read_text()
    assert any(p.name == "liar.bin.incomplete" for p in files)
    for path in folder.rglob("run-time-metadata.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)  # NaN is no JSON


def test_expand_into_something(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that holds something is left as it is."""
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["expand", OK, "--to", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err


# -- summary -------------------------------------------------------------------------------


def test_summary(outputs: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """The summary of a failed run: outcome first, the reason, the last lines, what was skipped."""
    assert main(["summary", golden.failed().id, "--markdown", "--against", OK]) == 0
    told = capsysbinary.readouterr().out.decode()
    assert told.startswith("## ❌ mnist-digits: failure in 3.2 s\n")
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(told)
    assert "ValueError: train_size=1.7 should be in the (0, 1) range" in html
    assert "line 29 before the fault" in html
    assert "line 1 before the fault" not in html
    assert html.count("because of split_train_test") == 5
    assert html.count('<code class="language-mermaid">') == 2


def test_summary_differences(outputs: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Against another run only the metrics that differ are told, with the change."""
    better = outputs / "runs" / "better.json"
    better.write_bytes(golden.ok("better", gain=0.001).sealed())
    assert main(["summary", str(better), "--against", OK]) == 0
    told = capsysbinary.readouterr().out.decode()
    differing = told.partition("### Metrics against")[2].partition("<details")[0]
    assert differing.count("roc&#95;auc&#95;mean") == 3
    assert "| 0.983 | 0.984 | +0.001 (+0.1%) |" in differing
    assert "accuracy" not in differing


@pytest.mark.parametrize("name", ["hostile", "ok", "running-like", "wide-1000"])
def test_summary_is_safe(name: str) -> None:
    """Nothing of a run becomes HTML, Markdown or a link; and it fits in a step's MiB."""
    content = {
        "running-like": lambda: golden.interrupted().sealed(),
        "wide-1000": lambda: samples.wide(1000).sealed(),
    }.get(name, lambda: samples.sealed(name))()
    told = summary.markdown(parse_run(content))
    assert len(told.encode()) < 1 << 20
    html = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(told)
    assert "<script" not in html.lower()
    assert "<img" not in html
    assert "<a " not in html


# -- import --------------------------------------------------------------------------------


def test_import(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A spool becomes a sealed run file; a second time it is not rewritten."""
    run = golden.running()
    spool = outputs / "journals" / f"{run.id}.journal"
    assert main(["import", str(spool)]) == 0
    path = outputs / "runs" / f"{run.id}.json"
    assert capsys.readouterr().out.strip() == str(path)
    sealed = path.read_bytes()
    assert parse_run(sealed).seal.reason == "import"  # type: ignore[union-attr]
    assert main(["import", str(spool)]) == 1
    assert "never rewritten" in capsys.readouterr().err
    assert path.read_bytes() == sealed


def test_import_several(tmp_path: Path) -> None:
    """A run in two pieces is imported in one command."""
    run = golden.retried()
    frames = [frame(signal, payload) for signal, payload in run.frames()]
    for name, part in (("spool", frames[:1]), ("late", frames[1:])):
        (tmp_path / f"{name}.journal").write_bytes(MAGIC + b"".join(part))
    files = [str(tmp_path / f"{name}.journal") for name in ("late", "spool")]
    assert main(["import", *files, "--runs", str(tmp_path / "runs")]) == 0
    assert main(["verify", str(tmp_path / "runs" / f"{run.id}.json")]) == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no journal at all, not even a bit", "no spanbook journal"),
        (MAGIC, "tells its run"),
        (golden.ok().journal() + golden.empty().journal()[len(MAGIC) :], "hold 2 runs"),
        (MAGIC + frame(Signal.LOGS, b"\xff\xff"), "tells its run"),
    ],
)
def test_import_nothing(
    tmp_path: Path, content: bytes, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no journal of one run is refused, and says why."""
    path = tmp_path / "x.journal"
    path.write_bytes(content)
    assert main(["import", str(path), "--runs", str(tmp_path / "runs")]) != 0
    assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
