"""Where the gain of one network over another lives: in which images, pixels and frequencies.

The gain is the difference in PSNR by the paper's protocol: RGB, clamped, rounded to 8 bits, `scale`
pixels left out on each side. With A and B an image's mean squared errors, it is

    10 log10(A / B) = (10 / ln 10) (A - B) / L(A, B),    L(A, B) = (A - B) / (ln A - ln B),

L being the logarithmic mean, which is A where A = B. A - B is a sum over pixels, or over
frequencies by Parseval's theorem: a part p of it contributes (10 / ln 10) p / L dB, and the parts
add up to the gain exactly, whatever the parts are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter, sobel
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.geometry import Box, Window, check_window
from srlongtail.image.color import luma
from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import to_levels
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.restorers import (
    NamedModel,
    NamedNetwork,
    PairRestorer,
    Restorer,
    map_pairs,
    restorers_by_name,
)
from srlongtail.longtail.spectrum import radial_power, ring_edges, ring_shares
from srlongtail.longtail.tail import TENTHS, Ranking, difficulty, tenth_of_pixels
from srlongtail.parallel import gather
from srlongtail.stats import (
    Interval,
    SignTest,
    mean_interval,
    sign_test,
    smallest_detectable_mean,
)

Array = NDArray[np.float64]
Networks: TypeAlias = Restorer | Sequence[NamedModel] | Mapping[str, Restorer]

FREQUENCIES = ring_edges(8)  # cycles per pixel
ORIENTATIONS = ("horizontal", "rising", "vertical", "falling", "mixed", "flat")
"""Directions of lines and edges as seen; rising is /, falling is \\."""

_RANKINGS: dict[str, Ranking] = {"gradient tenth": "gradient", "bicubic AD tenth": "bicubic_ad"}
PARTS = {
    **dict.fromkeys(_RANKINGS, tuple(map(str, range(1, TENTHS + 1)))),
    "orientation": ORIENTATIONS,
    "frequency": tuple(f"{low:.4g} to {high:.4g}" for low, high in pairwise(FREQUENCIES)),
}
"""Decomposition -> the names of its parts; tenth 1 is the easiest, frequencies are in cycles per
pixel."""

WINDOW_STRIDE = 4  # SR pixels between the windows that a window is compared with
SHARE_OF_GAIN = 0.9

_FLAT = 2.0  # levels per pixel: root-mean-square slope of luma below which there is no orientation
_COHERENT = 0.5  # share of the slope's energy by which one direction exceeds the other


class Change(NamedTuple):
    """How much of what changes between two restorations of an image is gained."""

    net_db: float
    """The gain: what the pixels that improve add, less what the others take away."""
    gross_db: float
    """Both added, whatever their sign."""
    pixels: float
    """The smallest share of the pixels, 0 to 1, that holds 90% of what the improving ones add."""

    @property
    def net_to_gross(self) -> float:
        """Net over gross change, -1 to 1; 0 where nothing changes."""
        return self.net_db / self.gross_db if self.gross_db else 0.0


class WindowGain(NamedTuple):
    """What is gained inside a window of an image, borders included."""

    psnr_db: float
    """Gain in the PSNR of the window, as papers print it below crops."""
    squared_error: float
    """Decrease of the mean squared error, in levels squared."""


@dataclass(frozen=True)
class ImageGain:
    """Where the gain of B over A lives in one image.

    Attributes:
        dataset: Name of its data set.
        image: Its name.
        pixels: Number of pixels scored.
        mse_a: Mean squared error of each checkpoint of A, in levels squared.
        mse_b: The same of B.
        change: Gain, gross change and concentration.
        seeds: The same between every two checkpoints of A, and of B.
        parts: Decomposition -> what each of its parts contributes, in dB; each adds up to the gain.
        shares: Decomposition -> share of the pixels (or frequencies) in each part.
        window: Gain inside the window asked for, where the image has it.
    """

    dataset: str
    image: str
    pixels: int
    mse_a: tuple[float, ...]
    mse_b: tuple[float, ...]
    change: Change
    seeds: tuple[Change, ...]
    parts: Mapping[str, Array]
    shares: Mapping[str, Array]
    window: WindowGain | None = None

    @property
    def gain_db(self) -> float:
        """PSNR of B less PSNR of A; of several checkpoints, of their means."""
        return self.change.net_db


@dataclass(frozen=True)
class GainMap:
    """The signed map of one image: which pixels gain and which lose.

    Attributes:
        dataset: Name of the image's data set.
        image: Its name.
        hr: HR of the pixels scored, `(3, H, W)`, uint8.
        gain_db: `(H, W)`, float32; its mean is the image's gain in dB.
        border: Pixels left out on each side.
        asked_for: Whether the image was named, rather than taken for its gain.
    """

    dataset: str
    image: str
    hr: Tensor
    gain_db: Tensor
    border: int
    asked_for: bool = False

    def blocks(self, size: int) -> Tensor:
        """Return the map averaged over blocks of `size` x `size` pixels; a rest is left out."""
        return F.avg_pool2d(self.gain_db[None], size)[0]


class WindowRank(NamedTuple):
    """How a window's gain compares with that of all windows of its size."""

    dataset: str
    image: str
    window: Window
    gain: WindowGain
    psnr_percentile: float
    """Percent of the windows with a smaller gain in PSNR; ties count half."""
    squared_error_percentile: float
    """Percent of the windows whose squared error decreases less; ties count half."""
    windows: int
    """Number of windows compared with."""

    @classmethod
    def among(
        cls, dataset: str, image: str, window: Window, gain: WindowGain, every: "WindowCounts"
    ) -> "WindowRank":
        """Rank a window's gain among those of all windows, itself included."""
        return cls(dataset, image, window, gain, *every.percentiles(gain), every.windows)

    @property
    def rarity(self) -> str:
        """How rare the gain is, in words that follow it."""
        return (
            f"more than in {self.psnr_percentile:.1f}% of the {self.windows:,} windows of this "
            f"size (every {WINDOW_STRIDE} pixels); squared error falls by more than in "
            f"{self.squared_error_percentile:.1f}% of them"
        )


class WindowCounts:
    """How many windows have which values, in fine bins: ranks in memory that does not grow.

    Each window has two values, such as its gain in PSNR and in squared error. The bins are narrower
    than 0.1% of a value (and than 1e-6 dB, or levels squared, near 0), so a rank is off by at most
    half of the share of windows whose value is that close. It takes 640 KB, however many windows
    there are. Counts of different images add up.

    Args:
        counts: `(2, bins)`: of either value.

    Example:
        >>> counts = WindowCounts()
        >>> counts.add(np.array([[1.0, 10.0], [2.0, 30.0], [3.0, 20.0], [4.0, 40.0]]))
        >>> counts.percentiles((3.0, 20.0)), counts.windows
        ((62.5, 37.5), 4)
    """

    _SMALLEST, _STEP, _SIDE = 1e-3, 9e-4, 20_000

    def __init__(self, counts: NDArray[np.int64] | None = None) -> None:
        self.counts = np.zeros((2, 2 * self._SIDE + 1), np.int64) if counts is None else counts

    def __add__(self, other: "WindowCounts") -> "WindowCounts":
        return WindowCounts(self.counts + other.counts)

    @property
    def windows(self) -> int:
        """Number of windows counted."""
        return int(self.counts[0].sum())

    def add(self, values: Array) -> None:
        """Count the windows of an image: `(N, 2)`, such as of `window_gains`."""
        for column, bins in enumerate(self._bins(values).T):
            self.counts[column] += np.bincount(bins, minlength=self.counts.shape[1])

    def percentiles(self, values: tuple[float, float]) -> tuple[float, float]:
        """Return the percent of windows with a smaller first, and a smaller second value.

        Windows in the same bin count half.
        """
        (bins,) = self._bins(np.array([values]))
        below, equal = zip(
            *((row[:at].sum(), row[at]) for row, at in zip(self.counts, bins, strict=True)),
            strict=True,
        )
        first, second = 100 * (np.array(below) + np.array(equal) / 2) / self.windows
        return float(first), float(second)

    def _bins(self, values: Array) -> NDArray[np.int64]:
        scaled = np.sign(values) * np.log1p(np.abs(values) / self._SMALLEST) / self._STEP
        return scaled.clip(-self._SIDE, self._SIDE).round().astype(np.int64) + self._SIDE


@dataclass(frozen=True)
class Comparison:
    """Where the gain of B over A lives, over any number of images; comparisons add up.

    Attributes:
        a: Names of the checkpoints of A.
        b: Names of the checkpoints of B.
        images: One an image.
        map: Signed map of the image asked for, or else of the strongest one.
        window: The window asked for: row, column and size in SR pixels.
        windows: The gains of all windows of that size, `WINDOW_STRIDE` pixels apart, counted.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    images: tuple[ImageGain, ...]
    map: GainMap
    window: Window | None = None
    windows: WindowCounts | None = None

    def __add__(self, other: "Comparison") -> "Comparison":
        if (self.a, self.b, self.window) != (other.a, other.b, other.window):
            raise InputError(
                f"comparisons of {self.a} with {self.b} and of {other.a} with {other.b} "
                f"(windows {self.window}, {other.window}) do not add up"
            )
        ranks = [(c.map.asked_for, abs(c.strongest_image.gain_db)) for c in (self, other)]
        kept = other.map if ranks[1] > ranks[0] else self.map
        windows = self.windows and other.windows and self.windows + other.windows
        return Comparison(self.a, self.b, self.images + other.images, kept, self.window, windows)

    @cached_property
    def gain(self) -> Interval:
        """Mean gain in dB, with its 95% interval over images."""
        return mean_interval(self.gains)

    @property
    def gains(self) -> Array:
        """Gain of each image, in dB."""
        return np.array([image.gain_db for image in self.images])

    @property
    def strongest_image(self) -> ImageGain:
        """The image that contributes most to the gain, or takes most from it; of equals the first.

        It is the one with the largest gain or loss.
        """
        return self.images[_strongest(self.images)]

    @property
    def gain_without_strongest_image(self) -> float:
        """Mean gain of the other images, in dB; NaN where there is one image."""
        others = np.delete(self.gains, _strongest(self.images))
        return float(others.mean()) if others.size else np.nan

    @property
    def sign_test(self) -> SignTest:
        """How many images gain and how many lose, and the two-sided p-value of that."""
        return sign_test(self.gains)

    @property
    def smallest_detectable_gain_db(self) -> float:
        """Smallest true gain that so many images of such spread show with 80% power (5% level)."""
        return smallest_detectable_mean(self.gains)

    @property
    def change(self) -> Change:
        """Gain, gross change and concentration, mean over images."""
        return _mean_change([image.change for image in self.images])

    @property
    def between_seeds(self) -> Change | None:
        """The change between two checkpoints of one network; None where there is one of each.

        It is the mean over all such pairs, whose `net_db` counts without its sign.
        """
        pairs = [_mean_change(pair) for pair in zip(*(i.seeds for i in self.images), strict=True)]
        unsigned = [pair._replace(net_db=abs(pair.net_db)) for pair in pairs]
        return _mean_change(unsigned) if unsigned else None

    def rank_window(self) -> WindowRank | None:
        """Return how the window asked for compares with all others; None where none was named.

        The window is that of the image whose map is kept. It is compared with the windows of its
        size in all images, `WINDOW_STRIDE` pixels apart.

        Raises:
            InputError: The window is not inside that image.
        """
        if self.window is None or self.windows is None:
            return None
        place = (self.map.dataset, self.map.image)
        image = next(i for i in self.images if (i.dataset, i.image) == place)
        height, width = (side + 2 * self.map.border for side in self.map.gain_db.shape)
        check_window(self.window, height, width, image.image)
        assert image.window is not None  # every image that holds the window has its gain
        return WindowRank.among(*place, self.window, image.window, self.windows)

    @cached_property
    def parts(self) -> pd.DataFrame:
        """See `frame`."""
        count = len(self.images)
        rows: list[tuple[Any, ...]] = [("total", "all images", 1.0, *self.gain[:3])]
        for image in self.images:
            part = f"{image.dataset}/{image.image}".lstrip("/")
            rows.append(("image", part, 1 / count, image.gain_db / count, np.nan, np.nan))
        for by, names in PARTS.items():
            contributions = np.stack([image.parts[by] for image in self.images])
            shares = np.mean([image.shares[by] for image in self.images], 0)
            for name, part_share, values in zip(names, shares, contributions.T, strict=True):
                rows.append((by, name, part_share, *mean_interval(values)[:3]))
        return pd.DataFrame(rows, columns=["by", "part", "share", "gain_db", "low", "high"])

    def frame(self) -> pd.DataFrame:
        """Return what each part contributes: `by, part, share, gain_db, low, high`.

        The `gain_db` of all parts with the same `by` add up to the gain. `share` is the part's
        share of the pixels, images or frequencies, mean over images; `low` and `high` are the 95%
        interval over images (none of a single image's part).
        """
        return self.parts

    def per_image(self) -> pd.DataFrame:
        """Return one row per image: PSNR of A and B, gain, gross change and concentration."""
        rows = [
            (i.dataset, i.image, i.pixels, _psnr(i.mse_a), _psnr(i.mse_b), *i.change)
            for i in self.images
        ]
        names = ["dataset", "image", "pixels", "psnr_a_db", "psnr_b_db", "gain_db", "gross_db"]
        return pd.DataFrame(rows, columns=[*names, "pixels_with_90_percent_of_gain"])

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the comparison by name; None where there is no such number."""
        seeds = self.between_seeds
        numbers = {
            "gain_db": self.gain.estimate,
            "gain_low": self.gain.low,
            "gain_high": self.gain.high,
            "images": len(self.images),
            "pixels_with_90_percent_of_gain": self.change.pixels,
            "net_to_gross": self.change.net_to_gross,
            "gain_without_strongest_image": self.gain_without_strongest_image,
            "strongest_image": self.strongest_image.image,
            "smallest_detectable_gain_db": self.smallest_detectable_gain_db,
            "images_better": self.sign_test.positive,
            "images_worse": self.sign_test.negative,
            "sign_test_p": self.sign_test.p_value,
            "net_db_between_seeds": seeds.net_db if seeds else None,
            "net_to_gross_between_seeds": seeds.net_to_gross if seeds else None,
            "pixels_with_90_percent_between_seeds": seeds.pixels if seeds else None,
        }
        rank = self.rank_window()
        if rank:
            numbers |= {
                "window": list(rank.window),
                "window_image": rank.image,
                "window_gain_db": rank.gain.psnr_db,
                "window_percentile": rank.psnr_percentile,
                "window_squared_error_percentile": rank.squared_error_percentile,
                "windows_compared": rank.windows,
            }
        return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in numbers.items()}


def compare(
    a: Networks,
    b: Networks,
    pairs: Sequence[ImagePair],
    *,
    image: str | None = None,
    window: Window | None = None,
) -> Comparison:
    """Measure where the gain of B over A lives.

    One image is held at a time. Under `torchrun` the processes share the images out, and each
    gets the whole result.

    Args:
        a: The reference: one network (see `restorers_by_name`), or its checkpoints from several
            seeds, as a sequence or a mapping from names.
        b: What is compared with it. Of several checkpoints, either side has the mean PSNR.
        pairs: The images.
        image: Name of the image whose map is kept; default: the one with the largest gain or loss.
        window: Row, column and size of a window in SR pixels, to be ranked among all others.

    Raises:
        InputError: No network or image, no image of that name, an image that is no larger than the
            border left out, or one that a checkpoint restores without any error.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> found = compare(
        ...     lambda lr: lr.repeat_interleave(4, -1).repeat_interleave(4, -2),
        ...     lambda lr: upsample_bicubic(lr, 4),
        ...     photos(4)[1:3],
        ... )
        >>> round(found.gain.estimate, 2), found.strongest_image.image
        (1.58, 'chelsea')
    """
    models_a, models_b = _restorers(a, "a"), _restorers(b, "b")
    if not len(pairs):
        raise InputError("compare: no images, expected at least one")
    kept: list[tuple[tuple[bool, float], GainMap]] = []  # the best of this process, if any
    counts = None if window is None else WindowCounts()

    def measure(pair: ImagePair) -> list[ImageGain]:
        gain, signed = _measure(models_a, models_b, pair, image, window, counts)
        rank = (signed.asked_for, abs(gain.gain_db))
        if not kept or rank > kept[0][0]:
            kept[:] = [(rank, signed)]
        return [gain]

    images = tuple(map_pairs(measure, pairs))
    maps = [signed for part in gather(kept) for _, signed in part]
    best = images[_strongest(images)]
    if image is None:
        wanted = [m for m in maps if (m.dataset, m.image) == (best.dataset, best.image)]
    else:
        wanted = [m for m in maps if m.asked_for]
    if not wanted:
        known = ", ".join(found.image for found in images[:10])
        raise InputError(f"compare: no image {image!r}, expected one of {known}")
    each = [part for part in gather(counts) if part is not None]
    windows = sum(each[1:], each[0]) if each else None
    return Comparison(tuple(models_a), tuple(models_b), images, wanted[0], window, windows)


def window_gains(errors_a: Sequence[ArrayLike], errors_b: Sequence[ArrayLike], size: int) -> Array:
    """Return the gain inside every window of an image, `WINDOW_STRIDE` pixels apart.

    Args:
        errors_a: Squared error of each checkpoint of A, `(H, W)` each, in levels squared.
        errors_b: The same of B.
        size: Side of the windows in pixels.

    Returns:
        Shape `(N, 2)`, row by row: a `WindowGain` each; empty where the image is smaller.

    Example:
        >>> window_gains([np.full((12, 8), 10.0)], [np.ones((12, 8))], 8).tolist()
        [[10.0, 9.0], [10.0, 9.0]]
    """
    means_a, means_b = (
        np.stack([_window_means(np.asarray(error, np.float64), size) for error in errors])
        for errors in (errors_a, errors_b)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10 * (np.log10(means_a)[:, None] - np.log10(means_b)[None])
        # Where both are without error there is no gain; infinite ones keep their rank.
        decibels = np.where(np.isnan(decibels), 0, decibels).mean((0, 1))
    decrease = means_a.mean(0) - means_b.mean(0)
    return np.stack([np.where(np.isnan(decibels), 0, decibels), decrease], -1)


def orientation_of(plane: ArrayLike, sigma: float = 2.0) -> NDArray[np.int64]:
    """Return which way lines and edges run around each pixel: indices into `ORIENTATIONS`.

    The structure tensor, which is the covariance of the slope in a Gaussian neighborhood, has the
    slope's energy along and across the direction in which it is strongest; lines run across. Four
    directions hold 45 degrees each. "flat" is where the root-mean-square slope is below 2 levels
    per pixel, "mixed" where the two energies differ by less than half of their sum.

    Args:
        plane: Luma in levels of 255, `(H, W)`.
        sigma: Of the neighborhood, in pixels.

    Source: Bigun and Granlund, ICCV 1987.

    Example:
        >>> stripes = np.tile(100 * np.cos(np.arange(32) / 2), (32, 1))  # change along the row
        >>> ORIENTATIONS[orientation_of(stripes)[16, 16]]
        'vertical'
    """
    array = np.asarray(plane, dtype=np.float64)
    down, right = (sobel(array, axis) / 8 for axis in (0, 1))
    products = (right * right, down * down, right * down)
    xx, yy, xy = (gaussian_filter(product, sigma) for product in products)
    energy, straight, oblique = xx + yy, xx - yy, 2 * xy
    # The slope is strongest at half the angle of (straight, oblique); each direction has a quarter
    # of a turn of that angle. Rows count downward: lines across a slope to the lower right rise.
    kinds = np.where(straight > 0, *map(ORIENTATIONS.index, ("vertical", "horizontal")))
    is_oblique = np.abs(oblique) > np.abs(straight)
    kinds[is_oblique & (oblique > 0)] = ORIENTATIONS.index("rising")
    kinds[is_oblique & (oblique < 0)] = ORIENTATIONS.index("falling")
    mixed = straight**2 + oblique**2 < (_COHERENT * energy) ** 2
    kinds[mixed] = ORIENTATIONS.index("mixed")
    kinds[energy < _FLAT**2] = ORIENTATIONS.index("flat")
    return kinds


def _restorers(networks: Networks, side: str) -> dict[str, PairRestorer]:
    """Return name -> restorer for one network or several; name a function after its side."""
    if isinstance(networks, NamedModel | NamedNetwork):
        return restorers_by_name([networks])
    if isinstance(networks, Mapping | Sequence):
        return restorers_by_name(networks)
    return restorers_by_name({side: networks})


def _strongest(images: Sequence[ImageGain]) -> int:
    return int(np.argmax([abs(image.gain_db) for image in images]))


def _measure(
    models_a: Mapping[str, PairRestorer],
    models_b: Mapping[str, PairRestorer],
    pair: ImagePair,
    image: str | None,
    window: Window | None,
    counts: WindowCounts | None,
) -> tuple[ImageGain, GainMap]:
    """Return the gain in one image by parts, and its map; count the gains of its windows."""
    border = pair.scale
    height, width = (side - 2 * border for side in pair.hr.shape[-2:])
    if min(height, width) < 1:
        raise InputError(
            f"{pair.name}: HR image of {pair.hr.shape[-2]} x {pair.hr.shape[-1]} pixels, expected "
            f"more than the {border} that are left out on each side"
        )
    inside = (..., slice(border, border + height), slice(border, border + width))
    hr = _levels(pair.hr)
    differences = _Sides(
        *(
            [_restored(name, restore, pair) - hr for name, restore in models.items()]
            for models in (models_a, models_b)
        )
    )
    errors = differences.map(lambda difference: (difference**2).mean(0))
    scored = errors.map(lambda error: error[inside])
    weights = _weights(scored, pair)
    signed = _weighted(weights, scored)
    parts, shares = {}, {}
    for by, labels in _parts_of_pixels(pair, inside).items():
        count = len(PARTS[by])
        parts[by] = np.bincount(labels, signed.ravel(), minlength=count) / signed.size
        shares[by] = np.bincount(labels, minlength=count) / signed.size
    powers = differences.map(lambda difference: radial_power(difference[inside], FREQUENCIES))
    parts["frequency"] = _weighted(weights, powers) / hr[inside].size
    shares["frequency"] = ring_shares(height, width, FREQUENCIES)
    twins = [_Sides([one], [two]) for side in scored for one, two in combinations(side, 2)]
    gain = ImageGain(
        pair.dataset,
        pair.name,
        signed.size,
        mse_a=tuple(float(error.mean()) for error in scored.a),
        mse_b=tuple(float(error.mean()) for error in scored.b),
        change=_change(signed),
        seeds=tuple(_change(_weighted(_weights(two, pair), two)) for two in twins),
        parts=parts,
        shares=shares,
        window=_gain_in_window(errors, window),
    )
    if window is not None and counts is not None and window[-1] > 0:
        counts.add(window_gains(*errors, window[-1]))
    shown = GainMap(
        pair.dataset,
        pair.name,
        torch.from_numpy(hr[inside].astype(np.uint8)),
        torch.from_numpy(signed.astype(np.float32)),
        border,
        asked_for=pair.name == image,
    )
    return gain, shown


def _restored(name: str, restore: PairRestorer, pair: ImagePair) -> Array:
    sr = restore(pair)
    if sr.shape != pair.hr.shape:
        raise InputError(
            f"{pair.name}: {name} restored {tuple(sr.shape)}, expected {tuple(pair.hr.shape)}"
        )
    if not sr.isfinite().all():
        raise InputError(
            f"{pair.name}: {name} restored values that are not finite, expected numbers"
        )
    return _levels(sr)


def _levels(image: Tensor) -> Array:
    """Return the levels, 0 to 255, of an image as it would be stored, exact in float64."""
    return to_levels(image.detach().cpu().double()).numpy()


class _Sides(NamedTuple):
    """One array each for the checkpoints of A and for those of B."""

    a: Sequence[Array]
    b: Sequence[Array]

    def map(self, function: Callable[[Array], Array]) -> "_Sides":
        return _Sides([function(x) for x in self.a], [function(x) for x in self.b])


def _weights(errors: _Sides, pair: ImagePair) -> _Sides:
    """Return how many dB one unit of each checkpoint's mean squared error is worth.

    The gain of every checkpoint of B over every one of A is (10 / ln 10) (A - B) / L(A, B), and
    the mean over all such pairs is linear in the errors. 1 / L is written with artanh, which loses
    no digits where A and B are close, and is symmetric in them.
    """
    a, b = (np.array([error.mean() for error in side]) for side in errors)
    total = a[:, None] + b
    if ((a[:, None] == 0) != (b == 0)).any():
        raise InputError(
            f"{pair.name}: a checkpoint restores it without any error, so that its PSNR is "
            f"infinite, expected an error"
        )
    relative = (a[:, None] - b) / np.where(total > 0, total, 1)
    slope = np.where(relative == 0, 1, np.arctanh(relative) / np.where(relative == 0, 1, relative))
    decibels = 20 / np.log(10) * slope / np.where(total > 0, total, np.inf)
    return _Sides(decibels.mean(1) / len(a), decibels.mean(0) / len(b))


def _weighted(weights: _Sides, errors: _Sides) -> Array:
    """Return the weighted errors of A minus those of B."""
    return np.tensordot(weights.a, errors.a, 1) - np.tensordot(weights.b, errors.b, 1)


def _change(signed: Array) -> Change:
    """Return the change of one image, whose gain is the mean of its signed map."""
    gains = np.sort(signed[signed > 0])[::-1]
    held = gains.cumsum()
    # Rounding in the sum must not ask for one pixel more.
    needed = np.searchsorted(held, SHARE_OF_GAIN * held[-1] * (1 - 1e-12)) + 1 if held.size else 0
    return Change(float(signed.mean()), float(np.abs(signed).mean()), float(needed / signed.size))


def _mean_change(changes: Iterable[Change]) -> Change:
    return Change(*(float(np.mean(values)) for values in zip(*changes, strict=True)))


@torch.no_grad()
def _parts_of_pixels(pair: ImagePair, inside: Any) -> dict[str, NDArray[np.integer[Any]]]:
    """Return decomposition -> the part, from 0, that each pixel scored is in."""
    enlarged = upsample_bicubic(pair.lr, pair.scale)
    labels: dict[str, NDArray[np.integer[Any]]] = {}
    for by, ranking in _RANKINGS.items():
        tenths = tenth_of_pixels(difficulty(pair.hr, enlarged, ranking)[inside])
        labels[by] = tenths.cpu().numpy().ravel() - 1
    directions = orientation_of(luma(pair.hr)[0].double().cpu().numpy() * 255)
    labels["orientation"] = directions[inside].ravel()
    return labels


def _gain_in_window(errors: _Sides, window: Window | None) -> WindowGain | None:
    """Return the gain in the window asked for, if the image contains it."""
    if window is None or not (box := Box.of(window)).lies_in(*errors.a[0].shape):
        return None
    return WindowGain(*window_gains(*errors.map(box.cut), window[-1])[0].tolist())


def _window_means(error: Array, size: int) -> Array:
    """Return means over the windows, summed per axis, so that zero error stays exactly 0."""
    if min(error.shape) < size:
        return np.empty(0)
    map_ = torch.from_numpy(np.ascontiguousarray(error))[None]
    columns = F.avg_pool2d(map_, (size, 1), (WINDOW_STRIDE, 1))
    return F.avg_pool2d(columns, (1, size), (1, WINDOW_STRIDE)).flatten().numpy()


def _psnr(mse: Sequence[float]) -> float:
    """Return the PSNR in dB of mean squared errors in levels squared, averaged over checkpoints."""
    with np.errstate(divide="ignore"):
        return float(np.mean(10 * np.log10(255**2 / np.array(mse))))
