"""The gradient detector against loops, and what happens where nothing changes."""

import numpy as np
import pytest
import torch

from srlongtail.attribution.target import (
    GradientDetector,
    Intensity,
    PublishedDetector,
)


def by_loops(image: np.ndarray, row: int, column: int, size: int) -> float:
    channels, height, width = image.shape
    total = 0.0
    for c in range(channels):
        for y in range(row, min(row + size, height - 1)):
            for x in range(column, min(column + size, width - 1)):
                dy, dx = image[c, y + 1, x] - image[c, y, x], image[c, y, x + 1] - image[c, y, x]
                total += np.sqrt(dy**2 + dx**2)
    return total


@pytest.mark.parametrize("window", [(0, 0, 4), (3, 5, 4), (8, 9, 4), (0, 1, 12)])
@pytest.mark.parametrize("detector", [GradientDetector, PublishedDetector])
def test_detectors_add_up_slopes(detector, window):
    images = torch.rand(2, 3, 12, 13, dtype=torch.float64)
    expected = [by_loops(image.numpy(), *window) for image in images]
    assert detector(window)(images).tolist() == pytest.approx(expected)


def test_intensity_adds_up_values():
    images = torch.rand(2, 3, 6, 6)
    expected = images[:, :, 1:4, 2:5].sum((1, 2, 3))
    assert torch.allclose(Intensity((1, 2, 3))(images), expected)


@pytest.mark.parametrize("target", [GradientDetector((2, 3, 4)), Intensity((2, 3, 4))])
def test_window_targets_read_what_they_say_and_move(target):
    image = torch.rand(1, 3, 12, 12, requires_grad=True)
    (gradient,) = torch.autograd.grad(target(image).sum(), image)
    rows, columns = (gradient[0].abs().sum(dims).nonzero().flatten() for dims in ((0, 2), (0, 1)))
    extent = 4 + target.reach
    assert (rows[0], rows[-1]) == (2, 2 + extent - 1)
    assert (columns[0], columns[-1]) == (3, 3 + extent - 1)
    assert torch.equal(target.cut(image), image[..., 2 : 2 + extent, 3 : 3 + extent])
    assert torch.allclose(target.moved(1, 2)(image[..., 1:, 2:]), target(image))


def gradient_of(detector, image):
    image = image.clone().requires_grad_()
    return torch.autograd.grad(detector(image).sum(), image)[0]


def test_where_nothing_changes_the_slope_is_0_not_nan():
    image = torch.rand(1, 3, 10, 10, dtype=torch.float64)
    image[..., 3:6, 3:6] = 0.5
    ours, theirs = (
        gradient_of(detector((2, 2, 4)), image)
        for detector in (GradientDetector, PublishedDetector)
    )
    assert ours.isfinite().all()
    assert theirs[..., 3:6, 3:6].isnan().any()
    assert torch.allclose(ours[~theirs.isnan()], theirs[~theirs.isnan()])


def test_a_flat_pixel_outside_the_window_spoils_the_published_gradient_alone():
    image = torch.rand(1, 3, 12, 12)
    image[..., 9:11, 9:11] = 0.5
    assert gradient_of(GradientDetector((1, 1, 4)), image).isfinite().all()
    assert gradient_of(PublishedDetector((1, 1, 4)), image)[..., 9, 9].isnan().all()


def test_flat_pixels_are_noticed_inside_the_window_only():
    images = torch.rand(3, 3, 12, 12)
    images[1, 0, 3:5, 3:5] = 0.5
    images[2, :, 8:, 8:] = 0.5
    assert GradientDetector((1, 1, 4)).is_flat(images).tolist() == [False, True, False]
