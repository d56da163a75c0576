"""The study of errors by spatial frequency, on a built-in photo."""

import io

import pytest
from matplotlib.figure import Figure

from srlongtail.errors import InputError
from srlongtail.image.dataset import photos
from srlongtail.models.checkpoint import load_model
from srlongtail.studies import spectrum


def pixels(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="rgba")
    return file.getvalue()


@pytest.fixture(scope="module")
def result():
    return spectrum.compute([load_model("bicubic", scale=4)], photos(4)[1:2])


def test_the_rings_add_up_to_the_squared_error(result):
    from skimage.metrics import mean_squared_error

    from srlongtail.image.color import luma
    from srlongtail.image.io import quantize
    from srlongtail.image.resample import upsample_bicubic

    pair = photos(4)[1]
    sr = quantize(upsample_bicubic(pair.lr, 4).double())
    planes = (255 * luma(image.double())[0].numpy() for image in (pair.hr, sr))
    assert result.frame()["squared_error"].sum() == pytest.approx(mean_squared_error(*planes))


def test_the_figure_shows_what_was_computed_and_repeats(result):
    figure = spectrum.draw(result)
    error, correlation, heat = figure.axes[:3]
    rings = result.summary[result.summary["frequency_from"] < 0.5]
    assert error.lines[0].get_ydata().tolist() == rings["squared_error"].tolist()
    assert correlation.lines[0].get_ydata().tolist() == rings["frc"].tolist()
    cells = heat.collections[0].get_array()
    assert cells.data[::-1] / 100 == pytest.approx(result.tenths.to_numpy())
    again = spectrum.draw(result)
    assert pixels(figure) == pixels(again)


def test_the_caption_says_how_much_of_the_tail_is_above_nyquist(result):
    above = result.tenths.loc[10, ["1 to 2", "above 2"]].sum()
    assert f"{above:.0%} of the tail" in result.caption()
    assert "on 1 image of photos" in result.caption()


def test_models_of_another_scale_are_refused():
    with pytest.raises(InputError, match="bicubic: a x2 model, but photos is x4"):
        spectrum.compute([load_model("bicubic", scale=2)], photos(4)[1:2])
