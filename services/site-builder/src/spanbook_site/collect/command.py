"""``spanbook-site collect``."""

import argparse
import os
import re
import sys
from pathlib import Path

from spanbook_site.collect.collect import MOST_BYTES, Collected, collect, from_folder
from spanbook_site.collect.github import GitHub
from spanbook_site.errors import SiteError

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
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--repo", metavar="OWNER/NAME", help="the repository")
    source.add_argument("--zips", type=Path, metavar="DIR", help="zips downloaded before, instead")
    parser.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="folder of run files"
    )
    parser.add_argument(
        "--prefix",
        default="spanbook-run-",
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
        "--forks", action="store_true", help="take runs of pull requests from forks"
    )
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
    if arguments.zips:
        return from_folder(arguments.zips, arguments.into, most_bytes=arguments.most_bytes)
    if not REPOSITORY.fullmatch(arguments.repo):
        raise SiteError(f"--repo takes OWNER/NAME, such as octo/cat; it was {arguments.repo!r}.")
    github = GitHub(
        arguments.repo,
        os.environ.get("GITHUB_TOKEN", ""),
        api=arguments.api,
        most_wait=arguments.max_wait,
    )
    return collect(
        github,
        arguments.into,
        prefix=arguments.prefix,
        most_artifacts=arguments.most_artifacts,
        most_bytes=arguments.most_bytes,
        forks=arguments.forks,
        progress=lambda text: print(text, file=sys.stderr, flush=True),
    )
