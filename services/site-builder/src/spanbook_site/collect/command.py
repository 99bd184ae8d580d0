"""``spanbook-site collect``."""

import argparse
import os
import re
import sys
from pathlib import Path

from spanbook_site import settings
from spanbook_site.collect.collect import MOST_BYTES, Collected, collect, from_folder
from spanbook_site.collect.github import GitHub
from spanbook_site.collect.http import Patience
from spanbook_site.collect.listing import Listing
from spanbook_site.errors import SiteError

PREFIX = "spanbook-run-"
REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``collect`` to the command line."""
    parser = commands.add_parser(
        "collect",
        help="gather run files from a repository's GitHub build artifacts",
        description="Downloads the run files that a repository's workflows kept as build "
        "artifacts, as far as the folder lacks them, and notes in origins.json where each came "
        "from. Broken off, it goes on where it was. The token comes from GITHUB_TOKEN; a public "
        "repository needs one too.",
    )
    parser.add_argument("--repo", metavar="OWNER/NAME", help="the repository")
    parser.add_argument(
        "--zips",
        type=Path,
        metavar="DIR",
        help="without --repo: zips downloaded before; with it: where downloads are kept",
    )
    parser.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="folder of run files"
    )
    parser.add_argument(
        "--prefix",
        default=PREFIX,
        help="artifacts whose name starts so are taken (default: %(default)s)",
    )
    parser.add_argument(
        "--most-artifacts",
        type=int,
        default=1000,
        metavar="N",
        help="only the newest N (default: %(default)s)",
    )
    parser.add_argument(
        "--most-bytes",
        type=int,
        default=MOST_BYTES,
        metavar="N",
        help="refuse an artifact above N bytes, zipped or unpacked (default: %(default)s)",
    )
    parser.add_argument(
        "--forks",
        action="store_true",
        help="take runs of pull requests from forks (default: forks of the settings)",
    )
    add_limits(parser)
    parser.add_argument(
        "--partial",
        action="store_true",
        help="where the rate limit lasts longer, be content with what came: the next collection has the rest",
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="settings of the site (default: $SPANBOOK_SETTINGS, else spanbook.yaml where it is)",
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add what every command needs that asks GitHub."""
    parser.add_argument(
        "--max-wait",
        type=float,
        default=900,
        metavar="SECONDS",
        help="sit out so much of GitHub's rate limit (default: %(default)s)",
    )
    parser.add_argument(
        "--api",
        default=os.environ.get("GITHUB_API_URL", "https://api.github.com"),
        metavar="URL",
        help="GitHub's API (default: GITHUB_API_URL, else %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Collect and report; 0 also where single artifacts were refused.

    Raises:
        SiteError: collecting failed.
    """
    for line in _collect(arguments).lines():
        print(line)
    return 0


def _collect(arguments: argparse.Namespace) -> Collected:
    if not arguments.repo:
        if not arguments.zips:
            raise SiteError("Give --repo OWNER/NAME, or --zips with a folder of downloads.")
        return from_folder(arguments.zips, arguments.into, most_bytes=arguments.most_bytes)
    listing = Listing.load(arguments.into)
    github = client(arguments, listing)
    collected = collect(
        github,
        arguments.into,
        zips=arguments.zips,
        prefix=arguments.prefix,
        most_artifacts=arguments.most_artifacts,
        most_bytes=arguments.most_bytes,
        forks=arguments.forks or settings.load(settings.find(arguments.settings)).forks,
        partial=arguments.partial,
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )
    listing.save()
    return collected


def client(arguments: argparse.Namespace, listing: Listing | None = None) -> GitHub:
    """GitHub as the options and GITHUB_TOKEN say.

    Raises:
        SiteError: the repository is none.
    """
    if not REPOSITORY.fullmatch(arguments.repo):
        raise SiteError(f"--repo takes OWNER/NAME, such as octo/cat; it was {arguments.repo!r}.")
    return GitHub(
        arguments.repo,
        os.environ.get("GITHUB_TOKEN", "").strip(),
        api=arguments.api,
        most_wait=arguments.max_wait,
        listing=listing,
    )


def patience(arguments: argparse.Namespace) -> Patience:
    """How long faults and limits are sat out, as the options say."""
    return Patience(arguments.max_wait)
