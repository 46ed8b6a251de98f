"""Frozen records that cross floors, one a file; importing this package imports neither torch nor numpy."""
