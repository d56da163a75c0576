"""Explain in one line what went wrong in the code of a foreign network."""

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import nn

from srlongtail.device import is_out_of_memory
from srlongtail.errors import InputError, Parameter, with_article

Parts = tuple[str | Parameter, ...]

_HALF = r"\bHalf\b|BFloat16"
_HALF_WEIGHTS = "its weights are in half precision: convert them with .float()"
_HALF_CODE = (
    "its code converts to half precision by itself (.half() or dtype=torch.float16): use x.dtype "
    "there"
)
_CUDA = "its code asks for CUDA by itself (.cuda() or device='cuda'): use x.device there"

# What PyTorch and einops say, and the likely cause.
_CAUSES: tuple[tuple[str, Parts], ...] = (
    (
        r"expected input\[.*\] to have 1 channels?, but got 3",
        ("it takes one channel, luma; expected ", Parameter("channels", "y")),
    ),
    (
        r"expected input\[.*\] to have 3 channels?, but got 1",
        ("it takes three channels; expected ", Parameter("channels", "rgb")),
    ),
    (r"not compiled with CUDA|no NVIDIA driver|tensors to be on the same device", (_CUDA,)),
    (r"type \(torch\.cuda\.\w+\) and|and weight type \(torch\.cuda", (_CUDA,)),
    (r"missing the required \"forward\" function", ("it has no forward method",)),
    (
        r"Padding size should be less than|Kernel size can't be greater|Output size is too small",
        ("the image is too small for it",),
    ),
    (
        r"must match the size of tensor|is invalid for input of size|Sizes of tensors must match|"
        r"[Ss]hape mismatch|size mismatch|not divisible|EinopsError|"
        r"must match the existing size|input of size|Expected size|cannot be multiplied",
        (
            "it does not take images of this size; sides may have to be multiples of 8, 16 or "
            "more: try ",
            Parameter("multiple", 16),
        ),
    ),
)


@contextlib.contextmanager
def explained(doing: str, network: nn.Module | None = None) -> Iterator[None]:
    """Turn what a network's code raises into an `InputError` of one line with its likely cause.

    Errors of this package and those of short memory pass unchanged.

    Args:
        doing: What was tried, such as "nets:Net: the network failed on (1, 3, 48, 48)".
        network: The network that was run, if there is one.

    Raises:
        InputError: The code inside raised an error.

    Example:
        >>> with explained("net: cannot be built"):
        ...     import nowhere
        Traceback (most recent call last):
        srlongtail.errors.InputError: net: cannot be built: it needs the package nowhere, which is \
not installed
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # code of a user can raise anything; argparse exits
        if is_out_of_memory(error):
            raise
        raise InputError(f"{doing}: ", *likely_cause(error, network)) from error


def likely_cause(error: BaseException, network: nn.Module | None = None) -> Parts:
    """Return the likely cause of an error in a network's code, its message, and its place.

    Args:
        error: What the code raised.
        network: The network that was run; its weights show who is to blame for half precision.

    Returns:
        The parts of an error message.

    Example:
        >>> "".join(map(str, likely_cause(TypeError("Net.forward() missing 1 required positional "
        ...     "argument: 'scale'"))))
        "its forward takes more than the image ('scale'): wrap it in a module whose forward takes \
the image alone"
    """
    said = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (f"it needs the package {error.name}, which is not installed",)
    missing = re.search(r"([\w.<>]+)\(\) missing \d+ required .*arguments?: (.*)", said)
    if missing and missing[1].endswith("forward"):
        return (
            f"its forward takes more than the image ({missing[2]}): wrap it in a module whose "
            f"forward takes the image alone",
        )
    if missing and isinstance(error, TypeError):
        name = missing[1].removesuffix(".__init__").rpartition(".")[2]
        return (
            f"{name} needs arguments ({missing[2]}): give them, as in "
            f"module:callable(argument=value)",
        )
    where = _where(error)
    kind = type(error).__name__ + (f" in {where}" if where else "")
    quoted = f" ({kind}: {said})" if said else f" ({kind})"
    if isinstance(error, FileNotFoundError) and error.filename:
        return (f"its code reads a file that does not exist, {error.filename}", quoted)
    if isinstance(error, SystemExit):
        return ("its code ends the program, as argparse does when a module is imported", quoted)
    message = f"{type(error).__name__}: {error}"
    for pattern, cause in _CAUSES:
        if re.search(pattern, message):
            return (*cause, quoted)
    if re.search(_HALF, message):
        return (_HALF_WEIGHTS if _has_half_weights(network) else _HALF_CODE, quoted)
    return ("its code failed", quoted)


def tensor_returned(output: object) -> torch.Tensor:
    """Return a network's output, if it is one tensor.

    Raises:
        InputError: It is something else, which the message describes.

    Example:
        >>> tensor_returned({"sr": 1, "mask": 2})
        Traceback (most recent call last):
        srlongtail.errors.InputError: the network returned a dict of sr, mask, expected one \
tensor, the SR image: wrap it in a module whose forward returns that
    """
    if isinstance(output, torch.Tensor):
        return output
    what = with_article(type(output).__name__)
    if isinstance(output, Mapping):
        what = f"a dict of {', '.join(map(str, output))}"
    elif isinstance(output, Sequence) and not isinstance(output, str):
        kinds = ", ".join(
            str(tuple(o.shape)) if isinstance(o, torch.Tensor) else type(o).__name__ for o in output
        )
        what += f" of {kinds}"
    raise InputError(
        f"the network returned {'nothing' if output is None else what}, expected one "
        f"tensor, the SR image: wrap it in a module whose forward returns that"
    )


def _has_half_weights(network: nn.Module | None) -> bool:
    if network is None:
        return False
    tensors = chain(network.parameters(), network.buffers())
    return any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in tensors)


def _where(error: BaseException) -> str:
    """Return file and line of the innermost code that does not belong to an installed package."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
        and Path(__file__).parents[1] not in Path(frame.filename).parents
    ]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
