"""What a network takes and returns: channels, ranges, sizes, several outputs, an enlarged input."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter as Argument
from inspect import signature
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from srlongtail.device import device_of
from srlongtail.errors import InputError, Parameter
from srlongtail.image.color import luma, rgb_to_ycbcr, ycbcr_to_rgb
from srlongtail.image.resample import imresize, upsample_bicubic
from srlongtail.models.diagnose_call import likely_cause, tensor_returned

Predicts = Literal["image", "residual"]
Channels = Literal["rgb", "bgr", "y", "ycbcr"]
ValueRange = float | Literal["symmetric", "symmetric-output"]

VALUE_RANGES: tuple[ValueRange, ...] = (1.0, 255.0, "symmetric", "symmetric-output")

_LARGEST = {"scale": 32, "multiple": 256}  # beyond what networks have, and what memory bears

_LUMA_GAIN = 255 / 219  # from luma in studio range, which networks take, to red, green and blue


def check_size(key: Literal["scale", "multiple"], value: object, label: str) -> None:
    """Raise an error if a scale, or the multiple that sides are padded to, is not usable.

    Args:
        key: Which of them.
        value: Its value, of any type.
        label: Name of the network in the error.

    Raises:
        InputError: It is not a whole number from 1 to 32 (scale) or to 256 (multiple).

    Example:
        >>> check_size("scale", 4, "mine.pth")
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 1 <= value <= _LARGEST[key]:  # type: ignore[operator]
        raise InputError(
            f"{label}: {key} {value!r:.40}, expected a whole number from 1 to {_LARGEST[key]}"
        )


@dataclass(frozen=True)
class Reading:
    """How a network's input is made from an RGB image in [0, 1], and what its output means.

    Attributes:
        predicts: "image", or "residual" over torch's bicubic, as FPL networks do (Eq. 6).
        value_range: 1 or 255, the white of input and output; "symmetric": both in [-1, 1];
            "symmetric-output": input in [0, 1], output in [-1, 1].
        channels: "rgb", "bgr", "ycbcr" (full range, as in JPEG), or "y" (one channel, BT.601 in
            studio range, as MATLAB's `rgb2ycbcr`): the network restores luma, bicubic the color.
        enlarged: Whether the network takes the LR image enlarged to SR size by MATLAB's bicubic,
            and returns an image of the same size, as SRCNN and VDSR do.
        takes_scale: Whether the network takes the scale beside the image, as the official CARN
            does.
        output: Index or key of the SR image among several outputs; None for one output.

    Raises:
        InputError: A value is none of these.

    Example:
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
        """Number of channels of the network's input and output."""
        return 1 if self.channels == "y" else 3

    def run(self, network: nn.Module, lr: Tensor, scale: int) -> Any:
        """Run a network on an LR image, and return whatever it returns.

        Args:
            network: Takes the image, and the scale if `takes_scale` is set.
            lr: RGB `(N, 3, h, w)` in [0, 1]; its sides suit the network.
            scale: SR pixels per LR pixel.
        """
        given = self.encode(imresize(lr, scale) if self.enlarged else lr)
        own = given.clone()  # some networks overwrite their input
        return _call_with_scale(network, own, scale) if self.takes_scale else network(own)

    def pick(self, returned: Any, lr: Tensor, scale: int) -> Tensor:
        """Return the SR image or residual among what a network returned, in its own channels.

        Args:
            returned: What `run` returned.
            lr: The image that it was run on, `(N, 3, h, w)`.
            scale: SR pixels per LR pixel.

        Returns:
            `(N, depth, h * scale, w * scale)`, in the precision of `lr`.

        Raises:
            InputError: There is no such output, or it is not an image of this size.
        """
        made = tensor_returned(self._output_of(returned))
        count, _, height, width = lr.shape
        expected = (count, self.depth, height * scale, width * scale)
        if made.shape != expected:
            factor = scale if self.enlarged else 1
            given = (count, self.depth, height * factor, width * factor)
            raise InputError(
                f"the network turned {given} into {tuple(made.shape)}, expected {expected} at "
                f"scale {scale}"
            )
        return made.to(lr.dtype)

    def _output_of(self, returned: Any) -> Any:
        if self.output is None:
            return returned
        try:
            if not isinstance(returned, Tensor):  # whose index would be one of the batch
                return returned[self.output]
        except (LookupError, TypeError):
            pass
        there = ", ".join(repr(which) for which, _ in _outputs(returned) if which is not None)
        raise InputError(
            f"output {self.output!r} of the network, expected "
            f"{f'one of {there}' if there else 'none, because it returns one tensor'}"
        )

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
            output: The network's output, `(N, depth, h * scale, w * scale)`.
            lr: The LR image it was made from, RGB `(N, 3, h, w)` in [0, 1].
            scale: SR pixels per LR pixel.

        Returns:
            `(N, 3, h * scale, w * scale)`, not clamped.
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
            # Chroma is bicubic's: the gain of luma over bicubic's is added to red, green and blue.
            if not is_image:
                return (output * _LUMA_GAIN).expand(-1, 3, -1, -1)
            low = upsample_bicubic(lr, scale)
            return low + (output - luma(low)) * _LUMA_GAIN
        return output


@dataclass(frozen=True)
class Demands:
    """What was found out about a network by running it on images of several sizes.

    Attributes:
        scale: SR pixels per LR pixel.
        depth: Number of channels of its input, 1 or 3.
        multiple: The sides of its input must be multiples of this.
        enlarged: Whether it takes an enlarged image; see `Reading`.
        takes_scale: Whether it takes the scale; see `Reading`.
        outputs: Indices or keys of the outputs that may be the SR image, the most likely one
            first; (None,) for a network that returns one tensor.
    """

    scale: int
    depth: int
    multiple: int
    enlarged: bool
    takes_scale: bool
    outputs: tuple[int | str | None, ...]

    @property
    def output(self) -> int | str | None:
        """The most likely output."""
        return self.outputs[0]


# The first ones are multiples of many numbers up to 64; the last ones are for networks that need
# large images.
_SIDES = (48, 64, 56, 60, 36, 44, 52, 96, 128, 192, 256)


def find_demands(
    network: nn.Module,
    *,
    scale: int | None = None,
    depth: int | None = None,
    multiple: int | None = None,
    enlarged: bool | None = None,
    scale_hint: int | None = None,
) -> Demands:
    """Run a network on noise to find out which sizes it takes, and what it returns for them.

    Args:
        network: The network, in eval mode.
        scale: SR pixels per LR pixel, if it is known.
        depth: Number of channels of the input, if it is known.
        multiple: What the sides of the input are multiples of, if it is known.
        enlarged: Whether the network takes an enlarged image, if it is known.
        scale_hint: Scale to use if nothing else determines it, such as the one in the file's name.

    Raises:
        InputError: The network takes none of the images tried, or the scale cannot be determined.

    Example:
        >>> find_demands(nn.PixelShuffle(2), depth=4, scale=2)
        Traceback (most recent call last):
        ...
        srlongtail.errors.InputError: the network turned (1, 4, 48, 48) into (1, 1, 96, 96), \
expected an image of 4 channels whose sides are a whole number of times as large
        >>> find_demands(nn.Upsample(scale_factor=3)).scale
        3
    """
    argument = _scale_argument(network)
    takes_scale = argument is not None and argument.default is Argument.empty
    if takes_scale:
        scale = scale or scale_hint
        if scale is None:
            raise InputError(
                "the network takes the scale, which is unknown; expected ", Parameter("scale", "N")
            )
    given_scale = scale if takes_scale else None
    returned, depth, side = _first_run(network, depth, multiple, given_scale)
    outputs, ratio = _choose_outputs(returned, depth, side, scale, enlarged)
    if ratio == 1 and scale != 1 and enlarged is None:
        enlarged = True
    if scale is None:
        if enlarged:
            scale = scale_hint
        if enlarged and scale is None:
            raise InputError(
                "the network returns an image of its input's size, so it takes an enlarged one, "
                "and the scale is unknown; expected ",
                Parameter("scale", "N"),
            )
        scale = scale or ratio
    if multiple is None:

        def works(other: int) -> bool:
            try:
                image = _run(network, depth, other, given_scale)
                found = _choose_outputs(image, depth, other, ratio, ratio == 1)
            except Exception:  # whatever the network raises, it does not take this size
                return False
            return found == (outputs, ratio)

        # Sides must be multiples of the smallest divisor of the side that works which, added to
        # that side, gives another one that works.
        divisors = (m for m in range(1, side + 1) if side % m == 0)
        multiple = next((m for m in divisors if works(side + m)), side)
    return Demands(scale, depth, multiple, bool(enlarged), takes_scale, outputs)


def _scale_argument(network: nn.Module) -> Argument | None:
    """Return the argument of a network's forward that is the scale, if there is one.

    It is the second one, or one that is passed by name only.
    """
    try:
        arguments = list(signature(network.forward).parameters.values())
    except (TypeError, ValueError):
        return None
    by_place = (Argument.POSITIONAL_ONLY, Argument.POSITIONAL_OR_KEYWORD)
    candidates = [a for a in arguments[1:2] if a.kind in by_place]
    candidates += [a for a in arguments if a.kind is Argument.KEYWORD_ONLY]
    names = ("s", "factor", "upscale")
    return next((a for a in candidates if "scale" in a.name or a.name in names), None)


def _call_with_scale(network: nn.Module, image: Tensor, scale: int) -> Any:
    argument = _scale_argument(network)
    if argument is not None and argument.kind is Argument.KEYWORD_ONLY:
        return network(image, **{argument.name: scale})
    return network(image, scale)


def _first_run(
    network: nn.Module, depth: int | None, multiple: int | None, scale: int | None
) -> tuple[Any, int, int]:
    """Return what a network returns for the first image that it takes, its depth and its side."""
    sides = [multiple * -(-side // multiple) for side in (48, *_SIDES[-4:])] if multiple else _SIDES
    first: BaseException | None = None
    for candidate in (depth,) if depth else (3, 1):
        for side in sides:
            try:
                returned = _run(network, candidate, side, scale)
            except (Exception, SystemExit) as error:  # code of a user can raise anything
                first = first or error
                continue
            if returned is None:
                tensor_returned(returned)  # which raises an error
            return returned, candidate, side
    assert first is not None, "every run failed"
    raise InputError(
        "the network cannot be run on an image: ", *likely_cause(first, network)
    ) from first


def _run(network: nn.Module, depth: int, side: int, scale: int | None) -> Any:
    noise = torch.rand(1, depth, side, side, generator=torch.Generator().manual_seed(0))
    noise = noise.to(device_of(network))
    with torch.no_grad():
        return network(noise) if scale is None else _call_with_scale(network, noise, scale)


def _outputs(returned: Any) -> Iterator[tuple[int | str | None, Tensor]]:
    """Yield the tensors that a network returned, each with its index or key."""
    if isinstance(returned, Tensor):
        yield None, returned
    elif isinstance(returned, Mapping):
        items = returned.items()
        yield from ((k, v) for k, v in items if isinstance(v, Tensor) and isinstance(k, str))
    elif isinstance(returned, list | tuple):
        yield from ((index, v) for index, v in enumerate(returned) if isinstance(v, Tensor))


def _choose_outputs(
    returned: Any, depth: int, side: int, scale: int | None, enlarged: bool | None
) -> tuple[tuple[int | str | None, ...], int]:
    """Return the outputs that may be the SR image, and how many times as large as the input.

    They are those of SR size, or, if the scale is unknown, the largest ones. The last one comes
    first, because networks that return the images of their stages return the best one last.
    """
    images = {
        which: tensor.shape[-1] // side
        for which, tensor in _outputs(returned)
        if tensor.dim() == 4
        and tensor.shape[1] == depth
        and tensor.shape[-1] == tensor.shape[-2]
        and tensor.shape[-1] % side == 0
    }
    if not images:
        shapes = [f"{tuple(tensor.shape)}" for _, tensor in _outputs(returned)]
        if not shapes:
            tensor_returned(returned)  # which raises an error
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
    fitting = tuple(which for which, ratio in images.items() if ratio == wanted)
    if not fitting:
        found = ", ".join(f"x{ratio}" for ratio in images.values())
        raise InputError(f"the network makes images of {found}, expected x{wanted}")
    return fitting[::-1], wanted
