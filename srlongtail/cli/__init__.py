"""The command line: parse the options, call the library, print the paths of the results.

The commands import heavy modules only when they run, so that `srlongtail --help` is fast.
"""

from srlongtail.cli.main import main as main
