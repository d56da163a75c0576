"""The loss of Focal Pixel Learning (Eq. 6 and 7 of the paper)."""

from functools import reduce

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.focal.weights import FocalParameters, focal_weight, structure_prior


class FocalPixelLoss(nn.Module):
    """Mean of `W(y_sp) * W(y_lp) * |f(x) - target|^p`; no gradient flows through the weights.

    Each of the three parts can be switched off. With all three off, it is the plain L1 (p = 1) or
    L2 (p = 2) loss of a network that predicts the image.

    Args:
        skip: Use the residual over bicubic as target (Eq. 6); if False, use HR.
        static: Weight by bicubic's error (Eq. 3).
        learnable: Weight by the network's own error (Eq. 4).
        focal: Alphas, gammas and scope of the weights; default: the paper's.
        p: Exponent, 1 or 2; 1 in the paper.

    Example:
        >>> loss = FocalPixelLoss(static=False, learnable=False)
        >>> hr, bicubic = torch.rand(2, 1, 3, 8, 8)
        >>> torch.equal(loss(torch.zeros_like(hr), hr, bicubic), (hr - bicubic).abs().mean())
        True
    """

    def __init__(
        self,
        *,
        skip: bool = True,
        static: bool = True,
        learnable: bool = True,
        focal: FocalParameters | None = None,
        p: int = 1,
    ) -> None:
        super().__init__()
        if p not in (1, 2):
            raise InputError(f"p {p}, expected 1 or 2")
        self.skip = skip
        self.static = static
        self.learnable = learnable
        self.focal = focal or FocalParameters()
        self.p = p

    def forward(self, output: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the loss of a batch.

        Args:
            output: f(x), the residual if `skip` is on, else the image; `(N, C, H, W)`.
            hr: y, in [0, 1], of the same shape.
            bicubic: f_BI(x), the enlarged LR images, of the same shape.
        """
        target = hr - bicubic if self.skip else hr
        distance = (output - target).abs()
        error = distance if self.p == 1 else distance.square()
        p, weights = self.focal, []
        if self.static:
            prior = structure_prior(hr, bicubic)
            weights.append(focal_weight(prior, p.alpha_sp, p.gamma_sp, p.scope))
        if self.learnable:
            prior = structure_prior(target, output)
            weights.append(focal_weight(prior, p.alpha_lp, p.gamma_lp, p.scope))
        if weights:  # multiply the weights first: they carry no gradient
            error = error * reduce(torch.mul, weights)
        return torch.mean(error)
