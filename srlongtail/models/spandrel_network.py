"""Networks that the optional package spandrel recognizes and builds.

spandrel imports torchvision, although none of its SR networks needs it: only LaMa and RestoreFormer
use three names of it. The torchvision of PyPI is built for a CUDA build of PyTorch and cannot be
imported beside a CPU build. In that case, stand-ins replace those three names, only while spandrel
is being imported.
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
    """A network called as spandrel calls it: the input is padded as needed, the output cropped.

    Unlike spandrel's own call it is differentiable, does not clamp, and takes batches.

    Args:
        descriptor: The model descriptor of spandrel.

    Attributes:
        network: The network that spandrel built, with its weights.
        architecture: Name of its architecture.
        scale: SR pixels per LR pixel.
        channels: Number of channels of input and output, 1 (luma) or 3.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network: nn.Module = descriptor.model
        self.architecture: str = descriptor.architecture.name
        self.scale: int = descriptor.scale
        self.channels: int = descriptor.input_channels
        self._requirements = descriptor.size_requirements
        # Some architectures need a tuple unpacked or a noise map added.
        self._call = getattr(descriptor, "_call_fn", None) or (lambda network, x: network(x))

    def forward(self, lr: Tensor) -> Tensor:
        """Return the SR image of an LR image.

        Args:
            lr: `(N, C, h, w)` in [0, 1].

        Returns:
            `(N, C, h * scale, w * scale)`, not clamped.
        """
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
    """Let spandrel recognize the network of a file, and build it.

    Args:
        file: Result of `read_state_file`.
        prefix: Place of the tensors in the file, if it is known.

    Returns:
        The network; None if spandrel does not know it.

    Raises:
        InputError: The network is not for super-resolution, has other than 1 or 3 channels, or
            spandrel recognizes it and cannot build it.
        ImportError: spandrel is not installed, or cannot be imported.
    """
    spandrel = import_spandrel()
    failures: list[str] = []

    def build(tensors: dict[str, Tensor]) -> Any:
        try:
            return spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(tensors))
        except spandrel.UnsupportedModelError:
            return None
        except Exception as error:  # it detects by a few keys and builds from all
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
    """Import spandrel, even if torchvision cannot be imported.

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
    """Provide stand-ins for spandrel's imports from torchvision, if that cannot be imported."""
    before = _modules_of_torchvision()
    try:
        importlib.import_module("torchvision")
    except Exception:  # beside an unsuitable torch it raises various errors
        pass
    else:
        yield
        return

    def restore() -> None:
        for name in _modules_of_torchvision():
            del sys.modules[name]
        sys.modules.update(before)

    restore()  # removes what a failed import leaves behind
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
    """A name of torchvision that cannot be imported; using it is an error."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise InputError(f"this network needs {self._name} of torchvision, which fails to import")

    def __getattr__(self, attribute: str) -> NoReturn:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        self()
