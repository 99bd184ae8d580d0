"""Media types by file name, the same on every machine: the host's own tables are not asked."""

import mimetypes

_TABLE = mimetypes.MimeTypes()
for _suffix, _type in {
    ".atom": "application/atom+xml",
    ".avif": "image/avif",
    ".ipynb": "application/x-ipynb+json",
    ".js": "text/javascript",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mmd": "text/vnd.mermaid",
    ".onnx": "application/onnx",
    ".parquet": "application/vnd.apache.parquet",
    ".py": "text/x-python",
    ".toml": "application/toml",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}.items():
    _TABLE.add_type(_type, _suffix)

COMPRESSED_TYPES = [
    "application/atom+xml",
    "application/json",
    "application/jsonl",
    "application/onnx",
    "application/wasm",
    "application/x-ipynb+json",
    "application/xml",
    "application/yaml",
    "image/svg+xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/markdown",
    "text/plain",
    "text/vnd.mermaid",
    "text/xml",
    "text/x-python",
]


def media_type(name: str) -> str:
    """The media type of a file, ``application/octet-stream`` where its name does not tell."""
    guess, encoding = _TABLE.guess_type(name.lower())
    if encoding:  # data.csv.gz is a gzip file, not a CSV that the browser should unpack
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    return guess or "application/octet-stream"


def runs_script(kind: str) -> bool:
    """Whether a browser would run script in a document of this media type."""
    return kind in ("text/html", "image/svg+xml", "application/xhtml+xml") or kind.endswith(
        ("/xml", "+xml")
    )
