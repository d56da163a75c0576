"""Eval mode layer by layer, what says that memory is short, and which device."""

import pytest
import torch
from torch import nn

from srlongtail.device import (
    device_of,
    eval_mode,
    find_device,
    fixed_weights,
    is_out_of_memory,
)
from srlongtail.errors import InputError


def test_eval_mode_leaves_every_layer_as_it_was():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Dropout(), nn.Dropout()))
    network[0].eval()  # frozen by whoever trains the rest
    before = [layer.training for layer in network.modules()]
    with eval_mode(network):
        assert not any(layer.training for layer in network.modules())
    assert [layer.training for layer in network.modules()] == before == [True, False, *[True] * 3]


def test_eval_mode_takes_any_callable():
    with eval_mode(torch.sin):
        pass


def test_weights_are_fixed_only_meanwhile():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    network[0].weight.requires_grad_(False)  # frozen by whoever trains the rest
    with fixed_weights(network):
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == [False, True, True, True]
    with fixed_weights(torch.sin):
        pass


def test_memory_that_the_cpu_does_not_have():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_other_errors_are_not_about_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.rand(2, 3) @ torch.rand(2, 3)
    assert not is_out_of_memory(caught.value)


def test_devices():
    best = "cuda" if torch.cuda.is_available() else "cpu"
    assert find_device().type == best
    assert find_device(torch.device("cpu")) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")).type == "meta"
    with pytest.raises(InputError, match=r"^device gpu: cannot be used, expected cpu or cuda: "):
        find_device("gpu")
