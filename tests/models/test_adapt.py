"""Readings: closed forms, and Pillow's YCbCr."""

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from srlongtail.errors import InputError
from srlongtail.image.color import luma, rgb_to_ycbcr
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.adapt import VALUE_RANGES, Reading
from srlongtail.models.sr_model import SRModel

LR = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
CHANNELS = ("rgb", "bgr", "y", "ycbcr")


@pytest.mark.parametrize(("channels", "value_range"), list(product(CHANNELS, VALUE_RANGES)))
def test_a_network_that_changes_nothing_restores_the_image(channels, value_range):
    network = nn.Identity()
    if value_range == "symmetric-output":
        network = Affine(2, -1)
    model = SRModel(network, 1, channels=channels, value_range=value_range)
    assert torch.allclose(model(LR), LR, atol=1e-5)


class Affine(nn.Module):
    def __init__(self, gain, offset):
        super().__init__()
        self.gain, self.offset = gain, offset

    def forward(self, x):
        return x * self.gain + self.offset


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_residual_of_nothing_is_bicubic(channels):
    model = SRModel(Affine(0, 0), 1, channels=channels, predicts="residual")
    assert torch.allclose(model(LR), upsample_bicubic(LR, 1), atol=1e-6)


def test_what_the_network_is_given():
    asked = []
    for channels, value_range in [("bgr", 255), ("y", "symmetric")]:
        asked.append(Reading(channels=channels, value_range=value_range).encode(LR))
    assert torch.equal(asked[0], LR.flip(1) * 255)
    assert torch.equal(asked[1], luma(LR) * 2 - 1)


def test_luma_changes_and_chroma_stays_bicubics():
    """A gray step of t in luma, studio range, is one of t * 255 / 219 in red, green and blue."""
    model = SRModel(Affine(1, 0.1), 1, channels="y")
    assert torch.allclose(model(LR) - LR, torch.full_like(LR, 0.1 * 255 / 219), atol=1e-5)
    old, new = rgb_to_ycbcr(LR), rgb_to_ycbcr(model(LR))
    assert torch.allclose(old[:, 1:], new[:, 1:], atol=1e-5)
    residual = SRModel(Affine(0, 0.1), 1, channels="y", predicts="residual")
    assert torch.allclose(residual(LR), model(LR), atol=1e-5)


def test_ycbcr_is_pillows():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    theirs = np.asarray(Image.fromarray(pixels).convert("YCbCr"), dtype=np.float64)
    image = torch.from_numpy(pixels).permute(2, 0, 1).double() / 255
    ours = rgb_to_ycbcr(image).permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - theirs).max() <= 1  # Pillow rounds and cuts off


def test_a_residual_in_a_symmetric_range_has_no_offset():
    model = SRModel(Affine(0, 0.2), 1, value_range="symmetric", predicts="residual")
    assert torch.allclose(model(LR) - LR, torch.full_like(LR, 0.1), atol=1e-6)


def test_mistakes():
    with pytest.raises(InputError, match=r"channels 'rgbx', expected one of rgb, bgr, y, ycbcr"):
        Reading(channels="rgbx")
    with pytest.raises(InputError, match=r"value range True, expected 1, 255"):
        Reading(value_range=True)
