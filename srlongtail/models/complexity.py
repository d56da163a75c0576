"""Count the parameters and floating-point operations of a network."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from srlongtail.models.sr_model import SRModel


def count_parameters(model: SRModel) -> int:
    """Return the number of parameters, without BatchNorm's running statistics.

    Example:
        >>> from srlongtail.models.sr_model import bicubic
        >>> count_parameters(bicubic(4))
        0
    """
    return sum(parameter.numel() for parameter in model.network.parameters())


def count_operations(model: SRModel, height: int = 32, width: int = 32) -> int:
    """Return the floating-point operations of a network for one LR image.

    The rules are those of `torch.utils.flop_counter`: two operations for each multiply-add of
    convolutions and matrix products. A transposed convolution counts at the size of its
    *input*. Activations, normalization and the bicubic skip are not counted.

    Args:
        model: The network.
        height: Height of the LR image.
        width: Its width.

    Raises:
        InputError: The network fails on an image of this size.

    Example:
        >>> from srlongtail.models.sr_model import SRModel
        >>> conv = torch.nn.Conv2d(3, 3, 1)
        >>> count_operations(SRModel(conv, scale=1)) == 2 * 9 * 32 * 32
        True
    """
    with torch.no_grad(), _OperationCounter() as counter:
        model.output(torch.zeros(1, 3, height, width, device=model.device))
    return counter.operations


class _OperationCounter(TorchDispatchMode):
    """Adds up the operations of everything that torch computes meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0


def _count(
    self: _OperationCounter,
    function: Any,
    types: Any,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    kwargs = kwargs or {}
    result = function(*args, **kwargs)
    rule: Callable[..., int] | None = flop_registry.get(function._overloadpacket)
    if rule is not None:
        self.operations += rule(*args, **kwargs, out_val=result)
    return result


# torch's own FlopCounterMode imports torch.compile, which takes longer than all the rest: what a
# class defines as `__torch_dispatch__` is wrapped so that it is not compiled, what it is given
# later is not.
_OperationCounter.__torch_dispatch__ = _count  # type: ignore[method-assign, assignment]
