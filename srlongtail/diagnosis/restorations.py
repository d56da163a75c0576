"""Restore the images of a data set by any conventions, and score them, each once."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from srlongtail.diagnosis.conventions import (
    TILES,
    Channels,
    Conventions,
    Input,
    Rounding,
    make_lr,
    scored_planes,
)
from srlongtail.errors import InputError
from srlongtail.geometry import Box
from srlongtail.image.dataset import ImageSet, read_source
from srlongtail.image.io import quantize
from srlongtail.image.registration import ALIGNED, Shift, find_shift, moved, snapped
from srlongtail.metrics import KernelName, Score, mean_psnr, psnr, ssim
from srlongtail.models.sr_images import AnyModel, SRImages
from srlongtail.models.sr_model import SRModel

KEPT_BYTES = 2**30  # of SR and HR images; what exceeds this is restored again when needed


class Measure(NamedTuple):
    """What is measured of each restored image: PSNR, or SSIM by a kernel; see `Conventions`."""

    kernel: KernelName | None
    channels: Channels
    border: int
    rounding: Rounding
    registered: bool


class Restorations:
    """The SR images of a model under any conventions, and their scores.

    Images are restored when a score needs them. SR images are kept up to `KEPT_BYTES` in all,
    scores without limit.

    Args:
        model: A network or a folder of SR images.
        data: The images, of the model's scale.
        shift: What `registered` SR images are moved back by.

    Example:
        >>> from srlongtail.diagnosis.conventions import find_space
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.models.sr_model import bicubic
        >>> model, data = bicubic(4), photos(4)[1:2]
        >>> paper = find_space(model, data).protocols["paper"]
        >>> round(Restorations(model, data).score(paper).psnr_db, 2)
        30.14
    """

    def __init__(self, model: AnyModel, data: ImageSet, shift: Shift = ALIGNED) -> None:
        self.model = model
        self.data = data
        self.shift = shift
        self._images: dict[tuple[Input, int], tuple[Tensor, Tensor]] = {}
        self._bytes = 0
        self._variants: dict[tuple[object, ...], SRModel] = {}
        self._values: dict[tuple[Input, Measure], dict[int, float]] = defaultdict(dict)

    def measure(self, sets: Iterable[Conventions], *, with_ssim: bool, label: str = "") -> None:
        """Score sets of conventions in one pass over the images.

        Args:
            sets: What to score.
            with_ssim: Measure SSIM, too.
            label: What the progress bar is called.
        """
        wanted: dict[Input, dict[Measure, None]] = defaultdict(dict)
        for conventions in sets:
            given = conventions.input()
            for measure in _measures(conventions, with_ssim):
                if len(self._values[given, measure]) < len(self.data):
                    wanted[given][measure] = None
        total = len(self.data) * len(wanted)
        with tqdm(total=total, disable=None, unit="image", desc=label, leave=False) as bar:
            for index in range(len(self.data) if wanted else 0):
                for given, measures in wanted.items():
                    sr, hr = self.images(given, index)
                    try:
                        found = _measured(sr, hr, measures, self.shift)
                    except InputError as error:
                        raise error.about(f"{self.data.name}/{self.data.names[index]}") from error
                    for measure, value in found.items():
                        self._values[given, measure][index] = value
                    bar.update()

    def psnr(self, conventions: Conventions) -> float:
        """Return the PSNR of the data set, in dB."""
        self.measure([conventions], with_ssim=False)
        of_psnr, _ = _measures(conventions, True)
        values = list(self._values[conventions.input(), of_psnr].values())
        if conventions.mean == "psnr":
            return mean_psnr(values)
        mse = torch.tensor([10 ** (-value / 10) for value in values], dtype=torch.float64).mean()
        return float(-10 * torch.log10(mse))

    def score(self, conventions: Conventions) -> Score:
        """Return PSNR and SSIM of the data set."""
        self.measure([conventions], with_ssim=True)
        _, of_ssim = _measures(conventions, True)
        values = list(self._values[conventions.input(), of_ssim].values())
        return Score(self.psnr(conventions), sum(values) / len(values))

    def images(self, given: Input, index: int) -> tuple[Tensor, Tensor]:
        """Return an SR image, not clamped, and its HR image, both `(3, H, W)`."""
        if (given, index) in self._images:
            return self._images[given, index]
        made = self._restore(given, index)
        size = sum(image.nbytes for image in made)
        if self._bytes + size <= KEPT_BYTES:
            self._bytes += size
            self._images[given, index] = made
        return made

    def find_shift(self, given: Input) -> Shift:
        """Return the median over the images of the shift of SR against HR; see `snapped`."""
        found = [find_shift(*self.images(given, index)) for index in range(len(self.data))]
        down, right = torch.tensor(found, dtype=torch.float64).quantile(0.5, dim=0).tolist()
        return snapped(Shift(down, right), self.data.scale)

    def _restore(self, given: Input, index: int) -> tuple[Tensor, Tensor]:
        hr = read_source(self.data.hr_sources[index])
        if isinstance(self.model, SRImages):
            sr = self.model.read(self.data.name, self.data.names[index])
            height, width = (min(sizes) for sizes in zip(sr.shape[-2:], hr.shape[-2:], strict=True))
            hr = _cropped(hr[..., :height, :width], given.mod_crop)
            sr = sr[..., : hr.shape[-2], : hr.shape[-1]]
            return (sr.flip(-3) if given.order == "bgr" else sr), hr
        if given.lr == "stored":
            pair = self.data[index]
            hr = _cropped(pair.hr, given.mod_crop)
            lr = pair.lr[..., : hr.shape[-2] // pair.scale, : hr.shape[-1] // pair.scale]
        else:
            hr = _cropped(hr, given.mod_crop)
            lr = make_lr(hr, given.lr, self.data.scale)  # type: ignore[arg-type]
        model = self._variant(given)
        tile = TILES if given.restored == "tiles" else None
        if given.order == "bgr":
            return model.restore(lr.flip(-3), tile, clamp=False).flip(-3), hr
        return model.restore(lr, tile, clamp=False), hr

    def _variant(self, given: Input) -> SRModel:
        """Return the network read as the conventions say."""
        assert isinstance(self.model, SRModel)
        assert given.predicts is not None
        assert given.value_range is not None
        key = given.predicts, given.value_range, given.batch_norm
        if key not in self._variants:
            network = self.model.network
            if given.batch_norm == "train":
                network = copy.deepcopy(network)
                for layer in network.modules():
                    if isinstance(layer, _BatchNorm):  # without them it takes the image's own
                        layer.running_mean = layer.running_var = None
            reading = replace(
                self.model.reading, predicts=given.predicts, value_range=given.value_range
            )
            self._variants[key] = SRModel(
                network,
                self.model.scale,
                **asdict(reading),
                multiple=self.model.multiple,
                name=self.model.name,
                provenance=self.model.provenance,
            )
        return self._variants[key]


def _measures(conventions: Conventions, with_ssim: bool) -> tuple[Measure, ...]:
    c = conventions
    of_psnr = Measure(None, c.channels, c.border, c.rounding, c.registered)
    of_ssim = Measure(c.ssim, c.ssim_of, c.border, c.rounding, c.registered)
    return (of_psnr, of_ssim) if with_ssim else (of_psnr,)


def _measured(
    sr: Tensor, hr: Tensor, measures: Iterable[Measure], shift: Shift
) -> Mapping[Measure, float]:
    """Score one image in several ways; whatever they share is computed once."""
    finish: dict[Rounding, Callable[[Tensor], Tensor]] = {
        "rounded": quantize,
        "clamped": lambda image: image.clamp(0, 1),
        "none": lambda image: image,
    }
    # float64 first, so that the levels are exact whatever the images' dtype.
    sr, true = sr.double(), quantize(hr.double())
    back = Shift(-shift.down, -shift.right)
    finished: dict[tuple[Rounding, bool], Tensor] = {}
    planes: dict[tuple[Rounding, bool, Channels], tuple[Tensor, Tensor]] = {}
    values = {}
    for measure in measures:
        made = measure.rounding, measure.registered
        if made not in finished:
            finished[made] = finish[measure.rounding](moved(sr, back) if measure.registered else sr)
        key = *made, measure.channels
        if key not in planes:
            planes[key] = (
                scored_planes(finished[made], measure.channels),
                scored_planes(true, measure.channels),
            )
        height, width = hr.shape[-2:]
        border = measure.border
        inner = Box(border, border, height - border, width - border)
        a, b = (inner.cut(image) for image in planes[key])
        score = psnr(a, b) if measure.kernel is None else ssim(a, b, measure.kernel)
        values[measure] = score.item()
    return values


def _cropped(image: Tensor, unit: int) -> Tensor:
    height, width = (side - side % unit for side in image.shape[-2:])
    return image[..., :height, :width]
