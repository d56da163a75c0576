"""The widgets in JupyterLab itself, with a kernel: slow, and skipped where JupyterLab is absent."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec

import pytest

from srlongtail.image.dataset import photos

pytestmark = pytest.mark.slow

CELLS = (
    """
from srlongtail.focal.weights import FocalParameters
from srlongtail.geometry import crop
from srlongtail.image.dataset import photos
from srlongtail.image.resample import upsample_bicubic
from srlongtail.widgets import ComparisonViewer, FocalDials, WindowPicker

pair = photos(4)[1]
picker = WindowPicker(pair.hr, (100, 120, 64), "chelsea")
picker.follow("window", lambda window: print("at", window, crop(pair.hr, window).shape))
""",
    """
low = upsample_bicubic(pair.lr[None], 4)
part = (..., slice(100, 140), slice(120, 160))
dials = FocalDials(pair.hr[None][part], low[part], low[part], FocalParameters(gamma_sp=0.5))
dials.follow("parameters", print)
""",
    """
ComparisonViewer({"nearest": lambda lr: lr.repeat_interleave(4, -1).repeat_interleave(4, -2)}, pair)
""",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab with a notebook of three widgets."""
    if find_spec("jupyterlab") is None:
        pytest.skip("jupyterlab is not installed")
    folder = tmp_path_factory.mktemp("lab")
    cells = [
        {
            "cell_type": "code",
            "id": f"cell{number}",
            "metadata": {},
            "source": source.strip(),
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "widgets.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, "--IdentityProvider.token="],
        cwd=folder,
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(folder / "config")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not answers(f"{address}/api"):
            assert server.poll() is None, "jupyterlab ended"
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def cells_of(page) -> int:
    """How many cells the notebook has, by the status bar; those out of sight have no element."""
    return int(page.inner_text("text=/Cell \\d+\\/\\d+/").split("/")[1])


def test_widgets_in_jupyterlab(chromium, lab):
    page = chromium.new_page(viewport={"width": 1300, "height": 1400})
    page.set_default_timeout(60_000)
    page.goto(f"{lab}/lab/tree/widgets.ipynb?reset")
    page.wait_for_selector("text=/\\| Idle/")  # earlier, cells do not run
    page.click(".jp-Notebook .jp-CodeCell .cm-content >> nth=0")
    for _ in CELLS:
        page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".srl-viewer [data-view]")

    cells = cells_of(page)
    picker = page.locator(".jp-Cell >> nth=0")
    assert "at (100, 120, 64)" in picker.inner_text()
    photo = picker.locator(".srl-photo img")
    place = photo.bounding_box()
    share = place["width"] / photos(4)[1].hr.shape[-1]
    photo.click(position={"x": 60 * share, "y": 50 * share})
    picker.locator("text=/at \\((17|18|19), (27|28|29), 64\\)/").wait_for()
    page.keyboard.press("Shift+ArrowRight")
    picker.locator("text=/at \\((17|18|19), (35|36|37), 64\\)/").wait_for()
    for _ in range(2):
        page.keyboard.press("d")  # which deletes a cell where JupyterLab hears it
    assert cells_of(page) == cells

    dials = page.locator(".jp-Cell >> nth=1")
    before = dials.locator("figcaption").inner_text()
    dials.locator("[data-dial=gamma_sp]").focus()
    page.keyboard.press("End")
    dials.locator("text=/gamma_sp=3/").wait_for()
    assert dials.locator("figcaption").inner_text() != before

    viewer = page.locator(".jp-Cell >> nth=2")
    viewer.locator(".srl-stage").focus()
    for key in ("d", "d", "1"):
        page.keyboard.press(key)
    assert viewer.locator(".srl-name >> nth=0").inner_text() == "HR"
    assert cells_of(page) == cells
    if folder := os.environ.get("SRLONGTAIL_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/jupyterlab.png", full_page=True)
    page.close()
