"""Media types by suffix: the same on every machine."""

import mimetypes
from pathlib import PurePosixPath
from typing import Final

_MEDIA_TYPES: Final = {  # where the standard library knows none, or one that depends on the machine
    ".csv": "text/csv",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".mmd": "text/vnd.mermaid",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".onnx": "application/vnd.onnx",
    ".parquet": "application/vnd.apache.parquet",
    ".pkl": "application/x-pickle",
    ".py": "text/x-python",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".txt": "text/plain",
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


def media_type_of(path: str) -> str:
    """The media type that the path's suffix stands for."""
    suffix = PurePosixPath(path).suffix.lower()
    return _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
