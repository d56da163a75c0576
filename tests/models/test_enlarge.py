"""The enlarging convolution is the transposed one, forwards, backwards and in what it counts."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.flop_counter import FlopCounterMode

from srlongtail.models.networks._enlarge import EnlargingConv

KERNELS = [(9, 2), (9, 3), (9, 4), (4, 2), (3, 2), (2, 2), (5, 4)]


def pair(kernel, scale, **options):
    """The layer, and torch's with the same weights."""
    torch.manual_seed(0)
    ours = EnlargingConv(4, 3, kernel, scale).to(**options)
    extra = (kernel - scale) % 2
    padding = (kernel - scale + extra) // 2
    torchs = nn.ConvTranspose2d(4, 3, kernel, scale, padding, extra).to(**options)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def gradients(layer, x):
    x = x.clone().requires_grad_()
    output = layer(x)
    probe = torch.linspace(-1, 1, output.numel(), dtype=x.dtype).reshape(output.shape)
    return [output, *torch.autograd.grad((output * probe).sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize(("kernel", "scale"), KERNELS)
def test_output_and_gradients(kernel, scale):
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


def test_first_and_second_derivatives():
    ours, _ = pair(3, 2, dtype=torch.double)
    x = torch.rand(1, 4, 3, 2, dtype=torch.double, requires_grad=True)
    assert gradcheck(ours, x)
    assert gradgradcheck(lambda x: ours(x).square(), x)


def test_as_an_operation_of_torch():
    ours, _ = pair(5, 4)
    weights = ours.weight, ours.bias
    arguments = (torch.rand(1, 4, 3, 2), *weights, 4, ours.margin, ours.extra)
    torch.library.opcheck(torch.ops.srlongtail.enlarge.default, arguments)


def test_mixed_precision():
    ours, torchs = pair(9, 4)
    x = torch.rand(1, 4, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(x), torchs(x))


def test_it_counts_as_what_it_is():
    counts = []
    for layer in pair(9, 4):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            layer(torch.rand(2, 4, 6, 5))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == 2 * (4 * 3 * 81) * (2 * 6 * 5)
