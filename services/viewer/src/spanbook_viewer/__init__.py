"""Serves the static tracker on one machine, and makes it live."""

from spanbook_viewer.app import create_app
from spanbook_viewer.settings import Settings

__all__ = ["Settings", "create_app"]
