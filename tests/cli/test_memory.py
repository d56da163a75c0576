"""Memory does not grow with the number of images."""

import subprocess
import sys

import pytest
import torch

from srlongtail.image.io import write_image
from tests.conftest import soft_noise

IMAGES = 100
LIMIT = 2e9  # bytes

SCRIPT = """
import resource, sys
from srlongtail import cli
cli.main()
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """100 images of 2K, which are four files under many names."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(IMAGES):
        path = folder / "Set" / f"{number}.png"
        if number < 4:
            tile = soft_noise(168, 256, number)
            write_image(path, torch.cat(8 * [torch.cat(8 * [tile], 2)], 1))
        else:
            path.symlink_to(folder / "Set" / f"{number % 4}.png")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no measure of the memory used")
@pytest.mark.parametrize(
    "command",
    [
        ["compare", "fsrcnn-x4", "fsrcnn-fpl-x4", "--image", "7", "--window", "600", "600", "72"],
        ["histogram", "fsrcnn-fpl-x4"],
        ["figures", "--only", "fig3"],
    ],
    ids=lambda command: command[0],
)
def test_many_large_images_stream(many, tmp_path, command):
    command = [*command, "--data", many / "Set", "--out", tmp_path]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command], check=True, capture_output=True, text=True
    )
    assert int(done.stderr.splitlines()[-1]) < LIMIT
