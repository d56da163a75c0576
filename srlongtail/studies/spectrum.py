"""The errors of models by spatial frequency, and the frequencies that the tail has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.evaluation import check_scales
from srlongtail.image.dataset import ImageSet
from srlongtail.longtail.spectrum import (
    BANDS,
    ErrorSpectrum,
    TailFrequency,
    TailShare,
    error_spectrum,
    tail_frequency,
)
from srlongtail.models.catalog import subjects_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_images import AnyModel, fit_to_images
from srlongtail.plots.spectrum import plot_spectrum, plot_tail_frequency
from srlongtail.plots.style import PAGE, letter, rows_and_columns
from srlongtail.studies.writing import counted


@dataclass(frozen=True)
class Spectrum:
    """Errors by frequency on a data set, and the frequencies of its pixels by difficulty.

    Attributes:
        dataset: Name of the data set.
        scale: SR pixels per LR pixel.
        errors: See `ErrorSpectrum`.
        summary: Means over the images; see `ErrorSpectrum.summary`.
        tail: See `TailFrequency`.
        tenths: Means over the images; see `TailFrequency.cross_table`.
        high: Share of pixels above the Nyquist frequency of LR; see `TailFrequency.tail_above`.
        subjects: What figures call the models, by name.
    """

    dataset: str
    scale: int
    errors: ErrorSpectrum
    summary: pd.DataFrame
    tail: TailFrequency
    tenths: pd.DataFrame
    high: TailShare
    subjects: Mapping[str, Subject]

    @classmethod
    def of(
        cls, models: Sequence[AnyModel], data: ImageSet, errors: ErrorSpectrum, tail: TailFrequency
    ) -> "Spectrum":
        """Take the means over the images."""
        return cls(
            data.name,
            data.scale,
            errors,
            errors.summary(),
            tail,
            tail.cross_table(),
            tail.tail_above(BANDS[3]),
            subjects_of(models),
        )

    def frame(self) -> pd.DataFrame:
        """Return the spectra: one row per model, image and ring."""
        return self.errors.frame()

    def settings(self) -> dict[str, Any]:
        """Return what ranks the pixels, and the tail's share above LR's Nyquist frequency."""
        shares = {"tail": self.high.tail, "others": self.high.others}
        return {
            "ranked_by": "bicubic_ad",
            "nyquist_of_lr": 1 / (2 * self.scale),
            "above_nyquist_of_lr": {name: list(found[:3]) for name, found in shares.items()},
        }

    def caption(self) -> str:
        """Return what the figure shows, and how much of the tail is above LR's Nyquist."""
        count = len(self.errors.table[["dataset", "image"]].drop_duplicates())
        images = counted(count, "image")
        tail, others = self.high.tail.estimate, self.high.others.estimate
        return (
            f"Errors by spatial frequency on {images} of {self.dataset}, means with "
            f"95% intervals over the images. (a) Squared error of luma in rings of equal width. "
            f"(b) Correlation of SR and HR in each ring. (c) Local frequency of HR in each tenth "
            f"of the pixels, ranked by the AD of bicubic. {tail:.0%} of the tail (tenth 10) "
            f"and {others:.0%} of the other pixels lie above the Nyquist frequency of LR."
        )


def compute(models: Sequence[AnyModel], data: ImageSet, *, skip_bad: bool = False) -> Spectrum:
    """Measure all images; under `torchrun` the processes share them out.

    Args:
        models: Any number of models of the images' scale.
        data: The images.
        skip_bad: Leave out images that a folder of SR images lacks; see `SRImages.fit`.

    Raises:
        InputError: A model has another scale than the images, or SR images do not fit.

    Example:
        >>> from srlongtail import load_model, photos
        >>> result = compute([load_model("bicubic", scale=4)], photos(4)[1:2])
        >>> list(result.tenths)
        ['flat', 'below 1/2', '1/2 to 1', '1 to 2', 'above 2']
    """
    check_scales(models, [data])
    data = fit_to_images(models, data, skip_bad=skip_bad)
    return Spectrum.of(models, data, error_spectrum(models, data), tail_frequency(data))


def draw(result: Spectrum) -> Figure:
    """Draw the error spectrum, the ring correlation and the heat map side by side."""
    rows, columns = rows_and_columns(len(result.subjects) + 1, widest=4)  # of the legend
    figure = Figure(figsize=(PAGE, 2.4 + 0.14 * rows))
    error, correlation, heat = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    look: Any = {"scale": result.scale, "legend": False}
    for ax, column in ((error, "squared_error"), (correlation, "frc")):
        plot_spectrum(result.summary, ax, result.subjects, column=column, **look)
    handles, labels = error.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)
    plot_tail_frequency(result.tenths, heat)
    for index, (ax, title) in enumerate(
        ((error, "error"), (correlation, "correlation"), (heat, "hard pixels"))
    ):
        letter(ax, index, title)
    return figure
