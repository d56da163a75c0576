"""Operations are counted as torch counts them, and without the second that its counter takes."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from srlongtail.models.catalog import build
from srlongtail.models.complexity import count_operations
from srlongtail.models.sr_model import SRModel, bicubic

IN_NEW_PROCESS = """
import sys
import torch
from srlongtail.models.checkpoint import load_model
from srlongtail.models.complexity import count_operations
model = load_model("fsrcnn-x4")  # with its layers accelerated
assert count_operations(model) > 0
assert model.restore(torch.rand(3, 8, 8)).shape == (3, 32, 32)
assert "torch._dynamo" not in sys.modules
"""


class Products(nn.Module):
    """Every way to multiply matrices: each is another function of torch."""

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.flatten(2).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(pixels, pixels, pixels) @ torch.rand(3, 3)
        mixed = torch.einsum("bij,jk->bik", F.linear(mixed, torch.rand(3, 3)), torch.rand(3, 3))
        return mixed.transpose(1, 2).reshape(image.shape)


@pytest.mark.parametrize(
    "model",
    [
        SRModel(build("swinir", features=12, depths=(2,), heads=(2,), scale=2), 2, multiple=8),
        SRModel(build("fsrcnn", scale=4), 4),
        SRModel(Products(), 1),
        bicubic(4),
    ],
    ids=["swinir", "fsrcnn", "products", "bicubic"],
)
def test_operations_are_those_that_torch_counts(model: SRModel) -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.output(torch.zeros(1, 3, 16, 24))
    assert count_operations(model, 16, 24) == counter.get_total_flops()


def test_neither_counting_nor_restoring_imports_the_compiler() -> None:
    subprocess.run([sys.executable, "-c", IN_NEW_PROCESS], check=True)
