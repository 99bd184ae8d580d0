"""``POST /import``: what is taken, and what is refused without a trace."""

import hashlib
import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from spanbook_runfile import parse_run
from spanbook_runfile.samples import SEALED, hostile, sealed
from spanbook_viewer import Settings, create_app

MEGABYTE = 1 << 20


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of run files, not made yet."""
    return tmp_path / "runs"


@pytest.fixture
def client(tmp_path: Path, runs: Path) -> FlaskClient:
    """A viewer that takes up to 4 MB."""
    settings = Settings(site=tmp_path / "site", runs=runs, max_import_bytes=4 * MEGABYTE)
    return create_app(settings).test_client()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of named contents."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def only_file(runs: Path) -> Path:
    """The one file in the folder."""
    (path,) = runs.iterdir()
    return path


@pytest.mark.parametrize("name", sorted(SEALED))
def test_every_kind_of_run_can_be_imported(client: FlaskClient, runs: Path, name: str) -> None:
    """A sealed run file is kept byte for byte under its run id, read-only."""
    content = sealed(name)
    answer = client.post("/import", data=content)
    run = parse_run(content)
    assert answer.status_code == 201, answer.text
    assert answer.json is not None
    assert answer.json["imported"][0]["run"] == run.id
    path = only_file(runs)
    assert path.name == f"{run.id}.json"
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_zip_of_an_artifact_is_imported(client: FlaskClient, runs: Path) -> None:
    """The zip that GitHub gives for an artifact is unpacked; names in it do not matter."""
    zip_ = zipped(
        {"../../climb.json": sealed("ok"), "C:\\x.json": sealed("failed"), "log.txt": b"x"}
    )
    answer = client.post("/import", data=zip_)
    assert answer.status_code == 201
    expected = {f"{parse_run(sealed(name)).id}.json" for name in ("ok", "failed")}
    assert {path.name for path in runs.iterdir()} == expected


def test_zip_gives_what_is_good_and_names_what_is_not(client: FlaskClient, runs: Path) -> None:
    """One broken file in a zip does not keep the others out."""
    answer = client.post("/import", data=zipped({"bad.json": b"{", "good.json": sealed("ok")}))
    assert answer.status_code == 201
    assert answer.json is not None
    assert [one["name"] for one in answer.json["refused"]] == ["bad.json"]
    assert len(list(runs.iterdir())) == 1


def test_run_that_is_there_is_told_and_kept(client: FlaskClient, runs: Path) -> None:
    """Importing twice changes nothing."""
    client.post("/import", data=sealed("ok"))
    before = only_file(runs).stat()
    answer = client.post("/import", data=sealed("ok"))
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["imported"][0]["new"] is False
    assert only_file(runs).stat().st_mtime_ns == before.st_mtime_ns


def test_run_file_is_never_replaced(client: FlaskClient, runs: Path) -> None:
    """Another file of the same run id does not overwrite, even if it is a good one."""
    run = parse_run(sealed("ok"))
    runs.mkdir()
    (runs / f"{run.id}.json").write_text("the first")
    answer = client.post("/import", data=sealed("ok"))
    assert answer.status_code == 409
    assert only_file(runs).read_text() == "the first"


def forged() -> bytes:
    """A run file whose digest is right, but whose run id is none."""
    body = b'{"resourceSpans":[],"resourceLogs":[],"resourceMetrics":[]'
    digest = hashlib.sha256(body).hexdigest()
    return (
        body + f',"spanbook":{{"format":1,"runId":"../../x","digest":"sha256:{digest}"}}}}'.encode()
    )


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"[1, 2]", "no run file"),
        (sealed("ok")[:-100], "not JSON"),
        (b'{"resourceSpans": []}', "not sealed"),
        (hostile.tampered(), "changed after it was sealed"),
        (sealed("ok").replace(b"mnist", b"minst", 1), "changed after it was sealed"),
        (forged(), "no run id"),
        (b"PK\x03\x04 is no zip", "cannot be read"),
        (zipped({"readme.txt": b"x"}), "no .json"),
        (zipped({"a.json": sealed("ok")})[:-50], "cannot be read"),
    ],
)
def test_what_is_no_run_file_is_refused(
    client: FlaskClient, runs: Path, content: bytes, word: str
) -> None:
    """Each refusal says why, and nothing is written, not even aside."""
    answer = client.post("/import", data=content)
    assert answer.status_code == 422
    assert answer.json is not None
    assert word in answer.json["refused"][0]["reason"]
    assert not runs.exists() or list(runs.iterdir()) == []


def test_broken_samples_are_refused(client: FlaskClient, runs: Path) -> None:
    """The sample files that are no run file are refused, one and all."""
    for name, content in hostile.broken().items():
        answer = client.post("/import", data=content)
        assert answer.status_code in (413, 422), name
    assert not runs.exists() or list(runs.iterdir()) == []


def test_large_upload_is_refused_before_it_is_read(client: FlaskClient) -> None:
    """The cap holds on the declared length, and on what comes where none is declared."""
    for options in ({}, {"environ_overrides": {"CONTENT_LENGTH": ""}}):
        answer = client.post("/import", data=b"x" * (4 * MEGABYTE + 1), **options)  # type: ignore[arg-type]
        assert answer.status_code == 413
        assert "SPANBOOK_MAX_IMPORT_MB" in answer.text


def test_zip_bomb_is_refused(client: FlaskClient, runs: Path) -> None:
    """A small zip that unpacks to more than the cap is refused, at the cost of the cap."""
    bomb = zipped({f"{n}.json": b"0" * (3 * MEGABYTE) for n in range(20)})
    assert len(bomb) < MEGABYTE
    answer = client.post("/import", data=bomb)
    assert answer.status_code == 413
    assert "over the size limit" in answer.text
    assert not runs.exists() or list(runs.iterdir()) == []


def test_zip_that_lies_about_its_sizes_is_refused(client: FlaskClient) -> None:
    """The sizes in a zip's directory are not believed."""
    bomb = bytearray(zipped({"a.json": b"0" * (8 * MEGABYTE)}))
    entry = bomb.rindex(b"PK\x01\x02")
    bomb[entry + 24 : entry + 28] = struct.pack("<I", 10)
    answer = client.post("/import", data=bytes(bomb))
    assert answer.status_code in (413, 422)


def test_zip_of_too_many_files_is_refused(client: FlaskClient) -> None:
    """A zip of many thousand tiny files is refused by its directory alone."""
    answer = client.post("/import", data=zipped({f"{n}.json": b"{}" for n in range(2001)}))
    assert answer.status_code == 413


def test_read_only_folder_is_told(client: FlaskClient, runs: Path) -> None:
    """Where the viewer may not write, the message says what it needs."""
    runs.write_text("a file where the folder should be")
    answer = client.post("/import", data=sealed("ok"))
    assert answer.status_code == 507
    assert "write access" in answer.text
