"""The one definition of head, tail and tenths of the pixels, and how heavy a tail is.

Pixels are ranked by how hard they are, by a measure that does not depend on a network:
the gradient magnitude of HR, bicubic's absolute difference (AD), or any map that is given. The
head is the easy half of the pixels, the tail the hardest tenth. Both are found either in each
image by itself (`split_by_rank`, `Limits.of_image`), so that every image counts alike, or over
all pixels of a data set pooled (`Limits.pooled`, `pooled_edges`), so that an easy image may have
no tail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.color import luma_levels
from srlongtail.image.dataset import ImagePair
from srlongtail.image.gradient import sobel
from srlongtail.image.io import quantize
from srlongtail.longtail.difference import DifferenceHistogram, absolute_difference
from srlongtail.longtail.restorers import PairRestorer, Restorer, map_pairs, restorers_by_name
from srlongtail.stats import (
    effective_number,
    hill_table,
    mean_interval,
    pareto_shape,
    top_share,
)

HEAD = 0.5  # share of the pixels, from the easiest on
TAIL = 0.1  # share of the pixels, from the hardest on
TENTHS = 10

Ranking = Literal["gradient", "bicubic_ad"]
Difficulty = Callable[[Tensor, Tensor], Tensor]  # HR and bicubic (..., 3, H, W) -> (..., H, W)


def gradient_magnitude(hr: Tensor) -> Tensor:
    """Return the gradient magnitude of luma, in levels of 255; see `sobel`.

    The largest possible value is 219, as for AD. In flat areas the gradient is 0 up to rounding,
    so that rounding decides which of these pixels come first in a ranking. It moves the means of
    tenths by up to 0.06 levels on Set14.

    Args:
        hr: RGB in [0, 1], `(..., 3, H, W)`, floating point.

    Returns:
        `(..., H, W)`, float64; see `luma_levels` for the device.

    Example:
        >>> edge = torch.zeros(3, 4, 4)
        >>> edge[..., 2:] = 1
        >>> gradient_magnitude(edge)[1].round().tolist()
        [0.0, 155.0, 155.0, 0.0]
    """
    return sobel(luma_levels(hr)).squeeze(-3)


def difficulty(hr: Tensor, bicubic: Tensor, ranked_by: Ranking | Difficulty = "gradient") -> Tensor:
    """Return how hard each pixel is, by a measure that does not depend on a network.

    Args:
        hr: `(..., 3, H, W)`, in [0, 1].
        bicubic: The enlarged LR image, like `hr`.
        ranked_by: "gradient" (see `gradient_magnitude`), fair to all models; "bicubic_ad"
            (bicubic's AD of luma), unfair to whatever is compared with bicubic and not strictly
            neutral between two networks (see `bands.LUCK_TRAP` and
            `bands.LUCK_BETWEEN_NETWORKS`); or a function of HR and bicubic.

    Returns:
        `(..., H, W)`; a larger value is a harder pixel.

    Raises:
        InputError: An unknown ranking, or a function that returns another shape.

    Example:
        >>> difficulty(torch.zeros(3, 1, 2), torch.ones(3, 1, 2), "bicubic_ad").tolist()
        [[219.0, 219.0]]
    """
    if ranked_by == "gradient":
        return gradient_magnitude(hr)
    if ranked_by == "bicubic_ad":
        return (luma_levels(quantize(bicubic)) - luma_levels(hr)).abs().squeeze(-3)
    if not callable(ranked_by):
        known = " or ".join(map(repr, get_args(Ranking)))
        raise InputError(f"ranked_by {ranked_by!r}, expected {known}, or a function")
    given = ranked_by(hr, bicubic)
    expected = (*hr.shape[:-3], *hr.shape[-2:])
    if given.shape != expected:
        raise InputError(f"ranked_by: a map of {tuple(given.shape)}, expected {tuple(expected)}")
    return given


def split_by_rank(values: Tensor, parts: int = TENTHS) -> tuple[Tensor, ...]:
    """Return the indices of each tenth of one image's pixels, the easiest tenth first.

    Equal values keep the order of the pixels, row by row, and where the pixels cannot be shared
    out equally the first tenths have one more, as `numpy.array_split` does it.

    Args:
        values: The difficulty of each pixel, any shape.
        parts: How many parts are made; 10 are tenths.

    Returns:
        Indices into the flattened map, one tensor per part.

    Example:
        >>> split_by_rank(torch.tensor([5.0, 1.0, 3.0, 1.0, 9.0]), parts=2)
        (tensor([1, 3, 2]), tensor([0, 4]))
    """
    return values.flatten().argsort(stable=True).tensor_split(parts)


def tenth_of_pixels(values: Tensor) -> Tensor:
    """Return the tenth that each pixel of one image is in, 1 (the easiest) to 10.

    Args:
        values: The difficulty of each pixel, any shape, without NaN.

    Returns:
        Tensor like `values`, uint8; see `split_by_rank` for equal values.

    Example:
        >>> tenth_of_pixels(torch.arange(20.0).flip(0)).tolist()[:4]
        [10, 10, 9, 9]
    """
    flat = values.detach().cpu().flatten().numpy()
    sizes = [len(part) for part in np.array_split(np.empty(len(flat), np.bool_), TENTHS)]
    firsts = np.cumsum(sizes[:-1])  # rank of the first pixel of each tenth but the first
    inner = firsts[firsts < len(flat)]
    # A third of the time of sorting: the values of these ranks, and comparisons with them.
    limits = np.partition(flat, inner)[inner]
    tenths = np.ones(len(flat), np.uint8)
    tied = {}  # values that pixels on both sides of a border have -> number of pixels below
    for first, limit in zip(inner.tolist(), limits.tolist(), strict=True):
        above = flat >= limit
        tenths += above
        below = len(flat) - np.count_nonzero(above)
        if below < first:
            tied[limit] = below
    for limit, below in tied.items():  # equal values keep the order of the pixels
        equal = np.flatnonzero(flat == limit)
        ranks = below + np.arange(len(equal))
        tenths[equal] = 1 + np.searchsorted(firsts, ranks, side="right")
    return torch.from_numpy(tenths).reshape(values.shape).to(values.device)


def tenth_by_edges(values: Tensor, edges: Sequence[float]) -> Tensor:
    """Return the tenth of a whole data set that each pixel of one image is in, 1 to 10.

    Args:
        values: The difficulty of each pixel, any shape.
        edges: Ascending limits between the tenths (see `pooled_edges`). A pixel on a limit
            belongs to the easier tenth.

    Returns:
        Tensor like `values`, of integers.

    Example:
        >>> tenth_by_edges(torch.tensor([5.0, 1.0, 3.0]), edges=[3.0, 4.0])
        tensor([3, 1, 1])
    """
    return 1 + torch.bucketize(
        values, torch.tensor(edges, dtype=values.dtype, device=values.device)
    )


def pooled_edges(histogram: DifferenceHistogram, name: str, parts: int = TENTHS) -> list[float]:
    """Return the limits between the tenths of all pixels of a data set.

    Args:
        histogram: Of AD or of the gradient magnitude, in levels; see `difficulty_histogram`.
        name: Which of its maps ranks the pixels.
        parts: 10 give the 9 limits between tenths.

    Example:
        >>> maps = {"bicubic": torch.arange(100.0).reshape(10, 10) + 0.125}
        >>> [round(edge) for edge in pooled_edges(DifferenceHistogram.of(maps), "bicubic", parts=4)]
        [25, 50, 75]
    """
    return [histogram.quantile(name, part / parts) for part in range(1, parts)]


@dataclass(frozen=True)
class Limits:
    """Where the head ends and the tail begins, in the units of the map that ranks the pixels.

    >>> limits = Limits.of_image(torch.arange(11.0))
    >>> limits
    Limits(head_below=5.0, tail_above=9.0)
    >>> limits.tail(torch.tensor([8.0, 9.0, 10.0]))
    tensor([False, False,  True])
    """

    head_below: float
    tail_above: float

    @classmethod
    def of_image(cls, values: Tensor) -> "Limits":
        """Return the limits of one image by itself: exact quantiles of its difficulty map."""
        array = values.detach().cpu().double().numpy()
        return cls(*(float(limit) for limit in np.quantile(array, (HEAD, 1 - TAIL))))

    @classmethod
    def pooled(cls, histogram: DifferenceHistogram, name: str = "bicubic") -> "Limits":
        """Return the limits over all pixels of a data set, from the histogram of one map."""
        return cls(histogram.quantile(name, HEAD), histogram.quantile(name, 1 - TAIL))

    def head(self, values: Tensor) -> Tensor:
        """Return which pixels of a difficulty map belong to the head."""
        return values < self.head_below

    def tail(self, values: Tensor) -> Tensor:
        """Return which pixels of a difficulty map belong to the tail."""
        return values > self.tail_above


def tail_statistics(error: Tensor, top: float = TAIL) -> dict[str, float]:
    """Return how unequally one error map is spread over its pixels, and how heavy its tail is.

    Here the tail is the map's own: its pixels are ranked by the error itself. A better model often
    has a *higher* Gini coefficient, because it removes error from the easy pixels first: none of
    these numbers says by itself that a model is good.

    Args:
        error: Absolute differences, any shape, non-negative.
        top: Share of the pixels that is the tail, above 0 and below 1.

    Returns:
        `mean`; `gini`, 0 to 1; `l1_share` and `l2_share`, the share of the total absolute and
        squared error that the tail holds (for an exponential distribution and a tenth, 0.330 and
        0.595); `effective_pixels`, (1 - Gini) times the pixels;
        `tail_index`, Hill's alpha of the tail, `tail_index_low` and `tail_index_high`, its
        smallest and largest value between a tenth of the tail and the whole of it (where these
        lie far apart the tail is no power law); and `pareto_shape`, xi of the generalized Pareto
        distribution: positive where the tail is heavier than exponential. The last four are NaN
        where the tail has fewer than 100 pixels or no error.

    Raises:
        InputError: Negative or infinite values, or a share outside (0, 1).

    Example:
        >>> statistics = tail_statistics(torch.arange(1.0, 2001.0))
        >>> round(statistics["gini"], 2), round(statistics["l1_share"], 2)
        (0.33, 0.19)
    """
    if not 0 < top < 1:
        raise InputError(f"top {top}, expected between 0 and 1")
    array = np.sort(error.detach().cpu().double().numpy().ravel())  # once for all that follows
    effective = effective_number(array)
    k = int(top * array.size)
    statistics = {
        "mean": float(array.mean()),
        "gini": 1 - effective / array.size,
        "l1_share": top_share(array, top),
        "l2_share": top_share(array**2, top),
        "effective_pixels": effective,
    }
    indices, shape = np.full(3, np.nan), np.nan
    if k >= 100 and np.count_nonzero(array) > k:
        found = hill_table(array, np.unique(np.geomspace(k / 10, k, 20).astype(int)).tolist())
        index = found["tail_index"]
        indices = np.array([index.iloc[-1], index.min(), index.max()])
        if np.isfinite(indices).all():
            shape = pareto_shape(array, k)
    names = ("tail_index", "tail_index_low", "tail_index_high")
    return statistics | dict(zip(names, indices.tolist(), strict=True)) | {"pareto_shape": shape}


@dataclass(frozen=True)
class TailTable:
    """The tail statistics of several models on several images; tables of different images add up.

    Attributes:
        rows: One row per model and image: `model, dataset, image` and the numbers of
            `tail_statistics`.
        top: Share of the pixels that is the tail.
    """

    rows: pd.DataFrame
    top: float

    def frame(self) -> pd.DataFrame:
        """Return one row per model and image."""
        return self.rows

    def __add__(self, other: "TailTable") -> "TailTable":
        if self.top != other.top:
            raise InputError(f"tails of {self.top:g} and {other.top:g} do not add up")
        return TailTable(pd.concat([self.rows, other.rows], ignore_index=True), self.top)

    def summary(self, confidence: float = 0.95) -> pd.DataFrame:
        """Return the mean over images of each number, with its interval.

        Columns `model, dataset, statistic, images, estimate, low, high, method`; images where a
        number is NaN or infinite do not count.
        """
        rows = []
        for (model, dataset), table in self.rows.groupby(["model", "dataset"], sort=False):
            for statistic in table.columns[3:]:
                values = table[statistic].replace([np.inf, -np.inf], np.nan).dropna()
                if len(values):
                    found = mean_interval(values, confidence)
                    rows.append((model, dataset, statistic, len(values), *found))
        columns = ["model", "dataset", "statistic", "images", "estimate", "low", "high", "method"]
        return pd.DataFrame(rows, columns=columns)


def measure_tail(
    models: Mapping[str, Restorer] | Sequence[Restorer],
    pairs: Sequence[ImagePair],
    top: float = TAIL,
) -> TailTable:
    """Measure how heavy the tail of each model's AD is, image by image.

    One image is held at a time. Under `torchrun` the processes share the images out, and each
    gets the whole table.

    Args:
        models: See `restorers_by_name`.
        pairs: The images.
        top: Share of the pixels that is the tail.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> models = {"bicubic": lambda lr: upsample_bicubic(lr, 4)}
        >>> table = measure_tail(models, photos(4)[1:2]).frame()
        >>> table[["gini", "l1_share"]].round(2).values.tolist()
        [[0.59, 0.4]]
    """
    rows = map_pairs(partial(_tails, restorers=restorers_by_name(models), top=top), pairs)
    return TailTable(pd.DataFrame(rows), top)


def _tails(
    pair: ImagePair, restorers: Mapping[str, PairRestorer], top: float
) -> list[dict[str, str | float]]:
    return [
        {"model": name, "dataset": pair.dataset, "image": pair.name}
        | tail_statistics(absolute_difference(restore(pair), pair.hr), top)
        for name, restore in restorers.items()
    ]
