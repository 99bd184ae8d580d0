"""``spanbook-site restore``, ``keep`` and ``baseline``: what publishing needs besides ``collect``."""

import argparse
import sys
from pathlib import Path

from spanbook_runfile import RunFileError, read_run

from spanbook_site import settings
from spanbook_site.collect import command as collect
from spanbook_site.collect.collect import MOST_BYTES
from spanbook_site.errors import SiteError
from spanbook_site.formats import plural
from spanbook_site.history.baseline import baseline, site_of
from spanbook_site.history.branch import pack, unpack
from spanbook_site.history.published import restore

NAMES = ("restore", "keep", "baseline")


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to the command line."""
    parser = commands.add_parser(
        "restore",
        help="bring back the runs of earlier publishes, which GitHub's artifacts have no more",
        description="Fetches what the folder of run files lacks: from the site that is published "
        "(history: pages), or from a checkout of the data branch (history: branch). Broken off, it "
        "goes on where it was. A site that cannot be reached is an error, so that nothing is "
        "published without its history.",
    )
    _add_github(parser)
    _add_settings(parser)
    parser.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="folder of run files"
    )
    parser.add_argument(
        "--history",
        choices=settings.HISTORIES,
        help="where earlier runs are (default: history of the settings, else pages)",
    )
    parser.add_argument("--branch", type=Path, metavar="DIR", help="checkout of the data branch")
    parser.add_argument(
        "--mode", action="store_true", help="only print where earlier runs are, and fetch nothing"
    )
    parser = commands.add_parser(
        "keep",
        help="add compressed run files to a checkout of the data branch (history: branch)",
        description="Adds the run files that a checkout of the data branch lacks, compressed. "
        "Nothing that is there is changed.",
    )
    parser.add_argument(
        "--runs", type=Path, required=True, metavar="DIR", help="folder of run files"
    )
    parser.add_argument(
        "--branch", type=Path, required=True, metavar="DIR", help="checkout of the data branch"
    )
    parser = commands.add_parser(
        "baseline",
        help="fetch the newest main run of a run's pipeline, to compare it with",
        description="Prints the path of the run file; nothing where there is none yet.",
    )
    parser.add_argument("run", type=Path, metavar="FILE", help="the run file to compare")
    _add_github(parser)
    _add_settings(parser)
    parser.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="folder for the other run file"
    )
    parser.add_argument(
        "--prefix", default=collect.PREFIX, help="of artifacts (default: %(default)s)"
    )


def _add_github(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", metavar="OWNER/NAME", help="the repository")
    parser.add_argument(
        "--site",
        metavar="URL",
        help="the published site (default: url of the settings, else asked of GitHub)",
    )
    collect.add_limits(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="settings of the site (default: $SPANBOOK_SETTINGS, else spanbook.yaml where it is)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run one of the commands.

    Raises:
        SiteError: it failed.
    """
    if arguments.command == "keep":
        added = pack(arguments.runs, arguments.branch)
        print(f"{plural(added, 'run file')} added to the data branch")
        return 0
    chosen = settings.load(settings.find(arguments.settings))
    if arguments.command == "restore":
        return _restore(arguments, chosen)
    return _baseline(arguments, chosen)


def _restore(arguments: argparse.Namespace, chosen: settings.Settings) -> int:
    history = arguments.history or chosen.history
    if arguments.mode:
        print(history)
        return 0
    if history == "branch":
        if not arguments.branch:
            raise SiteError("history: branch needs --branch, a checkout of the data branch.")
        report = unpack(arguments.branch, arguments.into)
    elif history == "pages":
        site = arguments.site or chosen.url
        if not (site or arguments.repo):
            raise SiteError("Give --site URL or --repo OWNER/NAME: where is the site published?")
        github = collect.client(arguments) if arguments.repo else None
        site = site or (site_of(github, "") if github else None)
        if site is None:
            print("Nothing is published yet: GitHub Pages is off, or has no site.")
            return 0
        report = restore(
            site,
            arguments.into,
            patience=collect.patience(arguments),
            forks=chosen.forks,
            progress=lambda text: print(text, file=sys.stderr, flush=True),
        )
    else:
        print("history: artifacts keeps no earlier runs.")
        return 0
    for line in report.lines():
        print(line)
    return 0


def _baseline(arguments: argparse.Namespace, chosen: settings.Settings) -> int:
    if not arguments.repo:
        raise SiteError("Give --repo OWNER/NAME.")
    try:
        compared = read_run(arguments.run, max_bytes=MOST_BYTES)
    except (RunFileError, OSError) as error:
        raise SiteError(f"The run file cannot be read: {error}") from error
    github = collect.client(arguments)
    try:
        site = arguments.site or site_of(github, chosen.url)
    except SiteError:
        site = None  # a token that may not read Pages may still read artifacts
    found = baseline(
        github, site, compared, arguments.into, prefix=arguments.prefix, main=chosen.main
    )
    if found:
        print(found)
    return 0
