"""The catalog of networks: the one module that knows all of them.

Example:
    >>> import torch
    >>> build("fsrcnn", scale=2)(torch.rand(1, 3, 8, 8)).shape
    torch.Size([1, 3, 16, 16])
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srlongtail.errors import InputError, suggestion
from srlongtail.models.adapt import Predicts
from srlongtail.models.diagnose_call import explained
from srlongtail.models.facts import Provenance, Subject, by_name, shortened
from srlongtail.models.networks import (
    BSRN,
    BSRNS,
    CARN,
    EDSR,
    ESPCN,
    FSRCNN,
    IMDN,
    MSRN,
    PAN,
    RFDN,
    RLFN,
    SRCNN,
    SRVGG,
    VDSR,
    OfficialCARN,
    PortedFSRCNN,
    SRResNet,
    SwinIR,
    VapSR,
)
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import SRModel


class NetworkClass(Protocol):
    """A class of networks that can be recognized from weights."""

    def __call__(self, *args: Any, **arguments: Any) -> nn.Module: ...

    def arguments_from(self, state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network."""


@dataclass(frozen=True)
class Architecture:
    """A network class and its conventions.

    Attributes:
        network: The class.
        label: Its name in figures.
        multiple: The sides of its input must be multiples of this.
        constant: Endings of the keys of tensors that the network computes itself, whatever a state
            dictionary holds.
        channels: Color channels of its input and output; None if they depend on the weights. A
            network with the argument `channels=1` is for luma; with 3, the shapes do not tell RGB
            from YCbCr.
        enlarged: Whether it takes the image enlarged to SR size by MATLAB's bicubic, and returns
            an image of the same size.
        value_range: White in its input and output; None if it depends on the weights.
    """

    network: NetworkClass
    label: str
    multiple: int = 1
    constant: tuple[str, ...] = ()
    channels: Literal["rgb", "bgr", "y", "ycbcr"] | None = "rgb"
    enlarged: bool = False
    value_range: Literal[1, 255] | None = None


CATALOG: dict[str, Architecture] = {
    # those of the paper
    "fsrcnn": Architecture(FSRCNN, "FSRCNN"),
    "carn": Architecture(CARN, "CARN"),
    "srresnet": Architecture(SRResNet, "SRResNet"),
    "msrn": Architecture(MSRN, "MSRN"),
    "swinir": Architecture(SwinIR, "SwinIR", multiple=8, constant=(".attn_mask",)),
    "bsrn": Architecture(BSRN, "BSRN"),
    # others that have published weights
    "srcnn": Architecture(SRCNN, "SRCNN", channels=None, enlarged=True),
    "fsrcnn-ports": Architecture(PortedFSRCNN, "FSRCNN (ports)", channels=None),
    "espcn": Architecture(ESPCN, "ESPCN", channels=None),
    "vdsr": Architecture(VDSR, "VDSR", channels=None, enlarged=True),
    "edsr": Architecture(EDSR, "EDSR"),
    "carn-official": Architecture(OfficialCARN, "CARN (official)", value_range=1),
    "imdn": Architecture(IMDN, "IMDN"),
    "rfdn": Architecture(RFDN, "RFDN"),
    "pan": Architecture(PAN, "PAN"),
    "srvgg": Architecture(SRVGG, "SRVGG", value_range=1),
    "rlfn": Architecture(RLFN, "RLFN"),
    "bsrn-s": Architecture(BSRNS, "BSRN-S"),
    "vapsr": Architecture(VapSR, "VapSR"),
}


LARGEST = 4096
"""The largest width, depth or other number in the arguments of a network."""
MOST_WEIGHTS = 250_000_000
"""The largest number of weights of a network, 1 GB of them."""


def build(name: str, **arguments: Any) -> nn.Module:
    """Build a network of the catalog with fresh weights.

    Args:
        name: Name of the network.
        arguments: Arguments of its class.

    Raises:
        InputError: The network or an argument is unknown, an argument has a wrong value, or the
            network would be larger than any of this field: files of strangers can ask for that.
    """
    check_arguments(name, arguments)
    network = CATALOG[name].network
    doing = f"network {name}: cannot be built"
    for key, value in arguments.items():
        if not _is_small(value):
            raise InputError(
                f"{doing}: {key}={value!r:.60}, expected numbers from -{LARGEST} to {LARGEST}"
            )
    with explained(doing), FewWeights(doing):
        return network(**arguments)


class FewWeights(TorchFunctionMode):
    """Raise an error inside of this block before `MOST_WEIGHTS` numbers of weights are exceeded.

    Args:
        doing: What is tried, for the error.

    Raises:
        InputError: The weights made so far and the next would be more.
    """

    def __init__(self, doing: str) -> None:
        super().__init__()
        self._doing = doing
        self._count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what is asked of torch before it takes memory for it."""
        kwargs = kwargs or {}
        if func in (torch.empty, torch.zeros, torch.ones):
            size = kwargs.get("size", args)
            size = size[0] if size and not isinstance(size[0], int) else size
            self._count += math.prod(size)
            if self._count > MOST_WEIGHTS:
                raise InputError(f"{self._doing}: expected at most {MOST_WEIGHTS} weights")
        return func(*args, **kwargs)


def _is_small(value: object) -> bool:
    """Return whether an argument, and all that is in it, is at most as large as `LARGEST`."""
    if isinstance(value, Mapping):
        return all(map(_is_small, value.values()))
    if isinstance(value, list | tuple):
        return len(value) <= LARGEST and all(map(_is_small, value))
    return not isinstance(value, int | float) or abs(value) <= LARGEST


def check_arguments(name: str, arguments: Iterable[str]) -> None:
    """Raise the errors of `build` without building anything.

    Args:
        name: Name of the network.
        arguments: Names of the arguments.

    Raises:
        InputError: The network or an argument is unknown.

    Example:
        >>> check_arguments("fsrcnn", ["features", "scale"])
    """
    if name not in CATALOG:
        hint = suggestion(name.lower(), CATALOG)
        raise InputError(f"unknown network {name!r}{hint}, expected one of {', '.join(CATALOG)}")
    known = signature(CATALOG[name].network).parameters
    for argument in arguments:
        if argument not in known:
            hint = suggestion(argument, known)
            raise InputError(
                f"unknown argument {argument!r} of network {name}{hint}, expected one of "
                f"{', '.join(known)}"
            )


def new_model(
    architecture: str,
    scale: int,
    *,
    predicts: Predicts = "image",
    name: str | None = None,
    **arguments: Any,
) -> SRModel:
    """Build a network of the catalog with fresh weights, as an `SRModel` with provenance.

    Args:
        architecture: Name of the network.
        scale: SR pixels per LR pixel.
        predicts: "image" or "residual".
        name: Name of the model; default: the architecture.
        arguments: Arguments of the network's class.

    Raises:
        InputError: The network or an argument is unknown.

    Example:
        >>> new_model("fsrcnn", 3, predicts="residual").provenance.architecture
        'fsrcnn'
    """
    arguments = {**arguments, "scale": scale}
    return SRModel(
        build(architecture, **arguments),
        scale,
        predicts=predicts,
        multiple=CATALOG[architecture].multiple,
        name=name or architecture,
        provenance=Provenance(architecture=architecture, arguments=arguments),
    )


def subject_of(model: AnyModel) -> Subject:
    """Return a model's name in figures: the paper's for our own networks, else its own.

    Example:
        >>> subject_of(new_model("carn", 4, name="mine")).label
        'mine'
    """
    known = CATALOG.get(model.architecture or "")
    training = model.provenance.training
    label = shortened(model.name)
    if known and training and training.arm:
        label = known.label if training.arm == "baseline" else f"{known.label}+{training.arm}"
    return Subject(model.name, label, model.architecture or "", model.arm)


def subjects_of(models: Iterable[AnyModel]) -> dict[str, Subject]:
    """Return the names of models in figures, by their own names; all labels differ."""
    return by_name(map(subject_of, models))


def recognize(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the arguments of the network that a state dictionary belongs to.

    Args:
        state: Tensors by keys, without a wrapper such as `params` and without prefixes.

    Returns:
        Name in the catalog and arguments, without those that no shape depends on; None if the
        network is unknown.
    """
    for name, architecture in CATALOG.items():
        try:
            arguments = architecture.network.arguments_from(state)
        except (ArithmeticError, LookupError, TypeError, ValueError):  # keys of ours, other shapes
            continue
        if arguments is not None:
            return name, arguments
    return None
