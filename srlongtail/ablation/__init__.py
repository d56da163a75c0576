"""Ablations: grids of training runs, and what their tables say."""
