"""Closed forms against automatic differentiation, and shares computed apart from the package."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from srlongtail.errors import InputError
from srlongtail.focal.loss import FocalPixelLoss
from srlongtail.focal.pixel_loss import PixelLoss
from srlongtail.image.dataset import ImagePair, open_data, photos
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.gradients import (
    output_gradient,
    output_gradient_share,
    parameter_gradients,
)
from srlongtail.longtail.tail import gradient_magnitude
from srlongtail.models.checkpoint import load_model

LOSSES = {
    "L1": PixelLoss(),
    "static": FocalPixelLoss(learnable=False),
    "learnable": FocalPixelLoss(static=False),
    "FPL": FocalPixelLoss(),
}


@pytest.fixture(scope="module")
def pairs() -> list[ImagePair]:
    return [
        ImagePair(pair.name, pair.hr[:, :48, :60], pair.lr[:, :12, :15], "crops")
        for pair in photos(4)[:3]
    ]


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 48, 1),
        nn.PixelShuffle(4),
    )  # fmt: skip


@pytest.mark.parametrize("dataset", ["Set5", "Set14"])
def test_golden_shares(shared, dataset):
    golden = pd.read_csv(shared / "golden/gradient_share.csv").set_index(["dataset", "loss"])
    model = load_model(shared / "checkpoints/4x_FSRCNN_FPL.pth")
    images = open_data(shared / "data/test" / dataset, make_lr=True)
    table = output_gradient_share(LOSSES, model, images)
    found = table.groupby(["loss", "tenth"])["share"].mean().unstack()
    for loss in LOSSES:
        expected = golden.loc[(dataset, loss)].to_numpy(float)
        assert np.abs(found.loc[loss].to_numpy() - expected).max() < 0.05


def test_closed_forms_are_what_automatic_differentiation_gives(pairs):
    hr, sr = pairs[0].hr[None].double(), torch.rand(1, 3, 48, 60, dtype=torch.float64)
    bicubic = upsample_bicubic(pairs[0].lr[None].double(), 4)
    for loss in LOSSES.values():
        closed = output_gradient(loss, sr, hr, bicubic)
        automatic = output_gradient(loss.forward, sr, hr, bicubic)
        assert torch.allclose(closed, automatic, rtol=1e-9, atol=0)


def test_shares_are_those_of_the_ranked_pixels(pairs, network):
    losses = {"L1": PixelLoss(), "L2": lambda sr, hr, bicubic: (sr - hr).square().sum()}
    network.train()
    table = output_gradient_share(losses, network, pairs, "gradient")
    assert network.training
    assert list(table.columns) == ["loss", "dataset", "image", "tenth", "share"]
    sums = table.groupby(["loss", "image"])["share"].sum()
    assert sums.to_numpy() == pytest.approx(100)
    plain = table[table["loss"] == "L1"]["share"]
    assert plain.to_numpy() == pytest.approx(10, abs=0.2)  # 10% of the pixels each
    pair = pairs[1]
    with torch.no_grad():
        error = (network.eval()(pair.lr[None])[0] - pair.hr).abs().sum(0).double().numpy().ravel()
    order = np.argsort(gradient_magnitude(pair.hr).numpy().ravel(), kind="stable")
    expected = [100 * error[part].sum() / error.sum() for part in np.array_split(order, 10)]
    mine = table[(table["loss"] == "L2") & (table["image"] == pair.name)]["share"]
    assert mine.to_numpy() == pytest.approx(expected, rel=1e-5)


def test_the_tenths_gradients_add_up_to_that_of_the_loss(pairs, network):
    found = parameter_gradients(network, PixelLoss(), pairs[:1], group_of=lambda name: "conv")
    pair = pairs[0]
    hr, sr = pair.hr[None], network.eval()(pair.lr[None])
    order = np.argsort(gradient_magnitude(pair.hr).numpy().ravel(), kind="stable")
    by_tenth = []
    for part in np.array_split(order, 10):
        error = (sr - hr).abs().reshape(3, -1)[:, torch.from_numpy(part)].sum() / hr.numel()
        gradients = torch.autograd.grad(error, list(network.parameters()), retain_graph=True)
        by_tenth.append(torch.cat([gradient.flatten() for gradient in gradients]).double())
    norms = found.frame()
    assert set(norms["group"]) == {"all", "conv"}
    expected = [gradient.norm().item() for gradient in by_tenth]
    for _, group in norms.groupby("group"):
        assert group["norm"].to_numpy() == pytest.approx(expected, rel=1e-4)
    head, tail = sum(by_tenth[:5]), by_tenth[-1]
    row = found.bands.iloc[0]
    assert row["head_norm"] == pytest.approx(head.norm().item(), rel=1e-4)
    assert row["tail_norm"] == pytest.approx(tail.norm().item(), rel=1e-4)
    cosine = nn.functional.cosine_similarity(head, tail, dim=0).item()
    assert row["cosine"] == pytest.approx(cosine, abs=1e-4)


def test_weights_are_grouped_by_their_outermost_layer(pairs, network):
    wrapped = nn.Sequential()
    wrapped.add_module("network", network)
    network[0].bias.requires_grad_(False)
    found = parameter_gradients(wrapped, LOSSES["FPL"], pairs[:2])
    assert found.bands["group"].tolist() == ["all", "0", "1", "3"] * 2
    assert found.bands["image"].unique().tolist() == [pair.name for pair in pairs[:2]]
    parts = found.bands[found.bands["group"] != "all"].groupby("image", sort=False)["head_norm"]
    whole = found.bands[found.bands["group"] == "all"]["head_norm"]
    assert parts.agg(lambda n: np.sqrt((n**2).sum())).to_numpy() == pytest.approx(whole.to_numpy())


def test_head_and_tail_that_want_opposite_things_have_a_negative_cosine():
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1)  # only its bias is used

        def forward(self, lr):
            return lr * 0 + 0.5 + self.layer.bias * 0.01

    image = torch.zeros(3, 20, 20)  # dark pixels want the bias smaller, bright ones larger
    image[:, :, 10:12] = 1
    pair = ImagePair("bar", image, image, "made")
    found = parameter_gradients(Shift(), PixelLoss(), [pair], ranked_by=lambda hr, bicubic: hr[0])
    assert found.bands["cosine"].to_numpy() == pytest.approx(-1)


def test_mistakes(pairs):
    several = {"L1": lambda sr, hr, bicubic: (sr - hr).abs()}
    with pytest.raises(InputError, match=r"loss of shape \(1, 3, 48, 60\), expected one number"):
        output_gradient_share(several, lambda lr: upsample_bicubic(lr, 4), pairs[:1])
    with pytest.raises(InputError, match="model without trainable weights, expected one or more"):
        parameter_gradients(nn.Upsample(scale_factor=4), PixelLoss(), pairs[:1])
