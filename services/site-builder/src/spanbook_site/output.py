"""The output folder: each file written aside and renamed, so that a reader never sees half of one."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import orjson

from spanbook_site.errors import OutputError


def version_of(content: bytes) -> str:
    """A short content version, as the manifest has it."""
    return hashlib.sha256(content).hexdigest()[:16]


class Output:
    """Writes files under one folder and notes which; a file that is already so stays untouched."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written: dict[str, str] = {}  # address → content version
        self.sizes: dict[str, int] = {}  # address → bytes

    @property
    def total(self) -> int:
        """Of all that was written."""
        return sum(self.sizes.values())

    def path(self, address: str) -> Path:
        """The file of an address.

        Raises:
            OutputError: the address would lead out of the folder.
        """
        pure = PurePosixPath(address)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise OutputError(
                f"{address!r} leads out of the site's folder; this is a bug in spanbook-site."
            )
        return self.root / pure

    def write(self, address: str, content: bytes | str) -> str:
        """Write a file whole, or leave it if it holds just this; returns its content version."""
        data = content.encode("utf-8", "replace") if isinstance(content, str) else content
        target = self.path(address)
        if not _holds(target, data):
            replace_file(target, data)
        return self._note(address, data, len(data))

    def write_json(self, address: str, value: object) -> str:
        """Write JSON with sorted keys; NaN and infinities become null."""
        return self.write(address, orjson.dumps(value, option=orjson.OPT_SORT_KEYS))

    def write_data(self, name: str, value: object) -> str:
        """Write ``<name>.json``, and ``.js``: the same for pages opened from ``file://``."""
        content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        self.write(f"{name}.json", content)
        return self.write_script(name, content)

    def write_script(self, name: str, content: bytes) -> str:
        """Write JSON as the classic script ``<name>.js``, which sets ``spanbook.data[name]``."""
        head = b"(self.spanbook=self.spanbook||{}).data=self.spanbook.data||{};spanbook.data["
        return self.write(f"{name}.js", head + orjson.dumps(name) + b"]=" + content + b";\n")

    def link(self, address: str, source: Path, version: str) -> None:
        """Offer an immutable file for download: a hard link where the file system can, else a copy.

        ``version`` is that of its content, or what stands for it.
        """
        target = self.path(address)
        stat = source.stat()
        self.written[address], self.sizes[address] = version, stat.st_size
        with contextlib.suppress(OSError):
            there = target.stat()
            same_file = (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino)
            if same_file or (there.st_size, there.st_mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                return
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()
        try:
            os.link(source, aside)
        except OSError:  # another file system, or one without links
            shutil.copy2(source, aside)
        aside.replace(target)

    def prune(self, folder: str, keep: set[str]) -> None:
        """Remove what lies under a folder of the site and is not in ``keep`` (addresses)."""
        top = self.path(folder)
        for path in sorted(top.rglob("*"), reverse=True):
            address = path.relative_to(self.root).as_posix()
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()  # fails, as it should, while it holds something
                elif address not in keep:
                    path.unlink()

    def remove(self, folder: str) -> None:
        """Remove a folder of the site."""
        shutil.rmtree(self.path(folder), ignore_errors=True)

    def _note(self, address: str, data: bytes, size: int) -> str:
        version = version_of(data)
        self.written[address] = version
        self.sizes[address] = size
        return version


def _holds(target: Path, data: bytes) -> bool:
    try:
        return target.stat().st_size == len(data) and target.read_bytes() == data
    except OSError:
        return False


def replace_file(target: Path, data: bytes) -> None:
    """Write a file aside and rename it into place.

    Raises:
        OutputError: the folder refused.
    """
    try:
        try:
            handle, aside = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=target.parent)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, aside = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            Path(aside).chmod(0o644)
            Path(aside).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(aside).unlink()
            raise
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({error.strerror}). "
            "Give spanbook-site an --out folder that this user may write to, on a disk with room."
        ) from error
