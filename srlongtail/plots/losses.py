"""Plots of a bench of losses, from the tables of `LossStudy`."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

DIVERGING = "RdBu"  # red: worse than L1, blue: better
_WIDEST_DB = 0.05  # a loss that is far worse must not make all others white


def psnr_norm(verdicts: pd.DataFrame) -> CenteredNorm:
    """Return the color scale of changes in PSNR, centered at 0, up to 0.05 dB to either side.

    >>> psnr_norm(pd.DataFrame({"psnr_db": [0.03, -2.0]})).halfrange
    0.05
    """
    widest = float(verdicts["psnr_db"].abs().max())
    return CenteredNorm(0, min(max(widest, 1e-3), _WIDEST_DB))


def plot_head_and_tail(
    verdicts: pd.DataFrame,
    differences: pd.DataFrame,
    ax: Axes,
    *,
    ranking: str,
    norm: CenteredNorm,
    margin: float,
) -> Axes:
    """Draw the change in the tail against that in the head.

    Each loss outside of the margin bears its number. The axes are linear within the margin and
    logarithmic beyond.

    Args:
        verdicts, differences: see `LossStudy`.
        ax: Where to draw.
        ranking: What ranks the pixels.
        norm: The color scale of the change in PSNR.
        margin: Differences that do not matter, in levels; drawn as a box.
    """
    x, y = f"head_{ranking}", f"tail_{ranking}"
    box = Rectangle((-margin, -margin), 2 * margin, 2 * margin, color="0.9", zorder=0)
    ax.add_patch(box)
    for line in (ax.axhline, ax.axvline):
        line(0, color="0.6", linewidth=0.6, zorder=0)
    for row in verdicts.to_dict("records"):
        seeds = differences[differences["loss"] == row["loss"]]
        look: dict[str, Any] = {"c": [row["psnr_db"]] * len(seeds), "cmap": DIVERGING, "norm": norm}
        marker = "s" if row["control"] else "o"
        edge: dict[str, Any] = {"edgecolors": "0.4", "linewidths": 0.2}
        ax.scatter(seeds[x], seeds[y], s=4, marker=marker, **look, **edge, zorder=2)
        for (start, end), fixed, draw in (
            ((f"{x}_low", f"{x}_high"), row[y], ax.hlines),
            ((f"{y}_low", f"{y}_high"), row[x], ax.vlines),
        ):
            draw(fixed, row[start], row[end], color="0.4", linewidth=0.6, zorder=2)
        ax.scatter(
            row[x], row[y], c=row["psnr_db"], s=26, marker=marker, cmap=DIVERGING, norm=norm,
            edgecolors="black", linewidths=0.6, zorder=3,
        )  # fmt: skip
    for axis, values in ((ax.xaxis, differences[x]), (ax.yaxis, differences[y])):
        _symmetric_log(axis.axes, axis.axis_name, values.tolist(), margin)
    ax.set(xlabel="change in the head (levels)", ylabel="change in the tail (levels)")
    _number(ax, verdicts[(verdicts[[x, y]].abs() > margin).any(axis=1)], x, y)
    corner: dict[str, Any] = {"transform": ax.transAxes, "fontsize": 6, "color": "0.35"}
    ax.text(0.99, 0.01, "tail to head", ha="right", va="bottom", **corner)
    ax.text(0.01, 0.99, "head to tail", ha="left", va="top", **corner)
    ax.text(0.01, 0.01, "lower in both", ha="left", va="bottom", **corner)
    ax.text(0.99, 0.99, "higher in both", ha="right", va="top", **corner)
    return ax


def plot_psnr(
    verdicts: pd.DataFrame,
    differences: pd.DataFrame,
    ax: Axes,
    *,
    norm: CenteredNorm,
    margin: float,
) -> Axes:
    """Draw the change in PSNR of each loss with its interval, and each seed as a small mark.

    The axis is linear within the margin and logarithmic beyond.

    Args:
        verdicts, differences: see `LossStudy`.
        ax: Where to draw.
        norm: The color scale of the change in PSNR.
        margin: Differences that do not matter, in dB; shaded.
    """
    ax.axvspan(-margin, margin, color="0.9", linewidth=0, zorder=0)
    ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
    places = range(len(verdicts))
    for place, row in zip(places, verdicts.to_dict("records"), strict=True):
        seeds = differences.loc[differences["loss"] == row["loss"], "psnr_db"]
        marker = "s" if row["control"] else "o"
        ax.scatter(seeds, [place] * len(seeds), s=4, marker=marker, color="0.55", linewidths=0)
        ax.hlines(place, row["psnr_db_low"], row["psnr_db_high"], color="0.3", linewidth=0.9)
        ax.scatter(
            row["psnr_db"], place, c=row["psnr_db"], s=20, marker=marker, cmap=DIVERGING,
            norm=norm, edgecolors="black", linewidths=0.6, zorder=3,
        )  # fmt: skip
    names = [f"{row.title}  {row.number}" for row in verdicts.itertuples()]
    ax.set_yticks(places, labels=names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(verdicts) - 0.4, -0.6)
    _symmetric_log(ax, "x", differences["psnr_db"].tolist(), margin)
    ax.set_xlabel("change in PSNR (dB)")
    return ax


def add_psnr_colorbar(figure: Figure, axes: Sequence[Axes], norm: CenteredNorm) -> None:
    """Add the color scale of the change in PSNR below some panels."""
    mappable = ScalarMappable(norm, DIVERGING)
    bar = figure.colorbar(
        mappable,
        ax=list(axes),
        location="bottom",
        extend="both",
        aspect=40,
        pad=0.02,
        shrink=0.7,
        ticks=MaxNLocator(5),
    )
    bar.set_label("change in PSNR over L1 (dB)")


def _number(ax: Axes, rows: pd.DataFrame, x: str, y: str) -> None:
    """Write the number of each loss beside its mark, on the side with most room."""
    places = rows[[x, y]].to_numpy()
    marks = ax.transData.transform(places) * 72 / ax.figure.dpi  # in points
    taken = marks
    for number, place, mark in zip(rows["number"], places, marks, strict=True):
        others = taken[(taken != mark).any(axis=1)]
        sides = [np.array(side) for side in product((-7.0, 0.0, 7.0), repeat=2) if any(side)]
        room = [np.hypot(*(others - mark - side).T).min(initial=50.0) for side in sides]
        side = sides[int(np.argmax(room))]
        taken = np.vstack([taken, mark + side])
        ax.annotate(
            str(number), tuple(place), tuple(side), textcoords="offset points", fontsize=6,
            ha="center", va="center", zorder=4,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )  # fmt: skip


def _symmetric_log(ax: Axes, name: str, values: Sequence[float], margin: float) -> None:
    """Make an axis linear within the margin and logarithmic beyond, with a tick a decade."""
    widest = 6 * max([abs(value) for value in values] + [margin])  # leaves the corners free
    steps = [margin]
    while steps[-1] * 10 < widest:
        steps.append(steps[-1] * 10)
    ticks = [-step for step in reversed(steps)] + [0.0] + steps
    scale, limits = (getattr(ax, f"set_{name}{what}") for what in ("scale", "lim"))
    scale("symlog", linthresh=margin, linscale=0.8)
    limits(-widest, widest)
    axis = getattr(ax, f"{name}axis")
    axis.set_ticks(ticks)
    axis.set_ticks([], minor=True)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
