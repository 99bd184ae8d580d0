"""An OTLP server that journals every run and seals it into one file."""
