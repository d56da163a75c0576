"""LAM against one step at a time on the whole image: run with `-m benchmark -s`.

CPU time of one thread, the least of several rounds in which all take turns: what the machine does
besides only adds to a time.
"""

from collections.abc import Callable
from time import process_time

import pytest
import torch
from torch import Tensor, nn

from srlongtail.attribution.crop import whole_output
from srlongtail.attribution.lam import local_attribution
from srlongtail.attribution.path import BlurPath
from srlongtail.attribution.target import GradientDetector
from srlongtail.models.catalog import new_model

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


def seconds(call: Callable[[], object]) -> float:
    start = process_time()
    call()
    return process_time() - start


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("name", "rounds", "at_least"), [("fsrcnn", 9, 10), ("carn", 2, 3)], ids=["fsrcnn", "carn"]
)
def test_a_map_of_a_64_x_64_image(name: str, rounds: int, at_least: float) -> None:
    torch.manual_seed(0)
    model, lr, window = new_model(name, 4), torch.rand(3, 64, 64), (120, 120, 16)
    found = local_attribution(model, lr, window).attributions
    expected = plain(model, lr, window, weights=False)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    times = [
        (
            seconds(lambda: plain(model, lr, window, weights=True)),
            seconds(lambda: plain(model, lr, window, weights=False)),
            seconds(lambda: local_attribution(model, lr, window)),
        )
        for _ in range(rounds)
    ]
    published, lean, ours = (min(column) for column in zip(*times, strict=True))
    print(
        f"\n{name}, {STEPS} steps: plain {published:.2f} s ({lean:.2f} s without gradients of the "
        f"weights), ours {ours:.3f} s, ratio {published / ours:.1f} ({lean / ours:.1f})"
    )
    assert published / ours >= at_least


@pytest.mark.benchmark
def test_the_size_of_the_image_hardly_matters_with_a_small_field() -> None:
    torch.manual_seed(0)
    model = new_model("fsrcnn", 4)
    small, large = torch.rand(3, 64, 64), torch.rand(3, 512, 512)
    times = [
        (
            seconds(lambda: local_attribution(model, small, (120, 120, 16))),
            seconds(lambda: local_attribution(model, large, (1000, 1000, 16))),
            seconds(lambda: whole_output(model, large)),
        )
        for _ in range(9)
    ]
    near, far, whole = (min(column) for column in zip(*times, strict=True))
    print(
        f"\n512 x 512 costs {far / near:.2f} times 64 x 64 ({far:.3f} s, {near:.3f} s); "
        f"the output for the whole image, to check against it, takes {whole:.3f} s"
    )
    assert far / near <= 1.5
