"""Plots of the error in the tenths of the pixels, and of what is gained there."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from srlongtail.models.facts import Subject
from srlongtail.plots.style import line_style, network_colors


def plot_tenth_errors(
    table: pd.DataFrame, ax: Axes, subjects: Mapping[str, Subject], *, ylabel: str
) -> Axes:
    """Draw a quantity in each tenth of the pixels, one line per model, with 95% intervals.

    Args:
        table: Columns `model, tenth, estimate, low, high`; see `BandTable.summary`.
        ax: Where to draw.
        subjects: Labels and styles of the models, by name.
        ylabel: What the quantity is, with its unit.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> rows = {"tenth": [1, 10], "estimate": [1, 9], "low": [0, 8], "high": [2, 10]}
        >>> table = pd.DataFrame({"model": "a", **rows})
        >>> ax = plt.figure().add_subplot()
        >>> ax = plot_tenth_errors(table, ax, {"a": Subject("a", "A")}, ylabel="AD (levels)")
        >>> ax.lines[0].get_xdata().tolist()
        [1, 10]
    """
    colors = network_colors(subjects[name] for name in table["model"].unique())
    for name, rows in table.groupby("model", sort=False):
        subject = subjects[str(name)]
        color = colors[subject.name]
        ax.plot(
            rows["tenth"], rows["estimate"], color=color, linestyle=line_style(subject),
            marker=".", markersize=4, label=subject.label,
        )  # fmt: skip
        ax.fill_between(rows["tenth"], rows["low"], rows["high"], color=color, alpha=0.15, lw=0)
    ax.axhline(0, color="0.6", linewidth=0.6, zorder=0)
    ax.set_xticks([1, 4, 7, 10], labels=["easiest", "4", "7", "hardest"])
    ax.set(xlabel="tenth of the pixels, by gradient of HR", ylabel=ylabel)
    ax.legend(loc="upper left")
    return ax
