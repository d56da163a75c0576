"""The fast ways give what torch's own give, forwards and backwards."""

import pytest
import torch
from torch import nn

from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import CATALOG, build
from srlongtail.training.quick import BicubicOfPatches, ShuffledTransposedConv, quicken


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


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fsrcnn_s_last_layer(scale):
    torch.manual_seed(0)
    network = build("fsrcnn", scale=scale, features=5).double()
    nn.init.normal_(network.tail_conv.bias)
    nn.init.normal_(network.tail_conv.weight)
    x = torch.rand(2, 3, 7, 6, dtype=torch.double)
    keys = list(network.state_dict())
    plain = gradients(network, x)
    quicken(network)
    assert isinstance(network.tail_conv, ShuffledTransposedConv)
    for one, other in zip(plain, gradients(network, x), strict=True):
        assert torch.allclose(one, other, atol=1e-10)
    assert list(network.state_dict()) == keys


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("arguments", [(9, 4, 3, 1), (4, 2, 1), (2, 2)])
def test_other_kernels_and_memory_formats(layout, arguments):
    plain = nn.ConvTranspose2d(4, 3, *arguments)
    network = nn.Sequential(plain).to(memory_format=layout)
    x = torch.rand(2, 4, 5, 6).to(memory_format=layout)
    expected = plain(x)
    quicken(network)
    assert network[0] is not plain
    assert torch.allclose(network(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "conv",
    [
        nn.ConvTranspose2d(4, 4, 9, stride=4, padding=3, output_padding=1, groups=2),
        nn.ConvTranspose2d(4, 4, 9, stride=4, padding=3, output_padding=1, bias=False),
        nn.ConvTranspose2d(4, 4, 9, stride=4, padding=3),
        nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(4, 4, (9, 5), stride=4, padding=(3, 1), output_padding=1),
    ],
)
def test_other_convolutions_stay(conv):
    network = nn.Sequential(conv)
    quicken(network)
    assert network[0] is conv


@pytest.mark.parametrize("name", sorted(CATALOG.keys() - {"fsrcnn"}))
def test_other_networks_stay(name):
    network = build(name, scale=4)
    kinds = [type(module) for module in network.modules()]
    quicken(network)
    assert [type(module) for module in network.modules()] == kinds
