"""Where a run computes."""

import os

import torch

from srlongtail.errors import InputError


def find_device(name: str | None = None) -> torch.device:
    """The device of a name, or the best there is; under `torchrun` each process has its own.

    Raises:
        InputError: there is no such device.

    >>> find_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        if device.type == "cuda":
            if device.index is None:
                device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
            torch.backends.cudnn.benchmark = True  # all batches have one size
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--device {name}: cannot be used, expected cpu or cuda: {reason}"
        ) from error
    return device
