"""A network with its conventions: the object that every analysis takes."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.device import device_of, eval_mode, is_out_of_memory
from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair
from srlongtail.image.resample import imresize, pad_symmetric, upsample_bicubic
from srlongtail.image.tiles import Pieces, Tiling, apply_in_pieces, apply_in_tiles
from srlongtail.models.adapt import Channels, Predicts, Reading, ValueRange, check_size
from srlongtail.models.diagnose_call import explained
from srlongtail.models.facts import Provenance

# For an image that does not fit in memory. Sizes and margins are multiples of what networks need,
# so that a piece begins where a block of the network does.
_PIECES: tuple[Pieces, ...] = (Pieces(256, 64), Pieces(128, 64), Pieces(64, 64), Pieces(32, 32))


class SRModel(nn.Module):
    """An SR network with its conventions, so that callers need not know them.

    Wraps any `nn.Module` that maps `(N, 3, h, w)` to `(N, 3, h * scale, w * scale)`, or one
    channel in the same way.

    Args:
        network: The network; it is switched to eval mode.
        scale: SR pixels per LR pixel.
        predicts: "image" or "residual"; see `Reading`, also for the settings up to `output`.
        value_range: White in the network's input and output.
        channels: Color channels of its input and output.
        enlarged: Whether it takes an enlarged image.
        takes_scale: Whether it takes the scale beside the image.
        output: Index or key of the SR image among several outputs.
        multiple: The LR image is padded so that its sides are multiples of this.
        name: Name of the model in tables and figures.
        provenance: Origin of the network.

    Raises:
        InputError: A setting is not one of those that `Reading` allows; or see `check_size`.

    Example:
        >>> model = SRModel(nn.Upsample(scale_factor=2), scale=2, name="nearest")
        >>> model(torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 10, 14])
    """

    def __init__(
        self,
        network: nn.Module,
        scale: int,
        *,
        predicts: Predicts = "image",
        value_range: ValueRange = 1.0,
        channels: Channels = "rgb",
        enlarged: bool = False,
        takes_scale: bool = False,
        output: int | str | None = None,
        multiple: int = 1,
        name: str = "network",
        provenance: Provenance | None = None,
    ) -> None:
        super().__init__()
        check_size("scale", scale, name)
        check_size("multiple", multiple, name)
        if isinstance(value_range, int):
            value_range = float(value_range)
        try:
            self.reading = Reading(predicts, value_range, channels, enlarged, takes_scale, output)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        self.network = network
        self.scale = scale
        self.multiple = multiple
        self.name = name
        self.provenance = provenance or Provenance()
        # Users who wrap a network themselves forget value_range=255; the first image shows it.
        self._range_is_checked = provenance is not None or value_range != 1
        self.eval()

    @classmethod
    def probed(
        cls, network: nn.Module, scale: int | None = None, *, name: str = "network", **known: Any
    ) -> "SRModel":
        """Return a model whose settings are detected, as `load_model` does.

        Args:
            network: The network; it is switched to eval mode and to float32.
            scale: SR pixels per LR pixel; default: derived from the size of the output.
            name: Name of the model in tables and figures.
            known: Other arguments of `SRModel`; they are not detected.

        Raises:
            InputError: The network cannot be run, or no reading of it makes sense.

        Example:
            >>> SRModel.probed(nn.Upsample(scale_factor=2, mode="bicubic"), name="cubic").scale
            2
        """
        from srlongtail.models.probe import find_out

        if scale is not None:
            known["scale"] = scale
        facts, tried = find_out(network.eval().float(), known, label=name)
        found = {key: value for key, (value, _) in facts.items()}
        provenance = Provenance(
            determined_by={
                key: by
                for key, (value, by) in facts.items()
                if value is not None and value is not False
            },
            probe="" if tried is None else str(tried),
        )
        return cls(network, **{**found, **known}, name=name, provenance=provenance)

    @property
    def architecture(self) -> str | None:
        """Name of the network in the catalog; None if it is not there."""
        return self.provenance.architecture

    @property
    def arm(self) -> str:
        """Parts of FPL that the network was trained with, by its recipe, else by its card.

        Without either, only the skip is known: such a network predicts the residual.
        """
        known = self.provenance
        by_recipe = known.training.arm if known.training else None
        return by_recipe or known.arm or ("skip" if self.predicts == "residual" else "baseline")

    @property
    def degradation(self) -> str:
        """Degradation that the network was trained for, by its recipe or card; default: bicubic."""
        known = self.provenance
        by_recipe = known.training.degradation if known.training else None
        return by_recipe or known.degradation or "bicubic"

    @property
    def predicts(self) -> Predicts:
        """The word "image" or "residual"; see `Reading`."""
        return self.reading.predicts

    @property
    def value_range(self) -> ValueRange:
        """1, 255 or a word; see `Reading`."""
        return self.reading.value_range

    @property
    def channels(self) -> Channels:
        """Color channels of the network's input and output; see `Reading`."""
        return self.reading.channels

    @property
    def device(self) -> torch.device:
        """The device of the network's weights."""
        return device_of(self.network)

    @property
    def settings(self) -> dict[str, Any]:
        """Scale, reading and input multiple by name: arguments that make an equal model."""
        return {"scale": self.scale, **asdict(self.reading), "multiple": self.multiple}

    def output(self, lr: Tensor) -> Tensor:
        """Return the network's own output in [0, 1] units, an image or a residual, for a loss.

        Args:
            lr: RGB `(N, 3, h, w)` in [0, 1].

        Returns:
            `(N, 3, h * scale, w * scale)`, not clamped.

        Raises:
            InputError: The input has another shape, or the network fails on it.
        """
        if lr.dim() != 4 or lr.shape[1] != 3:
            raise InputError(f"{self.name}: input {tuple(lr.shape)}, expected (N, 3, h, w)")
        return self.reading.decode(self.raw_output(lr), lr, self.scale)

    def raw_output(self, lr: Tensor, reading: Reading | None = None) -> Tensor:
        """Return the network's output in its own range and channels, at SR size.

        Args:
            lr: RGB `(N, 3, h, w)` in [0, 1].
            reading: How to make the input; default: the model's own reading.

        Returns:
            `(N, depth, h * scale, w * scale)`.

        Raises:
            InputError: The network fails, or its output has no gradient where one is needed.
        """
        return self.raw_outputs(lr, [reading or self.reading])[0]

    def raw_outputs(self, lr: Tensor, readings: Sequence[Reading]) -> list[Tensor]:
        """Run the network once, and return its output for each of several readings.

        Args:
            lr: RGB `(N, 3, h, w)` in [0, 1].
            readings: Readings that all give the network the same input.

        Returns:
            For each reading what `raw_output` returns.

        Raises:
            InputError: See `raw_output`.
        """
        height, width = lr.shape[-2:]
        padded = pad_symmetric(lr, 0, -height % self.multiple, axis=-2)
        padded = pad_symmetric(padded, 0, -width % self.multiple, axis=-1)
        try:
            with explained(f"the network failed on {tuple(padded.shape)}", self.network):
                returned = readings[0].run(self.network, padded, self.scale)
                outputs = [reading.pick(returned, padded, self.scale) for reading in readings]
        except InputError as error:
            raise error.about(self.name) from error
        # Otherwise the gradient of the bicubic skip would be mistaken for the network's.
        has_weights = next(self.network.parameters(), None) is not None
        no_gradient = has_weights and not all(output.requires_grad for output in outputs)
        if padded.requires_grad and no_gradient:
            raise InputError(
                f"{self.name}: the network's output has no gradient: is it computed under "
                f"torch.no_grad or torch.inference_mode, in NumPy, or detached?"
            )
        return [output[..., : height * self.scale, : width * self.scale] for output in outputs]

    def forward(self, lr: Tensor) -> Tensor:
        """Return the full SR image, differentiable and not clamped.

        Args:
            lr: RGB `(N, 3, h, w)` in [0, 1].

        Returns:
            `(N, 3, h * scale, w * scale)`, nominally in [0, 1].
        """
        output = self.output(lr).contiguous()  # whatever layout the network computes in
        if self.predicts == "residual":
            return output + upsample_bicubic(lr, self.scale)
        return output

    def restore_pair(
        self, pair: ImagePair, tile: Tiling | Pieces | None = None, **options: bool
    ) -> Tensor:
        """Return the SR image of a pair; see `restore`, and `SRImages.restore_pair`.

        Args:
            pair: The pair, whose LR image is restored.
            tile: See `restore`.
            options: See `restore`.
        """
        return self.restore(pair.lr, tile, **options)

    def record(self) -> dict[str, Any]:
        """Return name, settings and provenance of the model, as JSON values."""
        facts = ("name", "scale", "predicts", "value_range", "channels")
        return {**{key: getattr(self, key) for key in facts}, **self.provenance.record()}

    def restore(
        self, lr: Tensor, tile: Tiling | Pieces | None = None, *, clamp: bool = True
    ) -> Tensor:
        """Return the SR image as a user gets it: in eval mode, without gradients.

        Args:
            lr: RGB `(3, h, w)` or `(N, 3, h, w)`, in [0, 1].
            tile: Restore in these tiles and average the overlaps, or in these pieces; default: the
                whole image, or, if memory is short, pieces of it, with a warning. Pieces have a
                margin of 64 LR pixels (32 if memory is very short): the result is the same to 1e-5
                if no SR pixel depends on LR pixels farther away.
            clamp: Clamp the values to [0, 1].

        Returns:
            `(3, h * scale, w * scale)`, or `(N, 3, ...)` for several images, on the device of
            `lr`.

        Raises:
            InputError: The network fails on the image, or memory is too short for the smallest
                pieces.
        """
        images = lr if lr.dim() == 4 else lr[None]
        if not self._range_is_checked:
            self._check_range(images[:1])
        with eval_mode(self), torch.no_grad():
            each = [self._restore_one(image, tile, clamp) for image in images]
        return torch.stack(each) if lr.dim() == 4 else each[0]

    def _check_range(self, lr: Tensor) -> None:
        """Warn if the network only makes an image of values in [0, 255], not of those in [0, 1]."""
        self._range_is_checked = True
        if self.predicts == "residual":
            return
        readings = (self.reading, replace(self.reading, value_range=255.0))

        def errors(part: Tensor) -> list[Tensor]:
            low = upsample_bicubic(part, self.scale)
            outputs = [self.raw_output(part, reading) for reading in readings]
            decoded = zip(readings, outputs, strict=True)
            return [(r.decode(o, part, self.scale) - low).abs().mean() for r, o in decoded]

        lr = lr.to(self.device)
        with eval_mode(self), torch.no_grad():
            try:
                of_one, of_255 = errors(lr[..., :48, :48])
            except InputError:  # the network may need larger images
                of_one, of_255 = errors(lr)
        if of_255 < of_one / 4:
            warnings.warn(
                f"{self.name}: makes an image of levels in [0, 255] and none of values in [0, 1], "
                f"expected value_range=255; SRModel.probed detects such settings",
                stacklevel=3,
            )

    def _restore_one(self, lr: Tensor, tile: Tiling | Pieces | None, clamp: bool) -> Tensor:
        ways = self._ways(lr, tile, clamp)
        size = f"an LR image of {lr.shape[-2]} x {lr.shape[-1]}"
        for number, (words, restore) in enumerate(ways.items()):
            try:
                restored = restore()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                continue
            if number:
                warnings.warn(
                    f"{self.name}: {size} does not fit in memory; restored {words}", stacklevel=3
                )
            return restored
        raise InputError(f"{self.name}: {size} does not fit in memory, not even {words}")

    def _ways(
        self, lr: Tensor, tile: Tiling | Pieces | None, clamp: bool
    ) -> dict[str, Callable[[], Tensor]]:
        """Return ways to restore an image, each of which takes less memory than the one before."""

        def clamped(sr: Tensor) -> Tensor:
            return sr.clamp(0, 1) if clamp else sr

        def enlarge(part: Tensor) -> Tensor:
            return self(part.to(self.device)).to(lr.device)

        def in_tiles(tiling: Tiling, batch: int) -> Tensor:
            return clamped(apply_in_tiles(enlarge, lr, self.scale, tiling, batch))

        def in_pieces(pieces: Pieces) -> Tensor:
            # Clamped piece by piece: a second image of this size may not fit.
            return apply_in_pieces(lambda part: clamped(enlarge(part)), lr, self.scale, pieces)

        if isinstance(tile, Tiling):
            return {
                f"with {batch} tile{'s' * (batch > 1)} at a time": partial(in_tiles, tile, batch)
                for batch in (32, 8, 1)
            }
        ways: dict[str, Callable[[], Tensor]] = {}
        if tile is None:
            ways["as a whole"] = lambda: clamped(enlarge(lr[None])[0])
            sizes = _PIECES
        else:
            sizes = (tile, *(smaller for smaller in _PIECES if smaller.size < tile.size))
        for pieces in sizes:
            words = f"in pieces of {pieces.size} with a margin of {pieces.margin}"
            ways[words] = partial(in_pieces, pieces)
        return ways


class ZeroResidual(nn.Module):
    """The network that adds nothing to bicubic.

    Example:
        >>> ZeroResidual(scale=2)(torch.rand(1, 3, 4, 4)).shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, lr: Tensor) -> Tensor:
        """Return zeros `(N, C, h * scale, w * scale)` for an image `(N, C, h, w)`."""
        count, channels, height, width = lr.shape
        return lr.new_zeros(count, channels, height * self.scale, width * self.scale)


def bicubic(scale: int) -> SRModel:
    """Return torch's bicubic as a model like the others.

    Example:
        >>> bicubic(4).restore(torch.zeros(3, 2, 2)).shape
        torch.Size([3, 8, 8])
    """
    return SRModel(
        ZeroResidual(scale),
        scale,
        predicts="residual",
        name="bicubic",
        provenance=Provenance("bicubic", {"scale": scale}, arm="baseline"),
    )


class MatlabBicubic(nn.Module):
    """The bicubic enlargement of MATLAB's `imresize`: a = -0.5, borders mirrored.

    Example:
        >>> MatlabBicubic(scale=2)(torch.rand(1, 3, 4, 4)).shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, lr: Tensor) -> Tensor:
        """Return an image `(N, C, h, w)` at `(N, C, h * scale, w * scale)`, not clamped."""
        return imresize(lr, self.scale)


def matlab_bicubic(scale: int) -> SRModel:
    """Return MATLAB's bicubic as a model: the "bicubic" of most SR papers' tables.

    Torch's, which FPL builds on, has a = -0.75 and is sharper: 0.2 dB better on Set5 at x4.

    Example:
        >>> matlab_bicubic(4).restore(torch.zeros(3, 2, 2)).shape
        torch.Size([3, 8, 8])
    """
    return SRModel(
        MatlabBicubic(scale),
        scale,
        name="bicubic-matlab",
        provenance=Provenance("bicubic-matlab", {"scale": scale}, arm="baseline"),
    )


WITHOUT_WEIGHTS = {"bicubic": bicubic, "bicubic-matlab": matlab_bicubic}
"""Models without weights, by name; each takes the scale of the other models."""
