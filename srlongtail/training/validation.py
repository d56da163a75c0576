"""What is measured while a network trains: PSNR, SSIM, and the error of head and tail apart."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, ImageSet, open_data, photos
from srlongtail.image.degrade import named_degradation
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.difference import DifferenceHistogram, absolute_difference
from srlongtail.longtail.tail import Limits
from srlongtail.metrics import PAPER, mean_psnr
from srlongtail.models.sr_model import SRModel
from srlongtail.training.patches import PatchBank
from srlongtail.training.recipe import Recipe


@dataclass(frozen=True)
class BandFit:
    """Mean absolute difference (AD) of luma, in levels of 255, in two bands of pixels.

    Bands are of bicubic's AD, so that they are the same for every model; see `Limits.pooled`.
    """

    head_ad_levels: float
    tail_ad_levels: float


@dataclass(frozen=True)
class Fit(BandFit):
    """How well a model does on a data set; PSNR and SSIM by the paper's protocol."""

    psnr_db: float
    ssim: float

    def as_dict(self) -> dict[str, float]:
        """Return the four numbers by name."""
        return asdict(self)


class Bands:
    """The limits of head and tail, found once for a set of images.

    Example:
        >>> image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
        >>> bands = Bands([ImagePair("noise", image, image[..., ::4, ::4])])
        >>> 0 < bands.limits.head_below < bands.limits.tail_above
        True
    """

    def __init__(self, pairs: Iterable[ImagePair]) -> None:
        histogram = DifferenceHistogram.empty(["bicubic"])
        for pair in pairs:
            histogram += DifferenceHistogram.of({"bicubic": _bicubic_difference(pair)})
        self.limits = Limits.pooled(histogram)

    def error(self, restored: Iterable[tuple[ImagePair, Tensor]]) -> BandFit:
        """Mean AD of restored images in either band."""
        sums, counts = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
        for pair, sr in restored:
            prior, difference = _bicubic_difference(pair), absolute_difference(sr, pair.hr)
            for band, pixels in enumerate((self.limits.head(prior), self.limits.tail(prior))):
                sums[band] += difference[pixels].double().sum().cpu()
                counts[band] += pixels.sum().cpu()
        return BandFit(*(sums / counts).tolist())


class Validation:
    """A data set that models are measured on again and again.

    Args:
        name: Of the data set.
        pairs: Its images; read anew each time unless they are a list.

    Example:
        >>> from srlongtail.models.sr_model import bicubic
        >>> validation = Validation("photos", photos(4)[1:2])
        >>> validation.measure(bicubic(4)).psnr_db
        30.1...
    """

    def __init__(self, name: str, pairs: Sequence[ImagePair]) -> None:
        self.name = name
        self.pairs = pairs
        self.bands = Bands(pairs)

    @classmethod
    def of(cls, recipe: Recipe) -> "Validation":
        """Return the validation images of a recipe: a data folder's, else the built-in photos."""
        images = validation_set(recipe.validation, recipe)
        return cls(images.name, images if recipe.validation else list(images))

    def measure(self, model: SRModel) -> Fit:
        """Restore all images and score them, as `evaluate` does."""
        scores = []

        def restored() -> Iterable[tuple[ImagePair, Tensor]]:
            for pair in self.pairs:
                sr = model.restore(pair.lr, PAPER.tiling(model.architecture, pair.dataset))
                scores.append(PAPER.score(sr, pair.hr, pair.scale))
                yield pair, sr

        error = self.bands.error(restored())
        return Fit(
            error.head_ad_levels,
            error.tail_ad_levels,
            psnr_db=mean_psnr(score.psnr_db for score in scores),
            ssim=fmean(score.ssim for score in scores),
        )


def validation_set(source: str, recipe: Recipe) -> ImageSet:
    """Return the images of a data folder, or the photos if it is "", with LR as in a recipe."""
    if not source:
        return photos(recipe.scale, named_degradation(recipe.degradation, recipe.scale))
    # Stored LR images are made by bicubic.
    is_bicubic = recipe.degradation == "bicubic"
    rule = None if is_bicubic else named_degradation(recipe.degradation, recipe.scale)
    try:
        return open_data(source, recipe.scale, degradation=rule)
    except InputError as error:  # which advises options that training does not have
        hr_folder = "the path of the HR folder itself"
        raise error.advising(make_lr=hr_folder, lr_dir="NAME=HR,LR") from error


class TrainingSample:
    """A fixed sample of training patches: what the network does to the data it is fitted to."""

    def __init__(self, bank: PatchBank, count: int = 64, seed: int = 0) -> None:
        generator = torch.Generator(bank.device).manual_seed(seed)
        lr, hr = bank.cut(bank.draw(count, generator), "cpu")
        self.patches = ImagePair("patches", hr, lr)
        self.bands = Bands([self.patches])

    def measure(self, model: SRModel) -> BandFit:
        """Error of the two bands; their limits are the sample's own."""
        return self.bands.error([(self.patches, model.restore(self.patches.lr))])


def _bicubic_difference(pair: ImagePair) -> Tensor:
    return absolute_difference(upsample_bicubic(pair.lr, pair.scale), pair.hr)
