"""Degradations: how an LR image is made from an HR image."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image import DegradationName
from srlongtail.image.io import quantize
from srlongtail.image.resample import imresize


class Degradation(Protocol):
    """A function that makes an LR image; `key` (the image's name) seeds any random part."""

    @property
    def scale(self) -> int: ...

    @property
    def name(self) -> str: ...

    def __call__(self, hr: Tensor, key: str = "") -> Tensor: ...


@dataclass(frozen=True)
class Bicubic:
    """MATLAB's bicubic in floating point, then rounded once to 8 bits (Tables 1, 2 and 4).

    Example:
        >>> Bicubic(scale=4)(torch.rand(3, 24, 12)).shape
        torch.Size([3, 6, 3])
    """

    name: ClassVar[DegradationName] = "bicubic"
    scale: int

    def __call__(self, hr: Tensor, key: str = "") -> Tensor:
        """Return LR `(..., H/scale, W/scale)` on 256 levels for HR `(..., H, W)` in [0, 1]."""
        return quantize(imresize(hr, 1 / self.scale))


@dataclass(frozen=True)
class BlurNoise:
    """Eq. 8 of the paper (Table 3): bicubic downsampling, Gaussian blur, white Gaussian noise.

    The paper does not state how it treats borders and values. Here the border pixels are repeated
    for the blur, and the result is clipped and rounded to 8 bits once, at the end. The noise
    depends only on `seed` and `key`, not on the order of the images.

    Args:
        scale: Factor of the bicubic downsampling.
        kernel_size: Number of taps of the blur along each axis, odd.
        sigma: Standard deviation of the blur, in LR pixels.
        noise: Standard deviation of the noise, in levels of 255.
        seed: Seed of the noise, together with each image's `key`.

    Example:
        >>> degrade = BlurNoise(scale=4)
        >>> hr = torch.rand(3, 24, 24)
        >>> bool((degrade(hr, "baby") == degrade(hr, "baby")).all())
        True
    """

    name: ClassVar[DegradationName] = "blur-noise"
    scale: int
    kernel_size: int = 3
    sigma: float = 5.0
    noise: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise InputError(f"kernel_size {self.kernel_size}, expected a positive odd number")

    def __call__(self, hr: Tensor, key: str = "") -> Tensor:
        """Return LR `(..., C, H/scale, W/scale)` on 256 levels for HR in [0, 1]."""
        lr = self._blur(imresize(hr, 1 / self.scale))
        digest = hashlib.sha256(f"{self.seed}/{key}".encode()).digest()
        seed = int.from_bytes(digest[:8], "big", signed=True)
        # Drawn on the CPU, because each device type has its own random sequence.
        noise = torch.randn(lr.shape, generator=torch.Generator().manual_seed(seed)).to(lr)
        return quantize(lr + noise * (self.noise / 255))

    def _blur(self, image: Tensor) -> Tensor:
        radius = self.kernel_size // 2
        offsets = torch.arange(-radius, radius + 1).to(image)
        taps = torch.exp(-(offsets**2) / (2 * self.sigma**2))
        kernel = torch.outer(taps, taps) / taps.sum() ** 2
        planes = image.reshape(-1, 1, *image.shape[-2:])
        padded = F.pad(planes, (radius,) * 4, mode="replicate")
        return F.conv2d(padded, kernel[None, None]).reshape(image.shape)


def named_degradation(name: DegradationName, scale: int) -> Degradation:
    """Return the degradation with a name from a recipe or the command line.

    Raises:
        InputError: The name is unknown.

    Example:
        >>> named_degradation("blur-noise", scale=2)
        BlurNoise(scale=2, kernel_size=3, sigma=5.0, noise=5.0, seed=0)
    """
    kinds: dict[str, type[Bicubic] | type[BlurNoise]] = {k.name: k for k in (Bicubic, BlurNoise)}
    if name not in kinds:
        raise InputError(f"degradation {name!r}, expected one of {', '.join(kinds)}")
    return kinds[name](scale)
