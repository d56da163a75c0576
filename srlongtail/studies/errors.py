"""The errors of models on a data set from one pass: how large, how unequal, at which frequency."""

from collections.abc import Sequence
from functools import partial, reduce
from operator import add
from typing import NamedTuple

from srlongtail.evaluation import check_scales
from srlongtail.image.dataset import ImagePair, ImageSet
from srlongtail.longtail.difference import DifferenceHistogram
from srlongtail.longtail.restorers import map_pairs
from srlongtail.longtail.spectrum import (
    ErrorSpectrum,
    TailFrequency,
    error_spectrum,
    tail_frequency,
)
from srlongtail.longtail.tail import TailTable, measure_tail
from srlongtail.models.sr_images import AnyModel, fit_to_images
from srlongtail.studies.heaviness import Heaviness
from srlongtail.studies.restored import RestoredImage
from srlongtail.studies.spectrum import Spectrum
from srlongtail.studies.tail import LongTail


class Errors(NamedTuple):
    """What one pass over the images finds: a study each, with its own picture."""

    tail: LongTail
    heaviness: Heaviness
    spectrum: Spectrum


class _Measured(NamedTuple):
    histogram: DifferenceHistogram
    tails: TailTable
    spectrum: ErrorSpectrum
    frequencies: TailFrequency


def compute(models: Sequence[AnyModel], data: ImageSet, *, skip_bad: bool = False) -> Errors:
    """Measure all images; each is read once, and restored once by each model.

    Under `torchrun` the processes share the images out, and each gets the whole result.

    Args:
        models: Bicubic, whose tail it is, and any others.
        data: The images.
        skip_bad: Leave out images that a folder of SR images lacks; see `SRImages.fit`.

    Raises:
        InputError: Models of another scale than the images', or SR images that do not fit.

    Example:
        >>> from srlongtail import load_model, photos
        >>> found = compute([load_model("bicubic", scale=4)], photos(4)[1:2])
        >>> found.heaviness.message()
        'Share of the absolute error in the 10% of pixels with the largest error: bicubic 40%'
    """
    check_scales(models, [data])
    data = fit_to_images(models, data, skip_bad=skip_bad)
    found = map_pairs(partial(_measure, models=models), data)
    total = _Measured(*(reduce(add, parts) for parts in zip(*found, strict=True)))
    return Errors(
        LongTail.of(models, data.name, total.histogram),
        Heaviness.of(models, data.name, total.tails, total.histogram),
        Spectrum.of(models, data, total.spectrum, total.frequencies),
    )


def _measure(pair: ImagePair, models: Sequence[AnyModel]) -> list[_Measured]:
    image = RestoredImage(pair)
    restorers = image.restorers(models)
    return [
        _Measured(
            DifferenceHistogram.of({model.name: image.difference(model) for model in models}),
            measure_tail(restorers, [pair]),
            error_spectrum(restorers, [pair]),
            tail_frequency([pair]),
        )
    ]
