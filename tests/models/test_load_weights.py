"""Weights go into the network they fit, and a misfit is explained in one line."""

from pathlib import Path

import pytest
import torch
from torch import nn

from srlongtail.errors import InputError
from srlongtail.models.load_weights import check_finite, load_weights
from srlongtail.models.state import StateFile


class Net(nn.Module):
    """Its keys begin with model., as the prefix of other people's files does."""

    def __init__(self, num_feat: int = 8, num_block: int = 2, kernel: int = 3) -> None:
        super().__init__()
        convs = [nn.Conv2d(num_feat, num_feat, kernel) for _ in range(num_block)]
        self.model = nn.Sequential(nn.Conv2d(3, num_feat, kernel), *convs)


def file_of(tensors, place: str = "") -> StateFile:
    return StateFile(Path("a.pth"), {place: dict(tensors)})


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "net_g._orig_mod."])
def test_prefixes_are_cut_as_far_as_the_network_wants_it(prefix):
    source, network = Net(), Net()
    state = {prefix + key: value for key, value in source.state_dict().items()}
    assert load_weights(network, file_of(state)).note == ""
    assert all(torch.equal(network.state_dict()[k], v) for k, v in source.state_dict().items())


def test_the_average_is_loaded_though_the_raw_weights_were_tried_too():
    average, network = Net(), Net()
    file = StateFile(
        Path("a.pth"), {"params": dict(Net().state_dict()), "params_ema": average.state_dict()}
    )
    assert load_weights(network, file).note == "averaged weights at params_ema, not params"
    assert torch.equal(network.model[0].weight, average.model[0].weight)


def test_a_misfit_shows_three_keys_and_counts():
    wide = {f"module.{k}": v for k, v in Net(num_feat=12).state_dict().items()}
    with pytest.raises(InputError) as caught:
        load_weights(Net(), file_of(wide))
    assert str(caught.value) == (
        "a.pth: the weights do not fit Net, which has 6 tensors, the file 6: 6 of another shape "
        "(model.0.weight 12x3x3x3 in the file and 8x3x3x3 in the network, model.0.bias 12 in the "
        "file and 8 in the network, model.1.weight 12x12x3x3 in the file and 8x8x3x3 in the "
        "network, ...); the shapes suggest num_feat=12"
    )


def test_depths_are_suggested_too():
    class Deep(nn.Module):
        def __init__(self, blocks: int = 2, width: int = 4) -> None:
            super().__init__()
            self.body = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(blocks))

    message = (
        r"has 4 tensors, the file 10: 6 unexpected \(body\.2\.weight, body\.2\.bias, "
        r"body\.3\.weight, \.\.\.\); the shapes suggest blocks=5$"
    )
    with pytest.raises(InputError, match=message):
        load_weights(Deep(), file_of(Deep(blocks=5).state_dict()))


def test_ambiguous_sizes_suggest_nothing():
    class Wide(nn.Module):
        def __init__(self, before: int = 8, after: int = 8) -> None:
            super().__init__()
            self.conv = nn.Conv2d(before, after, 1)

    with pytest.raises(InputError, match="another shape") as caught:
        load_weights(Wide(), file_of(Wide(4, 6).state_dict()))
    assert "suggest" not in str(caught.value)


def test_weights_that_are_not_finite():
    for bad in (float("nan"), float("inf")):
        state = Net().state_dict()
        state["model.1.bias"][3] = bad
        with pytest.raises(
            InputError, match=r"^a\.pth: 1 of 8 weights in model\.1\.bias are NaN or infinite, expe"
        ):
            load_weights(Net(), file_of(state))


def test_masks_may_be_infinite_and_never_nan():
    network = Net()
    network.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    check_finite(network, "a")
    network.mask[0] = float("nan")
    with pytest.raises(InputError, match=r"^a: the buffer mask holds NaN, expected numbers"):
        check_finite(network, "a")
