"""What is wrong alike everywhere in an SR image: colors, contrast, place, sharpness, noise.

None of these is a long tail, and each is a mistake that can be mended without another network:
wrong normalization, another enlargement's half pixel, a filter, quantization. A healthy network
has none of them, because LR tells all five.
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
from srlongtail.image.registration import fit_difference
from srlongtail.image.resample import imresize
from srlongtail.longtail.restorers import PairRestorer, Restorer, map_pairs, restorers_by_name
from srlongtail.longtail.tail import HEAD, gradient_magnitude
from srlongtail.stats import Interval, mean_interval

# Along each axis of LR, a Gaussian of sigma 1, without which derivatives of an image at its Nyquist
# frequency are too small.
_SMOOTH = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
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
    contrast_red: float
    """Contrast of SR over that of HR, around the mean; likewise for green and blue."""
    contrast_green: float
    contrast_blue: float
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

    Shift, blur and contrast are found together, by `fit_difference`: shift and blur of luma, and
    the contrast of each channel as the slope of SR on HR. SR and HR are reduced to LR before, where
    even bicubic knows the answer: at the frequencies that LR does not hold, every network returns
    less than HR has. Blur lowers the variance of SR, too, but not the slope at low frequencies.
    Noise is Immerkaer's estimate (Computer Vision and Image Understanding 64(2), 1996), whose
    filter removes offsets and slopes, over the half of the pixels where the gradient of HR is the
    smallest.

    Args:
        sr: `(3, H, W)`, rounded to 8 bits here.
        hr: In [0, 1], like `sr`.
        scale: SR pixels per LR pixel.

    Raises:
        InputError: Another shape than HR's, or fewer than 16 LR pixels along a side.

    Example:
        >>> hr = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) / 2
        >>> found = systematic_error(hr + 10 / 255, hr, 4)
        >>> round(found.offset_red), round(found.contrast_red, 2), round(abs(found.shift_right), 2)
        (10, 1.0, 0.0)
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
    small_sr, small_hr = (
        _reduced(torch.cat([image * 255, luma_levels(image)]), scale) for image in (sr, hr)
    )
    *channels, luma = (
        fit_difference(of_sr, of_hr, _BORDER)
        for of_sr, of_hr in zip(small_sr, small_hr, strict=True)
    )
    gradient = _inner(gradient_magnitude(hr), 1)
    smooth = gradient <= gradient.flatten().kthvalue(round(HEAD * gradient.numel())).values
    noise_sr, noise_hr = (
        _filtered(luma_levels(x)[0], _NOISE)[smooth].square().mean() / 36 for x in (sr, hr)
    )
    numbers = [
        *offsets.tolist(),
        float(share),
        *(channel.gain for channel in channels),
        luma.down * scale,
        luma.right * scale,
        luma.blur * scale**2,
        float(noise_sr - noise_hr),
    ]
    return Systematic._make(numbers)


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


def _reduced(image: Tensor, scale: int) -> Tensor:
    """Return an image `(C, H, W)` in the size of LR, smoothed for `fit_difference`."""
    small = imresize(image, 1 / scale)[:, None]
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        small = F.conv2d(small, _SMOOTH.to(small).reshape(shape))
    return small[:, 0]


def _filtered(plane: Tensor, kernel: Tensor) -> Tensor:
    """Return the response of a 3 x 3 kernel inside a plane: `(H, W)` -> `(H - 2, W - 2)`."""
    return F.conv2d(plane[None, None], kernel.to(plane)[None, None])[0, 0]


def _inner(plane: Tensor, border: int) -> Tensor:
    return plane[border:-border, border:-border]
