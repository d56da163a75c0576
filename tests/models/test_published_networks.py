"""Networks of the field: published weights and numbers, names, and computations by hand.

The computations by hand read the state dictionary alone, so they hold names and structure together.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, open_data
from srlongtail.metrics import Y_CHANNEL
from srlongtail.models.adapt import Channels
from srlongtail.models.catalog import CATALOG, build, recognize
from srlongtail.models.sr_model import SRModel
from srlongtail.models.state import first_fit, read_state_file

PAPERS = ("fsrcnn", "carn", "srresnet", "msrn", "swinir", "bsrn")
OTHERS = [name for name in CATALOG if name not in PAPERS]
SMALL: dict[str, dict[str, Any]] = {
    "srcnn": {"features": (5, 4)},
    "fsrcnn-ports": {"features": 5, "shrunk": 3, "mappings": 2},
    "espcn": {"features": (5, 4)},
    "vdsr": {"features": 5, "convolutions": 3},
    "edsr": {"features": 6, "blocks": 2},
    "carn-official": {"features": 8, "groups": 2},
    "imdn": {"features": 16, "blocks": 2},
    "rfdn": {"features": 8, "blocks": 2},
    "pan": {"features": 8, "enlarged": 6, "blocks": 2},
    "srvgg": {"features": 6, "convolutions": 2},
    "rlfn": {"features": 8, "inner": 6, "blocks": 2, "narrow": 4},
    "bsrn-s": {"features": 8, "blocks": 2},
    "vapsr": {"features": 8, "attention": 6, "blocks": 2, "groups": 2},
}
# Every pixel of these sees the whole image, or surroundings that move in steps of several pixels.
LOOK_FAR = ("imdn", "rfdn", "rlfn", "bsrn-s")


# --- published weights --------------------------------------------------------------------------

# File, network, white, and the decibels of Set5 on Y with the authors' own code.
WEIGHTS = [
    ("carn_m.pth", "carn-official", 1, 31.883),
    ("IMDN_x4.pth", "imdn", 1, 32.210),
    ("rlfn_x4.pth", "rlfn", 255, 32.238),
    ("RFDN_AIM.pth", "rfdn", 255, 32.159),
    ("PANx4_DF2K.pth", "pan", 1, 32.131),
    ("VapSR_X4.pth", "vapsr", 1, 32.400),
    ("net_g_BSRN-S.pth", "bsrn-s", 1, 32.157),
]
# What the same networks have on two of these images, once their mean over all is the published one.
ON_TWO = {
    "carn-official": 31.261,
    "imdn": 31.822,
    "rlfn": 31.870,
    "rfdn": 31.808,
    "pan": 31.734,
    "vapsr": 32.134,
    "bsrn-s": 31.751,
}


@pytest.fixture(scope="module")
def set5(shared: Path) -> list[ImagePair]:
    return list(open_data(shared / "data" / "test" / "Set5", 4, make_lr=True))


@pytest.mark.parametrize(("file", "name", "white", "published"), WEIGHTS)
def test_published_weights_restore_two_images(
    shared: Path, set5: list[ImagePair], file: str, name: str, white: int, published: float
) -> None:
    model = loaded(shared / "checkpoints" / file, name, white)
    assert mean_psnr(model, set5[1:3]) == pytest.approx(ON_TWO[name], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name", "white", "published"), WEIGHTS)
def test_published_weights_restore_as_published(
    shared: Path, set5: list[ImagePair], file: str, name: str, white: int, published: float
) -> None:
    model = loaded(shared / "checkpoints" / file, name, white)
    assert mean_psnr(model, set5) == pytest.approx(published, abs=0.05)


def loaded(path: Path, name: str, white: int, channels: Channels = "rgb") -> SRModel:
    fit = first_fit(read_state_file(path), recognize)
    assert fit is not None
    found, arguments = fit.found
    state = fit.candidate.tensors
    assert found == name
    network = build(name, **{"scale": 4, **arguments})
    network.load_state_dict(state, strict=True)
    return SRModel(network, 4, value_range=white, channels=channels)


def mean_psnr(model: SRModel, pairs: list[ImagePair]) -> float:
    scores = [Y_CHANNEL.score(model.restore(pair.lr), pair.hr, 4) for pair in pairs]
    return float(np.mean([score.psnr_db for score in scores]))


@pytest.mark.parametrize(
    ("file", "name", "published"),
    [("ESPCN-x4.pt", "espcn", 29.15), ("FSRCNN-x4-ycbcr.pt", "fsrcnn-ports", 29.04)],
)
def test_weights_for_ycbcr_restore_as_published(
    shared: Path, set5: list[ImagePair], file: str, name: str, published: float
) -> None:
    model = loaded(shared / "checkpoints" / file, name, 1, "ycbcr")
    assert mean_psnr(model, set5) == pytest.approx(published, abs=0.05)


# --- published counts, names and shapes ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "thousands"),
    [
        ("srcnn", {}, 57),
        ("srcnn", {"kernels": (9, 1, 5)}, 8),
        ("vdsr", {}, 665),
        ("edsr", {"scale": 2}, 1370),
        ("edsr", {"scale": 3}, 1555),
        ("edsr", {"scale": 4}, 1518),
        ("edsr", {"scale": 4, "layout": "conv_first"}, 1518),
        ("edsr", {"scale": 4, "features": 256, "blocks": 32}, 43090),
        ("carn-official", {"mobile": False, "groups": 1}, 1592),
        ("carn-official", {}, 415),  # the paper says 412
        ("imdn", {"scale": 2}, 694),
        ("imdn", {"scale": 3}, 703),
        ("imdn", {"scale": 4}, 715),
        ("rfdn", {}, 433),
        ("pan", {"scale": 2}, 261),
        ("pan", {"scale": 3}, 261),
        ("pan", {"scale": 4}, 272),
        ("srvgg", {}, 621),  # realesr-animevideov3
        ("srvgg", {"convolutions": 32}, 1213),  # realesr-general-x4v3
        ("rlfn", {"scale": 2}, 527),
        ("rlfn", {"scale": 4}, 544),
        ("rlfn", {"features": 46, "inner": 48, "blocks": 4}, 317),  # of NTIRE 2022
        ("bsrn-s", {}, 156),
        ("vapsr", {"scale": 2, "blocks": 20}, 329),
        ("vapsr", {"scale": 3, "blocks": 20}, 337),
        ("vapsr", {"scale": 4}, 342),
        ("vapsr", {"features": 32, "blocks": 11, "groups": 2}, 155),  # VapSR-S
    ],
)
def test_published_count_of_parameters(
    name: str, arguments: dict[str, Any], thousands: int
) -> None:
    with torch.device("meta"):
        network = build(name, **arguments)
    assert round(sum(p.numel() for p in network.parameters()) / 1000) == thousands


PUBLISHED: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "srcnn": (
        {},
        {
            "conv1.weight": (64, 1, 9, 9),
            "conv2.weight": (32, 64, 5, 5),
            "conv3.weight": (1, 32, 5, 5),
            "conv3.bias": (1,),
        },
    ),
    "fsrcnn-ports": (
        {"scale": 3},
        {
            "first_part.0.weight": (56, 1, 5, 5),
            "first_part.1.weight": (56,),
            "mid_part.0.weight": (12, 56, 1, 1),
            "mid_part.1.weight": (12,),
            "mid_part.2.weight": (12, 12, 3, 3),
            "mid_part.9.weight": (12,),
            "mid_part.10.weight": (56, 12, 1, 1),
            "mid_part.11.weight": (56,),
            "last_part.weight": (56, 1, 9, 9),
            "last_part.bias": (1,),
        },
    ),
    "espcn": (
        {"scale": 3, "channels": 1, "layout": "first_part"},
        {
            "first_part.0.weight": (64, 1, 5, 5),
            "first_part.2.weight": (32, 64, 3, 3),
            "last_part.0.weight": (9, 32, 3, 3),
        },
    ),
    "vdsr": (
        {},
        {
            "input.weight": (64, 1, 3, 3),
            "residual_layer.17.conv.weight": (64, 64, 3, 3),
            "output.weight": (1, 64, 3, 3),
        },
    ),
    "edsr": (
        {},
        {
            "sub_mean.weight": (3, 3, 1, 1),
            "add_mean.bias": (3,),
            "head.0.weight": (64, 3, 3, 3),
            "body.15.body.0.weight": (64, 64, 3, 3),
            "body.15.body.2.bias": (64,),
            "body.16.weight": (64, 64, 3, 3),
            "tail.0.0.weight": (256, 64, 3, 3),
            "tail.0.2.bias": (256,),
            "tail.1.weight": (3, 64, 3, 3),
        },
    ),
    "carn-official": (
        {"mobile": False, "groups": 1},
        {
            "sub_mean.shifter.weight": (3, 3, 1, 1),
            "entry.weight": (64, 3, 3, 3),
            "b3.b3.body.0.weight": (64, 64, 3, 3),
            "b3.b3.body.2.bias": (64,),
            "b3.c3.body.0.weight": (64, 256, 1, 1),
            "c2.body.0.bias": (64,),
            "upsample.up2.body.0.weight": (256, 64, 3, 3),
            "upsample.up3.body.0.weight": (576, 64, 3, 3),
            "upsample.up4.body.3.weight": (256, 64, 3, 3),
            "exit.weight": (3, 64, 3, 3),
        },
    ),
    "srvgg": (
        {},
        {
            "body.0.weight": (64, 3, 3, 3),
            "body.1.weight": (64,),
            "body.32.weight": (64, 64, 3, 3),
            "body.33.weight": (64,),
            "body.34.weight": (48, 64, 3, 3),
            "body.34.bias": (48,),
        },
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_names_and_shapes(name: str) -> None:
    arguments, published = PUBLISHED[name]
    with torch.device("meta"):
        state = build(name, **arguments).state_dict()
    assert {key: tuple(state[key].shape) for key in published if key in state} == published


@pytest.mark.parametrize(
    ("name", "arguments", "first_keys"),
    [
        ("srcnn", {"layout": "features"}, ["features.0.weight", "map.0.weight"]),
        ("espcn", {}, ["conv_1.weight", "conv_2.weight", "conv_3.weight"]),
        ("vdsr", {"layout": "conv1"}, ["conv1.0.weight", "trunk.0.conv.weight", "conv2.weight"]),
        (
            "fsrcnn-ports",
            {"layout": "feature_extraction"},
            ["feature_extraction.1.weight", "shrink.0.bias", "map.3.weight", "deconv.weight"],
        ),
        (
            "edsr",
            {"layout": "conv_first"},
            ["conv_first.weight", "body.1.conv2.bias", "upsample.2.weight", "conv_last.bias"],
        ),
    ],
)
def test_names_of_the_other_layouts(
    name: str, arguments: dict[str, Any], first_keys: list[str]
) -> None:
    state = build(name, **{**SMALL[name], **arguments}).state_dict()
    assert set(first_keys) <= state.keys()
    assert len(state) == len(build(name, **SMALL[name]).state_dict()) - (4 if name == "edsr" else 0)


def test_a_network_trained_at_one_scale_has_one_upsampler() -> None:
    network = build("carn-official", scale=3, scales=None, **SMALL["carn-official"])
    keys = {key for key in network.state_dict() if key.startswith("upsample")}
    assert keys == {"upsample.up.body.0.weight", "upsample.up.body.0.bias"}
    assert network(torch.rand(1, 3, 5, 4)).shape == (1, 3, 15, 12)
    with pytest.raises(InputError, match="scale 2: this CARN was trained for 3"):
        network(torch.rand(1, 3, 5, 4), 2)


# --- what holds for all --------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", OTHERS)
def test_output_is_scale_times_the_input(name: str, scale: int) -> None:
    network, x = small(name, scale=scale, size=(15, 17))
    factor = 1 if CATALOG[name].enlarged else scale
    assert network(x).shape == (1, x.shape[1], factor * 15, factor * 17)


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_image_gives_the_same_output_whatever_came_before(name: str) -> None:
    network, x = small(name, size=(16, 19))
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    expected = network(x)
    batch = torch.cat([x.flip(2), x, x.square()])
    torch.testing.assert_close(network(batch)[1:2], expected)
    network(x[..., :15, :17])
    assert torch.equal(network(x), expected)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    assert torch.equal(small(name)[0](x), expected)


@pytest.mark.parametrize("name", OTHERS)
def test_gradients_of_the_input_are_finite_and_there(name: str) -> None:
    network, x = small(name, size=(16, 19))
    for image in (x, torch.zeros_like(x), torch.ones_like(x)):
        image = image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(image).sum(), image)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", [name for name in OTHERS if name not in LOOK_FAR])
def test_an_image_moved_by_pixels_gives_an_output_moved_by_scale_times_as_many(name: str) -> None:
    network, x = small(name, scale=3, size=(56, 57))
    factor = 1 if CATALOG[name].enlarged else 3
    whole, moved = network(x)[..., factor:, 2 * factor :], network(x[..., 1:, 2:])
    inner = (..., *[slice(24 * factor, -24 * factor)] * 2)
    torch.testing.assert_close(moved[inner], whole[inner])
    assert moved[inner].numel() > 0
    assert not torch.allclose(moved, whole)  # the border is not the same


@pytest.mark.parametrize("name", ["rfdn", "rlfn", "bsrn-s"])
def test_the_smallest_input_is_named(name: str) -> None:
    network, x = small(name, size=(40, 14))
    label = CATALOG[name].label
    with pytest.raises(
        InputError, match=f"{label}: input of 40x14 pixels, expected at least 15x15"
    ):
        network(x)


@pytest.mark.parametrize("name", ["edsr", "carn-official"])
def test_the_mean_color_is_fixed(name: str) -> None:
    network = build(name, **SMALL[name])
    x = torch.rand(1, 3, 4, 4)
    mean = torch.tensor([0.4488, 0.4371, 0.4040])[:, None, None]
    torch.testing.assert_close(network.sub_mean(x), x - mean)
    torch.testing.assert_close(network.add_mean(x), x + mean)
    fixed = [*network.sub_mean.parameters(), *network.add_mean.parameters()]
    assert len(fixed) == 4
    assert not any(p.requires_grad for p in fixed)


# --- computations by hand ------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "factors"), [(2, [2]), (3, [3]), (4, [2, 2])])
def test_edsr_by_hand(scale: int, factors: list[int]) -> None:
    network, x = small("edsr", scale=scale, residual_scale=0.1)
    hand = ByHand(network)
    first = y = hand.conv("head.0", hand.conv("sub_mean", x))
    for block in ("body.0.body", "body.1.body"):
        y = y + 0.1 * hand.conv(f"{block}.2", relu(hand.conv(f"{block}.0", y)))
    y = hand.conv("body.2", y) + first
    for number, factor in enumerate(factors):
        y = F.pixel_shuffle(hand.conv(f"tail.0.{2 * number}", y), factor)
    torch.testing.assert_close(network(x), hand.conv("add_mean", hand.conv("tail.1", y)))


def test_edsr_of_basicsr_is_that_of_edsr_pytorch_in_levels_of_255() -> None:
    basic, x = small("edsr", scale=4, layout="conv_first")
    other, _ = small("edsr", scale=4)
    names = {"conv_first": "head.0", "conv_after_body": "body.2", "conv_last": "tail.1"}
    names |= {f"body.{n}.conv{k}": f"body.{n}.body.{2 * k - 2}" for n in (0, 1) for k in (1, 2)}
    names |= {f"upsample.{n}": f"tail.0.{n}" for n in (0, 2)}
    state = {}
    for key, tensor in basic.state_dict().items():
        name, _, kind = key.rpartition(".")
        state[f"{names[name]}.{kind}"] = tensor
    eye, mean = torch.eye(3)[:, :, None, None], torch.tensor([0.4488, 0.4371, 0.4040])
    for shift, sign in (("sub_mean", -255), ("add_mean", 255)):
        state |= {f"{shift}.weight": eye, f"{shift}.bias": sign * mean}
    other.load_state_dict(state)
    torch.testing.assert_close(basic(x), other(x * 255) / 255, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("scale", "factors"), [(2, {0: 2}), (3, {0: 3}), (4, {0: 2, 3: 2})])
@pytest.mark.parametrize("mobile", [False, True])
def test_official_carn_by_hand(scale: int, factors: dict[int, int], mobile: bool) -> None:
    network, x = small("carn-official", scale=scale, mobile=mobile)
    hand = ByHand(network)

    def unit(name: str, number: int, x: Tensor) -> Tensor:
        if not mobile:
            name = f"{name}.b{number}.body"
            return relu(hand.conv(f"{name}.2", relu(hand.conv(f"{name}.0", x))) + x)
        y = relu(hand.conv(f"{name}.b1.body.0", x, groups=2))
        y = relu(hand.conv(f"{name}.b1.body.2", y, groups=2))
        return relu(hand.conv(f"{name}.b1.body.4", y) + x)

    def fuse(name: str, *features: Tensor) -> Tensor:
        return relu(hand.conv(f"{name}.body.0", torch.cat(features, dim=1)))

    def block(name: str, x: Tensor) -> Tensor:
        first = unit(name, 1, x)
        second = unit(name, 2, fuse(f"{name}.c1", x, first))
        third = unit(name, 3, fuse(f"{name}.c2", x, first, second))
        return fuse(f"{name}.c3", x, first, second, third)

    entry = hand.conv("entry", hand.conv("sub_mean.shifter", x))
    first = block("b1", entry)
    second = block("b2", fuse("c1", entry, first))
    third = block("b3", fuse("c2", entry, first, second))
    y = fuse("c3", entry, first, second, third)
    for number, factor in factors.items():
        y = relu(hand.conv(f"upsample.up{scale}.body.{number}", y, groups=2))
        y = F.pixel_shuffle(y, factor)
    expected = hand.conv("add_mean.shifter", hand.conv("exit", y))
    torch.testing.assert_close(network(x), expected)
    elsewhere, _ = small("carn-official", scale=2, mobile=mobile)
    torch.testing.assert_close(elsewhere(x, scale), expected)


@pytest.mark.parametrize("scale", [2, 4])
def test_srvgg_by_hand(scale: int) -> None:
    network, x = small("srvgg", scale=scale)
    hand = ByHand(network)
    y = x
    for number in (0, 2, 4):
        y = hand.prelu(f"body.{number + 1}", hand.conv(f"body.{number}", y))
    enlarged = x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    expected = F.pixel_shuffle(hand.conv("body.6", y), scale) + enlarged
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("layout", ["conv1", "features"])
@pytest.mark.parametrize("channels", [1, 3])
def test_srcnn_by_hand(layout: str, channels: int) -> None:
    network, x = small("srcnn", channels=channels, layout=layout, kernels=(9, 1, 5))
    hand = ByHand(network)
    one, two, three = {
        "conv1": ("conv1", "conv2", "conv3"),
        "features": ("features.0", "map.0", "reconstruction"),
    }[layout]
    expected = hand.conv(three, relu(hand.conv(two, relu(hand.conv(one, x)))))
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("bias", [False, True])
def test_vdsr_by_hand(bias: bool) -> None:
    network, x = small("vdsr", channels=3, bias=bias)
    hand = ByHand(network)
    y = relu(hand.conv("input", x))
    for number in range(3):
        y = relu(hand.conv(f"residual_layer.{number}.conv", y))
    torch.testing.assert_close(network(x), hand.conv("output", y) + x)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_espcn_by_hand(scale: int) -> None:
    network, x = small("espcn", scale=scale, channels=1, layout="first_part")
    hand = ByHand(network)
    y = torch.tanh(hand.conv("first_part.2", torch.tanh(hand.conv("first_part.0", x))))
    expected = F.pixel_shuffle(hand.conv("last_part.0", y), scale)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("layout", ["first_part", "feature_extraction"])
def test_fsrcnn_of_the_ports_by_hand(scale: int, layout: str) -> None:
    network, x = small("fsrcnn-ports", scale=scale, layout=layout)
    hand = ByHand(network)
    if layout == "first_part":
        names = ["first_part.{}"] + ["mid_part.{}"] * 4
        numbers, last = [0, 0, 2, 4, 6], "last_part"
    else:
        names = ["feature_extraction.{}", "shrink.{}", "map.{}", "map.{}", "expand.{}"]
        numbers, last = [0, 0, 0, 2, 0], "deconv"
    y = x
    for name, number in zip(names, numbers, strict=True):
        y = hand.prelu(name.format(number + 1), hand.conv(name.format(number), y))
    # A stamp of the kernel around each pixel, of which 4 pixels hang over at the top and left.
    height, width = scale * x.shape[2], scale * x.shape[3]
    canvas = x.new_zeros(1, 1, height + 20, width + 20)
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            stamp = torch.einsum("c,cokl->okl", y[0, :, row, column], hand.state[f"{last}.weight"])
            canvas[0, :, scale * row :, scale * column :][:, :9, :9] += stamp
    expected = canvas[..., 4 : 4 + height, 4 : 4 + width] + hand.state[f"{last}.bias"]
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_imdn_by_hand(scale: int) -> None:
    network, x = small("imdn", scale=scale)
    hand = ByHand(network)

    def block(name: str, x: Tensor) -> Tensor:
        first = leaky(hand.conv(f"{name}.c1", x), 0.05)
        second = leaky(hand.conv(f"{name}.c2", first[:, 4:]), 0.05)
        third = leaky(hand.conv(f"{name}.c3", second[:, 4:]), 0.05)
        last = hand.conv(f"{name}.c4", third[:, 4:])
        y = torch.cat([first[:, :4], second[:, :4], third[:, :4], last], dim=1)
        mean = y.mean((2, 3), keepdim=True)
        contrast = (y - mean).square().mean((2, 3), keepdim=True).sqrt()
        gate = hand.conv(f"{name}.cca.conv_du.0", contrast + mean)
        gate = sigmoid(hand.conv(f"{name}.cca.conv_du.2", relu(gate)))
        return hand.conv(f"{name}.c5", y * gate) + x

    entry = hand.conv("fea_conv", x)
    first = block("IMDB1", entry)
    second = block("IMDB2", first)
    y = leaky(hand.conv("c.0", torch.cat([first, second], dim=1)), 0.05)
    y = hand.conv("LR_conv", y) + entry
    expected = F.pixel_shuffle(hand.conv("upsampler.0", y), scale)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rfdn_by_hand(scale: int) -> None:
    network, x = small("rfdn", scale=scale, size=(19, 16))
    hand = ByHand(network)

    def coarse(name: str, y: Tensor) -> Tensor:
        y = relu(hand.conv(f"{name}.conv_max", y))
        return hand.conv(f"{name}.conv3_", relu(hand.conv(f"{name}.conv3", y)))

    def block(name: str, x: Tensor) -> Tensor:
        first = leaky(hand.conv(f"{name}.c1_r", x) + x, 0.05)
        second = leaky(hand.conv(f"{name}.c2_r", first) + first, 0.05)
        third = leaky(hand.conv(f"{name}.c3_r", second) + second, 0.05)
        distilled = [
            leaky(hand.conv(f"{name}.c1_d", x), 0.05),
            leaky(hand.conv(f"{name}.c2_d", first), 0.05),
            leaky(hand.conv(f"{name}.c3_d", second), 0.05),
            leaky(hand.conv(f"{name}.c4", third), 0.05),
        ]
        fused = hand.conv(f"{name}.c5", torch.cat(distilled, dim=1))
        return hand.esa(f"{name}.esa", fused, coarse)

    entry = hand.conv("fea_conv", x)
    first = block("B1", entry)
    second = block("B2", first)
    y = leaky(hand.conv("c.0", torch.cat([first, second], dim=1)), 0.05)
    y = hand.conv("LR_conv", y) + entry
    expected = F.pixel_shuffle(hand.conv("upsampler.0", y), scale)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rlfn_by_hand(scale: int) -> None:
    network, x = small("rlfn", scale=scale, size=(19, 16))
    hand = ByHand(network)
    entry = y = hand.conv("conv_1", x)
    for block in ("block_1", "block_2"):
        deep = y
        for number in (1, 2, 3):
            deep = leaky(hand.conv(f"{block}.c{number}_r", deep), 0.05)
        fused = hand.conv(f"{block}.c5", deep + y)
        y = hand.esa(f"{block}.esa", fused, lambda name, z: hand.conv(f"{name}.conv3", z))
    y = hand.conv("conv_2", y) + entry
    expected = F.pixel_shuffle(hand.conv("upsampler.0", y), scale)
    torch.testing.assert_close(network(x), expected)


def test_bsrn_s_by_hand() -> None:
    network, x = small("bsrn-s", scale=2, size=(19, 16))
    hand = ByHand(network)

    def blueprint(name: str, x: Tensor) -> Tensor:
        y = hand.conv(f"{name}.pw", x)
        return hand.conv(f"{name}.dw", y, groups=y.shape[1])

    def coarse(name: str, y: Tensor) -> Tensor:
        y = F.gelu(blueprint(f"{name}.conv_max", y))
        return blueprint(f"{name}.conv3_", F.gelu(blueprint(f"{name}.conv3", y)))

    def block(name: str, x: Tensor) -> Tensor:
        first = F.gelu(blueprint(f"{name}.c1_r", x) + x)
        second = F.gelu(blueprint(f"{name}.c2_r", first) + first)
        third = F.gelu(blueprint(f"{name}.c3_r", second) + second)
        distilled = [
            F.gelu(hand.conv(f"{name}.c1_d", x)),
            F.gelu(hand.conv(f"{name}.c2_d", first)),
            F.gelu(hand.conv(f"{name}.c3_d", second)),
            F.gelu(blueprint(f"{name}.c4", third)),
        ]
        fused = hand.conv(f"{name}.c5", torch.cat(distilled, dim=1))
        y = hand.esa(f"{name}.esa", fused, coarse) * hand.state[f"{name}.cw"][..., None, None]
        return hand.conv(f"{name}.conv_out", y) + x

    entry = blueprint("fea_conv", torch.cat([x, x, x, x], dim=1))
    first = block("B1", entry)
    second = block("B2", first)
    y = F.gelu(hand.conv("c1", torch.cat([first, second], dim=1)))
    y = blueprint("c2", y) + entry
    expected = F.pixel_shuffle(hand.conv("upsampler.upsampleOneStep.0", y), 2)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize(("scale", "factors"), [(2, [2]), (3, [3]), (4, [2, 2])])
def test_pan_by_hand(scale: int, factors: list[int]) -> None:
    network, x = small("pan", scale=scale)
    hand = ByHand(network)
    entry = y = hand.conv("conv_first", x)
    for block in ("SCPA_trunk.0", "SCPA_trunk.1"):
        plain = hand.conv(f"{block}.k1.0", leaky(hand.conv(f"{block}.conv1_a", y), 0.2))
        other = leaky(hand.conv(f"{block}.conv1_b", y), 0.2)
        gate = sigmoid(hand.conv(f"{block}.PAConv.k2", other))
        other = hand.conv(f"{block}.PAConv.k4", hand.conv(f"{block}.PAConv.k3", other) * gate)
        both = torch.cat([leaky(plain, 0.2), leaky(other, 0.2)], dim=1)
        y = hand.conv(f"{block}.conv3", both) + y
    y = hand.conv("trunk_conv", y) + entry
    for number, factor in enumerate(factors, start=1):
        y = y.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        y = hand.conv(f"upconv{number}", y)
        y = leaky(y * sigmoid(hand.conv(f"att{number}.conv", y)), 0.2)
        y = leaky(hand.conv(f"HRconv{number}", y), 0.2)
    enlarged = F.interpolate(x, scale_factor=scale, mode="bilinear")
    torch.testing.assert_close(network(x), hand.conv("conv_last", y) + enlarged)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_vapsr_by_hand(scale: int) -> None:
    network, x = small("vapsr", scale=scale, size=(20, 19))
    hand = ByHand(network)
    entry = y = hand.conv("conv_first", x)
    for block in ("body.0", "body.1"):
        inner = F.gelu(hand.conv(f"{block}.proj_1", y))
        wide = hand.conv(f"{block}.atten_branch.pointwise", inner)
        wide = hand.conv(f"{block}.atten_branch.depthwise", wide, groups=6)
        # Every third pixel: the kernel with zeros between its taps.
        taps = hand.state[f"{block}.atten_branch.depthwise_dilated.weight"]
        kernel = taps.new_zeros(6, 1, 13, 13)
        kernel[..., ::3, ::3] = taps
        bias = hand.state[f"{block}.atten_branch.depthwise_dilated.bias"]
        wide = F.conv2d(wide, kernel, bias, padding=6, groups=6)
        y = hand.conv(f"{block}.proj_2", inner * wide) + y
        centered = y - y.mean(1, keepdim=True)
        y = centered / (centered.square().mean(1, keepdim=True) + 1e-5).sqrt()
        gain, bias = (hand.state[f"{block}.pixel_norm.{kind}"] for kind in ("weight", "bias"))
        y = y * gain[:, None, None] + bias[:, None, None]
    y = hand.conv("upsampler.0", hand.conv("conv_body", y, groups=2) + entry)
    if scale == 4:
        y = hand.conv("upsampler.3", leaky(F.pixel_shuffle(y, 2), 0.1))
        expected = F.pixel_shuffle(y, 2)
    else:
        expected = F.pixel_shuffle(hand.conv("upsampler.2", leaky(y, 0.1)), scale)
    torch.testing.assert_close(network(x), expected)


# --- helpers -------------------------------------------------------------------------------------


class ByHand:
    """Layers spelled out on a state dictionary."""

    def __init__(self, network: nn.Module) -> None:
        self.state = network.state_dict()

    def conv(self, name: str, x: Tensor, *, groups: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        if weight.dim() == 2:
            weight = weight[..., None, None]
        bias = self.state.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)

    def esa(self, name: str, x: Tensor, coarse: Callable[[str, Tensor], Tensor]) -> Tensor:
        """The spatial attention, around what a network does with its coarse view."""
        reduced = self.conv(f"{name}.conv1", x)
        weight, bias = (self.state[f"{name}.conv2.{kind}"] for kind in ("weight", "bias"))
        pooled = F.max_pool2d(F.conv2d(reduced, weight, bias, stride=2), 7, 3)
        wide = F.interpolate(coarse(name, pooled), size=x.shape[2:], mode="bilinear")
        gate = self.conv(f"{name}.conv4", wide + self.conv(f"{name}.conv_f", reduced))
        return x * sigmoid(gate)

    def prelu(self, name: str, x: Tensor) -> Tensor:
        slopes = self.state[f"{name}.weight"][:, None, None]
        return torch.where(x > 0, x, slopes * x)


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)


def leaky(x: Tensor, slope: float) -> Tensor:
    return torch.where(x > 0, x, slope * x)


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def small(
    name: str, *, scale: int = 2, size: tuple[int, int] = (6, 7), **arguments: Any
) -> tuple[Any, Tensor]:
    """A small random network in double precision and eval mode, and an input for it."""
    torch.manual_seed(0)
    network = build(name, scale=scale, **{**SMALL[name], **arguments})
    with torch.no_grad():  # move all that training moves, so that no zero or one hides an error
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    recognized = recognize(network.state_dict())
    assert recognized is not None
    channels = recognized[1].get("channels", 3)
    x = torch.rand(1, channels, *size, dtype=torch.float64)
    return network.double().eval().requires_grad_(False), x
