"""The command line: parse, call, print where the result lies.

Heavy modules are imported inside the commands, so that `srlongtail --help` is quick.
"""

from srlongtail.cli.main import main as main
