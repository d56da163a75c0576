"""Windows that share passes of the network have the maps that they have one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from srlongtail.attribution.crop import whole_output
from srlongtail.attribution.lam import local_attribution
from srlongtail.attribution.receptive_field import receptive_field
from srlongtail.attribution.shared import attribute_windows, groups_without_overlap
from srlongtail.attribution.target import GradientDetector, Intensity, PublishedDetector
from srlongtail.attribution.windows import grid_windows
from srlongtail.geometry import Box


class Local(nn.Module):
    """Two convolutions and a pixel shuffle; its field is 5 x 5 LR pixels."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, lr):
        return self.layers(lr)


class Global(Local):
    """Every pixel depends on the mean of the image."""

    def forward(self, lr):
        return super().forward(lr) * (1 + lr.mean((-2, -1), keepdim=True))


class Flat(Local):
    """Half of the image is constant."""

    def forward(self, lr):
        sr = super().forward(lr)
        return torch.where(torch.arange(sr.shape[-1]) < 20, 0.5, sr)


class Short(Local):
    """Has no memory for the gradient of a large part."""

    def forward(self, lr):
        if lr.requires_grad and lr.shape[-1] > 16:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(lr)


@pytest.mark.filterwarnings("ignore:attribution")
@pytest.mark.parametrize("target", [GradientDetector, Intensity, PublishedDetector])
@pytest.mark.parametrize(
    ("network", "together"), [(Local, True), (Global, True), (Flat, True), (Short, False)]
)
def test_maps_are_those_of_the_windows_one_by_one(network, together, target):
    network = network().double().eval()
    lr = torch.rand(3, 24, 32, dtype=torch.float64)
    windows = grid_windows(48, 64, 5, 5)
    field, sr = receptive_field(network, lr), whole_output(network, lr)
    options = {"field": field, "sr": sr, "target": target, "n_steps": 6}
    found = dict(attribute_windows(network, lr, windows, internal_batch_size=4, **options))
    assert sorted(found) == list(range(len(windows)))
    for index, window in enumerate(windows):
        expected = local_attribution(network, lr, window, **options)
        largest = expected.attributions.abs().max()
        off = (found[index].attributions - expected.attributions).abs().max()
        assert off <= 1e-11 * largest
        numbers, truth = found[index].record(), expected.record()
        shares = "share passes" in numbers["attribution_settings"]["because"]
        assert shares == (together and target is not PublishedDetector)
        for key in ("diffusion_index", "n_eff", "target_start", "target_end"):
            assert numbers[key] == pytest.approx(truth[key], rel=1e-9)
        for key in ("nan_steps", "flat_steps", "canvas"):
            assert numbers[key] == truth[key]


boxes = st.builds(
    lambda top, left, height, width: Box(top, left, top + height, left + width),
    *(st.integers(0, 20), st.integers(0, 20), st.integers(1, 8), st.integers(1, 8)),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=12))
def test_no_two_boxes_of_a_group_overlap(boxes):
    groups = groups_without_overlap(boxes)
    assert sorted(index for group in groups for index in group) == list(range(len(boxes)))
    for group in groups:
        covered = torch.zeros(30, 30)
        for index in group:
            boxes[index].cut(covered).add_(1)
        assert covered.max() == 1
