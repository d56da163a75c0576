"""Say in one line what went wrong in the code of a network that nobody here has written."""

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from srlongtail.device import is_out_of_memory
from srlongtail.errors import InputError, Parameter

Parts = tuple[str | Parameter, ...]

_HALF = "its weights are in half precision: convert them with .float()"
_CUDA = "its code asks for CUDA by itself (.cuda() or device='cuda'): use x.device there"

# What PyTorch and einops say, and what is then likely.
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
    (r"\bHalf\b|BFloat16", (_HALF,)),
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
def explained(doing: str) -> Iterator[None]:
    """Turn what a network's code raises into an `InputError` of one line with its likely cause.

    Errors of this package and those of short memory pass.

    Args:
        doing: what was tried, such as "nets:Net: the network failed on (1, 3, 48, 48)".

    >>> with explained("net: cannot be built"):
    ...     import nowhere
    Traceback (most recent call last):
    srlongtail.errors.InputError: net: cannot be built: it needs the package nowhere, which is not \
installed
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # code of a user can raise anything; argparse exits
        if is_out_of_memory(error):
            raise
        raise InputError(f"{doing}: ", *likely_cause(error)) from error


def likely_cause(error: BaseException) -> Parts:
    """Return the likely cause of an error in a network's code, then what it said and where.

    >>> "".join(map(str, likely_cause(TypeError("Net.forward() missing 1 required positional "
    ...     "argument: 'scale'"))))
    "its forward takes more than the image ('scale'): wrap it in a module whose forward takes the \
image alone"
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
        return (f"its code reads a file that is not there, {error.filename}", quoted)
    if isinstance(error, SystemExit):
        return ("its code ends the program, as argparse does when a module is imported", quoted)
    for pattern, cause in _CAUSES:
        if re.search(pattern, f"{type(error).__name__}: {error}"):
            return (*cause, quoted)
    return ("its code failed", quoted)


def tensor_returned(output: object) -> torch.Tensor:
    """Return a network's output, if it is one tensor.

    Raises:
        InputError: it is something else; the message tells what.

    >>> tensor_returned({"sr": 1, "mask": 2})
    Traceback (most recent call last):
    srlongtail.errors.InputError: the network returned a dict of sr, mask, expected one \
tensor, the SR image: wrap it in a module whose forward returns that
    """
    if isinstance(output, torch.Tensor):
        return output
    what = f"a {type(output).__name__}"
    if isinstance(output, Mapping):
        what = f"a dict of {', '.join(map(str, output))}"
    elif isinstance(output, Sequence) and not isinstance(output, str):
        kinds = ", ".join(
            str(tuple(o.shape)) if isinstance(o, torch.Tensor) else type(o).__name__ for o in output
        )
        what = f"a {type(output).__name__} of {kinds}"
    raise InputError(
        f"the network returned {'nothing' if output is None else what}, expected one "
        f"tensor, the SR image: wrap it in a module whose forward returns that"
    )


def _where(error: BaseException) -> str:
    """Return file and line of the innermost code that is not of an installed package."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
        and Path(__file__).parents[1] not in Path(frame.filename).parents
    ]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
