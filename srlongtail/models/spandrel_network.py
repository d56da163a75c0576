"""Networks that the optional package spandrel recognises and builds.

spandrel needs torchvision, and imports it although no SR network of it does: only LaMa and
RestoreFormer use three names of it. The torchvision of PyPI is made for a CUDA build of PyTorch
and cannot be imported beside a CPU build. There, something stands in for those three names while
spandrel is imported, and only then.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

import torch.nn.functional as F
from torch import Tensor, nn

from srlongtail.errors import InputError
from srlongtail.models.state import Fit, StateFile, first_fit


class SpandrelNetwork(nn.Module):
    """A network as spandrel calls it: input sizes padded as it asks, output cropped again.

    Unlike spandrel's own call it is differentiable, does not clamp, and takes batches.

    Attributes:
        network: the network that spandrel built, with its weights.
        architecture: its name.
        scale: SR pixels per LR pixel.
        channels: of input and output, 1 for luma or 3.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network: nn.Module = descriptor.model
        self.architecture: str = descriptor.architecture.name
        self.scale: int = descriptor.scale
        self.channels: int = descriptor.input_channels
        self._requirements = descriptor.size_requirements
        # What unpacks a tuple or adds a noise map, for the architectures that need it.
        self._call = getattr(descriptor, "_call_fn", None) or (lambda network, x: network(x))

    def forward(self, lr: Tensor) -> Tensor:
        """`(N, C, h, w)` -> `(N, C, h * scale, w * scale)`, both in [0, 1]."""
        height, width = lr.shape[-2:]
        right, below = self._requirements.get_padding(width, height)
        # Mirroring cannot pad by more than the image itself; the edge is repeated beyond.
        mirrored = (min(right, width - 1), min(below, height - 1))
        padded = F.pad(lr, (0, mirrored[0], 0, mirrored[1]), mode="reflect")
        rest = (0, right - mirrored[0], 0, below - mirrored[1])
        padded = F.pad(padded, rest, mode="replicate")
        sr = self._call(self.network, padded)
        return sr[..., : height * self.scale, : width * self.scale]


def build_with_spandrel(file: StateFile, prefix: str | None = None) -> Fit[SpandrelNetwork] | None:
    """Let spandrel recognise the network of a file, and build it.

    Args:
        file: what `read_state_file` returned.
        prefix: where the tensors lie in the file, if that is known.

    Returns:
        None where spandrel knows no such network.

    Raises:
        InputError: the network is none for super-resolution, or of other channels than 1 or 3, or
            spandrel recognises it and cannot build it.
        ImportError: spandrel is not installed, or cannot be imported.
    """
    spandrel = import_spandrel()
    failures: list[str] = []

    def build(tensors: dict[str, Tensor]) -> Any:
        try:
            return spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(tensors))
        except spandrel.UnsupportedModelError:
            return None
        except Exception as error:  # its detection looks at few keys, its building at all
            failures.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
            return None

    fit = first_fit(file, build, prefix)
    if fit is None:
        if failures:
            raise InputError(f"{file.path}: spandrel cannot build this network: {failures[0]}")
        return None
    found = fit.found
    name = found.architecture.name
    if found.scale == 1 or found.purpose == "Inpainting":
        raise InputError(
            f"{file.path}: a network for {found.purpose.lower()} at scale {found.scale} ({name}, "
            f"by spandrel), expected one for super-resolution"
        )
    if found.input_channels != found.output_channels or found.input_channels not in (1, 3):
        raise InputError(
            f"{file.path}: {name} with {found.input_channels} channels in and "
            f"{found.output_channels} out, expected 1 (luma) or 3"
        )
    return Fit(fit.candidate, SpandrelNetwork(found), fit.note)


def import_spandrel() -> ModuleType:
    """Import spandrel, also where torchvision cannot be imported.

    Raises:
        ImportError: spandrel is not installed, or fails for another reason.
    """
    if sys.modules.get("spandrel") is not None:
        return sys.modules["spandrel"]
    with _torchvision():
        try:
            return importlib.import_module("spandrel")
        except Exception as error:  # of a version that does not fit torch, say
            raise ImportError(str(error)) from error


@contextmanager
def _torchvision() -> Iterator[None]:
    """Stand in for what spandrel imports of torchvision, for a while, where that fails itself."""
    before = _modules_of_torchvision()
    try:
        importlib.import_module("torchvision")
    except Exception:  # it fails in its own ways beside a torch that it was not made for
        pass
    else:
        yield
        return

    def restore() -> None:
        for name in _modules_of_torchvision():
            del sys.modules[name]
        sys.modules.update(before)

    restore()  # what a failed import leaves behind must not stay
    functional = ModuleType("torchvision.transforms.functional")
    for name in ("InterpolationMode", "rotate", "normalize"):
        setattr(functional, name, _Absent(name))
    sys.modules["torchvision"] = ModuleType("torchvision")
    sys.modules["torchvision.transforms"] = ModuleType("torchvision.transforms")
    sys.modules["torchvision.transforms.functional"] = functional
    try:
        yield
    finally:
        restore()


def _modules_of_torchvision() -> dict[str, ModuleType]:
    return {k: v for k, v in sys.modules.items() if k.partition(".")[0] == "torchvision"}


class _Absent:
    """Something of torchvision that cannot be imported, and says so when it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise InputError(f"this network needs {self._name} of torchvision, which fails to import")

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        self()
