"""Image quality: PSNR, SSIM, and the evaluation protocols of papers."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.geometry import Box
from srlongtail.image.color import luma
from srlongtail.image.io import to_levels
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
    mse = (a.double() - b).square().mean((-3, -2, -1))
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
    over the channels. Differentiable.

    Computed in float64. For uint8 images and the uniform kernel, means and covariances are whole
    numbers of 1 / 49^2 without any rounding. This takes half the time; only the quotient of each
    pixel is float32, and changes the result by about 1e-8.

    Args:
        a: Images of shape `(..., C, H, W)`, floating point or uint8.
        b: Images of the same shape.
        kernel: The convention, "uniform" or "gaussian".
        data_range: Distance between the smallest and the largest possible value.

    Returns:
        One float64 value per leading index, of shape `(...)`.

    Raises:
        InputError: The shapes differ, have fewer than three dimensions, or are smaller than the
            kernel; or the convention is unknown.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004.

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
    of_levels = kernel == "uniform" and a.dtype == b.dtype == torch.uint8
    dtype = torch.int32 if of_levels else torch.float64
    planes_at_once = max(1, _TILE_BYTES // (height * width * dtype.itemsize))
    pairs = zip(
        a.flatten(0, -3).split(planes_at_once), b.flatten(0, -3).split(planes_at_once), strict=True
    )
    with _one_thread():
        means = torch.cat([_plane_ssim(x, y, settings, data_range, dtype) for x, y in pairs])
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
        # Rounded in float64, so that the levels are exact whatever the images' dtype.
        a, b = (to_levels(inner.cut(image).double()) for image in (sr, hr))
        if self.channels == "rgb":
            a, b, peak = a.to(torch.uint8), b.to(torch.uint8), 255.0
        else:
            a, b, peak = luma(a / 255), luma(b / 255), 1.0
        return Score(psnr(a, b, peak).item(), ssim(a, b, self.kernel, peak).item())

    def smallest_side(self, scale: int) -> int:
        """Return the side of the smallest HR image that can be scored, in pixels.

        Example:
            >>> PAPER.smallest_side(scale=4)
            15
        """
        border = scale if self.border is None else self.border
        return 2 * border + len(_kernel(self.kernel).taps)


class _Kernel(NamedTuple):
    taps: tuple[float, ...]  # the kernel is separable: weights along one axis
    covariance_factor: float


_GAUSSIAN = [math.exp(-(offset**2) / (2 * 1.5**2)) for offset in range(-5, 6)]
_KERNELS = {
    "uniform": _Kernel(taps=(1,) * 7, covariance_factor=49 / 48),
    "gaussian": _Kernel(tuple(tap / sum(_GAUSSIAN) for tap in _GAUSSIAN), covariance_factor=1.0),
}

# Planes of a tile of this size, in bytes, stay in the cache, which makes SSIM several times faster
# than on whole images. Smaller tiles are slower because they overlap, and because an operation on
# few values takes as long as on many.
_TILE_BYTES = 2**19
_TILE_COLUMNS = 512


@contextmanager
def _one_thread() -> Iterator[None]:
    """Restrict torch to one CPU thread: operations on a tile are too short to divide.

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


def _plane_ssim(
    x: Tensor, y: Tensor, kernel: _Kernel, data_range: float, dtype: torch.dtype
) -> Tensor:
    """Return the mean SSIM of each plane of `(N, H, W)`, computed in tiles, in float64 or int32."""
    overlap = len(kernel.taps) - 1
    height, width = (side - overlap for side in x.shape[-2:])
    columns = min(width, _TILE_COLUMNS)
    rows = max(1, _TILE_BYTES // (columns * dtype.itemsize))
    total = x.new_zeros(len(x), dtype=torch.float64)
    for top, left in product(range(0, height, rows), range(0, width, columns)):
        tile = (..., slice(top, top + rows + overlap), slice(left, left + columns + overlap))
        tile_map = _ssim_map(x[tile].to(dtype), y[tile].to(dtype), kernel, data_range)
        total = total + tile_map.sum((-2, -1), dtype=torch.float64)
    return total / (height * width)


def _ssim_map(x: Tensor, y: Tensor, kernel: _Kernel, data_range: float) -> Tensor:
    """Return SSIM at every inner position, in float64; of integers in float32.

    Means are sums over the kernel here, and products of means and covariances are multiplied by
    the square of the kernel's total. Of 8-bit integers, they fit in 32 bits.
    """
    # Reading and writing planes takes most of the time, so the terms are arranged for few
    # operations: covariances are negative, and both factors of the numerator are halved.
    squares_of_both = torch.addcmul(x * x, y, y)
    sum_x, sum_y, sum_squares, sum_xy = _weighted_sums((x, y, squares_of_both, x * y), kernel.taps)
    total = sum(kernel.taps) ** 2
    means, squares = sum_x * sum_y, torch.addcmul(sum_x * sum_x, sum_y, sum_y)
    covariance = torch.sub(means, sum_xy, alpha=total)
    variances = torch.sub(squares, sum_squares, alpha=total)
    means, squares, covariance, variances = (
        term if term.is_floating_point() else term.float()
        for term in (means, squares, covariance, variances)
    )
    c1, c2 = ((k * data_range * total) ** 2 for k in (0.01, 0.03))
    c2 /= kernel.covariance_factor  # divides two terms whose quotient is all that counts
    # In place wherever no value is overwritten that a gradient needs.
    numerator = means.add_(c1 / 2) * covariance.sub_(c2 / 2)
    return (numerator / (squares.add_(c1) * variances.sub_(c2))).mul_(4)


def _weighted_sums(planes: Sequence[Tensor], taps: tuple[float, ...]) -> Sequence[Tensor]:
    """Return the sums over the kernel around every inner position; faster than a convolution."""
    if set(taps) == {1}:
        size = len(taps)
        rows = (plane.unfold(-2, size, 1).sum(-1, dtype=plane.dtype) for plane in planes)
        return [_box_sum(row, -1, size) for row in rows]
    together = torch.stack(tuple(planes))  # many operations, so that fewer and longer ones pay
    for dim in (-2, -1):
        together = _weighted_sum(together, dim, taps)
    return together.unbind()


def _weighted_sum(images: Tensor, dim: int, taps: tuple[float, ...]) -> Tensor:
    """Return the sums over the kernel along an axis."""
    length = images.shape[dim] - len(taps) + 1
    total = images.narrow(dim, 0, length) * taps[0]
    for shift, tap in enumerate(taps[1:], start=1):
        total.add_(images.narrow(dim, shift, length), alpha=tap)
    return total


def _box_sum(images: Tensor, dim: int, size: int) -> Tensor:
    """Return the sums over `size` neighbors, made of sums over 1, 2, 4, ... of them."""
    length, covered = images.shape[dim] - size + 1, 0
    parts = []
    for bit in range(size.bit_length()):
        if bit:
            half = 1 << (bit - 1)
            rest = images.shape[dim] - half
            images = images.narrow(dim, 0, rest) + images.narrow(dim, half, rest)
        if size >> bit & 1:
            parts.append(images.narrow(dim, covered, length))
            covered += 1 << bit
    return sum(parts[1:], parts[0])


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
