"""Runs beyond the 90 days that GitHub keeps build artifacts: from the published site, or a data branch."""
