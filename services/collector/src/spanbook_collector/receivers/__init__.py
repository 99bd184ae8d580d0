"""The ways in: each turns its own wire into calls of ``ingest.Ingest.export``."""
