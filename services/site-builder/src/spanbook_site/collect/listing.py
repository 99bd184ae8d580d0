"""Pages of GitHub's list, remembered with their ETags: one that did not change is not counted as a request."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

NAME = ".listing.json"
ITEM = ("id", "name", "size_in_bytes", "digest", "expired", "created_at", "workflow_run")


@dataclass(frozen=True)
class Page:
    """One page: what of its items is needed, how many there are in all, and where the next is."""

    items: list[dict[str, Any]]
    total: int
    following: str
    linked: bool  # whether there was a Link header at all
    etag: str = ""

    @classmethod
    def parse(cls, body: Any, links: Mapping[str, Any], headers: Mapping[str, str]) -> "Page":
        """An answer's body, Link header and headers.

        Raises:
            KeyError, TypeError, AttributeError: it is not as documented.
        """
        items = [
            {key: item.get(key) for key in ITEM}
            for item in body["artifacts"]
            if isinstance(item, dict)
        ]
        total = body.get("total_count")
        return cls(
            items=items,
            total=total if isinstance(total, int) else 0,
            following=str(links.get("next", {}).get("url", "")),
            linked="Link" in headers,
            etag=headers.get("ETag", ""),
        )

    def is_last(self, items: int, full: int) -> bool:
        """Whether no more are to come after so many ``items``, by what a list without links says."""
        return len(self.items) < full and 0 < self.total <= items


@dataclass
class Listing:
    """The pages of one repository's list, in a file beside the run files, or nowhere."""

    path: Path | None = None
    pages: dict[str, Page] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Listing":
        """As it was saved in a folder; a damaged one is empty."""
        listing = cls(folder / NAME)
        try:
            raw = orjson.loads((folder / NAME).read_bytes())
            listing.pages = {url: Page(**page) for url, page in raw.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            listing.pages = {}
        return listing

    def get(self, url: str) -> Page | None:
        """The page as it was the last time, if it can be asked for by its ETag."""
        page = self.pages.get(url)
        return page if page and page.etag else None

    def remember(self, url: str, page: Page) -> None:
        """Keep a page."""
        if page.etag:
            self.pages[url] = page

    def save(self) -> None:
        """Write all pages."""
        if self.path:
            self.path.write_bytes(orjson.dumps({url: asdict(p) for url, p in self.pages.items()}))
