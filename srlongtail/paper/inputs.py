"""What every figure is computed from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from srlongtail.errors import InputError
from srlongtail.evaluation import check_scales
from srlongtail.geometry import Window, check_window
from srlongtail.image.dataset import ImagePair, ImageSet
from srlongtail.models.checkpoint import ZOO
from srlongtail.models.sr_model import SRModel, bicubic


@dataclass(frozen=True)
class FigureInputs:
    """Models to compare with bicubic, images, and what the user wants to see of them.

    Args:
        networks: any number, bicubic not among them.
        data: the images.
        image: the name of the image to show; None lets each figure choose.
        window: the crop to show; None lets the figure choose.
        ablation: the table of the focal-parameters grid; the shipped one unless given.

    Raises:
        InputError: networks of another scale than the images', no such image, or a window that
            is not inside the image to show.
    """

    networks: tuple[SRModel, ...]
    data: ImageSet
    image: str | None = None
    window: Window | None = None
    ablation: Path = ZOO / "focal-parameters.csv"

    def __post_init__(self) -> None:
        check_scales(self.networks, [self.data])
        if self.image is not None and self.image not in self.data.names:
            raise InputError(
                f"no image {self.image!r} in {self.data.name}, "
                f"expected one of {', '.join(self.data.names[:10])}"
            )
        if self.window is not None:
            pair = self.pair()
            height, width = pair.hr.shape[-2:]
            check_window(self.window, height, width, pair.name)

    @property
    def models(self) -> tuple[SRModel, ...]:
        """Bicubic, then the networks."""
        return (bicubic(self.data.scale), *self.networks)

    @cached_property
    def chosen(self) -> ImageSet:
        """The image asked for, or all."""
        if self.image is None:
            return self.data
        index = self.data.names.index(self.image)
        return self.data[index : index + 1]

    @cached_property
    def shown(self) -> ImageSet:
        """The one image asked for, or the first."""
        return self.chosen[:1]

    def pair(self) -> ImagePair:
        """The image asked for, or the first."""
        return self.shown[0]
