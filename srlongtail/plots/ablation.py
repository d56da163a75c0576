"""Ablations, drawn: gains of arms with every seed, and how much of them may be chance."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from srlongtail.stats import Interval

_STYLES = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"))


def plot_gains(
    gains: Mapping[str, pd.DataFrame], ax: Axes, *, floor: Interval | None = None, log: bool = False
) -> Axes:
    """One line a setting through the means over seeds, with every seed as a small mark.

    Args:
        gains: label of a setting -> table with columns `value` and `gain`, one row a run.
        ax: where to draw.
        floor: means in this interval cannot be told from its estimate; shaded.
        log: a logarithmic axis of values.

    >>> import matplotlib.pyplot as plt
    >>> table = pd.DataFrame({"value": [0, 0, 1], "gain": [0.1, 0.3, 0.4]})
    >>> ax = plot_gains({"gamma": table}, plt.figure().add_subplot())
    >>> ax.lines[0].get_ydata().round(3).tolist()
    [0.2, 0.4]
    """
    for (label, table), (color, marker, line) in zip(gains.items(), _STYLES, strict=False):
        means = table.groupby("value")["gain"].mean()
        ax.plot(
            means.index,
            means,
            color=color,
            marker=marker,
            linestyle=line,
            label=label,
            markersize=4,
        )
        ax.scatter(table["value"], table["gain"], color=color, marker=marker, s=5, alpha=0.5)
    if floor is not None:
        label = "within chance, by the spread over seeds"
        ax.axhspan(floor.low, floor.high, color="0.88", zorder=0, linewidth=0, label=label)
    values = sorted({value for table in gains.values() for value in table["value"]})
    if log:
        ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(values))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(values, labels=[f"{value:g}" for value in values])
    return ax
