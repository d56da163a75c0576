"""The conventions behind a PSNR: what each can be, and how sets of them depart from a protocol."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import combinations, product
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from srlongtail.image.color import luma, rgb_to_ycbcr
from srlongtail.image.dataset import MOD_CROP, ImageSet
from srlongtail.image.degrade import Bicubic
from srlongtail.image.io import quantize, to_levels
from srlongtail.image.resample import imresize, imresize_uint8
from srlongtail.metrics import PAPER, Y_CHANNEL, KernelName, Protocol
from srlongtail.models.adapt import Predicts, ValueRange
from srlongtail.models.sr_images import AnyModel, SRImages

LR = Literal["matlab", "matlab-twice", "matlab-float", "pillow", "torch-antialias", "torch"]
Channels = Literal["rgb", "y", "y-rounded", "y-full", "y-full-rounded"]
Rounding = Literal["rounded", "clamped", "none"]

TILES = PAPER.tiles


@dataclass(frozen=True)
class Conventions:
    """One set of conventions: how SR images are made, and how they are scored.

    Attributes:
        channels: PSNR on RGB, or on the luma of BT.601: in studio range (16 to 235) or full range
            (0 to 255), as computed or rounded to whole levels.
        border: Pixels cropped on each side of the SR image.
        mod_crop: HR is cropped (right and bottom) to multiples of this.
        lr: How LR is made from HR, or "stored"; None for a folder of SR images.
        predicts: Output of the network, "image" or "residual"; None for a folder of SR images.
        value_range: White in the network's input and output; None for a folder of SR images.
        order: "rgb", or "bgr" where red and blue of the network's images are swapped.
        batch_norm: "eval", or "train" for statistics of the image at hand; None without BatchNorm.
        restored: "whole" images, or "tiles" of 32 LR pixels; None for a folder of SR images.
        registered: Whether the SR images are moved back by the shift that registration found.
        rounding: SR is clamped and rounded to 8 bits, "clamped" alone, or neither.
        mean: Mean over the images of their PSNR ("psnr"), or PSNR of their mean squared error
            ("error").
        ssim: The SSIM convention; see `srlongtail.metrics.ssim`.
        ssim_of: Channels of SSIM; several are averaged.
    """

    channels: Channels
    border: int
    mod_crop: int
    lr: LR | Literal["stored"] | None
    predicts: Predicts | None
    value_range: ValueRange | None
    order: Literal["rgb", "bgr"]
    batch_norm: Literal["eval", "train"] | None
    restored: Literal["whole", "tiles"] | None
    registered: bool
    rounding: Rounding
    mean: Literal["psnr", "error"]
    ssim: KernelName
    ssim_of: Channels

    def record(self) -> dict[str, Any]:
        """Return the conventions by name, as JSON values, without those that do not apply."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def words(self, axis: str) -> str:
        """Return one of the conventions in words.

        Args:
            axis: Name of the attribute.
        """
        value = getattr(self, axis)
        return _WORDS[axis][value] if axis in _WORDS else _TEXTS[axis].format(value)

    def text(self, *, ssim: bool = True) -> str:
        """Return all conventions that apply, in words.

        Args:
            ssim: With those that only SSIM depends on.
        """
        left_out = {"registered"} if not self.registered else set()
        left_out |= set() if ssim else set(SSIM_AXES)
        return ", ".join(self.words(axis) for axis in self.record() if axis not in left_out)

    def input(self) -> "Input":
        """Return what a restoration depends on."""
        return Input(*(getattr(self, name) for name in Input._fields))


class Input(NamedTuple):
    """The conventions that an SR image depends on before it is scored; see `Conventions`."""

    mod_crop: int
    lr: str | None
    predicts: Predicts | None
    value_range: ValueRange | None
    order: str
    batch_norm: str | None
    restored: str | None


AXES = tuple(field.name for field in fields(Conventions))
SSIM_AXES = ("ssim", "ssim_of")

_TEXTS = {"border": "crop {}", "mod_crop": "mod-crop {}"}
_WORDS: dict[str, dict[Any, str]] = {
    "channels": {
        "rgb": "RGB",
        "y": "Y (BT.601 studio range)",
        "y-rounded": "Y (studio range, rounded)",
        "y-full": "Y (full range)",
        "y-full-rounded": "Y (full range, rounded)",
    },
    "lr": {
        "matlab": "LR by MATLAB (rounded once)",
        "matlab-twice": "LR by MATLAB (rounded twice)",
        "matlab-float": "LR by MATLAB (not rounded)",
        "pillow": "LR by Pillow",
        "torch-antialias": "LR by torch, antialiased",
        "torch": "LR by torch/OpenCV, no antialiasing",
        "stored": "stored LR",
    },
    "predicts": {"image": "output is the image", "residual": "output is the residual"},
    "value_range": {
        1.0: "white 1",
        255.0: "white 255",
        "symmetric": "range -1 to 1",
        "symmetric-output": "output -1 to 1",
    },
    "order": {"rgb": "RGB order", "bgr": "BGR order"},
    "batch_norm": {"eval": "eval mode", "train": "train mode"},
    "restored": {"whole": "whole image", "tiles": f"tiles of {TILES.size} LR pixels"},
    "registered": {False: "SR as it is", True: "SR moved onto HR"},
    "rounding": {"rounded": "clamped and rounded", "clamped": "not rounded", "none": "not clamped"},
    "mean": {"psnr": "mean of PSNR", "error": "PSNR of the mean error"},
    "ssim": {"uniform": "SSIM with 7x7 box", "gaussian": "SSIM with Gaussian"},
    "ssim_of": {
        "rgb": "SSIM mean over RGB",
        "y": "SSIM of Y",
        "y-rounded": "SSIM of rounded Y",
        "y-full": "SSIM of full-range Y",
        "y-full-rounded": "SSIM of rounded full-range Y",
    },
}


def scored_planes(image: Tensor, channels: Channels) -> Tensor:
    """Return the planes that are compared: RGB, or one kind of luma.

    Args:
        image: RGB `(3, H, W)` in [0, 1].
        channels: See `Conventions`.

    Example:
        >>> scored_planes(torch.full((3, 1, 1), 0.5), "y-rounded").mul(255).round().item()
        126.0
    """
    if channels == "rgb":
        return image
    plane = luma(image) if channels in ("y", "y-rounded") else rgb_to_ycbcr(image)[:1]
    return quantize(plane) if channels.endswith("rounded") else plane


def make_lr(hr: Tensor, rule: LR, scale: int) -> Tensor:
    """Return the LR image that a rule makes; all but "matlab-float" have 256 levels.

    "matlab" is the paper's rule, "matlab-twice" MATLAB's on 8-bit images. "pillow" is
    `Image.resize` of an 8-bit image, which antialiases. The two of torch are `interpolate` with
    and without antialiasing (a = -0.5 and -0.75). OpenCV's `INTER_CUBIC` on 8-bit images is the
    latter: it differs by one level in at most 1% of the pixels.

    Args:
        hr: `(3, H, W)` in [0, 1], with sides that are multiples of the scale.
        rule: How LR is made.
        scale: HR pixels per LR pixel.
    """
    if rule == "matlab":
        return Bicubic(scale)(hr)
    if rule == "matlab-float":
        return imresize(hr, 1 / scale)
    levels = to_levels(hr)
    if rule == "matlab-twice":
        return imresize_uint8(levels.to(torch.uint8), 1 / scale).to(hr) / 255
    if rule == "pillow":
        picture = Image.fromarray(levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy())
        size = hr.shape[-1] // scale, hr.shape[-2] // scale
        array = np.array(picture.resize(size, Image.Resampling.BICUBIC))
        return torch.from_numpy(array).permute(2, 0, 1).to(hr) / 255
    # Without antialiasing, many values are exact halves. Computed from levels in float64 they stay
    # so, and are all rounded up.
    lr = F.interpolate(
        levels[None].double(),
        scale_factor=1 / scale,
        mode="bicubic",
        antialias=rule == "torch-antialias",
    )
    return (lr[0].add(0.5).floor().clamp(0, 255) / 255).to(hr)


@dataclass(frozen=True)
class Space:
    """All sets of conventions that apply to a model and a data set.

    Attributes:
        protocols: The sets without departure, by the protocol's name.
        values: Axis -> its values, for the axes that have several. Not listed are `ssim_of`, and
            a network's `mod_crop`: their usual value depends on `channels` and on `lr`.
        scale: SR pixels per LR pixel.
    """

    protocols: Mapping[str, Conventions]
    values: Mapping[str, tuple[Any, ...]]
    scale: int

    def axes(self, *, ssim: bool = True) -> tuple[str, ...]:
        """Return the axes along which a set can depart, in the order of `Conventions`.

        Args:
            ssim: With those that only SSIM depends on.
        """
        known = {*self.values, "ssim_of"} | ({"mod_crop"} if MOD_CROP % self.scale == 0 else set())
        return tuple(axis for axis in AXES if axis in known and (ssim or axis not in SSIM_AXES))

    def departures(
        self, protocol: str, count: int, *, ssim: bool = True
    ) -> Iterator[tuple[tuple[str, ...], Conventions]]:
        """Yield every set that differs from a protocol in `count` conventions, with their axes."""
        base = self.protocols[protocol]
        for axes in combinations(self.axes(ssim=ssim), count):
            others = [
                [value for value in self.values[axis] if value != getattr(base, axis)]
                if axis in self.values
                else [None]
                for axis in axes
            ]
            for values in product(*others):
                yield axes, self._depart(base, dict(zip(axes, values, strict=True)))

    def _depart(self, base: Conventions, changes: Mapping[str, Any]) -> Conventions:
        changed = {axis: value for axis, value in changes.items() if axis in self.values}
        new = replace(base, **changed)
        ssim_of: Channels = new.channels
        if "ssim_of" in changes:
            ssim_of = "y" if new.channels == "rgb" else "rgb"
        new = replace(new, ssim_of=ssim_of)
        if "mod_crop" in self.values:
            return new
        crop = usual_crop(new.lr == "stored", self.scale)
        if "mod_crop" in changes:
            crop = self.scale if crop == MOD_CROP else MOD_CROP
        return replace(new, mod_crop=crop)


def find_space(model: AnyModel, data: ImageSet, *, is_shifted: bool = False) -> Space:
    """Return the conventions that apply.

    Args:
        model: A network or a folder of SR images, for which only the scoring can vary.
        data: The images; stored LR images are a convention where it has some.
        is_shifted: Whether registration found a shift that is worth undoing.
    """
    scale = data.scale
    values: dict[str, tuple[Any, ...]] = {
        "channels": tuple(_WORDS["channels"]),
        "border": (0, scale, scale + 6),
        "order": ("rgb", "bgr"),
        "rounding": ("rounded", "clamped", "none"),
        "mean": ("psnr", "error"),
        "ssim": ("uniform", "gaussian"),
    }
    if is_shifted:
        values["registered"] = (False, True)
    crop = usual_crop(not data.makes_lr, scale)
    network: dict[str, Any] = dict.fromkeys(("lr", "predicts", "value_range", "batch_norm"))
    if isinstance(model, SRImages):
        values["mod_crop"] = tuple({MOD_CROP: 0, scale: 0} if MOD_CROP % scale == 0 else {scale: 0})
    else:
        rules = [rule for rule in _WORDS["lr"] if rule != "stored"]
        values["lr"] = tuple(rules) if data.makes_lr else ("stored", *rules)
        values["predicts"] = ("image", "residual")
        other_white = 1.0 if model.value_range != 1 else 255.0
        values["value_range"] = (model.value_range, other_white)
        values["restored"] = ("whole", "tiles")
        network = {
            "lr": values["lr"][0],
            "predicts": model.predicts,
            "value_range": model.value_range,
        }
        network["batch_norm"] = None
        if has_batch_norm(model.network):
            values["batch_norm"] = ("eval", "train")
            network["batch_norm"] = "eval"
    space = Space({}, values, scale)

    def start(protocol: Protocol) -> Conventions:
        tiling = protocol.tiling(model.architecture, data.name)
        restored: Any = "whole" if tiling is None else "tiles"
        return Conventions(
            channels=protocol.channels,
            border=scale,
            mod_crop=crop,
            order="rgb",
            restored=None if isinstance(model, SRImages) else restored,
            registered=False,
            rounding="rounded",
            mean="psnr",
            ssim=protocol.kernel,
            ssim_of=protocol.channels,
            **network,
        )

    return replace(space, protocols={p.name: start(p) for p in (PAPER, Y_CHANNEL)})


def usual_crop(lr_is_stored: bool, scale: int) -> int:
    """Return the multiple that HR is cropped to; stored LR images cover what they cover."""
    return scale if lr_is_stored or MOD_CROP % scale else MOD_CROP


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether a network normalizes by running statistics, so that its mode matters."""
    return any(
        isinstance(layer, _BatchNorm) and layer.running_mean is not None
        for layer in network.modules()
    )
