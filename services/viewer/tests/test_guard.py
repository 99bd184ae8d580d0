"""Who may ask, and who may write."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from spanbook_viewer import Settings, create_app


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    """A viewer that one more host name was allowed."""
    (tmp_path / "index.html").write_text("mine")
    allowed = frozenset({"tracker.lan"})
    return create_app(Settings(site=tmp_path, runs=tmp_path, allowed_hosts=allowed)).test_client()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:9", "[::1]:8080", "[::1]", "tracker.lan:80"]
)
def test_own_host_names_are_answered(client: FlaskClient, host: str) -> None:
    """This machine's names, and those that were allowed, with any port."""
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8080",
        "evil@localhost.x",
        "",
        "[::",
        "a b",
    ],
)
def test_other_host_names_are_refused(client: FlaskClient, host: str) -> None:
    """A page elsewhere cannot read the site by pointing its own name here (DNS rebinding)."""
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code in (400, 403)
    assert "mine" not in answer.text


def test_refusal_says_how_to_allow_the_host(client: FlaskClient) -> None:
    """Who reaches the viewer under another name learns the variable."""
    assert "SPANBOOK_ALLOWED_HOSTS=box.lan" in client.get("/", headers={"Host": "box.lan"}).text


def test_health_is_told_to_any_host(client: FlaskClient) -> None:
    """Probes ask by address or service name."""
    assert client.get("/healthz", headers={"Host": "10.1.2.3:8080"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_only_own_pages_may_import(
    client: FlaskClient, headers: dict[str, str], tmp_path: Path
) -> None:
    """A page elsewhere, or a sandboxed artifact (origin null), cannot make the browser write."""
    answer = client.post("/import", data=b"{}", headers=headers)
    assert answer.status_code == 403
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html"]


def test_own_pages_and_programs_may_import(client: FlaskClient) -> None:
    """The viewer's own page, and a program that is no browser, get as far as the file's check."""
    for headers in ({}, {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}):
        assert client.post("/import", data=b"{}", headers=headers).status_code == 422
