"""Spectra against closed forms: plane waves, white noise, Parseval's theorem."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.color import luma
from srlongtail.image.dataset import ImagePair, photos
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.difference import absolute_difference
from srlongtail.longtail.spectrum import (
    BANDS,
    HIGHEST,
    error_spectrum,
    fourier_ring_correlation,
    local_frequency,
    radial_power,
    ring_edges,
    ring_shares,
    tail_frequency,
)

SHAPES = [(48, 64), (45, 63), (48, 63), (45, 64), (1, 7)]


def bicubic(lr):
    return upsample_bicubic(lr, 4)


def wave(height: int, width: int, down: int, across: int) -> np.ndarray:
    """A cosine with so many whole cycles down and across the image."""
    rows, columns = np.mgrid[:height, :width]
    return np.cos(2 * np.pi * (down * rows / height + across * columns / width) + 0.3)


@pytest.mark.parametrize("shape", SHAPES)
def test_parseval(shape):
    planes = np.random.default_rng(0).normal(size=(3, *shape))
    for edges in (ring_edges(), ring_edges(5), [0, HIGHEST]):
        total = radial_power(planes, edges).sum()
        assert total == pytest.approx((planes**2).sum(), rel=1e-12)
        assert ring_shares(*shape, edges).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_rings_are_those_of_the_full_transform(shape):
    plane = np.random.default_rng(1).normal(size=shape)
    power = np.abs(np.fft.fft2(plane)) ** 2 / plane.size
    radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"))
    edges = ring_edges(7)
    for ring, (low, high) in enumerate(pairwise(edges)):
        inside = (radius >= low) & (radius < (high if ring < 7 else 1))
        assert radial_power(plane, edges)[ring] == pytest.approx(power[inside].sum(), abs=1e-9)
        assert ring_shares(*shape, edges)[ring] == pytest.approx(inside.mean(), abs=1e-12)


@pytest.mark.parametrize(("down", "across"), [(0, 10), (12, 0), (9, -20), (24, 32), (3, 1)])
def test_a_wave_lies_in_its_ring(down, across):
    plane = wave(48, 64, down, across)
    edges = ring_edges(32)
    power = radial_power(plane, edges)
    ring = np.searchsorted(edges, np.hypot(down / 48, across / 64) + 1e-9) - 1
    assert power[min(ring, 32)] == pytest.approx((plane**2).sum(), rel=1e-9)


def test_white_noise_is_flat():
    planes = np.random.default_rng(2).normal(0, 3, (40, 64, 96))
    density = radial_power(planes, ring_edges(8)) / ring_shares(64, 96, ring_edges(8))
    assert density / planes.size == pytest.approx(np.full(9, 9.0), rel=0.03)


def test_ring_correlation():
    generator = np.random.default_rng(3)
    edges = ring_edges(8)
    a, b = generator.normal(size=(2, 200, 240))
    assert fourier_ring_correlation(a, a, edges) == pytest.approx(np.ones(9), abs=1e-12)
    assert fourier_ring_correlation(a, 5 - 2 * a, edges) == pytest.approx(-np.ones(9), abs=1e-9)
    assert np.abs(fourier_ring_correlation(a, b, edges)[1:]).max() < 0.1
    # Noise of the same power added to both halves the correlation: S / (S + N).
    c = generator.normal(size=a.shape)
    assert fourier_ring_correlation(a + b, a + c, edges)[1:] == pytest.approx(0.5, abs=0.06)


def test_a_ring_without_power_has_no_correlation():
    low = wave(64, 64, 2, 3)
    noise = np.random.default_rng(4).normal(size=low.shape)
    found = fourier_ring_correlation(low, low + noise, [0, 0.2, 0.4, HIGHEST])
    assert found[0] > 0.5
    assert np.isnan(fourier_ring_correlation(low * 0 + 7, noise, [0, HIGHEST])).all()
    with pytest.raises(InputError, match=r"\(64, 64\) and \(64, 63\), expected equal ones"):
        fourier_ring_correlation(low, low[:, 1:], [0, 1])


@pytest.mark.parametrize(
    ("down", "across"), [(0, 12), (12, 0), (9, 20), (20, -9), (48, 48), (0, 48)]
)
def test_the_local_frequency_of_a_wave(down, across):
    """Up to half a cycle along both axes; phases chosen away from the wave's zeros."""
    plane = 50 + 20 * wave(96, 96, down, across)
    expected = np.hypot(down, across) / 96
    assert local_frequency(plane)[30:-30, 30:-30] == pytest.approx(expected, abs=0.004)


def test_local_frequency_of_two_halves_of_a_ramp_and_of_nothing():
    halves = np.hstack([wave(64, 64, 0, 8), wave(64, 64, 24, 0)])
    found = local_frequency(halves, sigma=3.0)
    assert found[32, 25] == pytest.approx(1 / 8, abs=0.01)
    assert found[32, 105] == pytest.approx(3 / 8, abs=0.01)
    ramp = np.arange(80.0) * np.ones((80, 1))
    assert local_frequency(ramp, sigma=4.0)[40, 40] == pytest.approx(1 / (8 * np.pi), rel=0.03)
    assert np.isnan(local_frequency(np.full((20, 20), 3.0))).all()


def test_the_error_spectrum_adds_up_to_the_squared_error():
    pairs = [ImagePair(p.name, p.hr[:, :96, :120], p.lr[:, :24, :30], "set") for p in photos(4)[:2]]
    found = error_spectrum({"bicubic": bicubic, "grey": lambda lr: bicubic(lr) * 0 + 0.5}, pairs)
    table = found.frame()
    assert len(table) == 2 * 2 * 33
    for pair in pairs:
        rows = table.query("model == 'bicubic' and image == @pair.name")
        error = absolute_difference(bicubic(pair.lr).double(), pair.hr.double())
        assert rows["squared_error"].sum() == pytest.approx(float((error**2).mean()), rel=1e-9)
        y = luma(pair.hr.double()) * 255
        assert rows["hr_power"].sum() == pytest.approx(float((y**2).mean()), rel=1e-9)
    summary = found.summary().query("model == 'bicubic'").set_index("frequency_from")
    assert summary.loc[1 / 64, "frc"] > 0.98
    assert abs(summary.loc[1 / 4 : 1 / 2, "frc"].mean()) < 0.2
    assert (summary["squared_error_low"] <= summary["squared_error"]).all()
    halves = error_spectrum({"bicubic": bicubic}, pairs[:1]) + error_spectrum(
        {"bicubic": bicubic}, pairs[1:]
    )
    mine = table.query("model == 'bicubic'").reset_index(drop=True)
    assert halves.frame().equals(mine)


def test_where_the_tail_is_of_high_frequency():
    """Left half of the image: a fine wave that bicubic loses; right half: a coarse one it keeps."""
    fine = wave(96, 96, 0, 33) * 60
    coarse = wave(96, 96, 2, 0) * 60
    plane = np.hstack([fine, coarse]) / 255 + 0.5
    hr = torch.from_numpy(plane).float().expand(3, -1, -1)
    pair = ImagePair("halves", hr, torch.nn.functional.avg_pool2d(hr[None], 4)[0], "set")
    found = tail_frequency([pair, pair])
    table = found.cross_table()
    assert list(table.columns) == list(BANDS)
    assert table.sum(axis="columns").to_numpy() == pytest.approx(np.ones(10))
    assert table.loc[10, "above 2"] > 0.95
    assert table.loc[1, "below 1/2"] > 0.8
    tail, others, difference = found.tail_above("above 2")
    assert difference.estimate == pytest.approx(tail.estimate - others.estimate)
    assert tail.estimate == pytest.approx(table.loc[10, "above 2"])
    assert tail.estimate > 1.8 * others.estimate
    assert found.frame()["pixels"].sum() == 2 * plane.size
    assert (tail_frequency([pair]) + tail_frequency([pair])).cross_table().equals(table)
    flat = ImagePair("flat", hr * 0 + 0.5, pair.lr * 0 + 0.5)
    assert tail_frequency([flat]).cross_table()["flat"].tolist() == [1.0] * 10
