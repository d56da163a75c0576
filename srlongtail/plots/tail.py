"""Plots of how heavy a tail is: Lorenz curves, Hill plots, and statistics with intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from srlongtail.models.facts import Subject
from srlongtail.plots.style import line_style, network_colors


def plot_hill(
    tables: Mapping[str, pd.DataFrame], ax: Axes, subjects: Mapping[str, Subject]
) -> Axes:
    """Draw Hill's tail index by the number of values in the tail, with two standard errors.

    The index is meaningful where its line is level. If the line falls throughout, the tail is
    lighter than any power law.

    Args:
        tables: Name -> what `hill_table` returns.
        ax: Where to draw.
        subjects: What the models are called and drawn as, by their names.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> from srlongtail.stats import hill_table
        >>> table = hill_table(np.random.default_rng(0).pareto(3, 1000) + 1)
        >>> ax = plot_hill({"a": table}, plt.figure().add_subplot(), {"a": Subject("a", "A")})
        >>> ax.get_xscale()
        'log'
    """
    colors = network_colors(subjects[name] for name in tables)
    for name, table in tables.items():
        subject, index = subjects[name], table["tail_index"]
        ax.plot(
            table["k"], index, color=colors[name], linestyle=line_style(subject),
            label=subject.label,
        )  # fmt: skip
        reach = 2 * table["standard_error"]
        ax.fill_between(
            table["k"], index - reach, index + reach, color=colors[name], alpha=0.2, linewidth=0
        )
    ax.set(xscale="log", ylim=(0, None), xlabel="pixels in the tail, k", ylabel="tail index")
    ax.legend(loc="best")
    return ax


def plot_tail_statistics(
    summary: pd.DataFrame, ax: Axes, subjects: Mapping[str, Subject], labels: Mapping[str, str]
) -> Axes:
    """Draw statistics between 0 and 1 in percent, one point and 95% interval per model.

    Args:
        summary: See `TailTable.summary`.
        ax: Where to draw.
        subjects: What the models are called and drawn as, by their names.
        labels: Statistic -> what the axis calls it, in this order from the top.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> numbers = {"estimate": [0.5], "low": [0.4], "high": [0.6]}
        >>> summary = pd.DataFrame({"model": "a", "statistic": ["gini"], **numbers})
        >>> ax = plt.figure().add_subplot()
        >>> ax = plot_tail_statistics(summary, ax, {"a": Subject("a", "A")}, {"gini": "Gini"})
        >>> ax.get_xlabel()
        'percent'
    """
    models = list(summary["model"].unique())
    colors = network_colors(subjects[name] for name in models)
    for order, name in enumerate(models):
        rows = summary[summary["model"] == name].set_index("statistic").loc[list(labels)]
        places = np.arange(len(labels)) + 0.22 * (order - (len(models) - 1) / 2)
        style: dict[str, Any] = {"color": colors[name], "linestyle": line_style(subjects[name])}
        ax.hlines(places, 100 * rows["low"], 100 * rows["high"], linewidth=1.2, **style)
        filled = subjects[name].arm == "FPL" or subjects[name].architecture == "bicubic"
        ax.scatter(
            100 * rows["estimate"],
            places,
            s=14,
            edgecolors=colors[name],
            facecolors=colors[name] if filled else "white",
            zorder=3,
            label=subjects[name].label,
        )
    ax.set_yticks(range(len(labels)), labels=list(labels.values()))
    ax.set(xlabel="percent", ylim=(len(labels) - 0.5, -0.5))
    return ax


def plot_lorenz(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    ax: Axes,
    subjects: Mapping[str, Subject],
) -> Axes:
    """Draw the share of the error in the pixels with the smallest errors, one line per model.

    The diagonal is the curve of an error that is the same everywhere.

    Args:
        curves: Name -> what `lorenz` returns.
        ax: Where to draw.
        subjects: What the models are called and drawn as, by their names.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> from srlongtail.stats import lorenz
        >>> curves = {"a": lorenz([1.0, 3.0])}
        >>> ax = plot_lorenz(curves, plt.figure().add_subplot(), {"a": Subject("a", "A")})
        >>> ax.lines[-1].get_ydata().tolist()
        [0.0, 25.0, 100.0]
    """
    colors = network_colors(subjects[name] for name in curves)
    ax.plot([0, 100], [0, 100], color="0.7", linewidth=0.6)
    for name, curve in curves.items():
        subject = subjects[name]
        shares, held = (np.asarray(part) for part in curve)
        # A curve of a million pixels is drawn through a thousand of its points.
        points = np.unique(np.linspace(0, len(shares) - 1, 1001).round().astype(int))
        ax.plot(
            100 * shares[points], 100 * held[points], color=colors[name],
            linestyle=line_style(subject), label=subject.label,
        )  # fmt: skip
    ax.set(
        xlim=(0, 100),
        ylim=(0, 100),
        xlabel="pixels, smallest error first (%)",
        ylabel="share of the error (%)",
    )
    ax.legend(loc="upper left")
    return ax
