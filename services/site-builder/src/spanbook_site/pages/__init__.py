"""The pages of the site, each from dataclasses to text."""
