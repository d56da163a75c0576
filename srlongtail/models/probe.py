"""Find out what an undocumented network predicts, by trying it on a photo."""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from srlongtail.image.dataset import ImagePair, make_pair, open_image
from srlongtail.image.degrade import Bicubic
from srlongtail.models.adapt import Channels, Predicts, ValueRange
from srlongtail.models.sr_model import SRModel, bicubic

PROBE_PHOTO = "chelsea"
_CROP = (slice(None), slice(60, 252), slice(120, 312))  # the cat's eyes: 192 x 192, much detail
_NEAR = 1.5  # an error below this many times bicubic's is that of an SR network


@dataclass(frozen=True)
class Probe:
    """How a network's output is best read, and how close to HR each reading came.

    Errors are mean absolute ones over RGB, in levels of 255.
    """

    predicts: Predicts
    value_range: ValueRange
    error: float
    errors: dict[str, float]
    bicubic_error: float

    @property
    def conclusive(self) -> bool:
        """Whether this reading is at least in the neighbourhood of bicubic's error."""
        return self.error < _NEAR * self.bicubic_error

    def __str__(self) -> str:
        found = ", ".join(f"{error:.1f} as {name}" for name, error in self.errors.items())
        return (
            f"mean absolute error on the photo {PROBE_PHOTO!r}, in levels of 255: {found}; "
            f"bicubic {self.bicubic_error:.1f}{'' if self.conclusive else '; inconclusive'}"
        )


def probe(
    network: nn.Module,
    scale: int,
    *,
    multiple: int = 1,
    predicts: Predicts | None = None,
    value_range: ValueRange | None = None,
    channels: Channels = "rgb",
    name: str = "network",
) -> Probe:
    """Try a network's output as image and as residual, in range 1 and 255, on a photo.

    What is given is taken as known and not tried. Errors call the network by its `name`.

    >>> from srlongtail.models.sr_model import ZeroResidual
    >>> probe(ZeroResidual(4), scale=4, value_range=1).predicts
    'residual'
    """
    pair = _probe_pair(scale)
    low = bicubic(scale).restore(pair.lr)
    bicubic_error = _mean_level(low - pair.hr)
    errors: dict[tuple[Predicts, ValueRange], float] = {}
    informative = []
    as_predicted: tuple[Predicts, ...] = (predicts,) if predicts else ("image", "residual")
    for kind, white in product(as_predicted, (value_range,) if value_range else (1.0, 255.0)):
        model = SRModel(
            network,
            scale,
            predicts=kind,
            value_range=white,
            channels=channels,
            multiple=multiple,
            name=name,
        )
        sr = model.restore(pair.lr)
        errors[kind, white] = _mean_level(sr - pair.hr)
        # Read in the wrong range, an output can be next to nothing: bicubic then does the work.
        if kind == "image" or _mean_level(sr - low) > 1:
            informative.append((kind, white))
    good = [reading for reading in informative if errors[reading] < _NEAR * bicubic_error]
    usual = [reading for reading in errors if reading[1] == 1 or value_range]
    best = min(good or usual, key=lambda reading: errors[reading])
    names = {f"{kind} in [0, {white}]": error for (kind, white), error in errors.items()}
    return Probe(*best, errors[best], names, bicubic_error)


def _probe_pair(scale: int) -> ImagePair:
    photo = open_image(PROBE_PHOTO, scale)[0]
    return make_pair(photo.hr[_CROP], Bicubic(scale), photo.name)


def _mean_level(difference: Tensor) -> float:
    level = difference.abs().mean() * 255
    return float(torch.nan_to_num(level, nan=float("inf")))
