"""The losses by name: the one place that knows them all.

A loss in a training loop of one's own, here an L1 that is weighted by the gradient of HR:

>>> loss = make_loss("sobel")
>>> sr, hr, bicubic = torch.rand(3, 2, 3, 16, 16)
>>> loss(sr.requires_grad_(), hr, bicubic).backward()
"""

import hashlib
import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.focal.loss import FocalPixelLoss
from srlongtail.focal.pixel_loss import PixelLoss, Weight
from srlongtail.focal.weights import FocalParameters, focal_map
from srlongtail.losses.images import Charbonnier, FocalFrequencyLoss, GradientLoss, SSIMLoss
from srlongtail.losses.weights import (
    constant,
    cut_above,
    error_power,
    hardest_half,
    of_another_image,
    shuffled_in_space,
    sobel_weight,
)
from srlongtail.models.calls import Call
from srlongtail.models.diagnose_call import explained


@dataclass(frozen=True)
class LossEntry:
    """A loss, and what is to know about it.

    Attributes:
        build: Makes it, of the parameters of FPL, the exponent p, and named arguments of its own.
        title: Its name in figures and tables.
        source: Where it is from; empty for L1 and L2.
        control: Whether it is there to test a comparison of losses, and nobody's proposal.
    """

    build: Callable[..., nn.Module]
    title: str
    source: str = ""
    control: bool = False


def _weighted(make: Callable[..., Weight]) -> Callable[..., nn.Module]:
    """Return what builds L1 or L2 behind a weight, of the parameters of FPL."""
    return lambda focal, p, **own: PixelLoss(make(focal, **own), p)


def _fixed(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Return what builds a loss that has neither the parameters of FPL nor an exponent."""

    def build(focal: FocalParameters, p: int, **own: object) -> nn.Module:
        if p != 1:
            raise InputError(f"p {p}, expected 1, because this loss has no exponent to choose")
        return make(**own)

    return build


def _fpl(focal: FocalParameters) -> Weight:
    return partial(focal_map, parameters=focal)


_GOU = "Gou et al., CVPR 2023"

LOSSES: dict[str, LossEntry] = {
    "l1": LossEntry(_fixed(PixelLoss), "L1"),
    "l2": LossEntry(lambda focal, p: PixelLoss(p=2), "L2"),
    "charbonnier": LossEntry(_fixed(Charbonnier), "Charbonnier", "Lai et al., CVPR 2017"),
    "fpl": LossEntry(lambda focal, p: FocalPixelLoss(focal=focal, p=p), "FPL", _GOU),
    "static": LossEntry(
        lambda focal, p: FocalPixelLoss(learnable=False, focal=focal, p=p), "static prior", _GOU
    ),
    "learnable": LossEntry(
        lambda focal, p: FocalPixelLoss(static=False, focal=focal, p=p), "learnable prior", _GOU
    ),
    "sobel": LossEntry(
        _weighted(lambda focal: partial(sobel_weight, parameters=focal)),
        "Sobel of HR",
        "the weight of Gou et al., CVPR 2023, of another prior",
    ),
    "error-power": LossEntry(
        _weighted(lambda focal, power=0.5: partial(error_power, power=power)),
        "error to a power",
        "the gradient of a norm between L1 and L2",
    ),
    "hardest-half": LossEntry(
        _weighted(lambda focal: partial(hardest_half, scope=focal.scope)),
        "hardest half",
        "Shrivastava et al., CVPR 2016",
    ),
    "fpl-cut": LossEntry(
        _weighted(lambda focal, share=0.95: cut_above(_fpl(focal), share=share, scope=focal.scope)),
        "FPL without its top 5%",
        "Moser et al., ICANN 2024",
    ),
    "focal-frequency": LossEntry(
        _fixed(FocalFrequencyLoss), "focal frequency", "Jiang et al., ICCV 2021"
    ),
    "gradient": LossEntry(_fixed(GradientLoss), "gradient + L1", "Mathieu et al., ICLR 2016"),
    "ssim-l1": LossEntry(_fixed(SSIMLoss), "SSIM + L1", "Zhao et al., IEEE TCI 2017"),
    "l1-half": LossEntry(
        _weighted(lambda focal: partial(constant, factor=0.5)),
        "L1 times 0.5",
        "Adam is nearly blind to a constant factor",
        control=True,
    ),
    "fpl-shuffled": LossEntry(
        _weighted(lambda focal: shuffled_in_space(_fpl(focal))),
        "FPL shuffled in space",
        "FPL's weights at other places",
        control=True,
    ),
    "fpl-other-image": LossEntry(
        _weighted(lambda focal: of_another_image(_fpl(focal))),
        "FPL of another image",
        "FPL's weights of the next image of the batch",
        control=True,
    ),
    "bicubic-ad-gamma4": LossEntry(
        lambda focal, p: FocalPixelLoss(learnable=False, focal=replace(focal, gamma_sp=4.0), p=p),
        "static prior, gamma 4",
        "a weight that is far too strong, from 1 to 55 times alpha",
        control=True,
    ),
}


class LossCall(Call):
    """A loss to make, such as `sobel`, `error-power(power=0.3)` or `mine:MyLoss`."""

    kind = "loss"
    names = LOSSES

    def make(
        self,
        *,
        focal: FocalParameters | None = None,
        p: int = 1,
        trusted: bool = True,
        folder: Path | None = None,
    ) -> nn.Module:
        """Make the loss; see `make_loss`."""
        if not self.in_catalog:
            return self.import_and_call(trusted=trusted, folder=folder)
        try:
            build = LOSSES[self.target].build
            return build(*self.positional, focal=focal or FocalParameters(), p=p, **self.named)
        except TypeError as error:
            raise InputError(f"loss {self}: {error}") from error
        except InputError as error:
            raise error.about(f"loss {self}") from error


def make_loss(
    spec: str,
    *,
    focal: FocalParameters | None = None,
    p: int = 1,
    trusted: bool = True,
    folder: Path | None = None,
) -> nn.Module:
    """Return a loss, called with `(sr, hr, bicubic)`, that gives one number.

    Args:
        spec: A name of `LOSSES`, or `module:callable`, with or without literal arguments in
            parentheses. The callable must return an `nn.Module`, so a class that derives from it
            will do.
        focal: The parameters of FPL, for the losses of the catalog that have them.
        p: Exponent, 1 or 2, of the losses that are a weighted L1 or L2.
        trusted: Whether the user gave `spec`, and not a file; see `Call.import_and_call`.
        folder: Where the file lies that gave `spec`.

    Raises:
        InputError: An unknown name, or a loss that cannot be made.

    Example:
        >>> make_loss("charbonnier(epsilon=0.1)").epsilon
        0.1
    """
    return LossCall.parse(spec).make(focal=focal, p=p, trusted=trusted, folder=folder)


def code_of(loss: nn.Module) -> str:
    """Return the start of the SHA-256 of the file with a loss's class; empty if it is not known.

    Where the class was typed into a notebook, the cell stands for the file.

    Example:
        >>> len(code_of(make_loss("l1")))
        12
    """
    kind = type(loss)
    try:
        file = inspect.getsourcefile(kind)
    except (TypeError, OSError):  # a class of the interpreter's own, or one typed in
        forward = getattr(kind.forward, "__code__", None)
        file = forward.co_filename if forward else None
    if file is None:
        return ""
    if Path(file).is_file():
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]
    code = "".join(linecache.getlines(file))
    return hashlib.sha256(code.encode()).hexdigest()[:12] if code else ""


def takes_step(loss: nn.Module) -> bool:
    """Return whether a loss takes `step`, the iterations done.

    >>> takes_step(make_loss("l1")), takes_step(nn.L1Loss())
    (True, False)
    """
    return "step" in inspect.signature(loss.forward).parameters


def try_loss(loss: nn.Module, spec: str, size: int, device: torch.device) -> None:
    """Try a loss that nobody here has written, on noise.

    Args:
        loss: The loss, on the device.
        spec: What it is called.
        size: Side of the images.
        device: Where to compute.

    Raises:
        InputError: It fails, or returns something else than one finite number that depends on SR.

    Example:
        >>> class Mine(nn.Module):
        ...     def forward(self, sr, hr, bicubic):
        ...         return (sr - hr).abs()
        >>> try_loss(Mine(), "mine:Mine", 8, torch.device("cpu"))
        Traceback (most recent call last):
        srlongtail.errors.InputError: loss mine:Mine: returned a tensor of shape (2, 3, 8, 8), \
expected one number
    """
    noise = torch.rand(3, 2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    sr, hr, bicubic = noise
    step = {"step": torch.zeros((), dtype=torch.int64, device=device)} if takes_step(loss) else {}
    with explained(f"loss {spec}: failed on (sr, hr, bicubic)"):
        value = loss(sr.requires_grad_(), hr, bicubic, **step)
    if not isinstance(value, Tensor):
        raise InputError(f"loss {spec}: returned a {type(value).__name__}, expected one number")
    if value.shape != ():
        raise InputError(
            f"loss {spec}: returned a tensor of shape {tuple(value.shape)}, expected one number"
        )
    if not value.requires_grad:
        raise InputError(
            f"loss {spec}: has no gradient, expected one for sr: is it computed under "
            f"torch.no_grad, in NumPy, or detached?"
        )
    if not value.isfinite():
        raise InputError(f"loss {spec}: {value.item()} on noise, expected a finite number")
