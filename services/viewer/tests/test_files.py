"""The site's files over HTTP."""

import os
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from spanbook_viewer import Settings, create_app

PAGE = "<!doctype html><title>Runs</title>" + "<p>a run</p>" * 200


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small site."""
    folder = tmp_path / "site"
    for name, content in {
        "index.html": PAGE,
        "runs/a b/index.html": PAGE,
        "runs/a b/files/report.html": "<script>1</script>",
        "runs/a b/files/notes.txt": "x" * 2000,
        "runs/a b/views/report.html.txt.html": "<iframe>",
        "runs/a b/views/model.onnx.html": PAGE,
        "data/runs.parquet": "PAR1" * 1000,
        "static/js/core.js": "1;" * 1000,
        ".builder/secret.txt": "mine",
        "data/.runs.json.tmp": "half",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


@pytest.fixture
def client(site: Path) -> FlaskClient:
    """A client of the viewer of that site."""
    return create_app(Settings(site=site, runs=site.parent / "runs")).test_client()


def test_page_is_the_builders_byte_for_byte(client: FlaskClient) -> None:
    """A page is served as it was built."""
    answer = client.get("/")
    assert answer.text == PAGE
    assert answer.content_type == "text/html; charset=utf-8"


@pytest.mark.parametrize("encoding", ["", "gzip", "br"])
def test_unchanged_page_is_not_sent_again(client: FlaskClient, encoding: str) -> None:
    """A page is asked for each time, and answered 304 while it is the same, compressed or not."""
    headers = {"Accept-Encoding": encoding}
    first = client.get("/", headers=headers)
    assert first.headers["Cache-Control"] == "no-cache"
    assert first.headers.get("Content-Encoding", "") == encoding
    again = client.get("/", headers={**headers, "If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""


def test_changed_page_is_sent_again(client: FlaskClient, site: Path) -> None:
    """A rebuilt page of the same length and modification time has another ETag."""
    first = client.get("/")
    then = (site / "index.html").stat()
    aside = site / "aside"
    aside.write_text(PAGE.replace("a run", "b run"))
    aside.rename(site / "index.html")
    os.utime(site / "index.html", ns=(then.st_atime_ns, then.st_mtime_ns))
    again = client.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 200
    assert "b run" in again.text


def test_encodings_have_etags_of_their_own(client: FlaskClient) -> None:
    """The same page compressed otherwise is other bytes, so it bears another ETag."""
    tags = {
        client.get("/", headers={"Accept-Encoding": e}).headers["ETag"] for e in ("", "gzip", "br")
    }
    assert len(tags) == 3


def test_small_and_binary_files_are_not_compressed(client: FlaskClient) -> None:
    """What compression does not help is sent as it is."""
    answer = client.get("/data/runs.parquet", headers={"Accept-Encoding": "br, gzip"})
    assert "Content-Encoding" not in answer.headers


def test_parquet_is_read_by_ranges(client: FlaskClient) -> None:
    """DuckDB reads a Parquet file's end first."""
    answer = client.get("/data/runs.parquet", headers={"Range": "bytes=-4"})
    assert answer.status_code == 206
    assert answer.data == b"PAR1"
    assert answer.headers["Content-Range"] == "bytes 3996-3999/4000"


def test_range_of_a_compressible_file_is_the_whole(client: FlaskClient) -> None:
    """A range of a file that may be compressed is never a range of other bytes."""
    answer = client.get("/", headers={"Range": "bytes=0-3", "Accept-Encoding": "gzip"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.atom", "application/atom+xml; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.html", "text/html; charset=utf-8"),
        ("a.ipynb", "application/x-ipynb+json"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.mmd", "text/vnd.mermaid; charset=utf-8"),
        ("a.onnx", "application/onnx"),
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.PNG", "image/png"),
        ("a.svg", "image/svg+xml; charset=utf-8"),
        ("a.wasm", "application/wasm"),
        ("a.csv.gz", "application/gzip"),
        ("a.strange", "application/octet-stream"),
        ("a", "application/octet-stream"),
    ],
)
def test_media_types(client: FlaskClient, site: Path, name: str, kind: str) -> None:
    """Media types are right, and the same on every machine."""
    (site / name).write_bytes(b"x")
    answer = client.get(f"/{name}")
    assert answer.content_type == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_folder_is_its_index(client: FlaskClient) -> None:
    """A folder's address leads to the one with a slash, which is its index.html."""
    answer = client.get("/runs/a%20b?x=1")
    assert answer.status_code == 308
    assert client.get("/runs/a%20b?x=1", follow_redirects=True).text == PAGE
    assert client.get("/runs/a%20b/").text == PAGE


def test_redirect_never_leaves_the_site(client: FlaskClient, site: Path) -> None:
    """A folder whose name looks like an address does not become one."""
    (site / "javascript:alert(1)").mkdir()
    assert client.get("/javascript:alert(1)").headers["Location"].startswith("/java")


def test_folders_are_not_listed(client: FlaskClient) -> None:
    """A folder without an index.html is not there."""
    for path in ("/data/", "/data", "/static/", "/index.html/"):
        answer = client.get(path, follow_redirects=True)
        assert answer.status_code == 404, path
        assert "parquet" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/runs/../../secret.txt",
        "/runs/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/%2fetc/passwd",
        "/index.html%00.txt",
        "/.builder/secret.txt",
        "/data/.runs.json.tmp",
        "/link.txt",
        "/" + "x" * 5000,
        "/loop",
    ],
)
def test_nothing_outside_the_site_is_served(client: FlaskClient, site: Path, path: str) -> None:
    """No path leads out of the folder, nor to the builder's hidden files."""
    (site.parent / "secret.txt").write_text("secret")
    (site / "link.txt").symlink_to(site.parent / "secret.txt")
    (site / "loop").symlink_to(site / "loop")
    answer = client.get(path)
    assert answer.status_code in (404, 308)
    assert "secret\n" not in answer.text
    assert answer.status_code == 404 or "passwd" in answer.headers["Location"]


def test_site_may_be_a_symbolic_link(site: Path, tmp_path: Path) -> None:
    """A folder that is switched atomically by a link is followed."""
    link = tmp_path / "current"
    link.symlink_to(site)
    client = create_app(Settings(site=link, runs=tmp_path)).test_client()
    assert client.get("/").text == PAGE


def test_versioned_static_files_are_kept_long(client: FlaskClient) -> None:
    """A static file whose address names its version is never asked for again; others are."""
    assert "immutable" in client.get("/static/js/core.js?v=1234abcd").headers["Cache-Control"]
    assert client.get("/static/js/core.js").headers["Cache-Control"] == "no-cache"
    assert client.get("/?v=1234abcd").headers["Cache-Control"] == "no-cache"


def test_mlflows_own_files_are_kept_long(site: Path, client: FlaskClient) -> None:
    """Its scripts and styles are named by their content; its page and its data are not."""
    folder = site / "mlflow" / "static-files" / "static" / "js"
    folder.mkdir(parents=True)
    for name in ("main.c2f5f8d4.js", "9861.2d6b3bae.chunk.js", "plain.js"):
        (folder / name).write_text("0")
    (site / "mlflow" / "data").mkdir()
    (site / "mlflow" / "data" / "experiments.json").write_text("{}")
    kept = {
        path: "immutable" in client.get(f"/mlflow/{path}").headers["Cache-Control"]
        for path in (
            "static-files/static/js/main.c2f5f8d4.js",
            "static-files/static/js/9861.2d6b3bae.chunk.js",
            "static-files/static/js/plain.js",
            "data/experiments.json",
        )
    }
    assert list(kept.values()) == [True, True, False, False]


def test_pages_have_a_strict_policy(client: FlaskClient) -> None:
    """A page of the site runs the site's scripts only, and asks the site only."""
    for path in ("/", "/runs/a b/", "/nowhere", "/healthz", "/runs/a b/views/model.onnx.html"):
        policy = client.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self' 'wasm-unsafe-eval';" in policy
        assert "unsafe-inline" not in policy


@pytest.mark.parametrize("path", ["files/report.html", "views/report.html.txt.html"])
def test_artifacts_are_sandboxed_by_header(client: FlaskClient, path: str) -> None:
    """HTML out of a run file is in an origin of its own, wherever it is opened."""
    policy = client.get(f"/runs/a b/{path}").headers["Content-Security-Policy"]
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy


def test_other_methods_are_refused(client: FlaskClient) -> None:
    """The site is read-only."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.open("/index.html", method=method).status_code == 405


def test_missing_page_says_where_to_go(client: FlaskClient) -> None:
    """A 404 names what was asked and where the runs are."""
    answer = client.get("/runs/gone/index.html", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "no page /runs/gone/index.html" in answer.text
    assert '<a href="/">All runs</a>' in answer.text


def test_missing_file_is_told_in_plain_text(client: FlaskClient) -> None:
    """What asks for no page gets none: a script, curl, an image."""
    answer = client.get("/data/gone.json", headers={"Accept": "*/*"})
    assert answer.status_code == 404
    assert answer.content_type == "text/plain; charset=utf-8"
    assert "no page /data/gone.json" in answer.text


def test_missing_page_shows_a_hostile_address_as_text(client: FlaskClient) -> None:
    """What stands in the address is not markup."""
    answer = client.get("/<img src=x onerror=alert(1)>", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "<img" not in answer.text


@pytest.mark.parametrize("page", ["index.html", "", "tasks/00f067aa0ba902b7/index.html"])
def test_run_to_come_is_waited_for(client: FlaskClient, page: str) -> None:
    """The link that a runner prints at its start is a page that waits, a 404 until the run is built."""
    run = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = client.get(f"/runs/{run}/{page}", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"
    assert "This run is not here yet" in answer.text
    assert run in answer.text
    assert '<a href="/">All runs</a>' in answer.text


def test_missing_page_of_a_run_leads_to_the_run(client: FlaskClient, site: Path) -> None:
    """A page that a run does not have leads back to the run."""
    run = "4bf92f3577b34da6a3ce929d0e0e4736"
    (site / "runs" / run).mkdir()
    (site / "runs" / run / "index.html").write_text(PAGE)
    answer = client.get(f"/runs/{run}/tasks/gone/index.html", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert f'href="/runs/{run}/index.html"' in answer.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_site_does_not_fail_the_health(client: FlaskClient, site: Path) -> None:
    """A folder that the viewer may not read is as good as none yet: it answers all the same."""
    site.chmod(0)
    assert client.get("/healthz").json == {"status": "ok", "site": False}
    site.chmod(0o755)


def test_before_the_first_site_a_page_says_what_it_waits_for(tmp_path: Path) -> None:
    """Without a site every page explains itself; health is good all the same."""
    client = create_app(Settings(site=tmp_path / "site", runs=tmp_path / "runs")).test_client()
    answer = client.get("/runs/x/index.html", headers={"Accept": "text/html"})
    assert answer.status_code == 503
    assert "waits for" in answer.text
    assert str(tmp_path / "site") in answer.text
    assert client.get("/_viewer/waiting.js").status_code == 200
    assert client.get("/healthz").json == {"status": "ok", "site": False}
    assert client.get("/data/build.json", headers={"Accept": "application/json"}).status_code == 404
