"""LAM against one step at a time on the whole image, in CPU time of one thread."""

import copy
from statistics import median
from time import process_time

import pytest
import torch
from torch import Tensor, nn

from srlongtail.attribution.crop import whole_output
from srlongtail.attribution.lam import local_attribution
from srlongtail.attribution.path import BlurPath
from srlongtail.attribution.target import GradientDetector
from srlongtail.attribution.windows import attribute_grid
from srlongtail.models.catalog import new_model
from srlongtail.models.fast.layers import prepared
from tests.benchmarks.conftest import Bench, Row, median_seconds

STEPS = 50


def plain(model: nn.Module, lr: Tensor, window: tuple[int, int, int]) -> Tensor:
    """One step at a time on the whole image, with gradients of the weights: the published code."""
    points = BlurPath()(lr[None], torch.arange(STEPS + 1) / STEPS)
    target, total = GradientDetector(window), torch.zeros_like(lr)
    for step in range(1, STEPS + 1):
        point = points[step].clone().requires_grad_()
        target(model(point)).sum().backward()
        total += (point.grad * (points[step] - points[step - 1]))[0]
    return total


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("name", "rounds", "target", "asserted"),
    [
        ("fsrcnn", 7, 13, 10),
        ("carn", 1, 3.5, 3),
        ("bsrn", 1, 2.5, 1.5),
        ("swinir", 1, 2, 1.1),
    ],
    ids=["fsrcnn", "carn", "bsrn", "swinir"],
)
def test_a_map_of_a_64_x_64_image(
    bench: Bench, name: str, rounds: int, target: float, asserted: float
) -> None:
    torch.manual_seed(0)
    model, lr, window = new_model(name, 4), torch.rand(3, 64, 64), (120, 120, 16)
    loaded = prepared(copy.deepcopy(model))  # as `load_model` does
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        start = process_time()
        expected = plain(model, lr, window)
        between = process_time()
        found = local_attribution(loaded, lr, window).attributions
        times.append((between - start, process_time() - between))
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    published, ours = (median(column) for column in zip(*times, strict=True))
    what = f"LAM of a 64 x 64 LR image, {STEPS} steps, {name}"
    bench.record(Row(what, published, ours, target), asserted)


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


@pytest.mark.benchmark
def test_a_window_of_a_map_against_a_single_call(bench: Bench) -> None:
    torch.manual_seed(0)
    model, lr = prepared(new_model("fsrcnn", 4)), torch.rand(3, 64, 64)
    single = local_attribution(model, lr, (112, 128, 16))
    rows = attribute_grid(model, lr).frame()
    window = rows[(rows["row"] == 112) & (rows["col"] == 128)].iloc[0]
    for what in ("n_eff", "attribution_sum", "target_end"):
        assert window[what] == pytest.approx(getattr(single, what), rel=1e-4)
    once, grid = median_seconds(
        lambda: local_attribution(model, lr, (112, 128, 16)),
        lambda: attribute_grid(model, lr),
        rounds=3,
    )
    what = "a window of a map of 16 x 16 windows against a single call, fsrcnn"
    row = Row(what, once, grid / len(rows), 0.25, more_is_better=False)
    bench.record(row, asserted=0.6)
