"""Readings: closed forms, and Pillow's YCbCr."""

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from srlongtail.errors import InputError
from srlongtail.image.color import luma, rgb_to_ycbcr
from srlongtail.image.resample import imresize, upsample_bicubic
from srlongtail.models.adapt import VALUE_RANGES, Reading, find_demands
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


class Plain(nn.Module):
    """Repeats pixels; what it takes and gives is set by subclasses."""

    def __init__(self, scale=4):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


class Windows(Plain):
    """Takes sides that are multiples of its windows' only."""

    def __init__(self, window):
        super().__init__()
        self.window = window

    def forward(self, x):
        n, c, h, w = x.shape
        x.view(n, c, h // self.window, self.window, w // self.window, self.window)
        return super().forward(x)


class Strided(Plain):
    """Halves and doubles: an odd side comes out one pixel too long."""

    def forward(self, x):
        half = x[..., ::2, ::2]
        return half.repeat_interleave(8, -1).repeat_interleave(8, -2)


class Luma(Plain):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return super().forward(self.conv(x))


class Stages(Plain):
    def forward(self, x):
        sr = super().forward(x)
        return {"half": sr[..., ::2, ::2], "features": x.mean(1), "early": sr, "sr": sr}


class Scaled(nn.Module):
    def forward(self, x, scale):
        return Plain(scale).forward(x)


class ScaledByName(nn.Module):
    def forward(self, x, *, upscale):
        return Plain(upscale).forward(x)


class Large(Plain):
    """Mirrors more pixels than a small image has."""

    def __init__(self, margin):
        super().__init__()
        self.pad = nn.ReflectionPad2d(margin)

    def forward(self, x):
        margin = self.pad.padding[0]
        return super().forward(self.pad(x)[..., margin:-margin, margin:-margin])


class Unusual(Plain):
    def forward(self, x, coordinates):
        return x


@pytest.mark.parametrize("window", [1, 2, 3, 4, 7, 8, 10, 12, 16, 24, 32, 48, 64])
def test_the_multiple_is_found_by_trying(window):
    assert find_demands(Windows(window)).multiple == window


def test_a_side_that_comes_out_at_another_size_does_not_suit():
    assert find_demands(Strided()).multiple == 2


def test_one_channel_and_several_outputs_and_the_scale_as_argument():
    assert find_demands(Luma()).depth == 1
    found = find_demands(Stages())
    assert (found.output, found.scale) == ("sr", 4)
    assert find_demands(Stages(), scale=2).output == "half"
    assert found.outputs == ("sr", "early")
    for network in (Scaled(), ScaledByName()):
        scaled = find_demands(network, scale=3)
        assert (scaled.takes_scale, scaled.scale) == (True, 3)


@pytest.mark.parametrize("margin", [48, 63, 120, 250])
def test_a_network_for_large_images_is_tried_on_some(margin):
    found = find_demands(Large(margin))
    assert (found.scale, found.multiple) == (4, 1)


def test_an_output_of_the_inputs_size_means_an_enlarged_input():
    assert find_demands(Plain(1), scale=4).enlarged
    assert find_demands(Plain(1), scale_hint=2).scale == 2
    assert not find_demands(Plain(1), scale=1).enlarged
    with pytest.raises(InputError, match=r"takes an enlarged one, .* expected scale=N"):
        find_demands(Plain(1))


def test_what_cannot_be_run_is_one_line():
    wrong = r"cannot be run on an image: its forward takes more than the image \('coordinates'\)"
    with pytest.raises(InputError, match=wrong):
        find_demands(Unusual())
    with pytest.raises(InputError, match=r"makes images of x4, expected x2"):
        find_demands(Plain(4), scale=2)
    with pytest.raises(InputError, match=r"takes the scale, which is unknown; expected scale=N"):
        find_demands(Scaled())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x: None, "returned nothing"),
        (lambda x: {"out": [x]}, "returned a dict of out"),
        (lambda x: x[..., 4:], r"turned \(1, 3, 48, 48\) into \(1, 3, 48, 44\)"),
    ],
)
def test_an_output_that_is_no_image_is_told(returned, message):
    class Net(nn.Module):
        def forward(self, x):
            return returned(x)

    with pytest.raises(InputError, match=message):
        find_demands(Net())


def test_an_enlarged_input_is_by_matlabs_bicubic():
    model = SRModel(nn.Identity(), 3, enlarged=True)
    assert torch.allclose(model(LR), imresize(LR, 3), atol=1e-6)
    luma_only = SRModel(nn.Identity(), 3, enlarged=True, channels="y")
    expected = upsample_bicubic(LR, 3)
    expected = expected + (luma(imresize(LR, 3)) - luma(expected)) * 255 / 219
    assert torch.allclose(luma_only(LR), expected, atol=1e-5)


def test_models_of_every_kind_restore_images_of_any_size():
    for network, more in (
        (Windows(16), {"multiple": 16}),
        (Stages(), {"output": "sr"}),
        (Scaled(), {"takes_scale": True}),
        (ScaledByName(), {"takes_scale": True}),
    ):
        assert torch.equal(SRModel(network, 4, **more)(LR), Plain(4)(LR))
