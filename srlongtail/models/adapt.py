"""What networks want and give: channels, ranges, sizes, several outputs, an enlarged input."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter as Argument
from inspect import signature
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from srlongtail.errors import InputError, Parameter
from srlongtail.image.color import luma, rgb_to_ycbcr, ycbcr_to_rgb
from srlongtail.image.resample import imresize, upsample_bicubic
from srlongtail.models.diagnose_call import likely_cause, tensor_returned

Predicts = Literal["image", "residual"]
Channels = Literal["rgb", "bgr", "y", "ycbcr"]
ValueRange = float | Literal["symmetric", "symmetric-output"]

VALUE_RANGES: tuple[ValueRange, ...] = (1.0, 255.0, "symmetric", "symmetric-output")

_LUMA_GAIN = 255 / 219  # from luma in studio range, which networks take, to red, green and blue


@dataclass(frozen=True)
class Reading:
    """How a network's input is made of an RGB image in [0, 1], and what its output means.

    Attributes:
        predicts: "image", or "residual" over torch's bicubic, as FPL networks do (Eq. 6).
        value_range: 1 or 255, the white of input and output; "symmetric": both in [-1, 1];
            "symmetric-output": input in [0, 1], output in [-1, 1].
        channels: "rgb", "bgr", "ycbcr" (full range, as in JPEG), or "y" (one channel, BT.601 in
            studio range, as MATLAB's `rgb2ycbcr`): the network restores luma, bicubic the color.
        enlarged: the network wants the LR image enlarged to SR size, by MATLAB's bicubic, and
            returns one of that size, as SRCNN and VDSR.
        takes_scale: the network wants the scale beside the image, as the official CARN.
        output: which of several outputs is the SR image, by index or key; None for one output.

    Raises:
        InputError: a value that is none of these.

    >>> Reading(value_range=255).encode(torch.ones(1, 3, 1, 1)).max()
    tensor(255.)
    """

    predicts: Predicts = "image"
    value_range: ValueRange = 1.0
    channels: Channels = "rgb"
    enlarged: bool = False
    takes_scale: bool = False
    output: int | str | None = None

    def __post_init__(self) -> None:
        if self.predicts not in get_args(Predicts):
            raise InputError(f"predicts {self.predicts!r}, expected 'image' or 'residual'")
        if isinstance(self.value_range, bool) or self.value_range not in VALUE_RANGES:
            raise InputError(
                f"value range {self.value_range!r}, expected 1, 255, 'symmetric' or "
                f"'symmetric-output'"
            )
        if self.channels not in get_args(Channels):
            known = ", ".join(get_args(Channels))
            raise InputError(f"channels {self.channels!r}, expected one of {known}")
        for key in ("enlarged", "takes_scale"):
            if not isinstance(getattr(self, key), bool):
                raise InputError(f"{key} {getattr(self, key)!r}, expected true or false")
        if isinstance(self.output, bool) or not isinstance(self.output, int | str | None):
            raise InputError(f"output {self.output!r}, expected an index or a key")

    @property
    def depth(self) -> int:
        """The number of channels that the network takes and gives."""
        return 1 if self.channels == "y" else 3

    def run(self, network: nn.Module, lr: Tensor, scale: int) -> Tensor:
        """Return what a network makes of an LR image: `(N, depth, h * scale, w * scale)`.

        Args:
            network: takes the image, and the scale if it `takes_scale`.
            lr: RGB `(N, 3, h, w)` in [0, 1]; its sides suit the network.
            scale: SR pixels per LR pixel.

        Raises:
            InputError: the output is no image of this size.
        """
        given = self.encode(imresize(lr, scale) if self.enlarged else lr)
        own = given.clone()  # some networks overwrite their input
        made = network(own, scale) if self.takes_scale else network(own)
        made = tensor_returned(made if self.output is None else made[self.output])
        expected = (len(lr), self.depth, *(side * scale for side in lr.shape[-2:]))
        if made.shape != expected:
            raise InputError(
                f"the network turned {tuple(given.shape)} into {tuple(made.shape)}, expected "
                f"{expected} at scale {scale}"
            )
        return made

    def encode(self, image: Tensor) -> Tensor:
        """Return the network's input for an RGB image `(N, 3, h, w)` in [0, 1]."""
        if self.channels == "bgr":
            image = image.flip(-3)
        elif self.channels == "y":
            image = luma(image)
        elif self.channels == "ycbcr":
            image = rgb_to_ycbcr(image)
        if self.value_range == "symmetric":
            return image * 2 - 1
        return image * 255 if self.value_range == 255 else image

    def decode(self, output: Tensor, lr: Tensor, scale: int) -> Tensor:
        """Return the network's output as RGB in [0, 1] units: an image, or a residual.

        Args:
            output: what the network made, `(N, depth, h * scale, w * scale)`.
            lr: what it was made from, RGB `(N, 3, h, w)` in [0, 1].
            scale: SR pixels per LR pixel.
        """
        is_image = self.predicts == "image"
        if self.value_range == 255:
            output = output / 255
        elif self.value_range != 1:
            output = (output + 1) / 2 if is_image else output / 2
        if self.channels == "bgr":
            return output.flip(-3)
        if self.channels == "ycbcr":
            # The conversion is affine: for a residual, only its linear part counts.
            rgb = ycbcr_to_rgb(output)
            return rgb if is_image else rgb - ycbcr_to_rgb(torch.zeros_like(output))
        if self.channels == "y":
            # Chroma is bicubic's: what luma gains over bicubic's is added to red, green and blue.
            if not is_image:
                return (output * _LUMA_GAIN).expand(-1, 3, -1, -1)
            low = upsample_bicubic(lr, scale)
            return low + (output - luma(low)) * _LUMA_GAIN
        return output


@dataclass(frozen=True)
class Demands:
    """What was found out about a network by trying it on images of several sizes.

    Attributes:
        scale: SR pixels per LR pixel.
        depth: channels that it takes, 1 or 3.
        multiple: what the sides of its input must be a multiple of.
        enlarged, takes_scale, output: see `Reading`.
    """

    scale: int
    depth: int
    multiple: int
    enlarged: bool
    takes_scale: bool
    output: int | str | None


_SIDES = (48, 64, 56, 60, 36, 44, 52)  # each a multiple of many numbers up to 64


def find_demands(
    network: nn.Module,
    *,
    scale: int | None = None,
    depth: int | None = None,
    multiple: int | None = None,
    enlarged: bool | None = None,
    scale_hint: int | None = None,
) -> Demands:
    """Try a network on noise: which sizes it takes, and what it makes of them.

    Args:
        network: in eval mode.
        scale, depth, multiple, enlarged: what is known already.
        scale_hint: the scale where nothing else tells it, as by the file's name.

    Raises:
        InputError: it takes none of the images tried, or nothing tells the scale.

    >>> find_demands(nn.PixelShuffle(2), depth=4, scale=2)
    Traceback (most recent call last):
    ...
    srlongtail.errors.InputError: the network turned (1, 4, 48, 48) into (1, 1, 96, 96), \
expected an image of 4 channels whose sides are a whole number of times as large
    >>> find_demands(nn.Upsample(scale_factor=3)).scale
    3
    """
    takes_scale = _takes_scale(network)
    if takes_scale:
        scale = scale or scale_hint
    if takes_scale and scale is None:
        raise InputError(
            "the network takes the scale, which nothing tells; expected ", Parameter("scale", "N")
        )
    extra = (scale,) if takes_scale else ()
    sides = [multiple * -(-48 // multiple)] if multiple else _SIDES
    made, side = None, 0
    first: BaseException | None = None
    for candidate in (depth,) if depth else (3, 1):
        for side in sides:
            try:
                made = _run(network, candidate, side, extra)
            except (Exception, SystemExit) as error:  # code of a user can raise anything
                first = first or error
                continue
            depth = candidate
            break
        if made is not None:
            break
    if first is None and made is None:
        tensor_returned(made)
    if made is None or depth is None:
        cause = likely_cause(first) if first else ()
        raise InputError("the network cannot be run on an image: ", *cause) from first
    output, ratio = _choose_output(made, depth, side, scale, enlarged)
    if ratio == 1 and scale != 1 and enlarged is None:
        enlarged = True
    if scale is None:
        if enlarged:
            scale = scale_hint
        if enlarged and scale is None:
            raise InputError(
                "the network returns an image of its input's size, so it wants an enlarged one, "
                "and nothing tells the scale; expected ",
                Parameter("scale", "N"),
            )
        scale = scale or ratio
    if multiple is None:
        kept = (output, ratio)

        def works(other: int) -> bool:
            try:
                image = _run(network, depth, other, extra)
                return _choose_output(image, depth, other, ratio, ratio == 1) == kept
            except Exception:  # whatever the network raises, it does not take this size
                return False

        # What divides the side that works and is a step to another one is what sides must be a
        # multiple of.
        divisors = (m for m in range(1, side + 1) if side % m == 0)
        multiple = next((m for m in divisors if works(side + m)), side)
    return Demands(scale, depth, multiple, bool(enlarged), takes_scale, output)


def _takes_scale(network: nn.Module) -> bool:
    """Whether the second argument of a network, which it must be given, is the scale."""
    try:
        arguments = list(signature(network.forward).parameters.values())
    except (TypeError, ValueError):
        return False
    return (
        len(arguments) > 1
        and arguments[1].default is Argument.empty
        and arguments[1].kind in (Argument.POSITIONAL_ONLY, Argument.POSITIONAL_OR_KEYWORD)
        and ("scale" in arguments[1].name or arguments[1].name in ("s", "factor", "upscale"))
    )


def _run(network: nn.Module, depth: int, side: int, extra: tuple[Any, ...]) -> Any:
    noise = torch.rand(1, depth, side, side, generator=torch.Generator().manual_seed(0))
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    with torch.no_grad():
        return network(noise.to(device), *extra)


def _outputs(made: Any) -> Iterator[tuple[int | str | None, Tensor]]:
    """The tensors of what a network returns, each with what picks it out."""
    if isinstance(made, Tensor):
        yield None, made
    elif isinstance(made, Mapping):
        yield from ((k, v) for k, v in made.items() if isinstance(v, Tensor) and isinstance(k, str))
    elif isinstance(made, list | tuple):
        yield from ((index, v) for index, v in enumerate(made) if isinstance(v, Tensor))


def _choose_output(
    made: Any, depth: int, side: int, scale: int | None, enlarged: bool | None
) -> tuple[int | str | None, int]:
    """Which output is the SR image, and how many times as large as the input it is.

    It is the one of the SR size, or, where the scale is not known, the largest; of several of one
    size the last, as networks return their stages.
    """
    images = {
        which: tensor.shape[-1] // side
        for which, tensor in _outputs(made)
        if tensor.dim() == 4
        and tensor.shape[1] == depth
        and tensor.shape[-1] == tensor.shape[-2]
        and tensor.shape[-1] % side == 0
    }
    if not images:
        shapes = [f"{tuple(tensor.shape)}" for _, tensor in _outputs(made)]
        if not shapes:
            tensor_returned(made)  # which says what came instead
        raise InputError(
            f"the network turned (1, {depth}, {side}, {side}) into {', '.join(shapes)}, expected "
            f"an image of {depth} channels whose sides are a whole number of times as large"
        )
    there = set(images.values())
    if enlarged:
        wanted = 1
    elif scale is None:
        wanted = max(there)
    else:
        wanted = 1 if enlarged is None and scale not in there and 1 in there else scale
    fitting = [which for which, ratio in images.items() if ratio == wanted]
    if not fitting:
        found = ", ".join(f"x{ratio}" for ratio in images.values())
        raise InputError(f"the network makes images of {found}, expected x{wanted}")
    return fitting[-1], images[fitting[-1]]
