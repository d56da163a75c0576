"""What is drawn of an ablation."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from srlongtail.plots.ablation import plot_gains
from srlongtail.stats import Interval


def test_lines_go_through_the_means_and_every_seed_stands_where_it_is():
    tables = {
        "static": pd.DataFrame({"value": [0, 0, 2], "gain": [0.1, 0.3, 0.4]}),
        "learnable": pd.DataFrame({"value": [1, 2, 2], "gain": [0.5, 0.1, 0.2]}),
    }
    ax = plot_gains(tables, Figure().add_subplot(), floor=Interval(0.3, 0.2, 0.4))
    static, learnable = (line.get_xydata() for line in ax.lines)
    assert static == pytest.approx(np.array([[0, 0.2], [2, 0.4]]))
    assert learnable == pytest.approx(np.array([[1, 0.5], [2, 0.15]]))
    for seeds, table in zip(ax.collections, tables.values(), strict=True):
        assert seeds.get_offsets().tolist() == table.to_numpy().tolist()  # no jitter
    (band,) = ax.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((0.2, 0.2))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "2"]
    assert ax.get_legend() is None  # the caller's
