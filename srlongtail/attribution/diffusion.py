"""How far an attribution spreads: diffusion index, effective pixels, and attributed pixels."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.stats import effective_number, gini


def map_gini(absolute: Tensor, offset: float = 0.0) -> float:
    """Return the Gini coefficient of an absolute map over its whole canvas, 0 to 1.

    For a map that is 0 everywhere it is 1, the limit as fewer and fewer pixels are used.

    Args:
        absolute: `(h, w)`, non-negative.
        offset: Added to every pixel. The published code adds 1e-7 to maps whose largest value
            is 1. On a large canvas the offsets outweigh the map: on 512 x 512 LR pixels they
            raise an n_eff of 40 to about 270.

    Example:
        >>> map_gini(torch.eye(4))
        0.75
    """
    if not absolute.any():
        return 1.0
    return gini((absolute + offset).double().cpu().numpy())


def diffusion_index(absolute: Tensor, offset: float = 0.0) -> float:
    """Return DI = (1 - Gini) * 100, in percent of the canvas, of an absolute map `(h, w)`.

    DI depends on the size of the canvas. Compare it only between canvases of equal size, or compare
    `effective_pixels` instead. Source: Gu and Dong, CVPR 2021.

    Example:
        >>> diffusion_index(torch.ones(4, 4))
        100.0
    """
    return (1 - map_gini(absolute, offset)) * 100


def effective_pixels(absolute: Tensor, offset: float = 0.0) -> float:
    """Return n_eff = (1 - Gini) * pixels, which does not depend on the size of the canvas.

    A map of k equal pixels among zeros has n_eff = k.

    Example:
        >>> effective_pixels(torch.eye(4))
        4.0
    """
    if not absolute.any():
        return 0.0
    return effective_number((absolute + offset).double().cpu().numpy())


def attributed_pixels(absolute: Tensor, share: float = 0.95) -> Tensor:
    """Return a mask `(h, w)` of the smallest set of pixels that holds a share of the whole map.

    Example:
        >>> attributed_pixels(torch.tensor([[0.0, 6.0], [3.0, 1.0]]), 0.9)
        tensor([[False,  True],
                [ True, False]])
    """
    if not 0 < share <= 1:
        raise InputError(f"share {share}, expected above 0 and at most 1")
    values, order = absolute.double().flatten().sort(descending=True, stable=True)
    before = values.cumsum(0) - values
    # Rounding errors of the sums must not add one more pixel.
    wanted = (before < share * values.sum() * (1 - 1e-12)) & (values > 0)
    mask = torch.zeros_like(values, dtype=torch.bool)
    mask[order] = wanted
    return mask.reshape(absolute.shape)


def density(absolute: Tensor) -> Tensor:
    """Return a Gaussian kernel density of a map's pixels, scaled to a maximum of 1.

    The kernel has the covariance of the map, scaled by Scott's rule, as in
    `scipy.stats.gaussian_kde(pixels, weights=map)`, which the published code calls. On the pixel
    grid the sum over all pairs of pixels is a convolution. An FFT computes it in O(N log N) instead
    of O(N^2).

    Args:
        absolute: `(h, w)`, non-negative.

    Returns:
        `(h, w)` in [0, 1]. If all pixels of a map lie on one line, the covariance is singular, and
        the map is only scaled.

    Example:
        >>> density(torch.rand(8, 8)).max().item()
        1.0
    """
    from scipy.signal import fftconvolve  # slow to import, and what is drawn again needs it not

    weights = absolute.double().cpu().numpy()
    covariance = _kernel_covariance(weights)
    smooth = weights
    if np.linalg.matrix_rank(covariance, hermitian=True) == 2:
        # The kernel at every possible offset between two pixels of the canvas.
        height, width = weights.shape
        rows, columns = np.arange(1 - height, height)[:, None], np.arange(1 - width, width)
        (a, b), (_, c) = np.linalg.inv(covariance)
        kernel = np.exp(-0.5 * (a * rows**2 + 2 * b * rows * columns + c * columns**2))
        smooth = fftconvolve(weights, kernel, mode="valid")
        smooth = smooth.clip(min=0)  # an FFT gives about -1e-17 instead of 0
    return torch.from_numpy(smooth / max(smooth.max(), math.ulp(0.0))).to(absolute)


def _kernel_covariance(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of the pixels' (row, column), times Scott's factor squared."""
    total = weights.sum()
    if total == 0:
        return np.zeros((2, 2))
    shares = weights.ravel() / total
    pixels = np.indices(weights.shape).reshape(2, -1)
    count = 1 / np.square(shares).sum()  # Kish's effective number
    if count <= 1 + 1e-12:
        return np.zeros((2, 2))
    return np.cov(pixels, aweights=shares) * count ** (-2 / 6)
