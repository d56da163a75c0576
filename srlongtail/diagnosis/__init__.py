"""Verdicts on networks, data and the claims of the paper."""
