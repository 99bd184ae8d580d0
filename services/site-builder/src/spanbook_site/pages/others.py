"""Feed, badge, and the pages that hang on no run: Compare, About, not found."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree import ElementTree as ET

from markupsafe import Markup

from spanbook_site import formats
from spanbook_site.output import Output
from spanbook_site.pages import not_found
from spanbook_site.summary import Summary, heading
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

ATOM = "http://www.w3.org/2005/Atom"
_COLOURS = {"success": "brightgreen", "running": "blue", "skip": "lightgrey"}


def write_feeds(
    output: Output, templates: Templates, newest: Sequence[Summary], newest_main: Sequence[Summary]
) -> None:
    """The Atom feed of the newest runs, and the badge of the newest main run."""
    output.write(Urls.FEED, _feed(templates, newest))
    state = newest_main[0]["state"] if newest_main else "no runs"
    output.write_json(
        Urls.BADGE,
        {
            "schemaVersion": 1,
            "label": formats.text(templates.settings.title, 40),
            "message": formats.state_word(state),
            "color": _COLOURS.get(state, "lightgrey" if not newest_main else "red"),
        },
    )


def _feed(templates: Templates, newest: Sequence[Summary]) -> bytes:
    base = templates.settings.url.rstrip("/") + "/" if templates.settings.url else ""
    urls = Urls(Urls.FEED)
    ET.register_namespace("", ATOM)
    feed = ET.Element(f"{{{ATOM}}}feed")

    def add(parent: ET.Element, name: str, text: str = "", **attributes: str) -> ET.Element:
        child = ET.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
        child.text = text or None
        return child

    add(feed, "title", formats.text(templates.settings.title, 100))
    add(feed, "id", base + Urls.FEED if base else "urn:spanbook:feed")
    latest = max((r["start"] or 0 for r in newest), default=0)
    add(feed, "updated", _rfc3339(latest))
    add(feed, "link", rel="self", href=(base + Urls.FEED) if base else "feed.xml")
    add(add(feed, "author"), "name", formats.text(templates.settings.title, 100))
    for run in newest:
        entry = add(feed, "entry")
        what = heading(run)
        add(entry, "title", f"{formats.state_word(run['state'])}: {what}")
        add(entry, "id", f"urn:spanbook:run:{run['id']}")
        add(entry, "updated", _rfc3339(run["start"] or 0))
        link = base + quote(Urls.run(run["id"])) if base else urls.to(Urls.run(run["id"]))
        add(entry, "link", rel="alternate", type="text/html", href=link)
        counts = run["counts"]
        add(entry, "summary", run["reason"] or f"{counts['ok']} of {counts['total']} tasks ok")
    body: bytes = ET.tostring(feed, encoding="utf-8")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + body + b"\n"


def _rfc3339(ms: int) -> str:
    return formats.iso(ms * 1_000_000) or datetime.fromtimestamp(0, UTC).isoformat()


def write_fixed(output: Output, templates: Templates, shards: Sequence[str]) -> None:
    """Compare, About and the page for addresses that are not there."""
    output.write(
        Urls.COMPARE,
        templates.page(
            "compare.html", Urls.COMPARE, kind="compare", title="Compare", shards=shards
        ),
    )
    about = templates.settings.about
    body = _markdown(about) if about else ""
    output.write(
        Urls.ABOUT, templates.page("about.html", Urls.ABOUT, kind="about", title="About", body=body)
    )
    not_found.write(output, templates)


def _markdown(text: str) -> Markup:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only where there is a text

    return Markup(MarkdownIt("js-default").render(text))  # noqa: S704 - js-default passes no HTML through
