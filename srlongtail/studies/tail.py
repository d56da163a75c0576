"""The long tail of a data set: how many pixels have which absolute difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.evaluation import check_scales
from srlongtail.image.dataset import ImageSet
from srlongtail.longtail.difference import BIN_WIDTH, DifferenceHistogram, difference_histogram
from srlongtail.longtail.tail import TAIL, Limits
from srlongtail.models.catalog import subjects_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_images import AnyModel, fit_to_images
from srlongtail.parallel import gather, share
from srlongtail.plots.histograms import plot_difference_histogram
from srlongtail.plots.style import COLUMN


@dataclass(frozen=True)
class LongTail:
    """The AD histogram of all images of a set, and where its tail begins.

    Attributes:
        dataset: Its name.
        histogram: Of bicubic and any other models.
        threshold: The AD, in levels of 255, that a tenth of bicubic's pixels exceeds.
        summary: One row a model; see `DifferenceHistogram.summary`.
        subjects: What figures call the models, by their names.
    """

    dataset: str
    histogram: DifferenceHistogram
    threshold: float
    summary: pd.DataFrame
    subjects: Mapping[str, Subject]

    @classmethod
    def of(
        cls, models: Sequence[AnyModel], dataset: str, histogram: DifferenceHistogram
    ) -> "LongTail":
        """Find where the tail begins, and what of each model lies in it."""
        threshold = Limits.pooled(histogram).tail_above
        summary = histogram.summary(threshold)
        return cls(dataset, histogram, threshold, summary, subjects_of(models))

    def frame(self) -> pd.DataFrame:
        """Return the histogram drawn: one row per model and AD interval."""
        return self.histogram.frame()

    def settings(self) -> dict[str, Any]:
        """Where the tail begins, by which quantile, and how finely AD was counted."""
        return {
            "tail_quantile_of_bicubic": 1 - TAIL,
            "tail_threshold": self.threshold,
            "bin_width": BIN_WIDTH,
        }

    def caption(self) -> str:
        """Return what the figure shows."""
        shares = ", ".join(
            f"{self.subjects[row.model].label} {row.tail_share:.1%}"
            for row in self.summary.itertuples()
        )
        return (
            f"Absolute difference of luma over all {self.histogram.images} images of "
            f"{self.dataset} ({self.histogram.pixels:,} pixels). Share of pixels in the tail, "
            f"where AD exceeds bicubic's {1 - TAIL:.0%} quantile ({self.threshold:.1f}): {shares}."
        )


def compute(models: Sequence[AnyModel], data: ImageSet, *, skip_bad: bool = False) -> LongTail:
    """Measure all images; under `torchrun` the processes share them out.

    Args:
        models: Bicubic, whose tail it is, and any others.
        data: The images.
        skip_bad: Leave out images that a folder of SR images lacks; see `SRImages.fit`.

    Raises:
        InputError: Models of another scale than the images', or SR images that do not fit.
    """
    check_scales(models, [data])
    data = fit_to_images(models, data, skip_bad=skip_bad)
    shares = gather(difference_histogram(models, share(data)))
    total = sum(shares, DifferenceHistogram.empty(model.name for model in models))
    return LongTail.of(models, data.name, total)


def draw(result: LongTail) -> Figure:
    """Draw the histogram at column width."""
    models = result.histogram.models
    figure = Figure(figsize=(COLUMN, 2.0 + 0.14 * len(models)))
    ax = figure.add_subplot()
    plot_difference_histogram(
        result.histogram, ax, result.subjects, threshold=result.threshold, legend_above=True
    )
    ax.set_xlabel(f"AD of luma on {result.dataset} (levels of 255)")
    return figure
