"""``python -m spanbook_site.mlflow [WHEEL]``: fetch the MLflow UI for this Python environment."""

import argparse
import sys
from pathlib import Path

from spanbook_site.mlflow import wheel


def main() -> int:
    """Fetch the UI; 0 when it is there."""
    parser = argparse.ArgumentParser(prog="python -m spanbook_site.mlflow", description=__doc__)
    parser.add_argument(
        "wheel", nargs="?", type=Path, help="a wheel downloaded before; without it pip fetches it"
    )
    parser.add_argument(
        "--to", type=Path, default=wheel.folder(), help="the folder (default: %(default)s)"
    )
    options = parser.parse_args()
    try:
        count = wheel.fetch(options.to, wheel=options.wheel)
    except wheel.MlflowUiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    said = f"{count} files" if count else "already there"
    print(f"MLflow {wheel.VERSION} UI in {options.to}: {said}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
