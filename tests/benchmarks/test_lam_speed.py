"""LAM against one step at a time on the whole image, in CPU time of one thread."""

import copy

import pytest
import torch
from torch import Tensor, nn

from srlongtail.attribution.crop import whole_output
from srlongtail.attribution.lam import local_attribution
from srlongtail.attribution.path import BlurPath
from srlongtail.attribution.target import GradientDetector
from srlongtail.models.catalog import new_model
from srlongtail.models.fast.layers import prepared
from tests.benchmarks.conftest import Bench, Row, median_seconds

STEPS = 50


def plain(model: nn.Module, lr: Tensor, window: tuple[int, int, int], weights: bool) -> Tensor:
    """One step at a time, as the published code; with or without gradients of the weights."""
    points = BlurPath()(lr[None], torch.arange(STEPS + 1) / STEPS)
    target, total = GradientDetector(window), torch.zeros_like(lr)
    for step in range(1, STEPS + 1):
        point = points[step].clone().requires_grad_()
        value = target(model(point)).sum()
        if weights:
            value.backward()
            gradient = point.grad
        else:
            (gradient,) = torch.autograd.grad(value, point)
        total += (gradient * (points[step] - points[step - 1]))[0]
    return total


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("name", "rounds", "target"), [("fsrcnn", 7, 13), ("carn", 2, 3.5)], ids=["fsrcnn", "carn"]
)
def test_a_map_of_a_64_x_64_image(bench: Bench, name: str, rounds: int, target: float) -> None:
    torch.manual_seed(0)
    model, lr, window = new_model(name, 4), torch.rand(3, 64, 64), (120, 120, 16)
    loaded = prepared(copy.deepcopy(model))  # as `load_model` does
    found = local_attribution(loaded, lr, window).attributions
    expected = plain(model, lr, window, weights=False)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    bench.compare(
        f"LAM of a 64 x 64 LR image, {STEPS} steps, {name}",
        lambda: plain(model, lr, window, weights=True),
        lambda: local_attribution(loaded, lr, window),
        target,
        asserted=0.75 * target,
        rounds=rounds,
    )


@pytest.mark.benchmark
def test_the_size_of_the_image_hardly_matters_with_a_small_field(bench: Bench) -> None:
    torch.manual_seed(0)
    model = new_model("fsrcnn", 4)
    small, large = torch.rand(3, 64, 64), torch.rand(3, 512, 512)
    near, far, whole = median_seconds(
        lambda: local_attribution(model, small, (120, 120, 16)),
        lambda: local_attribution(model, large, (1000, 1000, 16)),
        lambda: whole_output(model, large),
    )
    print(f"\nthe output for the whole image, to check against it, takes {whole:.3f} s")
    what = "LAM in a 512 x 512 image against 64 x 64, fsrcnn"
    bench.record(Row(what, near, far, 1.1, more_is_better=False), asserted=1.5)
