"""``python -m spanbook_runfile.samples DIR``: write the sample runs to look at."""

import argparse
from pathlib import Path

from spanbook_runfile.samples import many_small, write_samples


def main() -> None:
    """Write the samples, and a history of small runs where one is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m spanbook_runfile.samples", description=main.__doc__
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="outputs folder (gets runs/, journals/)"
    )
    parser.add_argument(
        "--many", type=int, default=0, metavar="N", help="a history of N small runs too"
    )
    parser.add_argument(
        "--no-broken", action="store_true", help="without files that are no run file"
    )
    arguments = parser.parse_args()
    for name, path in write_samples(arguments.folder, broken=not arguments.no_broken).items():
        print(f"{name:20} {path}")  # noqa: T201
    many_small(arguments.folder / "runs", arguments.many)


if __name__ == "__main__":
    main()
