"""By how much an image is shifted against another, to a fraction of a pixel, blurred or flattened.

`fit_difference` has the formula; `find_shift` goes on from its first step, and `moved` undoes a
shift.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.color import luma

# Derivatives along an axis, of fourth order.
_SLOPE = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0]) / 12
_CURVE = torch.tensor([-1.0, 16.0, -30.0, 16.0, -1.0]) / 12
_REACH = 2  # pixels that these filters reach

_SIGMA = 1.5  # pixels; what lies above these frequencies differs between SR and HR
_MARGIN = 4  # pixels along the border that the blur and the spline reach, beside the derivatives
_SMALLEST = 24  # pixels a side
_STEPS = 8


class Shift(NamedTuple):
    """By how many pixels an SR image lies below, and to the right of, the HR image."""

    down: float
    right: float

    @property
    def size(self) -> float:
        """The larger of the two, without sign."""
        return max(abs(self.down), abs(self.right))

    def __str__(self) -> str:
        vertical = f"{abs(self.down):.2f} px {'down' if self.down >= 0 else 'up'}"
        horizontal = f"{abs(self.right):.2f} px {'right' if self.right >= 0 else 'left'}"
        return f"{vertical} and {horizontal}"


ALIGNED = Shift(0.0, 0.0)


class Difference(NamedTuple):
    """In what an image differs from another, as far as it is the same everywhere."""

    down: float
    """Pixels by which it lies below the other; negative: above."""
    right: float
    """Pixels by which it lies to the right of the other; negative: to the left."""
    blur: float
    """Variance of the Gaussian that it is blurred with, in pixels squared; negative: sharper."""
    gain: float
    """Its contrast over that of the other; 1 where both have none."""


def fit_difference(image: Tensor, reference: Tensor, border: int = 0) -> Difference:
    """Return shift, blur and gain of an image against another, by one least-squares fit.

    The difference d is fitted to the first terms of its Taylor series,

        d = c + (g - 1) (I - mean(I)) - r dI/drow - s dI/dcol + (v / 2) Laplacian(I),

    with I the mean of both images for the slopes, so that the error of a shift is of third order,
    and the reference elsewhere; what a gain does to shift and blur is taken out afterwards. All
    are found together, since one may look like another: a blurred image has a lower variance, but
    not a lower gain.

    Args:
        image: `(H, W)`, floating point, smooth enough for derivatives by differences.
        reference: The same of the other image.
        border: Pixels left out on each side, besides the two that the derivatives reach.

    Example:
        >>> rows = torch.arange(24.0).double()
        >>> below = lambda down: torch.sin((rows - down) / 3)[:, None] + torch.cos(rows / 2)
        >>> found = fit_difference(0.9 * below(0.25) + 2, below(0))
        >>> round(found.down, 2), round(found.gain, 2)
        (0.25, 0.9)
    """
    middle = (image + reference) / 2
    inside = (slice(_REACH, -_REACH), slice(_REACH, -_REACH))
    terms = [
        -_along(middle, _SLOPE, 0)[:, inside[1]],
        -_along(middle, _SLOPE, 1)[inside[0]],
        (_along(reference, _CURVE, 0)[:, inside[1]] + _along(reference, _CURVE, 1)[inside[0]]) / 2,
        (reference - reference.mean())[inside],
        torch.ones_like(reference)[inside],
        (image - reference)[inside],
    ]
    height, width = terms[0].shape
    kept = (slice(border, height - border), slice(border, width - border))
    *columns, difference = (term[kept].flatten().cpu() for term in terms)
    # An image without structure tells nothing: this driver returns the smallest solution, 0.
    matrix = torch.stack(columns, -1)
    found = torch.linalg.lstsq(matrix, difference[:, None], driver="gelsd").solution
    down, right, blur, gain, _ = found.flatten().tolist()
    gain += 1
    # The series is that of an image of the reference's contrast. Of unlike images, the gain says
    # nothing, and must not make the others large.
    contrast = max(gain, 0.5)
    slope = (1 + contrast) / 2 / contrast
    return Difference(down * slope, right * slope, blur / contrast, gain)


def find_shift(sr: Tensor, hr: Tensor) -> Shift:
    """Return the translation of an SR image against its HR image.

    The whole pixels come from the cross-correlation of the lumas; Gauss-Newton steps on the
    squared difference of the blurred lumas then find the fraction, each by `fit_difference`. Blur,
    noise and other errors that have no direction hardly change the result. An image without
    structure has no shift.

    Args:
        sr: Image of shape `(3, H, W)` in [0, 1].
        hr: Image of the same shape.

    Raises:
        InputError: The shapes differ, or the images are smaller than 24 x 24 pixels.

    Source: Lucas and Kanade, "An iterative image registration technique with an application to
    stereo vision", IJCAI 1981, for a translation of the whole image.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> hr = photos(4)[1].hr
        >>> print(find_shift(moved(hr, Shift(0.5, -0.25)), hr))
        0.50 px down and 0.25 px left
    """
    if sr.shape != hr.shape or min(hr.shape[-2:]) < _SMALLEST:
        raise InputError(
            f"images of {tuple(sr.shape)} and {tuple(hr.shape)}, expected one shape of at least "
            f"{_SMALLEST} x {_SMALLEST} pixels"
        )
    still, moving = (_blurred_luma(image) for image in (hr, sr))
    window = np.outer(np.hanning(still.shape[0]), np.hanning(still.shape[1]))
    flat = min(still.std(), moving.std()) < 1e-6
    if flat:
        return ALIGNED
    start, *_ = phase_cross_correlation(
        (moving - moving.mean()) * window, (still - still.mean()) * window, normalization=None
    )
    # A correlation of unlike images can peak anywhere; nobody shifts by a quarter of the image.
    found = np.where(np.abs(start) < np.array(still.shape) / 4, start, 0.0)
    for _ in range(_STEPS):
        aligned = ndimage.shift(moving, -found, order=3, mode="nearest")
        margin = _MARGIN + int(np.ceil(np.abs(found).max()))
        fitted = fit_difference(torch.from_numpy(aligned), torch.from_numpy(still), margin)
        step = np.array([fitted.down, fitted.right])
        if np.abs(found + step).max() > min(still.shape) / 4:
            break
        found = found + step
        if np.abs(step).max() < 1e-3:
            break
    return Shift(float(found[0]), float(found[1]))


def snapped(shift: Shift, scale: int, within: float = 0.03) -> Shift:
    """Return a shift whose parts are those that mistakes in resampling make, if close to them.

    Such mistakes shift by whole pixels, halves, or fractions of the scale: by multiples of
    1 / (2 scale) pixels.

    Args:
        shift: As measured.
        scale: SR pixels per LR pixel.
        within: How close, in pixels; what is farther away stays.

    Example:
        >>> snapped(Shift(0.49, 0.56), scale=4)
        Shift(down=0.5, right=0.56)
    """
    near = [round(part * 2 * scale) / (2 * scale) for part in shift]
    pairs = zip(shift, near, strict=True)
    return Shift(*(close if abs(part - close) <= within else part for part, close in pairs))


def moved(image: Tensor, shift: Shift) -> Tensor:
    """Return an image moved by a shift, by cubic spline; borders are mirrored.

    Args:
        image: `(C, H, W)`; nothing is clamped.
        shift: How far to move it.

    Example:
        >>> step = (torch.arange(32) >= 16).double().expand(3, 32, 32)
        >>> moved(step, Shift(0, 1))[0, 16, 15:19].round(decimals=4)
        tensor([0., 0., 1., 1.], dtype=torch.float64)
    """
    planes = image.detach().cpu().double().numpy()
    # One plane at a time: the spline would otherwise run over the channels, too.
    shifted = [ndimage.shift(plane, shift, order=3, mode="reflect") for plane in planes]
    return torch.from_numpy(np.stack(shifted)).to(image)


def _blurred_luma(image: Tensor) -> NDArray[np.float64]:
    plane = luma(image.detach().cpu().double())[0].numpy()
    return ndimage.gaussian_filter(plane, _SIGMA, mode="nearest")


def _along(plane: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Return a plane correlated with a filter along one axis, inside the plane alone."""
    shape = (-1, 1) if axis == 0 else (1, -1)
    return F.conv2d(plane[None, None], taps.to(plane).reshape(1, 1, *shape))[0, 0]
