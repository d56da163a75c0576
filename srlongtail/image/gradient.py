"""The gradient of an image."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_SOBEL = torch.tensor([[-0.25, -0.5, -0.25], [0.0, 0.0, 0.0], [0.25, 0.5, 0.25]])


def sobel(planes: Tensor) -> Tensor:
    """Return the gradient magnitude of every plane, as scikit-image's `sobel` does.

    Sobel's 3 x 3 kernels over 4, the root of the mean square of the two directions, and the
    border pixel repeated outside. Sums are taken in scikit-image's order, so that ranks are the
    same as those of NumPy code.

    Args:
        planes: `(..., H, W)`, floating point.

    Returns:
        Tensor like `planes`.

    Example:
        >>> edge = torch.zeros(4, 4)
        >>> edge[:, 2:] = 1
        >>> sobel(edge)[1]
        tensor([0.0000, 0.7071, 0.7071, 0.0000])
    """
    height, width = planes.shape[-2:]
    padded = F.pad(planes.reshape(-1, 1, height, width), (1, 1, 1, 1), mode="replicate")
    square = torch.zeros_like(planes)
    for kernel in (_SOBEL, _SOBEL.T):
        response = torch.zeros_like(planes).reshape(-1, 1, height, width)
        for row, column in kernel.nonzero().tolist():
            shifted = padded[..., row : row + height, column : column + width]
            response += float(kernel[row, column]) * shifted
        square += response.square().reshape(planes.shape)
    return square.sqrt() / math.sqrt(2)
