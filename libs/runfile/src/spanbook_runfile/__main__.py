"""``python -m spanbook_runfile``: the commands on run files."""

import sys

from spanbook_runfile.cli import main

if __name__ == "__main__":
    sys.exit(main())
