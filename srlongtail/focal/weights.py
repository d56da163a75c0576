"""Structure priors and the weights computed from them (Eq. 3 to 5 of the paper)."""

from dataclasses import dataclass
from functools import reduce
from math import log
from typing import Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor

from srlongtail.errors import InputError

Scope = Literal["batch", "world", "image"]


@dataclass(frozen=True)
class FocalParameters:
    """The parameters of Eq. 5 for the static (sp) and learnable (lp) priors; the paper's values.

    Args:
        alpha_sp, alpha_lp: Weight of the pixel with the smallest prior; positive.
        gamma_sp, gamma_lp: Growth of the weight, which runs from alpha to alpha * exp(gamma).
        scope: The pixels over which the minimum and maximum of the priors are computed: "batch",
            the whole batch, as in the authors' code, so that a pixel's weight depends on the other
            images of the batch; "world", the batches of all processes of a distributed run; or
            "image", each image by itself.
    """

    alpha_sp: float = 0.5
    gamma_sp: float = 1.0
    alpha_lp: float = 1.0
    gamma_lp: float = 1.0
    scope: Scope = "batch"

    def __post_init__(self) -> None:
        if min(self.alpha_sp, self.alpha_lp) <= 0:
            raise InputError(f"alpha {self.alpha_sp} and {self.alpha_lp}, expected both above 0")
        if self.scope not in get_args(Scope):
            raise InputError(f"scope {self.scope!r}, expected 'batch', 'world' or 'image'")


@dataclass(frozen=True)
class FocalWeights:
    """The static and learnable weights of every pixel and channel, and their product."""

    static: Tensor
    learnable: Tensor

    @property
    def combined(self) -> Tensor:
        """The weight that the loss applies (Eq. 7)."""
        return self.static * self.learnable


def structure_prior(target: Tensor, estimate: Tensor) -> Tensor:
    """Return the error of an estimate at every pixel, `|target - estimate|`, without gradient.

    The static prior (Eq. 3) compares HR with bicubic. The learnable prior (Eq. 4) compares the
    network's target with its prediction: HR with SR, or their residuals over bicubic.

    Example:
        >>> structure_prior(torch.tensor([1.0, 0.0]), torch.tensor([0.75, 0.5]))
        tensor([0.2500, 0.5000])
    """
    return (target - estimate).detach().abs_()


def focal_weight(prior: Tensor, alpha: float, gamma: float, scope: Scope = "batch") -> Tensor:
    """Return `alpha * exp(gamma * (z - min z) / (max z - min z))`, Eq. 5.

    Args:
        prior: z, `(N, C, H, W)`.
        alpha, gamma, scope: See `FocalParameters`.

    Returns:
        Weights with the shape of `prior`, from alpha to alpha * exp(gamma). For a constant prior,
        every weight is alpha.

    Example:
        >>> focal_weight(torch.tensor([[[[0.0, 1.0, 2.0]]]]), alpha=0.5, gamma=1.0)
        tensor([[[[0.5000, 0.8244, 1.3591]]]])
    """
    return alpha * _exponent_(prior.clone(), gamma, scope).exp2_()


def focal_weights(
    hr: Tensor, bicubic: Tensor, sr: Tensor, parameters: FocalParameters | None = None
) -> FocalWeights:
    """Return the weights of Eq. 7 for a batch `(N, C, H, W)` and a network's full SR images.

    With the bicubic skip, SR - HR equals f(x) - (HR - bicubic), so the prior is the same.

    Example:
        >>> hr, bicubic, sr = torch.rand(3, 1, 3, 8, 8)
        >>> weights = focal_weights(hr, bicubic, sr)
        >>> round(weights.static.min().item(), 4), round(weights.learnable.min().item(), 4)
        (0.5, 1.0)
    """
    p = parameters or FocalParameters()
    return FocalWeights(
        static=focal_map(sr, hr, bicubic, parameters=p, learnable=False),
        learnable=focal_map(sr, hr, bicubic, parameters=p, static=False),
    )


def focal_map(
    sr: Tensor,
    hr: Tensor,
    bicubic: Tensor,
    *,
    parameters: FocalParameters | None = None,
    static: bool = True,
    learnable: bool = True,
) -> Tensor:
    """Return the weight that the loss applies (Eq. 7), from one of the priors or from both.

    Args:
        sr, hr, bicubic: See `focal_weights`.
        parameters: Default: the paper's.
        static: Use the static prior.
        learnable: Use the learnable prior.

    Raises:
        InputError: Neither prior is used.

    Example:
        >>> hr, bicubic, sr = torch.rand(3, 1, 3, 8, 8)
        >>> weights = focal_weights(hr, bicubic, sr)
        >>> torch.allclose(focal_map(sr, hr, bicubic), weights.combined)
        True
    """
    p = parameters or FocalParameters()
    if not (static or learnable):
        raise InputError("neither the static nor the learnable prior, expected one or both")
    alpha, exponents = 1.0, []
    if static:
        alpha *= p.alpha_sp
        exponents.append(_exponent_(structure_prior(hr, bicubic), p.gamma_sp, p.scope))
    if learnable:
        alpha *= p.alpha_lp
        exponents.append(_exponent_(structure_prior(hr, sr), p.gamma_lp, p.scope))
    # One exponential of the sum, because it costs as much as all the rest.
    return reduce(Tensor.add_, exponents).exp2_().mul_(alpha)


def _exponent_(prior: Tensor, gamma: float, scope: Scope) -> Tensor:
    """Return `gamma * (z - min z) / (max z - min z) * log2(e)`, in the place of the prior z.

    The exponent is one for the base 2, because on a CPU torch's `exp2` is several times as fast as
    its `exp`.
    """
    axes = (1, 2, 3) if scope == "image" else (0, 1, 2, 3)
    low, high = prior.amin(axes, keepdim=True), prior.amax(axes, keepdim=True)
    if scope == "world" and dist.is_initialized():
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
    spread = torch.where(high > low, high - low, 1)
    return prior.sub_(low).mul_(gamma / log(2) / spread)
