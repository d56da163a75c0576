"""AD maps against scikit-image's luma; histograms against numpy on all pixels at once."""

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, photos
from srlongtail.longtail.difference import (
    DifferenceHistogram,
    absolute_difference,
    difference_histogram,
)
from srlongtail.models.sr_model import bicubic
from srlongtail.stats import hill_table, lorenz


def test_ad_is_scikit_images_luma_of_the_stored_image():
    sr, hr = torch.rand(2, 3, 12, 11, dtype=torch.float64)
    stored = np.floor(sr.numpy() * 255 + 0.5) / 255
    y_sr, y_hr = (rgb2ycbcr(np.moveaxis(a, 0, -1))[..., 0] for a in (stored, hr.numpy()))
    assert np.abs(absolute_difference(sr, hr).numpy() - np.abs(y_sr - y_hr)).max() < 1e-3


@pytest.fixture
def differences() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(40, 30, generator=generator) ** 6 * 219 for _ in range(3)]


def test_histograms_of_images_add_up_to_the_histogram_of_all_pixels(differences):
    parts = [DifferenceHistogram.of({"m": d}) for d in differences]
    merged = sum(parts, DifferenceHistogram.empty(["m"]))
    values = torch.cat([d.flatten() for d in differences]).double().numpy()
    assert (merged.images, merged.pixels) == (3, values.size)
    assert merged.mean("m") == pytest.approx(values.mean())
    for q in (0.5, 0.9, 0.99):
        assert merged.quantile("m", q) == pytest.approx(np.quantile(values, q), abs=0.5)
    for threshold in (5.0, 33.3, 150.0):
        tail = values > threshold
        assert merged.tail_share("m", threshold) == pytest.approx(tail.mean(), abs=0.002)
        share = values[tail].sum() / values.sum()
        assert merged.tail_error_share("m", threshold) == pytest.approx(share, abs=0.002)


def test_the_order_of_merging_does_not_matter(differences):
    a, b, c = (DifferenceHistogram.of({"m": d, "n": d / 2}) for d in differences)
    left, right = (a + b) + c, a + (c + b)
    assert left.frame().equals(right.frame())
    with pytest.raises(InputError, match=r"\['m'\] and \['n'\] do not add up"):
        DifferenceHistogram.empty(["m"]) + DifferenceHistogram.empty(["n"])


def test_the_frame_holds_every_pixel(differences):
    histogram = DifferenceHistogram.of({"m": differences[0], "n": differences[1]})
    table = histogram.frame(bin_width=5)
    assert list(table.columns) == ["model", "ad_from", "ad_to", "pixels", "share", "error_share"]
    for name, values in zip("mn", differences, strict=False):
        rows = table[table["model"] == name]
        edges = np.append(rows["ad_from"], rows["ad_to"].iloc[-1])
        assert (rows["pixels"] == np.histogram(values.double().numpy(), edges)[0]).all()
        assert rows["share"].sum() == pytest.approx(1)
        assert rows["error_share"].sum() == pytest.approx(1)


def test_the_largest_possible_ad_is_counted():
    black, white = torch.zeros(3, 2, 2), torch.ones(3, 2, 2)
    difference = absolute_difference(black, white)
    assert difference[0, 0].item() == pytest.approx(219, abs=1e-3)
    assert DifferenceHistogram.of({"m": difference}).pixels == 4


def test_a_perfect_model_has_no_tail():
    histogram = DifferenceHistogram.of({"perfect": torch.zeros(4, 4)})
    assert histogram.tail_share("perfect", 10) == 0
    assert np.isfinite(histogram.summary(10).iloc[0, 1:].astype(float)).all()


def test_streams_any_callable():
    hr = torch.rand(3, 12, 12)
    pairs = (ImagePair(str(i), hr, hr[:, ::4, ::4]) for i in range(2))
    result = difference_histogram({"truth": lambda lr: hr, "black": lambda lr: hr * 0}, pairs)
    assert result.images == 2
    assert result.mean("truth") < 0.5  # only rounding to 8 bits is left
    assert result.mean("black") > 50


def test_natural_images_are_long_tailed():
    pairs = list(photos(4)[:2])
    histogram = difference_histogram({"bicubic": bicubic(4).restore}, pairs)
    values = np.concatenate(
        [
            absolute_difference(bicubic(4).restore(p.lr), p.hr).double().numpy().ravel()
            for p in pairs
        ]
    )
    limit = np.quantile(values, 0.9)
    tail = values > limit
    assert histogram.quantile("bicubic", 0.9) == pytest.approx(limit, abs=0.02)
    share = histogram.tail_error_share("bicubic", limit)
    assert share == pytest.approx(values[tail].sum() / values.sum(), abs=1e-3)
    assert share > 0.33  # of an exponential distribution, the largest tenth holds 33.0%


def test_pixels_without_difference_count_as_zeros():
    values = torch.zeros(100, 100)
    values[:5] = 40.0  # 95 % of the pixels are exactly right
    histogram = DifferenceHistogram.of({"m": values})
    twice = histogram + histogram
    for quantile in (0.5, 0.9, 0.94):
        assert twice.quantile("m", quantile) == np.quantile(values.numpy(), quantile) == 0
    assert twice.quantile("m", 0.99) == pytest.approx(40, abs=0.25)
    assert twice.tail_share("m", 0) == pytest.approx(0.05)


def test_curves_of_all_pixels_are_those_of_the_single_values():
    generator = np.random.default_rng(0)
    values = (2 + 3 * generator.pareto(3, size=40_000)).clip(max=219)
    values[:5000] = 0
    maps = [torch.from_numpy(part.copy()) for part in np.split(generator.permutation(values), 4)]
    histogram = sum(
        (DifferenceHistogram.of({"a": part}) for part in maps), DifferenceHistogram.empty(["a"])
    )
    curve = histogram.lorenz("a")
    shares, held = lorenz(values)
    assert np.interp(curve["pixel_share"], shares, held) == pytest.approx(
        curve["error_share"].to_numpy(), abs=1e-9
    )
    assert curve.iloc[0].tolist() == [0, 0]
    assert curve.iloc[-1].tolist() == pytest.approx([1, 1])
    assert curve["pixel_share"].iloc[1] == 5000 / 40_000
    plot = histogram.hill("a")
    assert plot["k"].is_monotonic_increasing
    assert (plot["k"].iloc[0] >= 100, plot["k"].iloc[-1] <= 8000) == (True, True)
    exact = hill_table(values, plot["k"].tolist())
    # The threshold is the edge of a bin instead of the next value.
    assert plot["tail_index"].to_numpy() == pytest.approx(exact["tail_index"], rel=0.05)
    for row in plot.iloc[::20].itertuples():
        largest = values[values > row.threshold]
        assert len(largest) == row.k
        index = 1 / np.log(largest / row.threshold).mean()
        assert row.tail_index == pytest.approx(index, rel=1e-3)
        assert row.standard_error == pytest.approx(row.tail_index / np.sqrt(row.k))
