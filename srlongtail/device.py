"""Which device to compute on, how to run a network there, and how to tell that memory is short."""

import contextlib
import os
from collections.abc import Iterator

import torch
from torch import nn

from srlongtail.errors import InputError


def find_device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of a name, or the best there is.

    Under `torchrun` each process has its own GPU, which becomes the current one.

    Args:
        name: "cpu", "cuda", "cuda:1", ...; by default CUDA where there is some.

    Raises:
        InputError: There is no such device.

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
    """Return where a module's first parameter is; the CPU for any other callable.

    Example:
        >>> device_of(nn.Conv2d(3, 3, 1)), device_of(len)
        (device(type='cpu'), device(type='cpu'))
    """
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


@contextlib.contextmanager
def eval_mode(model: object) -> Iterator[None]:
    """Run a module in eval mode, and leave each of its layers in the mode that it was in.

    Any other callable is left alone.

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


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory is short, on a GPU or on the CPU.

    What can do with less catches `RuntimeError`, asks this, and tries again outside of its
    `except` clause: inside, the error's traceback still holds the tensors of the failed attempt.

    Example:
        >>> is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
        True
        >>> is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
        False
    """
    # On the CPU torch raises no error of its own kind.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
