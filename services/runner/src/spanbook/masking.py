"""Secrets out of everything that is recorded: the values of variables whose names look secret."""

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

MASK: Final = "***"
MIN_SECRET: Final = 4  # characters; masking shorter values would blank out ordinary text
MIN_BINARY: Final = 6  # bytes of a secret in a file that is no text: shorter ones turn up by chance

_WORDS: Final = (
    r"tokens?|secrets?|passw(or)?d|passphrase|pwd|pass|keys?|apikey|credentials?|creds?|auth|bearer|"
    r"cookie|dsn|pat|signature|webhook"
)
_SECRET_NAME: Final = re.compile(
    rf"(?i)(^|[_.-])({_WORDS})([_.-]|\d|$)|token|secret|passw|credential|api_?key|private_?key"
)
_HARMLESS: Final = frozenset(
    {"true", "false", "none", "null", "auto", "default", "basic", "bearer", "token"}
)
_USERINFO: Final = re.compile(r"(?<=://)[^\s/@'\"<>]+(?=@)")


def looks_secret(name: str) -> bool:
    """Whether a variable of this name holds something that must not be published."""
    return _SECRET_NAME.search(name) is not None


class Masker:
    """Replaces secrets in text by ``***``.

    A secret is masked as it is, in hex, URL-encoded, in base32 and base64 (there at any offset, with
    and without a user name before it), as HTML, JSON and Python string escapes write it, and line by line where it has
    several lines. The user information of URLs (``https://user:password@host``) is masked always.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets: frozenset[str] = frozenset()
        self.longest = 0  # characters of the longest form: what a cut through text must hold back
        self._pattern: re.Pattern[str] | None = None
        self._forms: list[str] = []
        self._names: dict[str, str] = {}  # of the variables that hold the secrets, where known
        self._in_bytes: dict[bytes, str] = {}
        self._environ: Mapping[bytes, bytes] = {}
        self.add(secrets)

    @classmethod
    def of_environ(cls, extra: Iterable[str] = ()) -> "Masker":
        """The masker of this process's environment, and of ``extra`` secrets."""
        masker = cls(extra)
        masker.refresh()
        return masker

    def add(self, secrets: Iterable[str]) -> None:
        """Know more secrets; what was a secret once stays one."""
        known = self.secrets | {s for s in secrets if _is_worth_masking(s)}
        if known == self.secrets:
            return
        self.secrets = known
        self._forms = sorted({f for s in known for f in _forms(s)}, key=len, reverse=True)
        self.longest = max(map(len, self._forms))
        self._in_bytes = {}
        self._pattern = re.compile("|".join(map(re.escape, self._forms)))

    def refresh(self) -> None:
        """Look at the environment again: a task may have loaded a ``.env`` file."""
        # What os.environb wraps: to compare and to copy it takes a microsecond, not a hundred.
        now: Mapping[bytes, bytes] = getattr(os.environb, "_data", os.environb)
        if now == self._environ:
            return
        before, self._environ = self._environ, dict(now)
        new = {
            os.fsdecode(value): os.fsdecode(name)
            for name, value in self._environ.items()
            if before.get(name) != value and looks_secret(os.fsdecode(name))
        }
        self._names.update(new)
        self.add(new)

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        if "://" in text and "@" in text:
            text = _USERINFO.sub(MASK, text)
        return text

    def finished(self, text: str) -> str:
        """Masked text that breaks off, without what may be the beginning of a secret at its end."""
        text = self.text(text)
        for length in range(min(self.longest - 1, len(text)), MIN_SECRET - 1, -1):
            if any(form.startswith(text[-length:]) for form in self._forms):
                return text[:-length]
        return text

    def in_bytes(self) -> dict[bytes, str]:
        """How files that are no text may hold the secrets, each with the name of its variable."""
        if not self._in_bytes:
            self._in_bytes = {
                form: self._names.get(secret, "of another machine")
                for secret in sorted(self.secrets)
                for form in _binary_forms(secret)
                if len(form) >= MIN_BINARY
            }
        return self._in_bytes

    def data(self, data: bytes) -> bytes:
        """Text as bytes, without secrets; what is no UTF-8 in it stays as it is."""
        text = data.decode("utf-8", "surrogateescape")
        masked = self.text(text)
        return data if masked == text else masked.encode("utf-8", "surrogateescape")

    def record(self, record: LogRecord) -> None:
        """Mask a log record's body and attributes in place."""
        self.value(record.body)
        for pair in record.attributes:
            self.value(pair.value)

    def value(self, value: AnyValue) -> None:
        """Mask an AnyValue in place, keys of maps included; bytes stay as they are."""
        kind = value.WhichOneof("value")
        if kind == "string_value":
            masked = self.text(value.string_value)
            if masked != value.string_value:
                value.string_value = masked
        elif kind == "array_value":
            for item in value.array_value.values:
                self.value(item)
        elif kind == "kvlist_value":
            for pair in value.kvlist_value.values:
                pair.key = self.text(pair.key)
                self.value(pair.value)


def _is_worth_masking(secret: str) -> bool:
    secret = secret.strip()
    if len(secret) < MIN_SECRET or secret.lower() in _HARMLESS:
        return False
    # SSH_AUTH_SOCK, SSL_KEY_FILE: where a secret lies is none.
    return not (secret.startswith(("/", "~/")) and os.path.lexists(os.path.expanduser(secret)))  # noqa: PTH111


def _forms(secret: str) -> Iterable[str]:
    """Every spelling of a secret that text may hold."""
    plain = {
        secret,
        secret.strip(),
        *(s for line in secret.splitlines() if len(s := line.strip()) >= 6),
    }
    for text in plain:
        if len(text) < MIN_SECRET:
            continue
        yield quote(text, safe="", errors="surrogateescape")
        yield quote(text, errors="surrogateescape")
        yield quote_plus(text, errors="surrogateescape")
        yield html.escape(text)
        for spelled in (text, repr(text)[1:-1]):
            yield spelled
            for once in _json_forms(spelled):
                yield once
                yield from _json_forms(once)  # JSON in a notebook's JSON
    raw = secret.encode("utf-8", "surrogateescape")
    if len(raw) >= 6:
        yield from _hex_forms(raw)
        yield (
            base64.b32encode(raw).decode().rstrip("=")[:-1]
        )  # the last one holds what follows, too
        yield from _base64_forms(raw)
        yield from _base64_forms(secret.strip().encode("utf-8", "surrogateescape"))


def _binary_forms(secret: str) -> Iterable[bytes]:
    """As text in UTF-8, and wide, as numpy and Windows have it."""
    for form in _forms(secret):
        yield form.encode("utf-8", "surrogateescape")
    for encoding in ("utf-16-le", "utf-32-le"):
        yield secret.strip().encode(encoding, "surrogatepass")


def _json_forms(text: str) -> Iterable[str]:
    return {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}


def _hex_forms(raw: bytes) -> Iterable[str]:
    """As bytes.hex(), xxd and a URL with every character escaped write it, in both cases."""
    for digits in (raw.hex(), raw.hex(":"), raw.hex(" "), raw.hex(" ", -2), "%" + raw.hex("%")):
        yield digits
        yield digits.upper()


def _base64_forms(raw: bytes) -> Iterable[str]:
    """The characters that base64 makes of ``raw`` alone, at each of the three offsets."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        start = (0, 2, 3)[offset]  # characters that the bytes before it reach into
        spill = 1 if (offset + len(raw)) % 3 else 0  # and the bytes behind it
        core = encoded[start : len(encoded) - spill]
        if len(core) >= 8:
            yield core
            yield core.replace("+", "-").replace("/", "_")
