"""How close a restored image is to the true one: PSNR, SSIM, and the protocols of the papers."""

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

WindowName = Literal["uniform", "gaussian"]

_PAPER_TILES = Tiling(size=32, step=28)  # LR pixels


def psnr(a: Tensor, b: Tensor, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio of two images, in dB.

    PSNR = 10 log10(data_range^2 / MSE), with the squared error averaged over channels and
    pixels together, in float64: the value of scikit-image's `peak_signal_noise_ratio`. Nothing
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
    """Return the mean of images' PSNR, leaving out those that are restored perfectly.

    Their PSNR is infinite, and so would be any mean over them. Infinite where all are; NaN where
    there are none.

    Example:
        >>> mean_psnr([30.0, math.inf, 32.0])
        31.0
    """
    found = list(values)
    finite = [value for value in found if not math.isinf(value)]
    if not finite:
        return math.inf if found else math.nan
    return sum(finite) / len(finite)


def ssim(a: Tensor, b: Tensor, window: WindowName = "uniform", data_range: float = 1.0) -> Tensor:
    """Return the mean structural similarity of two images (1: equal).

    Two conventions are in use, and their values differ in the second decimal:

    - `"uniform"`: 7x7 box, sample covariance (divided by N - 1): the defaults of scikit-image.
    - `"gaussian"`: 11x11 Gaussian of sigma 1.5, population covariance: Wang et al. and most SR
      papers; scikit-image's `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

    In both K1 = 0.01, K2 = 0.03, and the mean is over the windows that lie wholly inside the
    image, then over the channels. Computed in float64; differentiable.

    Args:
        a: Images of shape `(..., C, H, W)`.
        b: Images of the same shape.
        window: Which of the two conventions.
        data_range: Distance between the smallest and the largest possible value.

    Returns:
        One float64 value per leading index, of shape `(...)`.

    Raises:
        InputError: The shapes differ, have fewer than three dimensions, or are smaller than the
            window; or the window is unknown.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004, equation 13.

    Example:
        >>> import torch
        >>> image = torch.rand(3, 16, 16)
        >>> ssim(image, image, window="gaussian")
        tensor(1., dtype=torch.float64)
    """
    _check_pair(a, b)
    settings = _window(window)
    height, width = a.shape[-2:]
    size = len(settings.taps)
    if min(height, width) < size:
        raise InputError(
            f"an image of {height}x{width} pixels is smaller than the {window} SSIM window "
            f"of {size}x{size}"
        )
    planes_at_once = max(1, _PIXELS_AT_ONCE // (height * width))
    pairs = zip(
        a.flatten(0, -3).split(planes_at_once), b.flatten(0, -3).split(planes_at_once), strict=True
    )
    with _one_thread():
        means = torch.cat([_plane_ssim(x, y, settings, data_range) for x, y in pairs])
    return means.reshape(a.shape[:-2]).mean(-1)


class Score(NamedTuple):
    """What a protocol measures on one image."""

    psnr_db: float
    ssim: float


@dataclass(frozen=True)
class Protocol:
    """How a paper scores SR: numbers of two protocols must never share a table.

    Attributes:
        name: What tables and files call it.
        channels: Score on `"rgb"`, or on `"y"`, the luma of BT.601 (see `luma`).
        window: Which SSIM (see `ssim`).
        border: Pixels left out on each side of the SR image; None leaves out `scale` pixels.
        tiled_datasets: Data sets whose images every network restores in tiles.
        tiled_architectures: Architectures that restore every image in tiles.
        tiles: Those tiles.

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
    window: WindowName
    border: int | None = None
    tiled_datasets: frozenset[str] = frozenset()
    tiled_architectures: frozenset[str] = frozenset()
    tiles: Tiling = _PAPER_TILES

    def __post_init__(self) -> None:
        if self.border is not None and self.border < 0:
            raise InputError(f"border {self.border}, expected 0 or more pixels")
        if self.channels not in ("rgb", "y"):
            raise InputError(f"channels must be 'rgb' or 'y', got {self.channels!r}")
        _window(self.window)

    def tiling(self, architecture: str | None, dataset: str) -> Tiling | None:
        """Return the tiles in which the protocol restores this data set; None: as a whole.

        Args:
            architecture: Name of the network's architecture; None if it is not known.
            dataset: Name of the data set. Letter case is of no account in either name.
        """
        tiled = _listed(dataset, self.tiled_datasets) or (
            architecture is not None and _listed(architecture, self.tiled_architectures)
        )
        return self.tiles if tiled else None

    def score(self, sr: Tensor, hr: Tensor, scale: int) -> Score:
        """Score one restored image: clamp, round to 8 bits, crop the border, compare.

        With `channels="y"` the luma is taken of the rounded RGB and not rounded again, as in
        BasicSR.

        Args:
            sr: Restored RGB image of shape `(3, H, W)`, nominally in [0, 1].
            hr: True image of the same shape.
            scale: The factor between LR and SR, which sets the border unless `border` does.

        Raises:
            InputError: The images differ in shape, are not single RGB images, or what the crop
                leaves is smaller than the SSIM window.
        """
        _check_pair(sr, hr)
        if sr.ndim != 3 or sr.shape[0] != 3:
            raise InputError(f"score needs one image of shape (3, H, W), got {tuple(sr.shape)}")
        border = scale if self.border is None else self.border
        height, width = sr.shape[-2:]
        size = len(_window(self.window).taps)
        if min(height, width) - 2 * border < size:
            raise InputError(
                f"an image of {height}x{width} pixels is too small: {border} are cropped on each "
                f"side, and the {self.window} SSIM window needs {size}x{size} of what is left"
            )
        inner = Box(border, border, height - border, width - border)
        # float64 first, so that the levels are exact whatever the images' dtype.
        a, b = (inner.cut(quantize(image.double())) for image in (sr, hr))
        if self.channels == "y":
            a, b = luma(a), luma(b)
        return Score(psnr(a, b).item(), ssim(a, b, self.window).item())

    def smallest_side(self, scale: int) -> int:
        """Return the smallest side of an HR image that can be scored, in pixels.

        Example:
            >>> PAPER.smallest_side(scale=4)
            15
        """
        border = scale if self.border is None else self.border
        return 2 * border + len(_window(self.window).taps)


class _Window(NamedTuple):
    taps: tuple[float, ...]  # the window is separable: weights along one side, of sum 1
    covariance_factor: float


_GAUSSIAN = [math.exp(-(offset**2) / (2 * 1.5**2)) for offset in range(-5, 6)]
_WINDOWS = {
    "uniform": _Window(taps=(1 / 7,) * 7, covariance_factor=49 / 48),
    "gaussian": _Window(tuple(tap / sum(_GAUSSIAN) for tap in _GAUSSIAN), covariance_factor=1.0),
}

# Strips of this size stay in the cache, which makes SSIM several times faster than on whole
# images; much smaller ones lose by their overlap.
_PIXELS_AT_ONCE = 2**16


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one CPU thread: operations on a strip are too short to share out.

    Two threads are a third faster on an idle machine; on a busy one, where they wait for each
    other after every operation, they are several times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _window(name: str) -> _Window:
    if name not in _WINDOWS:
        raise InputError(f"the SSIM window must be 'uniform' or 'gaussian', got {name!r}")
    return _WINDOWS[name]


def _plane_ssim(x: Tensor, y: Tensor, window: _Window, data_range: float) -> Tensor:
    """Mean SSIM of each plane of `(N, H, W)`, summed up over horizontal strips."""
    height, width = x.shape[-2:]
    overlap = len(window.taps) - 1
    rows = max(1, _PIXELS_AT_ONCE // width)
    total = x.new_zeros(len(x), dtype=torch.float64)
    for top in range(0, height - overlap, rows):
        strip = slice(top, top + rows + overlap)
        similarity = _ssim_map(x[:, strip].double(), y[:, strip].double(), window, data_range)
        total = total + similarity.sum((-2, -1))
    return total / ((height - overlap) * (width - overlap))


def _ssim_map(x: Tensor, y: Tensor, window: _Window, data_range: float) -> Tensor:
    moments = torch.stack((x, y, x * x + y * y, x * y))
    mean_x, mean_y, mean_squares, mean_xy = _weighted_mean(moments, window.taps)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    covariance = window.covariance_factor * (mean_xy - product)
    variances = window.covariance_factor * (mean_squares - squares)
    return (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))


def _weighted_mean(images: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Mean in every window that lies inside; adding shifted images beats a convolution here."""
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
    window="uniform",
    tiled_datasets=frozenset({"Test2K"}),
    tiled_architectures=frozenset({"SwinIR"}),
)
"""Tables 1 to 3 of the Focal Pixel Learning paper: RGB, 7x7 uniform SSIM."""

Y_CHANNEL = Protocol(name="y", channels="y", window="gaussian")
"""Table 4 of that paper (BSRN), and most SR papers: luma, Gaussian SSIM."""

PROTOCOLS = {protocol.name: protocol for protocol in (PAPER, Y_CHANNEL)}
"""The protocols by name."""
