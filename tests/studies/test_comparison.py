"""What a comparison says in words, and what the command writes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import open_data, photos
from srlongtail.image.io import write_image
from srlongtail.longtail.comparison import Change, window_gains
from srlongtail.metrics import PAPER
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.paper import fig3
from srlongtail.paper.inputs import FigureInputs
from srlongtail.plots.style import PAGE, paper_style
from srlongtail.studies import comparison


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two data sets, of two crops and of a larger one."""
    root = tmp_path_factory.mktemp("data")
    for name, index, row, column, size in (
        ("two0", 1, 100, 150, 96),
        ("two1", 2, 150, 200, 108),
        ("one0", 0, 60, 200, 156),
    ):
        hr = photos(4)[index].hr[:, row : row + size - 12, column : column + size]
        write_image(root / name[:3].title() / f"{name}.png", hr)
    return root


@pytest.fixture
def datasets(folders):
    return [open_data(folders / name) for name in ("Two", "One")]


def nearest() -> SRModel:
    return SRModel(nn.Upsample(scale_factor=4), 4, name="nearest")


@pytest.fixture
def study(datasets):
    return comparison.compute([nearest()], [bicubic(4)], datasets)


def test_the_gain_is_the_difference_of_what_evaluate_scores(datasets, study):
    table = evaluate([nearest(), bicubic(4)], datasets)
    psnr = table.pivot_table("psnr_db", ["dataset", "image"], "model", sort=False)
    expected = (psnr["bicubic"] - psnr["nearest"]).to_numpy()
    assert study.comparison.gains == pytest.approx(expected, abs=1e-9)
    assert [image.dataset for image in study.comparison.images] == ["Two", "Two", "One"]


class Noting(nn.Module):
    """Enlarges, and notes the sizes of the LR images that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, lr):
        self.sizes.append(tuple(lr.shape[-2:]))
        return nn.functional.interpolate(lr, scale_factor=4)


def test_tiles_are_those_of_the_protocol(datasets):
    network = Noting()
    datasets[1].name = "Test2K"
    comparison.compute([SRModel(network, 4)], [bicubic(4)], datasets)
    assert set(network.sizes) == {(21, 24), (24, 27), (32, 32)}  # not 36 x 39
    assert PAPER.tiles.size == 32


def with_gains(study, gains):
    """The same study of other images, whose gains are given."""
    image = study.comparison.images[0]
    images = tuple(
        replace(
            image,
            image=f"image{i}",
            change=Change(gain, 2 * abs(gain) + 0.1, 0.1),
            parts={by: parts * gain / parts.sum() for by, parts in image.parts.items()},
        )
        for i, gain in enumerate(gains)
    )
    return replace(study, comparison=replace(study.comparison, images=images))


def test_messages(study):
    spread = np.linspace(-1, 1, 12) * 0.1
    gain = with_gains(study, 0.5 + spread).message()
    assert gain.startswith("bicubic gains over nearest: +0.50 dB (95%: +0.46 to +0.54, 12 images)")
    assert gain.endswith("% of it in the hardest tenth of the pixels")
    loss = with_gains(study, -0.5 + spread).message()
    assert loss.startswith("bicubic loses to nearest: -0.50 dB")
    assert "% of the loss in the hardest tenth" in loss
    chance = with_gains(study, 0.01 + spread).message()
    assert chance.startswith("bicubic against nearest: +0.010 dB (95%: -0.0")
    assert "is not told from 0; these images could show a gain of 0.0" in chance
    assert "9 images), too few images for a verdict" in with_gains(study, [0.5] * 9).message()
    assert "(no interval, 1 image), too few" in with_gains(study, [0.5]).message()


def test_what_the_caption_owns_up_to(study, datasets):
    caption = study.caption()
    assert "on Two (LR made by bicubic) and One (LR made by bicubic);" in caption
    assert "One checkpoint stands for each network" in caption
    assert "bicubic's luck" in caption
    assert f"Without {study.comparison.strongest_image.image} the gain is" in caption
    rows = comparison.compute(
        [nearest()], [bicubic(4), named(bicubic(4), "other")], datasets, "one0", (8, 12, 24)
    )
    caption = rows.caption()
    assert "Between two seeds of one network the mean PSNR differs by 0.000 dB" in caption
    assert "The 24 x 24 window at row 8, column 12 of one0 gains" in caption
    assert rows.labels == ("nearest", "bicubic (2 seeds)")


def named(model: SRModel, name: str) -> SRModel:
    model.name = name
    return model


def test_the_figure(study):
    with paper_style():
        figure = comparison.draw(study)
    assert figure.get_size_inches()[0] == PAGE
    titles = [ax.get_title(loc="left") for ax in figure.axes[:6]]
    assert titles[0] == "(a) images"
    assert titles[5] == "(f) map"
    assert figure.get_suptitle() == study.message().replace("; ", "\n")


def test_mistakes(datasets, tmp_path):
    with pytest.raises(InputError, match="no image 'lena', expected one of two0, two1, one0"):
        comparison.compute([nearest()], [bicubic(4)], datasets, "lena")
    with pytest.raises(InputError, match=r"window 130 0 24 .* of one0"):
        comparison.compute([nearest()], [bicubic(4)], datasets, "one0", (130, 0, 24))
    write_image(tmp_path / "tiny.png", torch.rand(3, 12, 12))
    with pytest.raises(InputError, match="tiny"):
        comparison.compute([nearest()], [bicubic(4)], [open_data(tmp_path)])
    with pytest.raises(InputError, match="a x2 model, but Two is x4"):
        comparison.compute([bicubic(2)], [bicubic(4)], datasets)


def test_figure_3_tells_how_rare_its_window_is(datasets):
    data = datasets[0]
    found = fig3.compute(FigureInputs((nearest(),), data))
    gains = []
    for pair in data:
        a, b = (
            (model.restore(pair.lr).mul(255).add(0.5).floor() - pair.hr.mul(255).round())
            .double()
            .square()
            .mean(0)
            for model in (bicubic(4), nearest())
        )
        gains.append(window_gains([a], [b], 72))
    every = np.concatenate(gains)
    scores = found.scores
    gain = scores["nearest"].psnr_db - scores["bicubic"].psnr_db
    assert found.rank.gain.psnr_db == pytest.approx(gain, abs=1e-4)
    assert found.rank.windows == len(every)
    # Chosen for the largest decrease in squared error, it has no equal.
    assert found.rank.squared_error_percentile == pytest.approx(100 * (1 - 0.5 / len(every)))
    assert 100 * np.mean(every[:, 0] < gain - 1e-4) <= found.rank.psnr_percentile <= 100
    assert f"There nearest gains {gain:+.2f} dB over bicubic" in found.caption()
    assert f"of the {len(every):,} windows of this size (every 4 pixels)" in found.caption()
    alone = fig3.compute(FigureInputs((), data))
    assert alone.rank is None
    assert alone.caption().endswith("are those of the window.")
