"""The probe: networks of known behavior in every reading, and its verdicts."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srlongtail.errors import InputError
from srlongtail.image.color import rgb_to_ycbcr, ycbcr_to_rgb
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.adapt import Reading
from srlongtail.models.catalog import build
from srlongtail.models.checkpoint import load_model
from srlongtail.models.probe import PROBE_PHOTOS, Probe, Trial, _crops, find_out, probe
from srlongtail.models.sr_model import SRModel, ZeroResidual


@pytest.fixture(scope="module")
def shipped():
    return load_model("fsrcnn-x4").network


class Wrapped(nn.Module):
    """A network that ships, RGB in [0, 1], behind another reading."""

    def __init__(self, network, reading):
        super().__init__()
        self.network, self.reading = network, reading

    def forward(self, x):
        if self.reading.value_range == 255:
            x = x.round() / 255  # whole levels only make sense in [0, 255]
        elif self.reading.value_range == "symmetric":
            x = (x + 1) / 2 * (x.min() < -0.3)  # photos have dark pixels
        x = ycbcr_to_rgb(x) if self.reading.channels == "ycbcr" else x
        sr = self.network(x)
        if self.reading.predicts == "residual":
            sr = sr - upsample_bicubic(x, 4)
        sr = rgb_to_ycbcr(sr) if self.reading.channels == "ycbcr" else sr
        if self.reading.value_range == 255:
            return sr * 255
        if self.reading.value_range in ("symmetric", "symmetric-output"):
            return sr * 2 - 1
        return sr


class Blur(nn.Module):
    """Bicubic of a blurred or noisy image."""

    def __init__(self, noise=0.0, blur=0.0):
        super().__init__()
        self.noise, self.blur = noise, blur

    def forward(self, x):
        blurred = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        sr = upsample_bicubic(x + self.blur * (blurred - x), 4)
        noise = self.noise * x.abs().max()  # in every reading
        return sr + noise * torch.randn(sr.shape, generator=torch.manual_seed(0))


READINGS = [
    Reading(),
    Reading("residual"),
    Reading(value_range=255.0),
    Reading(value_range="symmetric"),
    Reading(value_range="symmetric-output"),
    Reading(channels="ycbcr"),
    Reading(channels="ycbcr", value_range=255.0),
]


@pytest.mark.parametrize("reading", READINGS)
def test_the_reading_of_a_network_is_found(reading, shipped):
    found = probe(SRModel(Wrapped(shipped, reading), 4))
    assert found.reading == reading
    assert found.verdict == "good"
    assert found.chosen.mean_db > found.bicubic_db


def test_what_is_known_is_not_tried(shipped):
    found = probe(SRModel(shipped, 4), {"predicts": "image", "channels": "rgb"})
    assert {trial.reading.predicts for trial in found.trials} == {"image"}
    assert {trial.reading.channels for trial in found.trials} == {"rgb"}
    assert len(found.trials) == 4


def test_the_usual_reading_stands_unless_another_wins_on_every_photo(monkeypatch):
    """Scores of a network that is a little better read as BGR, on two photos of three."""
    usual, other = Reading(), Reading(channels="bgr")
    trials = {usual: (30.0, 28.0, 33.0), other: (30.5, 28.5, 33.05)}
    monkeypatch.setattr("srlongtail.models.probe._readings", lambda *_: list(trials))
    monkeypatch.setattr(
        "srlongtail.models.probe._trial",
        lambda reading, added, detail: Trial(
            reading, trials[reading] if added.any() else (27.0, 27.0, 30.0), 0.5, 0.5
        ),
    )
    assert probe(SRModel(Blur(blur=0.1), 4)).reading == usual
    trials[other] = (30.5, 28.5, 33.5)
    assert probe(SRModel(Blur(blur=0.1), 4)).reading == other


def test_what_the_photos_do_not_tell_apart_is_said():
    cubic = nn.Upsample(scale_factor=2, mode="bicubic")
    found = probe(SRModel(cubic, 2))
    assert found.reading == Reading()
    assert Reading(value_range=255.0) in found.alike
    assert "not told apart: " in str(found)
    assert "image, RGB, [0, 255]" in str(found)


def test_a_residual_must_beat_bicubic():
    """Bicubic does the work of a network that adds nothing: it is not one."""
    with pytest.raises(InputError, match=r"no reading of the network makes sense: .*bicubic 27"):
        find_out(ZeroResidual(4).eval(), {"scale": 4})


def test_untrained_weights_are_an_error_that_says_how_to_overrule_it(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "fsrcnn_x4.pth"
    torch.save(build("fsrcnn", scale=4).state_dict(), path)
    with pytest.raises(InputError, match=r"to use them all the same, predicts=\w+ and value_range"):
        load_model(path)
    assert load_model(path, predicts="image", value_range=1).scale == 4


def test_noise_that_passes_for_detail_is_an_error():
    found = probe(SRModel(Blur(noise=0.04), 4))
    assert found.bicubic_db - found.chosen.mean_db < 6
    assert found.verdict == "none"


def test_worse_than_bicubic_is_a_warning_with_what_was_tried(shipped):
    worse = TooMuch(shipped)
    with pytest.warns(UserWarning, match=r"mine: worse than bicubic by .*\[0, 255\].*bicubic"):
        find_out(worse.eval(), {"scale": 4}, label="mine")


class TooMuch(nn.Module):
    """Adds related detail, and too much of it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        low = upsample_bicubic(x, 4)
        return low + 4 * (self.network(x) - low)


def test_two_runs_that_differ_are_said_and_the_usual_reading_stands(shipped):
    dropping = nn.Sequential(shipped, Dropping())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        facts, found = find_out(dropping.eval(), {"scale": 4})
    assert not found.deterministic
    assert "two runs differ" in str(found)
    assert facts["value_range"] == (1.0, "probe")


class Dropping(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.02, training=True)


def test_scores_by_numpy():
    found = probe(SRModel(nn.Upsample(scale_factor=2, mode="nearest"), 2))
    assert isinstance(found, Probe)
    assert len(found.chosen.psnr_db) == len(PROBE_PHOTOS)
    lr, hr = (images.numpy() for images in _crops(2))
    sr = lr.repeat(2, axis=2).repeat(2, axis=3)
    errors = ((sr - hr)[..., 2:-2, 2:-2].astype(float) ** 2).mean(axis=(1, 2, 3))
    usual = next(trial for trial in found.trials if trial.reading == Reading())
    assert np.allclose(usual.psnr_db, -10 * np.log10(errors), atol=1e-3)


def test_a_wrapper_made_by_hand_warns_where_255_was_forgotten():
    lr = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))

    class Levels(nn.Module):
        def forward(self, x):
            return upsample_bicubic(x, 2) + 90 * (x.max() < 2)  # a mean of its own, as EDSR's

    model = SRModel(Levels(), 2, name="mine")
    with pytest.warns(UserWarning, match=r"mine: makes an image of levels .* value_range=255"):
        model.restore(lr)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.restore(lr)  # once
        SRModel(Blur(), 4).restore(lr)
        SRModel(Levels(), 2, value_range=255).restore(lr)


class Pair(nn.Module):
    """Returns the image, and something else of its size."""

    def __init__(self, network, other, *, first=True):
        super().__init__()
        self.network, self.other, self.first = network, other, first

    def forward(self, x):
        sr = self.network(x)
        return (sr, self.other(sr)) if self.first else (self.other(sr), sr)


OTHERS = {
    "a map of confidence": lambda sr: torch.sigmoid(20 * (sr - sr.mean())),
    "noise": lambda sr: torch.rand(sr.shape, generator=torch.manual_seed(0)) * sr.max(),
    "a worse stage": lambda sr: F.avg_pool2d(sr, 5, 1, 2, count_include_pad=False),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("case", OTHERS)
def test_of_two_outputs_of_one_size_the_photos_tell_which_is_the_image(case, first, shipped):
    model = SRModel.probed(Pair(shipped, OTHERS[case], first=first), 4)
    assert model.reading.output == 1 - first
    assert model.provenance.determined_by["output"] == "probe"


def test_outputs_that_the_photos_do_not_tell_apart_are_said(shipped):
    model = SRModel.probed(Pair(shipped, lambda sr: sr), 4)
    assert model.reading.output == 1  # networks return the best of their stages last
    alike = model.provenance.probe.rpartition("not told apart: ")[2]
    assert alike.startswith("image, RGB, [0, 1], output 0")


def test_of_two_outputs_one_is_found_though_all_else_is_known(shipped):
    said = {"predicts": "image", "value_range": 1.0, "channels": "rgb"}
    sizes = {"multiple": 1, "enlarged": False}
    for known in (said, sizes, said | sizes):
        model = SRModel.probed(Pair(shipped, OTHERS["noise"]), 4, **known)
        assert model.reading.output == 0


def test_an_output_that_is_not_there_is_named(shipped):
    pair = Pair(shipped, OTHERS["noise"])
    for output in (5, "sr"):
        with pytest.raises(InputError, match=rf"output {output!r} .*expected one of 0, 1"):
            SRModel.probed(pair, 4, output=output)
    assert SRModel.probed(pair, 4, output=-2).reading.output == -2
    with pytest.raises(InputError, match="output 0 of the network, expected none, because"):
        SRModel.probed(shipped, 4, output=0)


def test_that_a_network_takes_the_scale_is_found_though_its_sizes_are_known(shipped):
    class Scaled(nn.Module):
        def forward(self, x, scale):
            assert scale == 4
            return shipped(x)

    model = SRModel.probed(Scaled(), 4, multiple=1, enlarged=False)
    assert model.reading.takes_scale


@pytest.mark.parametrize(("margin", "scale"), [(31, 4), (63, 4), (63, 8), (100, 2)])
def test_a_network_for_large_images_is_tried_on_larger_photos(margin, scale):
    class Mirrored(nn.Module):
        def forward(self, x):
            padded = F.pad(x, (margin,) * 4, mode="reflect")  # at least margin + 1 pixels
            return upsample_bicubic(padded[..., margin:-margin, margin:-margin], scale)

    model = SRModel.probed(Mirrored())
    assert (model.scale, model.predicts, model.value_range) == (scale, "image", 1.0)
    wrapped = SRModel(Mirrored(), scale)  # whose first image is looked at
    assert wrapped.restore(torch.rand(3, 120, 110)).shape == (3, 120 * scale, 110 * scale)


def test_a_network_from_python_is_probed_as_a_file_is(shipped):
    wrapped = Wrapped(shipped, Reading(value_range="symmetric-output"))
    model = SRModel.probed(wrapped, name="mine")
    assert (model.scale, model.value_range, model.name) == (4, "symmetric-output", "mine")
    assert model.provenance.determined_by["value_range"] == "probe"
    said = SRModel.probed(Blur(), 4, predicts="image", value_range=1.0, channels="rgb")
    assert said.provenance.probe == ""
