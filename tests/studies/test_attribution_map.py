"""The map of n_eff of a whole image: numbers, statistics and picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from srlongtail.image.dataset import ImagePair
from srlongtail.image.resample import imresize
from srlongtail.models.checkpoint import load_model
from srlongtail.studies import attribution_map
from srlongtail.studies.restored import RestoredImage
from tests.conftest import soft_noise


@pytest.fixture(scope="module")
def image():
    hr = soft_noise(64, 96, 0)
    return RestoredImage(ImagePair("noise", hr, imresize(hr, 1 / 4)))


@pytest.fixture(scope="module")
def result(image):
    return attribution_map.compute(load_model("fsrcnn-fpl-x4"), image, size=16, step=24)


def test_difficulty_and_rank_correlation_by_hand(result, image):
    difference = image.bicubic_difference().numpy()
    table = result.frame()
    for row in table.itertuples():
        window = difference[row.row : row.row + 16, row.col : row.col + 16]
        assert row.bicubic_ad == pytest.approx(window.mean(), rel=1e-5)
    known = table[table["reliable"]]
    ranks = np.corrcoef(rankdata(known["n_eff"]), rankdata(known["bicubic_ad"]))
    assert result.rank_correlation == pytest.approx(ranks[0, 1])
    assert result.settings()["windows"] == len(table) == 3 * 4


def test_doubtful_windows_are_left_out_and_counted(image, monkeypatch):
    def spoil(*arguments, **settings):
        grid = attribute_grid(*arguments, **settings)
        table = grid.frame()
        table.loc[1, ["reliable", "n_eff"]] = False, 1e6
        return type(grid)(table)

    attribute_grid = attribution_map.attribute_grid
    monkeypatch.setattr(attribution_map, "attribute_grid", spoil)
    found = attribution_map.compute(load_model("fsrcnn-fpl-x4"), image, size=16, step=40)
    assert found.unreliable >= 1
    assert torch.isnan(found.map[0, 1])
    assert max(found.quantiles) < 1e6
    assert "windows whose map is not reliable" in found.caption()


def test_the_picture_shows_the_map_in_place(result):
    figure = attribution_map.draw(result)
    photo, map_, scatter = figure.axes[:3]
    (drawn,) = map_.images
    shown = drawn.get_array().filled(np.nan)
    assert np.array_equal(shown, result.map.numpy(), equal_nan=True)
    # Cells of 24 pixels around the centers of windows of 16.
    assert drawn.get_extent() == [-4.5, 91.5, 67.5, -4.5]
    assert (photo.get_xlim(), photo.get_ylim()) == (map_.get_xlim(), map_.get_ylim())
    assert len(scatter.lines[0].get_xdata()) == (~result.map.isnan()).sum()
    assert result.message() == figure.get_suptitle()


def test_without_hr_nothing_is_said_of_difficulty(result, image):
    found = attribution_map.compute(
        load_model("fsrcnn-fpl-x4"), image, size=16, step=40, has_hr=False
    )
    assert "bicubic_ad" not in found.frame()
    assert "Spearman" not in found.caption()
    assert len(attribution_map.draw(found).axes[0].figure.axes) == 2
    assert (
        replace(found, rank_correlation=0.5).settings()["rank_correlation_with_bicubic_ad"] == 0.5
    )
