"""Everything that the report shows, from one pass over the images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from srlongtail.attribution.windows import easiest_window
from srlongtail.diagnosis.report.pictures import Album
from srlongtail.errors import InputError
from srlongtail.evaluation import check_scales, scorable
from srlongtail.image.dataset import ImageSet
from srlongtail.image.io import quantize
from srlongtail.longtail.bands import measure_bands
from srlongtail.longtail.comparison import Comparison, compare
from srlongtail.longtail.difference import DifferenceHistogram
from srlongtail.longtail.spectrum import (
    error_spectrum,
    tail_frequency,
)
from srlongtail.longtail.systematic import SMALLEST, SystematicTable, measure_systematic
from srlongtail.longtail.tail import TailTable, measure_tail
from srlongtail.metrics import PAPER, PROTOCOLS, Y_CHANNEL
from srlongtail.models.catalog import subjects_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_images import AnyModel, fit_to_images
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.parallel import alone, gather, is_writer, share
from srlongtail.studies import attribution, weights
from srlongtail.studies.comparison import GainStudy
from srlongtail.studies.restored import RestoredImage
from srlongtail.studies.spectrum import Spectrum
from srlongtail.studies.tail import LongTail
from srlongtail.studies.tenths import Tenths
from srlongtail.studies.worst import RuledWindow, WorstWindows

QUICK_IMAGES = 8
QUICK_PIXELS = 3_000_000  # of HR, all images together: about ten seconds of one core
_PLACE = ["dataset", "image"]


@dataclass(frozen=True)
class Why:
    """What networks look at in the hardest image.

    Attributes:
        weights: One a network.
        windows: The hardest window and the easiest one, under all networks.
    """

    weights: Sequence[weights.WeightMaps]
    windows: Mapping[str, attribution.WindowAttribution]


@dataclass(frozen=True)
class Survey:
    """What the report shows.

    Attributes:
        models: Bicubic, then the networks.
        datasets: The images measured.
        left_out: Data set -> number of images that a quick look left out.
        scores: One row per model and image: `model, dataset, image`, and PSNR and SSIM by both
            protocols, `paper_psnr_db, paper_ssim, y_psnr_db, y_ssim`.
        tails: AD histogram of each data set.
        statistics: How heavy the tail is, image by image; None in a quick look.
        tenths: Error and gain by difficulty, over all images.
        spectra: Error spectrum of each data set; none in a quick look.
        systematic: What is wrong alike everywhere.
        comparisons: Every two networks; of one network, bicubic and the network.
        windows: Those picked by rule.
        album: Pictures for the viewer.
        perfect: Model, data set and image, for each image restored without an error.
        why: Weights and attributions; None in a quick look.
    """

    models: Sequence[AnyModel]
    datasets: Sequence[ImageSet]
    left_out: Mapping[str, int]
    scores: pd.DataFrame
    tails: Sequence[LongTail]
    statistics: TailTable | None
    tenths: Tenths
    spectra: Sequence[Spectrum]
    systematic: SystematicTable
    comparisons: Sequence[GainStudy]
    windows: Sequence[RuledWindow]
    album: Album
    perfect: Sequence[tuple[str, str, str]]
    why: Why | None

    @property
    def networks(self) -> Sequence[AnyModel]:
        """The models without bicubic."""
        return self.models[1:]

    @property
    def subjects(self) -> Mapping[str, Subject]:
        """What the report calls the models, by their names."""
        return subjects_of(self.models)

    def gains(self, model: str, column: str = "paper_psnr_db") -> pd.Series:
        """Return how much a network's scores exceed bicubic's, for each image not perfect."""
        both = self.scores.pivot(index=_PLACE, columns="model", values=column)
        return (both[model] - both["bicubic"]).replace([np.inf, -np.inf], np.nan).dropna()


def compute(
    models: Sequence[AnyModel],
    datasets: Sequence[ImageSet],
    *,
    quick: bool = False,
    budget: float = np.inf,
    skip_bad: bool = False,
) -> Survey:
    """Measure networks on data sets; each image is decoded once and restored once by each model.

    One image is held at a time, and the hardest so far. Under `torchrun` the processes share the
    images out, and each gets the whole result.

    Args:
        models: Networks, or folders of SR images; bicubic is added.
        datasets: The images, all of one scale.
        quick: Measure at most `QUICK_IMAGES` images, or fewer large ones, and no spectra, tail
            statistics, weights or attributions.
        budget: Bytes that the viewer's pictures may have; see `Album`.
        skip_bad: Leave out images that cannot be scored, with a warning.

    Raises:
        InputError: No network, models of another scale than the images', or an image that cannot
            be scored.
    """
    networks = [model for model in models if model.name != "bicubic"]
    if not networks:
        raise InputError("bicubic: nothing to compare it with, expected at least one network")
    check_scales(networks, datasets)
    datasets = [
        scorable(fit_to_images(networks, data, skip_bad=skip_bad), Y_CHANNEL, skip_bad=skip_bad)
        for data in datasets
    ]
    everything, left_out = datasets, {}
    if quick:
        datasets = _some_of(datasets)
        counts = {data.name: len(data) for data in datasets}
        left_out = {data.name: len(data) - counts.get(data.name, 0) for data in everything}
    models = [bicubic(datasets[0].scale), *networks]

    windows, album, parts = WorstWindows(models), Album(networks[0].name, budget), {}
    comparisons: dict[int, Comparison] = {}  # summed at once, since each holds a map
    hardest: tuple[float, RestoredImage] | None = None
    places = [(data, index) for data in datasets for index in range(len(data))]
    bar = tqdm(list(share(range(len(places)))), disable=None if is_writer() else True, unit="image")
    for number in bar:
        data, index = places[number]
        image = RestoredImage(data[index], PAPER)
        bar.set_postfix_str(image.pair.name)
        with alone():
            found = _measure(models, image, quick)
            for pair, gain in _compared(models, image).items():
                comparisons[pair] = comparisons[pair] + gain if pair in comparisons else gain
        windows.add(image)
        psnr = found["scores"].loc[found["scores"]["model"] != "bicubic", "paper_psnr_db"].mean()
        album.add(image, models, psnr, whole=not quick)
        if not quick and (hardest is None or psnr < hardest[0]):
            hardest = psnr, image
        parts[number] = data.name, found
    albums, searches, compared = gather(album), gather(windows), gather(comparisons)
    return _put_together(
        models,
        datasets,
        {number: part for each in gather(parts) for number, part in each.items()},
        left_out=left_out,
        comparisons=_studies(models, datasets, compared),
        windows=sum(searches[1:], searches[0]).result(),
        album=sum(albums[1:], albums[0]),
        why=_explained(networks, hardest),
    )


def _some_of(datasets: Sequence[ImageSet]) -> list[ImageSet]:
    """Return a few images of each data set, evenly spaced, with not too many pixels."""
    most = max(QUICK_IMAGES // len(datasets), 1)
    some = []
    for data in datasets[:QUICK_IMAGES]:
        sizes = [size or data[index].hr.shape[-2:] for index, size in enumerate(data.hr_sizes)]
        for count in range(min(most, len(data)), 0, -1):
            kept = {round(index) for index in np.linspace(0, len(data) - 1, count)}
            if sum(sizes[i][0] * sizes[i][1] for i in kept) <= QUICK_PIXELS / len(datasets):
                break
        some.append(data.without(n for i, n in enumerate(data.names) if i not in kept))
    return some


def _measure(models: Sequence[AnyModel], image: RestoredImage, quick: bool) -> dict[str, Any]:
    """Return everything that is measured of one image, in parts that add up over images."""
    pair, restorers = image.pair, image.restorers(models)
    rows, perfect = [], []
    for model in models:
        scores = [p.score(image.sr(model), pair.hr, pair.scale) for p in PROTOCOLS.values()]
        rows.append((model.name, pair.dataset, pair.name, *(n for score in scores for n in score)))
        if torch.equal(quantize(image.sr(model)), quantize(pair.hr)):
            perfect.append((model.name, pair.dataset, pair.name))
    numbers = [f"{name}_{number}" for name in PROTOCOLS for number in ("psnr_db", "ssim")]
    found: dict[str, Any] = {
        "scores": pd.DataFrame(rows, columns=["model", *_PLACE, *numbers]),
        "perfect": perfect,
        "histogram": DifferenceHistogram.of({m.name: image.difference(m) for m in models}),
        "bands": measure_bands(restorers, [pair]),
    }
    if min(pair.hr.shape[-2:]) >= SMALLEST * pair.scale:
        found["systematic"] = measure_systematic(restorers, [pair])
    if not quick:
        found["spectrum"] = error_spectrum(restorers, [pair])
        found["frequency"] = tail_frequency([pair])
        found["statistics"] = measure_tail(restorers, [pair])
    return found


def pairs_of(models: Sequence[AnyModel]) -> list[tuple[AnyModel, AnyModel]]:
    """Return which models are compared: every two networks, or bicubic and the only network."""
    return list(combinations(models if len(models) == 2 else models[1:], 2))


def _compared(models: Sequence[AnyModel], image: RestoredImage) -> dict[int, Comparison]:
    """Return the comparisons of one image; a perfect image has no finite gain, and none."""
    found = {}
    border = slice(image.pair.scale, -image.pair.scale)
    hr = quantize(image.pair.hr)[..., border, border]
    for number, pair in enumerate(pairs_of(models)):
        sides = [quantize(image.sr(model))[..., border, border] for model in pair]
        if not any(torch.equal(side, hr) for side in sides):
            a, b = (image.restorers([model]) for model in pair)
            found[number] = compare(a, b, [image.pair])
    return found


def _studies(
    models: Sequence[AnyModel],
    datasets: Sequence[ImageSet],
    compared: Sequence[Mapping[int, Comparison]],
) -> list[GainStudy]:
    """Return the comparisons of all processes, with images in the order of the data sets."""
    order = {(data.name, name): n for data in datasets for n, name in enumerate(data.names)}
    studies = []
    for number, (a, b) in enumerate(pairs_of(models)):
        each = [part[number] for part in compared if number in part]
        if each:
            total = sum(each[1:], each[0])
            images = sorted(total.images, key=lambda i: order[i.dataset, i.image])
            total = replace(total, images=tuple(images))
            studies.append(GainStudy.of([a], [b], datasets, total))
    return studies


def _put_together(
    models: Sequence[AnyModel],
    datasets: Sequence[ImageSet],
    found: Mapping[int, tuple[str, Mapping[str, Any]]],
    **others: Any,
) -> Survey:
    """Add up what was measured of each image, in the order of the images."""
    parts = [found[number] for number in sorted(found)]

    def total(key: str, dataset: str | None = None) -> Any:
        values = [part[key] for name, part in parts if key in part and dataset in (None, name)]
        return sum(values[1:], values[0]) if values else None

    return Survey(
        models=models,
        datasets=datasets,
        scores=pd.concat([part["scores"] for _, part in parts], ignore_index=True),
        tails=[LongTail.of(models, d.name, total("histogram", d.name)) for d in datasets],
        statistics=total("statistics"),
        tenths=Tenths.of(models, total("bands")),
        spectra=[
            Spectrum.of(models, d, total("spectrum", d.name), total("frequency", d.name))
            for d in datasets
            if total("spectrum", d.name) is not None
        ],
        systematic=total("systematic") or SystematicTable.empty(),
        perfect=total("perfect"),
        **others,
    )


def _explained(
    networks: Sequence[AnyModel], hardest: tuple[float, RestoredImage] | None
) -> Why | None:
    """Return weights and attributions of the hardest image of all processes, by its owner."""
    ranks = [np.inf if one is None else one for one in gather(hardest and hardest[0])]
    why = None
    if hardest is not None and hardest[0] == min(ranks):
        image = hardest[1]
        # What comes from SR images alone has weights, but no attribution.
        attributed = [model for model in networks if isinstance(model, SRModel)]
        window, rule = attribution.choose_window(image)
        chosen = {"hardest": (window, rule)}
        easy = easiest_window(image.bicubic_difference())
        chosen["easiest"] = easy, "the one with the smallest mean of bicubic's AD"
        maps = {}
        for name, (window, rule) in chosen.items() if attributed else ():
            found = attribution.compute(attributed, image, window)
            maps[name] = replace(found, rule=rule)
        why = Why([weights.compute(model, image) for model in networks], maps)
    return next((one for one in gather(why) if one is not None), None)
