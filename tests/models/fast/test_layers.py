"""The fast layers are torch's own, forwards, backwards and in what they count."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.flop_counter import FlopCounterMode

from srlongtail.models.catalog import CATALOG, build, new_model
from srlongtail.models.checkpoint import load_model
from srlongtail.models.fast.layers import (
    FastConvTranspose2d,
    FastPReLU,
    accelerate,
    prepared,
)

KERNELS = [(9, 2), (9, 3), (9, 4), (4, 2), (3, 2), (2, 2), (5, 4)]


def pair(kernel, scale, **options):
    """The fast layer, and torch's with the same weights."""
    torch.manual_seed(0)
    extra = (kernel - scale) % 2
    padding = (kernel - scale + extra) // 2
    torchs = nn.ConvTranspose2d(4, 3, kernel, scale, padding, extra).to(**options)
    ours = accelerate(copy.deepcopy(torchs))
    assert type(ours) is FastConvTranspose2d
    return ours, torchs


def gradients(network, x):
    x = x.clone().requires_grad_()
    output = network(x)
    probe = torch.linspace(-1, 1, output.numel(), dtype=x.dtype).reshape(output.shape)
    return [output, *torch.autograd.grad((output * probe).sum(), [x, *network.parameters()])]


@pytest.mark.parametrize(("kernel", "scale"), KERNELS)
def test_the_convolution_and_its_gradients(kernel, scale):
    ours, torchs = pair(kernel, scale, dtype=torch.double)
    x = torch.rand(2, 4, 7, 6, dtype=torch.double)
    assert ours(x).shape == (2, 3, 7 * scale, 6 * scale)
    for one, other in zip(gradients(ours, x), gradients(torchs, x), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_value_that_is_not_finite_reaches_what_the_kernel_reads_and_no_more(value):
    ours, torchs = pair(9, 4)
    x = torch.rand(1, 4, 7, 7)
    x[..., 3, 3] = value
    assert torch.equal(ours(x).isfinite(), torchs(x).isfinite())


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_float_and_memory_formats(scale, layout):
    ours, torchs = pair(9, scale, memory_format=layout)
    x = torch.rand(2, 4, 8, 9).to(memory_format=layout)
    assert torch.allclose(ours(x), torchs(x), atol=1e-6)
    assert ours(x).stride() == torchs(x).stride()


def test_first_and_second_derivatives_of_the_convolution():
    ours, _ = pair(3, 2, dtype=torch.double)
    x = torch.rand(1, 4, 3, 2, dtype=torch.double, requires_grad=True)
    assert gradcheck(ours, x)
    assert gradgradcheck(lambda x: ours(x).square(), x)


def test_the_convolution_as_an_operation_of_torch():
    ours, _ = pair(5, 4)
    weights = ours.weight, ours.bias
    arguments = (torch.rand(1, 4, 3, 2), *weights, 4, ours.padding[0], ours.output_padding[0])
    torch.library.opcheck(torch.ops.srlongtail.enlarge.default, arguments)


def test_the_convolution_counts_as_what_it_is():
    counts = []
    for layer in pair(9, 4):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            layer(torch.rand(2, 4, 6, 5))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == 2 * (4 * 3 * 81) * (2 * 6 * 5)


@pytest.mark.parametrize("slope", [0.25, 0.0, -0.5])
def test_prelu(slope):
    torchs = nn.Sequential(nn.PReLU(init=slope)).double()
    ours = accelerate(copy.deepcopy(torchs))
    assert type(ours[0]) is FastPReLU
    x = torch.randn(2, 3, 5, 4, dtype=torch.double)
    x[0, 0, 0, 0] = 0
    fast, plain = gradients(ours, x), gradients(torchs, x)
    assert torch.equal(fast[0], plain[0])
    assert torch.equal(fast[1], plain[1])
    assert torch.allclose(fast[2], plain[2], atol=1e-12)


def test_first_and_second_derivatives_of_prelu():
    prelu = accelerate(nn.PReLU().double())
    x = torch.randn(2, 3, 4, 4, dtype=torch.double, requires_grad=True)

    def squared(x, slope):
        return torch.func.functional_call(prelu, {"weight": slope}, x).square()

    assert gradcheck(squared, (x, prelu.weight))
    assert gradgradcheck(squared, (x, prelu.weight))


@pytest.mark.parametrize("layer", [nn.PReLU(), nn.ConvTranspose2d(3, 3, 4, 2, 1)])
def test_under_autocast_layers_compute_in_its_precision(layer):
    """A few roundings of bfloat16, 2^-8 each, from the same layer in float64."""
    x = torch.randn(2, 3, 16, 16, generator=torch.manual_seed(0)).bfloat16()
    exact = gradients(copy.deepcopy(layer).double(), x.double())
    with torch.autocast("cpu", torch.bfloat16):
        rough = gradients(accelerate(copy.deepcopy(layer)), x)
    assert [tensor.dtype for tensor in rough[:2]] == [torch.bfloat16] * 2
    assert {tensor.dtype for tensor in rough[2:]} == {torch.float32}
    for one, other in zip(rough, exact, strict=True):
        assert (one - other).abs().max() <= other.abs().max() / 64


@pytest.mark.parametrize("name", ["fsrcnn", "srresnet"])
def test_a_network_keeps_its_numbers_keys_and_parameters(name):
    torch.manual_seed(0)
    network = build(name, scale=4).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    before = {key: id(value) for key, value in network.named_parameters()}
    x, keys = torch.rand(1, 3, 6, 5, dtype=torch.double), list(network.state_dict())
    plain = gradients(network, x)
    assert accelerate(network) is network
    assert list(network.state_dict()) == keys
    assert {key: id(value) for key, value in network.named_parameters()} == before
    for one, other in zip(plain, gradients(network, x), strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


class Halved(nn.PReLU):
    """A layer of somebody else's, which computes something else."""


@pytest.mark.parametrize(
    "layer",
    [
        nn.PReLU(4),
        Halved(),
        nn.ConvTranspose2d(4, 3, 9, 4),  # larger than 4 times the input
        nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False),
        nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=2),
        nn.ConvTranspose2d(4, 3, (4, 2), 2, (1, 0)),
        nn.ConvTranspose2d(4, 3, 3, 2, 2, 1, dilation=2),
    ],
)
def test_layers_without_a_faster_way_stay(layer):
    kind = type(layer)
    assert type(accelerate(layer)) is kind


@pytest.mark.parametrize("name", sorted(CATALOG.keys() - {"fsrcnn", "fsrcnn-ports", "srresnet"}))
def test_other_networks_stay(name):
    network = build(name, scale=4)
    kinds = [type(module) for module in network.modules()]
    accelerate(network)
    assert [type(module) for module in network.modules()] == kinds


def test_a_loaded_network_is_fast_and_a_built_one_plain():
    loaded = {type(module) for module in load_model("fsrcnn-x4").network.modules()}
    plain = {type(module) for module in build("fsrcnn", scale=4).modules()}
    assert loaded - plain == {FastPReLU, FastConvTranspose2d}
    assert plain - loaded == {nn.PReLU, nn.ConvTranspose2d}


@pytest.mark.parametrize("name", [name for name in CATALOG if CATALOG[name].channels == "rgb"])
def test_a_prepared_network_computes_the_same_and_gives_planes(name):
    torch.manual_seed(0)
    plain = new_model(name, 2)
    fast = copy.deepcopy(plain)
    prepared(fast.network)
    lr = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        expected, found = plain(lr), fast(lr)
    assert found.is_contiguous()
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
