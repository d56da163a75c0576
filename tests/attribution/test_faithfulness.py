"""Curves and measures on models whose true attributions are known."""

import numpy as np
import pytest
import torch

from srlongtail.attribution.faithfulness import infidelity, pixel_curve, seeded, sensitivity
from srlongtail.errors import InputError


@pytest.fixture
def linear():
    """A linear score, an image, its stand-in for absence, and the true contributions."""
    generator = torch.Generator().manual_seed(0)
    weights, image, blurred = torch.rand(3, 3, 6, 7, generator=generator)
    return lambda lr: (lr * weights).sum((1, 2, 3)), weights, image, blurred


@pytest.mark.parametrize("kind", ["deletion", "insertion"])
def test_curves_of_a_linear_score_add_up_contributions(linear, kind):
    score, weights, image, blurred = linear
    contributions = (weights * (image - blurred)).sum(0).flatten()
    order = torch.randperm(42, generator=torch.Generator().manual_seed(1))[:30]
    curve = pixel_curve(score, image, blurred, order, kind)
    counts = (curve.share * 30).round().astype(int)
    assert (counts[0], counts[-1]) == (0, 30)
    gone = torch.stack([contributions[order[:n]].sum() for n in counts]) / contributions.sum()
    expected = 1 - gone if kind == "deletion" else gone
    assert np.allclose(curve.value, expected.numpy(), atol=1e-5)


def test_the_area_is_that_below_the_line():
    image, blurred = torch.ones(3, 1, 1), torch.zeros(3, 1, 1)
    curve = pixel_curve(lambda lr: lr.sum((1, 2, 3)), image, blurred, torch.arange(1), "deletion")
    assert curve.value.tolist() == [1, 0]
    assert curve.area == 0.5


def test_the_true_order_deletes_faster_than_any_other(linear):
    score, weights, image, blurred = linear
    contributions = (weights * (image - blurred)).sum(0).flatten()
    score_up = contributions.sum().sign() * contributions
    best = score_up.argsort(descending=True)
    areas = [
        pixel_curve(score, image, blurred, order, "deletion").area
        for order in (best, torch.randperm(42), best.flip(0))
    ]
    assert areas[0] < areas[1] < areas[2]


def test_a_target_that_blurring_does_not_change():
    image = torch.rand(3, 4, 4)
    with pytest.raises(
        InputError, match="the target is 2 for both the image and the blurred image"
    ):
        pixel_curve(lambda lr: 2 + 0 * lr.sum((1, 2, 3)), image, image, torch.arange(4), "deletion")


def test_true_attributions_of_a_linear_score_have_no_infidelity(linear):
    score, weights, image, blurred = linear
    black = torch.zeros_like(image)
    assert infidelity(score, image, blurred, weights) < 1e-6
    assert infidelity(score, image, blurred, weights * image, baseline=black) < 1e-6
    contributions = weights * (image - blurred)
    assert infidelity(score, image, blurred, contributions, baseline=blurred) < 1e-6
    # Contributions read as slopes, and attributions of nothing, are told apart from the truth.
    assert infidelity(score, image, blurred, contributions) > 0.05
    assert infidelity(score, image, blurred, black) == 1
    assert 0.5 < infidelity(score, image, blurred, torch.randn_like(image)) <= 1


def test_sensitivity_is_the_largest_relative_change(linear):
    _, weights, image, _ = linear
    assert sensitivity(lambda x: weights.expand_as(x), image) == 0
    found = sensitivity(lambda x: x, image, samples=200)
    # The largest possible change of every pixel is 0.02.
    limit = 0.02 * image.numel() ** 0.5 / float(image.norm())
    assert 0.5 * limit < found < limit
    few = sensitivity(lambda x: x, image, samples=3)
    assert few < found
    assert sensitivity(lambda x: x + torch.rand_like(x), image, seed=1) == sensitivity(
        lambda x: x + torch.rand_like(x), image, seed=1
    )


def test_seeding_leaves_both_generators_as_they_were():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    with seeded(0):
        first = torch.rand(1), np.random.rand()  # noqa: NPY002
    after = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert after == (torch.rand(1), np.random.rand())  # noqa: NPY002
    with seeded(0):
        assert first == (torch.rand(1), np.random.rand())  # noqa: NPY002
