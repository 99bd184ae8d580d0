"""Gathers run files from a repository's GitHub build artifacts, or from a folder of their zips.

Every artifact is untrusted: its size is capped before it is read, nothing in a zip chooses where it
is written, and what a run file says of its origin is held against what GitHub says.
"""

from spanbook_site.collect.collect import Collected, collect
from spanbook_site.collect.github import Artifact, GitHub
from spanbook_site.origins import Ledger, Origin

__all__ = ["Artifact", "Collected", "GitHub", "Ledger", "Origin", "collect"]
