"""Load a file's tensors into a network, and explain what does not fit."""

import re
from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.models.state import Candidate, Fit, StateFile, first_fit

_SHOWN = 3  # keys of each kind in an error


def load_weights(network: nn.Module, file: StateFile, prefix: str | None = None) -> Fit[bool]:
    """Load the first candidate of a file that fits a network, and return it.

    Args:
        network: The network, whose parameters and buffers are overwritten.
        file: Result of `read_state_file`.
        prefix: Place of the tensors in the file, if it is known.

    Raises:
        InputError: No candidate fits, several do, or a weight is not finite.

    Example:
        >>> from pathlib import Path
        >>> file = StateFile(Path("a.pth"), {"": {"module.weight": torch.ones(1, 2)}})
        >>> load_weights(nn.Linear(2, 1, bias=False), file).candidate.prefix
        'module.'
    """

    def fits(tensors: Mapping[str, Tensor]) -> bool | None:
        return _loads(network, tensors) or None

    fit = first_fit(file, fits, prefix)
    if fit is None:
        raise InputError(f"{file.path}: {_misfit(network, file)}")
    _loads(network, fit.candidate.tensors)  # a later candidate may have been tried since
    check_finite(network, str(file.path))
    return fit


def check_finite(network: nn.Module, label: str) -> None:
    """Raise an error if a weight of a network is not finite, or if a buffer holds NaN.

    Buffers may be infinite, as attention masks are.

    Args:
        network: The network.
        label: Name of the network in the error.

    Raises:
        InputError: The message names the first such tensor.

    Example:
        >>> check_finite(nn.Linear(2, 1), "network")
    """
    for key, weight in network.named_parameters():
        bad = int((~torch.isfinite(weight)).sum())
        if bad:
            raise InputError(
                f"{label}: {bad} of {weight.numel()} weights in {key} are NaN or infinite, "
                f"expected finite weights (did the training diverge?)"
            )
    for key, buffer in network.named_buffers():
        if buffer.is_floating_point() and bool(buffer.isnan().any()):
            raise InputError(f"{label}: the buffer {key} holds NaN, expected numbers")


def _loads(network: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    if not tensors.keys() & network.state_dict().keys():
        return False
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        return False
    return True


def _misfit(network: nn.Module, file: StateFile) -> str:
    """Describe how the closest candidate differs, and which arguments its shapes suggest."""
    own = network.state_dict()

    def overlap(candidate: Candidate) -> tuple[int, int]:
        shared = candidate.tensors.keys() & own.keys()
        alike = sum(candidate.tensors[key].shape == own[key].shape for key in shared)
        return len(shared) + alike, -len(candidate.tensors)

    found = max(file.candidates(), key=overlap).tensors
    shapes = [
        f"{key} {_shape(found[key])} in the file and {_shape(own[key])} in the network"
        for key in own
        if key in found and own[key].shape != found[key].shape
    ]
    differences = [
        _listed("missing", [key for key in own if key not in found]),
        _listed("unexpected", [key for key in found if key not in own]),
        _listed("of another shape", shapes),
    ]
    message = "; ".join(filter(None, differences))
    suggested = _suggested_arguments(type(network), own, found)
    return (
        f"the weights do not fit {type(network).__name__}, which has {len(own)} tensors, the file "
        f"{len(found)}: {message}{suggested}"
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listed(kind: str, items: list[str]) -> str:
    if not items:
        return ""
    more = ", ..." if len(items) > _SHOWN else ""
    return f"{len(items)} {kind} ({', '.join(items[:_SHOWN])}{more})"


def _suggested_arguments(
    network: type[nn.Module], own: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> str:
    """Suggest arguments of a class whose defaults are sizes that differ in the file.

    Shapes show a width, the number of numbered parts a depth.
    """
    changes: dict[int, set[int]] = {}
    for key in own.keys() & found.keys():
        for ours, theirs in zip(own[key].shape, found[key].shape, strict=False):
            if ours != theirs:
                changes.setdefault(ours, set()).add(theirs)
    depths, file_depths = _depths(own), _depths(found)
    for name in depths.keys() & file_depths.keys():
        if depths[name] != file_depths[name]:
            changes.setdefault(depths[name], set()).add(file_depths[name])
    try:
        parameters: Iterable[Any] = signature(network).parameters.values()
    except (TypeError, ValueError):
        return ""
    suggested = []
    for parameter in parameters:
        instead = changes.get(parameter.default) if type(parameter.default) is int else None
        if instead and len(instead) == 1:
            suggested.append(f"{parameter.name}={instead.pop()}")
    return f"; the shapes suggest {', '.join(suggested)}" if suggested else ""


def _depths(tensors: Iterable[str]) -> dict[str, int]:
    """Return the number of numbered parts for each text that comes before the number."""
    numbers: dict[str, set[str]] = {}
    for key in tensors:
        for found in re.finditer(r"(?<=\.)\d+(?=\.)|(?<=[a-z_])\d+(?=\.)", key):
            numbers.setdefault(key[: found.start()], set()).add(found[0])
    return {name: len(parts) for name, parts in numbers.items()}
