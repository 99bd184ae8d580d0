"""``history: pages``: the site that is published holds what the next one needs.

The next publish fetches what ``data/history.json`` lists.
"""

import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import orjson
from spanbook_runfile import trim
from spanbook_runfile.paths import RUN_ID

from spanbook_site.collect import http
from spanbook_site.collect.collect import MOST_BYTES, is_held
from spanbook_site.collect.download import Download, GoneError
from spanbook_site.collect.errors import ExpiredError, GitHubError, RefusedArtifactError
from spanbook_site.errors import SiteError
from spanbook_site.history.index import VERSION
from spanbook_site.history.restored import Restored, put
from spanbook_site.origins import Ledger
from spanbook_site.urls import Urls

PARALLEL = 8
MOST_INDEX = 256 << 20
TRIES_OF_A_DIGEST = 2


def fetch_index(site: str, patience: http.Patience) -> Mapping[str, Any] | None:
    """The published site's index; None where there is no site, or one of before there was an index.

    Raises:
        GitHubError: it cannot be reached, or is not as it should be.
    """
    url = urljoin(_folder(site), Urls.HISTORY)
    with tempfile.TemporaryDirectory(prefix="spanbook-history-") as scratch:
        target = Path(scratch) / "history.json"
        download = Download(target, MOST_INDEX)

        def once() -> None:
            download.fetch(url)

        try:
            patience.tried(f"fetching {url}", once)
            return _parsed(target.read_bytes())
        except (GoneError, ExpiredError):
            return None
        except (ValueError, KeyError, TypeError, RefusedArtifactError) as error:
            raise GitHubError(
                f"{url} is not what spanbook-site publishes ({error}). Nothing was built: to start "
                "without earlier runs, set history: artifacts in spanbook.yaml once."
            ) from error


def _parsed(content: bytes) -> Mapping[str, Any]:
    raw = orjson.loads(content)
    if raw["version"] != VERSION:
        raise ValueError(f"it is of version {raw['version']!r}")
    return {**raw, "runs": dict(raw["runs"]), "origins": dict(raw["origins"])}


def restore(
    site: str,
    into: Path,
    *,
    patience: http.Patience,
    most_bytes: int = MOST_BYTES,
    forks: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Bring back from a published site what ``into`` lacks; broken off, it goes on where it was.

    What the site lists but has not, or not as listed, is reported as lost and does not stop the
    others; a site that cannot be reached stops all, so that nothing is published without it.

    Raises:
        SiteError: the site cannot be reached, or answers what no spanbook site does.
    """
    into.mkdir(parents=True, exist_ok=True)
    report = Restored(site)
    raw = fetch_index(site, patience)
    if raw is None:
        report.source = f"{site} (nothing is published there yet)"
        return report
    ledger = Ledger.load(into)
    try:
        ledger.add(raw["origins"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SiteError(f"The origins that {site} lists are not as they should be.") from error
    ledger.save()
    listed = sorted(run_id for run_id in raw["runs"] if RUN_ID.fullmatch(run_id))
    wanted = [
        run_id
        for run_id in listed
        if not is_held(into, run_id)
        and (forks or run_id not in ledger.runs or not ledger.runs[run_id].fork)
    ]
    report.known = sum(is_held(into, run_id) for run_id in listed)
    with (
        tempfile.TemporaryDirectory(prefix="spanbook-history-") as scratch,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):

        def one(run_id: str) -> str:
            return _restore_one(_folder(site), raw["runs"][run_id], run_id, into, most_bytes,
                                patience, Path(scratch))  # fmt: skip

        try:
            for number, (run_id, lost) in enumerate(
                zip(wanted, pool.map(one, wanted), strict=True), start=1
            ):
                if lost:
                    report.lost.append((run_id, lost))
                else:
                    report.came += 1
                progress(f"{number}/{len(wanted)} {run_id}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return report


def _restore_one(
    site: str,
    entry: Any,
    run_id: str,
    into: Path,
    most: int,
    patience: http.Patience,
    scratch: Path,
) -> str:
    """Why it is lost; empty where it came."""
    listed_trimmed = isinstance(entry, dict) and entry.get("trimmed") is True
    why = ""
    # a newer site than the index's may have trimmed it meanwhile
    for trimmed in (listed_trimmed, True):
        name = f"{run_id}{trim.SUFFIX if trimmed else '.json'}"
        target = scratch / name
        digest = (
            entry.get("sha256") if isinstance(entry, dict) and trimmed == listed_trimmed else None
        )
        try:
            fetch_verified(
                urljoin(site, Urls.run_part(run_id, name)), target, most, digest, patience
            )
            put(into, run_id, target.read_bytes(), most, trimmed=trimmed)
            return ""
        except (GoneError, ExpiredError):
            why = why or "the published site lists it, but has it no more"
        except RefusedArtifactError as error:
            why = why or str(error)
        finally:
            target.unlink(missing_ok=True)
    return why


def fetch_verified(
    url: str, target: Path, most: int, digest: object, patience: http.Patience
) -> None:
    """Download a published file; a ``digest`` (hex SHA-256) that differs is given a second try.

    Raises:
        RefusedArtifactError: it is not what its digest says, or is over ``most`` bytes.
        GoneError, ExpiredError: it is not there.
        GitHubError: the site cannot be reached.
    """
    download = Download(target, most)
    for _ in range(TRIES_OF_A_DIGEST):
        came = patience.tried(f"fetching {url}", lambda: download.fetch(url))
        if digest is None or came.sha256 == digest:
            return
    raise RefusedArtifactError(f"what came has not the digest {str(digest)[:64]} that is listed")


def _folder(site: str) -> str:
    return site if site.endswith("/") else site + "/"


__all__ = ["fetch_index", "fetch_verified", "restore"]
