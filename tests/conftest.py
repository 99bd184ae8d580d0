"""Fixtures of the whole-stack tests."""

from support.browser import chromium, faults, page

__all__ = ["chromium", "faults", "page"]
