"""Projection heads, one a file."""
