"""Pixel weights: functions of SR, HR and bicubic `(N, C, H, W)`, to put in front of L1 or L2.

They depend on nothing else, so that a run that is resumed sees the same weights again.
"""

from functools import cache

import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.focal.pixel_loss import Weight
from srlongtail.focal.weights import FocalParameters, Scope, focal_weight
from srlongtail.image.color import luma
from srlongtail.image.gradient import sobel


def constant(sr: Tensor, hr: Tensor, bicubic: Tensor, *, factor: float) -> Tensor:
    """Return one weight for all pixels.

    Adam divides the gradient by its own size, so that this is nearly without effect.

    >>> constant(*torch.rand(3, 1, 3, 8, 8), factor=0.5)
    tensor(0.5000)
    """
    return torch.full((), factor, dtype=sr.dtype, device=sr.device)


def sobel_weight(sr: Tensor, hr: Tensor, bicubic: Tensor, *, parameters: FocalParameters) -> Tensor:
    """Return Eq. 5 of Focal Pixel Learning with the gradient magnitude of HR as static prior.

    The gradient is Sobel's, of luma; one weight for all channels. This shows whether bicubic's
    error is a better prior than the edges that it mostly lies at.

    Args:
        sr, hr, bicubic: RGB, `(N, 3, H, W)`.
        parameters: alpha_sp, gamma_sp and scope.

    Example:
        >>> hr = torch.zeros(1, 3, 4, 4)
        >>> hr[..., 2:] = 1
        >>> sobel_weight(hr, hr, hr, parameters=FocalParameters())[0, 0, 0]
        tensor([0.5000, 1.3591, 1.3591, 0.5000])
    """
    p = parameters
    return focal_weight(sobel(luma(hr)), p.alpha_sp, p.gamma_sp, p.scope)


def error_power(sr: Tensor, hr: Tensor, bicubic: Tensor, *, power: float) -> Tensor:
    """Return the network's error to a power, `|SR - HR|^q`.

    In front of L1, the gradient is that of `|SR - HR|^(1 + q) / (1 + q)`. So this lies between
    L1 (q = 0) and L2 (q = 1).

    >>> error_power(torch.full((1, 1, 1, 1), 0.25), *torch.zeros(2, 1, 1, 1, 1), power=0.5).item()
    0.5
    """
    return (sr - hr).abs().pow(power)


def hardest_half(sr: Tensor, hr: Tensor, bicubic: Tensor, *, scope: Scope = "batch") -> Tensor:
    """Return weights with which the mean is over the half of the values with the larger error.

    Online hard example mining, of pixels: the easy half has weight 0. The other weights are equal,
    and the mean weight is 1.

    Args:
        sr, hr, bicubic: `(N, C, H, W)`.
        scope: The half of the batch, or of each "image". A process of a distributed run ranks its
            own part of the batch, also with "world".

    Source: Shrivastava, Gupta, Girshick, "Training region-based object detectors with online hard
    example mining", CVPR 2016, which ranks regions; here the examples are pixels and channels.

    Example:
        >>> sr, hr = torch.tensor([0.1, 0.4, 0.2, 0.3]).reshape(1, 1, 1, 4), torch.zeros(1, 1, 1, 4)
        >>> hardest_half(sr, hr, hr).flatten()
        tensor([0., 2., 0., 2.])
    """
    error = (sr - hr).abs()
    hard = (error > _quantile(error, 0.5, scope)).to(error.dtype)
    share = hard.mean()
    # Where at least half of the values share the largest error, none lies above the median.
    return torch.where(share > 0, hard / share.clamp(min=torch.finfo(share.dtype).tiny), 1)


def cut_above(weight: Weight, *, share: float, scope: Scope = "batch") -> Weight:
    """Return a weight that ignores the hardest pixels: 0 above a quantile of the weight.

    Args:
        weight: The weight to cut.
        share: Share of the values that are kept, such as 0.95.
        scope: See `hardest_half`.

    Source: Moser, Raue, Dengel, "A study in dataset pruning for image super-resolution", ICANN
    2024: training is better without the 5% of the training images with the largest loss. Here it
    is the 5% of the pixels with the largest weight.

    Example:
        >>> by_error = cut_above(lambda sr, hr, bicubic: (sr - hr).abs(), share=0.75)
        >>> sr, hr = torch.tensor([0.1, 0.4, 0.2, 0.3]).reshape(1, 1, 1, 4), torch.zeros(1, 1, 1, 4)
        >>> by_error(sr, hr, hr).flatten()
        tensor([0.1000, 0.0000, 0.2000, 0.3000])
    """

    def cut(sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        found = weight(sr, hr, bicubic)
        return found.where(found <= _quantile(found, share, scope), 0)

    return cut


def shuffled_in_space(weight: Weight) -> Weight:
    """Return a control: the same weights, each at another place of its image.

    The places are shuffled in the same random way in every image, channel and iteration.

    >>> hr = torch.rand(1, 3, 8, 8)
    >>> found = shuffled_in_space(lambda sr, hr, bicubic: hr)(hr, hr, hr)
    >>> torch.equal(found, hr), torch.equal(found.flatten(2).sort().values,
    ...     hr.flatten(2).sort().values)
    (False, True)
    """

    def shuffled(sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        found = weight(sr, hr, bicubic).flatten(2)
        places = _places(found.shape[2], found.device)
        return found.index_select(2, places).unflatten(2, sr.shape[2:])

    return shuffled


def of_another_image(weight: Weight) -> Weight:
    """Return a control: the weights of the next image of the batch; the last has the first's.

    Raises:
        InputError: When called with one image.

    Example:
        >>> hr = torch.rand(2, 3, 8, 8)
        >>> found = of_another_image(lambda sr, hr, bicubic: hr)(hr, hr, hr)
        >>> torch.equal(found[0], hr[1])
        True
    """

    def moved(sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        if len(sr) < 2:
            raise InputError("a batch of one image, expected others to take the weights of")
        return weight(sr, hr, bicubic).roll(-1, 0)

    return moved


def _quantile(values: Tensor, share: float, scope: Scope) -> Tensor:
    """Return the smallest value that has this share of all values at or below it.

    As torch's median does for a half. `torch.quantile` is limited to 16 million values.
    """
    flat = values.flatten(1) if scope == "image" else values.reshape(1, -1)
    rank = max(1, round(share * flat.shape[1]))
    return flat.kthvalue(rank, dim=1).values.reshape(-1, 1, 1, 1)


@cache
def _places(count: int, device: torch.device) -> Tensor:
    """Return a fixed random order. It is kept, because a CUDA graph cannot record the copy."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(count)).to(device)
