"""A real Chromium for the MLflow pages, and this folder's helper modules on the path."""

import sys
from pathlib import Path

from support.browser import chromium, faults, page

sys.path.insert(0, str(Path(__file__).parent))

__all__ = ["chromium", "faults", "page"]
