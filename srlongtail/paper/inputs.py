"""The inputs of all figures."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tqdm import tqdm

from srlongtail.errors import InputError
from srlongtail.evaluation import check_scales
from srlongtail.geometry import Window, check_window
from srlongtail.image.dataset import ImageSet
from srlongtail.longtail.difference import DifferenceHistogram
from srlongtail.models.find import ZOO
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.studies import crop, tail
from srlongtail.studies.restored import RestoredImage


@dataclass(frozen=True)
class FigureInputs:
    """Models to compare with bicubic, images, and what to show of them.

    Args:
        networks: Any number of networks, without bicubic.
        data: The images.
        image: Name of the image to show; default: each figure chooses.
        window: The window to show; default: each figure chooses.
        ablation: Table of the focal-parameters grid; default: the shipped one.

    Raises:
        InputError: A network has another scale than the images, there is no such image, or the
            window is not inside the image to show.
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
            pair = self.restored.pair
            height, width = pair.hr.shape[-2:]
            check_window(self.window, height, width, pair.name)

    @cached_property
    def models(self) -> tuple[SRModel, ...]:
        """Bicubic, then the networks."""
        return (bicubic(self.data.scale), *self.networks)

    @property
    def shown_index(self) -> int:
        """Index of the image to show: the requested one, or the first."""
        return 0 if self.image is None else self.data.names.index(self.image)

    @property
    def shown(self) -> ImageSet:
        """The data set reduced to the image to show."""
        return self.data[self.shown_index : self.shown_index + 1]

    @cached_property
    def restored(self) -> RestoredImage:
        """The image to show, read and restored once for all figures."""
        return RestoredImage(self.shown[0])

    @cached_property
    def survey(self) -> "Survey":
        """The data of all images for Figures 1 and 3, from one pass over them.

        Two images are held besides the one to show: the current one, and that of the largest gain.
        """
        histogram = DifferenceHistogram.empty(model.name for model in self.models)
        search = crop.Search(self.models)
        for index in tqdm(range(len(self.data)), disable=None, unit="image"):
            shown = index == self.shown_index
            image = self.restored if shown else RestoredImage(self.data[index])
            histogram += DifferenceHistogram.of({m.name: image.difference(m) for m in self.models})
            search.add(image)
        long_tail = tail.LongTail.of(self.models, self.data.name, histogram)
        return Survey(long_tail, search.result())


@dataclass(frozen=True)
class Survey:
    """What figures show of all images.

    Attributes:
        tail: The AD of all images.
        largest_gain: The window, of all images, with the largest gain of one model over another.
    """

    tail: tail.LongTail
    largest_gain: crop.CropComparison
