"""Errors by spatial frequency: radial spectra, Fourier ring correlation, and the tail's own.

Frequencies are in cycles per pixel: 0 to 1/2 along an axis, and up to sqrt(1/2) along a diagonal.
An LR image of scale s holds frequencies up to 1 / (2 s) along each axis, its Nyquist frequency.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.color import luma
from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import quantize
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.restorers import Restorer, map_pairs, restorers_by_name
from srlongtail.longtail.tail import Difficulty, Ranking, difficulty, split_by_rank
from srlongtail.stats import Interval, mean_interval

Array = NDArray[np.float64]

HIGHEST = np.sqrt(0.5)  # cycles per pixel: half a cycle along both axes at once

BANDS = ("flat", "below 1/2", "1/2 to 1", "1 to 2", "above 2")
"""Bands of local frequency, in multiples of the Nyquist frequency of the LR image."""

_FLAT = 1.0  # levels: standard deviation around a pixel below which there is no texture

_SPECTRUM_COLUMNS = [
    *("model", "dataset", "image", "frequency_from", "frequency_to"),
    *("squared_error", "hr_power", "frc"),
]


def ring_edges(rings: int = 32) -> Array:
    """Return the limits of rings of equal width from 0 to 1/2, and of one for the corners.

    >>> ring_edges(2).round(2).tolist()
    [0.0, 0.25, 0.5, 0.71]
    """
    return np.append(np.linspace(0, 0.5, rings + 1), HIGHEST)


def radial_power(planes: ArrayLike, edges: ArrayLike) -> Array:
    """Return the power of planes in each ring of frequencies; over all rings, their sum of squares.

    No window is applied, so that Parseval's theorem holds exactly: sum |F|^2 / (H W) = sum x^2.

    Args:
        planes: Shape `(..., H, W)`; the power of leading dimensions, such as channels, is added.
        edges: Limits of R rings, ascending from 0 to at least `HIGHEST`, in cycles per pixel. A
            frequency on a limit belongs to the ring above.

    Returns:
        Shape `(R,)`, in squared units of the planes.

    Example:
        >>> wave = np.cos(2 * np.pi * np.arange(16) / 4)[None]  # a quarter of a cycle per pixel
        >>> radial_power(wave, [0, 0.2, 0.3, 1]).round(9).tolist()
        [0.0, 8.0, 0.0]
    """
    array = np.asarray(planes, dtype=np.float64)
    rings, twice = _rings(array.shape[-2:], edges)
    spectrum = scipy.fft.rfft2(array)
    power = (spectrum.real**2 + spectrum.imag**2).reshape(-1, rings.size).sum(0)
    return _per_ring(power * twice, rings, edges) / np.prod(array.shape[-2:])


def fourier_ring_correlation(a: ArrayLike, b: ArrayLike, edges: ArrayLike) -> Array:
    """Return the correlation of two planes in each ring of frequencies, -1 to 1.

    FRC = Re sum A B* / sqrt(sum |A|^2 sum |B|^2), the sums over a ring. The mean is subtracted and
    a Hann window applied: the borders of two photos of one scene would otherwise correlate along
    the axes at every frequency. A ring without power in one of them, or without a frequency, is
    NaN.

    Args:
        a, b: Shape `(H, W)`, both alike.
        edges: See `radial_power`.

    Raises:
        InputError: The shapes differ.

    Source: Saxton and Baumeister, Journal of Microscopy 127(2), 1982.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=(32, 32))
        >>> fourier_ring_correlation(noise, 2 * noise + 1, [0, 0.25, 1]).round(6).tolist()
        [1.0, 1.0]
    """
    first, second = (np.asarray(plane, dtype=np.float64) for plane in (a, b))
    if first.shape != second.shape:
        raise InputError(
            f"fourier_ring_correlation: planes of shapes {first.shape} and {second.shape}, "
            f"expected equal ones"
        )
    window = np.outer(*(_hann(side) for side in first.shape))
    one, two = (scipy.fft.rfft2((plane - plane.mean()) * window) for plane in (first, second))
    rings, twice = _rings(first.shape, edges)
    products = [(x * y.conj()).real.ravel() for x, y in ((one, two), (one, one), (two, two))]
    cross, *powers = (_per_ring(product * twice, rings, edges) for product in products)
    floor = np.finfo(float).eps * sum(power.sum() for power in powers)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = cross / np.sqrt(powers[0] * powers[1])
    return np.where(np.minimum(*powers) > floor, correlation, np.nan)


def local_frequency(plane: ArrayLike, sigma: float = 4.0) -> Array:
    """Return the frequency of the texture around each pixel, in cycles per pixel.

    In a Gaussian neighborhood a sinusoid of frequency f has differences between neighbors whose
    mean square is 4 sin^2(pi f) times its variance. The ratio is measured along both axes and
    solved for f; of a mixture it is the root-mean-square frequency. A straight ramp reads
    1 / (2 pi sigma), the lowest frequency that the neighborhood can tell. NaN where nothing varies.

    Args:
        plane: Shape `(H, W)`.
        sigma: Of the neighborhood, in pixels.

    Example:
        >>> stripes = np.tile(np.cos(2 * np.pi * 0.2 * np.arange(64)), (64, 1))
        >>> float(local_frequency(stripes)[32, 32].round(3))
        0.2
    """
    array = np.asarray(plane, dtype=np.float64)
    variance = _local_variance(array, sigma)
    varies = variance > 1e-12 * max(float(variance.max()), np.finfo(float).tiny)
    squares = np.zeros_like(array)
    for axis in (0, 1):
        sides = [(1, 1) if axis == other else (0, 0) for other in (0, 1)]
        differences = np.pad(np.diff(array, axis=axis) ** 2, sides, mode="edge")
        before, after = np.arange(array.shape[axis]), np.arange(1, array.shape[axis] + 1)
        halves = differences.take(before, axis) / 2 + differences.take(after, axis) / 2
        ratio = gaussian_filter(halves, sigma) / np.where(varies, variance, 1)
        squares += (np.arcsin(np.sqrt(ratio.clip(max=4)) / 2) / np.pi) ** 2
    return np.where(varies, np.sqrt(squares), np.nan)


@dataclass(frozen=True)
class ErrorSpectrum:
    """How much of each model's error lies at which frequency; spectra of other images add up.

    Attributes:
        table: One row per model, image and ring: `model, dataset, image, frequency_from,
            frequency_to, squared_error, hr_power, frc`. `squared_error` is the ring's part of the
            mean squared error of luma, `hr_power` its part of HR's mean square, both in levels
            squared; `frc` is the Fourier ring correlation of SR and HR.
    """

    table: pd.DataFrame

    def __add__(self, other: "ErrorSpectrum") -> "ErrorSpectrum":
        return ErrorSpectrum(pd.concat([self.table, other.table], ignore_index=True))

    def frame(self) -> pd.DataFrame:
        """Return one row per model, image and ring."""
        return self.table

    def summary(self) -> pd.DataFrame:
        """Return the mean over the images of each model and ring, with 95% intervals.

        Columns: `model, frequency_from, frequency_to, images`, and each of `squared_error` and
        `frc` with its `_low` and `_high`. Images without power in a ring do not count for its FRC.
        """
        rows = []
        keys = ["model", "frequency_from", "frequency_to"]
        for place, ring in self.table.groupby(keys, sort=False):
            row = [*place, len(ring)]
            for column in ("squared_error", "frc"):
                values = ring[column].dropna()
                row += mean_interval(values)[:3] if len(values) else [np.nan] * 3
            rows.append(row)
        ends = ("", "_low", "_high")
        columns = [f"{what}{end}" for what in ("squared_error", "frc") for end in ends]
        return pd.DataFrame(rows, columns=[*keys, "images", *columns])


def error_spectrum(
    models: Mapping[str, Restorer] | Sequence[Restorer],
    pairs: Sequence[ImagePair],
    rings: int = 32,
) -> ErrorSpectrum:
    """Measure the radial spectrum of each model's luma error, and its ring correlation with HR.

    SR is rounded to 8 bits first, as it would be stored; nothing is cropped. Images are read one
    at a time; under `torchrun` the processes share them out, and each gets the whole result.

    Args:
        models: See `restorers_by_name`.
        pairs: The images.
        rings: Number of rings up to half a cycle per pixel; one more holds the corners.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> models = {"bicubic": lambda lr: upsample_bicubic(lr, 4)}
        >>> spectrum = error_spectrum(models, photos(4)[1:2], rings=4).summary()
        >>> spectrum["frc"].round(1).tolist()[:2]  # below and above the Nyquist frequency, 1/8
        [1.0, 0.3]
    """
    edges = ring_edges(rings)
    restorers = restorers_by_name(models)

    def measure(pair: ImagePair) -> list[tuple[object, ...]]:
        hr = _luma_levels(pair.hr)
        hr_power = radial_power(hr, edges) / hr.size
        rows: list[tuple[object, ...]] = []
        for name, restore in restorers.items():
            sr = _luma_levels(quantize(restore(pair).double()))
            power = radial_power(sr - hr, edges) / hr.size
            frc = fourier_ring_correlation(sr, hr, edges)
            each = zip(edges[:-1], edges[1:], power, hr_power, frc, strict=True)
            rows += [(name, pair.dataset, pair.name, *ring) for ring in each]
        return rows

    return ErrorSpectrum(pd.DataFrame(map_pairs(measure, pairs), columns=_SPECTRUM_COLUMNS))


class TailShare(NamedTuple):
    """Share of pixels above a frequency: of the tail and of the others, 0 to 1."""

    tail: Interval
    others: Interval
    difference: Interval
    """Tail less others, paired by image."""


@dataclass(frozen=True)
class TailFrequency:
    """Which frequencies the texture has in each tenth of the pixels; tables add up.

    Attributes:
        table: One row per image, tenth and band: `dataset, image, tenth, band, pixels`. Tenth 10
            is the hardest; bands are `BANDS`.
    """

    table: pd.DataFrame

    def __add__(self, other: "TailFrequency") -> "TailFrequency":
        return TailFrequency(pd.concat([self.table, other.table], ignore_index=True))

    def frame(self) -> pd.DataFrame:
        """Return one row per image, tenth and band."""
        return self.table

    def cross_table(self) -> pd.DataFrame:
        """Return the share of each tenth's pixels in each band, mean over images.

        One row per tenth, one column per band; each row adds up to 1.
        """
        means = self._shares().groupby("tenth").mean()
        return means[list(BANDS)]

    def tail_above(self, band: str = BANDS[3]) -> "TailShare":
        """Return how much of the tail lies in this band and those above, beside the other pixels.

        The tail is tenth 10. All are means over images with 95% intervals.
        """
        high = self._shares()[list(BANDS[BANDS.index(band) :])].sum(axis="columns").unstack("tenth")
        others = high.drop(columns=10).mean(axis="columns")
        return TailShare(*map(mean_interval, (high[10], others, high[10] - others)))

    def _shares(self) -> pd.DataFrame:
        keys = ["dataset", "image", "tenth"]
        pixels = self.table.pivot_table("pixels", keys, "band", aggfunc="sum", sort=False)
        return pixels.div(pixels.sum(axis="columns"), axis="index")


def tail_frequency(
    pairs: Sequence[ImagePair],
    ranked_by: Ranking | Difficulty = "bicubic_ad",
    sigma: float = 4.0,
) -> TailFrequency:
    """Measure whether the tail is of high frequency: tenths of the pixels by local frequency.

    The bands are relative to the Nyquist frequency of the LR image, above which a network can only
    use what it learned. Images are read one at a time; under `torchrun` the processes share
    them out, and each gets the whole result.

    Args:
        pairs: The images.
        ranked_by: What makes a pixel hard (see `difficulty`).
        sigma: Of the neighborhood in which frequency is measured, in pixels (see
            `local_frequency`).

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> table = tail_frequency(photos(4)[1:2]).cross_table()
        >>> table.loc[[1, 10], "flat"].round(2).tolist()
        [0.01, 0.0]
    """

    def measure(pair: ImagePair) -> list[tuple[object, ...]]:
        enlarged = upsample_bicubic(pair.lr, pair.scale)
        y = _luma_levels(pair.hr)
        limits = np.array([0.5, 1, 2]) / (2 * pair.scale)
        bands = 1 + np.digitize(local_frequency(y, sigma), limits)
        bands[_local_variance(y, sigma) < _FLAT**2] = 0
        tenths = split_by_rank(difficulty(pair.hr, enlarged, ranked_by))
        return [
            (pair.dataset, pair.name, tenth, band, count)
            for tenth, pixels in enumerate(tenths, start=1)
            for band, count in zip(
                BANDS,
                np.bincount(bands.ravel()[pixels.cpu().numpy()], minlength=len(BANDS)),
                strict=True,
            )
        ]

    columns = ["dataset", "image", "tenth", "band", "pixels"]
    return TailFrequency(pd.DataFrame(map_pairs(measure, pairs), columns=columns))


def ring_shares(height: int, width: int, edges: ArrayLike) -> Array:
    """Return the share of the frequencies of an image that lie in each ring; they add up to 1.

    >>> ring_shares(8, 8, [0, 0.5, 1]).tolist()
    [0.703125, 0.296875]
    """
    rings, twice = _rings((height, width), edges)
    return _per_ring(twice, rings, edges) / (height * width)


def _local_variance(plane: Array, sigma: float) -> Array:
    centered = plane - plane.mean()  # the variance is a difference of squares
    return gaussian_filter(centered**2, sigma) - gaussian_filter(centered, sigma) ** 2


def _luma_levels(image: Tensor) -> Array:
    return luma(image.detach().cpu().double())[0].mul(255).numpy()


def _hann(size: int) -> Array:
    """Return Hann's window, positive at every pixel."""
    return np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2


def _rings(shape: tuple[int, ...], edges: ArrayLike) -> tuple[NDArray[np.int64], Array]:
    """Return the ring of each frequency of a real transform, and its multiplicity (1 or 2)."""
    return _rings_between(shape, tuple(np.asarray(edges, dtype=np.float64).tolist()))


@lru_cache(maxsize=1)  # for all networks of an image, and the next image if it is as large
def _rings_between(
    shape: tuple[int, ...], limits: tuple[float, ...]
) -> tuple[NDArray[np.int64], Array]:
    height, width = shape
    along = scipy.fft.rfftfreq(width)
    radius = np.hypot(scipy.fft.fftfreq(height)[:, None], along)
    # The corners lie at sqrt(1/2), which may round to either side of the last limit.
    rings = np.digitize(radius.ravel(), limits[:-1]) - 1
    twice = np.where((along == 0) | (along == 0.5), 1.0, 2.0)
    return rings, np.broadcast_to(twice, radius.shape).ravel()


def _per_ring(values: Array, rings: NDArray[np.int64], edges: ArrayLike) -> Array:
    return np.bincount(rings, values, minlength=np.size(edges) - 1).astype(np.float64)
