"""The fast ways give what torch's own give, forwards and backwards."""

import pytest
import torch
from torch import nn

from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import CATALOG, build
from srlongtail.training.quick import BicubicOfPatches, QuickPReLU, quicken


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [5, 32])
def test_bicubic_as_matrices(scale, size):
    lr = torch.rand(3, 3, size, size)
    enlarged = BicubicOfPatches(size, scale)(lr)
    assert enlarged.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(enlarged, upsample_bicubic(lr, scale), atol=1e-6)


def gradients(network, x):
    x = x.clone().requires_grad_()
    output = network(x)
    probe = torch.linspace(-1, 1, output.numel(), dtype=x.dtype).reshape(output.shape)
    return [output, *torch.autograd.grad((output * probe).sum(), [x, *network.parameters()])]


@pytest.mark.parametrize("slope", [0.25, 0.0, -0.5])
def test_prelu(slope):
    network = nn.Sequential(nn.PReLU(init=slope)).double()
    x = torch.randn(2, 3, 5, 4, dtype=torch.double)
    x[0, 0, 0, 0] = 0
    plain = gradients(network, x)
    weight = network[0].weight
    quicken(network)
    assert isinstance(network[0], QuickPReLU)
    assert network[0].weight is weight
    quick = gradients(network, x)
    assert torch.equal(quick[0], plain[0])
    assert torch.equal(quick[1], plain[1])
    assert torch.allclose(quick[2], plain[2], atol=1e-12)


@pytest.mark.parametrize("name", ["fsrcnn", "srresnet"])
def test_a_quick_network(name):
    torch.manual_seed(0)
    network = build(name, scale=4).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    x, keys = torch.rand(1, 3, 6, 5, dtype=torch.double), list(network.state_dict())
    plain = gradients(network, x)
    quicken(network)
    assert list(network.state_dict()) == keys
    for one, other in zip(plain, gradients(network, x), strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def test_a_slope_for_each_channel_stays():
    network = nn.Sequential(nn.PReLU(4))
    quicken(network)
    assert type(network[0]) is nn.PReLU


@pytest.mark.parametrize("name", sorted(CATALOG.keys() - {"fsrcnn", "srresnet"}))
def test_other_networks_stay(name):
    network = build(name, scale=4)
    kinds = [type(module) for module in network.modules()]
    quicken(network)
    assert [type(module) for module in network.modules()] == kinds
