"""From structure priors to weights (Eq. 3 to 5 of the paper)."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor

from srlongtail.errors import InputError

Scope = Literal["batch", "world", "image"]


@dataclass(frozen=True)
class FocalParameters:
    """The dials of Eq. 5 for the static (sp) and the learnable (lp) prior; the paper's values.

    Args:
        alpha_sp, alpha_lp: weight of a pixel whose prior is the smallest, positive.
        gamma_sp, gamma_lp: how much the weight grows; from alpha to alpha * exp(gamma).
        scope: over what the priors' smallest and largest values are taken: the whole "batch",
            as in the authors' code, so that a pixel's weight depends on its batch mates; the
            batches of all processes of a distributed run, "world"; or each "image" by itself.
    """

    alpha_sp: float = 0.5
    gamma_sp: float = 1.0
    alpha_lp: float = 1.0
    gamma_lp: float = 1.0
    scope: Scope = "batch"

    def __post_init__(self) -> None:
        if min(self.alpha_sp, self.alpha_lp) <= 0:
            raise InputError(f"alpha {self.alpha_sp} and {self.alpha_lp}, expected above 0")
        if self.scope not in get_args(Scope):
            raise InputError(f"scope {self.scope!r}, expected 'batch', 'world' or 'image'")


@dataclass(frozen=True)
class FocalWeights:
    """The static and the learnable weights of every pixel and channel, and their product."""

    static: Tensor
    learnable: Tensor

    @property
    def combined(self) -> Tensor:
        """The weight that the loss applies (Eq. 7)."""
        return self.static * self.learnable


def structure_prior(target: Tensor, estimate: Tensor) -> Tensor:
    """How far an estimate is off, pixel by pixel: `|target - estimate|`, without gradient.

    The static prior (Eq. 3) takes HR and bicubic. The learnable prior (Eq. 4) takes what the
    network shall predict and what it does predict: HR and SR, or their residuals over bicubic.

    >>> structure_prior(torch.tensor([1.0, 0.0]), torch.tensor([0.75, 0.5]))
    tensor([0.2500, 0.5000])
    """
    return (target - estimate).abs().detach()


def focal_weight(prior: Tensor, alpha: float, gamma: float, scope: Scope = "batch") -> Tensor:
    """`alpha * exp(gamma * (z - min z) / (max z - min z))`, Eq. 5.

    Args:
        prior: z, `(N, C, H, W)`.
        alpha, gamma, scope: see `FocalParameters`.

    Returns:
        Weights like `prior`, from alpha to alpha * exp(gamma). A constant prior marks no pixel
        as harder than another: every weight is alpha.

    >>> focal_weight(torch.tensor([[[[0.0, 1.0, 2.0]]]]), alpha=0.5, gamma=1.0)
    tensor([[[[0.5000, 0.8244, 1.3591]]]])
    """
    axes = (1, 2, 3) if scope == "image" else (0, 1, 2, 3)
    low, high = prior.amin(axes, keepdim=True), prior.amax(axes, keepdim=True)
    if scope == "world" and dist.is_initialized():
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
    spread = torch.where(high > low, high - low, 1)
    return alpha * torch.exp((prior - low) * (gamma / spread))


def focal_weights(
    hr: Tensor, bicubic: Tensor, sr: Tensor, parameters: FocalParameters | None = None
) -> FocalWeights:
    """The weights of Eq. 7 for a batch `(N, C, H, W)` and the full SR image of a network.

    With the bicubic skip, SR - HR and f(x) - (HR - bicubic) are the same, and so is the prior.

    >>> hr, bicubic, sr = torch.rand(3, 1, 3, 8, 8)
    >>> weights = focal_weights(hr, bicubic, sr)
    >>> round(weights.static.min().item(), 4), round(weights.learnable.min().item(), 4)
    (0.5, 1.0)
    """
    p = parameters or FocalParameters()
    return FocalWeights(
        static=focal_weight(structure_prior(hr, bicubic), p.alpha_sp, p.gamma_sp, p.scope),
        learnable=focal_weight(structure_prior(hr, sr), p.alpha_lp, p.gamma_lp, p.scope),
    )
