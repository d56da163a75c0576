"""One pass over the images finds what each measurement finds by itself."""

import pytest
from scipy.integrate import trapezoid

from srlongtail.image.dataset import photos
from srlongtail.longtail.difference import difference_histogram
from srlongtail.longtail.spectrum import error_spectrum, tail_frequency
from srlongtail.longtail.tail import measure_tail
from srlongtail.models.checkpoint import load_model
from srlongtail.models.sr_model import bicubic
from srlongtail.studies import errors, heaviness


@pytest.fixture(scope="module")
def models():
    return [bicubic(4), load_model("fsrcnn-fpl-x4")]


@pytest.fixture(scope="module")
def found(models):
    return errors.compute(models, photos(4)[1:3])


def test_each_study_is_that_of_its_own_pass(found, models):
    data = photos(4)[1:3]
    assert found.heaviness.tails.frame().equals(measure_tail(models, data).frame())
    assert found.spectrum.errors.frame().equals(error_spectrum(models, data).frame())
    assert found.spectrum.tail.frame().equals(tail_frequency(data).frame())
    alone = difference_histogram(models, data)
    assert found.tail.histogram.frame().equals(alone.frame())
    assert found.tail.histogram.images == 2


def test_the_lorenz_curve_and_the_statistics_agree():
    """The Gini coefficient of one image is 1 minus twice the area under its Lorenz curve."""
    one = errors.compute([bicubic(4)], photos(4)[1:2])
    curve = one.heaviness.curves[one.heaviness.curves["curve"] == "lorenz"]
    area = trapezoid(curve["y"], curve["x"])
    (row,) = one.heaviness.tails.frame().itertuples()
    assert 1 - 2 * area == pytest.approx(row.gini, abs=1e-3)


def test_the_figure_shows_curves_and_intervals(found):
    result = found.heaviness
    figure = heaviness.draw(result)
    lorenz, hill, shares = figure.axes
    assert figure.get_suptitle() == result.message()
    assert len(lorenz.lines) == 1 + 2
    for line, model in zip(hill.lines, ("bicubic", "fsrcnn-fpl-x4"), strict=True):
        drawn = result.curves[
            (result.curves["model"] == model) & (result.curves["curve"] == "hill")
        ]
        assert line.get_ydata() == pytest.approx(drawn["y"].to_numpy())
    rows = result.summary[result.summary["model"] == "bicubic"].set_index("statistic")
    (ends,) = [lines.get_segments() for lines in shares.collections[:1]]
    for segment, statistic in zip(ends, ("gini", "l1_share", "l2_share"), strict=True):
        low, high = rows.loc[statistic, ["low", "high"]]
        assert segment[:, 0] == pytest.approx([100 * low, 100 * high])
    assert "a better model often has a higher Gini" in result.caption()


def test_the_settings_of_the_spectrum_say_how_much_lies_above_nyquist(found):
    settings = found.spectrum.settings()
    assert settings["nyquist_of_lr"] == 1 / 8
    tail = found.spectrum.tenths.loc[10, ["1 to 2", "above 2"]].sum()
    assert settings["above_nyquist_of_lr"]["tail"][0] == pytest.approx(tail)
