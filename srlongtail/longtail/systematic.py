"""What is wrong alike everywhere in an SR image: its colors, its place, its sharpness, noise.

None of these is a long tail, and each is a mistake that can be mended without another network:
wrong normalization, another enlargement's half pixel, a filter, quantization. A healthy network
has none of them, because LR tells all four.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.color import luma_levels
from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import quantize
from srlongtail.image.resample import imresize
from srlongtail.longtail.restorers import PairRestorer, Restorer, map_pairs, restorers_by_name
from srlongtail.longtail.tail import HEAD, gradient_magnitude
from srlongtail.stats import Interval, mean_interval

# Filters along an axis of LR: a Gaussian of sigma 1, without which derivatives of an image at
# its Nyquist frequency are too small, and derivatives of fourth order.
_SMOOTH = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
_SLOPE = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0]) / 12
_CURVE = torch.tensor([-1.0, 16.0, -30.0, 16.0, -1.0]) / 12
SMALLEST = 16  # LR pixels along a side, below which nothing is told
_BORDER = 1  # LR pixels left out on each side, beside those that the filters reach
_NOISE = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])


class Systematic(NamedTuple):
    """What is wrong alike everywhere in one SR image."""

    offset_red: float
    """Mean of SR less that of HR, in levels of 255; likewise for green and blue."""
    offset_green: float
    offset_blue: float
    offset_share: float
    """Share of the mean squared error that these offsets make up, 0 to 1; 0 without an error."""
    shift_down: float
    """SR pixels by which SR lies below HR; negative: above."""
    shift_right: float
    """SR pixels by which SR lies to the right of HR; negative: to the left."""
    blur: float
    """Variance of the Gaussian that SR is blurred with, in SR pixels squared, among the
    frequencies that LR holds; negative: SR is sharper than HR there."""
    noise: float
    """Variance of white noise in the smooth half of SR less that of HR, in levels squared."""


def systematic_error(sr: Tensor, hr: Tensor, scale: int) -> Systematic:
    """Measure what is wrong alike everywhere in an SR image.

    Shift and blur are found together. Luma of SR and HR is reduced to LR, where even bicubic knows
    the answer, and the difference d is fitted by least squares to the first terms of its Taylor
    series,

        d = c - r dI/drow - s dI/dcol + (v / 2) Laplacian(I),

    with I the mean of both for the gradient, so that the error of a shift is of third order, and
    HR for the Laplacian. Noise is Immerkaer's estimate (Computer Vision and Image Understanding
    64(2), 1996), whose filter removes offsets and slopes, over the half of the pixels where the
    gradient of HR is the smallest.

    Args:
        sr: `(3, H, W)`, rounded to 8 bits here.
        hr: In [0, 1], like `sr`.
        scale: SR pixels per LR pixel.

    Raises:
        InputError: Another shape than HR's, or fewer than 16 LR pixels along a side.

    Example:
        >>> hr = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) / 2
        >>> found = systematic_error(hr + 10 / 255, hr, 4)
        >>> round(found.offset_red), round(abs(found.shift_right), 2), round(abs(found.blur), 2)
        (10, 0.0, 0.0)
    """
    if sr.shape != hr.shape or min(hr.shape[-2:]) < SMALLEST * scale:
        raise InputError(
            f"SR of {tuple(sr.shape)} and HR of {tuple(hr.shape)}, expected two images of one "
            f"shape and at least {SMALLEST * scale} pixels along each side"
        )
    sr, hr = (quantize(image.detach().double()) for image in (sr, hr))
    error = (sr - hr).mul(255)
    offsets = error.mean((-2, -1))
    mse = error.square().mean()
    share = offsets.square().mean() / mse if mse > 0 else mse
    down, right, blur = _shift_and_blur(*(imresize(luma_levels(x), 1 / scale) for x in (sr, hr)))
    gradient = _inner(gradient_magnitude(hr), 1)
    smooth = gradient <= gradient.flatten().kthvalue(round(HEAD * gradient.numel())).values
    noise_sr, noise_hr = (
        _filtered(luma_levels(x)[0], _NOISE)[smooth].square().mean() / 36 for x in (sr, hr)
    )
    red, green, blue = offsets.tolist()
    return Systematic(
        red,
        green,
        blue,
        float(share),
        down * scale,
        right * scale,
        blur * scale**2,
        float(noise_sr - noise_hr),
    )


@dataclass(frozen=True)
class SystematicTable:
    """What is wrong alike everywhere, by model and image; tables of different images add up.

    Attributes:
        rows: One row per model and image: `model, dataset, image` and the fields of `Systematic`.
    """

    rows: pd.DataFrame

    @classmethod
    def empty(cls) -> "SystematicTable":
        """Return a table of no image."""
        return cls(pd.DataFrame(columns=["model", "dataset", "image", *Systematic._fields]))

    def frame(self) -> pd.DataFrame:
        """Return one row per model and image."""
        return self.rows

    def __add__(self, other: "SystematicTable") -> "SystematicTable":
        return SystematicTable(pd.concat([self.rows, other.rows], ignore_index=True))

    def mean(self, model: str, what: str) -> Interval:
        """Return the mean over images of one of the numbers, with its 95% interval.

        Args:
            model: Its name.
            what: A field of `Systematic`.
        """
        return mean_interval(self.rows.loc[self.rows["model"] == model, what])


def measure_systematic(
    models: Mapping[str, Restorer] | Iterable[Restorer], pairs: Sequence[ImagePair]
) -> SystematicTable:
    """Measure what is wrong alike everywhere in the SR images of some models.

    One image is held at a time. Under `torchrun` the processes share the images out, and each
    gets the whole table.

    Args:
        models: See `restorers_by_name`.
        pairs: The images.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.image.resample import upsample_bicubic
        >>> models = {"bicubic": lambda lr: upsample_bicubic(lr, 4)}
        >>> table = measure_systematic(models, photos(4)[1:2])
        >>> abs(table.mean("bicubic", "shift_down").estimate) < 0.02
        True
    """
    rows = map_pairs(partial(_rows, restorers=restorers_by_name(models)), pairs)
    return SystematicTable(
        pd.DataFrame(rows, columns=["model", "dataset", "image", *Systematic._fields])
    )


def _rows(pair: ImagePair, restorers: Mapping[str, PairRestorer]) -> list[tuple[str | float, ...]]:
    return [
        (
            name,
            pair.dataset,
            pair.name,
            *systematic_error(restore(pair).to(pair.hr.device), pair.hr, pair.scale),
        )
        for name, restore in restorers.items()
    ]


def _shift_and_blur(sr: Tensor, hr: Tensor) -> tuple[float, float, float]:
    """Return rows and columns of the shift, and the variance of the blur, of planes `(1, h, w)`."""
    sr, hr = (_along(_along(plane[0], _SMOOTH, 0), _SMOOTH, 1) for plane in (sr, hr))
    middle = (sr + hr) / 2
    terms = [
        -_along(middle, _SLOPE, 0)[:, 2:-2],
        -_along(middle, _SLOPE, 1)[2:-2],
        (_along(hr, _CURVE, 0)[:, 2:-2] + _along(hr, _CURVE, 1)[2:-2]) / 2,
        torch.ones_like(hr)[2:-2, 2:-2],
    ]
    matrix = torch.stack([_inner(term, _BORDER).flatten() for term in terms], -1)
    difference = _inner(sr - hr, _BORDER + 2).flatten()
    # An image without structure tells nothing: this driver returns the smallest solution, 0.
    found = torch.linalg.lstsq(matrix.cpu(), difference.cpu()[:, None], driver="gelsd").solution
    down, right, blur, _ = found.flatten().tolist()
    return down, right, blur


def _along(plane: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Return a plane correlated with a filter along one axis, inside the plane alone."""
    shape = (-1, 1) if axis == 0 else (1, -1)
    return F.conv2d(plane[None, None], taps.to(plane).reshape(1, 1, *shape))[0, 0]


def _filtered(plane: Tensor, kernel: Tensor) -> Tensor:
    """Return the response of a 3 x 3 kernel inside a plane: `(H, W)` -> `(H - 2, W - 2)`."""
    return F.conv2d(plane[None, None], kernel.to(plane)[None, None])[0, 0]


def _inner(plane: Tensor, border: int) -> Tensor:
    return plane[border:-border, border:-border]
