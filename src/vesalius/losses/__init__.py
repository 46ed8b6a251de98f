"""Losses that know nothing of a trainer, one a file."""
