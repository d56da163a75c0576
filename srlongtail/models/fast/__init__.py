"""What makes the networks fast on a CPU: layers swapped in place, patches enlarged, memory kept.

The networks themselves stay plain. Everything here gives the numbers of what it stands in for, and
says how much it gains: CPU time of one thread of an x86 server, torch 2.13, as printed by
`tests/benchmarks/test_fast.py`.
"""
