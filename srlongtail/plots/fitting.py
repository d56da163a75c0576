"""Plots of the over-fitting of bands of pixels, from `FittingTable.summary`."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

_BANDS = {"head": ("#0072B2", "o"), "tail": ("#D55E00", "s")}
_LABELS = {"head": "head (easy half)", "tail": "tail (hardest tenth)"}


def plot_errors(summary: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the error of head and tail on seen and unseen images by iteration, on log axes.

    Args:
        summary: See `FittingTable.summary`.
        ax: Where to draw.
    """
    for band, (color, marker) in _BANDS.items():
        rows = summary[summary["band"] == band]
        style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 3}
        ax.plot(rows["iteration"], rows["unseen"], linestyle="-", **style, label=f"{band}, unseen")
        seen = {**style, "markerfacecolor": "white"}
        ax.plot(rows["iteration"], rows["seen"], linestyle="--", **seen, label=f"{band}, seen")
    ax.set(yscale="log", ylabel="AD of luma (levels of 255)")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.legend(loc="best")
    return _iterations(ax, summary)


def plot_gaps(summary: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the gap, unseen minus seen, of head and tail by iteration, with intervals.

    In percent of the error on unseen images.

    Args:
        summary: See `FittingTable.summary`.
        ax: Where to draw.
    """
    for band, (color, marker) in _BANDS.items():
        rows = summary[summary["band"] == band]
        ax.plot(
            rows["iteration"],
            rows["gap_percent"],
            color=color,
            marker=marker,
            markersize=3,
            label=_LABELS[band],
        )
        ends = rows["low_percent"], rows["high_percent"]
        ax.fill_between(rows["iteration"], *ends, color=color, alpha=0.2, linewidth=0)
    ax.axhline(0, color="0.5", linewidth=0.6, zorder=0)
    ax.set_ylabel("gap (% of the error)")
    ax.legend(loc="best")
    return _iterations(ax, summary)


def plot_gaps_by_tenth(summary: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the gap of each tenth of the pixels at the last iteration, in percent, with intervals.

    Args:
        summary: See `FittingTable.summary`.
        ax: Where to draw.
    """
    last = summary[summary["iteration"] == summary["iteration"].max()]
    rows = last[~last["band"].isin(list(_BANDS))]
    colors = [_BANDS["head"][0]] * 5 + ["0.5"] * 4 + [_BANDS["tail"][0]]
    tenths = rows["band"].astype(int)
    ax.vlines(tenths, rows["low_percent"], rows["high_percent"], colors=colors, linewidth=1.2)
    ax.scatter(tenths, rows["gap_percent"], c=colors, s=14, zorder=3)
    ax.axhline(0, color="0.5", linewidth=0.6, zorder=0)
    ax.set(
        xlabel="tenth of the pixels (1: easiest)",
        ylabel="gap (% of the error)",
        xticks=range(1, 11),
    )
    return ax


def _iterations(ax: Axes, summary: pd.DataFrame) -> Axes:
    steps = sorted(summary["iteration"].unique())
    ax.set(xscale="log", xlabel="iteration")
    ax.xaxis.set_minor_locator(NullLocator())
    shown = [step for step in steps[:-1] if 1.5 * step < steps[-1]] + steps[-1:]
    ax.set_xticks(shown, labels=[_thousands(int(step)) for step in shown])
    return ax


def _thousands(step: int) -> str:
    return f"{step / 1000:g}K" if step >= 1000 else str(step)
