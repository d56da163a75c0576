"""Faster computation on a CPU: replacement layers, bicubic of patches, process settings.

The networks themselves stay plain. Everything here gives the same numbers as what it replaces, and
states its gain: CPU time of one thread on an x86 server, torch 2.13, as printed by
`tests/benchmarks/test_fast.py`.
"""
