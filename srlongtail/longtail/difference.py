"""Absolute differences (AD) in luma, and their histogram over any number of images and models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from srlongtail.errors import InputError
from srlongtail.image.color import luma
from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import quantize
from srlongtail.longtail.restorers import Restorer, restorers_by_name

MAX_AD = 219  # luma runs from 16 to 235
BIN_WIDTH = 0.25
EDGES = np.linspace(0, MAX_AD, round(MAX_AD / BIN_WIDTH) + 1)


def absolute_difference(sr: Tensor, hr: Tensor) -> Tensor:
    """Return AD of luma, in levels of 255, as in Figure 1: `(..., 3, H, W)` -> `(..., H, W)`.

    Images are in [0, 1]. SR is rounded to 8 bits first, as it would be stored. Luma is BT.601 with
    values from 16 to 235, so AD is at most 219.

    >>> import torch
    >>> absolute_difference(torch.zeros(3, 1, 1), torch.ones(3, 1, 1)).round()
    tensor([[219.]])
    """
    return (luma(quantize(sr)) - luma(hr)).abs().squeeze(-3).mul(255)


@dataclass(frozen=True)
class DifferenceHistogram:
    """How many pixels have which AD, for each model; histograms of different images add up.

    Attributes:
        counts: Model -> number of pixels in each bin between `EDGES`.
        sums: Model -> sum of the AD of the pixels in each bin.
        zeros: Model -> number of pixels without any AD; they are in the first bin, too.
        images: Number of images measured.

    Example:
        >>> import torch
        >>> one = DifferenceHistogram.of({"bicubic": torch.tensor([[0.1, 10.2]])})
        >>> two = one + one
        >>> two.pixels, two.tail_share("bicubic", 5.0)
        (4, 0.5)
    """

    counts: Mapping[str, NDArray[np.int64]]
    sums: Mapping[str, NDArray[np.float64]]
    zeros: Mapping[str, int]
    images: int

    @classmethod
    def empty(cls, models: Iterable[str]) -> "DifferenceHistogram":
        """Return an empty histogram, the start of a sum."""
        models = list(models)
        bins = len(EDGES) - 1
        return cls(
            counts={model: np.zeros(bins, np.int64) for model in models},
            sums={model: np.zeros(bins) for model in models},
            zeros=dict.fromkeys(models, 0),
            images=0,
        )

    @classmethod
    def of(cls, differences: Mapping[str, Tensor]) -> "DifferenceHistogram":
        """Measure one image: model -> its AD map, any shape, in levels of 255."""
        counts: dict[str, NDArray[np.int64]] = {}
        sums: dict[str, NDArray[np.float64]] = {}
        zeros: dict[str, int] = {}
        for model, difference in differences.items():
            found = difference.detach().cpu()
            values = (found if found.dtype == torch.float64 else found.float()).numpy().ravel()
            missing = np.isnan(values)
            if missing.any():
                values = values[~missing]
            # The edges are exact in binary, also in float32, so this is numpy.histogram, which
            # takes 25 times as long. The largest AD may exceed the last edge by rounding.
            bins = (values / BIN_WIDTH).astype(np.intp)
            np.minimum(bins, len(EDGES) - 2, out=bins)
            counts[model] = np.bincount(bins, minlength=len(EDGES) - 1).astype(np.int64)
            sums[model] = np.bincount(bins, values, len(EDGES) - 1).astype(np.float64)
            zeros[model] = int(np.count_nonzero(values == 0))
        return cls(counts, sums, zeros, images=1)

    def __add__(self, other: "DifferenceHistogram") -> "DifferenceHistogram":
        if self.models != other.models:
            raise InputError(f"histograms of {self.models} and {other.models} do not add up")
        return DifferenceHistogram(
            {model: self.counts[model] + other.counts[model] for model in self.models},
            {model: self.sums[model] + other.sums[model] for model in self.models},
            {model: self.zeros[model] + other.zeros[model] for model in self.models},
            self.images + other.images,
        )

    @property
    def models(self) -> list[str]:
        """The models measured, in the order given."""
        return list(self.counts)

    @property
    def pixels(self) -> int:
        """The number of pixels of each model."""
        return int(next(iter(self.counts.values())).sum())

    def mean(self, model: str) -> float:
        """Return the mean AD."""
        return float(self.sums[model].sum() / self.pixels)

    def quantile(self, model: str, q: float) -> float:
        """Return the AD that a share `q` of the pixels is below."""
        return float(np.interp(q, self._share_below(model), EDGES))

    def tail_share(self, model: str, threshold: float) -> float:
        """Return the share of pixels whose AD is above `threshold`."""
        return float(1 - np.interp(threshold, EDGES, self._share_below(model)))

    def tail_error_share(self, model: str, threshold: float) -> float:
        """Return the share of the sum of AD that lies in pixels above `threshold`."""
        return float(1 - np.interp(threshold, EDGES, _cumulated_share(self.sums[model])))

    def lorenz(self, model: str) -> pd.DataFrame:
        """Return the Lorenz curve of all pixels: `pixel_share, error_share`, smallest AD first.

        Exact at the edges of the bins; compare `srlongtail.stats.lorenz`.
        """
        counts, sums = self.counts[model].copy(), self.sums[model]
        without = self.zeros[model]
        counts[0] -= without
        pixels = np.concatenate([[0, without], without + counts.cumsum()])
        error = np.concatenate([[0, 0], sums.cumsum()])
        filled = np.concatenate([[True, without > 0], counts > 0])
        total = max(error[-1], np.finfo(float).tiny)
        return pd.DataFrame(
            {"pixel_share": pixels[filled] / self.pixels, "error_share": error[filled] / total}
        )

    def hill(self, model: str, smallest: int = 100, largest_share: float = 0.2) -> pd.DataFrame:
        """Return the Hill plot of all pixels as a table; see `srlongtail.stats.hill_table`.

        The thresholds are edges of bins, and the values of a bin count as their mean, which moves
        the index by less than 0.1% where the threshold exceeds 2 levels.

        Args:
            model: One of the models.
            smallest: Number of pixels in the smallest tail; fewer give noise.
            largest_share: Share of the pixels in the largest tail.

        Returns:
            `k, threshold, tail_index, standard_error`; no row where tails are smaller.
        """
        counts, sums = self.counts[model][::-1], self.sums[model][::-1]
        filled = sums > 0
        logs = np.zeros(len(counts))
        logs[filled] = counts[filled] * np.log(sums[filled] / counts[filled])
        above, thresholds = counts.cumsum(), EDGES[-2::-1]
        shown = (above >= smallest) & (above <= largest_share * self.pixels) & (thresholds > 0)
        k, threshold = above[shown], thresholds[shown]
        index = k / (logs.cumsum()[shown] - k * np.log(threshold))
        table = {"k": k, "threshold": threshold, "tail_index": index}
        return pd.DataFrame({**table, "standard_error": index / np.sqrt(k)})

    def _share_below(self, model: str) -> NDArray[np.float64]:
        """Return the share of pixels below each of `EDGES`; at 0, of those that are exactly 0.

        If a network leaves flat areas unchanged, most pixels may be 0. Spread over the first bin
        like other pixels, they would give a median above 0.
        """
        shares = _cumulated_share(self.counts[model])
        shares[0] = self.zeros[model] / max(self.pixels, 1)
        return shares

    def frame(self, bin_width: float = 4.0) -> pd.DataFrame:
        """Return a table of wider bins: `model, ad_from, ad_to, pixels, share, error_share`."""
        step = round(bin_width / BIN_WIDTH)
        starts = np.arange(0, len(EDGES) - 1, step)
        tables = []
        for model in self.models:
            pixels = np.add.reduceat(self.counts[model], starts)
            error = np.add.reduceat(self.sums[model], starts)
            table = pd.DataFrame(
                {
                    "model": model,
                    "ad_from": EDGES[starts],
                    "ad_to": np.append(EDGES[starts[1:]], EDGES[-1]),
                    "pixels": pixels,
                    "share": pixels / self.pixels,
                    "error_share": error / max(error.sum(), np.finfo(float).tiny),
                }
            )
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def summary(self, threshold: float) -> pd.DataFrame:
        """Return one row per model: mean, median and high quantiles of AD, and tail shares."""
        rows = [
            {
                "model": model,
                "mean_ad": self.mean(model),
                "median_ad": self.quantile(model, 0.5),
                "q90_ad": self.quantile(model, 0.9),
                "q99_ad": self.quantile(model, 0.99),
                "tail_threshold": threshold,
                "tail_share": self.tail_share(model, threshold),
                "tail_error_share": self.tail_error_share(model, threshold),
            }
            for model in self.models
        ]
        return pd.DataFrame(rows)


def difference_histogram(
    models: Mapping[str, Restorer] | Sequence[Restorer], pairs: Iterable[ImagePair]
) -> DifferenceHistogram:
    """Return the AD histograms of any number of models, summed over the images.

    Args:
        models: See `restorers_by_name`.
        pairs: The images; only one is held at a time.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> models = {"bicubic": lambda lr: upsample_bicubic(lr, 4)}
        >>> round(difference_histogram(models, photos(4)[1:2]).mean("bicubic"), 1)
        4.2
    """
    restorers = restorers_by_name(models)
    total = DifferenceHistogram.empty(restorers)
    for pair in tqdm(pairs, disable=None, unit="image"):
        total += DifferenceHistogram.of(
            {name: absolute_difference(f(pair), pair.hr) for name, f in restorers.items()}
        )
    return total


def _cumulated_share(bins: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the total below each of `EDGES`."""
    return np.concatenate([[0], bins.cumsum()]) / max(bins.sum(), np.finfo(float).tiny)
