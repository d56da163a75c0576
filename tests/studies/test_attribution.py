"""Figure 6 and the attribute command: what they compute, draw and write."""

import hashlib
import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from srlongtail import cli
from srlongtail.attribution.diffusion import attributed_pixels
from srlongtail.attribution.lam import local_attribution
from srlongtail.attribution.windows import hardest_window
from srlongtail.errors import InputError
from srlongtail.geometry import Box
from srlongtail.image.dataset import open_data
from srlongtail.image.io import write_image
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.difference import absolute_difference
from srlongtail.models.catalog import new_model
from srlongtail.models.facts import PARTS, Training
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.paper import fig6
from srlongtail.paper.inputs import FigureInputs
from srlongtail.plots.attribution import N_EFF
from srlongtail.plots.style import PAGE, paper_style
from srlongtail.studies import attribution, methods
from srlongtail.studies.attribute_image import (
    attribute_image,
    compare_image,
    published_pair,
    write_attribution,
)
from srlongtail.studies.restored import RestoredImage


@pytest.fixture
def twins():
    torch.manual_seed(0)
    pair = (
        new_model("fsrcnn", 4, name="fsrcnn-x4"),
        new_model("fsrcnn", 4, predicts="residual", name="fsrcnn-fpl-x4"),
    )
    for model, on in zip(pair, (False, True), strict=True):
        training = Training(1, dict.fromkeys(PARTS, on))
        model.provenance = replace(model.provenance, training=training)
    return pair


@pytest.fixture
def rings(tmp_path):
    y, x = torch.meshgrid(torch.arange(144.0), torch.arange(180.0), indexing="ij")
    waves = 0.5 + 0.5 * torch.sin((y - 90).square().add((x - 40).square()) / 150)
    path = tmp_path / "Rings" / "rings.png"
    write_image(path, waves.expand(3, -1, -1))
    return path


@pytest.fixture
def data(rings):
    return open_data(rings.parent)


def test_the_hardest_window_is_attributed_under_both_twins(data, twins):
    result = fig6.compute(FigureInputs(twins, data))
    pair = data[0]
    low = bicubic(4).restore(pair.lr)
    window, share = hardest_window(absolute_difference(low, pair.hr))
    assert result.window == window
    assert result.rule.startswith(f"the one with the largest share ({share:.0%}) of tail pixels")
    for model in twins:
        expected = local_attribution(model, pair.lr, window)
        assert torch.allclose(result.maps[model.name].attributions, expected.attributions)
        assert torch.equal(result.restored[model.name], model.restore(pair.lr))
    table = result.frame()
    assert table["model"].tolist() == ["fsrcnn-x4", "fsrcnn-fpl-x4"]
    assert table[["row", "col", "size"]].to_numpy().tolist() == [list(window)] * 2
    caption = result.caption()
    for text in ("FSRCNN: DI", "FSRCNN+FPL: DI", "36 x 45 LR", "50 steps of BlurPath(sigma=1.2"):
        assert text in caption


def test_the_part_shown_holds_the_field_and_stays_inside(data):
    small = torch.nn.Sequential(torch.nn.Conv2d(3, 48, 13, padding=6), torch.nn.PixelShuffle(4))
    for window, part in [
        ((64, 80, 16), Box(9, 13, 28, 32)),  # 4 + 1 pixels, 6 more on all sides, a margin of 1
        ((0, 0, 16), Box(0, 0, 13, 13)),
        ((128, 164, 16), Box(24, 33, 36, 45)),
    ]:
        result = fig6.compute(FigureInputs((SRModel(small, 4),), data, window=window))
        assert result.rule == "as asked for"
        assert result.part == part


def test_the_picture_says_what_was_measured(data, twins):
    result = fig6.compute(FigureInputs(twins, data, window=(64, 80, 16)))
    with paper_style():
        figure = attribution.draw(result)
    assert figure.get_figwidth() == PAGE
    assert len(figure.axes) == 11
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[0] == "(a) HR, rings"
    assert titles[-2] == "(j) SR"
    for row, (name, found) in enumerate(result.maps.items()):
        whole, signed, smooth, chosen, restored = figure.axes[5 * row : 5 * row + 5]
        below = f"DI {found.diffusion_index:.2f}%, {N_EFF} {found.n_eff:.1f}"
        assert smooth.get_xlabel() == below
        count = int(attributed_pixels(found.absolute).sum())
        assert chosen.get_xlabel() == f"95% in {count} LR pixels"
        drawn = signed.images[0]
        assert np.allclose(drawn.get_array(), found.signed.numpy())
        assert drawn.norm.vmin == -drawn.norm.vmax
        assert signed.get_xlim() == restored.get_xlim() != whole.get_xlim()
        assert whole.get_ylabel() == restored.get_xlabel() == result.subjects[name].label
    limits = {ax.images[0].norm.vmax for ax in (figure.axes[1], figure.axes[6])}
    assert len(limits) == 1  # one colour scale for both rows, and one bar
    (limit,), bar = limits, figure.axes[-1]
    ends = [tick.get_text() for tick in bar.get_xticklabels()]
    assert ends == [f"-{limit:.2g}", "0", f"+{limit:.2g}"]
    assert bar.get_xlabel() == "sum of gradients"


def test_without_a_network_bicubic_is_shown(data):
    result = fig6.compute(FigureInputs((), data))
    assert list(result.maps) == ["bicubic"]
    assert f"bicubic {result.maps['bicubic'].n_eff:.1f}" in result.message()


def test_a_flat_window_can_be_drawn(tmp_path):
    flat = SRModel(torch.nn.Upsample(scale_factor=4), 4, name="flat")
    write_image(tmp_path / "grey.png", torch.full((3, 96, 96), 0.5))
    result = attribute_image(flat, str(tmp_path / "grey.png"), (40, 40, 16))
    with paper_style():
        attribution.draw(result)
    assert result.maps["flat"].n_eff == 0


def test_an_image_that_is_the_networks_input(tmp_path, twins):
    lr = (torch.rand(3, 30, 40) * 255).round() / 255
    write_image(tmp_path / "small.png", lr)
    result = attribute_image(twins[1], str(tmp_path / "small.png"), (40, 60, 16), is_lr=True)
    assert (result.photo_name, result.image) == ("LR", "small")
    assert torch.equal(result.photo, upsample_bicubic(lr, 4).clamp(0, 1))
    assert result.maps["fsrcnn-fpl-x4"].canvas == (30, 40)
    with pytest.raises(
        InputError, match=r"small.png: the tail is unknown without HR, expected window=ROW COL SIZE"
    ):
        attribute_image(twins[1], str(tmp_path / "small.png"), is_lr=True)


def test_published_lr_is_pillows_of_the_crop_to_the_scale(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 63, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "odd.png")
    pair = published_pair(str(tmp_path / "odd.png"), 4)
    small = Image.fromarray(pixels[:48, :60]).resize((15, 12), Image.Resampling.BICUBIC)
    assert pair.hr.shape == (3, 48, 60)
    assert np.array_equal((pair.lr * 255).round().byte().permute(1, 2, 0), np.asarray(small))
    Image.fromarray(pixels[:3]).save(tmp_path / "low.png")
    with pytest.raises(InputError, match=r"low.png: HR image of 3 x 63 pixels, expected at least"):
        published_pair(str(tmp_path / "low.png"), 4)


def test_files_hold_the_numbers_the_maps_and_the_settings(tmp_path, rings, twins):
    model = twins[1]
    result = attribute_image(model, str(rings), (64, 80, 16), published=True)
    paths = write_attribution(result, model, tmp_path / "out", published=True)
    assert [path.name for path in paths] == ["attribute.png", "attribute.npz"]
    record = json.loads((tmp_path / "out" / "attribute.json").read_text())
    found = result.maps[model.name]
    assert record["n_eff"] == found.n_eff
    assert record["canvas"] == [36, 45]
    assert record["attribution_settings"]["because"] == "as published"
    assert record["attribution_settings"]["gini_offset"] == 1e-7
    assert record["settings"]["lr"] == "Pillow's bicubic of 8 bits"
    assert record["models"][0]["name"] == "fsrcnn-fpl-x4"
    maps = np.load(tmp_path / "out" / "attribute.npz")
    assert np.array_equal(maps["signed"], found.signed.numpy())
    assert maps["attributions"].shape == (3, 36, 45)
    table = pd.read_csv(tmp_path / "out" / "attribute.csv")
    assert table["diffusion_index"][0] == pytest.approx(found.diffusion_index)


MINE = """
import torch
from torch import nn


class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, padding=2)
        self.last = nn.Conv2d(6, 48, 3, padding=1)

    def forward(self, lr):
        return nn.functional.pixel_shuffle(self.last(torch.tanh(self.first(lr))), 4)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's own network, whose class lies in a file."""
    (tmp_path / "my_networks.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    torch.manual_seed(0)
    yield importlib.import_module("my_networks").Mine()
    del sys.modules["my_networks"]


def test_an_own_module_from_python(mine, rings):
    result = attribute_image(SRModel(mine, 4, name="mine"), str(rings), (64, 80, 16))
    found = result.maps["mine"]
    assert found.field == found.computed_on.box == Box(13, 17, 24, 28)
    assert found.n_eff == pytest.approx(found.diffusion_index / 100 * 36 * 45)
    assert found.completeness_error < 0.1
    with paper_style():
        assert len(attribution.draw(result).axes) == 6


def test_an_own_module_from_the_shell(mine, rings, tmp_path, monkeypatch, capsys):
    weights = tmp_path / "epoch9.pth"
    torch.save(mine.state_dict(), weights)
    options = "--network my_networks:Mine --predicts image --value-range 1 --window 64 80 16 --out"
    command = ["srlongtail", "attribute", weights, rings, *options.split(), tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", [str(part) for part in command])
    cli.main()
    written = capsys.readouterr().out.split()
    assert [Path(path).name for path in written] == ["attribute.png", "attribute.npz"]
    record = json.loads((tmp_path / "out" / "attribute.json").read_text())
    assert record["models"][0]["network"] == "my_networks:Mine"
    model = SRModel(mine, 4, predicts=record["models"][0]["predicts"], name="epoch9")
    expected = attribute_image(model, str(rings), (64, 80, 16)).maps["epoch9"]
    assert record["diffusion_index"] == pytest.approx(expected.diffusion_index, rel=1e-5)


@pytest.fixture
def comparison(rings, monkeypatch):
    small = torch.nn.Sequential(torch.nn.Conv2d(3, 48, 3, padding=1), torch.nn.PixelShuffle(4))
    compare = methods.compare_methods
    monkeypatch.setattr(
        methods, "compare_methods", lambda *a, **k: compare(*a, **k, n_steps=4, samples=1)
    )
    torch.manual_seed(0)
    model = SRModel(small, 4)
    return model, compare_image(model, str(rings), (64, 80, 16))


def test_methods_are_drawn_beside_each_other(comparison):
    _, result = comparison
    assert result.frame()["method"].iloc[0] == "LAM"
    assert "off completeness" in result.caption()
    with paper_style():
        figure = methods.draw(result)
    assert figure.get_figwidth() == PAGE
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles[:3] == ["(a) LAM", "(b) saliency", "(c) input x\ngradient"]
    assert titles[-2:] == ["(h) deletion: lower is better", "(i) insertion: higher is better"]
    lines = figure.axes[-2].lines
    assert len({line.get_color() for line in lines[:7]}) == 7
    assert {line.get_color() for line in lines[7:]} == {"0.45"}
    assert [line.is_dashed() for line in lines] == [False] + [True] * 8
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == result.frame()["method"].tolist()


def test_the_hardest_window_is_compared_unless_one_is_asked_for(comparison, data):
    model, asked = comparison
    window, _ = attribution.choose_window(RestoredImage(data[0]))
    assert methods.compute(model, RestoredImage(data[0])).comparison.lam.window == window
    again = methods.compute(model, RestoredImage(data[0]), (64, 80, 16))
    assert again.frame().equals(asked.frame())


def test_the_headline_is_read_off_the_curves(comparison):
    result = comparison[1]
    curves = pd.DataFrame(
        [
            (name, "deletion", share, value)
            for name, half in (("LAM", 0.1), ("distance to window", 0.2), ("random", 0.8))
            for share, value in ((0.0, 1.0), (half - 0.1, 0.7), (half + 0.1, 0.3), (1.0, 0.0))
        ],
        columns=["method", "kind", "share", "value"],
    )
    drawn = replace(result, comparison=replace(result.comparison, curves=curves))
    assert drawn.message() == (
        "Share of LR pixels to blur until half of the target is gone: 10.0% in LAM's order, "
        "20.0% by distance, 80.0% at random"
    )


def test_the_comparison_is_written_with_its_curves_and_maps(comparison, rings, tmp_path):
    model, result = comparison
    paths = write_attribution(result, model, tmp_path)
    assert [path.name for path in paths] == ["methods.png", "methods-curves.csv", "methods.npz"]
    assert pd.read_csv(tmp_path / "methods.csv")["method"].tolist()[-1] == "random"
    assert len(pd.read_csv(paths[1])) == len(result.comparison.curves)
    assert np.load(paths[2])["occlusion"].shape == (3, 36, 45)
    record = json.loads((tmp_path / "methods.json").read_text())
    assert record["settings"]["attribution"]["n_steps"] == 4
    assert record["settings"]["lr"] == "MATLAB's bicubic"
    pixels = np.float32(Image.open(rings)).transpose(2, 0, 1) / np.float32(255)
    sha256 = hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()
    assert record["settings"]["image_sha256"] == sha256
