"""What is drawn of a tail."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from srlongtail.models.facts import Subject
from srlongtail.plots.tail import plot_hill, plot_lorenz
from srlongtail.stats import hill_table, lorenz

SUBJECTS = {name: Subject(name, name.upper()) for name in ("a", "b")}


def test_the_hill_plot_shows_index_and_standard_error():
    tables = {name: hill_table(np.random.default_rng(seed).pareto(3, 2000) + 1)
              for seed, name in enumerate(SUBJECTS)}  # fmt: skip
    ax = plot_hill(tables, Figure().add_subplot(), SUBJECTS)
    for line, table in zip(ax.lines, tables.values(), strict=True):
        assert line.get_xdata() == pytest.approx(table["k"].to_numpy())
        assert line.get_ydata() == pytest.approx(table["tail_index"].to_numpy())
    (shade,) = ax.collections[1].get_paths()
    top = (tables["b"]["tail_index"] + 2 * tables["b"]["standard_error"]).max()
    assert shade.vertices[:, 1].max() == pytest.approx(top)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["A", "B"]


def test_a_lorenz_curve_of_many_pixels_keeps_its_shape_and_ends():
    values = np.random.default_rng(0).exponential(size=50_000)
    ax = plot_lorenz({"a": lorenz(values)}, Figure().add_subplot(), SUBJECTS)
    shares, held = ax.lines[-1].get_data()
    assert len(shares) == 1001
    assert (shares[0], held[0], shares[-1], held[-1]) == (0, 0, 100, pytest.approx(100))
    assert np.interp(90, shares, held) == pytest.approx(67.0, abs=0.7)  # of an exponential
