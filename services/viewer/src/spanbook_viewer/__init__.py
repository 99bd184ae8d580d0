"""Serves the static tracker, live, on one machine."""
