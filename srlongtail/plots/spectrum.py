"""Plots of errors by spatial frequency, and of the frequencies that the tail has."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from srlongtail.models.facts import Subject
from srlongtail.plots.style import SEQUENTIAL, line_style, network_colors

_AXIS_TEXT = 0.34  # inches that the ticks and the label of the frequency axis take
_LABELS = {
    "squared_error": "squared error (levels²)",
    "frc": "ring correlation with HR",
}


def plot_spectrum(
    summary: pd.DataFrame,
    ax: Axes,
    subjects: Mapping[str, Subject],
    *,
    column: str,
    scale: int,
    legend: bool = True,
) -> Axes:
    """Draw a quantity against the spatial frequency, one line per model, with 95% intervals.

    The last ring, which holds the corners of the frequency plane, is wider than the others and is
    not drawn. A dotted line marks the Nyquist frequency of LR. The legend stands below the axes,
    because the lines leave no corner free, and all end at the same place.

    Args:
        summary: See `ErrorSpectrum.summary`.
        ax: Where to draw.
        subjects: Labels and styles of the models, by name.
        column: "squared_error" or "frc".
        scale: SR pixels per LR pixel, which sets the Nyquist frequency of LR.
        legend: Draw it; a figure of several panels has one for all of them.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> rings = {"frequency_from": [0, 0.25, 0.5], "frequency_to": [0.25, 0.5, 0.71]}
        >>> frc = {"frc": [1, 0.5, 0], "frc_low": [0.9, 0.4, 0], "frc_high": [1, 0.6, 0]}
        >>> summary = pd.DataFrame({"model": "a", **rings, **frc})
        >>> ax = plt.figure().add_subplot()
        >>> ax = plot_spectrum(summary, ax, {"a": Subject("a", "A")}, column="frc", scale=4)
        >>> ax.lines[0].get_xdata().tolist()
        [0.125, 0.375]
    """
    colors = network_colors(subjects[name] for name in summary["model"].unique())
    for name, rings in summary[summary["frequency_from"] < 0.5].groupby("model", sort=False):
        subject = subjects[str(name)]
        middles = (rings["frequency_from"] + rings["frequency_to"]) / 2
        color = colors[subject.name]
        ax.plot(
            middles, rings[column], color=color, linestyle=line_style(subject), label=subject.label
        )
        low, high = rings[f"{column}_low"], rings[f"{column}_high"]
        ax.fill_between(middles, low, high, color=color, alpha=0.15, linewidth=0)
    ax.axvline(
        1 / (2 * scale), color="black", linestyle=(0, (1, 1)), linewidth=1, label="Nyquist of LR"
    )
    ax.set(xlim=(0, 0.5), xlabel="frequency (cycles per pixel)", ylabel=_LABELS[column])
    if column == "squared_error":
        ax.set_ylim(0, None)
    else:  # intervals of a few images exceed what a correlation can be
        bottom, top = ax.get_ylim()
        ax.set_ylim(max(bottom, -1), min(top, 1.05))
    if legend:
        below = ScaledTranslation(0, -_AXIS_TEXT, ax.figure.dpi_scale_trans)
        ax.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            bbox_transform=ax.transAxes + below,
            ncols=2,
        )
    return ax


def plot_tail_frequency(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a heat map of the frequencies in each tenth of the pixels; cells show percentages.

    Args:
        table: See `TailFrequency.cross_table`.
        ax: Where to draw.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> table = pd.DataFrame([[0.75, 0.25]], index=[10], columns=["flat", "above 2"])
        >>> ax = plot_tail_frequency(table, plt.figure().add_subplot())
        >>> [text.get_text() for text in ax.texts]
        ['75', '25']
    """
    import seaborn as sns  # slow to import, and most figures need it not

    sns.heatmap(
        100 * table.iloc[::-1],  # the hardest tenth on top
        ax=ax,
        vmin=0,
        cmap=SEQUENTIAL,
        annot=True,
        fmt=".0f",
        annot_kws={"size": 6},
        cbar_kws={"label": "share of the tenth's pixels (%)"},
    )
    ax.set_xticks(ax.get_xticks(), labels=[band.replace(" ", "\n", 1) for band in table])
    ax.set(
        xlabel="local frequency of HR (Nyquist of LR: 1)",
        ylabel="tenth of the pixels (10: hardest)",
    )
    ax.tick_params(length=0, labelrotation=0)
    return ax
