"""Laws that hold for all inputs, on inputs that hypothesis makes."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from srlongtail.focal.weights import focal_weight, structure_prior
from srlongtail.image.dataset import ImagePair
from srlongtail.image.resample import imresize, upsample_bicubic
from srlongtail.longtail.comparison import compare
from srlongtail.longtail.difference import DifferenceHistogram, absolute_difference
from srlongtail.longtail.tail import split_by_rank, tail_statistics
from srlongtail.metrics import psnr, ssim

sides = st.tuples(st.integers(1, 24), st.integers(1, 24))
levels = arrays(np.uint8, sides, elements=st.integers(0, 219))  # AD of luma in studio range
few = settings(max_examples=25, deadline=None)


def noise(height: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, height, width, generator=generator, dtype=torch.float64)


@few
@given(levels, st.integers(0, 24))
def test_histograms_of_the_parts_of_an_image_add_up(values, cut):
    tensor = torch.from_numpy(values).double()
    whole = DifferenceHistogram.of({"m": tensor})
    parts = [t for t in (tensor[:cut], tensor[cut:]) if t.numel()]
    merged = sum((DifferenceHistogram.of({"m": t}) for t in parts), DifferenceHistogram.empty("m"))
    assert (merged.counts["m"] == whole.counts["m"]).all()
    assert merged.counts["m"].sum() == values.size
    assert np.allclose(merged.sums["m"], whole.sums["m"], rtol=1e-12)
    assert merged.sums["m"].sum() == pytest.approx(float(values.sum()))


@few
@given(levels, st.integers(1, 12))
def test_bands_hold_every_pixel_once_and_the_hardest_last(values, parts):
    flat = torch.from_numpy(values).flatten().double()
    bands = split_by_rank(flat, parts)
    assert torch.cat(list(bands)).sort()[0].tolist() == list(range(flat.numel()))
    filled = [flat[band] for band in bands if len(band)]
    for easier, harder in pairwise(filled):
        assert easier.max() <= harder.min()


@few
@given(st.floats(0, 1), st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 3, 4, 0.5]))
def test_an_enlarged_or_shrunk_constant_is_constant(value, height, width, scale):
    image = torch.full((3, height, width), value, dtype=torch.float64)
    assert (imresize(image, scale) - value).abs().max() < 1e-12
    if scale >= 2:
        assert (upsample_bicubic(image, scale) - value).abs().max() < 1e-12


@few
@given(st.integers(0, 99), st.sampled_from([2, 3, 4]), st.integers(1, 6), st.integers(1, 6))
def test_shrinking_a_shifted_crop_is_cropping_the_shrunk_image(seed, scale, row, column):
    """Inside of the reach of the kernel: 4 LR pixels from the edges of the crop."""
    image = noise(20 * scale, 20 * scale, seed)
    crop = imresize(image[:, row * scale :, column * scale :], 1 / scale)
    whole = imresize(image, 1 / scale)[:, row:, column:]
    assert (crop - whole)[:, 4:, 4:].abs().max() < 1e-12
    lr = noise(14, 14, seed)
    near = upsample_bicubic(lr, scale)[:, row * scale :, column * scale :]
    far = upsample_bicubic(lr[:, row:, column:], scale)
    assert (near - far)[:, 3 * scale :, 3 * scale :].abs().max() < 1e-12


@few
@given(st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(0, 10), st.floats(-2, 2))
def test_weights_do_not_change_if_the_prior_is_scaled_or_raised(seed, factor, offset, gamma):
    prior = noise(6, 5, seed)[None]
    weight = focal_weight(prior, 0.5, gamma)
    assert torch.allclose(focal_weight(prior * factor + offset, 0.5, gamma), weight, rtol=1e-6)
    low, high = sorted((0.5, 0.5 * math.exp(gamma)))
    assert weight.min() >= low * (1 - 1e-9)
    assert weight.max() <= high * (1 + 1e-9)
    twice = structure_prior(2 * prior, prior.flip(0) * 0)
    assert torch.equal(twice, 2 * structure_prior(prior, prior * 0))


@few
@given(st.integers(0, 99), st.integers(7, 20), st.integers(7, 20))
def test_metrics_do_not_depend_on_the_order_of_two_images_or_on_turning_both(seed, height, width):
    a, b = noise(height, width, seed)[None], noise(height, width, seed + 1000)[None]
    for metric in (psnr, ssim):
        assert torch.allclose(metric(a, b), metric(b, a), rtol=1e-12)
        turned = metric(a.flip(-1), b.flip(-1))
        assert torch.allclose(turned, metric(a, b), rtol=1e-9)
    assert torch.allclose(psnr(a / 2, b / 2), psnr(a, b) + 20 * math.log10(2))
    ad = absolute_difference(a[0], b[0])
    assert ad.min() >= 0
    assert ad.max() <= 220


@few
@given(levels, st.floats(0.01, 100))
def test_the_tail_does_not_depend_on_the_unit_of_the_error(values, factor):
    error = torch.from_numpy(values).double()
    one, other = tail_statistics(error), tail_statistics(error * factor)
    for name in ("gini", "l1_share", "l2_share", "effective_pixels"):
        assert other[name] == pytest.approx(one[name], rel=1e-6, nan_ok=True)


@few
@given(st.integers(0, 99), st.integers(2, 4), st.integers(0, 3))
def test_comparing_a_with_b_is_minus_comparing_b_with_a(seed, images, equal):
    """The gain, its interval, the gain of each image and tenth, and the signs."""
    pairs = [
        ImagePair(str(n), noise(24, 24, seed + n).float(), noise(6, 6, seed + n).float(), "noise")
        for n in range(images)
    ]

    def network(number):
        def restore(lr):
            sr = upsample_bicubic(lr, 4)
            pattern = noise(24, 24, 1000 * number + int(lr.sum() * 100)).float()
            return sr if int(lr.sum() * 100) % 4 < equal else sr + 0.1 * (pattern - 0.5)

        return restore

    there, back = (
        compare(*both, pairs) for both in ([network(1), network(2)], [network(2), network(1)])
    )
    assert there.gain.estimate == pytest.approx(-back.gain.estimate, abs=1e-9)
    assert there.gain.low == pytest.approx(-back.gain.high, abs=1e-9)
    assert there.gain.high == pytest.approx(-back.gain.low, abs=1e-9)
    assert there.sign_test.p_value == pytest.approx(back.sign_test.p_value)
    gains = [found.per_image().set_index("image")["gain_db"] for found in (there, back)]
    assert np.allclose(gains[0], -gains[1], atol=1e-9)
