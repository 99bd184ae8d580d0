"""An OTLP server that journals every run and seals it into one file."""

from spanbook_collector.errors import CollectorError
from spanbook_collector.settings import Settings

__all__ = ["CollectorError", "Settings"]
