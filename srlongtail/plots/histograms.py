"""Plots of the long tail: how many pixels have which absolute difference."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from srlongtail.longtail.difference import DifferenceHistogram
from srlongtail.models.facts import Subject
from srlongtail.plots.style import line_style, network_colors


def plot_difference_histogram(
    histogram: DifferenceHistogram,
    ax: Axes,
    subjects: Mapping[str, Subject],
    *,
    threshold: float,
    bin_width: float = 4.0,
    legend_above: bool = False,
) -> Axes:
    """Draw the share of pixels per AD interval on a log axis, one stepped line per model.

    The tail right of `threshold` is shaded. The legend gives its share of the pixels and of the sum
    of absolute differences.

    Args:
        histogram: Any number of models.
        ax: Where to draw.
        subjects: What the models are called and drawn as, by their names.
        threshold: Where the tail begins, in levels of 255.
        bin_width: Of the intervals drawn, in levels of 255.
        legend_above: Put the legend above the axes, where they are narrow.
    """
    colors = network_colors(subjects[name] for name in histogram.models)
    summary = histogram.summary(threshold).set_index("model")
    end = 0.0
    for model, rows in histogram.frame(bin_width).groupby("model", sort=False):
        filled = rows.loc[: rows.index[rows["pixels"] > 0][-1]]
        end = max(end, filled["ad_to"].iloc[-1])
        tail = summary.loc[model]
        ax.stairs(
            filled["share"],
            [0, *filled["ad_to"]],
            baseline=None,
            color=colors[str(model)],
            linestyle=line_style(subjects[str(model)]),
            linewidth=1.3,
            label=f"{subjects[str(model)].label}: {tail['tail_share']:.1%} of pixels, "
            f"{tail['tail_error_share']:.0%} of the error",
        )
    ax.axvspan(threshold, end, color="0.93", zorder=0, linewidth=0)
    ax.set(
        yscale="log",
        xlim=(0, end),
        xlabel="absolute difference of luma (levels of 255)",
        ylabel=f"share of pixels per {bin_width:g} levels",
    )
    title = f"in the tail (AD > {threshold:.1f}, shaded):"
    place: dict[str, Any] = {"loc": "upper right"}
    if legend_above:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    ax.legend(title=title, title_fontsize=7, alignment="left", **place)
    return ax
