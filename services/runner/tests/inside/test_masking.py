"""Secrets do not get into what is recorded."""

import base64
import html
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spanbook.masking import MASK, Masker, looks_secret
from spanbook_runfile import encode, names

SECRET = 'hunter2/"pä$$ word'


@pytest.mark.parametrize(
    "name",
    ["GITHUB_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "db_password", "PGPASSWORD", "APIKEY",
     "GOOGLE_APPLICATION_CREDENTIALS_JSON", "SENTRY_DSN", "SLACK_WEBHOOK", "MY_PASSPHRASE", "KEY2"],
)  # fmt: skip
def test_secret_names(name: str) -> None:
    """Variables named like a secret hold one."""
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "MONKEY",
        "KEYBOARD",
        "PYTHONPATH",
        "COMPASS",
        "TURKEY",
        "AUTHOR",
        "GITHUB_SHA",
    ],
)
def test_harmless_names(name: str) -> None:
    """A word within another is no secret's name."""
    assert not looks_secret(name)


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps(json.dumps(SECRET)),
        repr(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        base64.b32encode(SECRET.encode()).decode(),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        SECRET.encode().hex(":"),
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        html.escape(SECRET),
    ],
)
def test_every_spelling(spelling: str) -> None:
    """A secret is masked as it is and as JSON, Python, HTML, URLs, hex and base64 write it."""
    masked = Masker([SECRET]).text(f"before {spelling} behind")
    assert MASK in masked
    assert "hunter2" not in masked
    assert base64.b64encode(SECRET.encode())[:12].decode() not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" behind")


@given(st.binary(max_size=7), st.binary(max_size=7))
def test_base64_within(before: bytes, behind: bytes) -> None:
    """Basic authentication encodes a secret behind a user's name, at any offset: it is found."""
    secret = "s3cr3t-value-1234"
    encoded = base64.b64encode(before + secret.encode() + behind).decode()
    masked = Masker([secret]).text(encoded)
    assert MASK in masked
    assert len(masked) - len(MASK) <= len(encoded) - 20


def test_multi_line_secret() -> None:
    """Each line of a private key is a secret."""
    key = "-----BEGIN KEY-----\nMIIabcdefgh\nqrstuvwxyz==\n-----END KEY-----"
    assert "MIIabcdefgh" not in Masker([key]).text("line 2 is MIIabcdefgh\n")


def test_url_user_information() -> None:
    """A password in a URL is masked although no variable holds it; addresses without one stay."""
    text = Masker().text("from https://bob:pass@host/x, http://host/a@b, git@github.com:o/r")
    assert text == f"from https://{MASK}@host/x, http://host/a@b, git@github.com:o/r"


@pytest.mark.parametrize("value", ["", "1", "yes", "true", "None", "abc"])
def test_short_values_stay(value: str) -> None:
    """Values that ordinary text is full of are not masked."""
    assert Masker([value]).text("1 yes true None abc") == "1 yes true None abc"


def test_paths_stay() -> None:
    """Where a key lies is no secret."""
    assert Masker([__file__]).text(__file__) == __file__


def test_environment_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that a task loads into its environment is known; one that is gone stays known."""
    masker = Masker.of_environ()
    monkeypatch.setenv("LATE_TOKEN", "loaded-by-dotenv")
    masker.refresh()
    assert masker.text("it is loaded-by-dotenv") == f"it is {MASK}"
    monkeypatch.delenv("LATE_TOKEN")
    masker.refresh()
    assert masker.text("it is loaded-by-dotenv") == f"it is {MASK}"


def test_values_in_depth() -> None:
    """Secrets are masked in lists, in mappings and in their keys; bytes stay as they are."""
    record = encode.log_record(
        run_id="ab" * 16,
        span_id="cd" * 8,
        record_id="1",
        time=1,
        body={"a": ["x s3cr3t y"], "s3cr3t": {"b": "s3cr3t"}, "raw": b"s3cr3t"},
        attrs={names.EXCEPTION_MESSAGE: "wrong s3cr3t"},
    )
    Masker(["s3cr3t"]).record(record)
    assert str(record).count("s3cr3t") == 1
    assert record.body.kvlist_value.values[2].value.bytes_value == b"s3cr3t"


def test_other_encodings() -> None:
    """Text that is no UTF-8 loses its secrets, too, and nothing else."""
    masker = Masker(["s3cr3t"])
    assert masker.data(b"caf\xe9 s3cr3t \xff") == b"caf\xe9 *** \xff"
    data = b"\xff\xfe nothing"
    assert masker.data(data) is data
    assert Masker(["s3cr3t"]).data(b"a s3cr3t b") == b"a *** b"
