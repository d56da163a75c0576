"""What is drawn of a table of gaps."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from srlongtail.plots.fitting import plot_errors, plot_gaps, plot_gaps_by_tenth


@pytest.fixture
def summary():
    """Gaps of 1% to 10% in the tenths, that double from the first iteration to the second."""
    rows = [
        (iteration, band, 1.0 + place, 2.0 + place, gap * iteration / 1000)
        for iteration in (500, 1000)
        for place, (band, gap) in enumerate(
            [*((str(tenth), float(tenth)) for tenth in range(1, 11)), ("head", 3.0), ("tail", 10.0)]
        )
    ]
    table = pd.DataFrame(rows, columns=["iteration", "band", "seen", "unseen", "gap_percent"])
    return table.assign(
        low_percent=table["gap_percent"] - 0.5, high_percent=table["gap_percent"] + 0.5
    )


def test_errors_of_seen_and_unseen_images(summary):
    ax = plot_errors(summary, Figure().add_subplot())
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.lines}
    assert drawn["tail, seen"] == [12, 12]
    assert drawn["head, unseen"] == [12, 12]
    assert ax.lines[0].get_xdata().tolist() == [500, 1000]


def test_gaps_against_the_iteration_with_intervals(summary):
    ax = plot_gaps(summary, Figure().add_subplot())
    assert ax.lines[0].get_ydata().tolist() == [1.5, 3]
    assert ax.lines[1].get_ydata().tolist() == [5, 10]
    (band,) = ax.collections[1].get_paths()
    assert (band.vertices[:, 1].min(), band.vertices[:, 1].max()) == (4.5, 10.5)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["500", "1K"]


def test_gaps_by_tenth_are_those_of_the_last_iteration(summary):
    ax = plot_gaps_by_tenth(summary, Figure().add_subplot())
    bars, points = ax.collections
    assert points.get_offsets().tolist() == [[tenth, tenth] for tenth in range(1, 11)]
    assert [path.vertices[:, 1].tolist() for path in bars.get_paths()][9] == [9.5, 10.5]
