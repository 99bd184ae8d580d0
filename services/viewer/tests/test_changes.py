"""What counts as a change, and how missed ones are caught up."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from spanbook_viewer.changes import MAX_PATHS, Change, Changes


class Site:
    """A manifest, as the site-builder writes it, and the changes seen in it."""

    def __init__(self, folder: Path) -> None:
        self.manifest = folder / "build.json"
        self.changes = Changes(self.manifest, interval=0.01, keep=5)

    def build(self, **pages: str) -> None:
        """Write a manifest whole, as the builder does."""
        aside = self.manifest.with_suffix(".tmp")
        aside.write_text(json.dumps({"pages": pages}))
        aside.replace(self.manifest)

    def next(self, after: int) -> Change:
        """The next change; a test that waits in vain fails."""
        change = self.changes.since(after, timeout=5)
        assert change is not None, "no change came"
        return change


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that is watched until the test is over."""
    made = Site(tmp_path)
    yield made
    made.changes.close()


def test_change_names_the_pages_that_differ(site: Site) -> None:
    """New, changed and removed pages are told; the others are not."""
    site.build(same="1", changed="1", removed="1")
    site.changes.start()
    site.build(same="1", changed="2", new="1")
    assert site.next(0) == Change(1, ("changed", "new", "removed"))


def test_what_was_there_at_the_start_is_no_change(site: Site) -> None:
    """A viewer that starts tells nothing, nor does a rebuild that changes nothing."""
    site.build(a="1")
    site.changes.start()
    site.build(a="1")
    assert site.changes.since(0, timeout=0.2) is None


def test_first_site_is_a_change(site: Site) -> None:
    """A page that waits for the first build is told of it."""
    site.changes.start()
    site.build(index="1")
    assert site.next(0).paths == ("index",)


def test_missed_changes_come_as_one(site: Site) -> None:
    """Who was away gets all pages that changed since, once each."""
    site.build(a="0", b="0")
    site.changes.start()
    for number, pages in enumerate(
        ({"a": "1", "b": "0"}, {"a": "2", "b": "0"}, {"a": "2", "b": "1"})
    ):
        site.build(**pages)
        site.next(number)
    assert site.next(0) == Change(3, ("a", "b"))
    assert site.next(2) == Change(3, ("b",))


def test_too_long_away_means_everything(site: Site) -> None:
    """Changes that are no longer kept may have been of any page."""
    site.build(a="0")
    site.changes.start()
    for number in range(8):
        site.build(a=str(number + 1))
        site.next(number)
    assert site.next(1) == Change(8, None)


def test_very_large_change_means_everything(site: Site) -> None:
    """A rebuild of the whole site is told in one word."""
    site.changes.start()
    site.build(**{f"p{n}": "1" for n in range(MAX_PATHS + 1)})
    assert site.next(0) == Change(1, None)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pages": 1}'])
def test_broken_manifest_is_waited_out(
    site: Site, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A manifest that cannot be read is logged once, and the next good one counts."""
    site.build(a="1")
    site.changes.start()
    site.manifest.write_text(content)
    assert site.changes.since(0, timeout=0.2) is None
    assert len(caplog.records) == 1
    site.build(a="2")
    assert site.next(0).paths == ("a",)


def test_event_ids_of_another_viewer_are_known_as_such(tmp_path: Path) -> None:
    """Numbers start anew with each process, so an id says whose it is."""
    one, other = Changes(tmp_path / "x"), Changes(tmp_path / "x")
    assert one.number_of(one.mark(7)) == 7
    assert other.number_of(one.mark(7)) is None
    for odd in ("", "7", "x-7", "-", f"{one.mark(7)}x"):
        assert one.number_of(odd) is None


def test_close_wakes_who_waits(site: Site) -> None:
    """A stream that waits ends at once when the viewer stops."""
    site.changes.start()
    waiting = threading.Thread(target=site.changes.since, args=(0, 60))
    waiting.start()
    site.changes.close()
    waiting.join(2)
    assert not waiting.is_alive()
