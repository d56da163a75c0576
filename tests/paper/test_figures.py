"""What the figures compute, apart from how they look."""

from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from srlongtail.errors import InputError
from srlongtail.focal.weights import focal_weight
from srlongtail.image.io import quantize
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.difference import absolute_difference
from srlongtail.models.facts import Provenance, Training
from srlongtail.models.sr_model import SRModel, ZeroResidual, bicubic
from srlongtail.paper import fig1, fig3, fig5
from srlongtail.paper.build import FIGURES
from srlongtail.paper.inputs import FigureInputs
from srlongtail.plots.style import PAGE, paper_style


def trained(**recipe: bool) -> Provenance:
    return Provenance("fsrcnn", training=Training(1, recipe))


class Oracle(torch.nn.Module):
    """A residual that is right in one window of one image and zero elsewhere."""

    def __init__(self, hr: torch.Tensor, lr: torch.Tensor, window: tuple[int, int, int]) -> None:
        super().__init__()
        row, column, size = window
        self.lr, self.residual = lr, torch.zeros_like(hr)
        inside = (slice(None), slice(row, row + size), slice(column, column + size))
        self.residual[inside] = (hr - upsample_bicubic(lr, 4))[inside]

    def forward(self, lr):
        known = lr.shape[1:] == self.lr.shape and torch.equal(lr[0], self.lr)
        scale = 4
        blank = lr.new_zeros(len(lr), 3, lr.shape[2] * scale, lr.shape[3] * scale)
        return self.residual[None] if known else blank


@pytest.fixture
def oracle(data):
    pair = data[1]
    network = Oracle(pair.hr, pair.lr, (40, 80, 72))
    known = trained(skip=True, static=True, learnable=True)
    return SRModel(network, 4, predicts="residual", name="fsrcnn-fpl-x4", provenance=known)


def test_figure_3_finds_the_window_of_the_largest_gain_in_all_images(data, oracle):
    result = fig3.compute(FigureInputs((oracle,), data))
    assert (result.pair.name, result.window) == ("b", (40, 80, 72))
    assert result.rule == "where FSRCNN+FPL gains the most over bicubic"
    scores = result.scores
    assert scores["fsrcnn-fpl-x4"].psnr_db > scores["bicubic"].psnr_db + 10
    # Of two networks the gain is the last's over the first's.
    flat = SRModel(
        ZeroResidual(4), 4, predicts="residual", name="flat", provenance=trained(skip=False)
    )
    twins = fig3.compute(FigureInputs((flat, oracle), data))
    assert twins.window == (40, 80, 72)
    assert twins.rule == "where FSRCNN+FPL gains the most over FSRCNN"


def test_figure_3_without_a_network_shows_bicubics_largest_error(data):
    result = fig3.compute(FigureInputs((), data))
    pair = next(p for p in data if p.name == result.pair.name)
    error = (quantize(bicubic(4).restore(pair.lr)) - pair.hr).square().mean(0)
    row, column, size = result.window
    inside = error[row : row + size, column : column + size].mean()
    assert inside > error.mean()
    assert result.rule == "where bicubic's error is the largest"


def test_figure_3_takes_the_window_and_image_asked_for(data, oracle):
    result = fig3.compute(FigureInputs((oracle,), data, image="c", window=(100, 130, 44)))
    assert (result.pair.name, result.window) == ("c", (100, 130, 44))
    assert result.frame()[["row", "col", "size"]].to_numpy().tolist() == [[100, 130, 44]] * 2
    with pytest.raises(InputError, match=r"window 101 130 44 .* inside the 144 x 180 pixels of c"):
        fig3.compute(FigureInputs((oracle,), data, image="c", window=(101, 130, 44)))


def test_figure_1_maps_one_image_and_counts_all(data, oracle):
    result = fig1.compute(FigureInputs((oracle,), data, image="b"))
    pair = result.pair
    expected = absolute_difference(bicubic(4).restore(pair.lr), pair.hr)
    assert torch.equal(result.differences["bicubic"], expected)
    assert result.tail.histogram.images == 3
    assert result.tail.histogram.pixels == 3 * 144 * 180
    assert result.tail.summary["tail_share"].iloc[0] == pytest.approx(0.1)
    assert "bicubic 10.0%, FSRCNN+FPL" in result.caption()


def test_figure_5_holds_the_papers_weights(data, oracle):
    result = fig5.compute(FigureInputs((oracle,), data, image="b"))
    pair = result.pair
    prior = (pair.hr - bicubic(4).restore(pair.lr)).abs()
    expected = focal_weight(prior[None], 0.5, 1.0)[0].mean(0)
    assert torch.allclose(result.maps["static"], expected)
    learnable = result.maps["learnable"]
    assert learnable[60:100, 100:140].max() < 1.02  # where the network is right
    assert learnable[:30].mean() > 1.2
    assert np.allclose(result.growth["static"], expected / 0.5)
    table = result.frame()
    assert table["bicubic_ad_decile"].tolist() == list(range(1, 11))
    assert table["static"].is_monotonic_increasing


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("networks", [0, 1, 2])
def test_every_figure_is_a_page_wide_with_any_number_of_networks(
    data, oracle, ablation, name, networks
):
    twin = SRModel(ZeroResidual(4), 4, predicts="residual", name="carn-x4")
    module = FIGURES[name].module
    result = module.compute(FigureInputs((oracle, twin)[:networks], data, ablation=ablation))
    with paper_style():
        figure = module.draw(result)
    assert figure.get_figwidth() == PAGE
    sizes = [text.get_fontsize() for text in figure.findobj(lambda t: hasattr(t, "get_fontsize"))]
    assert min(sizes) >= 7
    assert len(result.caption()) > 60


def boxes(figure, *texts):
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in texts if text.get_text()]


@pytest.mark.parametrize("name", ["fig1", "fig3", "fig6"])
@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_up_to_six_networks_fit(data, name, count):
    """No title runs into the next panel's, and no text over the edge of the page."""
    names = ["srresnet-x4", "srresnet-fpl-x4", "a_long_name_of_some_file", "b", "c", "d"][:count]
    networks = tuple(SRModel(ZeroResidual(4), 4, predicts="residual", name=name) for name in names)
    module = FIGURES[name].module
    with paper_style():
        figure = module.draw(module.compute(FigureInputs(networks, data)))
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        titles = boxes(figure, *(ax._left_title for ax in figure.axes))
        bars = [bar for ax in figure.axes for bar in ax.child_axes]
        labels = boxes(figure, *(ax.xaxis.label for ax in [*figure.axes, *bars]))
        others = boxes(figure, *figure.texts, *([figure._suptitle] if figure._suptitle else []))
    for one, two in combinations([*titles, *labels], 2):
        assert not one.overlaps(two)
    for box in (*titles, *labels, *others):
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    panels = {"fig1": count + 2, "fig3": count + 3, "fig6": 5 * count}[name]
    assert sum(bool(ax.images) for ax in figure.axes) == panels


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_limits_the_number_of_pixels(data, oracle, ablation, name, monkeypatch):
    """As `torch.quantile` does, which refuses photos of more than 16 megapixels."""
    monkeypatch.setattr(torch.Tensor, "quantile", None, raising=False)
    module = FIGURES[name].module
    module.draw(module.compute(FigureInputs((oracle,), data, ablation=ablation)))


def test_unknown_images_are_named(data):
    with pytest.raises(InputError, match="no image 'd' in Set3, expected one of a, b, c"):
        FigureInputs((), data, image="d")
