"""Files, tables and figures as bytes with a media type: what ``log.file`` and its kin accept."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from spanbook_runfile.media import media_type_of as media_type_of  # noqa: PLC0414 - taken from here

from spanbook.errors import LogError, ValueTooLargeError

MAX_PATH: Final = 240  # characters

_TEXT_TYPES: Final = frozenset(
    {
        "application/json",
        "application/jsonl",
        "application/toml",
        "application/x-ipynb+json",
        "application/yaml",
        "image/svg+xml",
    }
)


@dataclass(frozen=True, slots=True)
class Content:
    """An artifact before it is recorded: bytes in memory, or a file on this machine."""

    media_type: str
    data: bytes | None = None
    file: Path | None = None

    @property
    def is_text(self) -> bool:
        """Whether secrets can be masked in it."""
        return self.media_type.startswith("text/") or self.media_type in _TEXT_TYPES

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data) if self.data is not None else self.file.stat().st_size  # type: ignore[union-attr]


def checked_path(path: object) -> str:
    """An artifact's path: relative, POSIX, within the attempt's folder.

    Raises:
        LogError: it is not so.
    """
    if not isinstance(path, str | os.PathLike):
        raise LogError(
            f"An artifact's name is a relative path such as 'plots/loss.png', not {path!r}. "
            "The name comes first, then the content."
        )
    text = os.fspath(path)
    if not isinstance(text, str):
        raise LogError(f"An artifact's name is text, not the bytes {text!r}.")
    parts = text.split("/")
    fault = (
        "is empty"
        if not text.strip()
        else "is absolute"
        if text.startswith(("/", "~")) or text[1:3] in (":/", ":\\")
        else "has a backslash"
        if "\\" in text
        else "leads out of its folder"
        if ".." in parts
        else "has an empty part"
        if any(part.strip() in ("", ".") for part in parts)
        else "has a character that cannot be printed"
        if not text.isprintable()
        else f"has {len(text)} characters; {MAX_PATH} is the limit"
        if len(text) > MAX_PATH
        else ""
    )
    if fault:
        raise LogError(
            f"The artifact name {text[:80]!r} {fault}. Give a relative path with forward slashes, "
            "such as 'plots/loss.png': it says where the file is shown, not where it lies."
        )
    return text


def checked_key(key: object, what: str) -> str:
    """The name of a metric, parameter, tag or value.

    Raises:
        LogError: it is no printable text of at most 250 characters.
    """
    if isinstance(key, str) and key.strip() and key.isprintable() and len(key) <= 250:
        return key
    raise LogError(
        f"The name of a {what} is printable text of 1 to 250 characters, such as 'loss' or "
        f"'train/loss'; given was {str(key)[:80]!r} ({type(key).__name__})."
    )


def check_size(name: str, size: int, limit: int) -> None:
    """Refuse what is over the limit of one file.

    Raises:
        ValueTooLargeError: it is.
    """
    if size > limit:
        raise ValueTooLargeError(
            f"The file {name!r} has {size:,} bytes; one logged file may have {limit:,}. Log a "
            "smaller one (a sample, a compressed copy), or raise SPANBOOK_MAX_FILE_BYTES."
        )


def file_content(name: str, content: object, media_type: str | None) -> Content:
    """Bytes, text, or the path of an existing file.

    Raises:
        LogError: it is nothing of the kind, or there is no such file.
    """
    kind = media_type or media_type_of(name)
    if isinstance(content, bytes | bytearray | memoryview):
        return Content(kind, bytes(content))
    if isinstance(content, os.PathLike):
        file = Path(content)
        if not file.is_file():
            raise LogError(
                f"There is no file {str(file)!r} to log as {name!r}"
                + (": it is a folder. Use log.dir(name, folder)." if file.is_dir() else ".")
            )
        return Content(kind, file=file)
    if isinstance(content, str):
        raise LogError(
            f"log.file({name!r}, …) was given text. For a file's path say Path({content[:40]!r}), "
            "for text itself use log.text(name, text)."
        )
    if hasattr(content, "getvalue"):  # io.BytesIO
        return file_content(name, content.getvalue(), media_type)
    raise LogError(
        f"log.file({name!r}, …) takes bytes or a pathlib.Path, not {type(content).__name__}. "
        "There are log.figure, log.table, log.json and log.text for other things."
    )


def folder_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder as (relative POSIX path, file), sorted; links out are not followed.

    Raises:
        LogError: it is no folder.
    """
    if not folder.is_dir():
        raise LogError(f"There is no folder {str(folder)!r} to log.")
    root = folder.resolve()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.resolve().is_relative_to(root):
            yield file.relative_to(folder).as_posix(), file


def table_content(name: str, table: object) -> tuple[str, Content, dict[str, object]]:
    """A table as CSV, or as Parquet where the name ends so: (name, content, shape for the meta).

    Takes pandas and polars frames, pyarrow tables, and what ``pandas.DataFrame`` takes.

    Raises:
        LogError: nothing of the kind.
    """
    if os.path.splitext(name)[1].lower() not in (".csv", ".parquet"):  # noqa: PTH122
        name += ".csv"
    as_parquet = name.lower().endswith(".parquet")
    frame = _pandas_frame(name, table)
    meta: dict[str, object] = {"rows": len(frame), "columns": [str(c) for c in frame.columns]}
    if as_parquet:
        buffer = io.BytesIO()
        try:
            frame.to_parquet(buffer)
        except ImportError as error:
            raise LogError(
                f"{name!r} needs pyarrow to be written: pip install pyarrow, or name it .csv."
            ) from error
        return name, Content(media_type_of(name), buffer.getvalue()), meta
    has_index = frame.index.name is not None or not _is_plain_index(frame)
    return name, Content("text/csv", frame.to_csv(index=has_index).encode()), meta


def _pandas_frame(name: str, table: object) -> Any:
    import pandas as pd  # noqa: PLC0415 (a task without tables must not pay for pandas)

    if isinstance(table, pd.DataFrame):
        return table
    if isinstance(table, pd.Series):
        return table.to_frame()
    to_pandas = getattr(table, "to_pandas", None)  # polars, pyarrow
    try:
        return to_pandas() if callable(to_pandas) else pd.DataFrame(table)  # type: ignore[call-overload]
    except (ValueError, TypeError) as error:
        raise LogError(
            f"log.table({name!r}, …) takes a data frame, a list of dicts or a dict of columns, not "
            f"{type(table).__name__}: {error}"
        ) from error


def _is_plain_index(frame: Any) -> bool:
    import pandas as pd  # noqa: PLC0415

    return isinstance(frame.index, pd.RangeIndex)


def json_content(value: object) -> Content:
    """Any value as indented JSON; NaN and infinities become null, what JSON lacks its ``str``.

    Raises:
        LogError: it cannot be encoded: too deep, or within itself.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    try:
        return Content(
            "application/json", orjson.dumps(value, default=_json_default, option=options)
        )
    except orjson.JSONEncodeError as error:
        raise LogError(f"The value cannot be written as JSON: {error}.") from error


def _json_default(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    for method in ("tolist", "to_dict"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    return str(value)
