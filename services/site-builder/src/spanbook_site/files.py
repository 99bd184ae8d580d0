"""Artifacts on disk: safe names, previews, and frames for what might bear script.

Only types that no browser runs are offered under their own suffix. HTML, SVG, XML and scripts are
written with ``.txt`` behind (every static host then says text/plain) and downloaded under their
real name; HTML and notebooks are shown by a page that holds nothing but a sandboxed frame without
an origin, and whose policy forbids every request; SVG is shown as an image.
"""

import base64
from dataclasses import dataclass
from pathlib import PurePosixPath

from spanbook_runfile import Artifact
from spanbook_runfile.names import ArtifactKind
from spanbook_runfile.paths import safe_path, unique

from spanbook_site import formats, notebooks, previews
from spanbook_site.output import Output
from spanbook_site.previews import Preview
from spanbook_site.templating import Templates

IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".bmp"}
INERT = IMAGES | {
    ".txt", ".log", ".md", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".py", ".ipynb",
    ".parquet", ".feather", ".arrow", ".onnx", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".pt", ".safetensors",
    ".h5", ".zip", ".gz", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".pdf", ".mp3", ".mp4", ".webm", ".wav", ".ogg",
    ".bin",
}  # fmt: skip
TEXT = {
    ".txt",
    ".log",
    ".md",
    ".yaml",
    ".yml",
    ".toml",
    ".ini",
    ".py",
    ".jsonl",
    ".xml",
    ".js",
    ".css",
    ".sql",
    ".sh",
    ".rst",
}
MAX_INLINE_SVG = 1 << 20
MAX_FRAME = 32 << 20  # bytes of a notebook or HTML file that is still shown
MAX_FILES = 500  # of one task


@dataclass(frozen=True)
class SiteFile:
    """One artifact as pages show it; addresses are of the whole site, empty where there is none."""

    artifact: Artifact
    name: str  # the path as logged, made visible
    address: str = ""  # to download
    download: str = ""  # the name to download it under
    view: str = ""  # a page that shows it in a frame
    image: str = ""  # an address or data URI for <img>
    width: int = 0  # pixels of the image, where its file says it
    height: int = 0
    model_page: str = ""
    preview: Preview | None = None
    problem: str = ""

    @property
    def is_notebook(self) -> bool:
        """Whether it is an evaluated notebook."""
        return bool(self.view) and self.artifact.path.endswith(".ipynb")

    def as_json(self) -> dict[str, object]:
        """The entry in the run's summary."""
        return {
            "path": formats.text(self.name, 200),
            "kind": str(self.artifact.kind),
            "media_type": formats.text(self.artifact.media_type, 100),
            "size": min(self.artifact.size, 1 << 53),
            "sha256": formats.text(self.artifact.sha256, 64),
            "address": self.address,
            "view": self.view,
            "image": self.image if not self.image.startswith("data:") else "",
            "problem": self.problem,
        }


class FileWriter:
    """Writes the artifacts of one run, or of one of its tasks, below one folder of the site."""

    def __init__(self, output: Output, templates: Templates, folder: str, *, trimmed: bool) -> None:
        self.output = output
        self.templates = templates
        self.folder = folder
        self.trimmed = trimmed
        self._taken: set[str] = set()

    def write_all(self, artifacts: tuple[Artifact, ...]) -> list[SiteFile]:
        """Write every artifact that is whole; the others are listed with what is wrong."""
        return [self._write(artifact) for artifact in artifacts[:MAX_FILES]]

    def _write(self, artifact: Artifact) -> SiteFile:
        name = formats.text(artifact.path, 200)
        if self.trimmed:
            return SiteFile(artifact, name, problem="Trimmed to keep the site within its size.")
        if not artifact.complete:
            came = sum(len(c) for c in artifact.chunks) * 3 // 4
            return SiteFile(
                artifact,
                name,
                problem=f"Only {formats.size(came)} of {formats.size(artifact.size)} came before the run was sealed.",
            )
        try:
            data = artifact.data
        except ValueError:
            return SiteFile(artifact, name, problem="Its content in the run file is not base64.")
        problem = (
            ""
            if artifact.intact
            else "Its content does not match the digest or size that was declared."
        )
        return self._placed(artifact, name, data, problem)

    def _placed(self, artifact: Artifact, name: str, data: bytes, problem: str) -> SiteFile:
        path = safe_path(artifact.path)
        suffix = path.suffix.lower()
        inert = suffix in INERT
        stored = unique(
            path if inert else path.with_name(path.name + (".txt" if _textual(data) else ".bin")),
            self._taken,
        )
        address = f"{self.folder}/files/{stored}"
        self.output.write(address, data)
        view = model_page = ""
        html = self._frame_content(artifact, suffix, data)
        if html is not None:
            view = f"{self.folder}/views/{stored}.html"
            self.output.write(
                view, self.templates.frame(html, notebook=suffix == ".ipynb", title=path.name)
            )
        preview = _preview(suffix, data) if html is None else None
        if preview and preview.kind == "onnx" and artifact.kind is ArtifactKind.MODEL:
            model_page = f"{self.folder}/views/{stored}.html"
        shape = _png_shape(data)
        return SiteFile(
            artifact,
            name,
            address=address,
            download=path.name,
            view=view,
            image=_image(suffix, data, address),
            width=shape[0],
            height=shape[1],
            model_page=model_page,
            preview=preview,
            problem=problem,
        )

    def _frame_content(self, artifact: Artifact, suffix: str, data: bytes) -> str | None:
        if len(data) > MAX_FRAME:
            return None
        if suffix == ".ipynb":
            try:
                return notebooks.notebook_html(data)
            except notebooks.NotebookError:
                return None
        if suffix in (".html", ".htm", ".xhtml") or artifact.media_type.startswith("text/html"):
            return data.decode("utf-8", "replace")
        return None


def _textual(data: bytes) -> bool:
    return b"\0" not in data[:4096]


def _image(suffix: str, data: bytes, address: str) -> str:
    if suffix in IMAGES:
        return address
    if suffix == ".svg" and len(data) <= MAX_INLINE_SVG:
        return "data:image/svg+xml;base64," + base64.b64encode(data).decode()
    return ""


def _png_shape(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG, so that a page keeps its room; nought where it is none."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < 24:
        return 0, 0
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    return (width, height) if 0 < width < 20_000 and 0 < height < 20_000 else (0, 0)


def _preview(suffix: str, data: bytes) -> Preview | None:
    if suffix in (".csv", ".tsv"):
        return previews.delimited(data, "\t" if suffix == ".tsv" else ",")
    if suffix == ".json":
        return previews.json_tree(data)
    if suffix == ".parquet":
        return previews.parquet(data)
    if suffix == ".onnx":
        return previews.onnx(data)
    if suffix in TEXT:
        return previews.text(data)
    return None


def stem(path: str) -> str:
    """The file name of a logged path, for captions."""
    return PurePosixPath(path).name or path
