"""Bicubic by matrices is torch's bicubic."""

import pytest
import torch

from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.fast.patches import BicubicOfPatches


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [5, 32])
def test_bicubic_as_matrices(scale, size):
    lr = torch.rand(3, 3, size, size)
    enlarged = BicubicOfPatches(size, scale)(lr)
    assert enlarged.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(enlarged, upsample_bicubic(lr, scale), atol=1e-6)
