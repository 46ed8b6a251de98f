"""Frozen-feature evaluation with intervals and baselines."""
