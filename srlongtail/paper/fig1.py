"""Figure 1: where bicubic and a network fail, and how few pixels that is."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from srlongtail.image.dataset import ImagePair
from srlongtail.paper.inputs import FigureInputs
from srlongtail.plots.histograms import plot_difference_histogram
from srlongtail.plots.images import add_colorbar, scale_top, show_map, show_photo
from srlongtail.plots.style import PAGE, letter, rows_and_columns
from srlongtail.studies.tail import LongTail


@dataclass(frozen=True)
class Fig1:
    """AD maps of one image, and the AD histogram of the whole data set.

    Attributes:
        pair: The image.
        differences: Model -> AD map, `(H, W)` in levels of 255.
        mean_differences: Model -> mean of its map.
        tail: The histogram of all images.
    """

    pair: ImagePair
    differences: dict[str, Tensor]
    mean_differences: dict[str, float]
    tail: LongTail

    def frame(self) -> pd.DataFrame:
        """Return the histogram that is drawn, one row per model and AD interval."""
        return self.tail.frame()

    def settings(self) -> dict[str, Any]:
        """Return the image shown and the start of the tail."""
        return {"image": self.pair.name, **self.tail.settings()}

    def caption(self) -> str:
        """Return what the figure shows."""
        return f"Above: AD maps of {self.pair.name}. Below: {self.tail.caption()}"


def compute(inputs: FigureInputs) -> Fig1:
    """Measure AD maps of the image to show, and the histogram of all images."""
    maps = {model.name: inputs.restored.difference(model) for model in inputs.models}
    means = {name: float(difference.mean()) for name, difference in maps.items()}
    return Fig1(inputs.restored.pair, maps, means, inputs.survey.tail)


def draw(result: Fig1) -> Figure:
    """Draw HR and the AD maps on one color scale above, and the histogram below."""
    panels = len(result.differences) + 1
    rows, columns = rows_and_columns(panels)
    height, width = result.pair.hr.shape[-2:]
    above = (PAGE - 0.5) / columns * height / width + 0.35
    below = 2.2 + 0.1 * max(0, panels - 4)  # the legend grows with the models
    figure = Figure(figsize=(PAGE, rows * above + below + 0.1))
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[*[above] * rows, below])
    axes = [figure.add_subplot(grid[divmod(index, columns)]) for index in range(panels)]
    letter(show_photo(result.pair.hr, axes[0]), 0, f"HR, {result.pair.name}", columns=columns)
    top = scale_top(result.differences["bicubic"], 0.995)
    for index, (name, difference) in enumerate(result.differences.items(), start=1):
        drawn = show_map(difference, axes[index], vmax=top)
        letter(axes[index], index, result.tail.subjects[name].label, columns=columns)
        axes[index].set_xlabel(f"mean AD {result.mean_differences[name]:.1f}")
    add_colorbar(drawn, axes[columns - 1], "AD (levels of 255)")
    ax = figure.add_subplot(grid[rows, :])
    histogram = result.tail.histogram
    subjects = result.tail.subjects
    plot_difference_histogram(histogram, ax, subjects, threshold=result.tail.threshold)
    letter(ax, panels, f"the long tail of all {histogram.images} images of {result.tail.dataset}")
    return figure
