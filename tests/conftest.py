"""Fixtures for all tests."""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from srlongtail.image.io import write_image
from srlongtail.image.resample import imresize
from srlongtail.training.recipe import Recipe

# The networks of the tests are too small to share out: on a busy machine several threads that
# wait for each other after every operation take many times as long as one.
torch.set_num_threads(1)

# Shells start background jobs with Ctrl-C ignored; the tests that press it need Python's own way.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def one_thread(request, monkeypatch):
    """Give the processes that tests start one thread, too; benchmarks choose for themselves."""
    if request.node.get_closest_marker("benchmark") is None:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with research images and the published checkpoint, beside the repository."""
    default = Path(__file__).resolve().parents[1].parent / "shared"
    folder = Path(os.environ.get("SRLONGTAIL_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set SRLONGTAIL_SHARED")
    return folder


# A training run so small that it takes a second: 8-pixel patches, 300 weights.
SMALL = Recipe(
    name="small",
    arguments={"features": 4, "shrunk": 2, "mappings": 1},
    skip=True,
    static=True,
    learnable=True,
    patch=8,
    batch=4,
    precision="float32",  # else a measurement decides, on CPUs that have bfloat16
    iterations=12,
    log_every=3,
    validate_every=6,
    save_every=5,
)


def soft_noise(height: int, width: int, seed: int) -> torch.Tensor:
    """An image with structure at two scales, so that there is something to learn."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(3, height // 8, width // 8, generator=generator)
    fine = torch.rand(3, height, width, generator=generator) - 0.5
    return (imresize(coarse, 8) + 0.2 * fine).clamp(0, 1)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder of four training images in two folders, and one of a validation image."""
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("a/one", "a/two", "b/three", "b/four")):
        write_image(root / "train" / f"{name}.png", soft_noise(48 + 24 * (seed % 2), 72, seed))
    write_image(root / "valid" / "five.png", soft_noise(48, 48, 9))
    return root


@pytest.fixture(scope="session")
def small():
    """A small run, without data."""
    return SMALL


@pytest.fixture
def recipe(data):
    """A small run on that data."""
    return replace(SMALL, data=(str(data / "train"),), validation=str(data / "valid"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if path is None:
        pytest.skip("neither Chromium nor Chrome is installed")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
