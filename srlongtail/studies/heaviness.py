"""How heavy the tail of the errors is: Lorenz curves, tail indices, and shares of the error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.longtail.difference import DifferenceHistogram
from srlongtail.longtail.tail import TailTable
from srlongtail.models.catalog import subjects_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_images import AnyModel
from srlongtail.plots.style import PAGE, letter
from srlongtail.plots.tail import plot_hill, plot_lorenz, plot_tail_statistics
from srlongtail.studies.writing import counted

EXPONENTIAL_SHARES = "33% of the absolute and 60% of the squared error"

_DRAWN = {
    "gini": "Gini coefficient",
    "l1_share": "absolute error\nin the top tenth",
    "l2_share": "squared error\nin the top tenth",
}


@dataclass(frozen=True)
class Heaviness:
    """How unequally the error of each model is spread over the pixels, and how heavy its tail is.

    Attributes:
        dataset: Name of the data set.
        tails: The statistics of each model and image; see `tail_statistics`.
        summary: Their means over images, with 95% intervals; see `TailTable.summary`.
        curves: One row per model and point of the Lorenz curve or the Hill plot of all pixels:
            `model, curve, x, y, standard_error`. A Lorenz curve has the share of the pixels and of
            the error, a Hill plot the number of pixels in the tail and the tail index.
        images: Number of images.
        subjects: What figures call the models, by their names.
    """

    dataset: str
    tails: TailTable
    summary: pd.DataFrame
    curves: pd.DataFrame
    images: int
    subjects: Mapping[str, Subject]

    @classmethod
    def of(
        cls,
        models: Sequence[AnyModel],
        dataset: str,
        tails: TailTable,
        histogram: DifferenceHistogram,
    ) -> "Heaviness":
        """Take the means over images, and the curves of all pixels."""
        parts = []
        for name in histogram.models:
            lorenz, hill = histogram.lorenz(name), histogram.hill(name)
            lorenz = lorenz.rename(columns={"pixel_share": "x", "error_share": "y"})
            hill = hill.drop(columns="threshold").rename(columns={"k": "x", "tail_index": "y"})
            parts += [
                lorenz.assign(model=name, curve="lorenz"),
                hill.assign(model=name, curve="hill"),
            ]
        columns = ["model", "curve", "x", "y", "standard_error"]
        curves = pd.concat(parts, ignore_index=True)[columns]
        subjects = subjects_of(models)
        return cls(dataset, tails, tails.summary(), curves, histogram.images, subjects)

    def frame(self) -> pd.DataFrame:
        """Return one row per model and statistic, with its interval."""
        return self.summary

    def settings(self) -> dict[str, Any]:
        """Return which share of the pixels is the tail."""
        return {"tail": self.tails.top, "confidence": 0.95}

    def message(self) -> str:
        """Return the share of the absolute error that the tail holds."""
        shares = self.summary[self.summary["statistic"] == "l1_share"]
        found = ", ".join(
            f"{self.subjects[row.model].label} {row.estimate:.0%}" for row in shares.itertuples()
        )
        return (
            f"Share of the absolute error in the {self.tails.top:.0%} of pixels with the largest "
            f"error: {found}"
        )

    def caption(self) -> str:
        """Return what the figure shows, and what its numbers do not mean."""
        methods = ", ".join(dict.fromkeys(self.summary["method"]))
        return (
            f"{self.message()}. {counted(self.images, 'image')} of {self.dataset}; "
            f"each model's pixels are ranked by its own error. (a) Lorenz curves of all pixels; "
            f"the diagonal is an error that is the same everywhere. (b) Hill's tail index against "
            f"the number of pixels in the tail, with two standard errors for independent pixels; "
            f"those of an image are not, so the true spread is wider. A level line is a power law, "
            f"a line that falls throughout is lighter than any. (c) Means over images with 95% "
            f"intervals ({methods}); an exponential distribution has {EXPONENTIAL_SHARES} in its "
            f"top tenth, and a Gini coefficient of 50%. None of these numbers says that a model is "
            f"good: a better model often has a higher Gini coefficient, because it removes error "
            f"from the easy pixels first."
        )


def draw(result: Heaviness) -> Figure:
    """Draw Lorenz curves, Hill plots and statistics with intervals, at page width."""
    figure = Figure(figsize=(PAGE, 2.5))
    figure.suptitle(result.message(), fontsize=8)
    lorenz, hill, shares = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    points = {
        (model, curve): rows
        for (model, curve), rows in result.curves.groupby(["model", "curve"], sort=False)
    }
    models = list(dict.fromkeys(model for model, _ in points))
    curves = {name: (points[name, "lorenz"]["x"], points[name, "lorenz"]["y"]) for name in models}
    plot_lorenz(curves, lorenz, result.subjects)  # its legend is that of all panels
    names = {"x": "k", "y": "tail_index"}
    tables = {n: points[n, "hill"].rename(columns=names) for n in models if (n, "hill") in points}
    if tables:
        plot_hill(tables, hill, result.subjects).legend().remove()
    plot_tail_statistics(result.summary, shares, result.subjects, _DRAWN)
    titles = ("Lorenz curve", "tail index", "shares")
    for index, (ax, title) in enumerate(zip((lorenz, hill, shares), titles, strict=True)):
        letter(ax, index, title)
    return figure
