"""Axes-level plots: take a result and an `Axes`, draw, and hand the `Axes` back."""
