"""``python -m spanbook_site``."""

import sys

from spanbook_site.cli import main

if __name__ == "__main__":
    sys.exit(main())
