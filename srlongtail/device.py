"""Choose a device, run networks in eval mode, and recognize out-of-memory errors."""

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import nn

from srlongtail.errors import InputError


def find_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device with this name, or the best available one.

    Under `torchrun`, each process gets its own GPU, which becomes the current device.

    Args:
        name: "cpu", "cuda", "cuda:1", ...; default: CUDA if it is available, else the CPU.

    Raises:
        InputError: The device does not exist or cannot be used.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "cuda":
            if device.index is None:
                device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {name}: cannot be used, expected cpu or cuda: {reason}"
        ) from error
    return device


def device_of(model: object) -> torch.device:
    """Return the device of a module's first parameter; the CPU for any other callable.

    Example:
        >>> device_of(nn.Conv2d(3, 3, 1)), device_of(len)
        (device(type='cpu'), device(type='cpu'))
    """
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


@contextlib.contextmanager
def eval_mode(model: object) -> Iterator[None]:
    """Put a module in eval mode, and restore the mode of each of its layers at the end.

    Any other callable is left unchanged.

    Example:
        >>> network = nn.Dropout()
        >>> with eval_mode(network):
        ...     network.training
        False
        >>> network.training
        True
    """
    if not isinstance(model, nn.Module):
        yield
        return
    modes = {layer: layer.training for layer in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for layer, mode in modes.items():
            layer.training = mode


@contextlib.contextmanager
def fixed_weights(model: object) -> Iterator[None]:
    """Take the weights of a module for constants, so that no gradient is computed for them.

    Any other callable is left unchanged.

    Example:
        >>> network = nn.Conv2d(3, 3, 1)
        >>> with fixed_weights(network):
        ...     network.weight.requires_grad
        False
        >>> network.weight.requires_grad
        True
    """
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory is short, on a GPU or on the CPU.

    To retry with less memory, catch `RuntimeError`, call this function, and retry outside the
    `except` clause: inside it, the traceback still holds the tensors of the failed attempt.

    Example:
        >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
        True
        >>> is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
        False
    """
    # On the CPU, torch has no exception class for this.
    kinds = torch.OutOfMemoryError, MemoryError
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
