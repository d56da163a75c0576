"""A network plus what it is: the one object that every analysis takes."""

import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from srlongtail.device import device_of, eval_mode, is_out_of_memory
from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair
from srlongtail.image.resample import imresize, pad_symmetric, upsample_bicubic
from srlongtail.image.tiles import Tiling, apply_in_tiles
from srlongtail.models.adapt import Channels, Predicts, Reading, ValueRange
from srlongtail.models.diagnose_call import explained
from srlongtail.models.facts import Provenance

# Tiles for an image that does not fit in memory: wide overlaps, so that seams stay invisible.
SHORT_OF_MEMORY = Tiling(size=128, step=96)


class SRModel(nn.Module):
    """An SR network with its conventions, so that callers need not know them.

    Wraps any `nn.Module` that maps `(N, 3, h, w)` to `(N, 3, h * scale, w * scale)`, or one
    channel likewise.

    Args:
        network: the network itself; switched to eval mode.
        scale: SR pixels per LR pixel.
        predicts, value_range, channels, enlarged, takes_scale, output: how input and output are to
            be read; see `Reading`.
        multiple: LR sizes the network takes are multiples of this; others are padded for it.
        name: for tables and figures.
        provenance: where the network comes from.

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
        if not isinstance(scale, int) or scale < 1:
            raise InputError(f"{name}: scale {scale!r}, expected a positive integer")
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
        # A wrapper made by hand says 1 where 255 was forgotten; its first image tells.
        self._range_is_checked = provenance is not None or value_range != 1
        self.eval()

    @classmethod
    def probed(
        cls, network: nn.Module, scale: int | None = None, *, name: str = "network", **known: Any
    ) -> "SRModel":
        """Wrap a network after finding out how it is to be read, as `load_model` does.

        Args:
            network: switched to eval mode, and to float32.
            scale: SR pixels per LR pixel; by default that of the output's size.
            name: for tables and figures.
            known: other arguments of `SRModel`; these are not tried.

        Raises:
            InputError: the network cannot be run, or no reading of it makes sense.

        >>> SRModel.probed(nn.Upsample(scale_factor=2, mode="bicubic"), name="cubic").scale
        2
        """
        from srlongtail.models.probe import find_out

        if scale is not None:
            known["scale"] = scale
        facts, tried = find_out(network.eval().float(), known, label=name)
        found = {key: value for key, (value, _) in facts.items()}
        provenance = Provenance(
            determined_by={key: by for key, (value, by) in facts.items() if value},
            probe="" if tried is None else str(tried),
        )
        return cls(network, **{**found, **known}, name=name, provenance=provenance)

    @property
    def architecture(self) -> str | None:
        """The catalog's name of the network, where it has one."""
        return self.provenance.architecture

    @property
    def arm(self) -> str:
        """What of FPL the network was trained with, by its recipe, else by its card.

        Of a network that neither tells of, only the skip is known: it predicts the residual.
        """
        known = self.provenance
        by_recipe = known.training.arm if known.training else None
        return by_recipe or known.arm or ("skip" if self.predicts == "residual" else "baseline")

    @property
    def degradation(self) -> str:
        """What LR the network was trained for, by its recipe, else its card, else bicubic."""
        known = self.provenance
        by_recipe = known.training.degradation if known.training else None
        return by_recipe or known.degradation or "bicubic"

    @property
    def predicts(self) -> Predicts:
        """ "image" or "residual"."""
        return self.reading.predicts

    @property
    def value_range(self) -> ValueRange:
        """1, 255 or a word; see `Reading`."""
        return self.reading.value_range

    @property
    def channels(self) -> Channels:
        """Which colors the network takes and gives."""
        return self.reading.channels

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return device_of(self.network)

    def output(self, lr: Tensor) -> Tensor:
        """What the network itself says, in [0, 1] units: an image, or a residual.

        `(N, 3, h, w)` -> `(N, 3, h * scale, w * scale)`. A loss takes this.
        """
        if lr.dim() != 4 or lr.shape[1] != 3:
            raise InputError(f"{self.name}: input {tuple(lr.shape)}, expected (N, 3, h, w)")
        return self.reading.decode(self.raw_output(lr), lr, self.scale)

    def raw_output(self, lr: Tensor, reading: Reading | None = None) -> Tensor:
        """What the network itself makes, in its own range and channels, of SR size.

        Args:
            lr: RGB `(N, 3, h, w)` in [0, 1].
            reading: how the input is made; the model's own unless given.
        """
        height, width = lr.shape[-2:]
        padded = pad_symmetric(lr, 0, -height % self.multiple, axis=-2)
        padded = pad_symmetric(padded, 0, -width % self.multiple, axis=-1)
        try:
            with explained(f"the network failed on {tuple(padded.shape)}"):
                made = (reading or self.reading).run(self.network, padded, self.scale)
        except InputError as error:
            raise error.about(self.name) from error
        # Where bicubic is added, its gradient would pass for that of the network.
        has_weights = next(self.network.parameters(), None) is not None
        if padded.requires_grad and not made.requires_grad and has_weights:
            raise InputError(
                f"{self.name}: the network's output has no gradient: is it computed under "
                f"torch.no_grad or torch.inference_mode, in NumPy, or detached?"
            )
        return made[..., : height * self.scale, : width * self.scale]

    def forward(self, lr: Tensor) -> Tensor:
        """The full SR image, differentiable and not clamped: `(N, 3, h, w)` in [0, 1] -> SR."""
        output = self.output(lr)
        if self.predicts == "residual":
            return output + upsample_bicubic(lr, self.scale)
        return output

    def restore_pair(self, pair: ImagePair, tile: Tiling | None = None, **options: bool) -> Tensor:
        """Return what `restore` makes of a pair's LR image; `SRImages` has its own."""
        return self.restore(pair.lr, tile, **options)

    def record(self) -> dict[str, Any]:
        """Return what the model is and how it is read, as JSON values."""
        facts = ("name", "scale", "predicts", "value_range", "channels")
        return {**{key: getattr(self, key) for key in facts}, **self.provenance.record()}

    def restore(self, lr: Tensor, tile: Tiling | None = None, *, clamp: bool = True) -> Tensor:
        """What a user gets: eval mode, no gradient, in [0, 1], on the device of `lr`.

        Args:
            lr: `(3, h, w)` or `(N, 3, h, w)`, in [0, 1].
            tile: restore in these tiles and average the overlaps. None restores the whole image,
                or, where memory is short, tiles with a warning.
            clamp: to [0, 1]; otherwise the values are as the network gives them.
        """
        images = lr if lr.dim() == 4 else lr[None]
        if not self._range_is_checked:
            self._check_range(images[:1])
        with eval_mode(self), torch.no_grad():
            restored = torch.stack([self._restore_one(image, tile) for image in images])
        restored = restored if lr.dim() == 4 else restored[0]
        return (restored.clamp(0, 1) if clamp else restored).to(lr.device)

    def _check_range(self, lr: Tensor) -> None:
        """Warn where the network makes an image of levels in [0, 255], and none in [0, 1]."""
        self._range_is_checked = True
        if self.predicts == "residual":
            return
        part = lr[..., :48, :48].to(self.device)
        low = upsample_bicubic(part, self.scale)
        with eval_mode(self), torch.no_grad():
            errors = [
                (reading.decode(self.raw_output(part, reading), part, self.scale) - low)
                .abs()
                .mean()
                for reading in (self.reading, replace(self.reading, value_range=255.0))
            ]
        if errors[1] < errors[0] / 4:
            warnings.warn(
                f"{self.name}: makes an image of levels in [0, 255] and none of values in [0, 1], "
                f"expected value_range=255; SRModel.probed finds such settings out",
                stacklevel=3,
            )

    def _restore_one(self, lr: Tensor, tile: Tiling | None) -> Tensor:
        lr = lr.to(self.device)
        if tile is not None:
            return apply_in_tiles(self, lr, self.scale, tile)
        try:
            return self(lr[None])[0]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        warnings.warn(
            f"{self.name}: an LR image of {lr.shape[-2]} x {lr.shape[-1]} does not fit in memory; "
            f"restored in tiles of {SHORT_OF_MEMORY.size}",
            stacklevel=3,
        )
        return apply_in_tiles(self, lr, self.scale, SHORT_OF_MEMORY, batch=1)


class ZeroResidual(nn.Module):
    """The network that adds nothing to bicubic.

    >>> ZeroResidual(scale=2)(torch.rand(1, 3, 4, 4)).shape
    torch.Size([1, 3, 8, 8])
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, lr: Tensor) -> Tensor:
        """`(N, C, h, w)` -> zeros `(N, C, h * scale, w * scale)`."""
        count, channels, height, width = lr.shape
        return lr.new_zeros(count, channels, height * self.scale, width * self.scale)


def bicubic(scale: int) -> SRModel:
    """Torch's bicubic as a model like the others.

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

    >>> MatlabBicubic(scale=2)(torch.rand(1, 3, 4, 4)).shape
    torch.Size([1, 3, 8, 8])
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, lr: Tensor) -> Tensor:
        """`(N, C, h, w)` -> `(N, C, h * scale, w * scale)`, not clamped."""
        return imresize(lr, self.scale)


def matlab_bicubic(scale: int) -> SRModel:
    """MATLAB's bicubic as a model: the "bicubic" of most SR papers' tables.

    Torch's, which FPL builds on, has a = -0.75 and is sharper: 0.2 dB better on Set5 at x4.

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
"""Models that are no networks, by name: each takes whatever scale the others have."""
