"""Image quality: PSNR, SSIM, and the evaluation protocols of papers."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.geometry import Box
from srlongtail.image.color import luma
from srlongtail.image.io import quantize
from srlongtail.image.tiles import Tiling

KernelName = Literal["uniform", "gaussian"]

_PAPER_TILES = Tiling(size=32, step=28)  # LR pixels


def psnr(a: Tensor, b: Tensor, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio of two images, in dB.

    PSNR = 10 log10(data_range^2 / MSE). The squared error is averaged over all channels and
    pixels, in float64. The value equals that of scikit-image's `peak_signal_noise_ratio`. Nothing
    is clamped, rounded or cropped; a `Protocol` does that.

    Args:
        a: Images of shape `(..., C, H, W)`.
        b: Images of the same shape.
        data_range: Distance between the smallest and the largest possible value.

    Returns:
        One float64 value per leading index, of shape `(...)`; infinite where `a` equals `b`.

    Raises:
        InputError: The shapes differ, or have fewer than three dimensions.

    Example:
        >>> import torch
        >>> psnr(torch.zeros(3, 8, 8), torch.full((3, 8, 8), 0.1, dtype=torch.float64))
        tensor(20.0000, dtype=torch.float64)
    """
    _check_pair(a, b)
    mse = (a.double() - b.double()).square().mean((-3, -2, -1))
    return 10 * torch.log10(data_range**2 / mse)


def mean_psnr(values: Iterable[float]) -> float:
    """Return the mean PSNR of several images, without those that are restored perfectly.

    The PSNR of a perfect image is infinite and would make the mean infinite. The result is
    infinite if all images are perfect, and NaN if there are none.

    Args:
        values: PSNR of each image, in dB.

    Example:
        >>> mean_psnr([30.0, math.inf, 32.0])
        31.0
    """
    found = list(values)
    finite = [value for value in found if not math.isinf(value)]
    if not finite:
        return math.inf if found else math.nan
    return sum(finite) / len(finite)


def ssim(a: Tensor, b: Tensor, kernel: KernelName = "uniform", data_range: float = 1.0) -> Tensor:
    """Return the mean structural similarity of two images (1: equal).

    Two conventions are in use, and their values differ in the second decimal:

    - `"uniform"`: 7x7 box and sample covariance (divided by N - 1), the defaults of scikit-image.
    - `"gaussian"`: 11x11 Gaussian with sigma 1.5 and population covariance, as in Wang et al. and
      most SR papers; in scikit-image, `gaussian_weights=True, sigma=1.5,
      use_sample_covariance=False`.

    Both use K1 = 0.01 and K2 = 0.03. The mean is over all kernel positions inside the image, then
    over the channels. Computed in float64; differentiable.

    Args:
        a: Images of shape `(..., C, H, W)`.
        b: Images of the same shape.
        kernel: The convention, "uniform" or "gaussian".
        data_range: Distance between the smallest and the largest possible value.

    Returns:
        One float64 value per leading index, of shape `(...)`.

    Raises:
        InputError: The shapes differ, have fewer than three dimensions, or are smaller than the
            kernel; or the convention is unknown.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004, equation 13.

    Example:
        >>> import torch
        >>> image = torch.rand(3, 16, 16)
        >>> ssim(image, image, kernel="gaussian")
        tensor(1., dtype=torch.float64)
    """
    _check_pair(a, b)
    settings = _kernel(kernel)
    height, width = a.shape[-2:]
    size = len(settings.taps)
    if min(height, width) < size:
        raise InputError(
            f"an image of {height}x{width} pixels is smaller than the {kernel} SSIM kernel of "
            f"{size}x{size}"
        )
    planes_at_once = max(1, _PIXELS_AT_ONCE // (height * width))
    pairs = zip(
        a.flatten(0, -3).split(planes_at_once), b.flatten(0, -3).split(planes_at_once), strict=True
    )
    with _one_thread():
        means = torch.cat([_plane_ssim(x, y, settings, data_range) for x, y in pairs])
    return means.reshape(a.shape[:-2]).mean(-1)


class Score(NamedTuple):
    """PSNR in dB and SSIM of one image."""

    psnr_db: float
    ssim: float


@dataclass(frozen=True)
class Protocol:
    """The evaluation protocol of a paper; numbers of two protocols must never share a table.

    Attributes:
        name: Name in tables and files.
        channels: Score on `"rgb"`, or on `"y"`, the luma of BT.601 (see `luma`).
        kernel: The SSIM convention (see `ssim`).
        border: Pixels to crop on each side of the SR image; None crops `scale` pixels.
        tiled_datasets: Data sets whose images every network restores in tiles.
        tiled_architectures: Architectures that restore every image in tiles.
        tiles: The tiles to use in these cases.

    Example:
        >>> import torch
        >>> hr = torch.full((3, 24, 24), 0.4)
        >>> round(PAPER.score(hr + 10 / 255, hr, scale=4).psnr_db, 2)
        28.13
        >>> PAPER.tiling("swinir", "Set5")
        Tiling(size=32, step=28)
    """

    name: str
    channels: Literal["rgb", "y"]
    kernel: KernelName
    border: int | None = None
    tiled_datasets: frozenset[str] = frozenset()
    tiled_architectures: frozenset[str] = frozenset()
    tiles: Tiling = _PAPER_TILES

    def __post_init__(self) -> None:
        if self.border is not None and self.border < 0:
            raise InputError(f"border {self.border}, expected 0 or more pixels")
        if self.channels not in ("rgb", "y"):
            raise InputError(f"channels must be 'rgb' or 'y', got {self.channels!r}")
        _kernel(self.kernel)

    def tiling(self, architecture: str | None, dataset: str) -> Tiling | None:
        """Return the tiles in which the protocol restores this data set; None for whole images.

        Args:
            architecture: Name of the network's architecture, in any letter case; None if it is
                not known.
            dataset: Name of the data set, in any letter case.
        """
        tiled = _listed(dataset, self.tiled_datasets) or (
            architecture is not None and _listed(architecture, self.tiled_architectures)
        )
        return self.tiles if tiled else None

    def score(self, sr: Tensor, hr: Tensor, scale: int) -> Score:
        """Score one restored image: clamp, round to 8 bits, crop the border, compare.

        With `channels="y"`, the luma is computed from the rounded RGB image and not rounded
        again, as in BasicSR.

        Args:
            sr: Restored RGB image of shape `(3, H, W)`, nominally in [0, 1].
            hr: True image of the same shape.
            scale: Factor between LR and SR; it is the border if `border` is None.

        Raises:
            InputError: The images differ in shape, are not single RGB images, or are smaller than
                the SSIM kernel after cropping.
        """
        _check_pair(sr, hr)
        if sr.ndim != 3 or sr.shape[0] != 3:
            raise InputError(f"score needs one image of shape (3, H, W), got {tuple(sr.shape)}")
        border = scale if self.border is None else self.border
        height, width = sr.shape[-2:]
        size = len(_kernel(self.kernel).taps)
        if min(height, width) - 2 * border < size:
            raise InputError(
                f"an image of {height}x{width} pixels is too small: {border} are cropped on each "
                f"side, and the {self.kernel} SSIM kernel needs {size}x{size} of the rest"
            )
        inner = Box(border, border, height - border, width - border)
        # float64 first, so that the levels are exact whatever the images' dtype.
        a, b = (inner.cut(quantize(image.double())) for image in (sr, hr))
        if self.channels == "y":
            a, b = luma(a), luma(b)
        return Score(psnr(a, b).item(), ssim(a, b, self.kernel).item())

    def smallest_side(self, scale: int) -> int:
        """Return the side of the smallest HR image that can be scored, in pixels.

        Example:
            >>> PAPER.smallest_side(scale=4)
            15
        """
        border = scale if self.border is None else self.border
        return 2 * border + len(_kernel(self.kernel).taps)


class _Kernel(NamedTuple):
    taps: tuple[float, ...]  # the kernel is separable: weights along one axis, with sum 1
    covariance_factor: float


_GAUSSIAN = [math.exp(-(offset**2) / (2 * 1.5**2)) for offset in range(-5, 6)]
_KERNELS = {
    "uniform": _Kernel(taps=(1 / 7,) * 7, covariance_factor=49 / 48),
    "gaussian": _Kernel(tuple(tap / sum(_GAUSSIAN) for tap in _GAUSSIAN), covariance_factor=1.0),
}

# Strips of this size stay in the cache, which makes SSIM several times faster than on whole
# images. Much smaller strips are slower because they overlap.
_PIXELS_AT_ONCE = 2**16


@contextmanager
def _one_thread() -> Iterator[None]:
    """Restrict torch to one CPU thread: operations on a strip are too short to divide.

    On an idle machine, two threads are a third faster. On a busy machine they wait for each other
    after every operation and are several times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _kernel(name: str) -> _Kernel:
    if name not in _KERNELS:
        raise InputError(f"the SSIM kernel must be 'uniform' or 'gaussian', got {name!r}")
    return _KERNELS[name]


def _plane_ssim(x: Tensor, y: Tensor, kernel: _Kernel, data_range: float) -> Tensor:
    """Return the mean SSIM of each plane of `(N, H, W)`, computed in horizontal strips."""
    height, width = x.shape[-2:]
    overlap = len(kernel.taps) - 1
    rows = max(1, _PIXELS_AT_ONCE // width)
    total = x.new_zeros(len(x), dtype=torch.float64)
    for top in range(0, height - overlap, rows):
        strip = slice(top, top + rows + overlap)
        similarity = _ssim_map(x[:, strip].double(), y[:, strip].double(), kernel, data_range)
        total = total + similarity.sum((-2, -1))
    return total / ((height - overlap) * (width - overlap))


def _ssim_map(x: Tensor, y: Tensor, kernel: _Kernel, data_range: float) -> Tensor:
    moments = torch.stack((x, y, x * x + y * y, x * y))
    mean_x, mean_y, mean_squares, mean_xy = _weighted_mean(moments, kernel.taps)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    covariance = kernel.covariance_factor * (mean_xy - product)
    variances = kernel.covariance_factor * (mean_squares - squares)
    return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def _weighted_mean(images: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Return the kernel mean at every inner position; faster than a convolution here."""
    for dim in (-2, -1):
        length = images.shape[dim] - len(taps) + 1
        mean = images.narrow(dim, 0, length) * taps[0]
        for shift, tap in enumerate(taps[1:], start=1):
            mean.add_(images.narrow(dim, shift, length), alpha=tap)
        images = mean
    return images


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise InputError(f"the images differ in shape: {tuple(a.shape)} and {tuple(b.shape)}")
    if a.ndim < 3:
        raise InputError(f"expected images of shape (..., C, H, W), got {tuple(a.shape)}")


def _listed(name: str, names: frozenset[str]) -> bool:
    return name.casefold() in {listed.casefold() for listed in names}


PAPER = Protocol(
    name="paper",
    channels="rgb",
    kernel="uniform",
    tiled_datasets=frozenset({"Test2K"}),
    tiled_architectures=frozenset({"SwinIR"}),
)
"""Tables 1 to 3 of the Focal Pixel Learning paper: RGB, 7x7 uniform SSIM."""

Y_CHANNEL = Protocol(name="y", channels="y", kernel="gaussian")
"""Table 4 of that paper (BSRN), and most SR papers: luma, Gaussian SSIM."""

PROTOCOLS = {protocol.name: protocol for protocol in (PAPER, Y_CHANNEL)}
"""All protocols by name."""
