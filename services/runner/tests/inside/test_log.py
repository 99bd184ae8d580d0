"""``log`` records what it is given, or says why it cannot."""

import base64
import datetime
import decimal
import gzip
import io
import json
import math
import pickle
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from spanbook import log
from spanbook.errors import LogError, ValueTooLargeError
from spanbook.log import recording
from spanbook.settings import Limits


@pytest.fixture
def inside(recorder: Any) -> Iterator[Any]:
    """An attempt around the test; called, it gives what was recorded."""
    with recording(recorder.emitter, Limits(max_file_bytes=3 << 20)):
        yield recorder.attempt


@pytest.mark.parametrize(
    ("given", "recorded"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (True, 1.0),
        (np.float32(0.25), 0.25),
        (np.int64(7), 7.0),
        (np.array(3.5), 3.5),
        (np.bool_(True), 1.0),
        (decimal.Decimal("1.5"), 1.5),
        (pd.Series([1.5, 2.5]).mean(), 2.0),
        (float("inf"), math.inf),
        (None, math.nan),
        (pd.NA, math.nan),
    ],
)
def test_metric_values(inside: Any, given: Any, recorded: float) -> None:
    """A metric takes any number, numpy's and pandas' too."""
    log.metric("m", given, step=np.int32(3))
    metric = inside().metrics["m"]
    assert metric.last == recorded or (math.isnan(metric.last) and math.isnan(recorded))
    assert metric.steps == (3,)


@pytest.mark.parametrize(
    "given", ["0.5", [1], {"a": 1}, np.array([1, 2]), object(), datetime.date.today()]
)
def test_metric_refuses(inside: Any, given: Any) -> None:
    """What is no number is refused with the way to log it."""
    with pytest.raises(LogError, match=r"'loss'.*log\.value"):
        log.metric("loss", given)


@pytest.mark.parametrize("step", ["1", 1.5, math.nan, [1]])
def test_step_refuses(inside: Any, step: Any) -> None:
    """A step is a whole number."""
    with pytest.raises(LogError, match="step of the metric 'loss'"):
        log.metric("loss", 1, step=step)


def test_metrics_and_values(inside: Any) -> None:
    """A value that is a number is a metric; everything else is kept as JSON can hold it."""
    log.metrics({"a": 1, "b": 2.5}, step=4)
    log.value("accuracy", np.float64(0.9))
    log.values(
        {
            "flag": True,
            "none": None,
            "day": datetime.date(2026, 11, 22),
            "stamp": pd.Timestamp("2026-11-22T10:00"),
            "array": np.arange(3),
            "nested": {"x": [1, {"y": np.float32(0.5)}], 2: "two"},
            "nan": {"v": math.nan},
        }
    )
    attempt = inside()
    assert {k: m.last for k, m in attempt.metrics.items()} == {"a": 1, "b": 2.5, "accuracy": 0.9}
    assert attempt.metrics["a"].steps == (4,)
    values = dict(attempt.values)
    assert math.isnan(values.pop("nan")["v"])
    assert values == {
        "flag": True,
        "none": None,
        "day": "2026-11-22",
        "stamp": "2026-11-22T10:00:00",
        "array": [0, 1, 2],
        "nested": {"x": [1, {"y": 0.5}], "2": "two"},
    }


def test_parameters_and_tags(inside: Any) -> None:
    """Parameters keep their type, tags are text."""
    log.param("n", np.int64(5))
    log.params({"rate": 0.1, "name": "x"})
    log.tag("quality", 3)
    attempt = inside()
    assert attempt.parameters == {"n": 5, "rate": 0.1, "name": "x"}
    assert attempt.tags == {"quality": "3"}


@pytest.mark.parametrize("key", ["", "  ", "a\nb", 5, None, "x" * 300])
def test_bad_keys(inside: Any, key: Any) -> None:
    """A name that cannot be shown is refused."""
    for call in (log.metric, log.param, log.tag):
        with pytest.raises(LogError, match="The name of a"):
            call(key, 1)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "a\\b",
        "C:/x",
        "~/x",
        "a\nb",
        "./x",
        "x" * 300,
        5,
        b"x",
    ],
)
def test_bad_paths(inside: Any, path: Any) -> None:
    """An artifact's name stays within the attempt's folder."""
    with pytest.raises(LogError, match="artifact"):
        log.file(path, b"data")


def test_files(inside: Any, tmp_path: Path) -> None:
    """Bytes, files, text, JSON and folders are recorded whole, with their media types."""
    file = tmp_path / "sub" / "data.bin"
    file.parent.mkdir()
    file.write_bytes(b"\0\1\2")
    (tmp_path / "note.md").write_text("# hi")
    log.file("a.csv", b"x,y\n")
    log.file("b.weird", file)
    log.file("c", bytearray(b"abc"), "text/x-thing")
    log.file("d.txt", io.BytesIO(b"from memory"))
    log.text("log", "line")
    log.json(
        "conf", {"a": math.nan, "b": {1, 2}, "c": np.arange(2), "d": datetime.date(2026, 1, 2)}
    )
    log.dir("folder", tmp_path)
    found = {a.path: a for a in inside().artifacts}
    assert all(a.intact for a in found.values())
    assert {path: (a.media_type, a.data) for path, a in found.items() if path != "conf.json"} == {
        "a.csv": ("text/csv", b"x,y\n"),
        "b.weird": ("application/octet-stream", b"\0\1\2"),
        "c": ("text/x-thing", b"abc"),
        "d.txt": ("text/plain", b"from memory"),
        "log.txt": ("text/plain", b"line"),
        "folder/note.md": ("text/markdown", b"# hi"),
        "folder/sub/data.bin": ("application/octet-stream", b"\0\1\2"),
    }
    assert json.loads(found["conf.json"].data) == {
        "a": None,
        "b": [1, 2],
        "c": [0, 1],
        "d": "2026-01-02",
    }


def test_links_out_of_a_folder(inside: Any, tmp_path: Path) -> None:
    """A folder's links to elsewhere are not followed."""
    (tmp_path / "f").mkdir()
    (tmp_path / "outside").write_text("private")
    (tmp_path / "f" / "link").symlink_to(tmp_path / "outside")
    log.dir("f", tmp_path / "f")
    assert inside().artifacts == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log.file("a", "some text"), r"log\.text"),
        (lambda: log.file("a", Path("nowhere")), "no file 'nowhere'"),
        (lambda: log.file("a", Path("/")), r"log\.dir"),
        (lambda: log.file("a", 5), "bytes or a pathlib.Path"),
        (lambda: log.dir("a", "nowhere"), "no folder"),
        (lambda: log.text("a", b"x"), "takes text"),
        (lambda: log.table("a", 5), "data frame"),
        (lambda: log.figure("a", "x"), "matplotlib"),
        (lambda: log.result(1), "return"),
    ],
)
def test_errors_teach(inside: Any, call: Callable[[], None], message: str) -> None:
    """What cannot be logged is refused with what can."""
    with pytest.raises(LogError, match=message):
        call()


def test_size_limit(inside: Any, tmp_path: Path) -> None:
    """A file over the limit is refused, in memory and on disk, and the setting is named."""
    big = tmp_path / "big"
    big.write_bytes(b"x" * (4 << 20))
    for content in (big.read_bytes(), big):
        with pytest.raises(ValueTooLargeError, match="SPANBOOK_MAX_FILE_BYTES"):
            log.file("big", content)
    log.file("small", b"x" * (2 << 20))
    assert [a.path for a in inside().artifacts] == ["small"]


def test_model(inside: Any) -> None:
    """A model is marked as such, with what it takes."""
    log.model("m.onnx", b"onnx", input={"shape": [8, 8], "labels": ["a", "b"]})
    log.file("n.onnx", b"onnx", model=True, meta={"kind": "image"})
    first, second = inside().artifacts
    assert (first.kind, first.media_type) == ("model", "application/vnd.onnx")
    assert first.meta == {"input": {"shape": [8, 8], "labels": ["a", "b"]}}
    assert (second.kind, second.meta) == ("model", {"kind": "image"})


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        {"a": [1, 2], "b": ["x", None]},
        [{"a": 1, "b": "x"}, {"a": 2, "b": None}],
    ],
)
def test_tables(inside: Any, table: Any) -> None:
    """Frames, dicts of columns and lists of rows become CSV."""
    log.table("t", table)
    (artifact,) = inside().artifacts
    assert (artifact.path, artifact.kind, artifact.media_type) == ("t.csv", "table", "text/csv")
    assert artifact.data == b"a,b\n1,x\n2,\n"
    assert artifact.meta == {"rows": 2, "columns": ["a", "b"]}


def test_table_index_and_parquet(inside: Any) -> None:
    """An index that says something is kept; Parquet comes back as it was."""
    frame = pd.DataFrame({"v": [1.5, 2.5]}, index=pd.Index(["x", "y"], name="key"))
    log.table("t.csv", frame)
    log.table("t.parquet", frame)
    found = {a.path: a.data for a in inside().artifacts}
    assert found["t.csv"] == b"key,v\nx,1.5\ny,2.5\n"
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(found["t.parquet"])), frame)


def test_text_artifacts_are_masked(inside: Any, recorder: Any) -> None:
    """A secret is masked in text that is logged as a file; size and digest are of what is recorded."""
    recorder.emitter.masker.add(["s3cr3t-value"])
    log.text("a.txt", "it is s3cr3t-value")
    log.json("b.json", {"token": "s3cr3t-value"})
    log.file("latin.csv", b"caf\xe9,s3cr3t-value")
    log.file("settings.conf", b"token = s3cr3t-value")
    found = {a.path: a for a in inside().artifacts}
    assert all(a.intact for a in found.values())
    assert found["a.txt"].data == b"it is ***"
    assert b"s3cr3t" not in found["b.json"].data
    assert found["latin.csv"].data == b"caf\xe9,***"
    assert found["settings.conf"].data == b"token = ***"


def binaries() -> dict[str, bytes]:
    """Files that are no text and hold the secret, each in its way."""
    zipped, arrays, table, deep = (io.BytesIO() for _ in range(4))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("settings.ini", "token = s3cr3t-value" * 100)
    np.savez(arrays, names=np.array(["s3cr3t-value"]))
    pd.DataFrame({"a": ["s3cr3t-value"]}).to_parquet(table)
    np.savez_compressed(deep, names=np.array(["x", "s3cr3t-value"]))
    return {
        "model.pkl": pickle.dumps({"token": "s3cr3t-value"}),
        "auth.bin": b"\xff" + base64.b64encode(b"user:s3cr3t-value"),
        "zipped.zip": zipped.getvalue(),
        "arrays.npz": arrays.getvalue(),
        "compressed.npz": deep.getvalue(),
        "table.parquet": table.getvalue(),
        "lines.gz": gzip.compress(b"s3cr3t-value" * 100),
        "far.bin": bytes((1 << 16) - 5) + b"s3cr3t-value",
        "wide.txt": "s3cr3t-value".encode("utf-16"),
    }


@pytest.mark.parametrize("name", list(binaries()))
def test_binary_files_with_secrets_are_withheld(
    inside: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """A mask would break them: their name, size and the reason are recorded instead."""
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
    monkeypatch.setattr("spanbook.withholding._PIECE", 1 << 16)
    data = binaries()[name]
    file = tmp_path / name
    file.write_bytes(data)
    log.file(name, data)
    log.file(f"disk/{name}", file)
    attempt = inside()
    found = {a.path: a.data.decode() for a in attempt.artifacts}
    assert found.keys() == {f"{name}.withheld.txt", f"disk/{name}.withheld.txt"}
    text = found[f"{name}.withheld.txt"]
    assert f"{name!r} ({len(data):,} bytes)" in text
    assert "MY_TOKEN" in text
    assert "s3cr3t" not in text
    assert attempt.logs[0].severity == "WARNING"
    assert attempt.logs[0].text == text.strip()


def test_binary_files_without_secrets_are_recorded(
    inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither chance, nor a broken archive, nor a short secret withholds a file."""
    monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
    monkeypatch.setenv("PIN_SECRET", "1234")
    monkeypatch.setenv("SHARED_LIBRARY_KEY", "true")
    files = {
        "noise.bin": np.random.default_rng(0).bytes(2 << 20),
        "broken.zip": b"PK\x03\x04" + bytes(100),
        "broken.gz": b"\x1f\x8b" + bytes(100),
        "short.bin": b"\xff1234",
        "empty.bin": b"",
    }
    for name, data in files.items():
        log.file(name, data)
    assert {a.path: a.data for a in inside().artifacts} == files


def test_threads(inside: Any) -> None:
    """``log`` is the same on threads that the task starts."""
    thread = threading.Thread(target=log.metric, args=("from_thread", 1))
    thread.start()
    thread.join()
    assert "from_thread" in inside().metrics


def test_outside_a_run_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """Functions that log just run by hand."""
    log.metric("loss", 0.25, step=3)
    log.value("d", {"a": 1})
    log.param("n", 5)
    log.tag("t", "x")
    log.file("f.csv", b"a,b")
    log.table("t", [{"a": 1}])
    log.result({"x": 1})
    assert capsys.readouterr().out.splitlines() == [
        "metric loss: 0.25 (step 3)",
        "value d: {'a': 1}",
        "parameter n: 5",
        "tag t: 'x'",
        "file f.csv: text/csv, 3 bytes",
        "table t.csv: text/csv, 4 bytes",
        "result: {'x': 1}",
    ]


def test_forked_children_print(run_inside: Callable[..., Any]) -> None:
    """A forked child's ``log`` cannot reach the attempt: it prints, and so nothing is lost."""
    ran = run_inside(
        """
        import multiprocessing
        child = multiprocessing.get_context("fork").Process(target=log.metric, args=("m", 1))
        child.start(); child.join()
        """
    )
    assert [line.text for line in ran.attempt.logs] == ["metric m: 1"]
