"""Where the gain of one network over another lives, drawn part by part.

Blue is gained, orange is lost: the two can be told apart with any color vision.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import CenteredNorm, LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from srlongtail.longtail.comparison import Comparison, GainMap
from srlongtail.plots.images import scale_top

GAINED, LOST = "#0072B2", "#D55E00"
SIGNED = LinearSegmentedColormap.from_list("lost-gained", [LOST, "white", GAINED])

_EVEN = "0.55"  # what a part would contribute if the gain were spread evenly over the pixels
_SATURATED = 0.99  # share of a signed map that its color scale holds


def plot_image_gains(comparison: Comparison, ax: Axes) -> Axes:
    """Draw the gain of every image in ascending order, and their mean with its interval.

    Args:
        comparison: Any number of images; the strongest is named.
        ax: Where to draw.
    """
    order = np.argsort(comparison.gains, kind="stable")
    gains = comparison.gains[order]
    ranks = np.arange(1, len(gains) + 1)
    mean, low, high = comparison.gain[:3]
    if np.isfinite(low):
        label = "mean, 95% interval"
        ax.axhspan(low, high, color="0.87", zorder=0, linewidth=0)
        ax.axhline(mean, color="0.3", linewidth=1.0, zorder=1, label=label)
    size = 3.5 if len(gains) <= 40 else 2.0
    for chosen, color, marker in ((gains >= 0, GAINED, "o"), (gains < 0, LOST, "v")):
        ax.plot(ranks[chosen], gains[chosen], marker, color=color, markersize=size, zorder=3)
    strongest = int(np.abs(gains).argmax())
    last = strongest > len(gains) / 2
    if gains.any():
        ax.annotate(
            comparison.strongest_image.image,
            (ranks[strongest], gains[strongest]),
            xytext=(3, 4) if last else (-3, -4),
            textcoords="offset points",
            horizontalalignment="right" if last else "left",
            verticalalignment="bottom" if last else "top",
        )
    ax.set(xlabel="images, by their gain", ylabel="gain (dB)", xlim=(0.4, len(gains) + 0.6))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _frame(ax, gains, legend="right" if gains.sum() < 0 else "left")
    return ax


def plot_tenths(parts: pd.DataFrame, ax: Axes) -> Axes:
    """Draw what each tenth of the pixels contributes, ranked by gradient and by bicubic's AD.

    Args:
        parts: `Comparison.frame()`.
        ax: Where to draw.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> rows = [("gradient tenth", str(i), 0.1, 0.01 * i, 0, 0.02 * i) for i in range(1, 11)]
        >>> parts = pd.DataFrame(rows, columns=["by", "part", "share", "gain_db", "low", "high"])
        >>> plot_tenths(parts, plt.figure().add_subplot()).get_ylabel()
        'part of the gain (dB)'
    """
    for by, label, shift, marker, fill in (
        ("gradient tenth", "by gradient", -0.14, "o", GAINED),
        ("bicubic AD tenth", "by bicubic's AD", 0.14, "s", "white"),
    ):
        rows = parts[parts["by"] == by]
        if len(rows):
            places = rows["part"].astype(int) + shift
            _with_intervals(rows, places, ax, marker, fill, label=label)
    ax.set_xticks([1, 4, 7, 10], labels=["easiest", "4", "7", "hardest"])
    ax.set(xlabel="tenth of the pixels", ylabel="part of the gain (dB)")
    _frame(ax, parts["gain_db"], legend="left")
    return ax


def plot_orientations(parts: pd.DataFrame, ax: Axes) -> Axes:
    """Draw what the pixels on lines of each orientation contribute.

    Gray dashes show the contributions if the gain were spread evenly over the pixels.

    Args:
        parts: `Comparison.frame()`.
        ax: Where to draw.
    """
    rows = parts[parts["by"] == "orientation"]
    total = rows["gain_db"].sum()
    places = np.arange(len(rows))
    even = rows["share"] * total
    ax.hlines(even, places - 0.35, places + 0.35, _EVEN, linewidth=1.6, label="if spread evenly")
    _with_intervals(rows, places, ax, "o", GAINED)
    signs = {"horizontal": "—", "rising": "/", "vertical": "|", "falling": "\\", "mixed": "mix"}
    ax.set_xticks(places, labels=[signs.get(part, part) for part in rows["part"]])
    ax.set(xlabel="direction of lines and edges", ylabel="part of the gain (dB)")
    _frame(ax, rows["gain_db"], legend="right")
    return ax


def plot_frequencies(parts: pd.DataFrame, ax: Axes, scale: int) -> Axes:
    """Draw what each ring of frequencies contributes.

    Args:
        parts: `Comparison.frame()`.
        ax: Where to draw.
        scale: SR pixels per LR pixel, which sets the Nyquist frequency of LR.
    """
    rows = parts[parts["by"] == "frequency"]
    edges = rows["part"].str.split(" to ", expand=True).astype(float)
    middles = edges.mean(axis="columns")
    ax.bar(middles, rows["gain_db"], edges[1] - edges[0], color="0.87", edgecolor="white", zorder=0)
    _with_intervals(rows, middles, ax, "o", GAINED)
    nyquist = 1 / (2 * scale)
    ax.axvline(nyquist, color="black", linestyle=(0, (1, 1)), linewidth=1, label="Nyquist of LR")
    ax.set(xlabel="frequency (cycles per pixel)", ylabel="part of the gain (dB)", xlim=(0, None))
    _frame(ax, rows["gain_db"], legend="right")
    return ax


def show_gain_map(gains: GainMap, ax: Axes, block: int) -> ScalarMappable:
    """Draw the signed map of an image: blue pixels gain, orange ones lose.

    Args:
        gains: The map.
        ax: Where to draw.
        block: The map is averaged over blocks of so many pixels along each side; axes stay in
            the pixels of the part scored.

    Example:
        >>> import matplotlib.pyplot as plt, torch
        >>> gains = GainMap("set", "image", torch.zeros(3, 8, 8), torch.eye(8), border=4)
        >>> show_gain_map(gains, plt.figure().add_subplot(), block=4).norm.vcenter
        0
    """
    means = gains.blocks(block)
    limit = scale_top(means.abs(), _SATURATED) or 1.0
    height, width = (side * block for side in means.shape)
    drawn = ax.imshow(
        means.numpy(),
        cmap=SIGNED,
        norm=CenteredNorm(halfrange=limit),
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest",
    )
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color("0.7")
    ax.spines[:].set_visible(True)
    return drawn


def add_gain_colorbar(drawn: ScalarMappable, ax: Axes, label: str) -> Colorbar:
    """Draw a color bar of a gain map below `ax`, open at both ends."""
    place = ax.inset_axes((0, -0.11, 1, 0.05))
    return ax.figure.colorbar(
        drawn, cax=place, orientation="horizontal", extend="both", extendfrac=0.04, label=label
    )


def _with_intervals(
    rows: pd.DataFrame,
    places: "pd.Series[float] | np.ndarray",
    ax: Axes,
    marker: str,
    fill: str,
    label: str | None = None,
) -> None:
    """Draw points with their intervals (a single image has none)."""
    reach = [rows["gain_db"] - rows["low"], rows["high"] - rows["gain_db"]]
    ax.errorbar(
        places,
        rows["gain_db"],
        yerr=None if rows["low"].isna().all() else reach,
        fmt=marker,
        color=GAINED,
        markerfacecolor=fill,
        markersize=3.5,
        elinewidth=0.9,
        label=label,
    )


def _frame(ax: Axes, values: "pd.Series[float] | np.ndarray", legend: str) -> None:
    """Draw the line of no gain, and the legend in a corner that losses or gains leave free.

    Args:
        ax: Where to draw.
        values: What is drawn along y.
        legend: "left" or "right"; it stands above, or below where losses prevail.
    """
    ax.axhline(0, color="black", linewidth=0.6, zorder=1)
    ax.margins(y=0.1)
    # Of nothing but zeros matplotlib shows its own rounding.
    low, high = ax.get_ylim() if values.any() else (-0.01, 0.01)
    room = 0.2 * (high - low)
    losses = bool(values.sum() < 0)
    ax.set_ylim(low - room * losses, high + room * (not losses))
    if ax.get_legend_handles_labels()[0]:  # one image has no interval to explain
        place: Any = f"{'lower' if losses else 'upper'} {legend}"
        ax.legend(loc=place, handlelength=1.2)
