"""Templates: Jinja with autoescape, and what every page needs."""

import os
import re
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from spanbook_site import formats
from spanbook_site.settings import Settings
from spanbook_site.summary import heading, web
from spanbook_site.urls import Urls

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'"
)
MODEL_POLICY = (
    POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    + "; worker-src 'self' blob:"
)
FRAME_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)
SCRIPTS = (
    "core.js",
    "vendor/uPlot.iife.min.js",
    "charts.js",
    "past.js",
    "rows.js",
    "table.js",
    "select.js",
    "compare.js",
    "live.js",
    "import.js",
)
FOLD = '<input type="checkbox" id="code" checked>'  # of notebook.html
CHARTING = ("vendor/uPlot.iife.min.js", "charts.js")
WITH_CHARTS = ("task-run", "task", "trends", "compare")  # kinds of pages


class Templates:
    """Renders pages; the same input gives the same text."""

    def __init__(
        self,
        settings: Settings,
        version: str,
        available: frozenset[str] = frozenset(),
        *,
        mlflow: bool = False,
    ) -> None:
        self.settings = settings
        self.version = version  # of builder and settings: in the address of style and scripts
        self.available = available  # static files that are there
        self.mlflow = mlflow  # whether MLflow's UI is part of the site

    def __reduce__(self) -> tuple[Any, ...]:
        made = (self.settings, self.version, self.available, self.mlflow)
        return _made, made  # compiled templates stay behind

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("spanbook_site"),
            bytecode_cache=bytecode_cache(),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for name in (
            "iso",
            "when",
            "exact",
            "clock",
            "duration",
            "size",
            "number",
            "fixed",
            "text",
            "visible",
            "state_word",
            "plural",
            "shorten",
        ):
            environment.filters[name] = getattr(formats, name)
        environment.filters["web"] = web
        environment.filters["heading"] = heading
        environment.filters["script_json"] = script_json
        environment.filters["seconds"] = formats.seconds
        environment.globals.update(
            mlflow=self.mlflow, U=Urls, settings=self.settings, version=self.version
        )
        return environment

    def page(self, template: str, address: str, *, kind: str, title: str, **values: Any) -> str:
        """One page of the site, at an address."""
        urls = Urls(address)
        context: Mapping[str, Any] = {
            "urls": urls,
            "to": urls.to,
            "kind": kind,
            "title": title,
            "policy": MODEL_POLICY if kind == "model" else POLICY,
            "scripts": self._scripts(kind),
            "styles": self._styles(kind),
            "live": False,
            **values,
        }
        return _squeeze(self._environment.get_template(template).render(context))

    def alone(self, template: str, **values: Any) -> str:
        """A page that stands by itself, just as its template has it."""
        return self._environment.get_template(template).render(values)

    def macro(self, template: str, name: str, address: str, *arguments: Any) -> str:
        """One macro of a template, as on the page at an address: rows for the data files."""
        module = self._module(template, address)
        return str(getattr(module, name)(*arguments))

    @lru_cache(maxsize=8)  # noqa: B019 - a builder has one of these, and lives as long
    def _module(self, template: str, address: str) -> Any:
        urls = Urls(address)
        return self._environment.get_template(template).make_module({"urls": urls, "to": urls.to})

    def frame(self, html: str, *, notebook: bool, title: str) -> str:
        """A page that holds untrusted HTML in a sandboxed frame, and nothing else."""
        template = self._environment.get_template("frame.html")
        inner = html
        if notebook:
            body = Markup(html)  # noqa: S704 - the whole page goes into srcdoc, escaped
            inner = self._environment.get_template("notebook.html").render(
                body=body,
                title=title,
                fold=Markup(FOLD),  # noqa: S704 - ours
            )
        return template.render(content=inner, title=title, policy=FRAME_POLICY)

    def _styles(self, kind: str) -> list[str]:
        wanted = ["site.css", *(["vendor/uPlot.min.css"] if kind in WITH_CHARTS else [])]
        return [s for s in wanted if s in self.available]

    def _scripts(self, kind: str) -> list[str]:
        wanted = [*SCRIPTS]
        if kind == "model":
            wanted += ["vendor/ort.wasm.min.js", "model.js"]
        if kind != "compare":
            wanted.remove("compare.js")
        if kind not in WITH_CHARTS:
            wanted = [s for s in wanted if s not in CHARTING]
        return [s for s in wanted if s in self.available or f"js/{s}" in self.available]


@cache
def bytecode_cache() -> FileSystemBytecodeCache | None:
    """Compiled templates, kept in the user's cache: half a second of each build that adds a run."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - Path.home() fails for a user without a home
    folder = Path(base) / "spanbook" / "templates"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:  # a container without a home to write to
        return None
    if not os.access(folder, os.W_OK):
        return None
    return FileSystemBytecodeCache(str(folder))


def _made(
    settings: Settings,
    version: str,
    available: frozenset[str],
    mlflow: bool,
) -> Templates:
    return Templates(settings, version, available, mlflow=mlflow)


def script_json(value: object) -> Markup:
    """JSON for a ``<script type="application/json">``: nothing in it can end the element."""
    content = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    return Markup(content.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def folded(frame: str) -> str:
    """A notebook's frame page as it opens with the code hidden: for readers of its results."""
    return frame.replace(str(escape(FOLD)), str(escape(FOLD.replace(" checked", ""))))


def _squeeze(page: str) -> str:
    """Drop the blank lines and indents that templates leave; never within <pre>."""
    parts = re.split(r"(<pre\b.*?</pre>)", page, flags=re.DOTALL)
    return "".join(p if p.startswith("<pre") else re.sub(r"\s*\n\s*", "\n", p) for p in parts)
