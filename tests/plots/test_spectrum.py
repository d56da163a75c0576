"""What is drawn of spectra and of the tail's frequencies."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from srlongtail.models.facts import Subject
from srlongtail.plots.spectrum import plot_spectrum, plot_tail_frequency
from srlongtail.plots.style import COLUMN, paper_style

SUBJECTS = {name: Subject(name, name.upper()) for name in ("a", "b")}


@pytest.fixture
def ax():
    return Figure().add_subplot()


def test_each_model_has_a_line_with_its_interval_below_half_a_cycle(ax):
    edges = np.array([0, 0.2, 0.5, np.sqrt(0.5)])
    rings = {"frequency_from": edges[:-1], "frequency_to": edges[1:]}
    summary = pd.concat(
        pd.DataFrame(
            {"model": name, **rings, "frc": [1.0, middle, 9.0], "frc_low": [1.0, middle - 0.2, 9.0],
             "frc_high": [1.0, middle + 0.1, 9.0]}
        )
        for name, middle in (("a", 0.5), ("b", 0.7))
    )  # fmt: skip
    assert plot_spectrum(summary, ax, SUBJECTS, column="frc", scale=2) is ax
    first, second, nyquist = ax.lines
    assert first.get_xdata() == pytest.approx([0.1, 0.35])
    assert (first.get_ydata()[1], second.get_ydata()[1]) == (0.5, 0.7)
    assert nyquist.get_xdata() == [0.25, 0.25]
    (shade,) = ax.collections[1].get_paths()
    ends = shade.vertices[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((0.5, 1.0))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["A", "B", "Nyquist of LR"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_legend_hides_no_line_and_no_label(count):
    rings = {"frequency_from": [0, 0.2, 0.4], "frequency_to": [0.2, 0.4, 0.6]}
    names = [f"network-{index}" for index in range(count)]
    summary = pd.concat(
        pd.DataFrame({"model": name, **rings, "frc": 0.5, "frc_low": -3.0, "frc_high": 3.0})
        for name in names
    )
    with paper_style():
        figure = Figure(figsize=(COLUMN, 2.4))
        ax = figure.add_subplot()
        plot_spectrum(summary, ax, {n: Subject(n, n) for n in names}, column="frc", scale=4)
        figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    assert legend.y1 <= ax.xaxis.label.get_window_extent().y0
    assert legend.y0 >= 0
    assert legend.x1 <= figure.bbox.x1
    assert ax.get_ylim() == (-1, 1.05)


def test_the_heat_map_has_the_hardest_tenth_on_top_and_leaves_the_style_alone(ax):
    before = dict(mpl.rcParams)
    shares = pd.DataFrame([[0.9, 0.1], [0.25, 0.75]], [1, 10], ["flat", "above 2"])
    assert plot_tail_frequency(shares, ax) is ax
    assert [text.get_text() for text in ax.texts] == ["25", "75", "90", "10"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["10", "1"]
    assert ax.get_yticks()[0] < ax.get_yticks()[1]
    assert ax.yaxis_inverted()  # the first row is the upper one
    assert dict(mpl.rcParams) == before
