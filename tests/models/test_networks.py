"""The networks against the published numbers, names and weights, and against computations by hand.

The computations by hand read the state dictionary alone, so they hold names and structure together.
"""

import csv
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.models.networks import BSRN, CARN, FSRCNN, MSRN, SRResNet, SwinIR
from srlongtail.models.networks.bsrn import ContrastAttention
from srlongtail.models.networks.swinir import SwinBlock, shift_mask

ALL = [FSRCNN, CARN, SRResNet, MSRN, SwinIR, BSRN]
SMALL: dict[type[nn.Module], dict[str, Any]] = {
    FSRCNN: {"features": 5, "shrunk": 3, "mappings": 2},
    CARN: {"features": 8, "groups": 2},
    SRResNet: {"features": 6, "blocks": 2},
    MSRN: {"features": 4, "blocks": 2},
    SwinIR: {"features": 12, "depths": (2, 2), "heads": (2, 3), "window": 4, "image_size": 16},
    BSRN: {"features": 32, "blocks": 2},
}


# --- published numbers, names and weights -----------------------------------------------------


@pytest.mark.parametrize(
    ("network", "published"),
    [(FSRCNN, 24_515), (CARN, 296_487), (SRResNet, 1_553_719), (MSRN, 6_078_043), (BSRN, 352_400)],
)
def test_published_count_of_numbers(network: type[nn.Module], published: int) -> None:
    with torch.device("meta"):
        state = network().state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == published


@pytest.mark.parametrize(
    ("network", "scale", "thousands"),
    [(SwinIR, 2, 878), (SwinIR, 3, 886), (SwinIR, 4, 897), (BSRN, 2, 332), (BSRN, 3, 340)],
)
def test_count_of_parameters_in_the_papers_tables(
    network: type[nn.Module], scale: int, thousands: int
) -> None:
    with torch.device("meta"):
        parameters = dict(network(scale=scale).named_parameters())
    # SwinIR's tables leave the position biases out.
    counted = sum(p.numel() for name, p in parameters.items() if "bias_table" not in name)
    assert round(counted / 1000) == thousands


BLOCK = "layers.3.residual_group.blocks"
MASK = "layers.0.residual_group.blocks.1.attn_mask"
PUBLISHED: dict[type[nn.Module], dict[str, tuple[int, ...]]] = {
    FSRCNN: {
        "head_conv.0.weight": (56, 3, 5, 5),
        "head_conv.1.weight": (1,),
        "body_conv.0.0.weight": (12, 56, 1, 1),
        "body_conv.0.1.weight": (1,),
        "body_conv.4.bias": (12,),
        "body_conv.5.weight": (1,),
        "body_conv.6.0.weight": (56, 12, 1, 1),
        "body_conv.6.1.weight": (1,),
        "tail_conv.weight": (56, 3, 9, 9),
    },
    CARN: {
        "sub_mean.weight": (3, 3, 1, 1),
        "add_mean.bias": (3,),
        "entry.weight": (64, 3, 3, 3),
        "b1.b1.body.0.weight": (64, 16, 3, 3),
        "b2.b1.body.2.bias": (64,),
        "b3.b1.body.4.weight": (64, 64, 1, 1),
        "b3.c1.0.weight": (64, 128, 1, 1),
        "b3.c2.1.running_var": (64,),
        "c3.0.weight": (64, 256, 1, 1),
        "c3.1.weight": (64,),
        "upsample.up.body.0.weight": (256, 16, 3, 3),
        "upsample.up.body.3.bias": (256,),
        "exit.weight": (3, 64, 3, 3),
    },
    SRResNet: {
        "conv_input.0.weight": (64, 3, 9, 9),
        "conv_input.1.weight": (1,),
        "residual.15.block.0.weight": (64, 64, 3, 3),
        "residual.15.block.1.running_mean": (64,),
        "residual.15.block.2.weight": (1,),
        "residual.15.block.4.bias": (64,),
        "conv_mid.0.weight": (64, 64, 3, 3),
        "conv_mid.1.running_var": (64,),
        "upscale.0.weight": (256, 64, 3, 3),
        "upscale.2.weight": (1,),
        "upscale.3.bias": (256,),
        "upscale.5.weight": (1,),
        "conv_output.weight": (3, 64, 9, 9),
    },
    MSRN: {
        "sub_mean.bias": (3,),
        "add_mean.weight": (3, 3, 1, 1),
        "head.0.weight": (64, 3, 3, 3),
        "body.7.conv_3_1.weight": (64, 64, 3, 3),
        "body.7.conv_5_1.weight": (64, 64, 5, 5),
        "body.7.conv_3_2.weight": (128, 128, 3, 3),
        "body.7.conv_5_2.weight": (128, 128, 5, 5),
        "body.7.confusion.weight": (64, 256, 1, 1),
        "tail.0.weight": (64, 576, 1, 1),
        "tail.1.weight": (64, 64, 3, 3),
        "tail.2.0.weight": (256, 64, 3, 3),
        "tail.2.2.bias": (256,),
        "tail.3.weight": (3, 64, 3, 3),
    },
    SwinIR: {
        "conv_first.weight": (60, 3, 3, 3),
        "patch_embed.norm.weight": (60,),
        f"{BLOCK}.0.norm1.weight": (60,),
        f"{BLOCK}.0.attn.relative_position_bias_table": (225, 6),
        f"{BLOCK}.0.attn.relative_position_index": (64, 64),
        f"{BLOCK}.0.attn.qkv.weight": (180, 60),
        f"{BLOCK}.0.attn.proj.bias": (60,),
        f"{BLOCK}.0.norm2.bias": (60,),
        f"{BLOCK}.0.mlp.fc1.weight": (120, 60),
        f"{BLOCK}.0.mlp.fc2.weight": (60, 120),
        f"{BLOCK}.5.attn_mask": (64, 64, 64),
        "layers.3.conv.weight": (60, 60, 3, 3),
        "norm.bias": (60,),
        "conv_after_body.weight": (60, 60, 3, 3),
        "upsample.0.weight": (48, 60, 3, 3),
    },
    BSRN: {
        "fea_conv.pw.weight": (64, 12, 1, 1),
        "fea_conv.dw.weight": (64, 1, 3, 3),
        "B8.c1_d.weight": (32, 64, 1, 1),
        "B8.c3_r.pw.weight": (64, 64, 1, 1),
        "B8.c3_r.dw.bias": (64,),
        "B8.c4.dw.weight": (32, 1, 3, 3),
        "B8.c5.weight": (64, 128, 1, 1),
        "B8.esa.conv1.weight": (16, 64, 1, 1),
        "B8.esa.conv_f.weight": (16, 16, 1, 1),
        "B8.esa.conv_max.dw.weight": (16, 1, 3, 3),
        "B8.esa.conv2.pw.weight": (16, 16, 1, 1),
        "B8.esa.conv3.pw.weight": (16, 16, 1, 1),
        "B8.esa.conv3_.dw.bias": (16,),
        "B8.esa.conv4.weight": (64, 16, 1, 1),
        "B8.cca.conv_du.0.weight": (4, 64, 1, 1),
        "B8.cca.conv_du.2.bias": (64,),
        "c1.weight": (64, 512, 1, 1),
        "c2.dw.weight": (64, 1, 3, 3),
        "upsampler.upsampleOneStep.0.weight": (48, 64, 3, 3),
    },
}


@pytest.mark.parametrize("network", ALL)
def test_published_names_and_shapes(network: type[nn.Module]) -> None:
    with torch.device("meta"):
        state = network().state_dict()
    published = PUBLISHED[network]
    assert {key: tuple(state[key].shape) for key in published if key in state} == published


def test_only_shifted_blocks_of_swinir_hold_masks() -> None:
    with torch.device("meta"):
        keys = SwinIR().state_dict().keys()
    masks = {key for key in keys if key.endswith("attn_mask")}
    expected = product(range(4), (1, 3, 5))
    assert masks == {f"layers.{g}.residual_group.blocks.{b}.attn_mask" for g, b in expected}


def test_no_bias_where_the_published_networks_have_none() -> None:
    assert "b1.c1.0.bias" not in CARN().state_dict()
    assert "fea_conv.pw.bias" not in BSRN().state_dict()


def test_published_fsrcnn_restores_as_published(shared: Path) -> None:
    state = torch.load(shared / "checkpoints" / "4x_FSRCNN_FPL.pth", weights_only=True)
    arguments = FSRCNN.arguments_from(state)
    assert arguments == {"features": 56, "shrunk": 12, "mappings": 4}
    network = FSRCNN(scale=4, **arguments).eval()
    network.load_state_dict(state, strict=True)
    with (shared / "golden" / "evaluation.csv").open() as file:
        rows = {(row["model"], row["dataset"]): row for row in csv.DictReader(file)}
    folder = shared / "data" / "test" / "Set5"
    measured = [psnr(network, folder, path.stem) for path in (folder / "HR").glob("*.png")]
    # The golden number is of images cropped to multiples of 12, with an LR rounded only once.
    golden = float(rows["FSRCNN_FPL", "Set5"]["psnr_db"])
    assert np.mean(measured) == pytest.approx(golden, abs=0.1)


def psnr(network: nn.Module, folder: Path, name: str) -> float:
    lr = read(folder / "LR_bicubic" / "X4" / f"{name}x4.png")
    with torch.no_grad():
        sr = network(lr) + F.interpolate(lr, scale_factor=4, mode="bicubic")
    sr = (sr.clamp(0, 1) * 255).round()
    hr = read(folder / "HR" / f"{name}.png")[..., : sr.shape[-2], : sr.shape[-1]] * 255
    error = (sr - hr)[..., 4:-4, 4:-4].square().mean()
    return float(10 * torch.log10(255**2 / error))


def read(path: Path) -> Tensor:
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


# --- what holds for all -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("network", ALL)
def test_output_is_scale_times_the_input(network: type[nn.Module], scale: int) -> None:
    height, width = (8, 16) if network is SwinIR else (15, 17)
    model, x = small(network, scale=scale, size=(height, width))
    assert model(x).shape == (1, 3, scale * height, scale * width)


@pytest.mark.parametrize("network", ALL)
def test_an_image_is_restored_alone_as_in_a_batch(network: type[nn.Module]) -> None:
    model, x = small(network, scale=2, size=(16, 16))
    batch = torch.cat([x.flip(2), x, x.square()])
    torch.testing.assert_close(model(batch)[1:2], model(x))


@pytest.mark.parametrize("network", [CARN, MSRN])
def test_mean_colour_starts_as_published_and_is_trained(network: type[CARN] | type[MSRN]) -> None:
    model = network(scale=2)
    x = torch.rand(1, 3, 4, 4)
    mean = torch.tensor([0.4488, 0.4371, 0.4040])[:, None, None]
    torch.testing.assert_close(model.sub_mean(x), x - mean)
    torch.testing.assert_close(model.add_mean(x), x + mean)
    assert all(
        p.requires_grad for p in [*model.sub_mean.parameters(), *model.add_mean.parameters()]
    )


# --- computations by hand -----------------------------------------------------------------------


class ByHand:
    """Layers spelled out on a state dictionary."""

    def __init__(self, network: nn.Module) -> None:
        self.state = network.state_dict()

    def conv(self, name: str, x: Tensor, *, groups: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        bias = self.state.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=groups)

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, variance, gain, bias = (
            self.state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * gain + bias

    def prelu(self, name: str, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, self.state[f"{name}.weight"] * x)

    def blueprint(self, name: str, x: Tensor, *, stride: int = 1, padding: int = 1) -> Tensor:
        x = F.conv2d(x, self.state[f"{name}.pw.weight"])
        weight, bias = self.state[f"{name}.dw.weight"], self.state[f"{name}.dw.bias"]
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.zeros_like(x))


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / sqrt(2))) / 2


def shuffle(x: Tensor, factor: int) -> Tensor:
    shuffled = x.new_empty(
        len(x), x.shape[1] // factor**2, factor * x.shape[2], factor * x.shape[3]
    )
    for row, column in product(range(factor), repeat=2):
        shuffled[..., row::factor, column::factor] = x[:, factor * row + column :: factor**2]
    return shuffled


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fsrcnn_by_hand(scale: int) -> None:
    network, x = small(FSRCNN, scale=scale)
    hand = ByHand(network)
    y = hand.prelu("head_conv.1", hand.conv("head_conv.0", x))
    y = hand.prelu("body_conv.0.1", hand.conv("body_conv.0.0", y))
    y = hand.conv("body_conv.2", hand.conv("body_conv.1", y))
    y = hand.prelu("body_conv.3", y)
    y = hand.prelu("body_conv.4.1", hand.conv("body_conv.4.0", y))
    padding = {2: 4, 3: 3, 4: 3}[scale]
    height, width = scale * x.shape[2], scale * x.shape[3]
    canvas = x.new_zeros(1, 3, height + 20, width + 20)  # every kernel's stamp fits
    for row, column in product(range(x.shape[2]), range(x.shape[3])):
        stamp = torch.einsum("c,cokl->okl", y[0, :, row, column], hand.state["tail_conv.weight"])
        canvas[0, :, scale * row :, scale * column :][:, :9, :9] += stamp
    expected = canvas[..., padding : padding + height, padding : padding + width]
    expected = expected + hand.state["tail_conv.bias"][:, None, None]
    torch.testing.assert_close(network(x), expected)


def test_fsrcnn_starts_with_ordinary_kaiming_and_a_black_image() -> None:
    torch.manual_seed(0)
    network = FSRCNN()
    expected = sqrt(2 / (1 + 0.25**2) / (3 * 5 * 5))
    assert network.head_conv[0].weight.std().item() == pytest.approx(expected, rel=0.05)
    assert network.tail_conv.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert network(torch.rand(1, 3, 8, 8)).abs().max() < 0.05


@pytest.mark.parametrize(("scale", "factors"), [(2, {0: 2}), (3, {0: 3}), (4, {0: 2, 3: 2})])
def test_carn_by_hand(scale: int, factors: dict[int, int]) -> None:
    network, x = small(CARN, scale=scale)
    hand = ByHand(network)

    def unit(name: str, x: Tensor) -> Tensor:
        y = relu(hand.conv(f"{name}.body.0", x, groups=2))
        y = relu(hand.conv(f"{name}.body.2", y, groups=2))
        return relu(hand.conv(f"{name}.body.4", y) + x)

    def fuse(name: str, *features: Tensor) -> Tensor:
        return relu(hand.norm(f"{name}.1", hand.conv(f"{name}.0", torch.cat(features, dim=1))))

    def block(name: str, x: Tensor) -> Tensor:
        first = unit(f"{name}.b1", x)
        second = unit(f"{name}.b1", fuse(f"{name}.c1", x, first))
        third = unit(f"{name}.b1", fuse(f"{name}.c2", x, first, second))
        return fuse(f"{name}.c3", x, first, second, third)

    entry = hand.conv("entry", hand.conv("sub_mean", x))
    first = block("b1", entry)
    second = block("b2", fuse("c1", entry, first))
    third = block("b3", fuse("c2", entry, first, second))
    y = fuse("c3", entry, first, second, third)
    for number, factor in factors.items():
        y = shuffle(relu(hand.conv(f"upsample.up.body.{number}", y, groups=2)), factor)
    torch.testing.assert_close(network(x), hand.conv("add_mean", hand.conv("exit", y)))


def test_carn_uses_each_residual_unit_three_times() -> None:
    network = CARN(**SMALL[CARN])
    uses = []
    network.b2.b1.register_forward_hook(lambda *_: uses.append(1))
    network(torch.rand(1, 3, 4, 4))
    assert len(uses) == 3


@pytest.mark.parametrize(
    ("scale", "stages"), [(2, [(0, 2, 2)]), (3, [(0, 3, 2)]), (4, [(0, 2, 2), (3, 2, 5)])]
)
def test_srresnet_by_hand(scale: int, stages: list[tuple[int, int, int]]) -> None:
    network, x = small(SRResNet, scale=scale)
    hand = ByHand(network)
    first = y = hand.prelu("conv_input.1", hand.conv("conv_input.0", x))
    for block in ("residual.0.block", "residual.1.block"):
        inner = hand.norm(f"{block}.1", hand.conv(f"{block}.0", y))
        inner = hand.conv(f"{block}.3", hand.prelu(f"{block}.2", inner))
        y = hand.norm(f"{block}.4", inner) + y
    y = hand.norm("conv_mid.1", hand.conv("conv_mid.0", y)) + first
    for conv, factor, slope in stages:
        y = hand.prelu(f"upscale.{slope}", shuffle(hand.conv(f"upscale.{conv}", y), factor))
    torch.testing.assert_close(network(x), hand.conv("conv_output", y))


@pytest.mark.parametrize(("scale", "factors"), [(2, {0: 2}), (3, {0: 3}), (4, {0: 2, 2: 2})])
def test_msrn_by_hand(scale: int, factors: dict[int, int]) -> None:
    network, x = small(MSRN, scale=scale)
    hand = ByHand(network)

    def block(name: str, x: Tensor) -> Tensor:
        both = torch.cat([relu(hand.conv(f"{name}.conv_{k}_1", x)) for k in (3, 5)], dim=1)
        both = torch.cat([relu(hand.conv(f"{name}.conv_{k}_2", both)) for k in (3, 5)], dim=1)
        return hand.conv(f"{name}.confusion", both) + x

    head = hand.conv("head.0", hand.conv("sub_mean", x))
    first = block("body.0", head)
    second = block("body.1", first)
    y = hand.conv("tail.1", hand.conv("tail.0", torch.cat([first, second, head], dim=1)))
    for number, factor in factors.items():
        y = shuffle(hand.conv(f"tail.2.{number}", y), factor)
    torch.testing.assert_close(network(x), hand.conv("add_mean", hand.conv("tail.3", y)))


def test_msrn_fuses_the_first_features_last() -> None:
    network, x = small(MSRN, scale=2)
    fused = []
    network.tail[0].register_forward_pre_hook(lambda _, inputs: fused.append(inputs[0]))
    network(x)
    with torch.no_grad():
        network.body[0].confusion.bias += 1  # shifts both blocks' outputs, and not the head's
    network(x)
    changed = (fused[0] != fused[1]).flatten(2).any(2)[0]
    assert changed.tolist() == [True] * 8 + [False] * 4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bsrn_by_hand(scale: int) -> None:
    network, x = small(BSRN, scale=scale, size=(19, 16))
    hand = ByHand(network)

    def esa(name: str, x: Tensor) -> Tensor:
        reduced = hand.conv(f"{name}.conv1", x)
        y = hand.blueprint(f"{name}.conv2", reduced, stride=2, padding=0)
        y = gelu(hand.blueprint(f"{name}.conv_max", F.max_pool2d(y, 7, 3)))
        y = hand.blueprint(f"{name}.conv3_", gelu(hand.blueprint(f"{name}.conv3", y)))
        y = F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)
        y = hand.conv(f"{name}.conv4", y + hand.conv(f"{name}.conv_f", reduced))
        return x / (1 + torch.exp(-y))

    def cca(name: str, x: Tensor) -> Tensor:
        mean = x.sum((2, 3), keepdim=True) / (19 * 16)
        deviation = (((x - mean) ** 2).sum((2, 3), keepdim=True) / (19 * 16)) ** 0.5
        y = relu(hand.conv(f"{name}.conv_du.0", mean + deviation))
        return x / (1 + torch.exp(-hand.conv(f"{name}.conv_du.2", y)))

    def block(name: str, x: Tensor) -> Tensor:
        first = gelu(hand.blueprint(f"{name}.c1_r", x) + x)
        second = gelu(hand.blueprint(f"{name}.c2_r", first) + first)
        third = gelu(hand.blueprint(f"{name}.c3_r", second) + second)
        distilled = [
            gelu(hand.conv(f"{name}.c1_d", x)),
            gelu(hand.conv(f"{name}.c2_d", first)),
            gelu(hand.conv(f"{name}.c3_d", second)),
            gelu(hand.blueprint(f"{name}.c4", third)),
        ]
        fused = hand.conv(f"{name}.c5", torch.cat(distilled, dim=1))
        return cca(f"{name}.cca", esa(f"{name}.esa", fused)) + x

    features = hand.blueprint("fea_conv", torch.cat([x, x, x, x], dim=1))
    first = block("B1", features)
    second = block("B2", first)
    y = hand.blueprint("c2", gelu(hand.conv("c1", torch.cat([first, second], dim=1)))) + features
    expected = shuffle(hand.conv("upsampler.upsampleOneStep.0", y), scale)
    torch.testing.assert_close(network(x), expected)


def test_bsrn_names_its_smallest_input() -> None:
    network = BSRN(scale=2, **SMALL[BSRN])
    assert network(torch.rand(1, 3, 15, 15)).shape == (1, 3, 30, 30)
    with pytest.raises(InputError, match="BSRN: input of 40x14 pixels, expected at least 15x15"):
        network(torch.rand(1, 3, 40, 14))


def test_contrast_of_a_constant_channel_has_a_finite_gradient() -> None:
    x = torch.full((1, 16, 4, 4), 0.5, requires_grad=True)
    ContrastAttention(16)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("shifted", [False, True])
def test_swin_block_by_hand(shifted: bool) -> None:
    window, heads, height, width = 4, 2, 8, 12
    block = SwinBlock(6, heads, window, 2, image_size=8, shifted=shifted).double()
    randomised(block)
    x = torch.randn(2, height, width, 6, dtype=torch.float64)
    with torch.no_grad():
        actual = block(x, shift_mask(height, width, window).double())
        expected = torch.stack([swin_block_by_hand(block, image, shifted) for image in x])
    torch.testing.assert_close(actual, expected)


def swin_block_by_hand(block: SwinBlock, x: Tensor, shifted: bool) -> Tensor:
    """One pixel after the other attends to those of its window that truly are its neighbours."""
    state, window, heads = block.state_dict(), 4, 2
    (height, width, features), shift = x.shape, window // 2 if shifted else 0
    table = state["attn.relative_position_bias_table"]

    def norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        deviation = torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
        return centred / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def window_of(row: int, column: int) -> tuple[int, int]:
        return (row - shift) % height // window, (column - shift) % width // window

    qkv = linear("attn.qkv", norm("norm1", x)).reshape(height, width, 3, heads, features // heads)
    pixels = list(product(range(height), range(width)))
    attended = torch.empty_like(x)
    for row, column in pixels:
        peers = [
            (r, c)
            for r, c in pixels
            if window_of(r, c) == window_of(row, column)
            and abs(r - row) < window
            and abs(c - column) < window
        ]
        for head in range(heads):
            query = qkv[row, column, 0, head]
            logits = [
                query @ qkv[r, c, 1, head] / sqrt(features / heads)
                + table[(row - r + window - 1) * (2 * window - 1) + column - c + window - 1, head]
                for r, c in peers
            ]
            shares = torch.exp(torch.stack(logits))
            values = torch.stack([qkv[r, c, 2, head] for r, c in peers])
            part = slice(head * features // heads, (head + 1) * features // heads)
            attended[row, column, part] = shares @ values / shares.sum()
    x = x + linear("attn.proj", attended)
    return x + linear("mlp.fc2", gelu(linear("mlp.fc1", norm("norm2", x))))


def test_shift_mask_parts_what_only_the_shift_made_neighbours() -> None:
    mask = shift_mask(64, 64, 8)
    assert mask.shape == (64, 64, 64)
    assert mask.unique().tolist() == [-100, 0]
    assert (mask[0] == 0).all()
    right, corner = mask[7], mask[63]
    column = torch.arange(64) % 8
    assert torch.equal(right == 0, (column[:, None] < 4) == (column < 4))
    assert ((corner == 0).sum(dim=1) == 16).all()


def test_opposite_borders_do_not_attend_to_each_other() -> None:
    block = randomised(SwinBlock(6, 2, 4, 2, image_size=8, shifted=True).double())
    x = torch.randn(1, 8, 12, 6, dtype=torch.float64, requires_grad=True)
    block(x, shift_mask(8, 12, 4).double())[0, 0].square().sum().backward()
    assert x.grad is not None
    reach = x.grad[0].abs().amax(dim=(1, 2))
    assert (reach[:2] > 1e-6).all()
    assert (reach[2:] < 1e-30).all()


def test_swinir_by_hand_around_its_blocks() -> None:
    network, x = small(SwinIR, scale=3, size=(8, 12))
    hand = ByHand(network)
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).to(x)[:, None, None]
    mask = shift_mask(8, 12, 4).to(x)

    def norm(name: str, x: Tensor) -> Tensor:
        gain, bias = hand.state[f"{name}.weight"], hand.state[f"{name}.bias"]
        return F.layer_norm(x, [12], gain, bias)

    first = hand.conv("conv_first", x - mean)
    y = norm("patch_embed.norm", first.movedim(1, 3))
    for number, layer in enumerate(network.layers):
        deep = y
        for block in layer.residual_group.blocks:
            deep = block(deep, mask)
        y = hand.conv(f"layers.{number}.conv", deep.movedim(3, 1)).movedim(1, 3) + y
    y = hand.conv("conv_after_body", norm("norm", y).movedim(3, 1)) + first
    torch.testing.assert_close(network(x), shuffle(hand.conv("upsample.0", y), 3) + mean)


def test_swinir_starts_with_small_attention() -> None:
    torch.manual_seed(0)
    network = SwinIR(scale=2, depths=(1,), heads=(6,))
    block = network.layers[0].residual_group.blocks[0]
    for weight in (block.attn.qkv.weight, block.mlp.fc1.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.attn.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.1)
    assert not block.attn.qkv.bias.any()


@pytest.mark.parametrize("size", [(16, 16), (24, 24), (8, 32), (4, 4)])
def test_swinir_does_not_depend_on_the_stored_masks(size: tuple[int, int]) -> None:
    trained, x = small(SwinIR, scale=2, size=size)
    state = trained.state_dict()
    without_masks = {key: tensor for key, tensor in state.items() if "mask" not in key}
    assert len(without_masks) == len(state) - 2
    for loaded in (state, without_masks):
        other = SwinIR(scale=2, **{**SMALL[SwinIR], "image_size": 24}).double()
        other.load_state_dict(loaded, strict=True)
        assert other.state_dict()[MASK].shape == (36, 16, 16)
        assert torch.equal(other(x), trained(x))


def test_loading_into_swinir_leaves_the_callers_dict_alone() -> None:
    state = SwinIR(**SMALL[SwinIR]).state_dict()
    SwinIR(**{**SMALL[SwinIR], "image_size": 24}).load_state_dict(state)
    assert state[MASK].shape == (16, 16, 16)


@pytest.mark.parametrize("size", [(16, 20), (20, 16)])
def test_swinir_refuses_sizes_that_no_windows_fill(size: tuple[int, int]) -> None:
    height, width = size
    message = (
        f"SwinIR: input of {height}x{width} pixels, "
        "expected height and width to be multiples of the window, 8"
    )
    with pytest.raises(InputError, match=message):
        SwinIR(depths=(2,), heads=(6,))(torch.rand(1, 3, height, width))


# --- helpers ------------------------------------------------------------------------------------


def small(
    network: type[nn.Module], *, scale: int, size: tuple[int, int] = (6, 7)
) -> tuple[Any, Tensor]:
    """A small random network in double precision and eval mode, and an input for it."""
    torch.manual_seed(0)
    model = randomised(network(scale=scale, **SMALL[network]))
    model = model.double().eval().requires_grad_(False)
    return model, torch.rand(1, 3, *size, dtype=torch.float64)


def randomised(model: nn.Module) -> Any:
    """Move all that training moves, so that no identity, zero or one hides an error."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model
