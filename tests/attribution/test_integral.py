"""The path integral against closed forms and captum, in any batches, and short of memory."""

import pytest
import torch
from captum.attr import IntegratedGradients
from torch import nn

from srlongtail.attribution.integral import images_at_once, integrate
from srlongtail.attribution.path import BlurPath, LinearPath
from srlongtail.attribution.target import GradientDetector, Intensity
from srlongtail.errors import InputError
from srlongtail.geometry import Box
from srlongtail.image.resample import upsample_bicubic

WINDOW = (30, 40, 16)


@pytest.fixture
def images():
    return torch.rand(2, 3, 24, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("path", [BlurPath(), LinearPath(0.3)])
@pytest.mark.parametrize("n_steps", [1, 7])
def test_a_linear_network_is_attributed_exactly(images, path, n_steps):
    torch.manual_seed(0)
    linear = nn.Sequential(
        nn.Conv2d(3, 8, 5, padding=2), nn.Conv2d(8, 48, 3, padding=1), nn.PixelShuffle(4)
    ).double()
    images = images.double()
    target = Intensity(WINDOW)
    start = path(images, torch.zeros(1))[0]
    leaf = images.clone().requires_grad_()
    (weights,) = torch.autograd.grad(target(linear(leaf)).sum(), leaf)
    found = integrate(linear, target, images, path, n_steps, every_step=True)
    assert torch.allclose(found.attributions, weights * (images - start), atol=1e-12)
    assert torch.allclose(found.start, target(linear(start)))
    assert torch.allclose(found.end, target(linear(images)))
    assert torch.allclose(found.attributions.sum((1, 2, 3)), found.end - found.start)


def test_in_single_precision_a_linear_network_is_complete_to_1e_5(images):
    found = integrate(lambda lr: upsample_bicubic(lr, 4), Intensity(WINDOW), images, BlurPath(), 50)
    change = found.end - found.start
    assert torch.allclose(found.attributions.sum((1, 2, 3)), change, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.4])
def test_the_linear_path_is_captums_integrated_gradients(network, images, level):
    target = GradientDetector(WINDOW)
    found = integrate(network, target, images, LinearPath(level), 13, internal_batch_size=5)
    captum = IntegratedGradients(lambda lr: target(network(lr)))
    expected = captum.attribute(
        images, torch.full_like(images, level), n_steps=13, method="riemann_right"
    )
    assert torch.allclose(found.attributions, expected, atol=1e-5 * float(expected.abs().max()))


def test_it_is_lam_written_down_plainly(network, images, plain):
    found = integrate(network, GradientDetector(WINDOW), images, BlurPath(), 10)
    for image, attributions in zip(images, found.attributions, strict=True):
        expected = plain(network, image, WINDOW, n_steps=10)
        assert (attributions - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("batch", [1, 2, 7, 1000])
def test_batches_change_nothing(network, images, batch):
    whole = integrate(network, GradientDetector(WINDOW), images, BlurPath(), 10)
    parts = integrate(
        network, GradientDetector(WINDOW), images, BlurPath(), 10, internal_batch_size=batch
    )
    assert torch.allclose(parts.attributions, whole.attributions, atol=1e-5)


def test_completeness_improves_with_the_steps(network, images):
    errors = []
    for n_steps in (5, 50, 500):
        found = integrate(network, GradientDetector(WINDOW), images, LinearPath(), n_steps)
        sums = found.attributions.sum((1, 2, 3))
        errors.append(float((sums - found.end + found.start).abs().max()))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def counting(network, sizes, largest=10**9):
    def forward(lr):
        if len(lr) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(lr))
        return network(lr)

    return forward


def test_steps_that_move_nothing_are_left_out(network, images):
    some, every = [], []
    short = integrate(counting(network, some), GradientDetector(WINDOW), images, BlurPath(), 50)
    full = integrate(
        counting(network, every), GradientDetector(WINDOW), images, BlurPath(), 50, every_step=True
    )
    ends = 2 * len(images)
    assert sum(every) == ends + 50 * len(images)
    assert sum(some) == ends + 43 * len(images)  # below sigma 0.17 the blur is the identity
    assert torch.allclose(short.attributions, full.attributions, atol=1e-5)


def test_passes_shrink_where_memory_is_short(network, images):
    sizes: list[int] = []
    target = GradientDetector(WINDOW)
    found = integrate(
        counting(network, sizes, largest=6), target, images, BlurPath(), 10, internal_batch_size=20
    )
    assert max(sizes) <= 6
    assert sizes.count(4) >= 4  # 20 images, 10, then two steps of two images
    expected = integrate(network, target, images, BlurPath(), 10)
    assert torch.allclose(found.attributions, expected.attributions, atol=1e-5)
    with pytest.raises(torch.OutOfMemoryError):
        integrate(counting(network, [], largest=1), target, images, BlurPath(), 10)


def test_other_errors_are_not_taken_for_short_memory(images):
    def broken(lr):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        integrate(broken, Intensity(WINDOW), images, BlurPath(), 10)


def test_inside_a_part_the_path_is_that_of_the_whole(network, images):
    box = Box(3, 5, 20, 26)
    window = (20, 24, 8)
    found = integrate(
        network, GradientDetector(window), images, BlurPath(), 10, inside=box
    ).attributions
    assert found.shape == (2, 3, 17, 21)
    points = box.cut(BlurPath()(images, torch.arange(11).double() / 10))
    leaf = points[1:].flatten(0, 1).clone().requires_grad_()
    (gradients,) = torch.autograd.grad(GradientDetector(window)(network(leaf)).sum(), leaf)
    expected = (gradients.reshape(10, 2, 3, 17, 21) * points.diff(dim=0)).sum(0)
    assert torch.allclose(found, expected, atol=1e-5)


def test_images_at_once_are_at_least_one():
    assert images_at_once(torch.rand(3, 1000, 1000)) == 1
    assert images_at_once(torch.rand(3, 16, 16)) == 16


def test_mistakes(network, images):
    def run(**changes):
        arguments = {"model": network, "target": GradientDetector(WINDOW), "n_steps": 4}
        return integrate(**{"images": images, "path": BlurPath(), **arguments, **changes})

    with pytest.raises(InputError, match=r"shape \(3, 24, 28\), expected \(N, C, h, w\)"):
        run(images=images[0])
    with pytest.raises(InputError, match="n_steps 0, expected at least 1"):
        run(n_steps=0)
    with pytest.raises(InputError, match="internal_batch_size 0, expected at least 1"):
        run(internal_batch_size=0)
    with pytest.raises(
        InputError, match=r"turned \(2, 3, 24, 28\) into \(2, 3, 24, 14\), expected"
    ):
        run(model=lambda lr: lr[..., ::2])
    with pytest.raises(InputError, match=r"the target gave \(\) for 2 images, expected \(2,\)"):
        run(target=lambda sr: sr.sum())
    with pytest.raises(InputError, match=r"the target is \[nan, nan\], expected finite numbers"):
        run(model=lambda lr: upsample_bicubic(lr, 4) * torch.nan)
