"""Receptive fields worked out by hand and by brute force."""

import pytest
import torch
from torch import nn

from srlongtail.attribution.receptive_field import output_scale, receptive_field
from srlongtail.errors import InputError
from srlongtail.geometry import Box
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import new_model
from srlongtail.models.sr_model import bicubic

LARGE = torch.zeros(3, 256, 256)


def convolutions(*sizes: int, **options: int) -> nn.Module:
    layers = [nn.Conv2d(3, 3, size, padding=size // 2, **options) for size in sizes]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())])


def test_convolutions_add_up():
    field = receptive_field(convolutions(5, 3, 3), LARGE)
    assert (field.scale, field.rows, field.columns) == (1, (-4, 4), (-4, 4))
    assert field.box(20, 30, 3, 64, 64) == Box(16, 26, 27, 37)


def test_rows_and_columns_apart_dilation_and_one_sided_padding():
    tall = nn.Conv2d(3, 3, (7, 1), padding=(3, 0))
    assert receptive_field(tall, LARGE).box(9, 9, 1, 32, 32) == Box(6, 9, 13, 10)
    dilated = nn.Conv2d(3, 3, 3, padding=5, dilation=5)
    assert receptive_field(dilated, LARGE).box(16, 16, 1, 40, 40) == Box(11, 11, 22, 22)
    causal = nn.Sequential(nn.ZeroPad2d((2, 0, 2, 0)), nn.Conv2d(3, 3, 3))
    assert receptive_field(causal, LARGE).box(16, 16, 1, 40, 40) == Box(14, 14, 17, 17)


def test_dead_units_and_weights_of_zero_hide_nothing():
    dead = convolutions(3, 3)
    nn.init.constant_(dead[0].bias, -100)
    nn.init.zeros_(dead[2].weight)
    assert receptive_field(dead, LARGE).rows == (-2, 2)


def test_bicubic_reads_four_pixels():
    field = receptive_field(bicubic(4), LARGE)
    # SR pixel 40 lies at LR 9.625, between pixels 9 and 10.
    assert field.box(40, 41, 1, 32, 32) == Box(8, 8, 12, 12)
    assert field.box(42, 42, 1, 32, 32) == Box(9, 9, 13, 13)


@pytest.mark.parametrize(
    ("name", "reach"),
    [
        # Body: 5x5 and four 3x3. Transposed 9x9, stride 4, padding 3: one.
        ("fsrcnn", 6 + 1),
        # Entry, 9 uses of two 3x3, and up[0]: 20 pixels; at x2 and at x4 one each.
        ("carn", 20 + 1),
        # 9x9, 16 blocks of two 3x3, mid, up[0]: 38 pixels; at x2 one, at x4 four.
        pytest.param("srresnet", 38 + 2, marks=pytest.mark.slow),
        # Head, 8 blocks of two 5x5, tail[1] and tail[2][0]: 35 pixels; at x2 and at x4 one each.
        pytest.param("msrn", 35 + 1, marks=pytest.mark.slow),
    ],
)
def test_networks_of_the_paper(name, reach):
    field = receptive_field(new_model(name, 4), LARGE)
    # The SR pixels of one LR pixel, which see as far on all sides.
    seen = field.box(400, 404, 4, 256, 256)
    assert seen == Box(100 - reach, 101 - reach, 101 + reach, 102 + reach)


def test_a_single_pixel_of_fsrcnn():
    # Through the transposed 9x9, padding 3, SR pixel o sees LR pixels from (o - 5) / 4 to
    # (o + 3) / 4; the layers before see 6 more on all sides.
    field = receptive_field(new_model("fsrcnn", 4), LARGE)
    assert field.box(400, 401, 1, 256, 256) == Box(99 - 6, 99 - 6, 100 + 7, 101 + 7)


@pytest.mark.parametrize("scale", [2, 3])
def test_other_scales_by_brute_force(scale):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, padding=2),
        nn.PReLU(),
        nn.ConvTranspose2d(8, 3, 3 + scale, scale, padding=2, output_padding=1),
    ).double()
    field = receptive_field(model, LARGE.double())
    lr = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    for row, column, size in [(30, 31, 1), (24, 29, 4), (0, 50, 3)]:
        read = model(lr)[..., row : row + size, column : column + size]
        gradient = (
            torch.autograd.grad((read * torch.rand_like(read)).sum(), lr)[0].abs().sum((0, 1))
        )
        rows, columns = (gradient.sum(axis).nonzero().flatten() for axis in (1, 0))
        box = field.box(row, column, size, 32, 32)
        assert (box.top, box.bottom) == (rows[0], rows[-1] + 1)
        assert (box.left, box.right) == (columns[0], columns[-1] + 1)


class Global(nn.Module):
    """Adds the mean of the whole image."""

    def forward(self, lr):
        return lr + lr.mean((-2, -1), keepdim=True)


def test_networks_that_read_everything_say_so():
    field = receptive_field(Global(), torch.rand(3, 50, 60))
    assert field.rows is None
    assert field.reason == "the receptive field exceeds a canvas of 64 x 64 LR pixels"
    assert field.box(3, 3, 1, 50, 60) == Box(0, 0, 50, 60)


def test_the_canvas_grows_with_the_field_but_not_far_beyond_the_image():
    sides = []

    def wide(lr):
        sides.append(lr.shape[-1])
        return nn.functional.avg_pool2d(lr, 81, stride=1, padding=40)

    assert receptive_field(wide, torch.rand(3, 64, 20)).rows == (-40, 40)
    assert sides == [32, 64, 128, 96]  # the last one to see the output move with the input
    assert receptive_field(wide, torch.rand(3, 20, 40)).rows is None
    assert receptive_field(Global(), torch.rand(3, 20, 300)).reason.endswith("256 x 256 LR pixels")


class InBlocks(nn.Module):
    """Adds to the first row of each block the pixel above: elsewhere it reads one pixel only."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, lr):
        above = nn.functional.pad(lr, (0, 0, 1, 0))[..., :-1, :]
        first = torch.arange(lr.shape[-2])[:, None] % self.side == 0
        return lr + torch.where(first, above, 0)


class HalfResolution(nn.Module):
    """Sees the image at half its resolution, as nets that begin with a stride of 2 do."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 12, 4, stride=2, padding=1)
        self.up = nn.PixelShuffle(2)

    def forward(self, lr):
        return self.up(self.down(lr))


@pytest.mark.parametrize(
    "network", [InBlocks(2), InBlocks(7), InBlocks(16), HalfResolution()], ids=repr
)
def test_networks_that_do_not_look_the_same_everywhere_say_so(network):
    field = receptive_field(network, torch.rand(3, 64, 64))
    assert (field.rows, field.columns) == (None, None)
    assert "the network is not shift-invariant: if the image moves" in field.reason
    assert field.box(3, 3, 1, 50, 60) == Box(0, 0, 50, 60)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate"])
def test_borders_are_no_difference_in_look(mode):
    network = convolutions(5, 3, padding_mode=mode)
    assert receptive_field(network, torch.rand(3, 64, 64)).reason == ""
    causal = nn.Sequential(nn.ZeroPad2d((9, 0, 0, 7)), nn.Conv2d(3, 3, (8, 10)))
    assert receptive_field(causal, LARGE).rows == (-7, 0)
    assert receptive_field(causal, LARGE).columns == (0, 9)


def test_the_probe_leaves_the_network_alone():
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=1.0)).eval()
    receptive_field(network, LARGE)
    assert network[0].running_mean.isfinite().all()


@pytest.mark.parametrize(
    "shape", [(1, 3, 8, 9), (1, 3, 7, 7), (1, 1, 8, 8), (3, 8, 8), (2, 3, 8, 8)]
)
def test_outputs_of_the_wrong_size(shape):
    lr = torch.rand(1, 3, 4, 4)
    with pytest.raises(InputError, match=r"turned \(1, 3, 4, 4\) into .*, expected \(1, 3, 4 \* "):
        output_scale(lr, torch.rand(shape))
    assert output_scale(lr, upsample_bicubic(lr, 3)) == 3
