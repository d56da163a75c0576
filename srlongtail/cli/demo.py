"""The command that shows a newcomer what an analysis looks like."""

import os
import sys
import webbrowser
from pathlib import Path

from srlongtail.cli.messages import note
from srlongtail.cli.report import analyze


def demo(*, no_open: bool = False, out: Path = Path("srlongtail-demo.html")) -> None:
    """Analyze a shipped network on the built-in photos, and open the page in the browser.

    Args:
        no_open: write the page without opening it, as is done where there is no screen.
        out: HTML file to write; its card is written beside it, as JSON.
    """
    analyze(("fsrcnn-fpl-x4",), quick=True, out=out)
    opened = not no_open and _has_screen() and webbrowser.open(out.resolve().as_uri())
    if not opened:
        note(f"open {out} in a browser; the same for your network: srlongtail analyze mine_x4.pth")


def _has_screen() -> bool:
    """Return whether a browser with windows can open; on Linux, text browsers would open else."""
    on_linux = sys.platform.startswith("linux")
    return not on_linux or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
