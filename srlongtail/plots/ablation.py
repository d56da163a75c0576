"""Plots of ablations: the gains of the arms with every seed, and how much of them may be chance."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from srlongtail.stats import Interval

_STYLES = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"))


def plot_gains(
    gains: Mapping[str, pd.DataFrame], ax: Axes, *, floor: Interval | None = None, log: bool = False
) -> Axes:
    """Draw one line per setting through the means over seeds, and each seed as a small mark.

    Args:
        gains: Label of a setting -> table with the columns `value` and `gain`, one row per run.
        ax: Where to draw.
        floor: Interval in which a difference may be chance; shaded.
        log: Whether the axis of values is logarithmic.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> table = pd.DataFrame({"value": [0, 0, 1], "gain": [0.1, 0.3, 0.4]})
        >>> ax = plot_gains({"gamma": table}, plt.figure().add_subplot())
        >>> ax.lines[0].get_ydata().round(3).tolist()
        [0.2, 0.4]
    """
    import seaborn as sns  # slow to import, and most figures need it not

    for (label, table), (color, marker, line) in zip(gains.items(), _STYLES, strict=False):
        runs = {"data": table, "x": "value", "y": "gain", "ax": ax, "legend": False}
        look = {"color": color, "marker": marker}
        sns.lineplot(
            **runs, **look, label=label, errorbar=None, linestyle=line, markersize=5,
            markeredgewidth=0,
        )  # fmt: skip
        sns.scatterplot(**runs, **look, s=8, alpha=0.5, linewidth=0)
    if floor is not None:
        label = "within chance, by the spread over seeds"
        ax.axhspan(floor.low, floor.high, color="0.88", zorder=0, linewidth=0, label=label)
    values = sorted({value for table in gains.values() for value in table["value"]})
    if log:
        ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(values))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(values, labels=[f"{value:g}" for value in values])
    ax.set(xlabel="", ylabel="")
    return ax
