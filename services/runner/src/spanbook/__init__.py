"""Runs Python and notebook pipelines on Ray and records them with OpenTelemetry."""
