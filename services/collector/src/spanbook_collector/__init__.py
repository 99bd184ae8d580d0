"""An OTLP server that journals every run and seals it into one file.

Little is imported here: the sealer's process starts with this package, and a restart waits for it.
"""

from spanbook_collector.errors import CollectorError

__all__ = ["CollectorError"]
