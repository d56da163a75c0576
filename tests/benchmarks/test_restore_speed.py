"""Restoring a large image in tiles and in pieces: time against the whole image, and memory."""

import subprocess
import sys

import pytest
import torch

from srlongtail.image.tiles import Pieces, Tiling
from srlongtail.models.catalog import new_model
from srlongtail.models.fast.layers import prepared
from tests.benchmarks.conftest import Bench, Row, median_seconds

pytestmark = pytest.mark.benchmark

TILES = Tiling()  # the paper's

# Restores an image in tiles in a process of its own, and prints the largest memory that it took.
RESTORE = """
import resource
import sys
import torch
from srlongtail.image.tiles import Tiling
from srlongtail.models.catalog import new_model
from srlongtail.models.fast.layers import prepared
torch.set_num_threads(1)
model = prepared(new_model(sys.argv[1], 4))
sr = model.restore(torch.rand(3, int(sys.argv[2]), 1920), Tiling())
assert sr.shape[-1] == 7680
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("name", ["fsrcnn", "carn"])
def test_pieces_against_the_whole(bench: Bench, name: str) -> None:
    torch.manual_seed(0)
    height, width = (540, 960) if name == "fsrcnn" else (270, 480)
    model, lr = prepared(new_model(name, 4)), torch.rand(3, height, width)
    pieces = Pieces(128, 16 if name == "fsrcnn" else 24)

    def in_pieces() -> torch.Tensor:
        return model.restore(lr, pieces)

    # Fresh weights give small values, so the difference is compared with the largest of them.
    expected = model.restore(lr)
    assert (in_pieces() - expected).abs().max() < 1e-5 * expected.max()
    whole, parts, tiles = median_seconds(
        lambda: model.restore(lr), in_pieces, lambda: model.restore(lr, TILES), rounds=1
    )
    image = f"LR of {width} x {height}, {name}"
    for how, ours in ((f"pieces of {pieces.size}", parts), ("tiles of 32", tiles)):
        row = Row(f"{how} against the whole, {image}", whole, ours, 1.2, more_is_better=False)
        bench.record(row, asserted=1.4)


@pytest.mark.parametrize("name", ["fsrcnn", "carn", "bsrn"])
def test_memory_for_8k_in_tiles(bench: Bench, name: str) -> None:
    command = [sys.executable, "-c", RESTORE, name, "1080"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    gigabytes = int(done.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e9
    what = f"memory for 8K (LR of 1920 x 1080) in tiles, {name}"
    bench.record(Row(what, None, gigabytes, 2, more_is_better=False, unit="GB"))
