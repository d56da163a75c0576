"""How an LR image is made from an HR one: frozen, callable, seeded."""

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
    """Makes an LR image of a given scale; `key` (the image's name) seeds what is random."""

    @property
    def scale(self) -> int: ...

    @property
    def name(self) -> str: ...

    def __call__(self, hr: Tensor, key: str = "") -> Tensor: ...


@dataclass(frozen=True)
class Bicubic:
    """MATLAB's bicubic in floating point, rounded to 8 bits once (Tables 1, 2 and 4).

    >>> Bicubic(scale=4)(torch.rand(3, 24, 12)).shape
    torch.Size([3, 6, 3])
    """

    name: ClassVar[DegradationName] = "bicubic"
    scale: int

    def __call__(self, hr: Tensor, key: str = "") -> Tensor:
        """`(..., H, W)` in [0, 1] -> `(..., H/scale, W/scale)` on 256 levels."""
        return quantize(imresize(hr, 1 / self.scale))


@dataclass(frozen=True)
class BlurNoise:
    """Eq. 8 of the paper (Table 3): bicubic down, then Gaussian blur, then white Gaussian noise.

    The paper leaves open what happens at borders and to the values. Here the border pixels are
    repeated for the blur, and the result is clipped and rounded to 8 bits once, at the end. The
    noise depends on `seed` and `key` alone, not on the order of the images.

    Args:
        scale: of the bicubic.
        kernel_size: taps of the blur along each axis, odd.
        sigma: of the blur, in LR pixels.
        noise: standard deviation, in levels of 255.

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
        """`(..., C, H, W)` in [0, 1] -> `(..., C, H/scale, W/scale)` on 256 levels."""
        lr = self._blur(imresize(hr, 1 / self.scale))
        digest = hashlib.sha256(f"{self.seed}/{key}".encode()).digest()
        seed = int.from_bytes(digest[:8], "big", signed=True)
        # Drawn on the CPU, because every device has a random sequence of its own.
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
    """Return the degradation of a name, as recipes and the command line give it.

    Raises:
        InputError: an unknown name.

    >>> named_degradation("blur-noise", scale=2)
    BlurNoise(scale=2, kernel_size=3, sigma=5.0, noise=5.0, seed=0)
    """
    kinds: dict[str, type[Bicubic] | type[BlurNoise]] = {k.name: k for k in (Bicubic, BlurNoise)}
    if name not in kinds:
        raise InputError(f"degradation {name!r}, expected one of {', '.join(kinds)}")
    return kinds[name](scale)
