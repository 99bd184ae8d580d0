"""Builds the static tracker from run files and nothing else."""
