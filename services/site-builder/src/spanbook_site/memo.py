"""What the last build did, so that the next does only what changed."""

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import orjson

from spanbook_site.output import Output, replace_file
from spanbook_site.record import Record

log = logging.getLogger("spanbook_site")
_FIELDS = [field.name for field in fields(Record)]  # the key is the first
_TASKS = _FIELDS.index("tasks")
FILE = ".cache/builder.json"  # under the site's folder; never needed to read the site


class Memo:
    """Records of runs, and for each group of list pages the key it was made for and its files."""

    def __init__(self, out: Path, site: str) -> None:
        self.path = out / FILE
        self.site = site
        self.runs: dict[str, Record] = {}
        self.groups: dict[str, tuple[str, dict[str, str]]] = {}
        self.fresh: dict[str, tuple[str, dict[str, str]]] = {}
        self.changed: set[str] = (
            set()
        )  # runs that are new, rendered anew or gone since the last save
        self._load()

    def _load(self) -> None:
        try:
            raw = orjson.loads(self.path.read_bytes())
            if raw["site"] != self.site:
                return
            if raw["fields"] != _FIELDS:
                return
            for row in raw["runs"]:
                row[_TASKS] = tuple(row[_TASKS])
            self.runs = {row[0]: Record(*row) for row in raw["runs"]}
            self.groups = {name: (key, files) for name, (key, files) in raw["groups"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("%s cannot be used (%s); building everything anew.", self.path, error)
            self.runs, self.groups = {}, {}

    def save(self) -> None:
        """Write the memo for the next build."""
        self.groups = self.fresh
        self.changed = set()
        rows = list(map(attrgetter(*_FIELDS), self.runs.values()))
        raw = {"site": self.site, "fields": _FIELDS, "runs": rows, "groups": self.groups}
        replace_file(self.path, orjson.dumps(raw))

    def begin(self) -> None:
        """Start a build: no group is done yet."""
        self.fresh = {}

    def group(self, name: str, key: str, output: Output, write: Callable[[Output], Any]) -> None:
        """Let ``write`` make a group of files, unless it did so for the same key."""
        known = self.groups.get(name)
        if known and known[0] == key:
            self.fresh[name] = known
            return
        part = Output(output.root)
        write(part)
        self.fresh[name] = (key, part.written)

    def files(self) -> dict[str, str]:
        """Every file of every group with its version."""
        return {
            address: version
            for _, files in self.fresh.values()
            for address, version in files.items()
        }

    def forgotten(self) -> set[str]:
        """Files of the last build's groups that this one has no more."""
        before = {address for _, files in self.groups.values() for address in files}
        return before - self.files().keys()


def key_of(*parts: Iterable[str] | str) -> str:
    """A digest of texts."""
    digest = hashlib.sha256()
    for part in parts:
        for text in (part,) if isinstance(part, str) else part:
            digest.update(text.encode("utf-8", "replace"))
            digest.update(b"\0")
        digest.update(b"\1")
    return digest.hexdigest()[:16]
